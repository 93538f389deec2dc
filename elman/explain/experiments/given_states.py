"""What states are layers and cells given, and what state comes back? Compared with what came out before."""

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.influence import differ
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.patient import Patient, Record

Judge = Callable[[Patient, list[Record], list[Record]], Finding | None]


def examine(patient: Patient) -> list[Finding]:
    """The findings state-of-another, states-swapped for h in the place of both, and state-not-returned."""
    records = [one for one in patient.record() if isinstance(one.module, nn.RNNBase | nn.RNNCellBase)]
    if not records:
        raise NotChecked(say("no recurrent layer or cell inside", "안에 순환층이나 셀이 없습니다"))
    calls: dict[nn.Module, list[Record]] = {}
    for record in records:
        calls.setdefault(record.module, []).append(record)
    judges: tuple[Judge, ...] = (_one_for_two, _twice_h, _directions_as_layers, _handed_back)
    found = [judge(patient, of_module, records) for of_module in calls.values() for judge in judges]
    return [finding for finding in found if finding is not None]


def _states(record: Record) -> list[Tensor]:
    """The states that a call was given: none, h_0, or h_0 and c_0."""
    return [value for value in list(record.inputs.values())[1:] if value.is_floating_point()]


def _returned(record: Record) -> list[Tensor]:
    """The states that a call returned."""
    states = list(record.outputs.values())
    return states if isinstance(record.module, nn.RNNCellBase) else states[1:]


def _one_for_two(patient: Patient, calls: list[Record], records: list[Record]) -> Finding | None:
    """Whether each call reads one and the same tensor as its input and as its state."""
    if len(calls) < 2 or not all(_reads_its_state(record) for record in calls) or _rolls_out(calls):
        return None
    label = patient.label(calls[0].module)
    return _finding(
        say(
            f"{label} is given as its state what it also reads as its input, the state of the cell below: it has no "
            f"state of its own, and one state goes through all cells",
            f"{label}에 입력으로 읽는 값이 상태로도 들어갑니다. 아래 셀의 상태 하나를 모든 셀이 함께 쓰고, 이 셀에는 "
            f"자기 상태가 없습니다",
        ),
        say(
            f"in each of its {len(calls)} calls the two were the same numbers.",
            f"호출 {len(calls)}번에서 모두 두 값이 같았습니다.",
        ),
        say(
            "Give each layer a state of its own: h[k] = cells[k](below, h[k]).",
            "층마다 자기 상태를 두세요: h[k] = cells[k](below, h[k]).",
        ),
        calls[0],
    )


def _rolls_out(calls: list[Record]) -> bool:
    """Whether a cell reads at every call what it returned itself at the one before."""
    return all(not differ(_returned(one)[0].flatten(), other.first.flatten()) for one, other in pairwise(calls))


def _reads_its_state(record: Record) -> bool:
    state = next(iter(_states(record)), None)
    read = record.first
    return (
        state is not None
        and not record.packed
        and read.numel() == state.numel()
        and bool(state.any())
        and not differ(read.flatten(), state.flatten())
    )


def _twice_h(patient: Patient, calls: list[Record], records: list[Record]) -> Finding | None:
    """Whether an LSTM is given the h of an earlier call in the place of both of its states."""
    made = [states for record in records if len(states := _returned(record)) == 2]
    for record in calls:
        given = _states(record)
        if len(given) != 2 or differ(*given) or not given[0].any():
            continue
        if any(not differ(h, given[0]) and differ(h, c) for h, c in made):
            label = patient.label(record.module)
            return Finding(
                "states-swapped",
                "error",
                say(
                    f"{label} is given h in the place of both of its states: (h, h), and not (h, c).",
                    f"{label}의 두 상태 자리에 모두 h가 들어갑니다. (h, c)가 아니라 (h, h)입니다.",
                ),
                say(
                    "both of the pair that goes in are the h that came out of an earlier call, whose c is another.",
                    "들어가는 쌍이 둘 다 앞선 호출에서 나온 h이고, 그때의 c는 다른 값입니다.",
                ),
                say(
                    "An LSTM takes and gives both: output, (h, c) = lstm(x, (h, c)); h, c = cell(x, (h, c)).",
                    "LSTM은 둘 다 받고 둘 다 돌려줍니다: output, (h, c) = lstm(x, (h, c)); h, c = cell(x, (h, c)).",
                ),
                record.name,
            )
    return None


