"""The usual call, told from all others in a microsecond or two: plain tensors on the CPU, and everything fits."""

import functools
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from elman import _fork
from elman.autograd import eager
from elman.autograd.private import looks_like
from elman.kernels import moment
from elman.kernels.numba_cpu.obstacle import DTYPES, PLAIN
from elman.kernels.problem import Problem, Tables, weight_shapes
from elman.kernels.table import OWN, asked, own_kernels

if TYPE_CHECKING:
    from elman.kernels.numba_cpu.known import Known
    from elman.nn.recurrent import Recurrent

States = tuple[Tensor, ...]
Found = tuple[Tensor, States]
_dtype_of, _is_cpu = operator.attrgetter("dtype"), operator.attrgetter("is_cpu")
_has_storage: Any = torch._C._has_storage  # sparse tensors, and those that escaped from a transform, have none
_is_compiling: Any = torch.compiler.is_compiling
_tracing_state = torch._C._get_tracing_state
_settings_of = operator.attrgetter(
    *("input_size", "hidden_size", "num_layers", "bidirectional", "bias", "proj_size", "batch_first")
)


class Usual:
    """A usual call: elman's kernels can take its tensors."""

    __slots__ = ("_as_it_is", "_forms", "asked", "known", "looks")
    PATIENCE = 1
    """How often a form comes before its run is made known: a length of text that comes once is not worth 30 us."""

    def __init__(self, tensors: list[Tensor], as_it_is: bool) -> None:
        """Of input, states and weights. `as_it_is`: the input is (T, N, I)."""
        self.looks: Any = looks_like(tensors)
        self.asked = asked()
        self.known: Known | None = None
        """The run of such a call, if the input is taken as it is and steps read nothing beside it; None: it is for
        `run`."""
        self._as_it_is = as_it_is
        self._forms: dict[Any, _Form] = {}

    def run(
        self, layer: "Recurrent", x: Tensor, states: States, weights: list[Tensor], more: Problem | None
    ) -> Found | None:
        """Output and last states of a call that looks like this one.

        Args:
            layer: which.
            x: (T, N, I).
            states: (L * D, N, .), or none.
            weights: the layer's.
            more: what is asked for, where steps read more than x or the cell has other states.

        Returns:
            None: what is asked for has to go the way of all others.
        """
        key, beside, terms, tables = _PLAIN
        if more is not None:
            states, terms, tables = more.states, more.terms, more.tables
            beside = [*states, *terms, *[table for table in tables if table is not None]]
            # what is computed for a call asks for gradients only where they are enabled
            key = more.cell.name, len(terms), torch.is_grad_enabled(), *[table is None for table in tables]
        form = self._forms.get(key)
        if form is None or (beside and not form.looks(*beside)):
            if more is not None and OWN.obstacle(more) is not None:
                return None
            form = self._forms[key] = _Form(looks_like(beside), self.PATIENCE)
        if form.new > 0:
            form.new -= 1
        else:
            if form.known is None:
                from elman.kernels.numba_cpu.known import Known

                form.known = Known(more or problem_of(layer, x, states, weights), looks_like)
                if more is None and self._as_it_is:
                    self.known = form.known
            found = eager.run_known(form.known, x, states, weights, terms, tables)
            if found is not None:
                return found
        return eager.run(OWN, more or problem_of(layer, x, states, weights), checked=True)


_PLAIN: tuple[Any, list[Tensor], tuple[Tensor, ...], Tables] = (None, [], (), ())
"""Of a call whose steps read x alone: its key among the forms, what is looked at beside x, states and weights, the
terms and the tables."""


class _Form:
    """What is beside x, states and weights in usual calls, and the run that is known of such calls."""

    __slots__ = ("known", "looks", "new")

    def __init__(self, looks: Any, new: int) -> None:
        self.looks, self.new = looks, new
        self.known: Known | None = None


def usual_call(layer: "Recurrent", input: Any, states: tuple[Any, ...], weights: list[Tensor]) -> Usual | None:
    """What is known of a call like this one. None: it is for the checks and the backends to say whether it can be run.

    A first call is asked for everything. One that looks like it to torch, under the same modes, needs
    no other question.
    """
    if _is_compiling() or _tracing_state() is not None or not moment.is_quiet() or type(input) not in PLAIN:
        return None  # a trace takes sizes down, too, and they may be symbols
    before = _before(
        layer._cell.name,
        _settings_of(layer),
        input.shape,
        len(states),
        torch.get_num_threads(),
        _fork.forked,
    )
    for usual in before:
        if usual.looks(input, *states, *weights):
            if asked() is usual.asked:
                return usual
            break
    if own_kernels() is None or not _is_usual(layer, input, states, weights):
        return None
    usual = Usual([input, *states, *weights], input.dim() == 3 and not layer.batch_first)
    if usual.looks is not None:
        before[:] = [usual, *before[:7]]
    return usual


@functools.lru_cache(maxsize=1024)
def _before(*form: Any) -> list[Usual]:
    """The last calls of a form that were usual."""
    return []


def _is_usual(layer: "Recurrent", input: Tensor, states: tuple[Any, ...], weights: list[Tensor]) -> bool:
    shape, dtype = input.shape, input.dtype
    batched = len(shape) == 3
    if not (batched or len(shape) == 2) or shape[-1] != layer.input_size or dtype not in DTYPES:
        return False
    if states:
        cells = layer.num_layers * (2 if layer.bidirectional else 1)
        rows = (cells, shape[0 if layer.batch_first else 1]) if batched else (cells,)
        for state, width in zip(states, layer._state_widths(), strict=True):
            if type(state) not in PLAIN or state.dtype is not dtype or state.shape != (*rows, width):
                return False
            if not state.is_cpu or not _has_storage(state):
                return False
    return weights_are_usual(layer, weights) and weights[0].dtype is dtype and input.is_cpu and _has_storage(input)


def problem_of(
    layer: "Recurrent",
    x: Tensor,
    states: States,
    weights: Sequence[Tensor],
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
    masks: Tensor | None = None,
    batch_sizes: Tensor | None = None,
) -> Problem:
    """The run that a call of the layer asks for."""
    form = layer._cell, layer.num_layers, 2 if layer.bidirectional else 1, layer.bias, layer.proj_size > 0
    return Problem(*form, x, states, tuple(weights), lengths, reset, masks, batch_sizes)


def weights_are_usual(layer: "Recurrent", weights: list[Tensor]) -> bool:
    """Whether all are plain tensors on the CPU, of one dtype and of the layer's shapes."""
    if not {*map(type, weights)} <= PLAIN:  # others may answer to fewer questions
        return False
    # by map, because this is a tenth of the time of a small layer's run
    if [*map(Tensor.size, weights)] != _shapes(*sizes_of(layer)) or len({*map(_dtype_of, weights)}) != 1:
        return False
    return all(map(_is_cpu, weights)) and all(map(_has_storage, weights))


def sizes_of(layer: "Recurrent") -> tuple[Any, ...]:
    """What the shapes of a layer's weights follow from, as `weight_shapes` takes it."""
    h, directions = layer.hidden_size, 2 if layer.bidirectional else 1
    p, projected = layer.proj_size or h, layer.proj_size > 0
    return layer._gates, layer.num_layers, directions, layer.input_size, h, p, layer.bias, projected


_shapes: Any = functools.lru_cache(maxsize=256)(weight_shapes)
