"""The graph that autograd keeps of results."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from elman.explain._language import say
from elman.explain.experiments.not_checked import NotChecked, Refused
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


def differentiate(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    retain: bool = True,
    weights: Sequence[Tensor] | None = None,
) -> list[Tensor | None]:
    """The gradient of the outputs, weighed so or at random, to each input; None where nothing leads to it.

    With retain=False the graph is freed, as backward() frees it. Outputs without a gradient are left out.

    Raises:
        NotChecked: no output carries a gradient.
        Refused: autograd cannot go through the model.
    """
    outputs = [output for output in outputs if output.requires_grad]
    if not outputs:
        raise NotChecked(say("what is looked at carries no gradient", "살펴볼 값에 기울기가 없습니다"))
    weights = weights or [torch.randn(output.shape, dtype=output.dtype, device=output.device) for output in outputs]
    try:
        found = torch.autograd.grad(outputs, inputs, weights, allow_unused=True, retain_graph=retain)
    except RuntimeError as error:
        raise Refused(error) from error
    return [one.to_dense() if one is not None and one.layout != torch.strided else one for one in found]
