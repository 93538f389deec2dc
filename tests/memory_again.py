"""Gradients that are differentiated again, where a storage was cut off: right or refused. A line each, "again: what".

python tests/memory_again.py 'again: GRU layer h0 between'    one of them, here

The change comes before the first gradients or between them and the second ones. torch's own operators, which compute
them, read past the end of what is too short, and end the process.
"""

import sys
from collections.abc import Callable
from typing import Any

import torch
from children import FINE
from torch import Tensor

import elman
from elman.call.usual import Usual

T, N, I, H = 2, 2, 3, 4
CELLS = {"RNN": ("x", "h0"), "GRU": ("x", "h0"), "LSTM": ("x", "h0", "c0"), "LeakyRNN": ("x", "h0", "leak", "drive")}
OF_WEIGHTS = ("weight_ih_l1", "weight_hh_l0", "bias_hh_l1")
OF_RUN = ("output", "h_n", "d_output", "d_h_n")
TABLES = ("lengths", "reset", "masks", "recurrent_masks")
NAMES = [
    f"{cell} {way} {tensor} {moment}"
    for cell, inputs in CELLS.items()
    for way, others in (("layer", TABLES[:2]), ("operator", TABLES))
    for tensor in (*inputs, *OF_WEIGHTS, *OF_RUN, *others)
    for moment in ("before", "between")
]


def made(cell: str, with_tables: bool) -> tuple[torch.nn.Module, dict[str, Tensor]]:
    """A layer and what it is given."""
    torch.manual_seed(5)
    layer = getattr(elman, cell)(I, H, 2, dtype=torch.float64)
    shapes = {"x": (T, N, I), "h0": (2, N, H), "c0": (2, N, H), "leak": (2, 1, 1, H), "drive": (2, T, N, H)}
    given = {name: torch.rand(shapes[name], dtype=torch.float64).requires_grad_() for name in CELLS[cell]}
    if with_tables:
        given |= {"lengths": torch.tensor([T, 1]), "reset": torch.rand(T, N) < 0.4}
    return layer, given


def by_layer(layer: torch.nn.Module, given: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    words = {name: given[name] for name in ("leak", "drive", "lengths", "reset") if name in given}
    hx = (given["h0"], given["c0"]) if "c0" in given else given["h0"]
    output, last = layer(given["x"], hx, **words)
    return output, last[0] if isinstance(last, tuple) else last


def by_operator(layer: torch.nn.Module, given: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    if "lengths" in given:
        masks = {"masks": (1, T, N, H), "recurrent_masks": (2, N, H)}
        for name, shape in masks.items():
            given.setdefault(name, 2 * (torch.rand(shape) < 0.5).double())
    fixed = {"weights": [*layer.parameters()], "nonlinearity": "tanh", "num_layers": 2, "bidirectional": False}
    operator = getattr(torch.ops.elman, {"LeakyRNN": "leaky"}.get(type(layer).__name__, type(layer).__name__.lower()))
    names = [each.name for each in operator.default._schema.arguments]
    return operator(*((fixed | given).get(name) for name in names))[:2]


def second(
    cell: str, way: str, target: str, moment: str, bytes_left: Callable[[int], int] | None, alone: bool
) -> list[Tensor] | None:
    """The second derivatives, or None where they are refused.

    `bytes_left`: of a storage that has so many; None: none is cut off. `alone`: of a loss on the last state alone.
    """
    layer, given = made(cell, target in TABLES)
    run: Any = by_layer if way == "layer" else by_operator
    output, h_n = run(layer, given)
    above = [torch.ones_like(y).cumsum(0).requires_grad_() for y in (output, h_n)]
    named = given | dict(zip(OF_RUN, (output, h_n, *above), strict=True)) | dict(layer.named_parameters())

    def change(now: str) -> None:
        if moment == now and bytes_left is not None:
            storage = named[target].detach().untyped_storage()
            storage.resize_(bytes_left(storage.nbytes()))

    wanted = [t for t in (*given.values(), *layer.parameters()) if t.requires_grad]
    results, of_results = ([h_n], above[1:]) if alone else ([output, h_n], above)
    try:
        change("before")
        first = torch.autograd.grad(results, wanted, of_results, create_graph=True, materialize_grads=True)
        change("between")
        return list(torch.autograd.grad(sum(g.square().sum() for g in first), wanted, materialize_grads=True))
    except RuntimeError as error:
        if not str(error):
            raise
        return None


def verdict(line: str) -> str:
    """ "fine", or what is wrong."""
    cell, way, target, moment = line.removeprefix("again: ").split()
    for patience in (0, 1) if way == "layer" else (0,):  # a run of a form that is known, and a new one
        Usual.PATIENCE = patience
        alone = target == "d_h_n"  # which plain operators save where there is no gradient at the output
        expected = second(cell, way, target, moment, None, alone)
        assert expected is not None
        for bytes_left in (lambda n: 0, lambda n: n // 2):
            found = second(cell, way, target, moment, bytes_left, alone)
            if found is None and way == "layer" and moment == "between":
                return "STRICT what the first gradients read is refused"
            if found is not None and not all(map(torch.equal, found, expected)):
                return "WRONG other gradients"
    return FINE


if __name__ == "__main__":
    print(verdict(sys.argv[1]))
