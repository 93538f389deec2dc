"""What the doctor found: findings, and their views as text and HTML."""

from collections.abc import Collection
from dataclasses import dataclass
from html import escape
from typing import Literal

from elman.explain._language import say, speaking

Severity = Literal["error", "warning", "note"]

CODES = (
    *("input-not-finite", "input-uninitialised", "input-written", "input-dropped", "nan"),
    *("not-repeatable", "random-in-evaluation", "made-in-forward"),
    *("mode-changed", "layers-shared", "dropout-unused", "argument-unused", "result-discarded"),
    *("frozen-at-random", "padding-id-used"),
    *("batch-mixed", "batch-lost", "batch-order", "batch-position", "h_n-as-batch", "batch-norm"),
    "compared-samples",
    *("not-causal", "padding-read", "lengths-mismatched", "last-step-unread", "first-step-unread"),
    *("two-direction-last-step", "first-step-only", "backward-not-turned", "steps-scattered", "no-memory"),
    *("features-as-time", "steps-overwritten", "softmax-axis", "squashed-twice", "loss-unfit", "loss-misaligned"),
    *("state-carried", "state-by-design", "state-keeps-graph", "state-of-another", "state-not-returned"),
    *("not-registered", "no-gradient", "state-detached", "saturated-units", "dead-units", "alike-units"),
    *("stuck-gate", "saturated-gates", "states-swapped", "cell-state-read"),
    *("stuck-leak", "loud-noise", "broken-signs"),
    *("vanishing-gradient", "exploding-gradient", "gradient-reach"),
)
"""Every code that a finding can have; docs/doctor.md explains each."""

_ORDER = {"error": 0, "warning": 1, "note": 2}
_COLOURS = {"error": "#b3261e", "warning": "#9a5b00", "note": "#4a5a70"}
_IN_KOREAN = {"error": "오류", "warning": "경고", "note": "참고"}


@dataclass(frozen=True)
class Finding:
    """One thing the doctor has to say.

    Attributes:
        code: its short name, "batch-mixed" for instance; docs/doctor.md lists them all.
        severity: "error" for results that are wrong, "warning" for a model that will learn badly or not at all, "note"
            for what is by design.
        sentence: what is the matter.
        evidence: what was done, and what was seen.
        mend: what to do.
        where: the module inside the model, as named_modules names it; "" for the model itself.
    """

    code: str
    severity: Severity
    sentence: str
    evidence: str
    mend: str
    where: str = ""


@dataclass(frozen=True)
class Report:
    """What elman.doctor found.

    Attributes:
        about: the model, its input, and the axis called batch, in one line.
        findings: errors, then warnings.
        notes: what is by design and worth knowing. A report with notes alone is ok.
        checked: the experiments that were made.
        unchecked: the experiments that could not be made, each with the reason.
        lang: the language of its sentences, "en" or "ko".

    Example:
        >>> import elman, torch
        >>> report = elman.doctor(torch.nn.GRU(4, 8, batch_first=True), torch.randn(3, 5, 4))
        >>> report.ok, report.findings
        (True, ())
    """

    about: str
    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    checked: tuple[str, ...]
    unchecked: tuple[tuple[str, str], ...]
    lang: str = "en"

    @property
    def ok(self) -> bool:
        """Whether there are neither errors nor warnings."""
        return not self.findings

    @property
    def codes(self) -> tuple[str, ...]:
        """The findings' codes."""
        return tuple(finding.code for finding in self.findings)

    @property
    def text(self) -> str:
        """The report as plain text; print(report) shows the same."""
        with speaking(self.lang):
            lines = [f"elman.doctor: {self.about}", self.verdict]
            for finding in (*self.findings, *self.notes):
                lines += ["", f"{severity(finding)} {finding.code}: {finding.sentence}"]
                lines += [f"  {say('evidence', '근거')}: {finding.evidence}"]
                lines += [f"  {say('mend', '고치는 법')}: {finding.mend}"] if finding.mend else []
            lines += ["", _checked(self.checked)]
            lines += [_not_checked(name, reason) for name, reason in self.unchecked]
        return "\n".join(lines)

    @property
    def verdict(self) -> str:
        """How many errors and warnings there are."""
        counts = [(sum(f.severity == severity for f in self.findings), severity) for severity in ("error", "warning")]
        with speaking(self.lang):
            said = [
                say(f"{count} {severity}{'s' if count > 1 else ''}", f"{_IN_KOREAN[severity]} {count}개")
                for count, severity in counts
                if count
            ]
            return ", ".join(said) or say("nothing wrong was found", "잘못된 점을 찾지 못했습니다")

    def raise_if_bad(self, *, ignore: Collection[str] = ()) -> None:
        """For tests: passes where the report is ok.

        Args:
            ignore: codes that are accepted here.

        Raises:
            AssertionError: there is a finding of another code; the whole report is its message.
            ValueError: ignore names no code that there is.
        """
        __tracebackhide__ = True
        ignore = (ignore,) if isinstance(ignore, str) else ignore
        for code in ignore:
            if code not in CODES:
                raise ValueError(f"There is no finding '{code}'. Select from {', '.join(CODES)}.")
        if any(code not in ignore for code in self.codes):
            raise AssertionError(self.text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        """The report as a notebook shows it."""
        with speaking(self.lang):
            rows = "".join(_row(finding) for finding in (*self.findings, *self.notes))
            table = f'<table style="border-collapse:collapse;text-align:left">{rows}</table>' if rows else ""
            unchecked = "".join(f"<br>{escape(_not_checked(name, reason))}" for name, reason in self.unchecked)
            return (
                f'<div lang="{self.lang}" style="max-width:60em"><p><b>elman.doctor</b>: {escape(self.about)}<br>'
                f'<b>{self.verdict}</b></p>{table}<p style="font-size:85%;opacity:.75">'
                f"{escape(_checked(self.checked))}{unchecked}</p></div>"
            )


def ordered(findings: list[Finding]) -> tuple[Finding, ...]:
    """The gravest first; else in the order they were found."""
    return tuple(sorted(findings, key=lambda finding: _ORDER[finding.severity]))


def severity(finding: Finding) -> str:
    """How grave it is, as the text says it."""
    return say(finding.severity, _IN_KOREAN[finding.severity])


def _checked(names: tuple[str, ...]) -> str:
    return f"{say('checked', '해 본 실험')}: {', '.join(names) or say('nothing', '없음')}"


def _not_checked(name: str, reason: str) -> str:
    return f"{say('not checked', '하지 못한 실험')}: {name} ({reason})"


def _row(finding: Finding) -> str:
    cell = 'style="vertical-align:top;text-align:left;padding:.4em .8em;border-top:1px solid #8884"'
    badge = f"color:#fff;background:{_COLOURS[finding.severity]};padding:.1em .5em;border-radius:.3em"
    mend = f"<br><b>{say('mend', '고치는 법')}:</b> {escape(finding.mend)}" if finding.mend else ""
    code = f'<code style="white-space:nowrap">{escape(finding.code)}</code>'
    evidence = f"<b>{say('evidence', '근거')}:</b> {escape(finding.evidence)}"
    said = f"{escape(finding.sentence)}<br>{evidence}{mend}"
    return f'<tr><td {cell}><span style="{badge}">{severity(finding)}</span><br>{code}</td><td {cell}>{said}</td></tr>'
