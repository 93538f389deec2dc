"""A layer one step at a time, with a carried state."""

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from elman import _fork
from elman.kernels.table import OWN, choose, nothing_is_asked
from elman.call.checks import check_call, check_weights
from elman.call.layout import problem_of
from elman.nn.rnn import RNN
from elman.call.usual import weights_are_usual

if TYPE_CHECKING:
    from elman.kernels.numba_cpu.steps import Steps


class Stream:
    """A layer one step at a time: `y = stream(x_t)` for each x_t as it comes, with the numbers of the whole sequence.

    For inference: no gradients flow. The weights are packed once, and again when one was replaced or written to by
    torch (an optimiser's step, load_state_dict); what is written in place through `.data` is seen after the next
    `reset()`. The layer's forward hooks are not called. A stream belongs to one thread; a copy has a state of its own.

    Args:
        rnn: a layer of one direction: in a layer of two, a later step changes earlier outputs.
        hx: the state before the first step, (L, N, H), or (L, H) for a single sequence. Default: zeros, for as many
            sequences as the first input has.

    Raises:
        TypeError: rnn is no elman.RNN, or hx no tensor.
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

    def __init__(self, rnn: RNN, hx: Tensor | None = None) -> None:
        if not isinstance(rnn, RNN):
            raise TypeError(
                f"A stream runs an elman.RNN, got {type(rnn).__name__}; elman.convert makes one of torch's."
            )
        _check_is_state("hx", hx)
        if rnn.bidirectional:
            raise ValueError(
                "A stream reads in one direction, and this layer is bidirectional: its reverse direction begins at the "
                "last step. Run it over whole sequences."
            )
        self._rnn = rnn
        self._start = None if hx is None else hx.detach().clone()
        self._steps: Steps | None = None
        self._state: Tensor | None = None
        self._seen: list[object] = []  # what the packed weights, and the way to run, were made from
        self.reset()

    def __call__(self, x_t: Tensor) -> Tensor:
        """One step.

        Args:
            x_t: (N, I), or (I,) for a single sequence; the same N at every step.

        Returns:
            The last layer's state, (N, H) or (H,), in memory of its own.

        Raises:
            AttributeError: x_t is no tensor.
            ValueError: x_t has not 1 or 2 axes, or another dtype than the weights.
            RuntimeError: a size does not fit the layer or the state, or x_t asks for a gradient.
        """
        steps = self._steps
        if (
            steps is not None
            and type(x_t) is Tensor
            and steps.fits(x_t)
            and not (x_t.requires_grad and torch.is_grad_enabled())
            and self._seen == _identity(self._rnn)
            and nothing_is_asked()
        ):
            return steps(x_t)
        if isinstance(x_t, Tensor) and x_t.requires_grad and torch.is_grad_enabled():
            raise RuntimeError(
                "x_t asks for a gradient, and a stream computes none. Pass x_t.detach(), or run the layer itself on a "
                "sequence of one step with a state."
            )
        with torch.no_grad():
            return self._checked_step(x_t, self._rnn._weights())

    @property
    def state(self) -> Tensor | None:
        """(L, N, H), or (L, H) for a single sequence: a copy of every layer's state after the last step.

        None before the first step where no hx was given. Set it to go on from a state that was kept.
        """
        state = self._current()
        return None if state is None else state.clone()

    @state.setter
    def state(self, state: Tensor | None) -> None:
        _check_is_state("state", state)
        self._state = None if state is None else state.detach().clone(memory_format=torch.contiguous_format)
        steps, self._steps = self._steps, None
        if steps is None or not nothing_is_asked():
            return
        weights = self._rnn._weights()
        if weights_are_usual(self._rnn, weights, weights[0].dtype) and steps.can_begin(state, weights):
            steps.begin(state)
            self._steps = steps

    def __getstate__(self) -> dict[str, Any]:
        """Without what holds addresses: a copy packs its own weights."""
        return {**self.__dict__, "_state": self.state, "_steps": None, "_seen": []}

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
            self.state = self._start
            return
        state = self._current()
        if state is None:
            return
        if state.dim() == 2:
            raise IndexError("This stream holds a single sequence, without a batch axis: reset() begins it again.")
        which = torch.as_tensor(rows, device=state.device)
        if which.numel() and (which.is_floating_point() or which.is_complex() or which.dtype == torch.uint8):
            raise TypeError(
                f"rows should be whole numbers or a bool tensor, got {which.dtype}. Pass a mask as mask.bool()."
            )
        chosen = which if which.dtype == torch.bool else which.long()
        with torch.inference_mode():  # a state may have been made in it
            state[:, chosen] = 0 if self._start is None else self._start[:, chosen]

    def _current(self) -> Tensor | None:
        """The state itself."""
        if self._steps is None or (self._state is None and not self._steps.begun):
            return self._state
        return self._steps.state

    def _checked_step(self, x_t: Tensor, weights: list[Tensor]) -> Tensor:
        """A step with all checks; from now on the fast one, where it can be."""
        rnn, state = self._rnn, self._current()
        if not isinstance(x_t, Tensor) or x_t.dim() not in (1, 2):
            got = f"{tuple(x_t.shape)}" if isinstance(x_t, Tensor) else type(x_t).__name__
            kind = ValueError if isinstance(x_t, Tensor) else AttributeError
            raise kind(f"A stream takes one step, a tensor (batch, input_size) or (input_size,); got {got}.")
        if state is None:
            state = x_t.new_zeros(rnn.num_layers, *x_t.shape[:-1], rnn.hidden_size)
        time = 1 if rnn.batch_first and x_t.dim() == 2 else 0
        sequence = x_t.unsqueeze(time)  # of one step
        check_call(rnn, sequence, (state,), weights[0])
        check_weights(rnn, weights)
        self._state, self._steps = state, None
        if self._can_be_fast(x_t, weights):
            from elman.kernels.numba_cpu.steps import Steps

            from elman.kernels._old_problem import Problem as Old
            self._steps = Steps(Old(rnn.nonlinearity, rnn.num_layers, 1, rnn.bias), x_t.shape, state, weights)
            self._seen = _identity(rnn)
            return self._steps(x_t)
        output: Tensor
        output, after = rnn(sequence, state)
        self._state = after.to(state.dtype)  # autocast gives it back shorter
        return output.squeeze(time)

    def _can_be_fast(self, x_t: Tensor, weights: list[Tensor]) -> bool:
        """Whether elman's kernels take the steps, without dropout, from weights whose changes can be seen."""
        sequence = x_t.unsqueeze(0) if x_t.dim() == 2 else x_t.view(1, 1, -1)
        backend, _ = choose(problem_of(self._rnn, sequence, (), weights))
        dropout = self._rnn.training and self._rnn.dropout > 0 and self._rnn.num_layers > 1
        # every weight is a parameter, and not one of those that torch.inference_mode made, which have no version
        parameters = {*map(id, self._rnn._parameters.values())}
        watched = all(id(w) in parameters and not w.is_inference() for w in weights)
        return backend is OWN and watched and not dropout and not torch.is_autocast_enabled("cpu")


_address_of: Any = Tensor.data_ptr
_version_of = operator.attrgetter("_version")


def _identity(rnn: RNN) -> list[object]:
    """What changes when a parameter is replaced or written to, or when the layer is to run in another way."""
    parameters = rnn._parameters.values()
    way = (rnn.nonlinearity, rnn.training, rnn.dropout, torch.get_num_threads(), _fork.forked)
    return [*way, *map(_version_of, parameters), *map(_address_of, parameters)]


def _check_is_state(name: str, state: Tensor | None) -> None:
    if state is not None and not isinstance(state, Tensor):
        raise TypeError(f"{name} should be a tensor (layers, batch, hidden_size), got {type(state).__name__}.")
