"""Packed rows to padded ones and back, through indices: every transform goes through that, with any numbers."""

from typing import cast

import torch
from torch import Tensor

from elman.kernels.problem import Problem


class Packing:
    """Where the rows of a PackedSequence lie in its padded tensor.

    Attributes:
        lengths: (N,), the longest sequence first.
    """

    def __init__(self, batch_sizes: Tensor, device: torch.device) -> None:
        count = cast(int, batch_sizes[0])  # a tensor, so that torch.jit.trace keeps N open
        sequences = torch.arange(count, device=batch_sizes.device)
        there = sequences < batch_sizes.unsqueeze(1)  # (T, N)
        self.lengths = there.sum(0)
        self._shape = there.shape
        self._rows = (there.flatten().cumsum(0) - 1).to(device)  # (T * N,), in the padding that of another step
        self._places = there.flatten().nonzero().squeeze(1).to(device)  # (R,)

    def pad(self, rows: Tensor) -> Tensor:
        """(R, K) as (T, N, K). The padding holds anything."""
        return rows.index_select(0, self._rows).view(*self._shape, *rows.shape[1:])

    def pack(self, padded: Tensor) -> Tensor:
        """(T, N, K) as (R, K)."""
        return padded.reshape(-1, *padded.shape[2:]).index_select(0, self._places)  # flatten has no batching rule

    def pad_problem(self, problem: Problem) -> Problem:
        """The same problem of padded rows."""
        masks = None if problem.masks is None else torch.stack([self.pad(mask) for mask in problem.masks])
        terms = tuple(self._pad_term(term) for term in problem.terms)
        x, lengths = self.pad(problem.x), self.lengths
        return problem._replace(x=x, batch_sizes=None, lengths=lengths, masks=masks, terms=terms)

    def _pad_term(self, term: Tensor) -> Tensor:
        """(L * D, R, .) as (L * D, T, N, .); of what is the same at every step, (L * D, 1, 1, .)."""
        return term.unsqueeze(2) if term.shape[1] == 1 else torch.stack([self.pad(of_place) for of_place in term])

    def pack_term(self, padded: Tensor) -> Tensor:
        """The way back."""
        if padded.shape[1:3] == (1, 1):
            return padded.squeeze(2)
        return torch.stack([self.pack(of_place) for of_place in padded])
