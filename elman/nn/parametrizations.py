"""Constraints on recurrent weights: `torch.nn.utils.parametrize.register_parametrization(layer, "weight_hh_l0", ...)`.

Each takes W_hh of any layer or cell, torch's or elman's: (G * H, H), a row a gate's unit that receives and a column a
unit that sends. torch has the rest: `torch.nn.utils.parametrizations.orthogonal` and `spectral_norm`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Connectivity", "DalesLaw", "LowRank"]


class DalesLaw(nn.Module):
    """Each unit excites all that it reaches, or inhibits them: W_hh = |V| ⊙ signs, a sign a column.

    V is what the optimizer moves, so no step can break a sign. Its start is |W_hh|: a matrix that obeys stays as it is,
    of another the magnitudes stay. The form is that of Song, Yang and Wang, PLoS Computational Biology 12(2), 2016,
    with the magnitude in the place of their rectifier, whose gradient would be 0 for half of a random start.

    Args:
        hidden_size: H, the number of units that send (`proj_size`, where a layer has it).
        excitatory: the share of units that excite, 0 to 1: the first `round(excitatory * H)` of them. Or H signs,
            each 1 or -1. Default: 0.8, as in cortex.
        self_connections: False: no unit reaches itself. Default: True.

    Raises:
        ValueError: a share outside [0, 1]; signs that are not H numbers of 1 or -1.
    """

    signs: Tensor  # (H,), 1 or -1

    def __init__(
        self, hidden_size: int, excitatory: float | Sequence[float] | Tensor = 0.8, *, self_connections: bool = True
    ) -> None:
        super().__init__()
        if isinstance(excitatory, int | float):
            if not 0 <= excitatory <= 1:
                raise ValueError(f"excitatory is a share of the units, 0 to 1, and was given as {excitatory}.")
            signs = torch.ones(hidden_size)
            signs[round(excitatory * hidden_size) :] = -1
        else:
            signs = torch.as_tensor(excitatory).detach().clone()
            if signs.shape != (hidden_size,) or not bool((signs.abs() == 1).all()):
                raise ValueError(
                    f"excitatory has to be a share, or {hidden_size} signs (one a unit), each 1 or -1: it is of shape "
                    f"{tuple(signs.shape)}" + ("." if signs.shape != (hidden_size,) else " and holds other numbers.")
                )
        self.register_buffer("signs", signs)
        self.self_connections = self_connections

    def forward(self, magnitudes: Tensor) -> Tensor:
        """W_hh, (G * H, H), of V of the same shape."""
        rows, columns = magnitudes.shape
        if columns != len(self.signs):
            raise ValueError(f"DalesLaw has {len(self.signs)} signs, and the weight {columns} columns, one a unit.")
        weight = magnitudes.abs() * self.signs.to(magnitudes.dtype)
        if self.self_connections:
            return weight
        if rows % columns:
            raise ValueError(f"{rows} rows are no multiple of {columns} columns: no unit has a connection to itself.")
        others = 1 - torch.eye(columns, dtype=weight.dtype, device=weight.device)
        return weight * others.repeat(rows // columns, 1)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """V of a W_hh that is set."""
        return weight.abs()

    def balance(self) -> Tensor:
        """(H,): columns drawn alike and multiplied by it have as much inhibition as excitation, in sum."""
        exciting = int((self.signs > 0).sum())
        inhibiting = len(self.signs) - exciting
        return torch.where(self.signs < 0, exciting / inhibiting if exciting and inhibiting else 1.0, 1.0)


class Connectivity(nn.Module):
    """Only some connections are there: W = V ⊙ mask, for W_hh or W_ih. The rest stays 0 whatever the optimizer does.

    Args:
        mask: of the weight's shape, or (H, H) for the W_hh of each gate alike. True, or not 0, where the unit or input
            of the column reaches the unit of the row.

    Raises:
        ValueError: a mask that is no matrix.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        if mask.dim() != 2:
            raise ValueError(f"mask has to be a matrix, (rows, columns) of weight_hh, and is {mask.dim()}-D.")
        self.register_buffer("mask", mask.detach() != 0)

    def forward(self, values: Tensor) -> Tensor:
        """W_hh, (G * H, H), of V of the same shape."""
        times = values.shape[0] // self.mask.shape[0] if self.mask.shape[0] else 0
        mask = self.mask.repeat(times, 1)
        if mask.shape != values.shape or (times > 1 and self.mask.shape[0] != self.mask.shape[1]):
            raise ValueError(
                f"mask is {tuple(self.mask.shape)} and the weight {tuple(values.shape)}: they have to be alike, or the "
                "mask (H, H) for every gate."
            )
        return values.where(mask, 0)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """V of a W_hh that is set; what stands where no connection is, is left out."""
        return self.forward(weight)


class LowRank(nn.Module):
    """W_hh = M Nᵀ of low rank, with M (G * H, R) and N (H, R) trained.

    It starts from the nearest matrix of that rank (by singular values). Mastrogiuseppe and Ostojic, Neuron 99(3), 2018.

    Args:
        rank: R, at least 1.

    Raises:
        ValueError: a rank below 1, or above what the weight can have.
    """

    def __init__(self, rank: int) -> None:
        super().__init__()
        if rank < 1:
            raise ValueError(f"rank has to be at least 1, and is {rank}.")
        self.rank = rank

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """W_hh, (G * H, H), of M (G * H, R) and N (H, R)."""
        return left @ right.mT

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """M and N of a W_hh that is set, each with the square roots of its singular values."""
        if self.rank > min(weight.shape):
            raise ValueError(f"A weight of shape {tuple(weight.shape)} has no rank of {self.rank}.")
        left, values, right = torch.linalg.svd(weight, full_matrices=False)
        root = values[: self.rank].sqrt()
        return left[:, : self.rank] * root, right.mT[:, : self.rank] * root
