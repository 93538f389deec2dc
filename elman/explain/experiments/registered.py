"""Are there weights that no optimizer would see? The graph of the results is searched for leaves besides parameters."""

from collections.abc import Sequence

from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments import made
from elman.explain.experiments.causes import PRODUCTS
from elman.explain.experiments.graph import leaves
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.words import listed

_PRODUCTS = {*PRODUCTS, "linear"}
_DEPTH = 4  # how far lists, dicts and modules in attributes are followed


def examine(patient: Patient) -> list[Finding]:
    """The findings not-registered, for leaves that stay the same from run to run and for weights that are plain
    tensors, and made-in-forward, for parameters that are new in each."""
    plain = _plain_weights(patient)
    if plain:
        return [_plain(plain)]
    if not any(result.requires_grad for result in patient.run(grad=True).values()):
        raise NotChecked(say("no result carries a gradient", "기울기를 지닌 결과가 없습니다"))
    known = {id(parameter) for parameter in patient.model.parameters()}
    first, second = (leaves(patient.run(grad=True)) for _ in range(2))
    again = {id(leaf) for leaf in second}
    lost = [leaf for leaf in first if id(leaf) not in known and id(leaf) in again]
    new = [leaf for leaf in first if isinstance(leaf, nn.Parameter) and id(leaf) not in known | again]
    if new and not lost:
        return [_made_anew(patient, new)]
    if not lost:
        return []
    names = sorted(_name_of(leaf, patient.model) or axes(leaf) for leaf in lost)
    it = "it" if len(lost) == 1 else "them"
    return [
        Finding(
            "not-registered",
            "warning",
            say(
                f"{listed(names)} take{'s' if len(lost) == 1 else ''} part and want{'s' if len(lost) == 1 else ''} a "
                f"gradient, but model.parameters() does not hold {it}: an optimizer never sees {it}, and state_dict() "
                f"and "
                f"to() leave {it} out.",
                f"{listed(names)}: 계산에 쓰이고 기울기도 받는데 model.parameters()에는 없습니다. 옵티마이저가 "
                f"학습시키지 못하고 "
                f"state_dict()와 to()에서도 빠집니다.",
            ),
            say(
                f"the graph of the results was followed to its leaves: {len(lost)} of {len(first)} are no parameters.",
                f"결과의 계산 그래프를 끝까지 따라가 보니 잎 {len(first)}개 가운데 {len(lost)}개가 파라미터가 "
                f"아니었습니다.",
            ),
            say(
                "Keep modules in nn.ModuleList or nn.ModuleDict and tensors in nn.Parameter, not in a plain list or "
                "dict.",
                "모듈은 보통 리스트나 딕셔너리가 아니라 nn.ModuleList나 nn.ModuleDict에, 텐서는 nn.Parameter에 "
                "담으세요.",
            ),
        )
    ]


def _plain_weights(patient: Patient) -> dict[str, Tensor]:
    """The tensors without a gradient, in plain attributes, that products take for weights, by name."""
    read = {id_ for one in patient.operations() if one.name in _PRODUCTS for id_ in one.read}
    return {
        f"{name}.{key}".lstrip("."): value
        for module, name in patient.names.items()
        for key, value in vars(module).items()
        if isinstance(value, Tensor) and id(value) in read and value.dim() == 2 and not value.requires_grad
    }


def _plain(weights: dict[str, Tensor]) -> Finding:
    names = listed(list(weights))
    return Finding(
        "not-registered",
        "warning",
        say(
            f"{names}: weights that are plain tensors. Nothing trains them, and state_dict() and to() leave them "
            f"out: a "
            f"model that is loaded has others.",
            f"{names}: 가중치가 보통 텐서입니다. 학습되지 않고 state_dict()와 to()에서도 빠져서, 저장했다가 불러온 "
            f"모델의 값은 다릅니다.",
        ),
        say(
            "a product reads them, and they are neither parameters nor buffers.",
            "행렬곱에 쓰이는데 파라미터도 버퍼도 아닙니다.",
        ),
        say(
            "Keep them in nn.Parameter; what is not to learn, in register_buffer.",
            "nn.Parameter에 담으세요. 학습하지 않을 값이라면 register_buffer를 쓰세요.",
        ),
    )


def _made_anew(patient: Patient, new: Sequence[Tensor]) -> Finding:
    layers = made.layers(patient)
    shapes = listed([axes(leaf) for leaf in new])
    evidence = say(
        f"the graph of the results leads to parameters ({shapes}) that are others in each run.",
        f"결과의 계산 그래프가 실행할 때마다 다른 파라미터({shapes})에 닿습니다.",
    )
    if layers:
        return made.finding(patient, layers[0], evidence)
    return Finding(
        "made-in-forward",
        "error",
        say(
            f"A parameter {shapes} is made anew in every call: model.parameters() does not hold it, and nothing can "
            f"train it.",
            f"파라미터 {shapes}를 부를 때마다 새로 만듭니다. model.parameters()에 없어서 학습되지 않습니다.",
        ),
        evidence,
        say(
            "Make it once, in __init__: self.h_0 = nn.Parameter(...).",
            "__init__에서 한 번만 만드세요: self.h_0 = nn.Parameter(...).",
        ),
    )


def _name_of(tensor: Tensor, value: object, path: str = "", depth: int = 0) -> str:
    """The way from the model to a tensor: cells[0].weight_ih."""
    if value is tensor:
        return path
    parts: list[tuple[str, object]] = []
    if isinstance(value, nn.Module):
        inside = {**value._parameters, **value._buffers, **value._modules}
        inside |= {name: part for name, part in vars(value).items() if not name.startswith("_")}
        parts = [(f"{path}.{name}".lstrip("."), part) for name, part in inside.items()]
    elif isinstance(value, list | tuple):
        parts = [(f"{path}[{place}]", part) for place, part in enumerate(value)]
    elif isinstance(value, dict):
        parts = [(f"{path}[{key!r}]", part) for key, part in value.items()]
    if depth > _DEPTH:
        return ""
    return next(filter(None, (_name_of(tensor, part, way, depth + 1) for way, part in parts)), "")
