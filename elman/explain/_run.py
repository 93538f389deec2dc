"""Runs a layer on the reference, and keeps what each step computed."""

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from elman.autograd.run import run
from elman.call.checks import check_call, check_lengths, check_weights
from elman.call.over_time import Given, with_terms
from elman.explain._language import language
from elman.explain._trace import Trace
from elman.kernels.cells import CELLS
from elman.kernels.problem import Problem
from elman.kernels.reference import loop
from elman.kernels.reference.cells import Step
from elman.kernels.table import choose
from elman.nn.convert import convert
from elman.nn.leaky import LeakyRNN
from elman.nn.lstm import pair_of
from elman.nn.recurrent import Recurrent

if TYPE_CHECKING:
    from elman.nn.recurrent import Recurrent

_MODES = {"RNN_TANH": "rnn_tanh", "RNN_RELU": "rnn_relu", "GRU": "gru", "LSTM": "lstm"}
TOLERANCES = {torch.float32: (1.3e-6, 1e-5), torch.float64: (1e-7, 1e-7)}  # rtol and atol of torch.testing.assert_close
_TERMS = ("input_term", "recurrent_term", "pre_activation", "gates")  # of G * H numbers a step


@torch.no_grad()
def trace(
    rnn: "Recurrent | nn.RNNBase",
    input: Tensor | PackedSequence,
    hx: Tensor | tuple[Tensor, Tensor] | None = None,
    *,
    lengths: Tensor | Sequence[int] | None = None,
    leak: Tensor | float | None = None,
    drive: Tensor | float | None = None,
    lang: str | None = None,
) -> Trace:
    """Run a layer on the reference backend and keep every number of it.

    The result is compared with what elman's chosen backend computes; `Trace.difference` says how far they are apart,
    and `Trace.tolerance_ratio` how far beside what `torch.testing.assert_close` allows. Dropout is left out, and the
    layer stays as it is. The noise of a LeakyRNN is drawn as in a call, and the trace holds what was drawn, with the
    drive that was given, as `Trace.drive`.

    Args:
        rnn: a layer of elman's or torch's: RNN, GRU, LSTM without proj_size, or LeakyRNN.
        input: (T, N, I), with batch_first (N, T, I), for one sequence (T, I), or a PackedSequence.
        hx: h_0, (L * D, N, H), for one sequence (L * D, H); for an LSTM the pair (h_0, c_0). Default: zeros.
        lengths: the length of each sequence, as elman's layers take them. Default: all are T.
        leak, drive: of a LeakyRNN, as its call takes them. Default: the layer's leak, and no drive but its noise.
        lang: the language of its sentences, "en" or "ko". Default: the locale's, else English.

    Returns:
        A `Trace`: print it, look a number up with `at`, draw it, or `save` it as a page.

    Raises:
        TypeError: rnn is no such layer, or hx no pair where it should be one; leak or drive are given for another
            layer than a LeakyRNN, or are neither numbers nor tensors.
        ValueError, IndexError, RuntimeError, AttributeError: input, hx or lengths do not fit, as when the layer is
            called.
        ValueError: there is no such language.

    Example:
        >>> import elman, torch
        >>> trace = elman.trace(elman.RNN(10, 20, 2), torch.randn(5, 3, 10))
        >>> print(trace.shapes)
        input   (time 5, batch 3, feature 10)
        h_0     (layer·direction 2, batch 3, feature 20)
        output  (time 5, batch 3, feature 20)
        h_n     (layer·direction 2, batch 3, feature 20)
    """
    leaky = isinstance(rnn, LeakyRNN)
    if not isinstance(rnn, nn.RNNBase) or (rnn.mode not in _MODES and not leaky):
        raise TypeError(
            f"trace takes an RNN, GRU or LSTM of elman's or torch's or an elman.LeakyRNN, got "
            f"{type(rnn).__name__}{_instead(rnn)}."
        )
    if not leaky and (leak is not None or drive is not None):
        raise TypeError(f"leak= and drive= are those of an elman.LeakyRNN, and this is {type(rnn).__name__}.")
    if rnn.proj_size:
        raise TypeError(
            f"trace explains an LSTM without projection; this one has proj_size={rnn.proj_size}. One of hidden_size "
            f"{rnn.hidden_size} without it has the same gates; elman.doctor examines any module."
        )
    if isinstance(rnn, Recurrent) and (more := Recurrent._beyond_torch(rnn)) is not None:
        raise TypeError(f"trace leaves dropout over time out of its arithmetic; this one has {more}.")
    lang = language(lang)
    layer = cast("Recurrent", convert(copy.copy(rnn)).module)  # of the same parameters, for its checks
    weights = {name: cast(Tensor, getattr(rnn, name)).detach() for name in rnn._flat_weights_names}
    if any(w.is_complex() for w in weights.values()):
        raise TypeError("trace explains layers of real numbers; this one is complex.")
    given = pair_of("LSTM", hx) if rnn.mode == "LSTM" else () if hx is None else (cast(Tensor, hx),)
    check_call(layer, input, given, next(iter(weights.values())))
    check_weights(layer, list(weights.values()))
    notes: list[dict[str, str]] = []
    batched = True
    if isinstance(input, PackedSequence):
        if lengths is not None:
            raise ValueError("A PackedSequence holds its own lengths: pass a padded tensor with lengths=.")
        input, lengths = pad_packed_sequence(input, batch_first=rnn.batch_first)
        notes.append(
            {
                "en": "The input was a PackedSequence; it is shown padded.",
                "ko": "입력은 PackedSequence였고, 패딩해서 보여 줍니다.",
            }
        )
    elif input.dim() == 2:
        batched = False
    if rnn.dropout and rnn.training and rnn.num_layers > 1:
        notes.append(
            {
                "en": "Dropout between the layers was left out, as in eval mode.",
                "ko": "층 사이의 드롭아웃은 eval 모드처럼 적용하지 않았습니다.",
            }
        )
    x = input.detach()
    x = x.unsqueeze(1) if not batched else x.transpose(0, 1) if rnn.batch_first else x
    T, N, _ = x.shape
    L, D, H = rnn.num_layers, 2 if rnn.bidirectional else 1, rnn.hidden_size
    cell = CELLS[f"leaky_{rnn.nonlinearity}" if leaky else _MODES[rnn.mode]]
    starts = [state.detach() if batched else state.detach().unsqueeze(1) for state in given]
    starts = starts or [x.new_zeros(L * D, N, H) for _ in cell.states]

    # float16 and bfloat16 are computed in float32, as the layer does, and so is everything under autocast.
    x, starts = _wide(x), [_wide(state) for state in starts]
    weights = {name: _wide(w) for name, w in weights.items()}
    checked = None if lengths is None else check_lengths(lengths, T, N)
    problem = Problem(cell, L, D, rnn.bias, False, x, tuple(starts), tuple(weights.values()), checked)
    if isinstance(rnn, LeakyRNN):
        terms = (_wide(term.detach()) if isinstance(term, Tensor) else term for term in (leak, drive))
        problem = with_terms(rnn, problem, Given(*terms), not batched)
        problem = problem._replace(terms=tuple(_wide(term.detach()) for term in problem.terms))
        cell, starts = problem.cell, list(problem.states)
        if rnn.form == "potential":
            notes.append(
                {
                    "en": "The layer takes and gives the potential, v_0 and v_n; h_0 and h_n are f of them.",
                    "ko": "이 층이 받고 돌려주는 상태는 전위 v_0과 v_n입니다. h_0과 h_n은 거기에 f를 적용한 값입니다.",
                }
            )
    with torch.autocast(x.device.type, enabled=False):
        chosen, _ = choose(problem)
        fast_output, fast_last = run(problem)
    x, starts = x.cpu(), [state.cpu() for state in starts]
    weights = {name: w.cpu() for name, w in weights.items()}
    problem = problem.with_inputs([x, *starts, *weights.values(), *(term.cpu() for term in problem.terms)])
    sums = {name: x.new_zeros(L, D, T, N, len(cell.gates) * H) for name in _TERMS}
    states = {name: x.new_zeros(L, D, T, N, H) for name in cell.states}
    before = {name: x.new_zeros(L, D, T, N, H) for name in cell.states}

    def keep(layer: int, direction: int, t: int, step: Step) -> None:
        for name in _TERMS:
            sums[name][layer, direction, t] = getattr(step, name)
        for kept, computed in ((states, step.states), (before, step.states_before)):
            for name, state in zip(cell.states, computed, strict=True):
                kept[name][layer, direction, t] = state

    with torch.autocast("cpu", enabled=False):
        output, last, _ = loop.forward(problem, keep=keep)
    compared = list(zip((fast_output.cpu(), *(s.cpu() for s in fast_last)), (output, *last), strict=True))
    ends = dict(zip(cell.states, last if batched else [state.squeeze(1) for state in last], strict=True))
    begun = dict(zip(cell.states, starts, strict=True))
    made = Trace(
        problem=problem,
        batch_first=rnn.batch_first,
        batched=batched,
        layer=f"{type(rnn).__name__}({rnn.extra_repr()})",
        x=x,
        h_0=begun["h"],
        weights=weights,
        b_ih=_biases(problem, weights, "bias_ih"),
        b_hh=_biases(problem, weights, "bias_hh"),
        output=output.squeeze(1) if not batched else output.transpose(0, 1) if rnn.batch_first else output,
        h_n=ends["h"],
        backend=chosen.name,
        difference=max(_largest(one, other) for one, other in compared),
        tolerance_ratio=max(_largest(one, other, *TOLERANCES[other.dtype]) for one, other in compared),
        bilingual_notes=tuple(notes),
        lang=lang,
        hidden=states["h"],
        before=before["h"],
        c_0=begun.get("c"),
        c=states.get("c"),
        c_before=before.get("c"),
        c_n=ends.get("c"),
        v_0=begun.get("v"),
        v=states.get("v"),
        v_before=before.get("v"),
        v_n=ends.get("v"),
        input_term=sums["input_term"],
        recurrent_term=sums["recurrent_term"],
        pre_activation=sums["pre_activation"],
        gates=sums["gates"],
    )
    for array in (*sums.values(), *states.values(), *before.values()):
        array.masked_fill_(~made.there[:, :, None], 0)
    return made


