"""Shapes, and the layer as a module."""

import copy
import io
import pickle
import tempfile
from pathlib import Path

import torch
from torch import multiprocessing, nn
from torch.func import functional_call
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils.rnn import pack_sequence
from torch.optim import swa_utils

from compatibility_rows.common import Layer, X, row, same, theirs, weights_of


@row("Shapes", "PackedSequence; unbatched input; N = 0")
def _(cls: Layer) -> None:
    layer = cls(3, 8)
    layer(pack_sequence([X[:3, 0], X[:5, 1]], enforce_sorted=False))
    layer(X[:, 0])
    layer(X[:, :0])[0].sum().backward()


@row("Shapes", "T = 0")
def _(cls: Layer) -> None:
    cls(3, 8)(X[:0])


@row("Shapes", "sequences of length 0, in any order, lengths on any device")
def _(cls: Layer) -> None:
    layer = cls(3, 8)
    if cls is not theirs(cls):
        layer(X, lengths=torch.tensor([3, 0, 5, 1]))
    else:
        layer(nn.utils.rnn.pack_padded_sequence(X, torch.tensor([3, 0, 5, 1]), enforce_sorted=False))


# Modules


@row("As a module", "pickle, deepcopy, hooks, functional_call")
def _(cls: Layer) -> None:
    layer, seen = cls(3, 8), []
    layer.register_forward_hook(lambda *_: seen.append(1))
    same(copy.deepcopy(layer)(X), layer(X))
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    torch.load(file, weights_only=True)
    functional_call(layer, weights_of(layer), (X,))
    assert seen


@row("As a module", "saved whole, loaded with assign=True and mmap=True, state_dict hooks")
def _(cls: Layer) -> None:
    layer, seen = cls(3, 8), []
    layer.register_state_dict_pre_hook(lambda *_: seen.append(1))
    layer.register_load_state_dict_post_hook(lambda *_: seen.append(2))
    same(pickle.loads(pickle.dumps(cls(3, 8, 2)))(X)[0].shape, (5, 4, 8))
    with tempfile.TemporaryDirectory() as folder:
        torch.save(layer.state_dict(), Path(folder) / "weights.pt")
        loaded = torch.load(Path(folder) / "weights.pt", mmap=True)
        expected = layer(X)
        layer.load_state_dict(loaded, assign=True)
        same(layer(X), expected)
    assert seen == [1, 2]


@row("As a module", "AveragedModel, parameters_to_vector, DataParallel on the CPU")
def _(cls: Layer) -> None:
    layer = cls(3, 8)
    same(swa_utils.AveragedModel(layer)(X), layer(X))
    vector = nn.utils.parameters_to_vector(layer.parameters())
    nn.utils.vector_to_parameters(vector, layer.parameters())
    same(nn.DataParallel(layer)(X), layer(X))


@row("As a module", "share_memory, another process by fork")
def _(cls: Layer) -> None:
    layer, context = cls(3, 8).share_memory(), multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=lambda: queue.put(layer(X)[0].tolist()))
    process.start()
    process.join(30)
    if process.is_alive():  # it waits for threads that a fork does not copy
        process.kill()
        raise TimeoutError
    same(torch.tensor(queue.get()), layer(X)[0])


@row("As a module", "weight_norm, orthogonal, spectral_norm, pruning take effect")
def _(cls: Layer) -> None:
    layer = cls(3, 8)
    for change in (parametrizations.weight_norm, parametrizations.orthogonal, parametrizations.spectral_norm):
        change(layer, "weight_hh_l0")
        parametrize.remove_parametrizations(layer, "weight_hh_l0")
    before = layer(X)[0]
    prune.l1_unstructured(layer, "weight_hh_l0", amount=0.9)
    assert not torch.allclose(layer(X)[0], before)


@row("As a module", "weights tied across layers, one trained by the optimiser")
def _(cls: Layer) -> None:
    layer = cls(3, 8, 2)
    layer.weight_hh_l1 = layer.weight_hh_l0
    layer(X)[0].sum().backward()
    torch.optim.SGD(layer.parameters(), 0.1).step()
    layer(X)
