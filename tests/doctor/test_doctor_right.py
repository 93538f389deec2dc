"""Models that are right have no findings, whatever their sizes and readings."""

import pytest
import torch
from doctor_models import (
    CELLS,
    IDS,
    KINDS,
    LENGTHS,
    Answering,
    Attention,
    ByHand,
    Cells,
    Classifier,
    H,
    I,
    N,
    Tagger,
    Words,
    kinds,
    stacks,
)
from torch import Tensor

import elman


@kinds
@stacks
def test_a_layer_alone_is_right_in_both_orders(kind: str, stack: dict[str, object], x: Tensor) -> None:
    elman.doctor(KINDS[kind](I, H, batch_first=True, **stack), x).raise_if_bad()
    elman.doctor(KINDS[kind](I, H, **stack), x.transpose(0, 1), batch_dim=1).raise_if_bad()
    elman.doctor(KINDS[kind](I, H, **stack), x[0], batch_dim=None).raise_if_bad()


@kinds
@stacks
def test_right_models_have_no_findings(kind: str, stack: dict[str, object], x: Tensor, padded: Tensor) -> None:
    layer = KINDS[kind]
    elman.doctor(Tagger(layer, batch_first=True, **stack), x, causal=not stack["bidirectional"]).raise_if_bad()
    elman.doctor(Attention(layer, **stack), x).raise_if_bad()
    elman.doctor(Attention(layer, **stack), padded, lengths=LENGTHS).raise_if_bad()
    elman.doctor(Answering(layer, batch_first=True, **stack), x).raise_if_bad()


@kinds
@pytest.mark.parametrize(
    ("read", "width", "options"),
    [
        (lambda o, h: o[:, -1], H, {}),
        (lambda o, h: h[-1], H, {"num_layers": 2}),
        (lambda o, h: h.squeeze(0), H, {}),
        (lambda o, h: h.view(N, -1), H, {}),  # harmless: one layer in one direction
        (lambda o, h: o.mean(1), 2 * H, {"bidirectional": True}),
        (lambda o, h: o.amax(1), 2 * H, {"bidirectional": True}),
        (lambda o, h: torch.cat([h[-2], h[-1]], -1), 2 * H, {"bidirectional": True}),
        (lambda o, h: torch.cat([o[:, -1, :H], o[:, 0, H:]], -1), 2 * H, {"bidirectional": True}),
        (lambda o, h: h.transpose(0, 1).flatten(1), 4 * H, {"bidirectional": True, "num_layers": 2}),
    ],
)
def test_right_readings_of_a_sequence_have_no_findings(kind, read, width, options, x: Tensor) -> None:
    elman.doctor(Classifier(KINDS[kind], read, width, batch_first=True, **options), x).raise_if_bad()


@kinds
def test_token_models_are_right_in_any_order_of_their_logits(kind: str) -> None:
    for flatten in (False, True):
        elman.doctor(Words(KINDS[kind], flatten, batch_first=True), IDS, causal=True).raise_if_bad()
        elman.doctor(Words(KINDS[kind], flatten), IDS.T, batch_dim=1, causal=True).raise_if_bad()


@kinds
@pytest.mark.parametrize(
    ("samples", "steps"), [(7, 7), (6, 6), (4, 4), (6, 4), (4, 6), (2, 2), (3, 1), (12, 3), (3, 12)]
)
def test_equal_sizes_mislead_nobody(kind: str, samples: int, steps: int) -> None:
    """Batch, time, input and hidden sizes that coincide: only experiments tell the axes apart."""
    x = torch.randn(samples, steps, I)
    elman.doctor(KINDS[kind](I, H, batch_first=True), x, causal=True).raise_if_bad()
    elman.doctor(Tagger(KINDS[kind], batch_first=True), x, causal=True).raise_if_bad()
    elman.doctor(Classifier(KINDS[kind], lambda o, h: h[-1], batch_first=True), x, causal=True).raise_if_bad()
    assert elman.doctor(KINDS[kind](I, H), x).codes == ("batch-mixed",)
    assert elman.doctor(Classifier(KINDS[kind], lambda o, h: h[:, -1], batch_first=True, num_layers=2), x).codes == (
        "h_n-as-batch",
    )


@pytest.mark.parametrize("cell", CELLS)
def test_loops_over_cells_and_by_hand_are_right(cell: str, x: Tensor) -> None:
    elman.doctor(Cells(CELLS[cell]), x, causal=True).raise_if_bad()
    elman.doctor(ByHand(), x).raise_if_bad()
