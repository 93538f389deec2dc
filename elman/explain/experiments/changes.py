"""Other numbers, other ids: how an input is changed, in places, without leaving what the model can read."""

import torch
from torch import Tensor, nn

from elman.explain.experiments.call import Call

DRAWS = (
    24  # before "nothing moves" is said: what happens by chance in one draw of two does so in all once in 16 million
)


class Changes:
    """Draws changed inputs, the same ones every time.

    Args:
        model: its embeddings say which ids are padding.
    """

    def __init__(self, model: nn.Module) -> None:
        self._generator = torch.Generator().manual_seed(0)
        self._padding = {
            module.padding_idx
            for module in model.modules()
            if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.padding_idx is not None
        }

    def sample(self, call: Call, sample: int) -> Call:
        """Another sequence in place of this sample."""
        where = call.of_sample(sample)
        return self.where(call, where & self.content(call, where))

    def steps(self, call: Call, first: int) -> Call:
        """Other steps from `first` on, in every sample."""
        where = call.of_steps(first)
        return self.where(call, where & self.content(call, where))

    def step(self, call: Call, step: int) -> Call:
        """Another step in every sample."""
        where = call.of_steps(step) & ~call.of_steps(step + 1)
        return self.where(call, where & self.content(call, where))

    def past(self, call: Call, first: int) -> Call:
        """Other steps before `first`, in every sample."""
        where = ~call.of_steps(first)
        return self.where(call, where & self.content(call, where))

    def all(self, call: Call) -> Call:
        """Other sequences."""
        where = torch.ones_like(call.values, dtype=torch.bool)
        return self.where(call, self.content(call, where))

    def some(self, call: Call) -> Call:
        """Another half of all numbers, or of the ids, chosen at random."""
        where = (torch.rand(call.values.shape, generator=self._generator) < 0.5).to(call.values.device)
        return self.where(call, where & self.content(call, where))

    def padding(self, call: Call) -> Call:
        """Something else past each sequence's end."""
        return self.where(call, call.of_padding(), keep_padding=False)

    def where(self, call: Call, where: Tensor, keep_padding: bool = True) -> Call:
        """Other values where it is True; ids that pad stay, unless they are to change too."""
        return call.with_values(torch.where(where, self._others(call, keep_padding), call.values))

    def noise(self, values: Tensor, size: float = 1.0) -> Tensor:
        """Numbers that are 0.5 to 1.5 standard deviations away from these, times `size`."""
        finite = values[torch.isfinite(values)]
        spread = finite.abs().double() if values.is_complex() else finite.double()
        scale = float(spread.std(correction=0)) if finite.numel() else 0.0
        shape = values.shape
        distance = 0.5 + torch.rand(shape, generator=self._generator)
        sign = torch.randint(2, shape, generator=self._generator) * 2 - 1
        return values + size * (scale or 1.0) * (sign * distance).to(values.device).to(values.dtype)

    def _others(self, call: Call, keep_padding: bool) -> Tensor:
        values = call.values
        if values.is_floating_point() or values.is_complex():
            return self.noise(values)
        if values.dtype == torch.bool:
            return ~values
        past = call.of_padding() if call.lengths is not None else torch.ones_like(values, dtype=torch.bool)
        return self._other_ids(values, past if keep_padding else torch.zeros_like(past))

    def _other_ids(self, ids: Tensor, keep: Tensor) -> Tensor:
        """Each id replaced by another one of the input that does not pad; those that pad stay where `keep` is True."""
        present = torch.unique(ids).cpu()
        fixed = self._fixed_ids(present)
        choices = torch.tensor([i for i in present.tolist() if i not in fixed], dtype=torch.int64)
        if len(choices) < 2:
            choices, fixed = present.long(), set()
        if len(choices) < 2:
            only = int(choices[0])
            choices = torch.tensor(sorted((only, only - 1 if only > 0 else only + 1)))
        flat = ids.cpu().long()
        place = torch.searchsorted(choices, flat).clamp(max=len(choices) - 1)
        shift = torch.randint(1, len(choices), ids.shape, generator=self._generator)
        others = choices[(place + shift) % len(choices)]
        pads = torch.isin(flat, torch.tensor(sorted(fixed), dtype=torch.int64))
        others = torch.where(pads & keep.cpu(), flat, others)
        return others.to(ids.dtype).to(ids.device)

    def _fixed_ids(self, present: Tensor) -> set[int]:
        """The ids that pad: the embeddings' own, and 0 where there are enough others."""
        return self._padding | ({0} if len(present) > 2 else set())

    def content(self, call: Call, where: Tensor) -> Tensor:
        """True but for padding: past the lengths where they are known, else at steps that are all zero."""
        values = call.values
        everything = torch.ones_like(values, dtype=torch.bool)
        if call.lengths is not None:
            return everything & ~call.of_padding()
        if values.dim() < 3 or not (values.is_floating_point() or values.is_complex()):
            return everything
        content = everything & (values != 0).any(-1, keepdim=True)
        return content if (content & where).any() else everything
