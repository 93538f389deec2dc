"""One step at a time gives the numbers of the whole sequence."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from cases import CASES, Case, States, detached, gated, states_of
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import elman
from elman.kernels.numba_cpu.threads import team

ONE_WAY = [case for case in CASES if case.D == 1 and case.T > 0 and case.N > 0 and case.T <= 100]
GATED = gated(*CASES[:1], *CASES[3:4], *CASES[8:9], *CASES[14:15], *CASES[17:18])
CELLS = gated(Case("one layer on another", 6, 5, 3, 4, L=2))


def both(case: Case, dtype: torch.dtype = torch.float32) -> tuple[torch.nn.Module, torch.nn.Module]:
    """elman's layer and torch's, with the same weights."""
    return case.layer(elman, dtype), case.layer(torch.nn, dtype)


def assert_state(stream: elman.Stream, expected: States) -> None:
    torch.testing.assert_close([*states_of(stream.state)], [*states_of(detached(expected))])


def steps_of(case: Case, input: Tensor) -> list[Tensor]:
    return list(input.detach().transpose(0, 1) if case.batch_first else input.detach())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("with_h0", [True, False], ids=["h0", "zeros"])
@pytest.mark.parametrize("case", [*ONE_WAY, *GATED], ids=lambda case: case.id)
def test_steps_are_torchs_whole_sequence(case: Case, with_h0: bool, threads: int) -> None:
    torch.set_num_threads(threads)
    layer, torchs = both(case)
    hx = detached(case.hx()) if with_h0 else None
    stream = elman.Stream(layer, hx)
    outputs = torch.stack([stream(x_t) for x_t in steps_of(case, case.input())])
    expected, last = torchs(case.input(), hx)
    torch.testing.assert_close(outputs, (expected.transpose(0, 1) if case.batch_first else expected).detach())
    assert_state(stream, last)
    assert not outputs.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("case", CELLS, ids=lambda case: case.id)
def test_gated_cells_one_sequence_rows_reset_copies_and_states_set(case: Case, dtype: torch.dtype) -> None:
    """A stream's state is (h, c) for an LSTM; reset(rows) begins both again."""
    layer, x, hx = case.layer(elman, dtype), case.input(dtype).detach(), detached(case.hx(dtype))
    single = elman.Stream(layer, of_each(hx, lambda state: state[:, 0]))
    state = of_each(hx, lambda state: state[:, 0])
    for x_t in x[:, 0]:
        expected, state = layer(x_t.unsqueeze(0), state)
        torch.testing.assert_close(single(x_t), expected[0].detach())
        assert_state(single, state)
    for first in (None, hx):
        stream = elman.Stream(layer, first)
        for x_t in x[:3]:
            stream(x_t)
        stream.reset([1, 3])
        kept = stream.state
        copies = [stream, copy.deepcopy(stream), pickle.loads(pickle.dumps(stream)), elman.Stream(layer)]
        copies[-1].state = kept
        for other in copies:
            state, outputs = kept, []
            for x_t in x[3:]:
                expected, state = layer(x_t.unsqueeze(0), state)
                outputs.append(expected[0].detach())
            torch.testing.assert_close([other(x_t) for x_t in x[3:]], outputs)
            assert_state(other, state)
        if dtype != torch.bfloat16:  # which rounds at every step what the layer rounds at the end
            reset = torch.zeros(6, 5, dtype=torch.bool)
            reset[3, [1, 3]] = True
            assert_state(stream, layer(x, first, reset=reset)[1])
        stream.reset()
        assert stream.state is None if first is None else True
        torch.testing.assert_close(stream(x[0]), layer(x[:1], first)[0][0].detach())


def of_each(hx: States, change: Callable[[Tensor], Tensor]) -> States:
    return tuple(map(change, hx)) if isinstance(hx, tuple) else change(hx)


@pytest.mark.parametrize("change", ["optimiser", "data", "backend", "training"])
@pytest.mark.parametrize("case", CELLS, ids=lambda case: case.id)
def test_gated_cells_follow_their_layer(case: Case, change: str) -> None:
    layer, x = case.layer(elman), case.input().detach()
    stream = elman.Stream(layer)
    stream(x[0])
    state = stream.state
    with torch.no_grad():
        if change == "optimiser":
            for p in layer.parameters():
                p.mul_(1.5)
        elif change == "data":
            layer.weight_hh_l1.data = torch.randn_like(layer.weight_hh_l1)
    layer.train(change != "training")
    with elman.use_backend("reference" if change == "backend" else "numba"):
        torch.testing.assert_close(stream(x[1]), layer(x[1:2], state)[0][0].detach())


