"""The layer inside other things, each the real one: data parallelism, sharding, checkpoints, quantisers, trainers."""

import io
import textwrap
from pathlib import Path

import forked
import numpy as np
import pytest
import skorch
import torch
import torchinfo
from cases import CASES, assert_same, run
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

import elman

DTYPE = torch.float64


def test_torchinfo_counts_the_layer() -> None:
    arguments = dict(input_size=(4, 10, 10), verbose=0)
    ours, theirs = (torchinfo.summary(cls(10, 1, 1), **arguments) for cls in (elman.RNN, nn.RNN))
    assert ours.total_params == theirs.total_params == 13
    assert ours.total_mult_adds == theirs.total_mult_adds
    assert str(ours) == str(theirs)


class Classifier(nn.Module):
    """What skorch is given: it builds the module itself."""

    def __init__(self, cls: type = elman.RNN) -> None:
        super().__init__()
        self.rnn = cls(2, 8, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, input: Tensor) -> Tensor:
        return self.head(self.rnn(input)[1][-1]).softmax(-1)


def test_skorch_trains_it_as_torchs() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(64, 7, 2)).astype("float32")
    y = (X.sum((1, 2)) > 0).astype("int64")
    losses = []
    for cls in (elman.RNN, nn.RNN):
        torch.manual_seed(0)
        net = skorch.NeuralNetClassifier(
            Classifier, module__cls=cls, max_epochs=12, lr=0.05, optimizer=torch.optim.Adam, train_split=None, verbose=0
        )
        net.fit(X, y)
        losses.append(net.history[:, "train_loss"])
    np.testing.assert_allclose(*losses, rtol=1e-3)
    assert losses[0][-1] < 0.5 * losses[0][0]


def in_two_processes(body: str, tmp_path: Path) -> None:
    """Runs code in two processes of one gloo group, in which `rank` is 0 and 1; it must end by itself."""
    script = textwrap.dedent(
        """
        import sys, torch, elman, torch.distributed as dist
        from torch import nn
        rank = int(sys.argv[1])
        dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
        torch.manual_seed(0)
        layer = elman.RNN(3, 8, 2, bidirectional=True, dtype=torch.float64)
        alone = nn.RNN(3, 8, 2, bidirectional=True, dtype=torch.float64)
        alone.load_state_dict(layer.state_dict())
        input = torch.randn(5, 4, 3, dtype=torch.float64)
        half = input[:, 2 * rank : 2 * rank + 2]
        alone(input)[0].square().mean().backward()
        """
    )
    script += textwrap.dedent(body) + "\ndist.destroy_process_group()\nprint('done')\n"
    environment = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    workers = [forked.Program(script, rank, tmp_path / "group", real=True, **environment) for rank in range(2)]
    for worker in workers:
        done = worker.end()
        assert done.stdout.strip().endswith("done"), done.stderr


def test_ddp_gives_the_gradients_of_the_joint_batch(tmp_path: Path) -> None:
    in_two_processes(
        """
        ddp = nn.parallel.DistributedDataParallel(layer)
        ddp(half)[0].square().mean().backward()
        for name, p in alone.named_parameters():
            torch.testing.assert_close(layer.get_parameter(name).grad, p.grad)
        """,
        tmp_path,
    )


def test_fully_shard_gives_the_gradients_of_the_joint_batch(tmp_path: Path) -> None:
    in_two_processes(
        """
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard
        fully_shard(layer, mesh=init_device_mesh("cpu", (2,)))
        layer(half)[0].square().mean().backward()
        for name, p in alone.named_parameters():
            shard = layer.get_parameter(name)
            assert shard.to_local().numel() < p.numel(), "each process holds a part"
            torch.testing.assert_close(shard.grad.full_tensor(), p.grad)
        """,
        tmp_path,
    )


def test_weights_are_saved_and_loaded_without_code() -> None:
    """torch.save of a state_dict, read with weights_only=True, in both directions."""
    case = CASES[10]
    for source, target in ((elman.RNN, nn.RNN), (nn.RNN, elman.RNN)):
        file = io.BytesIO()
        taught, fresh = case.layer(source), case.layer(target)
        with torch.no_grad():
            taught.weight_hh_l0.mul_(0.5)
        torch.save(taught.state_dict(), file)
        file.seek(0)
        fresh.load_state_dict(torch.load(file, weights_only=True))
        assert_same(run(fresh, case.input(), case.h0()), run(taught, case.input(), case.h0()))


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoint_in_a_model(reentrant: bool) -> None:
    results = []
    for cls in (elman.RNN, nn.RNN):
        layer, input = CASES[0].layer(cls, DTYPE), CASES[0].input(DTYPE)
        output = torch.utils.checkpoint.checkpoint(lambda x, layer=layer: layer(x)[0], input, use_reentrant=reentrant)
        names, tensors = zip(*({"x": input} | dict(layer.named_parameters())).items(), strict=True)
        output.square().sum().backward()
        results.append({name: t.grad for name, t in zip(names, tensors, strict=True)})
    assert_same(*results)


