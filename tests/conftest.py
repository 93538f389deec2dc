"""What every test starts from: a fixed seed, the machine's thread count, and uninitialised memory full of NaN."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

# Workers and the processes that they start share the cores, so a team of threads must not spin as it waits: two that do
# slow each other many times. libgomp reads this when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import browser
import pytest
import torch
from hypothesis import settings

from elman import _waiting

# The same examples at every run, so that no change fails by bad luck. `--hypothesis-profile=random` looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("random", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("same")

BACKENDS = ("reference", "numba", "torch")


@pytest.fixture(autouse=True)
def fresh_state() -> Iterator[None]:
    """A test neither sees nor leaves a seed, a thread count or a mode of torch."""
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    # torch.empty then returns NaN instead of what the memory held, so a kernel that forgets to write a cell fails.
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    memory = sys.modules.get("elman.kernels.numba_cpu.memory")
    if memory is not None:  # the scratch memory that this thread keeps
        memory.kept.tensor.fill_(255)
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs once in each backend, or in those it names; "chosen" is what elman takes by itself."""
    import elman

    with contextlib.nullcontext() if request.param == "chosen" else elman.use_backend(request.param):
        yield request.param


def pytest_configure(config: pytest.Config) -> None:
    # The tests press Ctrl-C, which a script's background job ignores, and its children with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The examples call elman.wait_briefly(), whose thread would come and go beside tests that count threads.
    _waiting._started.acquire(blocking=False)
    if browser.is_required() and browser.missing():
        raise pytest.UsageError(f"{browser.REQUIRED}=required, but {browser.missing()}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line where the tests of the page were left out."""
    if browser.missing():
        terminalreporter.write_line(f"tests/page/ was left out where it needs a browser: {browser.missing()}")
