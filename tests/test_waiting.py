"""Other processes on the same processors: when a layer computes on one thread, and when threads wait briefly."""

import logging
import os
import threading
import time
from collections.abc import Iterator

import forked
import pytest
import torch
from cases import CASES, Case, run
from plans import forget_plans

import elman
from elman import _waiting
from elman.kernels.numba_cpu.threads import company as module
from elman.kernels.numba_cpu.threads import openmp, team
from elman.kernels.numba_cpu.threads.company import Company

MS = 1_000_000
needs_openmp = pytest.mark.skipif(openmp.gnu_parallel() is None, reason="there is no GNU OpenMP here")


@pytest.fixture
def company(monkeypatch: pytest.MonkeyPatch) -> Company:
    """As in a process that has not computed yet."""
    monkeypatch.setattr(team, "company", Company())
    return team.company


class Clock:
    """Time and what a thread has spent, as a test sets them."""

    def __init__(self) -> None:
        self.now = 5_000 * MS
        self.ran = self.waited = 0

    def spend(self, ran: int, waited: int = 0) -> None:
        self.now += ran + waited
        self.ran += ran
        self.waited += waited

    def run(self, company: Company, ran: int, waited: int = 0) -> None:
        """A run that is looked at."""
        company.begin()
        self.spend(ran, waited)
        company.end(self.now)


@pytest.fixture(params=[True, False], ids=["the system counts", "it does not"])
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "_counts", lambda: request.param)
    monkeypatch.setattr(module, "_schedstat", lambda: (0, made.waited, 1))
    monkeypatch.setattr(module.time, "perf_counter_ns", lambda: made.now)
    monkeypatch.setattr(module.time, "thread_time_ns", lambda: made.ran)
    return made