def test_a_pair_is_asked_for() -> None:
    lstm = elman.LSTM(3, 4, proj_size=2)
    with pytest.raises(TypeError, match=r"hx should be a pair of tensors \(h, c\), got Tensor"):
        elman.Stream(lstm, torch.zeros(1, 2, 2))
    stream = elman.Stream(lstm)
    with pytest.raises(TypeError, match="state should be a pair"):
        stream.state = torch.zeros(1, 2, 2)
    stream.state = torch.zeros(1, 2, 4), torch.zeros(1, 2, 2)
    with pytest.raises(RuntimeError, match="swapped"):
        stream(torch.ones(2, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64])
def test_a_single_sequence_in_every_dtype(dtype: torch.dtype) -> None:
    """As the layer called step by step, which in bfloat16 rounds the state at every step."""
    layer = elman.RNN(3, 5, 2, dtype=dtype)
    x, h = torch.randn(7, 3, dtype=dtype), torch.randn(2, 5, dtype=dtype)
    stream = elman.Stream(layer, h)
    for x_t in x:
        expected, h = layer(x_t.unsqueeze(0), h)
        torch.testing.assert_close(stream(x_t), expected[0].detach())
        torch.testing.assert_close(stream.state, h.detach())


@pytest.mark.parametrize("h", [48, 64, 128, 150, 256])
@pytest.mark.parametrize("sequences", [1, 5, 16, 64])
def test_wide_layers_on_two_threads(sequences: int, h: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both threads write a step's state while they read the one before."""
    monkeypatch.setattr(team, "_TEAM_STEP", 0)
    torch.set_num_threads(2)
    layer = elman.RNN(40, h, 2, dtype=torch.float64)
    x = torch.randn(12, sequences, 40, dtype=torch.float64)
    stream = elman.Stream(layer)
    outputs = torch.stack([stream(x_t) for x_t in x])
    with elman.use_backend("reference"):
        expected, h_n = layer(x)
    torch.testing.assert_close(outputs, expected.detach())
    torch.testing.assert_close(stream.state, h_n.detach())


def test_rows_are_reset_alone() -> None:
    layer, x = elman.RNN(3, 4, 2), torch.randn(6, 5, 3)
    for h0 in (None, torch.randn(2, 5, 4)):
        for rows in ([1, 3], torch.tensor([3, 1]), torch.tensor([False, True, False, True, False])):
            stream = elman.Stream(layer, h0)
            outputs = [stream(x_t) for x_t in x[:3]]
            stream.reset(rows)
            outputs += [stream(x_t) for x_t in x[3:]]
            reset = torch.zeros(6, 5, dtype=torch.bool)
            reset[3, [1, 3]] = True
            expected, h_n = layer(x, h0, reset=reset)
            torch.testing.assert_close(torch.stack(outputs), expected.detach())
            torch.testing.assert_close(stream.state, h_n.detach())


def test_reset_begins_again_and_frees_the_batch_size() -> None:
    layer = elman.RNN(3, 4)
    stream = elman.Stream(layer)
    first = stream(torch.ones(2, 3))
    stream(torch.ones(2, 3))
    stream.reset()
    assert stream.state is None
    torch.testing.assert_close(stream(torch.ones(5, 3))[:2], first)
    h0 = torch.randn(1, 2, 4)
    stream = elman.Stream(layer, h0)
    stream(torch.ones(2, 3))
    stream.reset()
    torch.testing.assert_close(stream.state, h0)


def test_state_is_a_copy_and_can_be_set() -> None:
    layer, x = elman.RNN(3, 4), torch.randn(6, 2, 3)
    stream = elman.Stream(layer)
    outputs = [stream(x_t) for x_t in x[:3]]
    kept = stream.state
    assert kept is not None
    before = kept.clone()
    later = [stream(x_t) for x_t in x[3:]]
    torch.testing.assert_close(kept, before, msg="a step wrote into a state that was given out")
    kept.mul_(1)
    other = elman.Stream(layer)
    other.state = kept
    for x_t, y in zip(x[3:], later, strict=True):
        torch.testing.assert_close(other(x_t), y)
    torch.testing.assert_close(torch.stack(outputs + later), layer(x)[0].detach())


@pytest.mark.parametrize("how", ["optimiser", "load_state_dict", "replaced", "data", "parametrized"])
def test_changed_weights_are_seen(how: str) -> None:
    layer, x = elman.RNN(3, 4), torch.randn(2, 3)
    stream = elman.Stream(layer)
    stream(x)
    state = stream.state
    if how == "optimiser":
        optimiser = torch.optim.SGD(layer.parameters(), lr=1.0)
        layer(x.unsqueeze(0))[0].sum().backward()
        optimiser.step()
    elif how == "load_state_dict":
        layer.load_state_dict(elman.RNN(3, 4).state_dict())
    elif how == "replaced":
        layer.weight_hh_l0 = torch.nn.Parameter(torch.randn(4, 4))
    elif how == "data":
        layer.weight_hh_l0.data = torch.randn(4, 4)
    else:
        torch.nn.utils.parametrizations.orthogonal(layer, "weight_hh_l0")
        stream(x)
        stream.state = state
        with torch.no_grad():
            layer.parametrizations.weight_hh_l0.original.add_(torch.randn(4, 4))
    expected, _ = layer(x.unsqueeze(0), state)
    torch.testing.assert_close(stream(x), expected[0].detach())


def test_data_replaced_twice_between_two_steps_is_seen() -> None:
    """The second may come to the first one's address."""
    layer, x = elman.RNN(3, 64), torch.randn(1, 3)
    stream = elman.Stream(layer)
    for _ in range(30):
        stream(x)
        for _ in range(2):
            layer.weight_hh_l0.data = torch.randn(64, 64) / 8
        expected, _ = layer(x.unsqueeze(0), stream.state)
        torch.testing.assert_close(stream(x), expected[0].detach())


def written(w: torch.Tensor) -> None:
    w.data.mul_(-2)


def transposed(w: torch.Tensor) -> None:
    w.data = w.data.t()


def negated(w: torch.Tensor) -> None:
    w.data = w.data._neg_view()


@pytest.mark.parametrize("change", [written, transposed, negated])
@pytest.mark.parametrize("begin", ["reset", "set"])
@pytest.mark.parametrize("before", [None, transposed])
def test_a_stream_that_begins_again_reads_the_weights_as_they_are(
    change: Callable[[torch.Tensor], None], begin: str, before: Callable[[torch.Tensor], None] | None
) -> None:
    """Versions and addresses do not show what happens through .data."""
    layer, x = elman.RNN(3, 4), torch.randn(2, 3)
    if before is not None:
        before(layer.weight_hh_l0)
    stream = elman.Stream(layer)
    stream(x)
    kept = stream.state if begin == "set" else None
    change(layer.weight_hh_l0)
    if begin == "set":
        stream.state = kept
    else:
        stream.reset()
    expected, h_n = layer(torch.stack([x, x]), kept)
    torch.testing.assert_close(torch.stack([stream(x), stream(x)]), expected.detach())
    torch.testing.assert_close(stream.state, h_n.detach())


def test_a_state_that_was_set_goes_on_before_the_first_step() -> None:
    """Every way to ask for the state, to change rows of it or to copy the stream, between a reset and a step."""
    layer, x = elman.RNN(3, 4, 2), torch.randn(5, 3)
    h = torch.randn(2, 5, 4)
    stream = elman.Stream(layer)
    stream(x)
    stream.state = h
    torch.testing.assert_close(stream.state, h)
    stream.reset([1, 4])
    h[:, [1, 4]] = 0
    torch.testing.assert_close(stream.state, h)
    other = copy.deepcopy(stream)
    for each in (stream, other):
        torch.testing.assert_close(each(x), layer(x.unsqueeze(0), h)[0][0].detach())
    stream.reset()
    assert stream.state is None
    stream.reset([0])
    assert stream.state is None
    assert copy.copy(stream).state is None
    torch.testing.assert_close(stream(x), layer(x.unsqueeze(0))[0][0].detach())
    with torch.inference_mode():
        stream = elman.Stream(layer)
        stream(x)
    stream.reset()
    torch.testing.assert_close(stream(x), layer(x.unsqueeze(0))[0][0].detach())


def test_a_parameter_made_in_inference_mode_is_followed() -> None:
    layer, x = elman.RNN(3, 4), torch.randn(2, 3)
    stream = elman.Stream(layer)
    stream(x)
    with torch.inference_mode():  # which counts no versions
        layer.weight_hh_l0 = torch.nn.Parameter(torch.randn(4, 4))
    for _ in range(2):
        state = stream.state
        with torch.no_grad():
            expected, _ = layer(x.unsqueeze(0), state)
        torch.testing.assert_close(stream(x), expected[0])


@pytest.mark.parametrize("again", [False, True])
def test_the_nonlinearity_is_followed(again: bool) -> None:
    layer, x = elman.RNN(3, 4), torch.randn(2, 3)
    stream = elman.Stream(layer)
    stream(x)
    layer.nonlinearity = "relu"
    if again:
        stream.reset()
    expected, _ = layer(x.unsqueeze(0), stream.state)
    torch.testing.assert_close(stream(x), expected[0].detach())


def test_a_stream_begins_again_under_transforms_and_modes() -> None:
    """They do not let a state of before be written over with theirs."""
    layer, x, h = elman.RNN(3, 4, 2), torch.randn(6, 2, 3), torch.randn(6, 2, 2, 4)
    stream = elman.Stream(layer)
    stream(x[0])

    def step(h_i: Tensor, x_i: Tensor) -> Tensor:
        stream.state = h_i
        return stream(x_i)

    expected = torch.stack([layer(x_i.unsqueeze(0), h_i)[0][0].detach() for h_i, x_i in zip(h, x, strict=True)])
    torch.testing.assert_close(torch.vmap(step)(h, x), expected)
    stream.state = None
    stream(x[0])
    with FakeTensorMode():
        stream.reset()
    torch.testing.assert_close(stream(x[0]), layer(x[:1])[0][0].detach())


def test_a_state_of_another_kind_of_tensor_stays_one() -> None:
    class Labelled(Tensor):
        pass

    layer, x = elman.RNN(3, 4), torch.randn(2, 3)
    stream = elman.Stream(layer)
    stream(x)
    stream.state = torch.zeros(1, 2, 4).as_subclass(Labelled)
    assert isinstance(stream(x), Labelled)


def test_training_mode_and_thread_count_are_followed() -> None:
    layer, x = elman.RNN(3, 40, 2, dropout=0.9).eval(), torch.randn(1, 3)
    stream = elman.Stream(layer)
    stream(x)
    layer.train()
    torch.manual_seed(4)
    state = stream.state
    y = stream(x)
    torch.manual_seed(4)
    torch.testing.assert_close(y, layer(x.unsqueeze(0), state)[0][0].detach())
    wide, x = elman.RNN(64, 512), torch.randn(16, 64)
    stream = elman.Stream(wide)
    for threads in (2, 1):
        torch.set_num_threads(threads)
        stream(x)
        assert stream._steps is not None
        assert (stream._steps._counters == 0) == (threads == 1)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda stream: pickle.loads(pickle.dumps(stream))])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_copy_goes_on_by_itself(how: Callable[[elman.Stream], elman.Stream], threads: int) -> None:
    torch.set_num_threads(threads)
    layer, x = elman.RNN(64, 256), torch.randn(6, 8, 64)
    stream = elman.Stream(layer)
    expected, _ = layer(x)
    for x_t in x[:2]:
        stream(x_t)
    other = how(stream)
    for x_t, y in zip(x[2:], expected.detach()[2:], strict=True):
        torch.testing.assert_close(stream(x_t), y)
        torch.testing.assert_close(other(x_t), y)


