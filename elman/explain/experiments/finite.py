"""Is the input made of numbers, and are the results? And does the model give the same twice?"""

import torch
from torch import Tensor

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.influence import largest_difference, moved
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.tensors import axes

UNINITIALISED = 1e15  # no measured or scaled quantity is so large; bits that mean something else easily are


def finite_input(patient: Patient) -> list[Finding]:
    """The findings input-not-finite, unless the model copes with it, and input-uninitialised.

    The patient goes on with random numbers.
    """
    values = patient.call.values
    if not (values.is_floating_point() or values.is_complex()):
        return []
    finite = values.isfinite()
    large = finite & (values.abs() > UNINITIALISED)
    if bool(large.any()):
        return [_uninitialised(patient, values, large)]
    if bool(finite.all()) or not any(result.isnan().any() for result in patient.run().values()):
        return []
    count = int((~finite).sum())
    _go_on_with_numbers(patient)
    finding = Finding(
        "input-not-finite",
        "error",
        say(
            f"The input holds {count} NaN or infinite numbers of {values.numel()}, and so the results hold NaN.",
            f"입력의 수 {values.numel()}개 가운데 {count}개가 NaN이거나 무한대여서 결과에도 NaN이 나옵니다.",
        ),
        say(
            f"it was looked at, and the model run; {_in_its_place()}.",
            f"입력을 살펴보고 모델을 실행해 보았습니다. {_in_its_place()}.",
        ),
        say(
            "torch.Tensor(40, 10, 5) is whatever the memory held: use torch.randn or torch.zeros; look for 0/0 in "
            "data.",
            "torch.Tensor(40, 10, 5)의 값은 메모리에 남아 있던 것입니다. torch.randn이나 torch.zeros를 쓰고, 데이터에 "
            "0/0이 없는지 "
            "보세요.",
        ),
    )
    return [finding]


def _uninitialised(patient: Patient, values: Tensor, large: Tensor) -> Finding:
    count, most = int(large.sum()), float(values[large].abs().max())
    tiny = int(((values != 0) & (values.abs() < torch.finfo(values.dtype).tiny)).sum())
    small = ""
    if tiny:
        small = say(
            f", and {tiny} are too small for a normal number of this type",
            f" 또 {tiny}개는 이 자료형의 정규 수보다도 작습니다.",
        )
    _go_on_with_numbers(patient)
    return Finding(
        "input-uninitialised",
        "error",
        say(
            f"The input holds numbers up to {most:.2g}: uninitialised memory, and not data.",
            f"입력에 {most:.2g}에 이르는 수가 있습니다. 데이터가 아니라 초기화하지 않은 메모리로 보입니다.",
        ),
        say(
            f"{count} of its {values.numel()} numbers are beyond {UNINITIALISED:g}{small}; {_in_its_place()}.",
            f"수 {values.numel()}개 가운데 {count}개는 크기가 {UNINITIALISED:g}보다 큽니다.{small} {_in_its_place()}.",
        ),
        say(
            "torch.Tensor(40, 10, 5) and torch.empty reserve memory and write nothing into it, so its numbers change "
            "from "
            "run to run: use torch.randn, torch.zeros or your data. If these are measured (times in nanoseconds), "
            "scale "
            "them.",
            "torch.Tensor(40, 10, 5)나 torch.empty는 메모리만 잡고 값을 쓰지 않아서 실행할 때마다 수가 달라집니다. "
            "torch.randn이나 "
            "torch.zeros, 또는 실제 데이터를 쓰세요. 정말 측정한 값(나노초 단위 시각 등)이라면 크기를 맞추세요.",
        ),
    )


def _in_its_place() -> str:
    return say(
        "the experiments took random numbers of the same shape in its place",
        "나머지 실험에는 같은 모양의 난수를 대신 넣었습니다",
    )


def _go_on_with_numbers(patient: Patient) -> None:
    values = patient.call.values
    numbers = torch.randn(values.shape, generator=torch.Generator().manual_seed(0))
    patient.call = patient.call.with_values(numbers.to(values.device).to(values.dtype))


def finite_results(patient: Patient) -> list[Finding]:
    """The finding nan, with the first module inside that makes one."""
    bad = [name for name, value in patient.run().items() if value.isnan().any()]
    if not bad:
        return []
    for record in patient.record():
        arrives = any(value.isnan().any() for value in record.inputs.values())
        if not arrives and any(value.isnan().any() for value in record.outputs.values()):
            who, where = patient.label(record.module), patient.names[record.module]
            break
    else:
        who, where = say("the code outside of its modules", "모듈 바깥의 코드"), ""
    return [
        Finding(
            "nan",
            "error",
            say(
                f"The results hold NaN although the input does not; {who} makes the first.",
                f"입력에는 NaN이 없는데 결과에는 있습니다. 처음 나오는 곳은 {who}입니다.",
            ),
            say(
                f"{bad[0]} {axes(patient.run()[bad[0]])} holds NaN.",
                f"{bad[0]} {axes(patient.run()[bad[0]])}에 NaN이 있습니다.",
            ),
            say(
                "Look there for 0/0, log or root of a negative number, softmax over masked places only, NaN weights.",
                "그곳에서 0/0, 음수의 로그나 제곱근, 모두 가려진 softmax, NaN 가중치를 찾아보세요.",
            ),
            where,
        )
    ]


def repeatable(patient: Patient) -> list[Finding]:
    """The finding not-repeatable: without the same results twice there is nothing to compare with."""
    first, second = patient.run(), patient.run()
    for name, value in first.items():
        other = second.get(name)
        if other is None or other.shape != value.shape:
            difference = say("its shape", "모양이")
        elif moved(value, other).any():
            size = f"{largest_difference(value, other):.2g}"
            difference = say(size, f"값이 최대 {size}만큼")
        else:
            continue
        return [
            Finding(
                "not-repeatable",
                "warning",
                say(
                    "The model gives other results for the same input, state and seed: experiments say nothing.",
                    "입력, 상태, 시드가 같은데 결과가 다릅니다. 그래서 실험으로 알 수 있는 것이 없습니다.",
                ),
                say(
                    f"{name} {axes(value)} differed by {difference} between two runs.",
                    f"두 번 실행했더니 {name} {axes(value)}의 {difference} 달랐습니다.",
                ),
                say(
                    "Look for state outside of the module (globals, files), time, threads, or generators of its own.",
                    "모듈 바깥의 상태(전역 변수, 파일), 시간, 스레드, 따로 만든 난수 생성기를 찾아보세요.",
                ),
            )
        ]
    return []