@pytest.fixture
def several(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Even small runs are planned for several threads."""
    monkeypatch.setattr(team, "_TEAM_WORK", 0)
    monkeypatch.setattr(team, "_TEAM_STEP", 0)
    forget_plans()
    yield
    forget_plans()


def test_a_thread_that_is_kept_waiting_goes_apart_for_longer_each_time(company: Company, clock: Clock) -> None:
    spans = []
    for _ in range(7):
        clock.run(company, 25 * MS, 100 * MS)
        assert company.alone
        spans.append((company.until - clock.now) // MS)
        clock.now = company.until
    assert spans == [100, 200, 400, 800, 1600, 1600, 1600]
    clock.run(company, 124 * MS, 1 * MS)
    assert not company.alone
    clock.run(company, 25 * MS, 100 * MS)
    assert company.until == clock.now + 100 * MS, "after a window in which it was not kept waiting it begins anew"


def test_what_holds_up_a_few_runs_of_many_is_no_company(company: Company, clock: Clock) -> None:
    """Small runs, of which now and then one takes 6 ms."""
    for k in range(3_000):
        clock.run(company, MS // 10, 6 * MS if k % 300 == 50 else 0)
        assert not company.alone
    for _ in range(20):
        if not company.alone:
            clock.run(company, 2 * MS, 10 * MS)
    assert company.alone


@pytest.mark.parametrize("clock", [True], indirect=True)
def test_all_that_a_thread_did_since_it_was_looked_at_last_is_counted(company: Company, clock: Clock) -> None:
    """Each run comes after a rest and waits for what others began meanwhile; those that are not looked at do not."""
    for _ in range(30):  # a twentieth of a second each, after a second's rest
        clock.now += 1_000 * MS
        clock.run(company, MS, 6 * MS)
        clock.spend(44 * MS)
        assert not company.alone
    for _ in range(20):
        if not company.alone:
            clock.run(company, MS)
            clock.spend(15 * MS, 10 * MS)
    assert company.alone, "in the runs that were not looked at it waited"
    clock.spend(0, 10_000 * MS)  # while it was alone
    for _ in range(2):
        clock.run(company, 100 * MS)
    assert not company.alone
    assert company._apart == 100 * MS


def test_threads_of_one_run_each_count(company: Company) -> None:
    seen: list[module.Spent] = []
    company.note = lambda now, spent: seen.append(spent)

    def work() -> None:
        company.begin()
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
        company.end(time.perf_counter_ns())

    for _ in range(5):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(seen) == 5
    assert all(spent.ran >= 20 * MS for spent in seen)


SHARES_A_PROCESSOR = """
import os, subprocess, sys, time
from elman.kernels.numba_cpu.threads.company import _spent

def measure(what):
    wall, before = time.perf_counter_ns(), _spent()
    what()
    after = _spent()
    ran, waited = after.ran - before.ran, after.waited - before.waited
    return time.perf_counter_ns() - wall - ran, waited

def work():
    end = time.monotonic() + 1
    while time.monotonic() < end:
        pass

rested, waited = measure(lambda: time.sleep(0.5))
assert waited < 0.5 * rested, "to sleep is not to wait for a processor"
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
time.sleep(0.5)
try:
    rested, waited = measure(work)
finally:
    other.kill(), other.wait()
assert rested > 0.2e9, rested
assert abs(waited - rested) < 0.1 * rested, (waited, rested)
"""
needs_counts = pytest.mark.skipif(not module._counts(), reason="the system does not count how long threads wait")


@needs_counts
def test_a_thread_waits_for_a_processor_and_does_not_where_it_sleeps() -> None:
    """Beside another process on one processor, whose time a thread that works lacks."""
    done = forked.run(SHARES_A_PROCESSOR, strict=True, real=True)
    assert (done.returncode, done.stderr) == (0, "")


@needs_counts
def test_no_file_stays_open() -> None:
    """A program may close all there are, as one does that leaves its terminal, and open its own."""
    before = os.listdir("/proc/self/fd")
    assert module._spent().ran > 0
    assert os.listdir("/proc/self/fd") == before


@needs_openmp
def test_runs_are_looked_at_now_and_then(company: Company, several: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample of the time, since to look at each run would cost small ones 2 %."""
    torch.set_num_threads(2)
    now, noted = 5_000 * MS, []
    monkeypatch.setattr(team.time, "perf_counter_ns", lambda: now)
    monkeypatch.setattr(company, "end", lambda now: noted.append(now) or Company.end(company, now))
    layer, input = elman.RNN(3, 40), torch.zeros(5, 8, 3)
    with torch.no_grad():
        for _ in range(40):
            layer(input)
            now += MS // 10
    assert len(noted) == 2, "of forty runs in 4 ms"


@needs_openmp
@pytest.mark.parametrize("setting", [None, *_waiting._SET])
def test_it_is_said_once_and_threads_wait_briefly_unless_the_user_has_set_how(
    setting: str | None,
    company: Company,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in _waiting._SET:
        monkeypatch.delenv(name, raising=False)
    if setting is not None:
        monkeypatch.setenv(setting, "7")
    watched: list[int] = []
    monkeypatch.setattr(_waiting, "_watched", lambda: watched.append(1) or True)
    with caplog.at_level(logging.INFO, logger="elman"):
        for _ in range(3):
            clock.run(company, 50 * MS, 75 * MS)
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert "60 %" in record.getMessage()
    assert watched == ([1] if setting is None else [])
    assert ("wait briefly" in record.getMessage()) == (setting is None)


@needs_openmp
@pytest.mark.parametrize("case", [case for case in CASES if case.T * case.N * case.H > 1000], ids=str)
def test_one_thread_finishes_what_was_planned_for_several(
    case: Case, company: Company, several: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same bits: a plan does not depend on how many threads come."""
    torch.set_num_threads(2)
    layer, input = case.layer(elman.RNN), case.input()
    noted: list[int] = []
    monkeypatch.setattr(company, "end", noted.append)  # and decides nothing, busy as it may be
    together = run(layer, input)
    assert noted, "it did not run in the team"
    company.alone, company.until = True, time.perf_counter_ns() + 3_600_000 * MS
    monkeypatch.setattr(company, "end", lambda _: pytest.fail("it ran in the team"))
    apart = run(layer, input)
    assert apart.keys() == together.keys()
    for name, value in together.items():
        assert torch.equal(apart[name], value), name


def test_short_waits_begin_with_the_first_delay_and_end_after_quiet() -> None:
    switch = _waiting.Switch()
    assert not switch(0.01, 0.0)
    assert switch(0.5, 0.1)
    assert switch(0.0, 1.0)
    assert not switch(0.0, 1.2)
    assert switch(0.5, 1.3), "it came back at once"
    assert switch(0.0, 2.5), "so the quiet must last two seconds"
    assert not switch(0.0, 3.4)
    assert switch(0.5, 60.0)
    assert not switch(0.0, 61.1), "long after, one second is enough again"


@needs_openmp
def test_a_crowd_comes_goes_and_changes_no_number() -> None:
    x = torch.randn(300, 300)
    expected, before = x @ x, threading.active_count()
    assert _waiting._may_have(2 * _waiting.Crowd.threads())
    assert threading.active_count() == before
    crowd = _waiting.Crowd(openmp.gnu_parallel())
    assert threading.active_count() == before + 1
    assert torch.equal(x @ x, expected)
    crowd.leave()
    assert threading.active_count() == before
    assert torch.equal(x @ x, expected)


BUSY = """
import sys, time, torch, elman
from elman import _waiting
from elman.kernels.numba_cpu.threads import company
made, gone = [], []
class Crowd(_waiting.Crowd):
    def __init__(self, parallel):
        made.append(1); super().__init__(parallel)
    def leave(self):
        super().leave(); gone.append(1)
_waiting.Crowd, _waiting._EVERY, _waiting._QUIET = Crowd, 0.01, (0.02, 0.02)
delay = [0]
_waiting._delays = lambda: {"1": delay[0]}
if sys.argv[1] == "asked":
    assert elman.wait_briefly() and elman.wait_briefly()
else:
    company.company.note(125_000_000, company.Spent(50_000_000, 75_000_000))
def until(list, count):
    end = time.monotonic() + 30
    while len(list) < count and time.monotonic() < end:
        delay[0] += step; time.sleep(0.002)
    assert len(list) == count, (made, gone)
step = 10_000_000
until(made, 1)
step = 0
until(gone, 1)
print(elman.RNN(3, 4)(torch.zeros(5, 2, 3))[0].shape)
"""


@needs_openmp
@pytest.mark.parametrize("why", ["asked", "kept waiting"])
def test_the_watch_lets_threads_wait_briefly_and_back(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _waiting._SET:  # by which the user would have chosen
        monkeypatch.delenv(name, raising=False)
    done = forked.run(BUSY, why, strict=True, real=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "[5, 2, 4]" in done.stdout


def test_where_threads_are_short_none_is_asked_of_openmp(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the process where it gets none; Python raises."""
    start, left = threading.Thread.start, iter(range(3))

    def short(thread: threading.Thread) -> None:
        if next(left, None) is None:
            raise RuntimeError("can't start new thread")
        start(thread)

    before = threading.active_count()
    monkeypatch.setattr(threading.Thread, "start", short)
    monkeypatch.setattr(_waiting, "_started", threading.Lock())
    monkeypatch.setattr(_waiting, "_delays", lambda: {"1": 0})
    assert not _waiting._may_have(5)
    assert threading.active_count() == before
    assert not _waiting._watched()
    assert not _waiting._started.locked()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_has_no_team_to_tell() -> None:
    code = "import os, elman, torch; os.fork() or os._exit(elman.wait_briefly()); print(os.wait()[1])"
    done = forked.run(code, real=True)
    assert done.stdout.strip() == "0"
