"""What torch is doing at this moment that machine code must not run beside, since torch would not see it."""

import torch
from torch.autograd import forward_ad

_transforms_active = torch._C._are_functorch_transforms_active
_dispatch_modes, _tracing_state = torch._C._len_torch_dispatch_stack, torch._C._get_tracing_state

TRANSFORMED = "a torch.func transform is active"
WATCHED = "a TorchDispatchMode wants to see torch's operators"
PASSING = (TRANSFORMED, WATCHED)
"""What takes a call over and then hands it on, to be run."""

LEVEL, NO_LEVEL = (forward_ad, "_current_level"), -1
"""Who has, under which name, the level of forward-mode differentiation; and the number where there is none."""


def obstacle() -> str | None:
    """Why machine code may not run now, whatever the call; or None."""
    if forward_ad._current_level >= 0:
        return "forward-mode differentiation is active"
    if _tracing_state() is not None:
        return "torch.jit.trace wants to see torch's operators"
    if _transforms_active():
        return TRANSFORMED
    return WATCHED if _dispatch_modes() > 0 else None


def is_quiet() -> bool:
    """Whether nothing goes on of what looks of tensors (autograd/private.py) do not show."""
    return forward_ad._current_level < 0 and _dispatch_modes() == 0
