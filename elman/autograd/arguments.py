"""A problem, and its way back, as the arguments of torch's operators, and back."""

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

from elman.autograd.registered import Signature
from elman.autograd.rule import Back, Gradients
from elman.kernels.problem import Problem, Run


class Arguments(Signature):
    """Those of the two operators of one class of layer."""

    def __init__(self, layer: str) -> None:
        super().__init__(layer)
        make: Any = namedtuple  # its fields are known only now
        self.fields = make("fields", [*self.names, *self.later], defaults=[None] * len(self.later))
        self.count = len(self.names)

    def problem(self, arguments: Sequence[Any]) -> Problem:
        given = self.fields(*arguments)
        cell = self.cells.get(getattr(given, "nonlinearity", None))
        if cell is None:
            names = " or ".join(map(repr, self.cells))
            raise RuntimeError(f"Unknown nonlinearity '{given.nonlinearity}'. Select from {names}.")
        directions = 2 if given.bidirectional else 1
        count, left = divmod(len(given.weights), max(1, given.num_layers) * directions)
        projected = count % 2 == 1
        if given.num_layers < 1 or left or not 2 <= count <= 5 or (projected and len(cell.states) == 1):
            raise RuntimeError(
                f"elman::{self.name} takes w_ih, w_hh and with bias b_ih and b_hh for each of {given.num_layers} "
                f"layers and {directions} directions; got {len(given.weights)} weights."
            )
        states = tuple(state for state in given[1 : 1 + len(cell.states)] if state is not None)
        if len(states) not in (0, len(cell.states)):
            raise RuntimeError(f"elman::{self.name} takes all of {', '.join(given._fields[1:3])} or none of them.")
        form = cell, given.num_layers, directions, count > 3, projected
        terms = tuple(term for name in self.terms if (term := getattr(given, name)) is not None)
        if terms and given.leak is None:
            raise RuntimeError(f"elman::{self.name} takes a drive beside a leak.")
        of_steps = given.lengths, given.reset, given.masks
        problem = Problem(*form, given.x, states, tuple(given.weights), *of_steps)
        return problem._replace(terms=terms, recurrent_masks=given.recurrent_masks)

    def taken_of(self, problem: Problem) -> tuple[Any, ...]:
        states = problem.states or (None,) * len(self.cell.states)
        choice = () if len(self.cells) == 1 else (problem.cell.nonlinearity,)
        tensors = (problem.x, *states, list(problem.weights), problem.lengths, problem.reset, problem.masks)
        terms = (*problem.terms, *[None] * (len(self.terms) - len(problem.terms)))
        later = problem.recurrent_masks, *terms
        return (*tensors, *choice, problem.num_layers, problem.num_directions == 2, *later)

    def run(self, given: Sequence[Any]) -> Run:
        count = 1 + len(self.cell.states)
        return Run(given[0], tuple(given[1:count]), tuple(given[count:]))

    def back(self, arguments: Sequence[Any]) -> tuple[Problem, Back, tuple[bool, ...], int | None]:
        end = self.count + 5 + len(self.cell.states)
        output, saved, d_output, *d_last, needs, groups = arguments[self.count : end]
        back = Back(output, tuple(saved), d_output, tuple(d_last))
        return self._problem_of_back(arguments), back, tuple(needs), groups

    def taken_of_back(self, problem: Problem, back: Back, needs: Sequence[bool], groups: int | None) -> tuple[Any, ...]:
        given = back.output, list(back.saved), back.d_output, *back.d_last
        taken = self.taken_of(problem)
        return (*taken[: self.count], *given, list(needs), groups, *taken[self.count :])

    def at_arguments(self, problem: Problem, found: Gradients) -> tuple[Any, ...]:
        """Gradients at the problem's inputs, as those at forward's arguments."""
        after, end = 1 + len(problem.states), len(found) - len(problem.terms)
        gradients: dict[str, Any] = {"x": found[0], "weights": found[after:end]}
        gradients |= {f"{name}0": d for name, d in zip(self.cell.states, found[1:after], strict=False)}
        gradients |= dict(zip(self.terms, found[end:], strict=False))
        return tuple(gradients.get(name) for name in self.fields._fields)

    def _problem_of_back(self, arguments: Sequence[Any]) -> Problem:
        end = self.count + 5 + len(self.cell.states)
        return self.problem((*arguments[: self.count], *arguments[end:]))
