"""What would read the wrong memory or give wrong numbers in silence, each found once and mended."""

import time
import weakref
from concurrent import futures
from typing import Any

import forked
import pytest
import torch
from plans import forget_plans
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter
from torch.nn.utils.rnn import pack_padded_sequence

import elman
from elman.kernels.numba_cpu import allocation, api, at_once, known, rooms
from elman.kernels.numba_cpu.plan.prepared import Prepared
from elman.kernels.numba_cpu.threads import team


def pair(**options: object) -> tuple[elman.RNN, torch.nn.RNN]:
    torch.manual_seed(0)
    ours, theirs = elman.RNN(3, 4, **options), torch.nn.RNN(3, 4, **options)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"])
def test_replaced_parameter_of_another_dtype_or_shape_raises(name: str) -> None:
    for change in (Tensor.half, lambda w: w[:1]):
        for layer in pair():
            setattr(layer, name, Parameter(change(getattr(layer, name).detach())))
            if name.startswith("bias") and isinstance(layer, torch.nn.RNN):
                continue  # torch adds a bias with type promotion and broadcasting
            with pytest.raises((RuntimeError, ValueError)):
                layer(torch.ones(5, 2, 3))


def test_float64_input_for_float32_weights_raises_under_autocast() -> None:
    for layer in pair():
        with torch.autocast("cpu"), pytest.raises(RuntimeError, match="dtype"):
            layer(torch.ones(5, 2, 3, dtype=torch.float64))


DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("weights", DTYPES)
@pytest.mark.parametrize("hx", [None, *DTYPES])
@pytest.mark.parametrize("input", DTYPES)
def test_mixed_dtypes_under_autocast_end_as_torchs(
    input: torch.dtype, hx: torch.dtype | None, weights: torch.dtype
) -> None:
    """The dtype of the result, or the class of the exception."""
    ends: list[object] = []
    for layer in pair(num_layers=2, dtype=weights):
        h0 = None if hx is None else torch.ones(2, 2, 4, dtype=hx)
        with torch.autocast("cpu"):
            try:
                ends.append([y.dtype for y in layer(torch.ones(5, 2, 3, dtype=input), h0)])
            except (RuntimeError, ValueError) as error:
                ends.append((type(error), str(error)[:25]))
    assert ends[0] == ends[1]


def test_gradients_of_the_two_biases_do_not_share_memory() -> None:
    ours, _ = pair()
    output, _ = ours(torch.randn(5, 2, 3))
    b_ih, b_hh = torch.autograd.grad(output.sum(), [ours.bias_ih_l0, ours.bias_hh_l0])
    kept = b_hh.clone()
    b_ih.mul_(2)
    torch.testing.assert_close(b_hh, kept, rtol=0, atol=0)


def test_reset_and_lengths_may_be_reused_before_backward() -> None:
    ours, _ = pair()
    x = torch.randn(5, 2, 3, requires_grad=True)

    def gradients(change: bool) -> list[Tensor]:
        reset, lengths = torch.zeros(5, 2, dtype=torch.bool), torch.tensor([5, 3])
        reset[2] = True
        output, _ = ours(x, reset=reset, lengths=lengths)
        if change:
            reset.fill_(True)
            lengths.fill_(1)
        (d_x,) = torch.autograd.grad(output.sum(), x, create_graph=True)
        return [d_x, *torch.autograd.grad(d_x.pow(2).sum(), ours.parameters())]

    for changed, expected in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(changed, expected)


def test_tangent_of_a_gradient_is_carried() -> None:
    tangents = []
    for layer in pair():
        x = torch.arange(30.0).reshape(5, 2, 3).div(30).requires_grad_()
        output, _ = layer(x)
        with forward_ad.dual_level():
            seed = forward_ad.make_dual(torch.ones_like(output), torch.full_like(output, 0.5))
            (d_x,) = torch.autograd.grad(output, x, seed)
            tangents.append(forward_ad.unpack_dual(d_x).tangent)
    torch.testing.assert_close(*tangents)


def test_negative_bit_of_the_input_is_read() -> None:
    ours, theirs = pair()
    x = torch.randn(5, 2, 3, dtype=torch.complex64).conj().imag
    assert x.is_neg()
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("which", ["input", "hx", "output", "h_n", "weight_hh_l0", "bias_ih_l0"])
def test_zeros_without_memory_are_read_as_zeros(which: str) -> None:
    """torch keeps some zeros of its derivatives as tensors with a shape and the address 0."""
    results = []
    for zeros in (torch._efficientzerotensor, torch.zeros):
        ours, _ = pair()
        given = {
            "input": torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(1)),
            "hx": torch.ones(1, 2, 4),
            "output": torch.ones(5, 2, 4),
            "h_n": torch.ones(1, 2, 4),
        }
        if which in given:
            given[which] = zeros(given[which].shape)
        else:
            setattr(ours, which, Parameter(zeros(getattr(ours, which).shape)))
        output = ours(given["input"], given["hx"])
        wanted = list(ours.parameters())
        results.append([*output, *torch.autograd.grad(output, wanted, (given["output"], given["h_n"]))])
        if which in ("input", "weight_hh_l0"):
            stream = elman.Stream(ours, given["hx"])
            results[-1] += [stream(x) for x in given["input"]]
            torch.testing.assert_close(torch.stack(results[-1][-5:]), output[0].detach())
    torch.testing.assert_close(*results)


