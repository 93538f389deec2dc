"""Known runs as one function each, in machine code: what their plans are filled with."""

import math
from collections.abc import Sequence

import torch

from elman.kernels.numba_cpu.allocation import LEAST
from elman.kernels.numba_cpu.inside_torch import inside_torch
from elman.kernels.numba_cpu.launch import end_of_forward
from elman.kernels.numba_cpu.native_functions import Passing, Run, run
from elman.kernels.numba_cpu.plan.prepared import Prepared
from elman.kernels.numba_cpu.plan.record import FIELDS, FORWARD, OF_FORWARD

_OF_STATES, _OF_LAST, _OF_GRADIENTS = ("h0", "c0"), ("h_n", "c_n"), ("d_h0", "d_c0")
_SAVED = "inner", "dropped", "z", "c", "m"
BACK = ("x", *_OF_STATES, "output", *_SAVED, "d_output", "d_h_n", "d_c_n")
"""What a way back is given, by its words of the plan."""
_WEIGHTS = len(FIELDS)  # the word where their addresses begin


def forward(
    prepared: Prepared, dtype: torch.dtype, given: Sequence[int], weights: Sequence[int], sealed: bool
) -> Run | None:
    """Output and last states of x, states and weights. If sealed, of the weights' addresses, x and states; and then
    also the buffers of what is saved, and the seal.

    Args:
        prepared: for such a run.
        dtype: of all tensors.
        given: the bytes of x and the states.
        weights: those of the weights, each of which is all of its memory.
        sealed: whether the seal is asked for.

    Returns:
        None: it needs much memory, or machine code cannot ask this torch, or this Python.
    """
    buffers, results = prepared.rooms.buffers, ("output", *_OF_LAST[: len(prepared.states)])
    held = 0 if sealed else len(weights)
    after = len(given) + held
    places = [(FIELDS.index(name), k, 0) for k, name in enumerate(("x", *_OF_STATES)[: len(given)])]
    places += [(_WEIGHTS + k, len(given) + k, 0) for k in range(held)]
    places += [(FIELDS.index(name), after + k, 0) for k, name in enumerate(results)]
    for name, buffer, offset in zip(_SAVED, buffers.places, buffers.offsets or (0,) * len(_SAVED), strict=True):
        if buffer:
            places.append((FIELDS.index(name), after + len(results) + buffer - 1, offset))
    made = [prepared.output, *prepared.states, *buffers.shapes]
    passing = Passing(
        start=prepared.start,
        plan=_plan(prepared),
        scratch=prepared.scratch,
        dtype=dtype,
        given=[*given, *([] if sealed else weights)],
        held=held,
        made=made,
        slots=[*range(1, 1 + len(made)), -1] if sealed else [*range(1, 1 + len(results))],
        places=places,
    )
    if sealed:
        by_address = len(weights), _WEIGHTS
        passing = passing._replace(weights=by_address, seal=FIELDS.index("seal"), seal_bits=prepared.seal_bits)
    return _run(passing)


def back(
    prepared: Prepared,
    dtype: torch.dtype,
    given: Sequence[tuple[int, Sequence[int]]],
    offsets: Sequence[int],
    steps_of_rows: tuple[int, int],
    needs: Sequence[bool],
    x_shape: Sequence[int],
) -> Run | None:
    """The gradients at x, states and weights, of the weights' addresses, the seal, and tensors.

    Args:
        prepared: for such a run.
        dtype: of all tensors.
        given: of each tensor its bytes, and its places in `BACK`.
        offsets: bytes from where the buffer of what is saved begins to each of the five; (): all begin there.
        steps_of_rows: of the gradient at the output.
        needs: which gradients are asked for.
        x_shape: the shape of x.

    Returns:
        None: as `forward` says.
    """
    weights, first = prepared.weights, len(needs) - len(prepared.weights)
    wanted = [("d_x", x_shape), *zip(_OF_GRADIENTS, prepared.states, strict=False)][:first]
    gradients = [(FIELDS.index(name), shape, need) for (name, shape), need in zip(wanted, needs, strict=False)]
    of_weights = True in needs[first:]
    gradients += [(_WEIGHTS + len(weights) + k, shape, of_weights) for k, shape in enumerate(weights)]
    places, slots = [], []
    made: list[Sequence[int]] = []
    for k, (_, of_tensor) in enumerate(given):
        for place in of_tensor:
            name = BACK[place]
            places.append((FIELDS.index(name), k, offsets[_SAVED.index(name)] if offsets and name in _SAVED else 0))
    for word, shape, need in gradients:
        if need:
            places.append((word, len(given) + len(made), 0))
            made.append(shape)
        slots.append(len(made) if need else 0)
    plan = _plan(prepared)
    plan[FIELDS.index("d_output_step")], plan[FIELDS.index("d_output_row")] = steps_of_rows
    passing = Passing(
        start=prepared.start,
        plan=plan,
        scratch=prepared.scratch,
        dtype=dtype,
        given=[size for size, _ in given],
        held=0,
        made=made,
        slots=slots,
        places=places,
        weights=(len(weights), _WEIGHTS),
        compared=True,
        seal=FIELDS.index("seal"),
        seal_bits=prepared.seal_bits,
    )
    return _run(passing)


def _plan(prepared: Prepared) -> list[int]:
    """The words of a plan without addresses."""
    nothing = [0] * len(prepared.weights)
    plan = prepared.head + FORWARD.pack(*[0] * OF_FORWARD) + end_of_forward(prepared, nothing)
    return [*memoryview(plan).cast("q")]


def _run(passing: Passing) -> Run | None:
    most = max(passing.scratch, *[math.prod(shape) * passing.dtype.itemsize for shape in passing.made])
    if most >= LEAST or inside_torch() is None:  # for so much there is other memory
        return None
    return run(passing)
