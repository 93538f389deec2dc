"""A layer one step at a time, with a carried state."""

import operator
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from elman import _fork
from elman.autograd.private import looks_like
from elman.call.checks import check_call, check_weights
from elman.call.over_time import OfSteps, in_a_sequence
from elman.call.usual import problem_of, weights_are_usual
from elman.kernels import moment
from elman.kernels.cells import Cell
from elman.kernels.problem import Problem
from elman.kernels.table import ASKED, OWN, Backend, asked, choose, nothing_is_asked
from elman.nn.recurrent import Recurrent, States

if TYPE_CHECKING:
    from elman.kernels.numba_cpu.native_functions import Moment
    from elman.kernels.numba_cpu.stream import StreamOfSteps

State = Tensor | tuple[Tensor, Tensor]
"""h, or of an LSTM (h, c)."""


class Stream:
    """A layer one step at a time: `y = stream(x_t)` for each x_t as it comes, with the numbers of the whole sequence.

    For inference: no gradients flow. The weights are packed once, and again when one was replaced or written to by
    torch (an optimiser's step, load_state_dict); what is written in place through `.data`, or by another process to
    shared weights, is seen after the next `reset()`. The layer's forward hooks are not called. A stream belongs to one
    thread at a time, and refuses a step while another runs; a copy has a state of its own.

    Args:
        rnn: a layer of one direction: in a layer of two, a later step changes earlier outputs.
        hx: the state before the first step, (L, N, H), or (L, H) for a single sequence; of an LSTM the pair (h_0, c_0).
            Default: zeros, for as many sequences as the first input has.

    Raises:
        TypeError: rnn is no layer of elman's, or hx no tensor (of an LSTM no pair of them).
        ValueError: the layer is bidirectional.

    Example:
        >>> import elman, torch
        >>> rnn = elman.RNN(3, 4)
        >>> stream = elman.Stream(rnn)
        >>> x = torch.randn(5, 2, 3)
        >>> outputs = torch.stack([stream(x_t) for x_t in x])
        >>> torch.allclose(outputs, rnn(x)[0], atol=1e-6)
        True
    """

    def __init__(self, rnn: Recurrent, hx: State | None = None) -> None:
        if not isinstance(rnn, Recurrent):
            raise TypeError(
                f"A stream runs a layer of elman's, got {type(rnn).__name__}; elman.convert makes one of torch's."
            )
        self._rnn = rnn
        start = self._states_of("hx", hx)
        if rnn.bidirectional:
            raise ValueError(
                "A stream reads in one direction, and this layer is bidirectional: its reverse direction begins at the "
                "last step. Run it over whole sequences."
            )
        self._start = tuple(state.detach().clone() for state in start)
        self._steps: StreamOfSteps | None = None
        self._states: States = ()  # none: zeros
        self._seen: _Seen | None = None  # what the packed weights, and the way to run, were made from
        self._turn = threading.Lock()
        self.reset()

    def __call__(self, x_t: Tensor, **terms: Any) -> Tensor:
        """One step.

        Args:
            x_t: (N, I), or (I,) for a single sequence; the same N at every step.
            terms: leak and drive of a `LeakyRNN` for this step, which broadcast to (N, H), or (H,). Default: the
                layer's leak, and no drive. Its noise is drawn for every step.

        Returns:
            The last layer's h, (N, H) or (H,), in memory of its own; with proj_size (N, P) or (P,).

        Raises:
            AttributeError: x_t is no tensor.
            TypeError: a keyword that the layer's steps do not take.
            ValueError: x_t has not 1 or 2 axes, or another dtype than the weights.
            RuntimeError: a size does not fit the layer or the state, x_t asks for a gradient, or another thread or a
                handler is in a step of this stream.
        """
        steps = self._steps
        at_once = None if steps is None or terms else steps.at_once
        if at_once is not None and (y := at_once(x_t)) is not None:
            return y
        if not self._turn.acquire(False):
            raise RuntimeError(
                "This stream is in a step already, of another thread or below this one. Give each thread a stream of "
                "its own: copy.copy(stream) has its weights and a state of its own."
            )
        try:
            steps = self._steps
            if steps is not None and not terms and self._seen == (now := _identity(self._rnn)):
                if steps.looks(x_t) and moment.is_quiet() and (backend := asked()) in (None, OWN):
                    # as it was found before the step, during which others may write
                    of_now = now.moment(self._rnn, backend) if steps.can_go_at_once and now is not None else None
                    if of_now is not None:
                        steps.go_at_once(self._turn, self._rnn, ASKED, of_now)
                    return steps.step(x_t)
                asks = torch.is_grad_enabled() and isinstance(x_t, Tensor) and x_t.requires_grad
                if type(x_t) is Tensor and steps.fits(x_t) and not asks and nothing_is_asked():
                    return steps.step(steps.as_read(x_t))
            if isinstance(x_t, Tensor) and x_t.requires_grad and torch.is_grad_enabled():
                raise RuntimeError(
                    "x_t asks for a gradient, and a stream computes none. Pass x_t.detach(), or run the layer itself "
                    "on a sequence of one step with a state."
                )
            with torch.no_grad():
                return self._checked_step(x_t, self._rnn._weights(), terms)
        finally:
            self._turn.release()

    @property
    def state(self) -> State | None:
        """(L, N, H), or (L, H) for a single sequence: a copy of every layer's state after the last step; of an LSTM the
        pair (h, c).

        None before the first step where no hx was given. Set it to go on from a state that was kept.
        """
        states = tuple(state.clone() for state in self._current())
        if not states:
            return None
        return states[0] if len(states) == 1 else states  # type: ignore[return-value]

    @state.setter
    def state(self, state: State | None) -> None:
        states = self._states_of("state", state)
        self._begin(tuple(s.detach().clone(memory_format=torch.contiguous_format) for s in states))

    def _begin(self, states: States) -> None:
        self._states = states
        steps, self._steps = self._steps, None
        if steps is None or not nothing_is_asked():
            return
        weights = self._rnn._weights()
        if weights_are_usual(self._rnn, weights) and steps.can_begin(states, weights):
            steps.begin(states)
            self._steps = steps

    def __getstate__(self) -> dict[str, Any]:
        """Without what holds addresses: a copy packs its own weights."""
        states = tuple(state.clone() for state in self._current())
        return {**self.__dict__, "_states": states, "_steps": None, "_seen": None, "_turn": None}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__dict__.update(kept, _turn=threading.Lock())

    def reset(self, rows: Tensor | Sequence[int] | None = None) -> None:
        """Back to the state before the first step.

        Args:
            rows: the sequences that begin again, by their numbers or as a bool tensor (N,), as at the end of an episode
                in some of the environments. Default: all; where no hx was given their number may then be another.

        Raises:
            IndexError: there is no such sequence.
            TypeError: rows are neither whole numbers nor bool.
        """
        if rows is None:
            self._begin(tuple(state.clone(memory_format=torch.contiguous_format) for state in self._start))
            return
        states = self._current()
        if not states:
            return
        if states[0].dim() == 2:
            raise IndexError("This stream holds a single sequence, without a batch axis: reset() begins it again.")
        which = torch.as_tensor(rows, device=states[0].device)
        if which.numel() and (which.is_floating_point() or which.is_complex() or which.dtype == torch.uint8):
            raise TypeError(
                f"rows should be whole numbers or a bool tensor, got {which.dtype}. Pass a mask as mask.bool()."
            )
        chosen = which if which.dtype == torch.bool else which.long()
        with torch.inference_mode():  # a state may have been made in it
            for place, state in enumerate(states):
                state[:, chosen] = self._start[place][:, chosen] if self._start else 0
            if self._steps is not None:
                self._steps.was_written_to()

    def _current(self) -> States:
        """The states themselves; none before the first step where none was given."""
        if self._steps is None or (not self._states and not self._steps.begun):
            return self._states
        return self._steps.states

    def _states_of(self, name: str, state: Any) -> States:
        """What was given as a state, in a row."""
        if state is None:
            return ()
        count = len(self._rnn._cell.states)
        states: tuple[Any, ...] = tuple(state) if isinstance(state, tuple | list) else (state,)
        if len(states) != count or not all(isinstance(s, Tensor) for s in states):
            wanted = "a tensor (layers, batch, hidden_size)" if count == 1 else "a pair of tensors (h, c)"
            raise TypeError(f"{name} should be {wanted}, got {type(state).__name__}.")
        return states

    def _checked_step(self, x_t: Tensor, weights: list[Tensor], terms: dict[str, Any]) -> Tensor:
        """A step with all checks; from now on the fast one, where it can be."""
        rnn, states, steps = self._rnn, self._current(), self._steps
        for name in terms:
            if not rnn._cell.leaks or name not in ("leak", "drive"):
                raise TypeError(
                    f"A stream of {rnn._kind} got an unexpected keyword argument '{name}': a step of a LeakyRNN takes "
                    "leak and drive. Where sequences end, stream.reset(rows) begins them again."
                )
        fits = terms and steps is not None and type(x_t) is Tensor and steps.fits(x_t)
        if steps is not None and fits and self._seen == _identity(rnn) and nothing_is_asked():
            return steps.step(steps.as_read(x_t), terms)
        if not isinstance(x_t, Tensor) or x_t.dim() not in (1, 2):
            got = f"{tuple(x_t.shape)}" if isinstance(x_t, Tensor) else type(x_t).__name__
            kind = ValueError if isinstance(x_t, Tensor) else AttributeError
            raise kind(f"A stream takes one step, a tensor (batch, input_size) or (input_size,); got {got}.")
        if rnn.recurrent_dropout and rnn.training:
            raise RuntimeError(
                "Recurrent dropout has one mask for all steps of a sequence, and a stream runs steps apart: call "
                "layer.eval() first."
            )
        if not states:
            rows = rnn.num_layers, *x_t.shape[:-1]
            states = tuple(x_t.new_zeros(*rows, width) for width in rnn._state_widths())
        batched = x_t.dim() == 2
        time = 1 if rnn.batch_first and batched else 0
        sequence = x_t.unsqueeze(time)  # of one step
        check_call(rnn, sequence, states, weights[0])
        check_weights(rnn, weights)
        self._states, self._steps = states, None
        problem = problem_of(
            rnn,
            x_t.unsqueeze(0) if batched else x_t.view(1, 1, -1),
            states if batched else tuple(state.unsqueeze(1) for state in states),
            weights,
        )
        if self._can_be_fast(problem):
            from elman.kernels.numba_cpu.stream import StreamOfSteps

            beside = OfSteps(rnn, problem, batched) if rnn._cell.leaks or rnn.zoneout else None
            self._steps = StreamOfSteps(problem, batched, looks_like, beside)
            self._seen = _identity(rnn)
            return self._steps.step(self._steps.as_read(x_t), terms)
        output: Tensor
        of_sequence = in_a_sequence(terms, x_t.dim(), time)
        output, after = rnn(sequence, states[0] if len(states) == 1 else states, **of_sequence)
        last = (after,) if isinstance(after, Tensor) else after
        # autocast gives them back shorter
        self._states = tuple(new.to(old.dtype) for new, old in zip(last, states, strict=True))
        return output.squeeze(time)

    def _can_be_fast(self, problem: Problem) -> bool:
        """Whether elman's kernels take the steps, without dropout, from weights whose changes can be seen."""
        backend, _ = choose(problem)
        dropout = self._rnn.training and self._rnn.dropout > 0 and self._rnn.num_layers > 1
        # every weight is a parameter, and not one of those that torch.inference_mode made, which have no version
        parameters = {*map(id, self._rnn._parameters.values())}
        watched = all(id(w) in parameters and not w.is_inference() for w in problem.weights)
        return backend is OWN and watched and not dropout and not torch.is_autocast_enabled("cpu")


