"""Gradients that are zero, whatever the parameters are or from where the model starts; and units that stay alike."""

from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.call import Call
from elman.explain.experiments.changes import DRAWS
from elman.explain.experiments.influence import differ, moved
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.parameters import SCALES, Gradients, all_zero, gradients, jittered, move_results
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.walk import reached
from elman.explain.experiments.words import listed

FLAT = {"round", "floor", "ceil", "trunc", "sign", "sgn", "heaviside", "floor_divide", "__floordiv__", "bucketize"}
ALIKE = 1e-6  # of the largest number: sums of the same numbers may round differently from unit to unit


def examine(patient: Patient, found: Gradients) -> list[Finding]:
    """The finding no-gradient for gradients that are zero, and alike-units."""
    zero = all_zero(found)
    always = _always_zero(patient, zero)
    findings = [_zero(patient, always)] if always else []
    stuck = _stuck(patient, zero - set(always) - patient.explained)
    findings += [_never_leaves(stuck)] if stuck and not always else []
    return findings + _alike(patient, found)


def _always_zero(patient: Patient, zero: set[str]) -> list[str]:
    """Those whose gradient stays zero with other parameters and input too, draw after draw.

    Unlike those behind a layer that starts at zero, and those of steps that a maximum passes over by chance.
    """
    zero = zero - patient.explained
    if zero:
        zero -= _hidden_weights_of_one_step(patient, patient.call)
    for draw in range(DRAWS):
        if not zero:
            break
        results = patient.attempt(patient.changes.some(patient.call), grad=True, during=jittered(patient.model, draw))
        found = None if results is None else gradients(patient, results)
        zero &= all_zero(found or {})
    return [name for name, _ in patient.model.named_parameters() if name in zero]


def _stuck(patient: Patient, zero: set[str]) -> list[str]:
    """Those whose gradient stays zero while all that get one learn: from these values on they never move.

    What gets a gradient is given other numbers, and what gets one then too, until no more do. Only where a weight among
    them is a constant: dead and saturated units are told of elsewhere.
    """
    if zero:
        zero -= _hidden_weights_of_one_step(patient, patient.call)
    free = {name for name, p in patient.model.named_parameters() if p.requires_grad} - zero
    draws = 0
    while zero and draws < DRAWS:
        results = patient.attempt(
            patient.changes.some(patient.call), grad=True, during=jittered(patient.model, draws, free)
        )
        found = None if results is None else gradients(patient, results)
        still = zero & all_zero(found or {})
        draws = draws + 1 if still == zero else 0
        free |= zero - still
        zero = still
    stuck = {name: p for name, p in patient.model.named_parameters() if name in zero}
    alike = any(
        p.dim() > 1 and p.numel() > 1 and not moved(p, p.flatten()[0].expand_as(p)).any() for p in stuck.values()
    )
    return list(stuck) if alike else []


def _alike(patient: Patient, found: Gradients) -> list[Finding]:
    """The finding alike-units: of a recurrent layer all units have the same weights and the same gradient."""
    parameters = dict(patient.model.named_parameters())
    findings = []
    for module in patient.names:
        if not isinstance(module, nn.RNNBase | nn.RNNCellBase) or module.hidden_size < 2:
            continue
        names = [name for name in patient.parameters_of(module, ("weight_ih", "weight_hh")) if name in parameters]
        if not names or "dead-units" in patient.known:
            continue
        given = [found.get(name) for name in names]
        if all(_rows_alike(parameters[name].detach(), module.hidden_size) for name in names) and any(
            gradient is not None and bool(gradient.any()) for gradient in given
        ):
            stay = all(gradient is not None and _rows_alike(gradient, module.hidden_size) for gradient in given)
            biases = [parameters[name].detach()[:, None] for name in patient.parameters_of(module, "bias")]
            if stay or all(_rows_alike(bias, module.hidden_size) for bias in biases):
                findings.append(_all_alike(patient, module, stay))
    return findings


def _rows_alike(values: Tensor, units: int) -> bool:
    """Whether every unit's row is the same, in each gate."""
    if values.dim() != 2 or values.shape[0] % units:
        return False
    gates = values.view(-1, units, values.shape[1])
    return not bool(moved(gates[:, :1].expand_as(gates), gates, ALIKE).any())


def _zero(patient: Patient, names: list[str]) -> Finding:
    return Finding(
        "no-gradient",
        "warning",
        say(
            f"{listed(names, 'Parameter')} get{'s' if len(names) == 1 else ''} no gradient: it is zero everywhere.",
            f"파라미터 {listed(names)}의 기울기가 모두 0입니다.",
        ),
        say(
            f"all results were differentiated together, and {DRAWS} times more with other parameters and other input.",
            f"모든 결과를 한꺼번에 미분하고, 파라미터와 입력을 바꾸어 {DRAWS}번 더 해 보았습니다.",
        ),
        mend_of_recurrent(patient, names) or _where_it_ends(patient, set(names)),
    )


def _never_leaves(names: list[str]) -> Finding:
    return Finding(
        "no-gradient",
        "warning",
        say(
            f"{listed(names, 'Parameter')} get{'s' if len(names) == 1 else ''} no gradient from where the model "
            f"starts, and never will: what learns leaves it at zero.",
            f"파라미터 {listed(names)}의 기울기가 지금 값에서 0이고, 나머지가 학습해도 계속 0입니다.",
        ),
        say(
            f"all others were given other numbers, and other input {DRAWS} times: it stayed zero. With other "
            f"numbers in their own place it does not.",
            f"나머지 파라미터와 입력을 {DRAWS}번 바꾸어도 0이었습니다. 그 파라미터 자신을 바꾸면 0이 아닙니다.",
        ),
        say(
            "Start weights at random (nn.init.xavier_uniform_, orthogonal_): of all zeros nothing is learned. Biases "
            "may be zero.",
            "가중치는 난수로 초기화하세요(nn.init.xavier_uniform_, orthogonal_). 모두 0이면 아무것도 학습되지 않습니다"
            ". 편향은 0이어도 됩니다.",
        ),
    )


