"""On a GPU: the layers' numbers are torch's there, and what torch's layers do not have is what it is on the CPU.

Skipped where there is none. float64 throughout, since cuDNN's float32 may be TensorFloat-32.
"""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import CASES, Case, assert_same, gated, run, states_of
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import elman

GPU = "cuda"

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

PLAIN = [case for case in CASES if case.H < 512]
EVERY = [*PLAIN, *gated(*PLAIN[7:14])]
FEW = [CASES[10], *gated(CASES[10])]


@pytest.fixture(autouse=True)
def as_by_default(fresh_state: None) -> None:
    """cuBLAS has no deterministic way unless the environment gives it memory for one."""
    torch.use_deterministic_algorithms(False)


def there(tensors: Any, device: str | torch.device = GPU) -> Any:
    """The same leaves on a device."""
    if isinstance(tensors, tuple):
        return tuple(there(t, device) for t in tensors)
    return tensors.detach().to(device).requires_grad_(tensors.requires_grad)


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.id)
def test_numbers_are_torchs(case: Case) -> None:
    input, hx = there(case.input(torch.float64)), there(case.hx(torch.float64))
    layer, theirs = (case.layer(home, torch.float64).to(GPU) for home in (elman, torch.nn))
    assert_same(run(layer, input, hx), run(theirs, input, hx))


@pytest.mark.parametrize("case", FEW, ids=lambda case: case.id)
def test_float32_is_torchs_own(case: Case) -> None:
    """The same operators: cuDNN's, with whatever precision it was told to have."""
    layer, theirs = case.layer(elman).to(GPU), case.layer(torch.nn).to(GPU)
    input, hx = there(case.input()), there(case.hx())
    torch.testing.assert_close(layer(input, hx), theirs(input, hx), rtol=0, atol=0)


def values(results: Any) -> tuple[torch.Tensor, ...]:
    """output, of a PackedSequence its rows, and the last states."""
    output, last = results
    return (output.data if isinstance(output, PackedSequence) else output, *states_of(last))


def loss_of(results: Any) -> torch.Tensor:
    """Something that depends on every number of the results."""
    output, *last = values(results)
    return output.square().sum() + sum(state.sin().sum() for state in last)


def gradients(layer: torch.nn.Module, call: Callable[[torch.nn.Module], Any]) -> list[torch.Tensor]:
    """Of `loss_of` what a layer's call gives, for every parameter; on the CPU."""
    layer.zero_grad()
    loss_of(call(layer)).backward()
    return [p.grad.cpu().clone() for p in layer.parameters()]


def assert_as_on_the_cpu(layer: torch.nn.Module, call: Callable[[torch.nn.Module], Any]) -> None:
    """What the call gives and every parameter's gradient are on the GPU what they are on the CPU."""
    moved = copy.deepcopy(layer).to(GPU)
    for device, results in ((GPU, call(moved)), ("cpu", call(layer))):
        assert all(t.device.type == device for t in values(results))
    seen, expected = ([t.cpu() for t in [*values(call(on)), *gradients(on, call)]] for on in (moved, layer))
    torch.testing.assert_close(seen, expected)


@pytest.mark.parametrize("way", ["dense", "lengths", "reset", "both", "packed"])
@pytest.mark.parametrize("case", FEW, ids=lambda case: case.id)
def test_lengths_and_resets_are_the_cpus(case: Case, way: str) -> None:
    layer, input, hx = case.layer(elman, torch.float64), case.input(torch.float64), case.hx(torch.float64)
    lengths = torch.randint(1, case.T + 1, (case.N,))
    reset = torch.rand(case.N, case.T) < 0.3

    def call(layer: torch.nn.Module) -> Any:
        device = next(layer.parameters()).device
        x, states = there(input, device), there(hx, device)
        if way == "packed":
            return layer(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False), states)
        told = {"lengths": lengths} if way in ("lengths", "both") else {}
        return layer(x, states, **told, **({"reset": reset.to(device)} if way in ("reset", "both") else {}))

    assert_as_on_the_cpu(layer, call)


@pytest.mark.parametrize("form", ["activation", "potential"])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu", "sigmoid", "softplus", "retanh"])
def test_leaky_layers_are_the_cpus(form: str, nonlinearity: str) -> None:
    layer = elman.LeakyRNN(
        3, 6, nonlinearity=nonlinearity, form=form, learn_leak=True, bidirectional=True, dtype=torch.float64
    )
    x, drive = torch.randn(9, 4, 3, dtype=torch.float64), torch.randn(2, 9, 4, 6, dtype=torch.float64)

    def call(layer: torch.nn.Module) -> Any:
        device = next(layer.parameters()).device
        return layer(x.to(device), lengths=torch.tensor([9, 4, 0, 7]), drive=drive.to(device))

    assert_as_on_the_cpu(layer, call)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM", "LeakyRNN"])
