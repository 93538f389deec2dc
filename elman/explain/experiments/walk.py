"""The way back from a bad result: along what is bad, to the operation that makes bad out of good."""

from collections.abc import Callable, Sequence

from torch import Tensor

from elman.explain.experiments.influence import differ
from elman.explain.experiments.operations import Operation

Judge = Callable[[Tensor, Tensor], bool]


def reached(ones: Sequence[Operation], others: Sequence[Operation]) -> list[tuple[Operation, Operation]]:
    """The operations of two runs that read other numbers in the second, side by side."""
    pairs = [(one, other) for one, other in zip(ones, others, strict=False) if one.name == other.name]
    return [(one, other) for one, other in pairs if any(map(differ, one.inputs, other.inputs))]


class Walk:
    """The operations of a run, and which of them made what.

    Args:
        operations: as they were noted.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = operations
        self._makers: dict[int, list[int]] = {}
        for place, operation in enumerate(operations):
            for made in operation.made:
                self._makers.setdefault(made, []).append(place)

    def maker(self, read: int, before: int) -> int | None:
        """The place of the last operation before this place that made a tensor, by the tensor's identity."""
        return next((place for place in reversed(self._makers.get(read, [])) if place < before), None)

    def makers(self, read: int, before: int) -> list[int]:
        """The places of all of them, the last first; what is written to has several."""
        return [place for place in reversed(self._makers.get(read, [])) if place < before]

    def maker_of(self, result: Tensor) -> int | None:
        """The place of the last operation that put out these numbers."""
        for place in reversed(range(len(self.operations))):
            for output in self.operations[place].outputs:
                if not differ(output, result):
                    return place
        return None

    def back(self, last: int, bad_in: Callable[[int, int], bool], bad_out: Callable[[int], bool]) -> list[int]:
        """The places on the way from the first operation that makes bad out of good to the last one.

        Args:
            last: where the way begins, going back.
            bad_in: whether an operation's k-th input is bad, by place and k.
            bad_out: whether any output of the operation at a place is.
        """
        seen, waiting, guilty = {last}, [last], []
        while waiting:
            place = waiting.pop()
            before = {
                maker
                for k, read in enumerate(self.operations[place].read)
                if bad_in(place, k)
                for maker in self.makers(read, place)
                if bad_out(maker)
            }
            if not before:
                guilty.append(place)
            waiting += before - seen
            seen |= before
        return sorted(place for place in seen if place >= min(guilty))


class Compared(Walk):
    """A run beside another one that should be the same where it counts.

    Args:
        before: the operations of the first run.
        after: those of the other; from the first that has another name on nothing is compared.
        bad: whether what a tensor holds in the two runs differs where it should not.
    """

    def __init__(self, before: list[Operation], after: list[Operation], bad: Judge) -> None:
        alike = next((k for k, (a, b) in enumerate(zip(before, after, strict=False)) if a.name != b.name), None)
        super().__init__(before[:alike])
        self.after = after[: len(self.operations)]
        self._bad = bad

    def first(self, result: Tensor) -> list[int]:
        """The places from the operation to blame to that which made a bad result; empty where it cannot be told."""
        last = self.maker_of(result)
        if last is None or not self.bad_out(last):
            return []
        return self.back(last, self.bad_in, self.bad_out)

    def bad_in(self, place: int, k: int) -> bool:
        """Whether the k-th input of an operation is bad."""
        return self.judged(self._bad, self.operations[place].inputs, self.after[place].inputs, k)

    def bad_out(self, place: int) -> bool:
        """Whether an output of an operation is bad."""
        outputs, others = self.operations[place].outputs, self.after[place].outputs
        return any(self.judged(self._bad, outputs, others, k) for k in range(len(outputs)))

    @staticmethod
    def judged(judge: Judge, ones: tuple[Tensor, ...], others: tuple[Tensor, ...], k: int) -> bool:
        """What a judge says of the k-th of two runs' tensors; False where their shapes differ."""
        return k < len(others) and ones[k].shape == others[k].shape and judge(ones[k], others[k])
