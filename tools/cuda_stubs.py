"""Stand-ins for the CUDA libraries that a CUDA build of torch is linked with, so that its CPU side loads without them.

They are some GB of downloads for each version of torch, of which the layer's tests on a CPU call nothing. A stand-in
defines every function that torch's libraries ask of the missing one, and each returns "no device".
"""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

_NO_DEVICE = 100  # cudaErrorNoDevice


def write(torch: Path) -> list[str]:
    """Writes the missing libraries beside torch's own, in torch/lib, and returns their names."""
    folder = torch / "lib"
    libraries = [*folder.glob("*.so*"), *torch.glob("*.so")]
    present = {library.name for library in libraries}
    needed: set[str] = set()
    versions: dict[str, set[str]] = defaultdict(set)  # of functions that are asked of a library by name and version
    asked: dict[tuple[str, str], None] = {}
    defined: set[str] = set()
    for library in libraries:
        dynamic = _readelf("-d", library)
        needed |= set(re.findall(r"\(NEEDED\).*\[(.*?)\]", dynamic))
        for file, block in re.findall(r"File: (\S+)(.*?)(?=File:|\Z)", _readelf("-V", library), flags=re.DOTALL):
            versions[file] |= set(re.findall(r"Name: (\S+)", block))
        for line in _readelf("--dyn-syms", library).splitlines():
            fields = line.split()
            if len(fields) >= 8 and fields[0].rstrip(":").isdigit():
                name, _, version = fields[7].partition("@")
                if fields[6] != "UND":
                    defined.add(name)
                elif fields[4] == "GLOBAL":
                    asked[name, version.strip("@")] = None
    missing = sorted(name for name in needed - present if re.match(r"lib(cu|nv|nccl|caffe2_nvrtc|npp)", name))
    owner = {version: name for name in missing for version in versions[name]}
    of: dict[str, set[tuple[str, str]]] = {name: set() for name in missing}
    for name, version in asked:
        if version in owner:
            of[owner[version]].add((name, version))
        elif not version and name not in defined and missing and not name.startswith("_Z") and name != "__gmon_start__":
            of[missing[0]].add((name, ""))
    for library, functions in of.items():
        _link(folder / library, functions)
    return missing


def _readelf(option: str, library: Path) -> str:
    return subprocess.run(["readelf", "-W", option, library], capture_output=True, text=True, check=True).stdout


def _link(library: Path, functions: set[tuple[str, str]]) -> None:
    """A shared library of these functions, each of its version."""
    nodes: dict[str, list[str]] = defaultdict(list)
    for name, version in functions:
        nodes[version].append(name)
    lines = [".text"]
    for name in sorted({name for name, _ in functions}):
        lines += [f".globl {name}", f".type {name},@function", f"{name}:"]
    source, script = library.with_suffix(".s"), library.with_suffix(".map")
    source.write_text(
        "\n".join([*lines, f"mov ${_NO_DEVICE}, %eax", "ret", '.section .note.GNU-stack,"",@progbits', ""])
    )
    script.write_text(
        "".join(
            f"{version} {{ global: {' '.join(f'{n};' for n in names)} }};\n"
            for version, names in nodes.items()
            if version
        )
    )
    command = ["gcc", "-shared", "-nostdlib", f"-Wl,-soname,{library.name}", "-o", library, source]
    if any(nodes):
        command.append(f"-Wl,--version-script,{script}")
    subprocess.run(command, check=True)
    source.unlink()
    script.unlink()


if __name__ == "__main__":
    print(*write(Path(sys.argv[1])), sep="\n")