def test_strided_inputs_and_batch_first() -> None:
    layer = elman.RNN(3, 4, 2, batch_first=True)
    x = torch.randn(5, 7, 3)
    stream = elman.Stream(layer)
    outputs = torch.stack([stream(x[:, t]) for t in range(7)], 1)
    torch.testing.assert_close(outputs, layer(x)[0].detach())


def test_dropout_is_the_layers_own() -> None:
    layer, torchs = elman.RNN(3, 4, 2, dropout=0.5), torch.nn.RNN(3, 4, 2, dropout=0.5)
    torchs.load_state_dict(layer.state_dict())
    x = torch.randn(2, 3)
    stream = elman.Stream(layer)
    torch.manual_seed(3)
    y = stream(x)
    torch.manual_seed(3)
    torch.testing.assert_close(y, torchs(x.unsqueeze(0))[0][0].detach())
    layer.eval()
    torchs.eval()
    stream.reset()
    torch.testing.assert_close(stream(x), torchs(x.unsqueeze(0))[0][0].detach())


def test_each_backend_by_name(backend: str) -> None:
    layer, x = elman.RNN(3, 4, 2), torch.randn(6, 2, 3)
    stream = elman.Stream(layer)
    outputs = torch.stack([stream(x_t) for x_t in x])
    torch.testing.assert_close(outputs, layer(x)[0].detach())


