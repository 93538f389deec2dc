"""Random problems of all cells: the kernels beside the definition in double precision. For processors and systems on
which the test suite does not run, or only slowly: `python -m tools.random_problems [COUNT] [SEED]`.

Sizes, the form (lengths, reset, packed rows, dropout, a projection), the number of threads, and which gradients come
from above are drawn. Says the largest difference of each cell, and exits 1 where one is above 1e-5 of the largest
number of its tensor (at least 1). ReLU is computed in double precision, where no unit is by rounding on the other side
of 0.
"""

import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from cases import Case, Values
from problems import LAYERS, Given, given, kinds_of

from elman.kernels.numba_cpu import api
from elman.kernels.numba_cpu.threads import team
from elman.kernels.problem import Run
from elman.kernels.reference import loop

BOUND = 1e-5


def drawn(draw: random.Random) -> Given:
    """One problem."""
    cell = draw.choice(list(LAYERS))
    case = Case(
        "drawn",
        T=draw.randint(1, 30),
        N=draw.choice([1, 1, 2, 3, 5, 8, 17, 33]),
        I=draw.randint(1, 40),
        H=draw.randint(1, 300 if draw.random() < 0.1 else 70),
        L=draw.choice([1, 1, 2, 3]),
        D=draw.choice([1, 2]),
        bias=draw.random() < 0.8,
    )
    dtype = torch.float64 if cell == "rnn_relu" else torch.float32
    return given(case, cell, draw.choice(kinds_of(cell, case)), dtype)


def of_kernels(made: Given) -> Values:
    """What the kernels give, and the gradients by name."""
    problem = made.problem.with_inputs([t.detach() for t in made.problem.inputs])
    run = api.forward(problem, True)
    back = made.d_output, made.d_last, (True,) * len(problem.inputs)
    states = {f"{s}_n": a for s, a in zip(problem.cell.states, run.last, strict=True)}
    return {"output": run.output, **states, **made.named(api.backward(problem, run.output, run.saved, *back))}


def by_definition(made: Given) -> Values:
    """The same in double precision."""

    def wide(given: Tensor | None) -> Tensor | None:
        return None if given is None else given.double()

    old = made.problem
    problem = old._replace(masks=wide(old.masks)).with_inputs([t.detach().double() for t in old.inputs])
    for t in problem.inputs:
        t.requires_grad_()
    made = replace(made, problem=problem, d_output=wide(made.d_output), d_last=tuple(map(wide, made.d_last)))
    run: Callable[..., Run] = loop.forward
    return made.values(run(problem))


def difference(found: Values, expected: Values) -> tuple[float, str]:
    """The largest, as a part of the largest number of its tensor or of 1, and that tensor's name."""
    worst = 0.0, ""
    for name, right in expected.items():
        right = right.detach()
        apart = (found[name].double() - right).abs()
        scale = right.abs().nan_to_num().max().clamp(min=1) if right.numel() else torch.tensor(1.0)
        if not torch.equal(found[name].isnan(), right.isnan()):
            return float("inf"), name
        worst = max(worst, (float((apart.nan_to_num().max() if right.numel() else apart.sum()) / scale), name))
    return worst


def main() -> None:
    """Draws, compares, and says what was found."""
    count, seed = (int(given) for given in (sys.argv[1:] + ["300", "0"][len(sys.argv) - 1 :])[:2])
    team._TEAM_WORK = team._TEAM_STEP = 0  # threads even for work as small as this
    draw = random.Random(seed)
    worst: dict[str, tuple[float, str]] = dict.fromkeys(LAYERS, (0.0, ""))
    for number in range(count):
        made = drawn(draw)
        torch.set_num_threads(draw.randint(1, 3))
        found = difference(of_kernels(made), by_definition(made))
        cell = made.problem.cell.name
        worst[cell] = max(worst[cell], found)
        if found[0] > BOUND:
            print(f"problem {number} of seed {seed}: {cell}, {found[1]} differs by {found[0]:.2g}: {made.problem}")
        elif number % 50 == 49:
            print(f"{number + 1} problems", flush=True)
    for cell, (apart, name) in worst.items():
        print(f"{cell}: {apart:.2g} at most, in {name}")
    sys.exit(any(apart > BOUND for apart, _ in worst.values()))


if __name__ == "__main__":
    main()