def test_streams_and_cells_are_the_layer(cell: str) -> None:
    layer = getattr(elman, cell)(3, 5, dtype=torch.float64, device=GPU).eval()
    x = torch.randn(6, 4, 3, dtype=torch.float64, device=GPU)
    with torch.no_grad():
        expected, last = layer(x)
        stream = elman.Stream(layer)
        torch.testing.assert_close(torch.stack([stream(x_t) for x_t in x]), expected)
        single = getattr(elman, f"{cell}Cell")(3, 5, dtype=torch.float64, device=GPU)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(single, name).copy_(getattr(layer, f"{name}_l0"))
        state = None
        for x_t in x:
            state = single(x_t, state)
    for seen, value in zip(states_of(state), states_of(last), strict=True):
        torch.testing.assert_close(seen, value[0])


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM", "LeakyRNN"])
def test_masks_and_noise_are_drawn_on_the_gpu(cell: str) -> None:
    """From the GPU's generator: under its seed the same again, and otherwise others."""
    own = {"noise": 0.3} if cell == "LeakyRNN" else {}
    layer = getattr(elman, cell)(3, 64, 2, dropout=0.4, recurrent_dropout=0.3, zoneout=0.2, device=GPU, **own)
    x = torch.randn(7, 5, 3, device=GPU)
    torch.manual_seed(5)
    first = layer(x)[0]
    other = layer(x)[0]
    torch.manual_seed(5)
    torch.testing.assert_close(layer(x)[0], first, rtol=0, atol=0)
    assert (first - other).abs().mean() > 1e-3
    layer.eval()
    if cell != "LeakyRNN":
        torch.testing.assert_close(layer(x)[0], layer(x)[0], rtol=0, atol=0)


def test_dropout_drops_its_share() -> None:
    layer = elman.RNN(2, 400, 2, dropout=0.25, nonlinearity="relu", device=GPU, dtype=torch.float64)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.bias_ih_l0.fill_(1.0)
        layer.weight_ih_l1.copy_(torch.eye(400))
        output = layer(torch.randn(50, 20, 2, device=GPU, dtype=torch.float64))[0]
    assert set(output.unique().tolist()) == {0.0, 1 / 0.75}
    assert abs((output == 0).double().mean().item() - 0.25) < 0.01


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("RNN", {"nonlinearity": "relu"}),
        ("GRU", {"bias": False}),
        ("LSTM", {"bidirectional": True, "proj_size": 2}),
    ],
)
@pytest.mark.parametrize("way", ["dropout", "others' weights", "packed"])
def test_weights_that_are_not_in_one_piece(cell: str, options: dict[str, Any], way: str) -> None:
    """Those of one layer of several, and those that a call brings along: copied, without torch's warning."""
    layer = getattr(elman, cell)(3, 5, 3, dropout=0.4 if way == "dropout" else 0.0, dtype=torch.float64, **options)
    layer.to(GPU)
    x = torch.randn(6, 4, 3, dtype=torch.float64, device=GPU, requires_grad=True)
    own = dict(layer.named_parameters())
    others = own if way == "dropout" else {name: p.detach().clone().requires_grad_() for name, p in own.items()}

    def found(backend: str) -> list[torch.Tensor]:
        torch.manual_seed(7)
        given = pack_padded_sequence(x, [6, 4, 3, 1]) if way == "packed" else x
        with elman.use_backend(backend):
            results = values(torch.func.functional_call(layer, others, (given,)))
        total = torch.stack([(result * result.cos()).sum() for result in results]).sum()
        return [*results, *torch.autograd.grad(total, [x, *others.values()])]

    for seen, value in zip(found("torch"), found("reference"), strict=True):
        torch.testing.assert_close(seen, value)