def test_autocast_and_inference_mode() -> None:
    layer, x = elman.RNN(3, 4), torch.randn(3, 2, 3)
    with torch.inference_mode():
        stream = elman.Stream(layer)
        outputs = torch.stack([stream(x_t) for x_t in x])
    torch.testing.assert_close(outputs.clone(), layer(x)[0].detach())
    stream.reset([0])  # outside of the mode in which its state was made
    assert (stream.state[:, 0] == 0).all()
    stream = elman.Stream(layer)
    stream(x[0])
    with torch.autocast("cpu", torch.bfloat16):
        assert stream(x[1]).dtype == torch.bfloat16
    assert stream(x[2]).dtype == torch.float32


def test_a_layer_keeps_pickling_and_copying() -> None:
    layer = elman.RNN(3, 4)
    stream = elman.Stream(layer)
    stream(torch.ones(2, 3))
    copy.deepcopy(layer)(torch.ones(1, 2, 3))


def test_bad_use_is_said() -> None:
    layer = elman.RNN(3, 4)
    with pytest.raises(ValueError, match="bidirectional"):
        elman.Stream(elman.RNN(3, 4, bidirectional=True))
    stream = elman.Stream(layer)
    with pytest.raises(AttributeError, match="A stream takes one step"):
        stream([1.0, 2.0, 3.0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"A stream takes one step.*\(6, 2, 3\)"):
        stream(torch.ones(6, 2, 3))
    with pytest.raises(RuntimeError, match="Expected 3, got 5"):
        stream(torch.ones(2, 5))
    with pytest.raises(ValueError, match="does not match weight dtype"):
        stream(torch.ones(2, 3, dtype=torch.float64))
    stream(torch.ones(2, 3))
    state = stream.state
    with pytest.raises(RuntimeError, match="Expected hidden size"):
        stream(torch.ones(5, 3))
    with pytest.raises(RuntimeError, match="asks for a gradient"):
        stream(torch.ones(2, 3, requires_grad=True))
    with pytest.raises(IndexError):
        stream.reset([2])
    for mask in (torch.tensor([0.0, 1.0]), torch.tensor([0, 1], dtype=torch.uint8)):
        with pytest.raises(TypeError, match=r"mask\.bool\(\)"):
            stream.reset(mask)
    with pytest.raises(TypeError, match=r"elman\.convert"):
        elman.Stream(torch.nn.RNN(3, 4))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="hx should be a tensor"):
        elman.Stream(layer, [1.0])  # type: ignore[arg-type]
    elman.Stream(layer).state = elman.Stream(layer).state
    torch.testing.assert_close(stream.state, state)
    with torch.no_grad():
        stream(torch.ones(2, 3, requires_grad=True))
    with pytest.raises(RuntimeError, match="Expected hidden size"):
        elman.Stream(layer, torch.zeros(1, 9, 4))(torch.ones(2, 3))
    single = elman.Stream(layer)
    single(torch.ones(3))
    with pytest.raises(IndexError, match="single sequence"):
        single.reset([0])


@pytest.mark.parametrize("kind", [elman.RNN, elman.GRU, elman.LSTM])
def test_a_stream_follows_dropout_over_time_that_is_set_later(kind: type[elman.RNN]) -> None:
    layer = kind(3, 5).eval()
    x = torch.randn(4, 2, 3)
    stream = elman.Stream(layer)
    stream(x[0])
    layer.zoneout = 0.5
    stream.reset()
    with torch.no_grad():
        torch.testing.assert_close(torch.stack([stream(x_t) for x_t in x]), layer(x)[0])
    layer.train()
    layer.recurrent_dropout = 0.5
    with pytest.raises(RuntimeError, match="one mask for all steps"):
        stream(x[0])


@pytest.mark.parametrize("kind", [elman.RNN, elman.GRU, elman.LSTM, elman.LeakyRNN])
@pytest.mark.parametrize("word", ["reset", "lengths", "typo"])
def test_a_stream_swallows_no_keyword(kind: type[elman.RNN], word: str) -> None:
    layer, x = kind(3, 5), torch.randn(2, 3)
    stream = elman.Stream(layer)
    stream(x)
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{word}'"):
        stream(x, **{word: torch.ones(2, dtype=torch.bool)})
