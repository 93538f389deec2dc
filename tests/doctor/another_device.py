"""A device whose numbers lie in the CPU's memory and which computes nothing: the doctor moves models away from it."""

import contextlib
from types import SimpleNamespace
from typing import Any

import torch
from doctor_models import H, I, Tagger
from torch import Tensor, nn
from torch.utils import backend_registration

import elman
from elman.explain.experiments import on_the_cpu

held: dict[int, Tensor] = {}
"""The numbers of each storage on the device."""


def there(numbers: Tensor) -> Tensor:
    """A tensor on the device."""
    made: Tensor = torch._C._acc.create_empty_tensor(numbers.shape, numbers.dtype)
    held[made.untyped_storage()._cdata] = numbers
    return made


def move(operator: Any, *args: Any, **kwargs: Any) -> Any:
    """The operators that carry tensors there and back; any other would be a computation."""
    name = operator.name()
    if name in ("aten::empty.memory_format", "aten::empty_strided"):
        return there(torch.empty(args[0], dtype=kwargs.get("dtype")))
    if name == "aten::_copy_from":
        source, target = (held[a.untyped_storage()._cdata] if a.device.type == "there" else a for a in args[:2])
        target.copy_(source)
        return args[1]
    raise NotImplementedError(f"{name} on the other device")


def put(tensor: Tensor, data: Tensor) -> None:
    """What `tensor.data = data` does between a GPU and the CPU, and torch does not do for backends in Python."""
    torch._C._swap_tensor_impl(tensor, data.detach().requires_grad_(tensor.requires_grad))


class Stateful(Tagger):
    """Holds a tensor that is neither Parameter nor buffer, and asks for its device."""

    def __init__(self) -> None:
        super().__init__(nn.GRU, batch_first=True)
        self.scale = torch.full((1,), 2.0)

    def forward(self, x: Tensor) -> Tensor:
        start = torch.zeros(1, x.shape[0], H, device="there")
        return self.fc(self.rnn(x * self.scale, start.to(x.device))[0])


class Failing(nn.Linear):
    """Does not run."""

    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("as it is")


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
        ),
    )
    on_the_cpu.put = put
    library = torch.library.Library("_", "IMPL")
    library.fallback(move, "PrivateUse1")
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    x = torch.randn(3, 5, I)
    for model in (Tagger(nn.GRU), Tagger(elman.LSTM, batch_first=True), Stateful(), Failing(I, I)):
        model.to("there")
        if isinstance(model, Stateful):
            model.scale = model.scale.to("there")
        tensors = [*model.parameters(), *([model.scale] if isinstance(model, Stateful) else [])]
        before = [(tensor, tensor.detach().cpu().clone()) for tensor in tensors]
        try:
            print(*elman.doctor(model, x.to("there")).codes or ["fine"])
        except ValueError as error:
            print("raised" if "as it is" in str(error) and "on the CPU" in error.__notes__[0] else error)
        assert same(model, before)
    print("fine" if x.to("there").device.type == "there" else "moved")


if __name__ == "__main__":
    main()