def _directions_as_layers(patient: Patient, calls: list[Record], records: list[Record]) -> Finding | None:
    """Whether the layers of a stack start from the two directions of another one's layer."""
    for record in calls:
        layer, given = record.module, _states(record)
        if not isinstance(layer, nn.RNNBase) or layer.bidirectional or layer.num_layers < 2 or not given:
            continue
        for other in records:
            if isinstance(other.module, nn.RNNBase) and other.module.bidirectional and other is not record:
                rows = [_row(start, _returned(other)[0]) for start in given[0]]
                if None not in rows and len({row % 2 for row in rows if row is not None}) == 2:
                    return _finding(
                        say(
                            f"The layers of {patient.label(layer)} start from the two directions of "
                            f"{patient.label(other.module)}: h_n holds forward and backward states in turn, so that "
                            f"one layer gets a forward state and the next one a backward state",
                            f"{patient.label(layer)}의 층들이 {patient.label(other.module)}의 두 방향 상태에서 "
                            f"시작합니다. h_n에는 정방향과 역방향이 번갈아 놓여서 한 층은 정방향, 다음 층은 역방향의 "
                            f"상태를 받습니다",
                        ),
                        say(
                            f"its h_0 holds the rows {', '.join(map(str, rows))} of that h_n.",
                            f"h_0에 그 h_n의 {', '.join(map(str, rows))}번 행이 들어 있습니다.",
                        ),
                        say(
                            "Join the directions of each layer: h_n.view(layers, 2, batch, hidden), then "
                            "torch.cat([h[:, 0], h[:, 1]], -1) or their sum, through a linear layer where sizes "
                            "differ.",
                            "층마다 두 방향을 합치세요: h_n.view(층, 2, 배치, 은닉)으로 나눈 뒤 "
                            "torch.cat([h[:, 0], h[:, 1]], -1)이나 합을 쓰고, 크기가 다르면 선형층을 거칩니다.",
                        ),
                        record,
                    )
    return None


def _row(start: Tensor, h_n: Tensor) -> int | None:
    """Which row of h_n these numbers are."""
    rows = [row for row, state in enumerate(h_n) if bool(state.any()) and not differ(start, state)]
    return rows[0] if rows else None


def _handed_back(patient: Patient, calls: list[Record], records: list[Record]) -> Finding | None:
    """Whether the model is given a state and hands that one back, not the one that came of it."""
    results = list(patient.run().values())
    leaves = [leaf for leaf in patient.call.leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    for given, new in zip(_states(calls[0]), _returned(calls[-1]), strict=False):
        is_argument = any(not differ(leaf, given) for leaf in leaves)
        old = any(not differ(result, given) for result in results)
        if is_argument and old and differ(new, given) and all(differ(result, new) for result in results):
            label = patient.label(calls[0].module)
            return Finding(
                "state-not-returned",
                "error",
                say(
                    f"The state that comes back is the one that went in: what {label} made of it is thrown away, and "
                    f"whoever goes on from it starts again from the beginning.",
                    f"돌려주는 상태가 받은 상태 그대로입니다. {label}에서 만든 새 상태는 버려지고, 이어서 부르면 "
                    f"처음부터 다시 시작합니다.",
                ),
                say(
                    "a result holds the very numbers of the argument that the layer starts from.",
                    "층이 시작하는 인수의 수가 결과에 그대로 들어 있습니다.",
                ),
                say("Return the new one: output, h = rnn(x, h).", "새 상태를 돌려주세요: output, h = rnn(x, h)."),
                calls[0].name,
            )
    return None


def _finding(said: str, evidence: str, mend: str, record: Record) -> Finding:
    return Finding("state-of-another", "warning", f"{said}.", evidence, mend, record.name)