_address_of: Any = Tensor.data_ptr
_version_of = operator.attrgetter("_version")


class _Seen(NamedTuple):
    """What changes when a parameter is replaced or written to, or when the layer is to run in another way."""

    cell: Cell
    training: bool
    dropout: float
    recurrent_dropout: float
    zoneout: float | tuple[float, float]
    replaced: object
    forked: bool
    threads: int
    beside: tuple[object, ...]
    versions: list[int]
    addresses: list[int]

    def moment(self, rnn: Recurrent, backend: Backend | None) -> "Moment | None":
        """The same for machine code. None: the layer has other parameters by now."""
        from elman.kernels.numba_cpu.native_functions import Moment

        parameters: list[tuple[str, Any]] = [*rnn._parameters.items()]
        if len(parameters) != len(self.addresses):
            return None
        of_layer = {
            "_cell": self.cell,
            "training": self.training,
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "zoneout": self.zoneout,
            "_replaced": self.replaced,
            "_beside_parameters": self.beside,
        }
        attributes: list[tuple[Any, str, Any]] = [(rnn, name, has) for name, has in of_layer.items()]
        attributes += [(_fork, "forked", self.forked), (*moment.LEVEL, moment.NO_LEVEL)]
        weights = zip(parameters, self.addresses, self.versions, strict=True)
        return Moment(attributes, [(*named, at, version) for named, at, version in weights], self.threads, backend)


def _identity(rnn: Recurrent) -> _Seen | None:
    """None where a parameter was made by torch.inference_mode: writing to it leaves no trace."""
    parameters = rnn._parameters.values()
    try:
        return _Seen(
            rnn._cell,
            rnn.training,
            rnn.dropout,
            rnn.recurrent_dropout,
            rnn.zoneout,
            rnn._replaced,
            _fork.forked,
            torch.get_num_threads(),
            rnn._beside_parameters,
            [*map(_version_of, parameters)],
            [*map(_address_of, parameters)],
        )
    except RuntimeError:
        return None