def test_first_call_in_a_fork_of_a_process_whose_torch_has_threads_returns() -> None:
    script = """
        import os, torch, elman
        torch.mm(torch.randn(512, 512), torch.randn(512, 512))  # wakes torch's OpenMP team
        child = os.fork()
        if child == 0:
            with torch.no_grad():  # torch's own parallel operators would hang here
                elman.RNN(64, 128)(torch.randn(50, 8, 64))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print("done")
    """
    done = forked.run(script, real=True)
    assert done.stdout == "done\n", done.stderr


def test_compiled_model_runs_and_agrees() -> None:
    script = """
        import torch, elman
        layer, x = elman.RNN(3, 4, 2), torch.randn(5, 2, 3)
        expected = layer(x)
        expected[0].sum().backward()
        gradients = [p.grad.clone() for p in layer.parameters()]
        layer.zero_grad()
        output, h_n = torch.compile(layer, backend="eager")(x)
        output.sum().backward()
        torch.testing.assert_close((output, h_n), expected)
        torch.testing.assert_close([p.grad for p in layer.parameters()], gradients)
        print("done")
    """
    done = forked.run(script)
    assert done.stdout == "done\n", done.stderr


def test_cell_with_one_bias_keeps_it() -> None:
    ours, theirs = elman.RNNCell(3, 4), torch.nn.RNNCell(3, 4)
    theirs.load_state_dict(ours.state_dict())
    for cell in (ours, theirs):
        cell.bias_hh = None
    x = torch.randn(2, 3)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("hidden_size", [4, 200])  # scratch memory that the thread keeps, and of the call's own
def test_the_default_device_is_for_new_tensors_only(hidden_size: int) -> None:
    """A kernel that was given the address of memory on another device would write to address 0."""
    layer, x = elman.RNN(3, hidden_size), torch.randn(5, 2, 3, requires_grad=True)
    lengths, packed = [5, 2], pack_padded_sequence(x, torch.tensor([5, 2]))

    def numbers() -> list[Tensor]:
        output, h_n = layer(x, lengths=lengths)
        with elman.use_backend("reference"):
            other = layer(packed)[0].data
        steps = elman.Stream(layer)(x[0].detach())
        return [output, h_n, other, steps, *torch.autograd.grad(output.sum(), [x, *layer.parameters()])]

    expected = numbers()
    with torch.device("meta"):
        found = numbers()
    torch.testing.assert_close(found, expected)


def test_scratch_memory_lasts_as_long_as_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python ends it clears what threads keep, while a daemon thread may still be in the kernel."""
    layer, x = elman.RNN(3, 5), torch.randn(5, 2, 3)
    expected = layer(x)
    forget_plans()
    prepare, started = known.prepare, []

    def prepared(*arguments: Any, **options: Any) -> Prepared:
        made = prepare(*arguments, **options)

        def start(plan: bytes) -> None:
            kept = weakref.ref(allocation.kept.tensor)
            allocation.kept.__dict__.clear()
            assert kept() is not None
            allocation.kept.tensor = kept()
            started.append(plan)
            made.start(plan)

        return made._replace(start=start)

    for of in (known, api):
        monkeypatch.setattr(of, "prepare", prepared)
    monkeypatch.setattr(at_once, "inside_torch", lambda: None)  # at once, a run has memory of its own
    lengths = torch.tensor([5, 5])
    torch.testing.assert_close([layer(x), layer(x), layer(x, lengths=lengths)], [expected] * 3)
    assert len(started) == 3
    forget_plans()


@pytest.mark.parametrize("which", ["input", "hx", "weight_ih_l0", "bias_hh_l0"])
def test_freed_memory_is_refused_as_by_torch(which: str) -> None:
    """Sharding takes the memory of weights away; the shape stays."""
    ours, theirs = pair()
    stream = elman.Stream(ours)
    stream(torch.ones(2, 3))
    for layer in (theirs, ours):
        given = {"input": torch.ones(5, 2, 3), "hx": torch.ones(1, 2, 4)}
        (given[which] if which in given else getattr(layer, which)).untyped_storage().resize_(0)
        with pytest.raises(RuntimeError, match=r"not allocated|out of bounds for storage"):
            layer(**given)
    if which != "hx":
        x_t = torch.ones(2, 3)
        if which == "input":
            x_t.untyped_storage().resize_(0)
        with pytest.raises(RuntimeError, match="not allocated"):
            stream(x_t)


def test_results_whose_memory_was_not_written_would_be_nan() -> None:
    """Which all tests of the kernels rely on."""
    assert elman.RNN(3, 4)(torch.randn(2, 3, 3))[0].isfinite().all()
    assert rooms.room((2,), torch.float32)().isnan().all()


def test_an_interrupted_run_ends_when_its_threads_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """They compute in its memory."""
    done: list[object] = []
    interrupts = [True, True]

    def kernel(plan: object) -> None:
        time.sleep(0.2)
        done.append(plan)

    def wait(others: Any) -> None:
        if interrupts:
            interrupts.pop()
            raise KeyboardInterrupt
        futures.wait(others)

    monkeypatch.setattr(team, "_parallel", lambda: None)
    monkeypatch.setattr(team, "_function", lambda address: kernel)
    monkeypatch.setattr(team, "wait", wait)
    with pytest.raises(KeyboardInterrupt):
        team._run(0, 3, b"")
    assert len(done) == 3
