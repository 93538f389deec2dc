"""The graph that autograd keeps of results."""

from typing import Any

from torch import Tensor

from elman.explain.experiments.patient import Results


def nodes(results: Results) -> set[Any]:
    """Every node that gradients of the results pass through; they live as long as the set does."""
    waiting: list[Any] = [result.grad_fn for result in results.values() if result.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        following = {one for one, _ in waiting.pop().next_functions if one is not None} - seen
        seen |= following
        waiting += following
    return seen


def leaves(results: Results) -> list[Tensor]:
    """The tensors that gradients of the results arrive at."""
    return [node.variable for node in nodes(results) if hasattr(node, "variable")]
