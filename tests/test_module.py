"""As a module each layer is torch's: parameters, names, order, initial values, state_dict, copies, hooks."""

import copy
import io
import pickle
from types import ModuleType
from typing import Any

import pytest
import torch
from cases import CASES, EVERY_CELL, Case, assert_same, gated, run, states_of
from torch import Tensor

import elman

PAIRS = [(elman, torch.nn), (torch.nn, elman)]
every_cell = pytest.mark.parametrize("case", EVERY_CELL, ids=lambda case: case.id)


@pytest.mark.parametrize("case", CASES + gated(*CASES), ids=lambda case: case.id)
def test_parameters_are_torchs_under_a_seed(case: Case) -> None:
    ours, theirs = case.layer(elman), case.layer(torch.nn)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    for name, parameter in theirs.named_parameters():
        assert torch.equal(getattr(ours, name), parameter), name
    assert [[tuple(w.shape) for w in layer] for layer in ours.all_weights] == [
        [tuple(w.shape) for w in layer] for layer in theirs.all_weights
    ]
    case.layer(elman)
    after = torch.rand(3)
    case.layer(torch.nn)
    assert torch.equal(torch.rand(3), after), "the layer took another number of random draws"


@every_cell
def test_reset_parameters_draws_as_torch(case: Case) -> None:
    layers = [case.layer(home) for home in (elman, torch.nn)]
    for layer in layers:
        torch.manual_seed(11)
        layer.reset_parameters()
    assert_same(layers[0].state_dict(), layers[1].state_dict())


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=["from elman", "from torch"])
@every_cell
def test_state_dict_goes_both_ways(case: Case, source: ModuleType, target: ModuleType) -> None:
    taught = case.layer(source)
    fresh = getattr(target, case.cell)(**case.arguments)
    assert str(fresh.load_state_dict(taught.state_dict())) == "<All keys matched successfully>"
    torch.testing.assert_close(fresh(case.input())[0], taught(case.input())[0])


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_methods_that_check_and_permute_states_are_torchs(cell: str) -> None:
    ours, theirs = (getattr(home, cell)(3, 4, 2, bidirectional=True, batch_first=True) for home in (elman, torch.nn))
    x, h = torch.randn(2, 5, 3), torch.randn(4, 2, 4)
    hx: Any = (h, h + 1) if cell == "LSTM" else h
    order = torch.tensor([1, 0])
    for each in (ours, theirs):
        each.check_forward_args(x, hx, None)
        with pytest.raises(RuntimeError, match="Expected hidden"):
            each.check_forward_args(x[:1], hx, None)
    torch.testing.assert_close(ours.permute_hidden(hx, order), theirs.permute_hidden(hx, order))
    if cell == "LSTM":
        assert ours.get_expected_cell_size(x, None) == theirs.get_expected_cell_size(x, None)


class LikeATensor:
    """What answers to torch's functions and is no Tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self.dtype, self.device = tensor, tensor.dtype, tensor.device
        self.dim, self.size = tensor.dim, tensor.size

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return function(*(each.tensor if isinstance(each, cls) else each for each in args), **(kwargs or {}))


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_what_is_like_a_tensor_is_taken_as_by_torchs_layer(cell: str) -> None:
    ours, theirs = getattr(elman, cell)(3, 4, 2), getattr(torch.nn, cell)(3, 4, 2)
    theirs.load_state_dict(ours.state_dict())
    x = LikeATensor(torch.randn(5, 2, 3))
    torch.testing.assert_close(ours(x), theirs(x))


def test_is_a_recurrent_layer_of_torch() -> None:
    """Code that looks for RNNBase, as initialisers and quantisers do, finds the layer."""
    for cell in ("RNN", "GRU", "LSTM"):
        ours, theirs = (getattr(home, cell)(3, 4) for home in (elman, torch.nn))
        assert isinstance(ours, torch.nn.RNNBase)
        assert ours.mode == theirs.mode
    assert elman.RNN(3, 4, nonlinearity="relu").mode == torch.nn.RNN(3, 4, nonlinearity="relu").mode


ATTRIBUTES = "input_size hidden_size num_layers bias batch_first dropout bidirectional proj_size training"
POSITIONAL = {
    "RNN": (3, 4, 2, "relu", False, True, 0.25, True),
    "GRU": (3, 4, 2, False, True, 0.25, True),
    "LSTM": (3, 4, 2, False, True, 0.25, True, 2),
}


@pytest.mark.parametrize("cell", POSITIONAL)
def test_attributes_are_torchs(cell: str) -> None:
    ours, theirs = (getattr(home, cell)(*POSITIONAL[cell]) for home in (elman, torch.nn))
    for name in [*ATTRIBUTES.split(), *["nonlinearity"] * (cell == "RNN")]:
        assert getattr(ours, name) == getattr(theirs, name), name
    if cell != "RNN":
        assert repr(ours) == repr(theirs)


@pytest.mark.parametrize(("name", "value"), [("mode", "RNN_RELU"), ("nonlinearity", "relu")])
def test_a_nonlinearity_set_later_is_the_same_everywhere(name: str, value: str) -> None:
    """In the layer, its trace and stream, what torch.jit.script compiles, and torch's layer that it becomes."""
    layer, theirs, x = elman.RNN(3, 4), torch.nn.RNN(3, 4, nonlinearity="relu"), torch.randn(5, 2, 3)
    theirs.load_state_dict(layer.state_dict())
    layer(x)
    setattr(layer, name, value)
    assert (layer.mode, layer.nonlinearity) == (theirs.mode, theirs.nonlinearity)
    expected = theirs(x)[0]
    stream = elman.Stream(layer)
    torch.testing.assert_close(layer(x)[0], expected)
    torch.testing.assert_close(elman.trace(layer, x).output, expected.detach())
    torch.testing.assert_close(torch.stack([*map(stream, x)]), expected.detach())
    torch.testing.assert_close(layer.__prepare_scriptable__()(x)[0], expected)
    elman.to_torch(layer)
    torch.testing.assert_close(layer(x)[0], expected)
    for each in (theirs, elman.RNN(3, 4)):
        each.mode = "GRU"
        with pytest.raises(AssertionError, match="mode must be RNN_TANH or RNN_RELU, got GRU"):
            each(x)


