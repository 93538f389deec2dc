"""Which parameters get no gradient: the results are differentiated, weighed at random."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.call import Call
from elman.explain.experiments.changes import DRAWS
from elman.explain.experiments.influence import moved
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.patient import Patient, Results, differentiate
from elman.explain.experiments.words import listed

Gradients = dict[str, Tensor | None]

SCALES = (0.1, 1.0)  # how far other parameters are from the model's, in their standard deviations; taken in turn
FARTHER = (1.0, 10.0, 100.0)  # times that: what an argmax is made of moves it only from some size on


def examine(patient: Patient) -> list[Finding]:
    """The finding no-gradient, for parameters that are not used and for those whose gradient is zero."""
    if not any(p.requires_grad for p in patient.model.parameters()):
        raise NotChecked(say("no parameter asks for a gradient", "기울기를 받을 파라미터가 없습니다"))
    results = patient.run(grad=True)
    if not any(r.is_floating_point() or r.is_complex() for r in results.values()):
        raise NotChecked(
            say("the results are whole numbers, which have no gradient", "결과가 정수여서 기울기가 없습니다")
        )
    found = gradients(patient, results)
    if found is None:
        return [_cut_off()]
    missing = [name for name, gradient in found.items() if gradient is None]
    if missing:
        missing = _missing_in_training_too(patient, missing)
    cut = _cut_on_the_way(patient, missing) if missing else []
    unused = [name for name in missing if name not in cut]
    findings = [_cut(cut)] if cut else []
    findings += [_unused(patient, unused)] if unused else []
    return findings + _zero(patient, _all_zero(found))


def gradients(patient: Patient, results: Results) -> Gradients | None:
    """The gradient of each parameter that asks for one; None where no result carries any."""
    parameters = {name: p for name, p in patient.model.named_parameters() if p.requires_grad}
    carrying = [result for result in results.values() if result.requires_grad]
    if not carrying:
        return None
    return dict(zip(parameters, differentiate(carrying, list(parameters.values())), strict=True))


def _missing_in_training_too(patient: Patient, missing: list[str]) -> list[str]:
    """Some are used in training only, such as an auxiliary head."""
    results = patient.attempt(patient.call, grad=True, training=True)
    found = None if results is None else gradients(patient, results)
    return missing if found is None else [name for name in missing if found[name] is None]


def _cut_off() -> Finding:
    return Finding(
        "no-gradient",
        "warning",
        say(
            "No parameter gets a gradient: no result is connected with the parameters.",
            "어느 파라미터도 기울기를 받지 못합니다. 결과가 파라미터와 이어져 있지 않습니다.",
        ),
        say(
            "the model was run with gradients on, and no result requires one.",
            "기울기를 켜고 실행했는데 기울기를 지닌 결과가 없었습니다.",
        ),
        say(
            "Look for torch.no_grad(), detach(), .data, .item(), .numpy() or argmax between parameters and results.",
            "파라미터와 결과 사이에 torch.no_grad(), detach(), .data, .item(), .numpy(), argmax가 없는지 보세요.",
        ),
    )


def _cut_on_the_way(patient: Patient, missing: list[str]) -> list[str]:
    """Those that a result is made of nevertheless: with other numbers in their place the results move."""
    if not _moves(patient, set(missing)):
        return []
    return [name for name in missing if _moves(patient, {name})]


def _moves(patient: Patient, names: set[str]) -> bool:
    """Whether other numbers in the place of these parameters move a result, close by or, past an argmax, far off."""
    before = patient.run()
    for size in FARTHER:
        after = patient.attempt(patient.call, during=_jittered(patient.model, 1, names, size))
        if after is not None and any(bool(moved(before[n], after[n]).any()) for n in before if n in after):
            return True
    return False


def _cut(names: list[str]) -> Finding:
    s = "s" if len(names) == 1 else ""
    return Finding(
        "no-gradient",
        "warning",
        say(
            f"{listed(names, 'Parameter')} get{s} no gradient although the results are made with them: it is cut off "
            f"on "
            f"the way.",
            f"결과를 만드는 데 쓰이는데도 기울기를 받지 못하는 파라미터가 있습니다: {listed(names)}. 가는 길에 "
            f"끊겼습니다.",
        ),
        say(
            "other numbers in their place moved the results, and autograd met them nowhere.",
            "그 값을 바꾸면 결과가 달라지는데, 모든 결과를 미분해도 만나지 못했습니다.",
        ),
        say(
            "Look for torch.no_grad(), detach(), .data, .item(), .numpy() or argmax between them and the results; if "
            "they "
            "are not to learn, say so with requires_grad_(False).",
            "그것과 결과 사이에 torch.no_grad(), detach(), .data, .item(), .numpy(), argmax가 없는지 보세요. 일부러 "
            "학습시키지 않는 "
            "것이라면 requires_grad_(False)로 고정하세요.",
        ),
    )


def _unused(patient: Patient, names: list[str]) -> Finding:
    s, it = ("s", "it") if len(names) == 1 else ("", "them")
    return Finding(
        "no-gradient",
        "warning",
        say(
            f"{listed(names, 'Parameter')} get{s} no gradient: no result is computed with {it}.",
            f"기울기를 받지 못하는 파라미터가 있습니다: {listed(names)}. 어느 결과도 그것으로 계산하지 않습니다.",
        ),
        say(
            f"all results were differentiated together, and autograd met {it} nowhere.",
            "모든 결과를 한꺼번에 미분했는데 어디에서도 만나지 못했습니다.",
        ),
        _mend(
            patient,
            names,
            say(
                "Use them in forward, take them out, or freeze them with requires_grad_(False).",
                "forward에서 쓰거나, 지우거나, requires_grad_(False)로 고정하세요.",
            ),
        ),
    )


def _mend(patient: Patient, names: list[str], otherwise: str) -> str:
    """Recurrent layers have more states than the one that is read by mistake."""
    for layer in patient.recurrent:
        own = [name for name in names if name.startswith(f"{patient.names[layer]}.".lstrip("."))]
        last = f"_l{layer.num_layers - 1}"
        forward, reverse = (any(name.endswith(last + which) for name in own) for which in ("", "_reverse"))
        if layer.bidirectional and forward != reverse:
            return say(
                f"Of two directions h_n[-2] is the forward state and h_n[-1] the backward one alone: take "
                f"torch.cat([h_n[-2], h_n[-1]], -1). {otherwise}",
                f"양방향이면 h_n[-2]는 정방향, h_n[-1]은 역방향의 상태입니다. torch.cat([h_n[-2], h_n[-1]], -1)을 "
                f"쓰세요. {otherwise}",
            )
        if layer.num_layers > 1 and own:
            return say(
                f"Of stacked layers the last one's state is h_n[-1] (of two directions h_n[-2:]), not h_n[0]. "
                f"{otherwise}",
                f"여러 층을 쌓았을 때 마지막 층의 상태는 h_n[0]이 아니라 h_n[-1](양방향이면 h_n[-2:])입니다. "
                f"{otherwise}",
            )
    return otherwise


def _zero(patient: Patient, zero: set[str]) -> list[Finding]:
    """Gradients that stay zero with other parameters and input too, draw after draw.

    Unlike those behind a layer that starts at zero, and those of steps that a maximum passes over by chance.
    """
    zero = zero - patient.explained
    if zero:
        zero -= _hidden_weights_of_one_step(patient, patient.call)
    for draw in range(DRAWS):
        if not zero:
            break
        results = patient.attempt(patient.changes.some(patient.call), grad=True, during=_jittered(patient.model, draw))
        found = None if results is None else gradients(patient, results)
        zero &= _all_zero(found or {})
    names = [name for name, _ in patient.model.named_parameters() if name in zero]
    if not names:
        return []
    return [
        Finding(
            "no-gradient",
            "warning",
            say(
                f"{listed(names, 'Parameter')} get{'s' if len(names) == 1 else ''} no gradient: it is zero everywhere.",
                f"파라미터 {listed(names)}의 기울기가 모두 0입니다.",
            ),
            say(
                f"all results were differentiated together, and {DRAWS} times more with other parameters and other "
                f"input.",
                f"모든 결과를 한꺼번에 미분하고, 파라미터와 입력을 바꾸어 {DRAWS}번 더 해 보았습니다.",
            ),
            _mend(patient, names, _where_it_ends(patient, set(names))),
        )
    ]


def _where_it_ends(patient: Patient, names: set[str]) -> str:
    """What to do, by the operation that makes the same of whatever these parameters are, if one does."""
    general = say(
        "Look for dead or saturated units behind them, a product with zero, and steps or states never used.",
        "그 뒤에 죽거나 포화된 유닛, 0과의 곱, 쓰지 않는 시점이나 상태가 없는지 보세요.",
    )
    if _moves(patient, names):
        return general
    pairs = zip(patient.operations(), patient.operations(during=_jittered(patient.model, 1, names)), strict=False)
    ends = [one for one, other in pairs if one.name == other.name and _makes_the_same(one, other)]
    if not ends:
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
    """Whether what went in differs between two runs, and the numbers that came out do not."""
    came_out = [output for output in one.outputs if output.is_floating_point()]
    return bool(came_out) and _differ(one.inputs, other.inputs) and not _differ(one.outputs, other.outputs)


def _differ(ones: tuple[Tensor, ...], others: tuple[Tensor, ...]) -> bool:
    return any(
        one.shape != other.shape or bool(moved(one, other).any()) for one, other in zip(ones, others, strict=False)
    )


def _all_zero(found: Gradients) -> set[str]:
    """The parameters whose gradient is there and zero."""
    return {name for name, gradient in found.items() if gradient is not None and not gradient.any()}


@contextlib.contextmanager
def _jittered(model: nn.Module, draw: int, which: set[str] | None = None, size: float = 1.0) -> Iterator[None]:
    """Other parameters, `size` times as far off, in the place of the model's, or of these by name; the model's own come
    back when the next run starts."""
    generator = torch.Generator().manual_seed(draw)
    others: dict[int, nn.Parameter] = {}
    for path, module in model.named_modules():
        for name, parameter in list(module._parameters.items()):
            if which is not None and f"{path}.{name}".lstrip(".") not in which:
                continue
            if parameter is not None and parameter.is_floating_point():
                scale = size * max(SCALES[draw % 2] * float(parameter.detach().double().std(correction=0)), 0.01)
                noise = torch.randn(parameter.shape, generator=generator).to(parameter.device, parameter.dtype)
                other = nn.Parameter(parameter.detach() + scale * noise, parameter.requires_grad)
                setattr(module, name, others.setdefault(id(parameter), other))
    yield


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
        f"{patient.names[module]}.{name}".lstrip(".")
        for module, count in steps.items()
        if count == 1
        for name, _ in module.named_parameters()
        if name.startswith("weight_hh")
    }
