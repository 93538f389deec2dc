"""A device that is the CPU under another name: the doctor examines copies of models on it."""

import contextlib
from types import SimpleNamespace
from typing import Any

import torch
from doctor_models import H, I, Tagger
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils import backend_registration
from torch.utils._pytree import tree_leaves, tree_map

import elman

held: dict[int, Tensor] = {}
"""The numbers of each storage on the device."""


def there(numbers: Tensor) -> Tensor:
    """A tensor on the device."""
    made: Tensor = torch._C._acc.create_empty_tensor(numbers.shape, numbers.dtype)
    held[made.untyped_storage()._cdata] = numbers.contiguous()
    return made


def here(value: Any) -> Any:
    """The numbers of a tensor on the device; what is none as it is, and the CPU for the device."""
    if isinstance(value, torch.device) and value.type == "there":
        return torch.device("cpu")
    return held[value.untyped_storage()._cdata] if isinstance(value, Tensor) and value.device.type == "there" else value


def compute(operator: Any, *args: Any, **kwargs: Any) -> Any:
    """On the CPU, of tensors that are all on the device; results are there, too."""
    if operator.name() == "aten::_copy_from":  # what carries numbers from one device to the other
        here(args[1]).copy_(here(args[0]))
        return args[1]
    leaves = tree_leaves((args, kwargs))
    strangers = [t for t in leaves if isinstance(t, Tensor) and t.dim() and t.device.type != "there"]
    if strangers:
        raise RuntimeError(f"Expected all tensors to be on the same device: {operator.name()}")
    found = operator(*tree_map(here, args), **tree_map(here, kwargs))
    given = {id(here(t)): t for t in leaves if isinstance(t, Tensor)}  # what is written to is a result as it is
    return tree_map(lambda t: given[id(t)] if id(t) in given else there(t) if isinstance(t, Tensor) else t, found)


class Stateful(nn.Linear):
    """Holds a tensor that is neither Parameter nor buffer, and asks for its device."""

    def __init__(self) -> None:
        super().__init__(I, H)
        self.scale = torch.full((1,), 2.0)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * self.scale + torch.zeros(I, device="there"))


class Failing(nn.Linear):
    """Runs on none of these devices."""

    devices = ("there", "cpu")

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type in self.devices:
            raise ValueError(f"not on {x.device.type}")
        return super().forward(x)


class FailingOnTheCpu(Failing):
    """Runs where it is."""

    devices = ("cpu",)


def same(model: nn.Module, before: list[tuple[Tensor, Tensor]]) -> bool:
    """Whether each tensor is the same object, on the device, with the numbers that it had."""
    now = [*model.parameters(), *([model.scale] if isinstance(model, Stateful) else [])]
    return all(
        a is b and a.device.type == "there" and torch.equal(a.detach().cpu(), numbers)
        for a, (b, numbers) in zip(now, before, strict=True)
    )


def main() -> None:
    """What the doctor says of each model; anything else raises."""
    backend_registration._setup_privateuseone_for_python_backend(
        "there",
        backend_module=SimpleNamespace(
            device=lambda device: contextlib.nullcontext(),
            is_available=lambda: True,
            is_initialized=lambda: True,
            current_device=lambda: 0,
            _is_in_bad_fork=lambda: False,
            _lazy_init=lambda: None,
            device_count=lambda: 1,
            get_rng_state=lambda device: torch.zeros(1, dtype=torch.uint8),
            set_rng_state=lambda state, device: None,
        ),
    )
    library = torch.library.Library("_", "IMPL")
    library.fallback(compute, "PrivateUse1")
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    x = torch.randn(3, 5, I)
    for model in (
        Tagger(nn.RNN),
        Tagger(elman.RNN, batch_first=True),
        Stateful(),
        Failing(I, I),
        FailingOnTheCpu(I, I),
    ):
        model.to("there")
        if isinstance(model, Stateful):
            model.scale = model.scale.to("there")
        tensors = [*model.parameters(), *([model.scale] if isinstance(model, Stateful) else [])]
        before = [(tensor, tensor.detach().cpu().clone()) for tensor in tensors]
        try:
            print(*elman.doctor(model, x.to("there")).codes or ["fine"])
        except ValueError as error:
            print(error, *getattr(error, "__notes__", ["as it is"]), sep=", ")
        assert same(model, before)
    print("fine" if x.to("there").device.type == "there" else "moved")
    rows = pack_padded_sequence(x, torch.tensor([5, 2, 4]), batch_first=True, enforce_sorted=False)
    print(*elman.doctor(nn.RNN(I, H).to("there"), rows.to("there")).codes or ["fine"])


if __name__ == "__main__":
    main()
