"""What the steps of a run read beside the input: the leak, the drive, and the masks of dropout over time."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from elman.autograd import drawing
from elman.kernels.cells import CELLS, Cell
from elman.kernels.numba_cpu.memory import check_room
from elman.kernels.numba_cpu.obstacle import PLAIN
from elman.kernels.problem import Problem

if TYPE_CHECKING:
    from elman.nn.leaky import LeakyRNN
    from elman.nn.leaky_cell import LeakyRNNCell
    from elman.nn.recurrent import Recurrent


class Given(NamedTuple):
    """What a call of a leaky layer was given beside its input."""

    leak: Any = None
    drive: Any = None


def with_terms(layer: "Recurrent", problem: Problem, given: Given | None, unbatched: bool = False) -> Problem:
    """The problem of a layer that leaks, or has dropout over time, with all that its steps read.

    Args:
        layer: which.
        problem: what its call asks for without.
        given: None: the layer does not leak.
        unbatched: whether the call has no batch axis.
    """
    leak = drive = None
    cell, states = on_its_cell(layer, problem)
    if given is not None:
        leak, drive = leaky_terms(layer, problem, given, unbatched)  # type: ignore[arg-type]
    if layer.zoneout:
        kept = _zoneout(layer, problem)
        leak = kept if leak is None else leak * kept
    masks = None
    if layer.recurrent_dropout and layer.training:
        rate = layer.recurrent_dropout
        shape = problem.num_layers * problem.num_directions, problem.sequences, problem.output_size
        masks = drawing.moves(shape, rate, problem.x, 1 / (1 - rate) if rate < 1 else 1.0)
    terms = () if leak is None else (leak,) if drive is None else (leak, drive)
    return changed(problem, cell, states, terms, masks)


class OfSteps:
    """What the steps of a stream read beside x."""

    def __init__(self, layer: "Recurrent", problem: Problem, batched: bool) -> None:
        """For steps like one, (1, N, I); not `batched`: its input is (I,)."""
        self._layer, self._batched = layer, batched
        self._time = 1 if layer.batch_first and batched else 0
        self.changes = bool(layer.zoneout and layer.training) or bool(getattr(layer, "noise", 0))
        """Whether it is another at every step, of which none is told a term."""
        cell, states = on_its_cell(layer, problem)
        self.like = problem._replace(cell=cell, states=states, terms=(problem.x.new_ones((1,) * 4),))
        """A step with terms of any numbers."""

    def terms(self, given: dict[str, Any]) -> Problem:
        """A step with those of its call, a leak or a drive in the shape of its input, and what is drawn for it."""
        of_call = Given(**in_a_sequence(given, 2 if self._batched else 1, self._time))
        problem = self.like._replace(states=())
        return with_terms(self._layer, problem, of_call if self._layer._cell.leaks else None, not self._batched)


def in_a_sequence(terms: dict[str, Any], dim: int, time: int) -> dict[str, Any]:
    """The terms of a step for a sequence of that step alone: those of as many axes as its input get one of time."""
    return {
        name: term.unsqueeze(time) if isinstance(term, Tensor) and term.dim() == dim else term
        for name, term in terms.items()
    }


def _zoneout(layer: "Recurrent", problem: Problem) -> Tensor:
    """What zoneout multiplies a leak by: 0 where a unit keeps its state, else 1; in evaluation the expectation."""
    rates = layer.zoneout if isinstance(layer.zoneout, tuple) else (layer.zoneout,)
    own = layer._state_widths()  # the layer's: torch.compile adds up no sizes of a record before torch 2.10
    widths = (sum(own),) if len(rates) == 1 else own
    if layer.training:
        rows = problem.num_layers * problem.num_directions, *problem.x.shape[:-1]
        drawn = [drawing.moves((*rows, w), p, problem.x) for p, w in zip(rates, widths, strict=True)]
        return drawn[0] if len(drawn) == 1 else torch.cat(drawn, -1)
    ones = (1,) * problem.x.dim()
    return torch.cat([problem.x.new_full((*ones, w), 1 - p) for p, w in zip(rates, widths, strict=True)], -1)


def leaky_terms(
    layer: "LeakyRNN | LeakyRNNCell", problem: Problem, given: Given, unbatched: bool
) -> tuple[Tensor, Tensor | None]:
    """The leak and the drive of a leaky layer or cell, its noise with it."""
    x = problem.x
    for name, value in (("leak", given.leak), ("drive", given.drive)):
        if value is not None and problem.batch_sizes is not None:
            raise ValueError(f"A PackedSequence takes no {name}=: pass a padded tensor with lengths= and {name}=.")
    own = given.leak is None
    leak = layer._leak_of(x) if own else _laid_out(layer, "leak", given.leak, x, unbatched)
    drive = None if given.drive is None else _laid_out(layer, "drive", given.drive, x, unbatched)
    if layer.noise:
        scale = _noise_scale(layer.noise, layer._number if own else None, leak, layer.form == "potential")
        size = problem.num_layers * problem.num_directions, *x.shape[:-1], layer.hidden_size
        noise = drawing.normal(size, 1.0, x) * scale if isinstance(scale, Tensor) else drawing.normal(size, scale, x)
        drive = noise if drive is None else drive + noise
    return leak, drive


def on_its_cell(layer: "Recurrent | LeakyRNNCell", problem: Problem) -> tuple[Cell, tuple[Tensor, ...]]:
    """The cell that computes a problem, and its states: RNN with zoneout leaks, form "potential" carries f(v) beside
    v."""
    cell, states = problem.cell, problem.states
    function = cell.nonlinearity or ""
    if cell.layer == "rnn" and layer.zoneout:
        return CELLS[f"leaky_{function}"], states
    if cell is not layer._cell or cell.layer != "leaky" or layer.form != "potential":
        return cell, states
    if not states and function in ("sigmoid", "softplus"):  # whose value at 0 is not 0
        states = (_zero_state(problem, layer.hidden_size),)
    plain = states and not torch.compiler.is_compiling() and type(states[0]) in PLAIN and states[0].is_cpu
    if plain and torch._C._has_storage(states[0]):
        check_room(states)  # which torch's operator does not ask for
    from elman.kernels.reference.cells import FUNCTIONS

    return CELLS[f"potential_{function}"], (FUNCTIONS[function].of(states[0]), states[0]) if states else ()


def changed(
    problem: Problem, cell: Cell, states: tuple[Tensor, ...], terms: tuple[Tensor, ...], masks: Tensor | None
) -> Problem:
    """The problem with another cell, other states, terms and recurrent masks."""
    # field by field: torch.compile follows no `_replace` of a record before torch 2.10
    form = problem.num_layers, problem.num_directions, problem.bias, problem.projected
    tables = problem.lengths, problem.reset, problem.masks, problem.batch_sizes
    return Problem(cell, *form, problem.x, states, problem.weights, *tables, terms, masks)


def _zero_state(problem: Problem, width: int) -> Tensor:
    """(L * D, N, H), of which a program that is written down takes N from x."""
    x, places = problem.x, problem.num_layers * problem.num_directions
    if problem.batch_sizes is not None:
        return x.new_zeros(places, problem.sequences, width)
    return x.detach()[:0].sum(0)[:, :1].expand(places, -1, width).contiguous()


def _noise_scale(noise: float, fixed: float | None, leak: Tensor, potential: bool) -> Tensor | float:
    """What a standard normal number is multiplied by to be a drive. The potential's noise is sqrt(2 α) σ ξ beside α
    times the drive.

    Args:
        noise: σ.
        fixed: the leak, where it is a number.
        leak: the same as a tensor.
        potential: whether the form is that.
    """
    if not potential:
        return noise
    if fixed is not None:
        return noise * math.sqrt(2 / fixed)
    moves = leak > 0  # what does not has no noise either
    return torch.where(moves, noise * (2 / torch.where(moves, leak, 1)).sqrt(), 0)


def _laid_out(layer: "LeakyRNN | LeakyRNNCell", name: str, value: Any, x: Tensor, unbatched: bool) -> Tensor:
    """A leak or drive in the input's own order as (L * D, T, N, H), each axis also 1."""
    if not isinstance(value, Tensor):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} should be a tensor or a number, got {type(value).__name__}.")
        value = x.new_full((), value)
    if value.dtype != x.dtype and not torch._C._is_any_autocast_enabled():
        raise ValueError(f"{name} dtype ({value.dtype}) does not match input dtype ({x.dtype}): {name}.to({x.dtype}).")
    if value.device != x.device:
        raise RuntimeError(
            f"{name} is on {value.device} and the input on {x.device}. Move it: {name}.to('{x.device}')."
        )
    steps, sequences = x.shape[:2]
    of_time = {"time": steps} if unbatched else {"time": steps, "batch": sequences}
    if layer.batch_first and not unbatched:
        of_time = {"batch": sequences, "time": steps}
    axes = {"layers * directions": layer.num_layers * (2 if layer.bidirectional else 1), **of_time}
    axes["hidden_size"] = layer.hidden_size
    whole = tuple(axes.values())
    if value.dim() > len(whole) or any(
        has not in (1, of) for has, of in zip(reversed(value.shape), reversed(whole), strict=False)
    ):
        names = ", ".join(f"{axis} {size}" for axis, size in list(axes.items())[1:])
        raise ValueError(
            f"{name} should broadcast to ({names}), the input's own order, or with layers * directions {whole[0]} "
            f"before these; got {tuple(value.shape)}."
        )
    laid_out: Tensor = value[(None,) * (len(whole) - value.dim())]
    if unbatched:
        return laid_out.unsqueeze(2)
    return laid_out.transpose(1, 2) if layer.batch_first else laid_out
