"""The report's views say the same, text of the user's is data, and bad arguments get a sentence."""

import html
import re

import forked
import pytest
import torch
from doctor_models import KINDS, I, Normed, Packed, Tagger, Words
from torch import Tensor, nn

import elman
from elman.explain._report import CODES, Finding, Report


@pytest.fixture
def bad() -> Report:
    return elman.doctor(Tagger(nn.GRU), torch.randn(5, 7, I))


def test_every_view_says_the_same(bad: Report) -> None:
    page = re.sub(r"<[^>]*>", " ", bad._repr_html_())
    (finding,) = bad.findings
    for words in (
        finding.code,
        finding.severity,
        finding.sentence,
        finding.evidence,
        finding.mend,
        bad.verdict,
        bad.about,
    ):
        assert words in bad.text
        assert words in html.unescape(page)
    assert str(bad) == repr(bad) == bad.text
    assert bad.verdict == "1 error"
    for name in bad.checked:
        assert name in bad.text
        assert name in page
    for name, reason in bad.unchecked:
        assert f"{name} ({reason})" in bad.text
        assert f"{name} ({reason})" in html.unescape(page)


def test_raise_if_bad_fails_a_test_with_the_whole_report(bad: Report) -> None:
    with pytest.raises(AssertionError) as caught:
        bad.raise_if_bad()
    assert str(caught.value) == bad.text
    bad.raise_if_bad(ignore=["batch-mixed"])
    with pytest.raises(AssertionError):
        bad.raise_if_bad(ignore=["no-gradient"])
    with pytest.raises(ValueError, match=r"There is no finding 'batch-mixde'\. Select from .*batch-mixed"):
        bad.raise_if_bad(ignore=["batch-mixde"])


def test_pytest_shows_the_report_and_not_the_doctor(tmp_path) -> None:
    (tmp_path / "test_model.py").write_text(
        "import elman, torch\n\n\n"
        "def test_model():\n"
        "    elman.doctor(torch.nn.GRU(4, 6), torch.ones(5, 7, 4)).raise_if_bad()\n"
    )
    code = "import pytest, sys; sys.exit(pytest.main(sys.argv[1:]))"
    run = forked.run(code, "-q", "-p", "no:cacheprovider", tmp_path, folder=tmp_path)
    assert run.returncode == 1
    assert "E       AssertionError: elman.doctor: GRU, input (5, 7, 4)" in run.stdout
    assert "batch_first=True would fit" in run.stdout
    assert "_report.py" not in run.stdout


def test_errors_come_before_warnings_and_notes_do_not_count() -> None:
    model = Normed(nn.GRU)
    model.spare = nn.Linear(2, 2)
    model.rnn.batch_first = False
    report = elman.doctor(model, torch.randn(5, 7, I))
    assert report.codes == ("batch-mixed", "no-gradient")
    assert report.verdict == "1 error, 1 warning"
    report = elman.doctor(Normed(nn.GRU), torch.randn(5, 7, I))
    assert report.ok
    assert report.notes
    assert report.verdict == "nothing wrong was found"
    assert {finding.severity for finding in report.notes} == {"note"}


def test_text_of_the_users_shows_as_itself() -> None:
    name = "<img onerror=alert(1)>"

    class Named(Tagger):
        def __init__(self) -> None:
            super().__init__(nn.GRU)
            self.add_module(name, nn.Linear(2, 2))

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"</script><b>": super().forward(x)}

    report = elman.doctor(Named(), torch.randn(5, 7, I))
    assert name in report.text
    page = report._repr_html_()
    assert name not in page
    assert "</script>" not in page
    assert "&lt;img onerror=alert(1)&gt;" in page


def test_every_code_is_listed_and_explained() -> None:
    from pathlib import Path

    root = Path(elman.__file__).parent
    sources = "".join(path.read_text(encoding="utf-8") for path in (root / "explain" / "experiments").glob("*.py"))
    made = set(re.findall(r'Finding\(\s*"([a-z_-]+)"', sources)) | {"batch-lost", "saturated-units", "dead-units"}
    made |= {"batch-mixed", "batch-order"}
    assert made == set(CODES)
    guide = (root.parent / "docs" / "doctor.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^### `([a-z_-]+)`", guide, flags=re.MULTILINE)) == set(CODES)
    korean = (root.parent / "docs" / "doctor.ko.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `([a-z_-]+)`", korean, flags=re.MULTILINE)) == sorted(CODES)
    severities = {
        "error": guide.count("\n\nError"),
        "warning": guide.count("\n\nWarning"),
        "note": guide.count("\n\nNote"),
    }
    sections = korean.split("\n## ")[1:]
    for (severity, count), section in zip(severities.items(), sections, strict=True):
        assert f"({severity})" in section
        assert section.count("\n| `") == count