def _all_alike(patient: Patient, module: nn.Module, stay: bool) -> Finding:
    """The finding for units that `stay` alike, or that only what reads them tells apart."""
    label = patient.label(module)
    said = say(
        f"All units of {label} have the same weights and get the same gradient: they stay one and the same unit.",
        f"{label}의 유닛이 모두 같은 가중치에 같은 기울기를 받습니다. 학습해도 한 유닛이나 마찬가지입니다.",
    )
    if not stay:
        said = say(
            f"All units of {label} start with the same weights: they are one and the same unit at first, and only what "
            f"reads them tells them apart.",
            f"{label}의 유닛이 모두 같은 가중치에서 시작합니다. 처음에는 한 유닛이나 마찬가지이고, 그것을 읽는 층만이 "
            f"유닛을 구별합니다.",
        )
    return Finding(
        "alike-units",
        "warning",
        said,
        say(
            "the rows of weight_ih and weight_hh were compared, unit by unit, and so were their gradients.",
            "weight_ih와 weight_hh의 행과 그 기울기를 유닛마다 비교했습니다.",
        ),
        say(
            "Start weights at random (nn.init.xavier_uniform_, orthogonal_), not at a constant.",
            "가중치는 상수가 아니라 난수로 초기화하세요(nn.init.xavier_uniform_, orthogonal_).",
        ),
        patient.names[module],
    )


def _where_it_ends(patient: Patient, names: set[str]) -> str:
    """What to do, by the operation that makes the same of whatever these parameters are, if one does."""
    general = say(
        "Look for dead or saturated units behind them, a product with zero, and steps or states never used.",
        "그 뒤에 죽거나 포화된 유닛, 0과의 곱, 쓰지 않는 시점이나 상태가 없는지 보세요.",
    )
    pairs = reached(patient.operations(), patient.operations(during=jittered(patient.model, 1, names)))
    if flat := [one for one, _ in pairs if one.name in FLAT]:
        return say(
            f"It ends at {flat[0].place}, whose derivative is zero everywhere: learn through a smooth one, or pass the "
            f"gradient by with x + (x.round() - x).detach().",
            f"{flat[0].place}에서 끊깁니다. 미분값이 어디서나 0인 연산입니다. 매끄러운 함수를 쓰거나 "
            f"x + (x.round() - x).detach()처럼 기울기만 지나가게 하세요.",
        )
    ends = [one for one, other in pairs if _makes_the_same(one, other)]
    if not ends or move_results(patient, names, SCALES[:1]):
        return general
    said = say(
        f"It ends at {ends[-1].place}, which gives the same numbers whatever they are.",
        f"{ends[-1].place}에서 끊깁니다. 파라미터가 무엇이든 같은 수가 나오는 곳입니다.",
    )
    if ends[-1].name in ("softmax", "log_softmax"):
        return say(
            f"{said} A softmax over an axis of length 1 is 1 everywhere: let it run over the axis of the steps, of "
            f"scores (batch, time, 1) dim=1.",
            f"{said} 길이가 1인 축을 따라 계산한 softmax는 어디서나 1입니다. 시점이 놓인 축을 따라 계산하세요. "
            f"점수가 (배치, 시간, 1) 모양이면 dim=1입니다.",
        )
    return f"{said} {general}"


def _makes_the_same(one: Operation, other: Operation) -> bool:
    """Whether the numbers that came out are the same in two runs."""
    came_out = [output for output in one.outputs if output.is_floating_point()]
    return bool(came_out) and not any(map(differ, one.outputs, other.outputs))


def _hidden_weights_of_one_step(patient: Patient, call: Call) -> set[str]:
    """weight_hh meets h_0 = 0 alone where a layer reads one step: its zero gradient is right."""
    steps: dict[nn.Module, int] = {}
    for record in patient.record(call):
        module = record.module
        if isinstance(module, nn.RNNBase):
            axis = 1 if module.batch_first and record.first.dim() == 3 and not record.packed else 0
            steps[module] = max(steps.get(module, 0), record.first.shape[axis])
        elif isinstance(module, nn.RNNCellBase):
            steps[module] = steps.get(module, 0) + 1
    return {
        name for module, count in steps.items() if count == 1 for name in patient.parameters_of(module, "weight_hh")
    }


def mend_of_recurrent(patient: Patient, names: list[str]) -> str:
    """Recurrent layers have more states than the one that is read by mistake; "" where none of them is to blame."""
    for layer in patient.recurrent:
        own = [name for name in names if name.startswith(f"{patient.names[layer]}.".lstrip("."))]
        last = f"_l{layer.num_layers - 1}"
        forward, reverse = (any(name.endswith(last + which) for name in own) for which in ("", "_reverse"))
        if layer.bidirectional and forward != reverse:
            return say(
                "Of two directions h_n[-2] is the forward state and h_n[-1] the backward one alone: take "
                "torch.cat([h_n[-2], h_n[-1]], -1).",
                "양방향이면 h_n[-2]는 정방향, h_n[-1]은 역방향의 상태입니다. torch.cat([h_n[-2], h_n[-1]], -1)을 "
                "쓰세요.",
            )
        if layer.num_layers > 1 and own:
            return say(
                "Of stacked layers the last one's state is h_n[-1] (of two directions h_n[-2:]), not h_n[0].",
                "여러 층을 쌓았을 때 마지막 층의 상태는 h_n[0]이 아니라 h_n[-1](양방향이면 h_n[-2:])입니다.",
            )
    return ""