def test_repr_is_torchs_and_adds_the_nonlinearity() -> None:
    assert repr(elman.RNN(10, 20)) == "RNN(10, 20)"
    arguments = {"num_layers": 2, "bias": False, "batch_first": True, "dropout": 0.5, "bidirectional": True}
    assert repr(elman.RNN(10, 20, **arguments)) == repr(torch.nn.RNN(10, 20, **arguments))
    assert "nonlinearity" not in repr(elman.RNN(10, 20, nonlinearity="tanh"))
    assert "nonlinearity=relu" in repr(elman.RNN(10, 20, nonlinearity="relu")).replace("'", "")


def copies(layer: torch.nn.Module) -> dict[str, torch.nn.Module]:
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return {
        "deepcopy": copy.deepcopy(layer),
        "pickle": pickle.loads(pickle.dumps(layer)),
        "torch.save": torch.load(file, weights_only=False),
    }


@pytest.mark.parametrize("called", [False, True], ids=["fresh", "after a call"])
@pytest.mark.parametrize("case", [CASES[13], *gated(CASES[13])], ids=lambda case: case.id)
def test_copies_compute_the_same_and_share_nothing(case: Case, called: bool) -> None:
    layer, input, h0 = case.layer(elman), case.input(), case.hx()
    expected = run(layer, input, h0)
    layer = layer if called else case.layer(elman)
    for name, twin in copies(layer).items():
        assert repr(twin) == repr(layer), name
        assert_same(run(twin, input, h0), expected)
        with torch.no_grad():
            twin.weight_hh_l0.zero_()
        assert_same(run(layer, input, h0), expected)
        assert not torch.equal(twin(input, h0)[0], layer(input, h0)[0]), f"{name}: the copy's own weights are not read"


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM", "LeakyRNN"])
def test_copies_of_a_compiled_layer_compute_with_their_own_weights(cell: str) -> None:
    layer, x = getattr(elman, cell)(3, 4), torch.randn(5, 2, 3)
    layer.compile(backend="eager")
    expected = layer(x)[0]
    for name, twin in copies(layer).items():
        torch.testing.assert_close(twin(x)[0], expected, msg=name)
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.zero_()
        torch.testing.assert_close(twin(x)[0], torch.zeros(5, 2, 4), msg=name)


def test_hooks_see_the_call() -> None:
    case = CASES[0]
    layer, input, h0 = case.layer(elman.RNN), case.input(), case.h0()
    seen = []
    layer.register_forward_pre_hook(lambda module, args: seen.append([tuple(a.shape) for a in args]))
    layer.register_forward_hook(lambda module, args, result: seen.append([tuple(r.shape) for r in result]))
    layer.register_full_backward_hook(lambda module, dx, dy: seen.append([tuple(g.shape) for g in dx]))
    layer(input, h0)[0].sum().backward()
    assert seen == [[(5, 3, 10), (2, 3, 20)], [(5, 3, 20), (2, 3, 20)], [(5, 3, 10), (2, 3, 20)]]


def test_a_hook_on_a_parameter_changes_its_gradient() -> None:
    case = CASES[0]
    layer = case.layer(elman.RNN)
    layer.weight_hh_l0.register_hook(torch.zeros_like)
    layer(case.input())[0].sum().backward()
    assert not layer.weight_hh_l0.grad.any()
    assert layer.weight_hh_l1.grad.any()


def test_moves_between_dtypes() -> None:
    case = CASES[0]
    layer = case.layer(elman.RNN).to(torch.float64)
    expected = case.layer(torch.nn.RNN).to(torch.float64)
    assert_same(
        run(layer, case.input(torch.float64), case.h0(torch.float64)),
        run(expected, case.input(torch.float64), case.h0(torch.float64)),
    )
    assert layer.float()(case.input())[0].dtype == torch.float32


def test_flatten_parameters_changes_nothing() -> None:
    case = CASES[0]
    layer = case.layer(elman.RNN)
    before = run(layer, case.input())
    assert layer.flatten_parameters() is None
    assert_same(run(layer, case.input()), before)


@pytest.mark.parametrize("case", [CASES[11], *gated(CASES[0])], ids=lambda case: case.id)
def test_trains_with_torchs_optimisers_as_torch_does(case: Case) -> None:
    """Twenty steps of Adam end at torch's weights: nothing is read stale, no gradient is lost on the way."""
    ends = []
    for home in (elman, torch.nn):
        layer, input = case.layer(home, torch.float64), case.input(torch.float64).detach()
        optimiser = torch.optim.Adam(layer.parameters(), lr=0.01)
        for _ in range(20):
            optimiser.zero_grad()
            output, last = layer(input)
            ((output - 0.3).square().mean() + sum(state.square().mean() for state in states_of(last))).backward()
            optimiser.step()
        ends.append(layer.state_dict())
    assert_same(ends[0], ends[1])
