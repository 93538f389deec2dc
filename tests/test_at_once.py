"""Steps and runs that machine code takes at once are those that Python takes, to the last bit; what is not as it was is
left to Python, and nothing that they are given or make is kept or lost."""

import contextlib
import copy
import gc
import os
import subprocess
import sys
import threading
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import elman
from elman.call import usual
from elman.kernels.numba_cpu import at_once, inside_torch, native_functions
from elman.kernels.numba_cpu import stream as steps
from elman.kernels.numba_cpu.known import Known
from elman.kernels.numba_cpu.threads.company import company

LAYERS: dict[str, Callable[..., Any]] = {
    "RNN": lambda **more: elman.RNN(3, 5, **more),
    "RNN relu, two layers": lambda **more: elman.RNN(3, 5, 2, nonlinearity="relu", **more),
    "GRU without biases": lambda **more: elman.GRU(3, 5, bias=False, **more),
    "GRU, two layers": lambda **more: elman.GRU(3, 5, 2, **more),
    "LSTM": lambda **more: elman.LSTM(3, 5, **more),
    "LSTM projected": lambda **more: elman.LSTM(3, 5, 2, proj_size=2, **more),
}
WITH_TERMS: dict[str, Callable[..., Any]] = {
    "GRU with zoneout": lambda **more: elman.GRU(3, 5, zoneout=0.3, **more).eval(),
    "LeakyRNN": lambda **more: elman.LeakyRNN(3, 5, 2, **more),
    "potential, a leak a unit": lambda **more: elman.LeakyRNN(
        3, 5, form="potential", leak=[0.1, 0.2, 0.3, 0.4, 0.5], learn_leak=True, **more
    ),
}
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


@contextlib.contextmanager
def by_python() -> Iterator[None]:
    """Machine code knows nothing of this torch."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (at_once, steps):
            patch.setattr(module, "inside_torch", lambda: None)
        usual._before.cache_clear()
        yield
    usual._before.cache_clear()


def armed(layer: Any, *shape: int) -> tuple[elman.Stream, Tensor]:
    """A stream whose next step is machine code's, and its input."""
    stream, x = elman.Stream(layer), torch.randn(*shape, dtype=layer.weight_ih_l0.dtype)
    for _ in range(3):
        stream(x)
    assert at_once_of(stream) is not None
    return stream, x


def at_once_of(stream: elman.Stream) -> Any:
    """The next step, if machine code may take it."""
    return None if stream._steps is None else stream._steps.at_once


@DTYPES
@pytest.mark.parametrize("shape", [(3,), (1, 3), (4, 3)], ids=str)
@pytest.mark.parametrize("make", (LAYERS | WITH_TERMS).values(), ids=LAYERS | WITH_TERMS)
def test_steps_have_the_bits_of_pythons(make: Callable[..., Any], shape: tuple[int, ...], dtype: torch.dtype) -> None:
    layer, xs = make(dtype=dtype), torch.randn(12, *shape, dtype=dtype)
    stream, found = elman.Stream(layer), []
    for k, x in enumerate(xs):
        found.append(stream(x))
        if k > 1:
            assert at_once_of(stream) is not None
            found[-1] = found[-1] + 0 * stream(x)  # a step more, of the same input
    with by_python():
        other = elman.Stream(layer)
        expected = [other(x) if k < 2 else other(x) + 0 * other(x) for k, x in enumerate(xs)]
        assert at_once_of(other) is None
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert [*map(torch.equal, _states(stream), _states(other))] == [True] * len(_states(other))
    assert len({y.data_ptr() for y in found}) == len(found)
    assert found[-1].shape == expected[-1].shape
    assert found[-1].is_contiguous()
    assert not found[-1].requires_grad


def _states(stream: elman.Stream) -> tuple[Tensor, ...]:
    state = stream.state
    assert state is not None
    return state if isinstance(state, tuple) else (state,)


