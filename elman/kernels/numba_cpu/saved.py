"""The shapes of what the kernels save, for those who only make room: asked before anything of theirs is loaded."""

from elman.kernels.numba_cpu.cells.table import KINDS
from elman.kernels.problem import Problem

Shape = tuple[int, ...]


def saved_shapes(problem: Problem) -> tuple[Shape | None, ...]:
    """Of what `api.forward` saves, in the order of `problem.cell.saved`; None: nothing."""
    kind, layers, directions = KINDS[problem.cell.name], problem.num_layers, problem.num_directions
    rows, h = problem.x.shape[:-1], problem.hidden_size
    below = (layers - 1, *rows, directions * problem.output_size) if layers > 1 else None
    shapes = [below, None if problem.masks is None else below]
    if not kind.in_output or kind.carries:
        kept = (kind.slots * h, h if kind.has_c else 0, h if problem.projected else 0)
        shapes += [(layers, directions, *rows, numbers) if numbers else None for numbers in kept]
    return tuple(shapes)
