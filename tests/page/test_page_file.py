"""The page as a file: one self-contained document, small, in which text is data. What it does is in test_browser.py."""

import base64
import html.parser
import json
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import elman
from elman.explain import _page

HOSTILE = [
    "</script>",
    "<!--",
    "<script>",
    "<img src=x onerror=alert(1)>",
    "&lt;",
    "]]>",
    "\u2028",
    "[[script]]",
    "\\",
    '"',
]


class Document(html.parser.HTMLParser):
    """The elements of a page, and the text inside its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.tags:
            self.inside.setdefault(self.tags[-1][0], []).append(data)


def saved(trace, folder: Path, **options) -> str:
    return trace.save(folder / "run.html", **options).read_text(encoding="utf-8")


def data_of(text: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def array(text: str, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), "<f4").reshape(shape).copy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_page_holds_the_trace(tmp_path, dtype) -> None:
    rnn = elman.RNN(3, 4, 2, bidirectional=True, batch_first=True, dtype=dtype)
    trace = elman.trace(rnn, torch.randn(3, 5, 3, dtype=dtype), torch.randn(4, 3, 4, dtype=dtype), lengths=[5, 2, 0])
    data = data_of(saved(trace, tmp_path))
    assert data["sizes"] == {"T": 5, "N": 3, "I": 3, "H": 4, "L": 2, "D": 2}
    assert data["lengths"] == [5, 2, 0]
    for name, value in (("x", trace.x), ("h_0", trace.h_0), ("h", trace.hidden)):
        assert torch.equal(array(data["arrays"][name], *value.shape), value.float())
    assert data["weights"].keys() == dict(rnn.named_parameters()).keys()
    for name, value in rnn.named_parameters():
        assert torch.equal(array(data["weights"][name], *value.shape), value.detach().float())
    assert (data["difference"], data["tolerance_ratio"]) == (trace.difference, trace.tolerance_ratio)
    below, above = (trace.sensitivity(layer=layer, direction=1) for layer in range(2))
    assert data["radii"][1] == pytest.approx([below.spectral_radius, below.weight_radius])
    assert max(data["radii"][1][0], data["radii"][3][0]) == pytest.approx(above.spectral_radius)
    some = data_of(saved(trace, tmp_path, batch=[2, -2]))
    assert some["sequences"] == [2, 1]
    assert some["lengths"] == [0, 2]
    assert torch.equal(array(some["arrays"]["x"], 5, 2, 3), trace.x[:, [2, 1]].float())


def test_page_asks_for_nothing_from_anywhere(tmp_path) -> None:
    """Scripts and styles are inline and named by their hash in the policy; nothing has an address."""
    text = saved(elman.trace(elman.RNN(3, 4), torch.randn(5, 3)), tmp_path)
    document = Document(text)
    assert not [
        pair for tag in document.tags for pair in tag[1].items() if pair[0] in ("src", "srcset", "style", "onload")
    ]
    assert [attrs["href"] for _, attrs in document.tags if "href" in attrs] == ["#grid"]
    assert "link" not in dict(document.tags)
    policy = next(
        attrs["content"] for tag, attrs in document.tags if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)


def test_page_is_small_and_quickly_made(tmp_path, record_property) -> None:
    """64 steps, two layers of 64 units, 64 inputs: under 400 KB."""
    rnn, x = elman.RNN(64, 64, 2), torch.randn(64, 64)
    start = time.perf_counter()
    trace = elman.trace(rnn, x)
    traced = time.perf_counter()
    path = trace.save(tmp_path / "run.html")
    record_property("trace_s", traced - start)
    record_property("save_s", time.perf_counter() - traced)
    record_property("bytes", path.stat().st_size)
    assert path.stat().st_size < 400_000


def test_only_the_sequences_that_fit_are_shown(tmp_path) -> None:
    trace = elman.trace(elman.RNN(64, 64, 2), torch.randn(64, 100, 64))
    text = saved(trace, tmp_path)
    assert 500_000 < len(text.encode()) <= 1_000_000
    shown = data_of(text)["sequences"]
    assert shown == list(range(len(shown)))
    assert 5 < len(shown) < 100
    assert data_of(text)["batch"] == 100
    with pytest.raises(ValueError, match=r"may have 1: .* show fewer sequences with batch="):
        trace.save(tmp_path / "more.html", batch=range(len(shown) + 2))
    assert not (tmp_path / "more.html").exists()
    wide = elman.trace(elman.RNN(8, 512), torch.randn(3, 8))
    with pytest.raises(ValueError, match=r"1\.4 MB are the weights\. .* a smaller layer"):
        wide.save(tmp_path / "wide.html")
    with pytest.raises(IndexError, match="batch = 7: the trace has 1 sequences"):
        wide.save(tmp_path / "wide.html", batch=[7])
    with pytest.raises(ValueError, match="batch is empty"):
        wide.save(tmp_path / "wide.html", batch=[])


def test_text_is_data(tmp_path) -> None:
    """No token, feature, title or note of any spelling adds an element or ends one."""

    def made(words):
        trace = elman.trace(elman.RNN(10, 2), torch.randn(10, 10)).label(
            tokens=words,
            features=words,
            title="".join(words),
            note="".join(words),
            predictions=[[(word, 0.5)] for word in words],
        )
        return saved(trace, tmp_path)

    hostile, harmless = made(HOSTILE), made(list("abcdefghij"))
    assert Document(hostile).tags == Document(harmless).tags
    data = data_of(hostile)
    assert data["tokens"] == [HOSTILE]
    assert data["features"] == HOSTILE
    assert data["title"]["ko"] == "".join(HOSTILE)
    assert data["predictions"][0][3] == [{"token": HOSTILE[3], "probability": 0.5}]
    noscript = re.search(r"<noscript>(.*?)</noscript>", hostile, re.DOTALL)[1]
    assert "&lt;img src=x onerror=alert(1)&gt;" in noscript


def test_a_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch) -> None:
    trace = elman.trace(elman.RNN(3, 4), torch.randn(5, 3))
    path = trace.save(tmp_path / "run.html")
    before = path.read_bytes()
    trace.save(str(path))
    assert path.read_bytes() == before

    def full(self, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left on device") as error:
            trace.save(path)
    assert error.value.filename == str(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["run.html"]
    with pytest.raises(FileNotFoundError, match="missing"):
        trace.save(tmp_path / "missing" / "run.html")


def test_infinite_numbers_do_not_break_the_page(tmp_path) -> None:
    huge = elman.RNN.from_weights([[1e30]], [[1e30]], nonlinearity="relu")
    trace = elman.trace(huge, torch.ones(5, 1))
    data = data_of(saved(trace, tmp_path))
    assert torch.equal(array(data["arrays"]["h"], *trace.hidden.shape), trace.hidden)
    nan = data_of(saved(elman.trace(elman.RNN(2, 3), torch.full((4, 2), torch.nan)), tmp_path))
    assert nan["radii"][0][0] is None
    assert data_of(saved(replace(trace, difference=torch.inf), tmp_path))["difference"] is None


def test_batch_is_a_list_of_sequences(tmp_path) -> None:
    with pytest.raises(TypeError, match=r"pass a list, batch=\[1\], and not 1"):
        elman.trace(elman.RNN(2, 3), torch.randn(4, 3, 2)).save(tmp_path / "run.html", batch=1)


def test_every_script_is_in_the_page() -> None:
    folder = Path(_page.__file__).parent / "assets"
    assert {path.stem for path in folder.glob("*.js")} == set(_page.SCRIPTS)


def test_both_languages_say_the_same_things() -> None:
    """Every text of the page is there in English and in Korean, and takes the same values."""
    folder = Path(_page.__file__).parent / "assets"
    english, korean = ((folder / f"words_{lang}.js").read_text(encoding="utf-8") for lang in ("en", "ko"))

    def names(part):
        return re.findall(r"^  (\w+):", part, re.MULTILINE)

    def taking(part):
        return re.findall(r"^  (\w+): (\([^)]*\)) =>", part, re.MULTILINE)

    assert names(english) == names(korean)
    assert taking(english) == taking(korean)
    assert english.count("\n      title:") == korean.count("\n      title:") == 10
