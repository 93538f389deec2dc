"""As a module the layer is torch.nn.RNN: parameters, names, order, initial values, state_dict, copies, hooks."""

import copy
import io
import pickle

import pytest
import torch
from cases import CASES, Case, assert_same, run

import elman

PAIRS = [(elman.RNN, torch.nn.RNN), (torch.nn.RNN, elman.RNN)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_parameters_are_torchs_under_a_seed(case: Case) -> None:
    ours, theirs = case.layer(elman.RNN), case.layer(torch.nn.RNN)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    for name, parameter in theirs.named_parameters():
        assert torch.equal(getattr(ours, name), parameter), name
    assert [[tuple(w.shape) for w in layer] for layer in ours.all_weights] == [
        [tuple(w.shape) for w in layer] for layer in theirs.all_weights
    ]
    after = torch.rand(3)
    case.layer(torch.nn.RNN)
    assert torch.equal(torch.rand(3), after), "the layer took another number of random draws"


def test_reset_parameters_draws_as_torch() -> None:
    layers = [CASES[0].layer(cls) for cls in (elman.RNN, torch.nn.RNN)]
    for layer in layers:
        torch.manual_seed(11)
        layer.reset_parameters()
    assert_same(layers[0].state_dict(), layers[1].state_dict())


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_state_dict_goes_both_ways(source: type, target: type) -> None:
    case = CASES[10]
    taught = case.layer(source)
    fresh = target(case.I, case.H, case.L, batch_first=True, bidirectional=True)
    assert str(fresh.load_state_dict(taught.state_dict())) == "<All keys matched successfully>"
    torch.testing.assert_close(fresh(case.input())[0], taught(case.input())[0])


def test_is_a_recurrent_layer_of_torch() -> None:
    """Code that looks for RNNBase, as initialisers and quantisers do, finds the layer."""
    assert issubclass(elman.RNN, torch.nn.RNNBase)
    assert elman.RNN(3, 4).mode == torch.nn.RNN(3, 4).mode
    assert elman.RNN(3, 4, nonlinearity="relu").mode == torch.nn.RNN(3, 4, nonlinearity="relu").mode


ATTRIBUTES = "input_size hidden_size num_layers nonlinearity bias batch_first dropout bidirectional proj_size training"


def test_attributes_are_torchs() -> None:
    arguments = (3, 4, 2, "relu", False, True, 0.25, True)
    ours, theirs = elman.RNN(*arguments), torch.nn.RNN(*arguments)
    for name in ATTRIBUTES.split():
        assert getattr(ours, name) == getattr(theirs, name), name


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
def test_copies_compute_the_same_and_share_nothing(called: bool) -> None:
    case = CASES[13]
    layer, input, h0 = case.layer(elman.RNN), case.input(), case.h0()
    expected = run(layer, input, h0)
    layer = layer if called else case.layer(elman.RNN)
    for name, twin in copies(layer).items():
        assert repr(twin) == repr(layer), name
        assert_same(run(twin, input, h0), expected)
        with torch.no_grad():
            twin.weight_hh_l0.zero_()
        assert_same(run(layer, input, h0), expected)
        assert not torch.equal(twin(input, h0)[0], layer(input, h0)[0]), f"{name}: the copy's own weights are not read"


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


def test_trains_with_torchs_optimisers_as_torch_does() -> None:
    """Twenty steps of Adam end at torch's weights: nothing is read stale, no gradient is lost on the way."""
    case = CASES[11]
    ends = []
    for cls in (elman.RNN, torch.nn.RNN):
        layer, input = case.layer(cls, torch.float64), case.input(torch.float64).detach()
        optimiser = torch.optim.Adam(layer.parameters(), lr=0.01)
        for _ in range(20):
            optimiser.zero_grad()
            output, h_n = layer(input)
            ((output - 0.3).square().mean() + h_n.square().mean()).backward()
            optimiser.step()
        ends.append(layer.state_dict())
    assert_same(ends[0], ends[1])
