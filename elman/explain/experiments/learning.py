"""Which parameters get no gradient: the results are differentiated, weighed at random."""

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments import cancelled, zeros
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.parameters import gradients, move_results
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.words import listed


def examine(patient: Patient) -> list[Finding]:
    """The finding no-gradient, for parameters that are not used and those whose gradient is zero, and alike-units."""
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
    if broken := [name for name, g in found.items() if g is not None and not bool(g.isfinite().all())]:
        return [_not_finite(broken)] if all(bool(r.isfinite().all()) for r in results.values()) else []
    missing = [name for name, gradient in found.items() if gradient is None and name not in patient.explained]
    if missing:
        missing = _missing_in_training_too(patient, missing)
    cut = _cut_on_the_way(patient, missing) if missing else []
    unused = [name for name in missing if name not in cut]
    findings = [_cut(cut)] if cut else []
    findings += [_unused(patient, unused)] if unused else []
    findings += zeros.examine(patient, found)
    return findings or cancelled.examine(patient, found)


def _not_finite(names: list[str]) -> Finding:
    return Finding(
        "nan",
        "error",
        say(
            f"The gradients of {listed(names)} are NaN or infinite although the results are finite: one step of an "
            f"optimizer makes NaN of the model.",
            f"결과는 유한한데 {listed(names)}의 기울기가 NaN이거나 무한대입니다. 옵티마이저가 한 번만 움직여도 "
            f"모델이 NaN이 "
            f"됩니다.",
        ),
        say("all results were differentiated together.", "모든 결과를 한꺼번에 미분했습니다."),
        say(
            "Look for sqrt, norm, std or a division at zero, log of zero, and torch.where around them, whose other "
            "branch "
            "is differentiated too: put eps inside, sqrt(x + eps), or mask what goes in.",
            "0에서의 sqrt, norm, std, 나눗셈, log(0), 그리고 그것을 감싼 torch.where를 찾아보세요. 고르지 않은 쪽도 "
            "미분됩니다. sqrt(x + eps)처럼 eps를 안에 넣거나 들어가는 값을 가리세요.",
        ),
    )


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
    if not move_results(patient, set(missing)):
        return []
    return [name for name in missing if move_results(patient, {name})]


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
        " ".join(
            filter(
                None,
                (
                    zeros.mend_of_recurrent(patient, names),
                    say(
                        "Use them in forward, take them out, or freeze them with requires_grad_(False).",
                        "forward에서 쓰거나, 지우거나, requires_grad_(False)로 고정하세요.",
                    ),
                ),
            )
        ),
    )
