"""Do two layers that read in opposite directions stand at the same steps? One step is changed, and what moves tells."""

from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.influence import moved
from elman.explain.experiments.not_checked import NotChecked, require_steps
from elman.explain.experiments.patient import Patient, Record
from elman.explain.experiments.reading import reading_of
from elman.explain.experiments.timeline import time_axes

MOST = 8  # steps that are changed


def examine(patient: Patient) -> list[Finding]:
    """The finding backward-not-turned."""
    call = patient.call
    require_steps(call)
    if bool((call.ends < call.steps).any()):
        raise NotChecked(say("the sequences end at different steps", "시퀀스마다 끝나는 시점이 다릅니다"))
    if all(time is None for time in time_axes(patient, patient.run()).values()):
        raise NotChecked(say("there is no result of every step", "시점마다의 결과가 없습니다"))
    watched = Watched(patient)
    places = range(len(watched.before))
    turned = [watched.before[place] for place in places if watched.reads_backwards(place)]
    if any(map(watched.stands_at_both_ends, places)):
        return [_finding(patient, turned[0] if turned else None, len(watched.picks))]
    if not turned and any(map(watched.turned_for_nothing, places)):
        return [_turned_for_nothing(patient, len(watched.picks))]
    return []


class Watched:
    """Every call of a module, and the same with one step changed, for some steps.

    Args:
        patient: the model.
    """

    def __init__(self, patient: Patient) -> None:
        call = patient.call
        self._patient, self._steps = patient, call.steps
        self.picks = sorted({round(k * (call.steps - 1) / (MOST - 1)) for k in range(MOST)})
        self.before = patient.record()
        self._afters = [patient.record(patient.changes.step(call, pick)) for pick in self.picks]

    def reads_backwards(self, place: int) -> bool:
        """Whether a call is of a recurrent layer that is given the sequence turned round."""
        record = self.before[place]
        if not isinstance(record.module, nn.RNNBase) or record.packed:
            return False
        along = self._along(place, next(iter(record.inputs)), reading_of(self._patient, record).time)
        return along is not None and torch.equal(along, self._own.flip(1))

    def stands_at_both_ends(self, place: int) -> bool:
        """Whether what goes into a call, or comes out, holds at step p what was read up to p, and back to T - 1 - p.

        Step t moves such a tensor from the earlier of t and T - 1 - t on, and nothing before.
        """
        both = self._own | self._own.flip(1)
        return any(
            bool(along[both].all()) and not bool((along & (both.cumsum(1) == 0)).any()) for along in self._tables(place)
        )

    def turned_for_nothing(self, place: int) -> bool:
        """Whether such a tensor holds at step p what was read up to p, and what was read up to T - 1 - p.

        Step t moves it from t on and up to T - 1 - t, and nothing between the two.
        """
        both = self._own | self._own.flip(1)
        between = (self._own.cumsum(1) == 0) & (self._own.flip(1).cumsum(1) > 0) & ~both
        return any(bool(along[both].all()) and not bool((along & between).any()) for along in self._tables(place))

    def _tables(self, place: int) -> Iterator[Tensor]:
        """(changed steps, T): what each changed step moved, along every axis of T of what goes in and comes out."""
        record = self.before[place]
        for name, value in chain(record.inputs.items(), record.outputs.items()):
            for axis in [axis for axis, size in enumerate(value.shape) if size == self._steps]:
                along = self._along(place, name, axis)
                if along is not None:
                    yield along

    @property
    def _own(self) -> Tensor:
        """(changed steps, T): True at each one's own place."""
        return torch.arange(self._steps) == torch.tensor(self.picks)[:, None]

    def _along(self, place: int, name: str, axis: int) -> Tensor | None:
        """(changed steps, T): where along this axis each changed step moved anything."""
        rows = []
        record = self.before[place]
        for records in self._afters:
            after = records[place] if len(records) == len(self.before) else None
            values = None if after is None else {**after.inputs, **after.outputs}
            value = {**record.inputs, **record.outputs}[name]
            if values is None or name not in values or values[name].shape != value.shape:
                return None
            rows.append(moved(value, values[name]).movedim(axis, 0)[..., None].flatten(1).any(1).cpu())
        return torch.stack(rows)


def _finding(patient: Patient, record: Record | None, changed: int) -> Finding:
    reader = patient.label(record.module) if record else say("A loop", "반복문")
    return Finding(
        "backward-not-turned",
        "error",
        say(
            f"{reader} reads the sequence turned round, and its output is not turned back: at each step it stands "
            f"beside the forward output of another step.",
            f"{reader}{' 층' if record else ''}이 뒤집은 시퀀스를 읽는데 그 출력을 다시 뒤집지 않았습니다. 시점마다 "
            f"다른 시점의 정방향 출력과 나란히 놓입니다.",
        ),
        say(
            f"changing one step t moved what stands at the places t and T - 1 - t, and nothing before the earlier of "
            f"the two ({changed} steps were tried).",
            f"시점 t 하나를 바꾸면 t번과 T - 1 - t번 자리의 값이 함께 달라지고, 둘 가운데 앞선 자리보다 앞은 달라지지 "
            f"않았습니다(시점 {changed}개를 바꿔 보았습니다).",
        ),
        say(
            "Turn the output round once more before the two are joined: of (batch, time, feature) output.flip(1), of a "
            "list of steps outputs[::-1].",
            "둘을 합치기 전에 출력을 다시 뒤집으세요. (배치, 시간, 특성)이라면 output.flip(1), 시점의 리스트라면 "
            "outputs[::-1]입니다.",
        ),
        record.name if record else "",
    )


def _turned_for_nothing(patient: Patient, changed: int) -> Finding:
    return Finding(
        "backward-not-turned",
        "error",
        say(
            "Of two outputs that are joined one was turned round although it reads the sequence forwards: its input "
            "was "
            "not turned, so that at each step it stands beside the output of another step, and nothing reads "
            "backwards.",
            "나란히 놓은 두 출력 가운데 하나를 뒤집었는데, 그 층은 시퀀스를 뒤집지 않고 앞에서부터 읽습니다. 시점마다 "
            "다른 시점의 출력과 나란히 놓이고, 뒤에서부터 읽는 층은 없습니다.",
        ),
        say(
            f"changing one step t moved what stands from t on and up to T - 1 - t, and nothing between the two "
            f"({changed} steps were tried).",
            f"시점 t 하나를 바꾸면 t번부터, 그리고 T - 1 - t번까지의 값이 달라지고 그 사이는 달라지지 않았습니다"
            f"(시점 {changed}개를 바꿔 보았습니다).",
        ),
        say(
            "Turn the input of the backward layer round too: backward(x.flip(1))[0].flip(1).",
            "역방향 층의 입력도 뒤집으세요: backward(x.flip(1))[0].flip(1).",
        ),
    )
