"""The command takes the processors that it may use, and its threads wait briefly beside others."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from elman.cli import processors

V1 = """24 30 0:22 / /proc rw - proc proc rw
31 30 0:26 {top} /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
32 30 0:27 {top} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
"""
V2 = "31 30 0:26 {top} /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"


def machine(root: Path, mounts: str, groups: str, limits: dict[str, str]) -> Path:
    """A file system with these control groups, and in their folders these files."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text(mounts)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in limits.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    return root


def v1(folder: str, quota: int, period: int = 100_000) -> dict[str, str]:
    return {f"cpu{folder}/cpu.cfs_quota_us": str(quota), f"cpu{folder}/cpu.cfs_period_us": str(period)}


CASES = {
    "version 2, in a namespace of its own": (V2.format(top="/"), "0::/\n", {"cpu.max": "150000 100000"}, 1.5),
    "version 2, no limit": (V2.format(top="/"), "0::/\n", {"cpu.max": "max 100000"}, None),
    "version 2, the slice around it has the limit": (
        V2.format(top="/"),
        "0::/user.slice/user-7.slice\n",
        {"user.slice/user-7.slice/cpu.max": "max 100000", "user.slice/cpu.max": "300000 100000"},
        3.0,
    ),
    "version 2, the smallest limit counts": (
        V2.format(top="/"),
        "0::/a/b\n",
        {"a/b/cpu.max": "400000 100000", "a/cpu.max": "20000 10000"},
        2.0,
    ),
    "version 2, the root has no file": (V2.format(top="/"), "0::/\n", {"cpu.stat": ""}, None),
    "version 1": (V1.format(top="/"), "5:memory:/\n4:cpu,cpuacct:/a\n", v1("/a", 50_000), 0.5),
    "version 1, no limit": (V1.format(top="/"), "4:cpu,cpuacct:/\n", v1("", -1), None),
    "version 1, only the container's own group is mounted": (
        V1.format(top="/docker/5e"),
        "5:memory:/docker/5e\n4:cpu,cpuacct:/docker/5e\n",
        v1("", 200_000),
        2.0,
    ),
    "version 1, a group elsewhere": (V1.format(top="/docker/5e"), "4:cpu,cpuacct:/\n", v1("", 200_000), 2.0),
    "no control groups": ("24 30 0:22 / /proc rw - proc proc rw\n", "", {}, None),
}


@pytest.mark.parametrize("name", CASES)
def test_quota_is_read(name: str, tmp_path: Path) -> None:
    mounts, groups, limits, expected = CASES[name]
    assert processors.quota(machine(tmp_path, mounts, groups, limits)) == expected


def test_no_quota_where_there_is_no_proc(tmp_path: Path) -> None:
    assert processors.quota(tmp_path) is None


def test_threads_of_one_core_count_once(tmp_path: Path) -> None:
    for cpu in os.sched_getaffinity(0):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text("0-1\n")
    assert processors.cores(tmp_path) == 1


WATCHES = """
import threading
from elman.cli import processors
processors.use_what_is_there()
print(any(thread.name == "elman waits" for thread in threading.enumerate()))
"""
SHOW = WATCHES + "import torch; print(torch.get_num_threads())"


def said(set_by_user: dict[str, str] | None = None, code: str = SHOW) -> list[str]:
    """What the code prints in a process of its own: whether the command watches for a busy machine, torch's threads."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment | (set_by_user or {}), capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_command_waits_briefly_unless_the_user_chose() -> None:
    assert said(code=WATCHES) == ["True"]
    assert said({"GOMP_SPINCOUNT": "7"}, WATCHES) == ["False"]
    assert said({"OMP_WAIT_POLICY": "active"}, WATCHES) == ["False"]


@contextmanager
def group_with(quota: float) -> Iterator[Path]:
    """A control group of the system's with so many processors' worth of time; without one the test is skipped."""
    for controller in ("cpu", "cpu,cpuacct", "."):
        folder = Path("/sys/fs/cgroup", controller, f"elman-test-{os.getpid()}")
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            if (folder / "cpu.cfs_quota_us").exists():
                (folder / "cpu.cfs_period_us").write_text("100000")
                (folder / "cpu.cfs_quota_us").write_text(str(int(100_000 * quota)))
            elif (folder / "cpu.max").exists():
                (folder / "cpu.max").write_text(f"{int(100_000 * quota)} 100000")
            else:
                continue
            yield folder
            return
        except PermissionError:
            continue
        finally:
            folder.rmdir()
    pytest.skip("no control group can be made here")


@pytest.mark.skipif(processors.cores() < 2, reason="one core is what it may use anyway")
def test_in_a_group_with_a_quota_it_takes_that_many_threads() -> None:
    enter = "import os; open(os.environ['GROUP'], 'w').write(str(os.getpid()))\n"
    with group_with(1.0) as folder:
        assert said({"GROUP": str(folder / "cgroup.procs")}, enter + SHOW)[1] == "1"
        assert said({"GROUP": str(folder / "cgroup.procs"), "OMP_NUM_THREADS": "2"}, enter + SHOW)[1] == "2"


@pytest.mark.skipif(processors.cores() < 2, reason="there is one core")
def test_on_fewer_cores_than_there_are_it_takes_those() -> None:
    limit = f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})\n"
    assert said(code=limit + SHOW)[1] == "1"
