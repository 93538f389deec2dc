"""A layer in a graph of torch.fx: one node, as torch's are, which torch.fx knows by the name of their package."""

from typing import Any

from torch import nn
from torch.fx import Proxy
from torch.fx.proxy import TraceError


def as_one_node(layer: nn.Module, input: Proxy, **others: Any) -> Any:
    """What a call of the layer is in the graph that is being traced; `others` may be None.

    Raises:
        TraceError: the layer itself is traced, and not a module that holds it; so for torch's layers.
    """
    tracer: Any = input.tracer
    if tracer.root is layer:
        raise TraceError(
            f"torch.fx keeps {type(layer).__name__} as one node, with no graph inside. Trace a module that holds it."
        )
    given = {name: value for name, value in others.items() if value is not None}
    return tracer.create_proxy("call_module", tracer.path_of_module(layer), (input,), given)
