"""What the figures depend on: processor, caches, versions."""

import os
import platform
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("torch", "numba", "numpy", "jax", "jaxlib", "onnx", "onnxruntime", "openvino")


def describe(threads: int, frameworks: list[str]) -> dict[str, object]:
    """The machine, the thread count, the frameworks and the versions of what is installed."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "caches": caches(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": threads,
        "python": platform.python_version(),
        "frameworks": frameworks,
        **{name: version(name) for name in PACKAGES if find_spec(name) is not None},
    }


def processor() -> str:
    """The processor's name and the widest vectors it has."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    flags = named.get("flags", "").split()
    widest = next((flag for flag in ("avx512f", "avx2", "avx") if flag in flags), "")
    name = named.get("model name", platform.machine())
    family = f" family {named['cpu family']} model {named['model']}" if "cpu family" in named else ""
    return f"{name}{family} {widest}".strip()


def caches() -> list[str]:
    """The first core's caches, such as "L2 Unified 1024K"."""
    found = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"))
    return [
        f"L{(index / 'level').read_text().strip()} {(index / 'type').read_text().strip()} "
        f"{(index / 'size').read_text().strip()}"
        for index in found
    ]


def commit() -> str | None:
    """The commit that is measured, with "-dirty" where files differ from it; None outside of a repository."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()