def _largest(one: Tensor, other: Tensor, rtol: float = 0.0, atol: float = 1.0) -> float:
    """The largest |one - other| / (atol + rtol * |other|); infinite where only one of them holds NaN or infinity."""
    same = (one == other) | (one.isnan() & other.isnan())
    apart = (one - other).abs() / (atol + rtol * other.abs())
    apart = apart.masked_fill(same, 0).nan_to_num(torch.inf, torch.inf)
    return float(apart.max()) if apart.numel() else 0.0


def _instead(given: object) -> str:
    """What to pass, where a module of another kind came."""
    if isinstance(given, nn.RNNBase | nn.RNNCellBase):
        return ": it explains whole sequences; elman.doctor examines any module"
    inside = given.named_modules() if isinstance(given, nn.Module) else ()
    names = [name for name, module in inside if isinstance(module, nn.RNNBase) and module.mode in _MODES]
    return f": pass the layer inside it, '{names[0]}', with what that layer reads" if names else ""


def _wide(tensor: Tensor) -> Tensor:
    """A copy, in float32 where it was shorter."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32), copy=True).contiguous()


def _biases(problem: Problem, weights: Mapping[str, Tensor], which: str) -> Tensor:
    """(L, D, G * H)."""
    shape = problem.num_layers, problem.num_directions, len(problem.cell.gates) * problem.hidden_size
    if not problem.bias:
        return problem.x.new_zeros(shape)
    return torch.stack([b for name, b in weights.items() if name.startswith(which)]).view(shape)
