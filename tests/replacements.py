"""What may happen to a tensor between forward and backward, by name."""

from collections.abc import Callable

import torch
from guarded import guarded
from torch import Tensor

Change = Callable[[Tensor], object]


def numbers(shape: tuple[int, ...] | torch.Size, like: Tensor) -> Tensor:
    """Other numbers of the dtype of a tensor, small enough for a mask, a length or a weight."""
    return torch.randn(shape).mul(0.3).to(like.dtype)


def _transposed(v: Tensor) -> Tensor:
    return numbers(v.shape[::-1], v).permute(*reversed(range(v.dim())))


def _put(make: Callable[[Tensor], Tensor]) -> Change:
    """`t.data = make(t.data)`."""

    def change(t: Tensor) -> None:
        t.data = make(t.data)

    return change


def _silently(write: Callable[[Tensor], object]) -> Change:
    def change(t: Tensor) -> None:
        with torch.no_grad():
            write(t)

    return change


# what is put in the tensor's place: autograd's version counter does not see it
DATA: dict[str, Change] = {
    name: _put(make)
    for name, make in {
        "other values": lambda v: numbers(v.shape, v),
        "half": lambda v: v.half(),
        "bfloat16": lambda v: v.bfloat16(),
        "float": lambda v: v.float(),
        "double": lambda v: v.double(),
        "complex": lambda v: v.to(torch.complex64),
        "integers": lambda v: v.long(),
        "transposed": _transposed,
        "expanded": lambda v: numbers((), v).expand(v.shape),
        "every other number": lambda v: numbers((*v.shape[:-1], 2 * v.shape[-1]), v)[..., ::2],
        "a negated view": lambda v: torch._neg_view(numbers(v.shape, v)),
        "a tensor of zeros without memory": lambda v: torch._efficientzerotensor(v.shape, dtype=v.dtype),
        "at a forbidden page": lambda v: guarded(numbers(v.shape, v)),
        "at an odd address": lambda v: guarded(numbers(v.shape, v), "odd"),
        "one number": lambda v: v.new_ones(1),
        "one number at a forbidden page": lambda v: guarded(v.new_ones(1)),
        "a scalar": lambda v: v.new_ones(()),
        "empty": lambda v: v.new_empty(0),
        "half of it": lambda v: guarded(v[: v.shape[0] // 2]),
        "without its last column": lambda v: guarded(v[..., :-1]),
        "twice": lambda v: torch.cat([v, v]),
        "much larger": lambda v: v.new_ones([50 * n for n in v.shape[:2]] + [*v.shape[2:]]),
        "last axes swapped": lambda v: v.mT.contiguous() if v.dim() > 1 else v,
        "one axis more": lambda v: v.unsqueeze(0),
        "one axis less": lambda v: v.flatten(0, 1) if v.dim() > 1 else v,
        "sparse": lambda v: v.to_sparse(),
        "sparse rows": lambda v: v.to_sparse_csr(),
        "mkldnn": lambda v: v.to_mkldnn(),
        "meta": lambda v: v.to("meta"),
        "nested": lambda v: torch.nested.nested_tensor([v]),
    }.items()
}

# what is done to its storage or to it in place
PLACE: dict[str, Change] = {
    "storage emptied": lambda t: t.untyped_storage().resize_(0),
    "storage halved": lambda t: t.untyped_storage().resize_(t.untyped_storage().nbytes() // 2),
    "storage grown": lambda t: t.untyped_storage().resize_(1000 * t.untyped_storage().nbytes()),
    "data resized": lambda t: t.data.resize_([4 * n for n in t.shape]),
    "data set to nothing": lambda t: t.data.set_(),
    "written to": _silently(lambda t: t.mul_(2)),
    "set": _silently(lambda t: t.set_(numbers(t.shape, t))),
    "set to nothing": _silently(lambda t: t.set_()),
    "transposed in place": _silently(lambda t: t.transpose_(0, -1)),
    "squeezed in place": _silently(lambda t: t.unsqueeze_(0)),
}

# numbers written where autograd does not look: torch's layer computes with them, in whatever it kept
HIDDEN: dict[str, Change] = {"written to through data": lambda t: t.data.mul_(1.5)}

LAYOUTS = ("other values", "transposed", "expanded", "every other number", "a negated view")
LAYOUTS += ("a tensor of zeros without memory", "at a forbidden page", "at an odd address")
"""Those that leave dtype and shape as they are: a layer takes them at forward too."""
CHANGES = DATA | PLACE | HIDDEN
COUNTED = ("written to", "set", "set to nothing", "transposed in place", "squeezed in place")
"""Those that autograd's version counter sees; what keeps more than torch's layer may refuse more of them."""
