"""Training."""

import torch
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from compatibility_rows.common import Layer, X, row, same, theirs


@row("Training", "forward and backward; state_dict both ways", LeakyRNN="nn.RNN's, at leak=1")
def _(cls: Layer) -> None:
    leak = {"leak": 1.0} if cls.__name__ == "LeakyRNN" else {}
    layer, other = cls(3, 8, 2, bidirectional=True, **leak), theirs(cls)(3, 8, 2, bidirectional=True)
    other.load_state_dict(layer.state_dict())
    layer.load_state_dict(other.state_dict())
    for each in (layer, other):
        each(X)[0].sin().sum().backward()
    same(layer.weight_hh_l1.grad, other.weight_hh_l1.grad)


@row("Training", "double and triple backward, gradient penalty")
def _(cls: Layer) -> None:
    layer, x = cls(3, 8), X.clone().requires_grad_()
    value = layer(x)[0].sum()
    for _turn in range(3):
        (g,) = torch.autograd.grad(value, x, create_graph=True)
        value = g.square().sum()
    value.backward()


@row("Training", "the output is written to before backward: +=, [t] = 0, relu_")
def _(cls: Layer) -> None:
    results = []
    for in_place in (False, True):
        torch.manual_seed(0)
        layer = cls(3, 8)
        output, _ = layer(X)
        if in_place:
            output += 0.1
            output[2] = 0
            output.relu_()
        else:
            output = ((output + 0.1) * (torch.arange(5) != 2).view(5, 1, 1)).relu()
        output.sin().sum().backward()
        results.append(layer.weight_hh_l0.grad)
    same(*results)


@row("Training", "saved_tensors_hooks, save_on_cpu, detect_anomaly")
def _(cls: Layer) -> None:
    layer = cls(3, 8)
    identity = torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t)
    for context in (identity, torch.autograd.graph.save_on_cpu(), torch.autograd.detect_anomaly(check_nan=True)):
        with context:
            layer(X)[0].sin().sum().backward()


@row("Training", "backward in eval mode")
def _(cls: Layer) -> None:
    cls(3, 8).eval()(X)[0].sum().backward()


@row("Training", "bfloat16 and float16, autocast")
def _(cls: Layer) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        cls(3, 8, dtype=dtype)(X.to(dtype))[0].sum().backward()
    with torch.autocast("cpu"):
        cls(3, 8)(X)[0].sum().backward()


@row("Training", "complex numbers, forward")
def _(cls: Layer) -> None:
    cls(3, 8, dtype=torch.complex64)(X.to(torch.complex64))


@row("Training", "checkpointing, FlopCounterMode, use_deterministic_algorithms")
def _(cls: Layer) -> None:
    layer = cls(3, 8)
    checkpoint(lambda x: layer(x)[0], X, use_reentrant=False).sum().backward()
    with FlopCounterMode(display=False) as counter:
        layer(X)
    assert counter.get_total_flops() == 2 * 5 * 4 * layer.weight_hh_l0.shape[0] * (3 + 8)
    torch.use_deterministic_algorithms(True)
    try:
        layer(X)[0].sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)