def _of_parameter(change: Callable[[Parameter], object]) -> Callable[[Any], object]:
    return lambda layer: change(layer.weight_hh_l0)


def _replaced(layer: Any) -> None:
    layer.weight_hh_l0 = Parameter(layer.weight_hh_l0.detach().clone())


CHANGES: dict[str, Callable[[Any], object]] = {
    "written to": _of_parameter(lambda w: torch.no_grad()(w.add_)(0)),
    "other data": _of_parameter(lambda w: setattr(w, "data", w.data.clone())),
    "replaced": _replaced,
    "put into the flat weights": lambda layer: layer._flat_weights.__setitem__(1, layer.weight_hh_l0.detach().clone()),
    "loaded": lambda layer: layer.load_state_dict(layer.state_dict()),
    "stepped": lambda layer: _step(layer),
    "training": lambda layer: layer.eval(),
    "dropout": lambda layer: setattr(layer, "dropout", 0.5),
    "nonlinearity": lambda layer: setattr(layer, "nonlinearity", "relu"),
    "mode": lambda layer: setattr(layer, "mode", "RNN_RELU"),
    "zoneout": lambda layer: setattr(layer, "zoneout", 0.5),
    "recurrent dropout": lambda layer: setattr(layer, "recurrent_dropout", 0.5),
    "threads": lambda layer: torch.set_num_threads(3 - torch.get_num_threads()),
    "a parameter less": lambda layer: delattr(layer, "bias_hh_l0"),
}


def _step(layer: Any) -> None:
    layer.weight_hh_l0.grad = torch.zeros_like(layer.weight_hh_l0)
    torch.optim.SGD(layer.parameters(), 0.1).step()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_step_is_pythons_where_the_layer_is_another(change: Callable[[Any], object]) -> None:
    torch.set_num_threads(2)
    stream, x = armed(elman.RNN(3, 5), 2, 3)
    before, step = stream.state, at_once_of(stream)
    assert step is not None
    assert isinstance(before, Tensor)
    change(stream._rnn)
    assert step(x) is None
    assert torch.equal(before, stream.state)  # type: ignore[arg-type]


OF_A_LEAK: dict[str, Callable[[Any], object]] = {
    "leak": lambda layer: layer.leak_units.mul_(0.5),
    "noise": lambda layer: setattr(layer, "noise", 0.1),
    "form": lambda layer: setattr(layer, "form", "potential"),
}


@pytest.mark.parametrize("change", OF_A_LEAK.values(), ids=OF_A_LEAK)
def test_a_step_is_pythons_where_the_leak_is_another(change: Callable[[Any], object]) -> None:
    stream, x = elman.Stream(elman.LeakyRNN(3, 5, leak=[0.1, 0.2, 0.3, 0.4, 0.5])), torch.randn(2, 3)
    for _ in range(4):
        stream(x)
    step = at_once_of(stream)
    assert step(x) is not None
    change(stream._rnn)
    assert step(x) is None


def test_terms_that_a_step_is_given_are_its_own() -> None:
    layer, x = elman.LeakyRNN(3, 5), torch.randn(2, 3)
    stream, found = elman.Stream(layer), []
    for k in range(20):
        found.append(stream(x, leak=0.9, drive=torch.ones(2, 5)) if k in (6, 12, 13) else stream(x))
        assert (at_once_of(stream) is None) == (k in (0, 6, 7, 12, 13, 14)), k
    with by_python():
        other = elman.Stream(layer)
        expected = [other(x, leak=0.9, drive=torch.ones(2, 5)) if k in (6, 12, 13) else other(x) for k in range(20)]
    assert all(map(torch.equal, found, expected))


@contextlib.contextmanager
def _in_a_dispatch_mode() -> Iterator[None]:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False):
        yield