def test_a_finding_can_be_read_by_a_program(bad: Report) -> None:
    (finding,) = bad.findings
    assert isinstance(finding, Finding)
    assert (finding.code, finding.severity, finding.where) == ("batch-mixed", "error", "rnn")
    assert isinstance(bad, elman.Report)


# ---------------------------------------------------------------- arguments

x = torch.randn(5, 7, I)
WRONG = {
    "a function": (lambda: elman.doctor(torch.tanh, x), TypeError, "builtin_function_or_method; wrap a function"),
    "a class": (lambda: elman.doctor(nn.GRU, x), TypeError, "got the class GRU: make one of it"),
    "an array": (
        lambda: elman.doctor(Tagger(nn.GRU), x.numpy()),
        TypeError,
        r"got ndarray.* \(torch.tensor\(...\) makes",
    ),
    "no number of an axis": (
        lambda: elman.doctor(Tagger(nn.GRU), x, time_dim="1"),
        TypeError,
        "time_dim should be .*'1'",
    ),
    "no tensor": (lambda: elman.doctor(Tagger(nn.GRU), [1.0, 2.0]), TypeError, "input holds no tensor: got list"),
    "batch_dim": (lambda: elman.doctor(Tagger(nn.GRU), x, batch_dim=3), IndexError, r"batch_dim=3, but .* has 3 axes"),
    "time_dim": (lambda: elman.doctor(Tagger(nn.GRU), x, time_dim=-4), IndexError, r"time_dim=-4, but"),
    "one axis": (lambda: elman.doctor(Tagger(nn.GRU), x, time_dim=-3), ValueError, "are both axis 0"),
    "empty": (lambda: elman.doctor(Tagger(nn.GRU), x[:0]), ValueError, r"\(0, 7, 4\) is empty"),
    "few lengths": (lambda: elman.doctor(Tagger(nn.GRU), x, lengths=[1]), ValueError, r"\(5,\), got \(1,\)"),
    "long lengths": (
        lambda: elman.doctor(Tagger(nn.GRU), x, lengths=[8] * 5),
        ValueError,
        r"lengths\[0\] = 8: .* between 0",
    ),
    "lengths of packed": (
        lambda: elman.doctor(nn.GRU(I, 3), nn.utils.rnn.pack_sequence([x[0]]), lengths=[7]),
        ValueError,
        "holds its own lengths",
    ),
    "lengths without time": (
        lambda: elman.doctor(nn.Linear(3, 3), torch.randn(5, 3, 3), batch_dim=2, lengths=[1] * 3),
        ValueError,
        "say which with time_dim=",
    ),
    "float lengths": (
        lambda: elman.doctor(Tagger(nn.GRU), x, lengths=[1.5] * 5),
        TypeError,
        "lengths should be whole numbers",
    ),
    "sequences in a list": (
        lambda: elman.doctor(Tagger(nn.GRU), [x[0], x[1, :3], x[2, :5]]),
        TypeError,
        r"list of tensors of different sizes.*pack_sequence",
    ),
    "scripted": (
        lambda: elman.doctor(torch.jit.trace(Tagger(nn.GRU), x), x),
        TypeError,
        "scripted or traced",
    ),
    "nothing returned": (lambda: elman.doctor(nn.Sequential(Silent()), x), TypeError, "no tensor in what Sequential"),
    "the model's own": (lambda: elman.doctor(Tagger(nn.GRU), x[..., :2]), RuntimeError, "input.size"),
}


class Silent(nn.Module):
    def forward(self, x: Tensor) -> str:
        return "done"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("call", "error", "words"), WRONG.values(), ids=WRONG)
def test_bad_arguments_get_a_sentence(call, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_a_model_that_refuses_changed_input_says_so() -> None:
    class OneHot(Tagger):
        def forward(self, x: Tensor) -> Tensor:
            if not torch.equal(x.sum(-1), torch.ones(x.shape[:2])):
                raise ValueError("rows must be one-hot")
            return super().forward(x)

    words = torch.eye(I)[torch.randint(I, (5, 7))]
    report = elman.doctor(OneHot(nn.GRU), words)
    assert ("samples apart", "the model raised ValueError: rows must be one-hot") in report.unchecked
    assert "not checked: samples apart (the model raised ValueError: rows must be one-hot)" in report.text


def test_keyword_and_negative_axes_and_lengths_by_name() -> None:
    for kind in KINDS.values():
        elman.doctor(Tagger(kind), {"x": x}, batch_dim=1, time_dim=0).raise_if_bad()
        elman.doctor(Tagger(kind, batch_first=True), x, batch_dim=-3, time_dim=-2, causal=True).raise_if_bad()
        elman.doctor(Words(kind, batch_first=True), {"ids": torch.randint(11, (5, 7))}).raise_if_bad()
        report = elman.doctor(Packed(kind), x, lengths=(7, 7, 7, 7, 7))
        report.raise_if_bad()
        assert "padding without influence" in report.checked
