"""Pages opened in a real browser; where there is none, what needs one is skipped."""

from pathlib import Path

import pytest
import torch
from browser import Tab, Tabs, launched, missing
from torch import nn

import elman

WORDS = ("hello", "eolll", "lleel")


@pytest.fixture(scope="module")
def browser():
    if missing() is not None:
        pytest.skip(f"no browser: {missing()}")
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def tabs(browser):
    return Tabs(browser)


@pytest.fixture
def tab(tabs):
    """Opens pages; afterwards none of them may have complained or asked for anything but itself."""
    opened = []

    def opening(file: Path, address: str = "", **context) -> Tab:
        opened.append(Tab(tabs, file, address, **context))
        return opened[-1]

    yield opening
    for one in opened:
        assert one.complaints == []
        assert all(url.startswith("file:") for url in one.requests), one.requests
        assert len({url.split("#")[0] for url in one.requests}) == 1
        one.close()


@pytest.fixture
def hello(tmp_path):
    """Three words through RNN(4, 2), one letter a step."""
    torch.manual_seed(0)
    rnn = nn.RNN(4, 2)
    x = torch.stack([torch.eye(4)[torch.tensor(["helo".index(c) for c in word])] for word in WORDS], 1)
    trace = elman.trace(rnn, x).label(tokens=[list(word) for word in WORDS], features=list("helo"))
    return rnn, x, trace, trace.save(tmp_path / "hello.html")


@pytest.fixture
def deep(tmp_path):
    """Two layers, two directions, three sequences of different length."""
    rnn = elman.RNN(5, 6, 2, bidirectional=True, batch_first=True)
    trace = elman.trace(rnn, torch.randn(3, 7, 5), torch.randn(4, 3, 6), lengths=[7, 4, 1])
    return rnn, trace, trace.save(tmp_path / "deep.html")