MOMENTS: dict[str, Callable[[], Any]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "a dispatch mode": _in_a_dispatch_mode,
    "forward differentiation": torch.autograd.forward_ad.dual_level,
    "another backend": lambda: elman.use_backend("torch"),
    "inference mode": torch.inference_mode,
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_step_is_pythons_where_the_moment_is_another(moment: Callable[[], Any]) -> None:
    stream, x = armed(elman.GRU(3, 5), 2, 3)
    step = at_once_of(stream)
    assert step is not None
    with moment():
        assert step(x) is None
    assert step(x) is not None


def test_a_step_is_pythons_under_vmap() -> None:
    stream, _x = armed(elman.GRU(3, 5), 2, 3)
    step, found = at_once_of(stream), []
    assert step is not None

    def of_each(x: Tensor) -> Tensor:
        found.append(step(x))
        return x

    torch.vmap(of_each)(torch.randn(4, 2, 3))
    assert found == [None]


INPUTS: dict[str, Any] = {
    "another batch": torch.randn(3, 3),
    "another width": torch.randn(2, 4),
    "an axis more": torch.randn(1, 2, 3),
    "another dtype": torch.randn(2, 3, dtype=torch.float64),
    "another order": torch.randn(3, 2).t(),
    "asking for a gradient": torch.randn(2, 3, requires_grad=True),
    "a Parameter": Parameter(torch.randn(2, 3)),
    "negated": torch.randn(2, 3, dtype=torch.complex64).conj().imag,
    "sparse": torch.randn(2, 3).to_sparse(),
    "without memory": torch.randn(2, 3, device="meta"),
    "a list": [[1.0, 2.0, 3.0]],
    "None": None,
}


@pytest.mark.parametrize("x", INPUTS.values(), ids=INPUTS)
def test_a_step_is_pythons_where_the_input_is_another(x: Any) -> None:
    stream, usual_x = armed(elman.LSTM(3, 5), 2, 3)
    step = at_once_of(stream)
    assert step is not None
    assert step(x) is None
    assert step(usual_x) is not None


def test_an_input_has_its_memory_in_that_of_more_or_is_refused() -> None:
    stream, x = armed(elman.RNN(3, 5), 2, 3)
    more = torch.randn(4, 3)
    step, expected = at_once_of(stream), elman.Stream(stream._rnn)(more[2:].clone())
    stream.reset()
    stream(x)
    stream.state = torch.zeros(1, 2, 5)
    assert torch.equal(stream(more[2:]), expected)
    assert step is not None
    assert step(more[2:]) is not None
    x.untyped_storage().resize_(8)
    assert step(x) is None
    with pytest.raises(RuntimeError, match="out of bounds"):
        stream(x)


def test_a_step_waits_for_no_other() -> None:
    stream, x = armed(elman.RNN(3, 5), 2, 3)
    step = at_once_of(stream)
    assert step is not None
    with stream._turn:
        assert step(x) is None
        with pytest.raises(RuntimeError, match="in a step already"):
            stream(x)
    assert step(x) is not None
    assert not stream._turn.locked()


def test_what_is_raised_in_a_step_gives_the_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(2)
    stream, x = armed(elman.GRU(256, 512), 64, 256)  # of two threads, which Python starts

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(company, "until", 0)
    monkeypatch.setattr(company, "begin", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stream(x)
    assert not stream._turn.locked()
    monkeypatch.undo()
    assert stream(x).shape == (64, 512)


def test_a_step_keeps_the_memory_that_it_works_in() -> None:
    layer = elman.GRU(3, 64)
    stream, x = armed(layer, 2, 3)
    other = copy.deepcopy(stream)
    step, expected = at_once_of(stream), [other(x) for _ in range(3)]
    stream.state = torch.zeros(1, 5, 64)  # of another batch, so its own steps are others
    trash = []
    for k, y in enumerate(expected):
        gc.collect()
        trash += [torch.full((size,), torch.nan) for size in range(50, 30_000, 100)]
        assert torch.equal(step(x), y), k


@pytest.mark.parametrize(
    "write",
    [lambda p: torch.no_grad()(p.mul_)(0.5), lambda p: setattr(p, "data", p.data / 2)],
    ids=["in place", "data"],
)
def test_what_is_written_while_a_step_is_taken_is_seen(
    write: Callable[[Any], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another thread or a handler: the packed weights are those of before."""
    layer, x = elman.RNN(3, 5), torch.randn(2, 3)
    stream, take = elman.Stream(layer), steps.StreamOfSteps.step

    def then_written(self: Any, *given: Any) -> Tensor:
        y = take(self, *given)
        write(layer.weight_ih_l0)
        return y

    stream(x)
    monkeypatch.setattr(steps.StreamOfSteps, "step", then_written)
    stream(x)
    monkeypatch.undo()
    expected = layer(x.unsqueeze(0), stream.state)[0][0]
    torch.testing.assert_close(stream(x), expected.detach())


def test_what_is_raised_while_it_is_made_ready_costs_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    stream, x = elman.Stream(elman.RNN(3, 5)), torch.randn(2, 3)
    stream(x)
    before = stream.state
    monkeypatch.setattr(native_functions.NativeStep, "tell", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stream(x)
    assert torch.equal(stream.state, before)  # type: ignore[arg-type]


def test_a_function_that_was_told_half_of_it_asks_python(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = elman.GRU(3, 64)
    stream, x = armed(layer, 2, 3)
    tell = native_functions.NativeStep.tell

    def half(self: Any, moment: Any, *more: Any) -> None:
        tell(self, moment._replace(threads="the last that is written"), *more)

    monkeypatch.setattr(native_functions.NativeStep, "tell", half)
    step = at_once_of(stream)
    with elman.use_backend("numba"), pytest.raises(TypeError):
        stream(x)
    monkeypatch.undo()
    gc.collect()
    _ = [torch.full((size,), torch.nan) for size in range(10, 3000, 10)]
    assert step(x) is None
    other = copy.deepcopy(stream)
    assert all(torch.equal(stream(x), other(x)) for _ in range(4))


def test_a_leak_of_inference_mode_is_asked_for_by_python() -> None:
    layer, x = elman.LeakyRNN(3, 5, leak=[0.1, 0.2, 0.3, 0.4, 0.5]), torch.randn(2, 3)
    stream = elman.Stream(layer)
    for _ in range(3):
        stream(x)
    step = at_once_of(stream)
    with torch.inference_mode():
        layer.leak_units = layer.leak_units * 0.5
    assert step(x) is None
    with torch.no_grad():
        expected = layer(x.unsqueeze(0), stream.state)[0][0]
    torch.testing.assert_close(stream(x), expected)


def test_what_a_question_raises_is_raised() -> None:
    class Asked(elman.RNN):
        interrupted = False

        @property
        def dropout(self) -> float:
            if self.interrupted:
                raise KeyboardInterrupt
            return 0.0

        @dropout.setter
        def dropout(self, value: float) -> None: ...

    layer = Asked(3, 5)
    stream, x = armed(layer, 2, 3)
    layer.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        at_once_of(stream)(x)
    layer.interrupted = False
    assert at_once_of(stream)(x) is not None
    assert not stream._turn.locked()


def test_torch_compile_takes_a_stream_that_goes_at_once() -> None:
    stream, x = armed(elman.GRU(3, 5), 2, 3)
    other = copy.deepcopy(stream)
    with warnings.catch_warnings(action="ignore"):  # torch says that it cannot look into builtin functions
        compiled = torch.compile(lambda x: stream(x) * 2, backend="eager")
        assert all(torch.equal(compiled(x), other(x) * 2) for _ in range(3))


def test_reset_and_a_state_that_is_set_begin_again() -> None:
    layer = elman.LSTM(3, 5)
    stream, x = armed(layer, 2, 3)
    with by_python():
        other = elman.Stream(layer)
        first, second, third = other(x), other(x), other(x)
    step = at_once_of(stream)
    stream.reset()
    assert step is not None
    assert step(x) is None
    assert torch.equal(stream(x), first)
    kept = stream.state
    assert torch.equal(stream(x), second)
    stream.state = kept
    assert torch.equal(stream(x), second)
    assert torch.equal(stream(x), third)


def known_run(layer: Any, x: Tensor) -> Known:
    """The run of a layer's call, which was made often enough."""
    usual._before.cache_clear()
    for _ in range(3):
        layer(x)
    found = usual.usual_call(layer, x, (), layer._weights())
    assert found is not None
    assert found.known is not None
    return found.known


def outcome(layer: Any, x: Tensor, hx: Any, loss: str) -> list[Tensor]:
    """Results of three calls, and of the last one's way back."""
    wanted = [x, *(hx if isinstance(hx, tuple) else () if hx is None else (hx,)), *layer.parameters()]
    for _ in range(3):
        output, last = layer(x, hx)
        results = [output, *(last if isinstance(last, tuple) else (last,))]
        if loss == "sum":
            torch.autograd.backward([output.sum()], inputs=wanted)
        elif loss == "last":
            torch.autograd.backward([*results[1:]], [torch.ones_like(r) for r in results[1:]], inputs=wanted)
        else:
            torch.autograd.backward([*results], [torch.linspace(-1, 1, r.numel()).view_as(r).to(r) for r in results])
        gradients = [t.grad for t in wanted]
        for t in wanted:
            t.grad = None
    with torch.no_grad():
        again, last = [layer(x, hx) for _ in range(3)][-1]
    assert isinstance(last, Tensor | tuple)
    alone = [again, *(last if isinstance(last, tuple) else (last,))]
    assert len(alone) == len(results)
    return [r for r in (*results, *gradients, *alone) if r is not None]


@DTYPES
@pytest.mark.parametrize("loss", ["sum", "last", "all"])
@pytest.mark.parametrize("with_state", [False, True], ids=["zeros", "h0"])
@pytest.mark.parametrize("more", [{}, {"bidirectional": True, "batch_first": True}], ids=["one way", "both ways"])
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_runs_have_the_bits_of_pythons(
    make: Callable[..., Any], more: dict[str, Any], with_state: bool, loss: str, dtype: torch.dtype
) -> None:
    layer = make(**more, dtype=dtype)
    x = torch.randn(4, 3, 3, dtype=dtype, requires_grad=True)
    cells, batch = layer.num_layers * (2 if layer.bidirectional else 1), 4 if layer.batch_first else 3
    states = [torch.randn(cells, batch, width, dtype=dtype, requires_grad=True) for width in layer._state_widths()]
    hx = None if not with_state else states[0] if len(states) == 1 else tuple(states)
    usual._before.cache_clear()
    found = outcome(layer, x, hx, loss)
    with by_python():
        expected = outcome(layer, x, hx, loss)
    assert len(found) == len(expected)
    assert all(torch.equal(a, b) and a.stride() == b.stride() for a, b in zip(found, expected, strict=True))


def test_usual_calls_are_taken_at_once_and_large_ones_are_not() -> None:
    small, large = (known_run(elman.GRU(3, 5), torch.randn(4, n, 3)) for n in (2, 20000))
    assert small.at_once[True] is not None
    assert [way.at_once for ways in small._back.values() for way in ways] == []
    assert large.at_once[True] is None


def test_a_run_is_pythons_where_memory_is_another() -> None:
    layer, x = elman.RNN(3, 5), torch.randn(4, 2, 3)
    with torch.no_grad():
        run = known_run(layer, x).at_once[False]
    assert run is not None
    weights, found = [*layer.parameters()], run(x, *layer.parameters())
    assert found is not None
    assert torch.equal(found[0], layer(x)[0])
    assert run(x, *weights[:-1]) is None
    assert run() is None
    short = x.clone()
    short.untyped_storage().resize_(4 * 23)
    assert run(short, *weights) is None
    in_more = Parameter(torch.randn(2, 5, 5)[0])
    assert run(x, weights[0], in_more, *weights[2:]) is None


def test_a_way_back_is_pythons_where_the_output_has_another_seal() -> None:
    layer, x = elman.RNN(3, 5), torch.randn(4, 2, 3)
    known = known_run(layer, x)
    output, _ = layer(x)
    output.sum().backward()
    (way,) = [way for ways in known._back.values() for way in ways]
    assert way.at_once is not None
    held = known.hold([*layer.parameters()])
    assert held is not None
    run = known.at_once[True]
    assert run is not None
    output, _, seal = run(known._pack(*held[1]), x)  # type: ignore[misc]
    row = torch.ones(5)
    given = known._pack(*held[1]), seal, x, output, row
    found = way.at_once(*given)
    assert found is not None
    for gradient, weight in zip(found[1:], layer.parameters(), strict=True):
        torch.testing.assert_close(gradient, weight.grad)
    output[0, 0, 0] += 1
    assert way.at_once(*given) is None


USES: dict[str, Callable[[], Callable[[], object]]] = {}


def _use(name: str) -> Callable[[Callable[[], Callable[[], object]]], object]:
    return lambda make: USES.setdefault(name, make)


@_use("steps")
def _steps() -> Callable[[], object]:
    stream, x = armed(elman.LSTM(3, 5), 2, 3)
    return lambda: stream(x)


@_use("steps that are Python's")
def _steps_of_python() -> Callable[[], object]:
    stream, x = armed(elman.LSTM(3, 5), 2, 3)
    step = at_once_of(stream)
    assert step is not None
    other = torch.randn(3, 3)
    stream._rnn.eval()
    return lambda: (step(x), step(other))


@_use("inference")
def _inference() -> Callable[[], object]:
    layer, x = elman.LSTM(3, 5), torch.randn(4, 2, 3)
    return lambda: torch.no_grad()(layer)(x)


@_use("training")
def _training() -> Callable[[], object]:
    layer, x = elman.LSTM(3, 5, 2), torch.randn(4, 2, 3, requires_grad=True)
    return lambda: torch.autograd.grad(layer(x)[0].sum(), [x, *layer.parameters()])


@_use("runs that are Python's")
def _runs_of_python() -> Callable[[], object]:
    layer, x = elman.RNN(3, 5), torch.randn(4, 2, 3)
    with torch.no_grad():
        run = known_run(layer, x).at_once[False]
    assert run is not None
    in_more = Parameter(torch.randn(2, 5, 5)[0])
    weights = [*layer.parameters()]
    return lambda: run(x, weights[0], in_more, *weights[2:])


@pytest.mark.parametrize("make", USES.values(), ids=USES)
def test_nothing_is_kept_and_nothing_lost(make: Callable[[], Callable[[], object]]) -> None:
    """Neither memory of machine code's nor references to Python's objects."""
    use = make()
    for _ in range(20):
        use()
    singletons = None, True, False
    gc.collect()
    tracemalloc.start()
    before, at_first = [*map(sys.getrefcount, singletons)], tracemalloc.get_traced_memory()[0]
    for _ in range(500):
        use()
    gc.collect()
    after, at_last = [*map(sys.getrefcount, singletons)], tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert all(abs(b - a) < 100 for a, b in zip(before, after, strict=True))
    assert at_last - at_first < 20_000  # of 500 uses, each of which asks for a kilobyte and more


def test_threads_of_python_run_a_layer_beside_each_other() -> None:
    layer, xs = elman.GRU(3, 16, 2), torch.randn(4, 30, 5, 3)
    with torch.no_grad():
        expected = [layer(x)[0] for x in xs]
        assert known_run(layer, xs[0]).at_once[False] is not None
    wrong: list[int] = []

    def work(k: int) -> None:
        with torch.no_grad():
            for _ in range(200):
                if not torch.equal(layer(xs[k])[0], expected[k]):
                    wrong.append(k)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


def test_the_weights_memory_is_held_while_a_run_reads_it() -> None:
    """Another thread gives them other data all the time, and what was theirs is filled with NaN."""
    torch.set_num_threads(1)
    layer, x, ended = elman.RNN(64, 128, 2), torch.randn(50, 1, 64), threading.Event()

    def write() -> None:
        while not ended.is_set():
            for p in layer.parameters():
                p.data = torch.full_like(p.data, 0.01)
                _ = [torch.full_like(p.data, torch.nan) for _ in range(3)]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    writer = threading.Thread(target=write)
    try:
        with torch.no_grad():
            for p in layer.parameters():
                p.fill_(0.01)
            expected = layer(x)[0]
            assert known_run(layer, x).at_once[False] is not None
            writer.start()
            found = [layer(x)[0] for _ in range(1000)]
    finally:
        ended.set()
        writer.join()
        sys.setswitchinterval(interval)
    assert all(torch.equal(output, expected) for output in found)


PROGRAM = """
import torch, elman
for layer in elman.RNN(3, 5, 2), elman.GRU(3, 5), elman.LSTM(3, 5, 2, proj_size=2):
    x = torch.randn(4, 2, 3, requires_grad=True)
    for _ in range(5):
        layer(x)[0].sum().backward()
        with torch.no_grad():
            layer(x)
    stream = elman.Stream(layer)
    for _ in range(5):
        y = stream(x[0].detach())
    layer.stream = stream  # which the layer has: only the garbage collector takes them
    assert stream._steps.at_once is not None
print("done")
"""


def test_nothing_is_written_beside_what_is_asked_for_and_the_end_is_quiet() -> None:
    """Python's own memory has guards around it, and what was not written to is no zero."""
    environment = {**os.environ, "PYTHONMALLOC": "debug"}
    command = [sys.executable, "-X", "faulthandler", "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


UNKNOWN: dict[str, tuple[Any, str, Any]] = {
    "another library": (inside_torch, "_LIBRARIES", {"torch_cpu": {"data_ptr": "aoti_torch_get_data_ptr_v9"}}),
    "no library": (inside_torch, "_LIBRARIES", {"torch_nowhere": {"data_ptr": "f"}}),
    "a tensor is nowhere in its object": (inside_torch, "_places", lambda tensor: []),
    "a tensor is twice in its object": (inside_torch, "_places", lambda tensor: [16, 24]),
    "no counter": (inside_torch, "_place_of_version", lambda counter, place: None),
    "threads without a lock": (sys, "_is_gil_enabled", lambda: False),
    "another Python": (sys.implementation, "name", "pypy"),
}


@pytest.mark.parametrize("where", UNKNOWN.values(), ids=UNKNOWN)
def test_a_torch_that_is_built_otherwise_is_not_asked(
    where: tuple[Any, str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, value = where
    monkeypatch.setattr(owner, name, value, raising=False)
    inside_torch.inside_torch.cache_clear()
    try:
        assert inside_torch.inside_torch() is None
        stream, layer = elman.Stream(elman.RNN(3, 5)), elman.RNN(3, 5)
        for _ in range(4):
            assert stream(torch.randn(2, 3)).shape == (2, 5)
        assert at_once_of(stream) is None
        assert known_run(layer, torch.randn(4, 2, 3)).at_once == {True: None}
    finally:
        monkeypatch.undo()
        inside_torch.inside_torch.cache_clear()


def test_what_is_found_in_torch_is_what_it_says() -> None:
    found = inside_torch.inside_torch()
    assert found is not None
    before = torch.get_default_dtype()
    try:
        for dtype in (torch.bfloat16, torch.float64):
            torch.set_default_dtype(dtype)
            with torch.inference_mode():  # a stream is often made there
                inside_torch.inside_torch.cache_clear()
                assert inside_torch.inside_torch() == found
    finally:
        torch.set_default_dtype(before)
