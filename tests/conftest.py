"""What every test starts from: a fixed seed, the machine's thread count, and uninitialised memory full of NaN.

And which tests run, in which order.
"""

import contextlib
import itertools
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

# Workers and the processes that they start share the cores, so a team of threads must not spin as it waits: two that do
# slow each other many times. libgomp reads this when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# numpy's OpenBLAS spins in any case: on a busy machine two of its threads take 100 ms for the eigenvectors of a matrix
# of 60 rows, and one takes 0.3 ms.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import browser
import numpy as np
import pytest
import torch
from covering import covering
from hypothesis import settings

from elman import _waiting
from elman.kernels.numba_cpu import rooms
from elman.kernels.numba_cpu.cells.table import KINDS
from elman.kernels.numba_cpu.compile.cache import code_for

# The same examples at every run, so that no change fails by bad luck. `--hypothesis-profile=random` looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("random", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("same")

# What makes the memory of a run's results must know that it is to be NaN, which torch's fastest way does not ask for.
rooms._empty = torch.empty_strided

BACKENDS = ("reference", "numba", "torch")
LONG = ["captures", "company", "compile", "processes", "benchmarks", "site", "gallery_walk", "browser", "onnx"]
LONG += ["package", "task_commands", "doctor_collected", "memory", "cli", "doctor_readings", "doctor_language", "gates"]
LONG += ["doctor_right", "ops", "estimators", "doctor_hypothesis", "checkpoint", "machine_code"]
"""The test files that take longest: they begin first, so that none is left for the end, when others are done."""


SMALL = ["captures", "checkpoint", "cli", "compile", "estimators", "explain_cli", "export_tasks", "labels_task", "onnx"]
SMALL += ["processes", "series_task", "task_commands", "text_task"]
"""The test files whose models are so small that a second thread is in their way; so are those of the folders below."""


@pytest.fixture(autouse=True)
def fresh_state(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test neither sees nor leaves a seed, a thread count or a mode of torch."""
    threads = torch.get_num_threads()
    if request.path.stem.removeprefix("test_") in SMALL or request.path.parent.name in ("doctor", "page"):
        torch.set_num_threads(1)
    torch.manual_seed(0)
    # torch.empty then returns NaN instead of what the memory held, so a kernel that forgets to write a cell fails.
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    allocation = sys.modules.get("elman.kernels.numba_cpu.allocation")
    if allocation is not None:  # the memory that is kept from run to run
        allocation.kept.tensor.fill_(255)
        for block in allocation._blocks:
            if block.is_free():
                block._memory.fill_(255)
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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every", action="store_true", help="every case of the tests that are marked as `covering`, too")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "covering(strength=2): of its cases so many run that any two values meet in one")
    # The tests press Ctrl-C, which a script's background job ignores, and its children with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The examples call elman.wait_briefly(), whose thread would come and go beside tests that count threads.
    _waiting._started.acquire(blocking=False)
    if browser.is_required() and browser.missing():
        raise pytest.UsageError(f"{browser.REQUIRED}=required, but {browser.missing()}")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Several processes compile the kernels together: each begins with others, and takes what it finds."""
    worker: dict[str, Any] | None = getattr(session.config, "workerinput", None)
    if worker is None:
        return
    wanted = [*itertools.product(dict.fromkeys(kind.name for kind in KINDS.values()), (np.float32, np.float64))]
    begin = len(wanted) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for cell, dtype in wanted[begin:] + wanted[:begin]:
        code_for(cell, dtype)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    places = {f"test_{name}.py": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))
    if not config.getoption("every"):
        left_out = set(itertools.chain.from_iterable(map(_not_needed, _functions(items).values())))
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]


def _functions(items: list[pytest.Item]) -> dict[str, list[pytest.Function]]:
    """The cases of each test that is marked as `covering`."""
    found: dict[str, list[pytest.Function]] = {}
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("covering") is not None:
            found.setdefault(item.nodeid.partition("[")[0], []).append(item)
    return found


def _not_needed(cases: list[pytest.Function]) -> list[pytest.Function]:
    """Those of one test's cases in which nothing meets that does not meet in another, too."""
    mark = cases[0].get_closest_marker("covering")
    assert mark is not None
    kept = covering([{name: repr(value) for name, value in case.callspec.params.items()} for case in cases], *mark.args)
    return [case for place, case in enumerate(cases) if place not in kept]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line where the tests of the page were left out."""
    if browser.missing():
        terminalreporter.write_line(f"tests/page/ was left out where it needs a browser: {browser.missing()}")
