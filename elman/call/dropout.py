"""Dropout between layers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from elman.nn.recurrent import Recurrent


def draw_masks(layer: "Recurrent", rows: Sequence[int], like: Tensor) -> Tensor | None:
    """The masks (L - 1, rows, D * P) between layers, drawn as torch draws them: one layer after the other. None: there
    is a single layer."""
    if layer.num_layers == 1:
        return None
    width = (layer.proj_size or layer.hidden_size) * (2 if layer.bidirectional else 1)
    ones = like.new_ones(*rows, width)
    if torch.compiler.is_exporting():
        # where sizes are constants these are, and the exporter to ONNX would draw one mask and write that down
        one = like.new_ones(())
        ones = ones * torch.where(like.sum(-1, keepdim=True) == 0, one, one)
    return torch.stack([F.dropout(ones, layer.dropout, True) for _ in range(layer.num_layers - 1)])
