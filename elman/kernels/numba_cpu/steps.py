"""`StreamOfSteps` for callers that still have the old record of a problem."""

from collections.abc import Sequence

from torch import Tensor

<<<<<<< HEAD
from elman.kernels.numba_cpu.obstacle import PLAIN
from elman.kernels.numba_cpu.launch import no_address, plain, scratch_memory
from elman.kernels.numba_cpu.plan import FIELDS, HEADER_BYTES, Arrays
from elman.kernels.numba_cpu.prepared import prepare
from elman.kernels._old_problem import Problem

_empty_like = torch.empty_like
_write = struct.Struct("5q").pack_into  # what stands side by side in the plan: prepared, x, h0, h_n, output
_PREPARED = 8 * FIELDS.index("prepared")
=======
from elman.kernels import _old_problem
from elman.kernels.numba_cpu.launch import problem_of
from elman.kernels.numba_cpu.stream import StreamOfSteps
>>>>>>> kernels


class Steps(StreamOfSteps):
    """With one state, and without a batch axis where the input has none."""

    def __init__(
        self, problem: _old_problem.Problem, shape: Sequence[int], state: Tensor, weights: Sequence[Tensor]
    ) -> None:
        self._single = len(shape) == 1
        x = state.new_empty(1, *((1, *shape) if self._single else shape))
        super().__init__(problem_of(problem, x, self._batched(state), weights), not self._single)

    def _batched(self, state: Tensor) -> Tensor:
        return state.unsqueeze(1) if self._single else state

    @property
    def state(self) -> Tensor:
        return self.states[0].squeeze(1) if self._single else self.states[0]

    def can_begin(self, state: Tensor | None, weights: Sequence[Tensor]) -> bool:  # type: ignore[override]
        if state is not None and (type(state) is not Tensor or state.dim() != self.state.dim()):
            return False
        return super().can_begin(None if state is None else (self._batched(state),), weights)

    def begin(self, state: Tensor | None) -> None:  # type: ignore[override]
        super().begin(None if state is None else (self._batched(state),))