def test_converted_model_keeps_what_was_done_to_it() -> None:
    """Pruning, a norm, an orthogonal and a spectral norm on torch's layers, then convert: training goes on the same."""
    ends = []
    for converts in (False, True):
        torch.manual_seed(0)
        model = nn.ModuleList([nn.RNN(3, 4, dtype=DTYPE), nn.RNN(4, 4, dtype=DTYPE), nn.RNN(4, 4, dtype=DTYPE)])
        prune.l1_unstructured(model[0], "weight_hh_l0", amount=0.5)
        parametrizations.weight_norm(model[0], "weight_ih_l0")
        parametrizations.orthogonal(model[1], "weight_hh_l0")
        parametrizations.spectral_norm(model[2], "weight_hh_l0").eval()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        if converts:
            assert len(elman.convert(model).converted) == 3
        for _ in range(3):
            optimiser.zero_grad()
            x = torch.ones(5, 2, 3, dtype=DTYPE)
            for layer in model:
                x, _ = layer(x)
            x.square().sum().backward()
            optimiser.step()
        ends.append(model.state_dict())
    assert_same(*ends)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize_per_tensor:UserWarning")
@pytest.mark.parametrize("name", ["RNNCell", "GRUCell", "LSTMCell", "GRU", "LSTM"])
def test_dynamic_quantisation_is_torchs(name: str) -> None:
    """torch's quantiser looks for torch's classes. It leaves elman's, which says so, and takes them after to_torch."""
    model = nn.ModuleDict({"rnn": getattr(elman, name)(3, 4), "head": nn.Linear(4, 2)})
    x = torch.ones(2, 3) if "Cell" in name else torch.ones(5, 2, 3)
    with pytest.warns(UserWarning, match=rf"leaves elman.{name} as it is. Call elman.to_torch\(model\) first"):
        quantised = torch.ao.quantization.quantize_dynamic(model)
    assert type(quantised["rnn"]) is getattr(elman, name)
    assert "quantized" in type(quantised["head"]).__module__
    torch.testing.assert_close(quantised["rnn"](x), model["rnn"](x))
    assert elman.to_torch(model).converted == ["rnn"]
    quantised = torch.ao.quantization.quantize_dynamic(model)
    assert "quantized" in type(quantised["rnn"]).__module__
    torch.testing.assert_close(quantised["rnn"](x), model["rnn"](x), rtol=0, atol=0.05)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize_per_tensor:UserWarning")
@pytest.mark.parametrize("name", ["RNNCell", "GRUCell", "LSTMCell", "GRU", "LSTM"])
def test_convert_leaves_and_names_quantised_layers(name: str) -> None:
    """Dynamic ones are no nn.RNNBase; those of torch's reference are."""
    model = nn.ModuleDict({"rnn": getattr(nn, name)(3, 4), "head": nn.Linear(4, 2)})
    dynamic = torch.ao.quantization.quantize_dynamic(model)
    qparams = {"qscheme": torch.per_tensor_affine, "dtype": torch.quint8, "scale": 1.0, "zero_point": 0}
    options = {"weight_qparams_dict": {key: dict(qparams, is_decomposed=False) for key in _weights(model["rnn"])}}
    options["weight_qparams_dict"]["is_decomposed"] = False
    reference = getattr(torch.ao.nn.quantized.reference, name)(3, 4, **options)
    for quantised in (dynamic, nn.ModuleDict({"rnn": reference})):
        layer = quantised["rnn"]
        done = elman.convert(quantised)
        assert done.converted == []
        assert done.left == {"rnn": f"torch's {name} for quantization: convert the model as it was before"}
        assert quantised["rnn"] is layer
        assert elman.to_torch(quantised).left == {}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_layer_for_quantization_is_said_once_and_not_its_cells() -> None:
    model = nn.ModuleDict({"rnn": torch.ao.nn.quantizable.LSTM(3, 4, 2, bidirectional=True), "head": nn.GRU(4, 2)})
    done = elman.convert(model)
    assert done.converted == ["head"]
    assert done.left == {"rnn": "torch's LSTM for quantization: convert the model as it was before"}


def _weights(layer: nn.Module) -> list[str]:
    return [key for key, _ in layer.named_parameters() if key.startswith("weight")]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize_per_tensor:UserWarning")
def test_dynamic_quantisation_leaves_the_layer_as_it_leaves_torchs() -> None:
    """Without a word where others are quantised, and with one where the layer was asked for."""
    input = torch.randn(5, 2, 3)
    for cls in (elman.RNN, nn.RNN):
        model = nn.ModuleDict({"rnn": cls(3, 4), "head": nn.Linear(4, 2)})
        quantised = torch.ao.quantization.quantize_dynamic(model)
        assert type(quantised["rnn"]) is cls
        assert "quantized" in type(quantised["head"]).__module__
        torch.testing.assert_close(quantised["rnn"](input), model["rnn"](input))
    model = nn.ModuleDict({"rnn": elman.RNN(3, 4)})
    with pytest.warns(UserWarning, match="quantization has no form of RNN: it leaves torch.nn.RNN as it is"):
        quantised = torch.ao.quantization.quantize_dynamic(model, {elman.RNN})
    torch.testing.assert_close(quantised["rnn"](input), model["rnn"](input))


@pytest.mark.filterwarnings("ignore")  # torchao's own
def test_torchao_quantises_around_the_layer() -> None:
    quantization = pytest.importorskip("torchao.quantization")
    results = []
    for cls in (elman.RNN, nn.RNN):
        torch.manual_seed(0)
        model = nn.ModuleDict({"rnn": cls(3, 16), "head": nn.Linear(16, 2)})
        quantization.quantize_(model, quantization.Int8WeightOnlyConfig())
        assert type(model["head"].weight) is not nn.Parameter
        results.append(model["head"](model["rnn"](torch.ones(5, 2, 3))[0]))
    torch.testing.assert_close(*results)
