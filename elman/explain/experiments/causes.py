"""What an operation did to the samples, in words, and what to do: softmax over them, a view for a transpose, ..."""

from dataclasses import dataclass

import torch

from elman.explain._language import say
from elman.explain.experiments.culprit import Watched
from elman.explain.experiments.influence import Influence, labelings
from elman.explain.experiments.operations import Operation
from elman.explain.experiments.tensors import axes
from elman.explain.experiments.words import listed

RESHAPES = {"view", "reshape", "flatten", "unflatten", "view_as", "reshape_as", "ravel", "chunk", "split"}
TAKES = {"__getitem__", "select", "narrow", "index_select", "take", "unbind", "gather", "squeeze"}
PRODUCTS = {"matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "einsum", "tensordot", "cdist", "baddbmm", "addmm"}
ELEMENTWISE = {"add", "sub", "mul", "div", "rsub", "pow", "where", "maximum", "minimum", "eq", "lt", "gt"}
_JOINS = {"cat", "concat", "stack", "hstack", "vstack"}
_TURNS = {"flip", "flipud", "roll"}


@dataclass(frozen=True)
class Cause:
    """What an operation did, and the mend."""

    said: str
    mend: str


def cause_of(way: list[Watched]) -> Cause | None:
    """What the first operation of the way did, told by its name, its shapes and what moved."""
    watched = _leaving_the_packed(way)
    if watched is not way[0]:
        return packed_rows(watched)
    name, result = watched.operation.name, next((one for one in watched.outputs if one and one.judged), None)
    if watched.main is None or watched.main[1].axis is None or result is None:
        return None
    if result.reordered is not None:
        return _another_order(watched)
    if name in RESHAPES:
        return _reshape(watched)
    if name in TAKES and len(result.movers()) == 1:
        return _one_sample(watched)
    if name in PRODUCTS:
        return _product(watched)
    if name in ELEMENTWISE and len({tensor.shape for tensor in watched.operation.inputs}) > 1:
        return _broadcast(watched)
    return _join(watched) if name in _JOINS else _over_the_samples(watched)


def _leaving_the_packed(way: list[Watched]) -> Watched:
    """The first operation; if the way begins with packing, which is right, the one that leaves the packed order."""
    if not any(w.operation.name == "_pack_padded_sequence" and w.operation.code == way[0].operation.code for w in way):
        return way[0]
    rows = None
    for watched in way:
        if watched.operation.name == "_pack_padded_sequence":
            rows = watched.operation.outputs[0].shape[0]
        elif rows is not None and watched.operation.outputs[0].shape[:1] != (rows,):
            return watched
    return way[0]


def _where(watched: Watched) -> tuple[str, str, int]:
    """The place, where the samples lie, and on which axis."""
    assert watched.main is not None
    tensor, influence = watched.main
    axis = influence.axis or 0
    lie = say(
        f"the samples lie on axis {axis} of its input {axes(tensor)}",
        f"샘플은 입력 {axes(tensor)}의 축 {axis}에 있습니다",
    )
    return watched.operation.place, lie, axis


def packed_rows(watched: Watched) -> Cause:
    """What is to say of an operation that reads a packed sequence's data as if it were padded."""
    place = watched.operation.place
    if watched.operation.name in ("pad_packed_sequence", "_pad_packed_sequence"):
        return Cause(
            say(
                f"{place} unpacks the samples in the order in which they were packed, the longest first: the packed "
                f"sequence was put together anew and lacks sorted_indices and unsorted_indices",
                f"{place}에서 샘플이 패킹한 순서(긴 것부터)로 풀립니다. 패킹된 시퀀스를 새로 만들면서 sorted_indices와 "
                f"unsorted_indices를 빠뜨렸습니다",
            ),
            say(
                "Change the data alone, packed._replace(data=...), or hand on all four: PackedSequence(data, "
                "packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices).",
                "data만 바꾸세요: packed._replace(data=...). 또는 넷을 다 넘기세요: PackedSequence(data, "
                "packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices).",
            ),
        )
    return Cause(
        say(
            f"{place} takes rows of a packed sequence's data, where the steps of all samples lie one below another, "
            f"the "
            f"longest first, so that its last rows are no sample's last steps",
            f"{place}에서 패킹된 시퀀스의 data를 잘랐는데, 거기에는 모든 샘플의 시점이 차례로 섞여 있어서 마지막 "
            f"행들이 각 샘플의 "
            f"마지막 시점이 아닙니다",
        ),
        say(
            "The state at each sequence's own end is h_n[-1]; for every step call pad_packed_sequence first.",
            "각 시퀀스가 끝난 시점의 상태는 h_n[-1]입니다. 모든 시점이 필요하면 먼저 pad_packed_sequence로 푸세요.",
        ),
    )


def _another_order(watched: Watched) -> Cause:
    place, lie, _ = _where(watched)
    mend = say(
        "Undo the sorting once: pack with enforce_sorted=False, whose results are in the batch's order already, or "
        "index "
        "the results with the inverse permutation.",
        "정렬을 한 번만 되돌리세요. enforce_sorted=False로 패킹하면 결과가 이미 배치의 순서이고, 직접 정렬했다면 "
        "역순열로 "
        "되돌려 놓습니다.",
    )
    name = watched.operation.name
    if name in _TURNS:
        mend = say(
            f"Let it run along the axis of time: of (batch, time, feature) that is axis 1, {name}(..., 1).",
            f"시간 축을 따라 하세요. (배치, 시간, 특성)이라면 축 1, {name}(..., 1)입니다.",
        )
    said = say(f"{place} puts the samples in another order: {lie}", f"{place}에서 샘플의 순서가 바뀝니다. {lie}")
    return Cause(said, mend)


def _reshape(watched: Watched) -> Cause:
    place, lie, axis = _where(watched)
    out = axes(watched.operation.outputs[0])
    if watched.main is not None and _tiled(watched.main[1], axis):
        return Cause(
            say(
                f"{place} cuts the numbers anew, as {out}, as if each sample's rows lay together; {lie}, in turn: 0, "
                f"1, "
                f"2, ..., 0, 1, 2, ..., as repeat puts them",
                f"{place}에서 샘플마다 행이 모여 있는 것처럼 수를 {out} 모양으로 다시 끊어 읽습니다. {lie}. 그런데 "
                f"repeat가 "
                f"놓은 대로 0, 1, 2, ..., 0, 1, 2, ... 순서로 번갈아 있습니다",
            ),
            say(
                "Copy with repeat_interleave(k, 0), which keeps each sample's copies together, or view the other way "
                "round, view(k, batch, ...).transpose(0, 1).",
                "샘플마다 복사본이 모이는 repeat_interleave(k, 0)를 쓰거나, 거꾸로 view(k, batch, ...)로 나눈 뒤 "
                "transpose(0, 1)을 하세요.",
            ),
        )
    return Cause(
        say(
            f"{place} cuts the numbers anew, as {out}, in the order in which they lie, and swaps no axes; {lie}, and "
            f"each "
            f"row gets parts of several: a view or reshape where a transpose was meant?",
            f"{place}에서 수를 놓인 순서대로 {out} 모양으로 다시 끊어 읽습니다. 축은 바뀌지 않고 한 행에 여러 샘플의 "
            f"수가 "
            f"섞입니다. {lie}. transpose를 쓰려던 것이 아닌가요?",
        ),
        swap_axes(),
    )


def _tiled(influence: Influence, axis: int) -> bool:
    """Whether the samples lie on an axis several times, in turn."""
    size = influence.shape[axis]
    if size == influence.samples:
        return False
    own = torch.tensor(influence.picks)[:, None]
    along = influence.along(axis)
    together, in_turn = (not bool((along & (labels != own)).any()) for labels in labelings(size, influence.samples))
    return in_turn and not together


def swap_axes() -> str:
    """The mend of a view or reshape where a transpose was meant."""
    return say(
        "Swap axes with transpose, permute or movedim, never with view or reshape.",
        "축을 바꿀 때는 view나 reshape 말고 transpose, permute, movedim을 쓰세요.",
    )


def _one_sample(watched: Watched) -> Cause:
    place, lie, axis = _where(watched)
    step = "[:, -1]" if axis == 0 else "[-1]"
    return Cause(
        say(f"{place} takes one of the samples alone: {lie}", f"{place}에서 샘플 하나만 꺼냅니다. {lie}"),
        say(
            f"Take from the axis of time: where the samples lie on axis {axis}, its last step is output{step}.",
            f"시간 축에서 꺼내세요. 샘플이 축 {axis}에 있으면 마지막 시점은 output{step}입니다.",
        ),
    )


def _product(watched: Watched) -> Cause:
    place, lie, _ = _where(watched)
    said = say(
        f"{place} multiplies numbers of different samples: {lie}", f"{place}에서 서로 다른 샘플의 수를 곱합니다. {lie}"
    )
    mend = say(
        "Multiply within each sample: neither sum over the axis of the samples nor pair them.",
        "샘플 안에서만 곱하세요. 샘플 축을 따라 더하거나 샘플끼리 짝짓지 마세요.",
    )
    return Cause(said, _unless_meant(mend))


def _broadcast(watched: Watched) -> Cause:
    return broadcast(watched.operation, sum(one is not None and one.judged for one in watched.inputs) > 1)


def broadcast(operation: Operation, both: bool) -> Cause:
    """What a broadcast did; `both` says whether each of its inputs holds samples."""
    shapes = listed([axes(tensor) for tensor in operation.inputs])
    out = axes(operation.outputs[0])
    said = say(
        f"{operation.place} broadcasts {shapes} to {out}, "
        + ("each sample with all others" if both else "one of them made of all"),
        f"{operation.place}에서 {shapes} 모양이 {out} 모양으로 브로드캐스트되어 "
        + ("샘플끼리 모두 짝지어집니다" if both else "모든 샘플로 만든 값이 샘플마다 들어갑니다"),
    )
    mend = say(
        "Bring both to one shape with unsqueeze or squeeze; take means, norms and the like of each sample alone, with "
        "dim= and keepdim=True.",
        "unsqueeze나 squeeze로 두 모양을 맞추세요. 평균이나 노름은 dim=과 keepdim=True로 샘플마다 따로 계산하세요.",
    )
    return Cause(said, _unless_meant(mend))


def _join(watched: Watched) -> Cause:
    lies = [
        say(f"axis {one.axis} of {axes(tensor)}", f"{axes(tensor)}의 축 {one.axis}")
        for tensor, one in zip(watched.operation.inputs, watched.inputs, strict=True)
        if one is not None and one.any
    ]
    return Cause(
        say(
            f"{watched.operation.place} puts together what holds the samples on {listed(lies)}",
            f"{watched.operation.place}에서 이어 붙이는 텐서들은 샘플이 {listed(lies)}에 있습니다",
        ),
        say(
            "Bring the samples to the same axis first; h_n is (layers * directions, batch, hidden).",
            "먼저 샘플을 같은 축에 놓으세요. h_n은 (층 * 방향, 배치, 은닉) 모양입니다.",
        ),
    )


def _over_the_samples(watched: Watched) -> Cause:
    place, lie, axis = _where(watched)
    mend = say(
        f"Let it run over another axis than {axis}: dim=-1 is that of the features.",
        f"축 {axis} 말고 다른 축을 따라 계산하세요. dim=-1이 특성 축입니다.",
    )
    said = say(f"{place} runs over the samples: {lie}", f"{place}에서 샘플 축을 따라 계산합니다. {lie}")
    return Cause(said, _unless_meant(mend))


def _unless_meant(mend: str) -> str:
    return mend + say(
        " Where samples are compared on purpose, accept it: raise_if_bad(ignore=['batch-mixed']).",
        " 일부러 샘플끼리 비교하는 모델이라면 raise_if_bad(ignore=['batch-mixed'])로 받아들이세요.",
    )
