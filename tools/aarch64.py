"""Random problems on an emulated 64-bit ARM processor: `python -m tools.aarch64 [COUNT] [SEED]`, on Debian, x86-64.

Fetches some 260 MB into build/aarch64: Debian's emulator (qemu-user-static) and its Python for arm64, unpacked there
and not installed, and the packages' wheels for aarch64. torch is the oldest that elman takes, whose wheel for aarch64
is of the CPU alone. Then it runs tools/random_problems.py; the first run compiles every kernel in the emulator.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "aarch64"
PYTHON = "3.11"  # Debian 12's
WHEELS = ("torch==2.8.0", "numpy==2.4.6", "numba==0.68.1", "llvmlite==0.50.0")
PURE = ("typing-extensions", "filelock", "sympy", "mpmath", "networkx", "jinja2", "fsspec")
SYSTEM = (
    *(f"python{PYTHON}-minimal", f"libpython{PYTHON}-minimal", f"libpython{PYTHON}-stdlib", "libc6", "libgcc-s1"),
    *("libstdc++6", "zlib1g", "libexpat1", "libssl3", "libffi8", "libbz2-1.0", "liblzma5", "libsqlite3-0", "libuuid1"),
    *("libcrypt1", "libgomp1", "libncursesw6", "libtinfo6", "libreadline8", "libdb5.3", "libtirpc3", "libnsl2"),
)
EMULATOR = FOLDER / "emulator/usr/bin/qemu-aarch64-static"


def fetch() -> None:
    """Everything into FOLDER."""
    packages, wheels, lists = (FOLDER / name for name in ("packages", "wheels", "lists"))
    for folder in (packages, wheels, lists / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    (lists / "status").touch()
    apt = ["apt-get", "-q", "-o", "APT::Architecture=arm64", "-o", "APT::Architectures=arm64"]
    apt += ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::State::status={lists}/status", "-o", f"Dir::Cache={lists}"]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "download", *SYSTEM], cwd=packages, check=True)
    subprocess.run(["apt-get", "-q", "download", "qemu-user-static"], cwd=packages, check=True)
    for package in packages.glob("*.deb"):
        to = "system" if package.name.endswith("_arm64.deb") else "emulator"
        subprocess.run(["dpkg-deb", "-x", package, FOLDER / to], check=True)
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", wheels]
    pip += ["--python-version", PYTHON]
    for glibc in ("manylinux2014", "manylinux_2_17", "manylinux_2_27", "manylinux_2_28"):
        pip += ["--platform", f"{glibc}_aarch64"]
    subprocess.run([*pip, *WHEELS, *PURE], check=True)
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as file:
            file.extractall(FOLDER / "site")
    (FOLDER / "whole").touch()


def main() -> None:
    """Fetches what is missing, and runs the problems."""
    if not (FOLDER / "whole").exists():
        fetch()
    python = [EMULATOR, "-L", FOLDER / "system", FOLDER / f"system/usr/bin/python{PYTHON}"]
    paths = os.pathsep.join(map(str, (ROOT, FOLDER / "site")))
    environment = {**os.environ, "PYTHONPATH": paths, "ELMAN_CACHE_DIR": str(FOLDER / "kernels")}
    command = [*python, "-m", "tools.random_problems", *sys.argv[1:]]
    sys.exit(subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode)


if __name__ == "__main__":
    main()