@pytest.mark.parametrize("case", FEW, ids=lambda case: case.id)
def test_transforms_are_the_cpus(case: Case) -> None:
    layer, input = case.layer(elman, torch.float64), case.input(torch.float64)
    parameters = {name: p.detach() for name, p in layer.named_parameters()}
    x = input.detach()

    def loss(parameters: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        return loss_of(torch.func.functional_call(layer, parameters, (x,)))

    def found(device: str) -> list[Any]:
        own, given = {name: p.to(device) for name, p in parameters.items()}, x.to(device)
        layer.to(device)
        each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(own, given.unsqueeze(1))
        along = torch.func.jvp(lambda x: loss(own, x), (given,), (given.cos(),))
        twice = torch.func.grad(lambda x: torch.func.grad(loss, argnums=1)(own, x).square().sum())(given)
        return [*each.values(), *along, twice]

    expected = [t.detach() for t in found("cpu")]
    for seen, value in zip(found(GPU), expected, strict=True):
        torch.testing.assert_close(seen.cpu(), value)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM", "LeakyRNN"])
def test_second_derivatives(cell: str) -> None:
    """Of which cuDNN has none, and says so; elman's plain operators have them."""
    layer = getattr(elman, cell)(2, 3, dtype=torch.float64, device=GPU)
    x = torch.randn(3, 2, 2, dtype=torch.float64, device=GPU, requires_grad=True)
    if cell != "LeakyRNN":
        (slope,) = torch.autograd.grad(layer(x)[0].square().sum(), x, create_graph=True)
        with pytest.raises(NotImplementedError, match="Double backwards is not supported for CuDNN"):
            slope.sum().backward()
    with elman.use_backend("reference"):
        assert torch.autograd.gradgradcheck(lambda x: layer(x)[0], (x,))


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM", "LeakyRNN"])
@pytest.mark.parametrize("way", ["plain", "lengths", "reset"])
def test_compiled_is_eager(cell: str, way: str) -> None:
    torch._dynamo.reset()
    layer = getattr(elman, cell)(3, 5, dtype=torch.float64, device=GPU)
    x = torch.randn(6, 4, 3, dtype=torch.float64, device=GPU)
    told = {
        "plain": {},
        "lengths": {"lengths": torch.tensor([6, 2, 4, 1])},
        "reset": {"reset": torch.rand(6, 4, device=GPU) < 0.3},
    }[way]
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    expected = gradients(layer, lambda layer: layer(x, **told))
    torch.testing.assert_close(compiled(x, **told), layer(x, **told))
    layer.zero_grad()
    loss_of(compiled(x, **told)).backward()
    for parameter, value in zip(layer.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad.cpu(), value)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_autocast_is_torchs(cell: str, dtype: torch.dtype) -> None:
    layer = getattr(elman, cell)(8, 16, 2, device=GPU)
    theirs = copy.deepcopy(layer)
    elman.to_torch(theirs)
    x = torch.randn(6, 4, 8, device=GPU)
    with torch.autocast(GPU, dtype):
        found, expected = layer(x), theirs(x)
    assert found[0].dtype is expected[0].dtype
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_converted_models_keep_their_device(cell: str) -> None:
    model = torch.nn.Sequential(getattr(torch.nn, cell)(3, 5)).to(GPU)
    x = torch.randn(6, 4, 3, device=GPU)
    expected = model(x)
    elman.convert(model)
    assert isinstance(model[0], getattr(elman, cell))
    torch.testing.assert_close(model(x), expected, rtol=0, atol=0)


def test_the_kernels_refuse_a_gpu() -> None:
    layer = elman.RNN(3, 5, device=GPU)
    x = torch.randn(6, 4, 3, device=GPU)
    with elman.use_backend("numba"), pytest.raises(RuntimeError, match="cuda"):
        layer(x)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM", "LeakyRNN"])
def test_tensors_of_two_devices_are_refused(cell: str) -> None:
    layer = getattr(elman, cell)(3, 5)
    x = torch.randn(6, 4, 3)
    for wrong in (lambda: layer(x.to(GPU)), lambda: copy.deepcopy(layer).to(GPU)(x)):
        with pytest.raises((RuntimeError, ValueError), match=r"device|cuda"):
            wrong()


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_a_model_moved_between_forward_and_backward(cell: str) -> None:
    """The gradients are of what forward saw, on whose device they are."""
    layer = getattr(elman, cell)(3, 5, dtype=torch.float64)
    x = torch.randn(6, 4, 3, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(layer(x)[0].square().sum(), x)
    loss = layer(x)[0].square().sum()
    layer.to(GPU)
    (found,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close(found, expected)


def test_a_trained_gpu_model_is_the_cpus() -> None:
    """Twenty steps of Adam from the same weights, on either device."""

    def trained(device: str) -> list[torch.Tensor]:
        torch.manual_seed(3)
        layer = elman.GRU(4, 12, dtype=torch.float64)
        x = torch.randn(10, 6, 4, dtype=torch.float64).to(device)
        layer.to(device)
        adam = torch.optim.Adam(layer.parameters(), lr=0.01)
        for _ in range(20):
            adam.zero_grad()
            loss_of(layer(x)).backward()
            adam.step()
        return [p.detach().cpu() for p in layer.parameters()]

    for seen, value in zip(trained(GPU), trained("cpu"), strict=True):
        torch.testing.assert_close(seen, value)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM", "LeakyRNN"])
def test_a_trace_is_made_on_the_cpu(cell: str) -> None:
    layer = getattr(elman, cell)(3, 5, dtype=torch.float64)
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    expected, found = elman.trace(layer, x), elman.trace(copy.deepcopy(layer).to(GPU), x.to(GPU))
    assert found.h_n.device.type == "cpu"
    torch.testing.assert_close(found.h_n, expected.h_n)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_the_weights_lie_in_one_piece_as_cudnn_wants_them(cell: str) -> None:
    """torch warns of others, and copies them at every call. Whichever way a layer got there."""
    x = torch.randn(6, 4, 3, device=GPU)
    made = getattr(elman, cell)(3, 5, 2, bidirectional=True, device=GPU)
    moved = getattr(elman, cell)(3, 5, 2, bidirectional=True).to(GPU)
    converted = getattr(torch.nn, cell)(3, 5, 2, bidirectional=True).to(GPU)
    elman.convert(converted)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for layer in (made, moved, converted):
            loss_of(layer(x)).backward()
            torch.optim.SGD(layer.parameters(), 0.1).step()
            layer(x)
            assert len({p.untyped_storage().data_ptr() for p in layer.parameters()}) == 1
