"""The run folder: config.json, tensors as safetensors, each file replaced atomically.

    config.json              what was trained on what, with a format version
    tokens.npy               the data as the task reads it
    weights.safetensors      the weights to use: those of the best evaluation so far
    checkpoint.safetensors   everything that training goes on from
    previous.safetensors     the checkpoint before that one
    metrics.csv              the measures along the way

A crash or a power cut at any moment leaves the old file or the new one, never a half: a file is written beside its
place, flushed to the disk, and renamed over the old one. A new folder is filled under another name and then renamed.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from elman.tasks.errors import RunError
from elman.tasks.files.places import refuse_folder

FORMAT = 1
CONFIG, WEIGHTS = "config.json", "weights.safetensors"
CHECKPOINT, PREVIOUS = "checkpoint.safetensors", "previous.safetensors"


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file at `path` by `data`: afterwards it is the old file or the new one, whatever happens between."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which replaces the one at `path` at the end of the block; if the block fails, the old one stays.

    Raises:
        RunError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # the first error says more
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise RunError(f"cannot write {path}: {error.strerror}; what was written before is kept") from error
        raise
    _flush_folder(path.parent)


@contextlib.contextmanager
def new_run(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A folder to fill, which becomes `path` at the end of the block, or vanishes if the block fails.

    With `overwrite` a run folder that is there is replaced, at that end and not before.
    """
    refuse_folder(path, overwrite=overwrite)
    building = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        building.mkdir(parents=True)
    except OSError as error:
        raise RunError(f"cannot make {path}: {error.strerror}") from error
    try:
        yield building
        refuse_folder(path, overwrite=overwrite)
        if path.exists():
            old = path.with_name(f".{path.name}-{os.getpid()}-old")
            path.rename(old)
            building.rename(path)
            shutil.rmtree(old)
        else:
            building.rename(path)
    except BaseException as error:
        shutil.rmtree(building)
        if isinstance(error, OSError) and error.filename is None:  # a write: opening a file names it
            raise RunError(f"cannot write {path}: {error.strerror}") from error
        raise
    _flush_folder(path.parent)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors, with `facts` as JSON in the file's metadata, so that the two can never disagree."""
    cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, safetensors.torch.save(cpu, {"facts": json.dumps(facts)}))


def rotate(folder: Path) -> None:
    """Keep the checkpoint as the previous one; it stays in its place too until a new one replaces it."""
    path, part = folder / CHECKPOINT, folder / f".{PREVIOUS}.part"
    if not path.exists():
        return
    part.unlink(missing_ok=True)
    try:
        part.hardlink_to(path)
    except OSError:  # some file systems have no links
        shutil.copyfile(path, part)
    part.replace(folder / PREVIOUS)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote.

    The tensors are copies in torch's own aligned memory: on views into the file, matrix products round differently, and
    a resumed run parted from the uninterrupted one within ten steps.
    """
    _require_file(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (not a dict)
            facts = json.loads((file.metadata() or {})["facts"])
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise RunError(f"{path} is broken ({error})") from error
    if not isinstance(facts, dict):
        raise RunError(f"{path} is broken (its facts are no JSON object)")
    return tensors, facts


def check_shapes(path: Path, found: Mapping[str, Tensor], expected: Mapping[str, torch.Size]) -> None:
    """Raise unless the tensors read from `path` have the names and shapes that config.json asks for."""
    if missing := sorted(expected.keys() - found.keys()):
        raise RunError(f"{path} is broken: it lacks {', '.join(missing)}")
    if extra := sorted(found.keys() - expected.keys()):
        raise RunError(f"{path} does not fit {CONFIG}: it holds {', '.join(extra)} as well")
    for name, shape in expected.items():
        if found[name].shape != shape:
            raise RunError(
                f"{path} does not fit {CONFIG}: {name} has shape {tuple(found[name].shape)}, not {tuple(shape)}"
            )


def load_weights(model: torch.nn.Module, path: Path) -> dict[str, Any]:
    """Put the weights at `path` into `model`; returns the facts stored beside them."""
    tensors, facts = load_tensors(path)
    check_shapes(path, tensors, {name: tensor.shape for name, tensor in model.state_dict().items()})
    model.load_state_dict(tensors)
    return facts


def write_config(folder: Path, task: str, values: Mapping[str, Any]) -> None:
    """Write config.json: the format version, the task's name, and the task's own values."""
    config = {"format": FORMAT, "task": task, **values}
    write_atomically(folder / CONFIG, json.dumps(config, indent=2, ensure_ascii=False).encode())


def read_task(folder: Path) -> str:
    """The name of the task that a run was trained for."""
    return str(_read_config(folder).get("task"))


def read_config(folder: Path, task: str, types: Mapping[str, type]) -> dict[str, Any]:
    """Read a run's config.json, which must be of this format, of this task, and hold values of these types."""
    config = _read_config(folder)
    if config.get("task") != task:
        raise RunError(f"{folder} was trained for another task: {config.get('task')}, not {task}")
    for key, kind in types.items():
        if not isinstance(config.get(key), kind):
            raise RunError(f"{folder / CONFIG} is broken: it holds no {key}, or one that is no {kind.__name__}")
    return config


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not folder.is_dir():
        raise RunError(f"{folder} is no run folder: there is no such folder")
    _require_file(path)
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise RunError(f"{path} is broken ({error})") from error
    if not isinstance(config, dict) or "format" not in config:
        raise RunError(f"{path} is broken: it names no format version")
    if config["format"] != FORMAT:
        raise RunError(f"{path} has format version {config['format']}; this elman reads version {FORMAT}")
    return config


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise RunError(f"{path.parent} is no complete run folder: {path.name} is missing")


def _flush_folder(folder: Path) -> None:
    """Make a rename last through a power cut. Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
