"""Are there weights that no optimizer would see? The graph of the results is searched for leaves besides parameters."""

from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.graph import leaves
from elman.explain.experiments.not_checked import NotChecked
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.words import listed

_DEPTH = 4  # how far lists, dicts and modules in attributes are followed


def examine(patient: Patient) -> list[Finding]:
    """The finding not-registered, for leaves that stay the same from run to run."""
    if not any(result.requires_grad for result in patient.run(grad=True).values()):
        raise NotChecked(say("no result carries a gradient", "기울기를 지닌 결과가 없습니다"))
    known = {id(parameter) for parameter in patient.model.parameters()}
    first, second = (leaves(patient.run(grad=True)) for _ in range(2))
    again = {id(leaf) for leaf in second}
    lost = [leaf for leaf in first if id(leaf) not in known and id(leaf) in again]
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
