"""Where does padding stand that nobody told of, or told of wrongly? The input itself is looked at."""

import dataclasses

import torch
from torch import Tensor, nn

from elman.explain._language import say
from elman.explain._report import Finding
from elman.explain.experiments.call import Call
from elman.explain.experiments.patient import Patient
from elman.explain.experiments.words import listed, samples

OFTEN = 2  # sequences in which an id that pads stands among words: one may be a slip of the data


def in_front(patient: Patient) -> list[int]:
    """The shorter samples whose padding stands before their steps, where lengths say that it stands behind; none unless
    that is so for all of them."""
    call, pads = patient.call, _pads(patient)
    if call.lengths is None or call.batch_dim is None or pads is None:
        return []
    short = [(n, end) for n, end in enumerate(call.ends.tolist()) if 0 < end < call.steps]
    rows = [(n, pads[n, : call.steps - end], pads[n, call.steps - end :]) for n, end in short]
    return [n for n, _, _ in rows] if all(bool(front.all()) and not bool(rest.any()) for _, front, rest in rows) else []


def finding(patient: Patient, places: list[int]) -> Finding:
    """The finding padding-read for padding in front."""
    ends = patient.call.ends
    return Finding(
        "padding-read",
        "error",
        say(
            f"The sequences are padded in front, and lengths= takes them to be padded behind: of {samples(places)} the "
            f"first steps that are read are padding, and the last real ones are cut off.",
            f"패딩이 시퀀스 앞에 있는데 lengths=는 뒤에 있는 것으로 읽습니다. {samples(places)}에서 앞의 패딩을 읽고 "
            f"마지막 실제 시점들을 버립니다.",
        ),
        say(
            f"the first steps are empty and the last ones are not (lengths {listed([int(ends[n]) for n in places])}).",
            f"처음 시점들이 비어 있고 마지막 시점들은 차 있습니다(길이 {listed([int(ends[n]) for n in places])}).",
        ),
        say(
            "Pad behind (pad_sequence does), or read sequences that are padded in front without lengths.",
            "뒤에 패딩하세요(pad_sequence가 그렇게 합니다). 앞에 패딩한 시퀀스는 길이 없이 읽으세요.",
        ),
    )


def said_by_embedding(patient: Patient) -> Call | None:
    """The call with the lengths that an embedding's padding_idx tells of: where its id stands behind everything else
    alone, and in some sequences only."""
    call = patient.call
    pads = _pads(patient) if call.lengths is None and not call.values.is_floating_point() else None
    if pads is None:
        return None
    ends = (~pads).sum(1)
    behind = torch.arange(call.steps) >= ends[:, None]
    if not torch.equal(pads, behind) or not pads.any() or bool((ends == 0).any()) or bool((ends < call.steps).all()):
        return None
    return dataclasses.replace(call, lengths=ends)


def _pads(patient: Patient) -> Tensor | None:
    """(N, T): where steps are nothing but zeros, or the id that an embedding calls padding; None where there is none
    such."""
    call = patient.call
    if call.batch_dim not in (0, 1) or call.time_dim not in (0, 1) or call.values is not call.sequences:
        return None
    values = call.values.detach().cpu().movedim((call.batch_dim, call.time_dim), (0, 1))
    if values.is_floating_point():
        return (values == 0).flatten(2).all(2) if values.dim() > 2 else None
    embeddings = [one for one in patient.names if isinstance(one, nn.Embedding)]
    ids = {int(one.padding_idx) for one in embeddings if one.padding_idx is not None}
    return values.eq(ids.pop()) if len(ids) == 1 and values.dim() == 2 else None


def used_as_a_word(patient: Patient) -> list[Finding]:
    """The finding padding-id-used: the id that an embedding calls padding stands among the words of several "
    "sequences."""
    pads = _pads(patient)
    if pads is None or patient.call.values.is_floating_point() or not pads.any():
        return []
    real = ~pads
    among = pads & (real.cumsum(1) > 0) & (real.flip(1).cumsum(1).flip(1) > 0)
    at_the_ends = bool((pads & ~among).any())
    if at_the_ends or int(among.any(1).sum()) < OFTEN:
        return []
    embedding = next(one for one in patient.names if isinstance(one, nn.Embedding) and one.padding_idx is not None)
    label = patient.label(embedding)
    return [
        Finding(
            "padding-id-used",
            "warning",
            say(
                f"{label} calls id {embedding.padding_idx} padding, and the input uses it as a word: its vector is "
                f"zero "
                f"and never gets a gradient.",
                f"{label}에서 id {embedding.padding_idx}은 패딩인데 입력에서는 보통 단어로 쓰입니다. 그 벡터는 0이고 "
                f"기울기도 "
                f"받지 못합니다.",
            ),
            say(
                f"it stands between other words in {int(among.any(1).sum())} of {len(pads)} sequences, and at no end.",
                f"시퀀스 {len(pads)}개 가운데 {int(among.any(1).sum())}개에서 다른 단어들 사이에 있고, 끝에는 "
                f"없습니다.",
            ),
            say(
                "Leave padding_idx out, or give padding an id of its own and the words those after it.",
                "padding_idx를 빼거나, 패딩에 따로 id를 주고 단어에는 그다음 id를 쓰세요.",
            ),
            patient.names[embedding],
        )
    ]
