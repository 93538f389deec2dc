"""The processors that the command may use, and how its threads wait there. What the user has set stays."""

import os
import sys
from pathlib import Path

from elman import _waiting


def use_what_is_there() -> None:
    """Lets threads wait briefly on a busy machine, and has no more of them than a container gets processors.

    The number is said to OpenMP in the environment, which it reads once: nothing is said where torch is loaded.
    """
    _waiting.watch()
    given = quota() if "torch" not in sys.modules else None
    if given is not None and given < cores() and "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = str(max(1, int(given)))


def cores(root: Path = Path("/")) -> int:
    """The cores that this process may run on; threads of one core count once, as torch counts them."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    siblings = set()
    for cpu in os.sched_getaffinity(0):
        file = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        siblings.add(file.read_text() if file.exists() else cpu)
    return len(siblings)


def quota(root: Path = Path("/")) -> float | None:
    """Processors' worth of time that this process's control groups give it, version 1 or 2; None without a limit.

    Args:
        root: where the file system begins.
    """
    mounts, groups = root / "proc/self/mountinfo", root / "proc/self/cgroup"
    if not (mounts.exists() and groups.exists()):
        return None
    own = [line.split(":", 2)[1:] for line in groups.read_text().splitlines()]  # controllers, and the group's path
    limits = []
    for line in mounts.read_text().splitlines():
        before, _, after = line.partition(" - ")
        top, place = before.split()[3:5]  # the group that is mounted, and where
        kind, _, options = after.split()[:3]
        for controllers, path in own:
            ours = {
                "cgroup2": controllers == "",
                "cgroup": "cpu" in controllers.split(",") and "cpu" in options.split(","),
            }
            if ours.get(kind):
                inside = path.removeprefix(top) if path.startswith(top) else ""
                limits += _limits(root / place.lstrip("/"), Path("/", inside.lstrip("/")))
    return min(limits, default=None)


def _limits(mount: Path, group: Path) -> list[float]:
    """The limits of a group and of those it is in."""
    limits = []
    for part in (group, *group.parents):
        folder = mount / str(part).lstrip("/")
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        elif (folder / "cpu.cfs_quota_us").exists():
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        else:
            continue
        if quota not in ("max", "-1"):
            limits.append(int(quota) / int(period))
    return limits
