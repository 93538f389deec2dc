"""Run folders: what interrupted training goes on from, and what happens to a folder that is not as it was written."""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import forked
import pytest
import safetensors.torch
import torch

from elman.tasks.errors import DataError, Diverged, RunError, SettingError, UserError
from elman.tasks.settings import LoopSettings, TextSettings
from elman.tasks.text import run as text_runs
from elman.tasks.text.run import Run
from elman.tasks.training import checkpoint, loop

SETTINGS = TextSettings(hidden_size=10, embedding_size=6, layers=2, dropout=0.3, seq_len=8, batch_size=4)
TRAINING = LoopSettings(steps=60, eval_every=7, seed=11)
FILES = [checkpoint.WEIGHTS, checkpoint.CHECKPOINT, "metrics.csv"]


@pytest.fixture
def corpus(tmp_path) -> Path:
    """A text of which 60 steps read a little more than one epoch."""
    file = tmp_path / "corpus.txt"
    file.write_text("봄이 오면 산에 들에 진달래 피네.\nThe quick brown fox jumps over it.\n" * 28, encoding="utf-8")
    return file


def begin(corpus: Path, name: str, **changed: float) -> Run:
    training = LoopSettings(**{"steps": 60, "eval_every": 7, "seed": 11} | changed)
    return text_runs.begin(corpus, corpus.with_name(name), SETTINGS, training)


def fit(run: Run, interrupt_at: int | None = None, how: signal.Signals = signal.SIGINT) -> bool:
    """Train; Ctrl-C is pressed, or another signal comes, while the evaluation of `interrupt_at` is reported."""

    def report(step: int, value: float) -> None:
        if step == interrupt_at:
            os.kill(os.getpid(), how)

    return loop.fit(run.trainer, run.folder, progress=False, report=report)


def same_files(one: Path, other: Path) -> list[str]:
    return [name for name in FILES if (one / name).read_bytes() == (other / name).read_bytes()]


def resume(corpus: Path, name: str) -> Run:
    return text_runs.resume(corpus, corpus.with_name(name), {})


# Going on


def test_a_run_begun_twice_is_the_same_bit_for_bit(corpus):
    one = begin(corpus, "one")
    assert fit(one)
    other = begin(corpus, "other")
    assert fit(other)
    assert same_files(one.folder, other.folder) == FILES
    different = begin(corpus, "different", seed=12)
    assert fit(different)
    assert same_files(one.folder, different.folder) == []


@pytest.mark.parametrize("stops", [[7], [14, 28, 56]])
def test_resume_after_an_interrupt_ends_as_if_never_interrupted(corpus, stops):
    whole = begin(corpus, "whole")
    assert whole.task.chunks < 60  # so an epoch ends on the way
    assert fit(whole)
    pieces = begin(corpus, "pieces")
    for stop in stops:
        assert not fit(pieces, interrupt_at=stop)
        assert pieces.trainer.step == stop
        torch.manual_seed(999)  # resuming must not lean on this process's random state
        pieces = resume(corpus, "pieces")
        assert pieces.trainer.step == stop
    assert fit(pieces)
    assert same_files(whole.folder, pieces.folder) == FILES


def test_resume_between_evaluations_goes_on_from_the_very_step(corpus, monkeypatch):
    whole = begin(corpus, "whole")
    assert fit(whole)
    pieces = begin(corpus, "pieces")
    monkeypatch.setattr(loop, "SAVE", 0.0)  # a checkpoint at every look at the clock
    monkeypatch.setattr(loop, "REFRESH", 0.0)
    saved = []
    honest = loop.Trainer.save

    def crash(self: loop.Trainer, run: Path) -> None:
        honest(self, run)
        saved.append(self.step)
        if self.step == 17:
            raise SystemError

    monkeypatch.setattr(loop.Trainer, "save", crash)
    with pytest.raises(SystemError):
        fit(pieces)
    assert saved == list(range(1, 18))
    monkeypatch.undo()
    pieces = resume(corpus, "pieces")
    assert pieces.trainer.step == 17
    assert fit(pieces)
    assert same_files(whole.folder, pieces.folder) == FILES


def test_resume_of_a_finished_run_changes_nothing(corpus):
    run = begin(corpus, "run")
    assert fit(run)
    before = {name: (run.folder / name).read_bytes() for name in FILES}
    assert fit(resume(corpus, "run"))
    assert {name: (run.folder / name).read_bytes() for name in FILES} == before


def test_weights_are_those_of_the_best_evaluation(corpus, monkeypatch):
    run = begin(corpus, "run")
    values = iter([3.0, 2.0, 2.5, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0])
    weights = {}

    def evaluate() -> float:
        weights[run.trainer.step] = {k: v.clone() for k, v in run.task.model.state_dict().items()}
        return next(values)

    monkeypatch.setattr(run.task, "evaluate", evaluate)
    assert fit(run)
    kept, facts = checkpoint.load_tensors(run.folder / checkpoint.WEIGHTS)
    assert facts == {"step": 28, "bits per character": 1.5}
    assert (run.trainer.best, run.trainer.best_step) == (1.5, 28)
    assert kept.keys() == weights[28].keys()
    assert all(torch.equal(kept[name], weights[28][name]) for name in kept)


# In a process of its own

ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # tiny models on a busy machine are many times faster so
SMALL = "--hidden-size 12 --embedding-size 6 --layers 2 --dropout 0.2 --seq-len 8 --batch-size 4 --eval-every 40"


def start(corpus: Path, name: str, steps: int, *more: str, real: bool = False) -> forked.Program:
    arguments = ["train", "text", corpus, "-o", corpus.with_name(name), "--steps", steps, *more]
    return forked.Program(forked.COMMAND, *arguments, *SMALL.split(), real=real, **ONE_THREAD)


def wait_for_step(process: forked.Program, run: Path, step: int) -> None:
    """Return as soon as the run's checkpoint is of that step or a later one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, process.end()
        path = run / checkpoint.CHECKPOINT
        if path.exists() and checkpoint.load_tensors(path)[1]["step"] >= step:
            return
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    pytest.fail("the training process made no progress for a minute")


def test_sigterm_saves_as_ctrl_c_does(corpus):
    assert fit(begin(corpus, "whole"))
    run = begin(corpus, "run")
    before = signal.getsignal(signal.SIGTERM)
    assert not fit(run, interrupt_at=21, how=signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
    assert checkpoint.load_tensors(run.folder / checkpoint.CHECKPOINT)[1]["step"] == 21
    assert fit(resume(corpus, "run"))
    assert same_files(corpus.with_name("whole"), run.folder) == FILES


def test_kill_9_and_ctrl_c_lose_nothing(corpus):
    steps = 480
    whole, run = corpus.with_name("whole"), corpus.with_name("run")
    uninterrupted = start(corpus, "whole", steps, real=True).end()  # its hashes and addresses are others
    assert uninterrupted.returncode == 0, uninterrupted.stderr

    process = start(corpus, "run", steps)
    wait_for_step(process, run, 80)
    process.send_signal(signal.SIGKILL)
    assert process.end().returncode == -signal.SIGKILL

    process = start(corpus, "run", steps, "--resume")
    wait_for_step(process, run, 200)
    process.send_signal(signal.SIGINT)
    stopped = process.end()
    assert stopped.returncode == 130, stopped.stderr
    assert "stopped at step" in stopped.stdout.splitlines()[-1]
    assert "--resume" in stopped.stdout.splitlines()[-1]
    assert 200 <= checkpoint.load_tensors(run / checkpoint.CHECKPOINT)[1]["step"] < steps

    ended = start(corpus, "run", steps, "--resume").end()
    assert ended.returncode == 0, ended.stderr
    assert same_files(whole, run) == FILES
    assert not [path.name for path in run.iterdir() if path.name.startswith(".")]


KILLED_WHILE_WRITING = """
import os, pathlib, signal, sys
from elman.tasks.training import checkpoint
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
owner, name = {"fsync": (os, "fsync"), "replace": (pathlib.Path, "replace")}[sys.argv[2]]
setattr(owner, name, die)
checkpoint.write_atomically(pathlib.Path(sys.argv[1]), b"new" * 100_000)
"""


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_write_atomically_leaves_the_old_file_when_killed(tmp_path, moment):
    file = tmp_path / "file"
    file.write_bytes(b"old")
    done = forked.run(KILLED_WHILE_WRITING, file, moment)
    assert done.returncode == -signal.SIGKILL
    assert file.read_bytes() == b"old"
    checkpoint.write_atomically(file, b"new")
    assert file.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


FULL_DISK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from elman.cli import main
main(sys.argv[2:])
"""


def run_on_a_full_disk(size: int, corpus: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command where no file may grow beyond `size` bytes: the system refuses the write as on a full disk."""
    return forked.run(FULL_DISK, size, "train", "text", corpus, *arguments, **ONE_THREAD)


def test_a_full_disk_keeps_the_last_checkpoint(corpus):
    folder = corpus.with_name("run")
    steps = ["-o", str(folder), "--steps", "300", *SMALL.split()]
    untrained = begin(corpus, "size").folder / checkpoint.CHECKPOINT
    done = run_on_a_full_disk(2 * untrained.stat().st_size, corpus, *steps)  # Adam's moments make it grow threefold
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        f"elman: cannot write {folder / checkpoint.CHECKPOINT}: File too large"
    )
    assert checkpoint.load_tensors(folder / checkpoint.CHECKPOINT)[1]["step"] == 0
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]
    assert fit(resume(corpus, "run"))


def test_a_disk_too_full_for_the_text_leaves_no_folder(corpus):
    done = run_on_a_full_disk(100, corpus, "-o", str(corpus.with_name("run")))
    assert done.returncode == 2
    assert done.stderr == f"elman: cannot write {corpus.with_name('run')}: File too large\n"
    assert [path.name for path in corpus.parent.iterdir()] == ["corpus.txt"]


@pytest.fixture
def nobody():
    """Inside, this process has no right to write where it is not allowed to, though it may run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder whose parents anybody may read."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_read_only_folder_is_said(public, corpus, request):
    file = public / "corpus.txt"
    file.write_bytes(corpus.read_bytes())
    run = begin(file, "run")
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    run.folder.chmod(0o555)
    public.chmod(0o555)
    request.getfixturevalue("nobody")
    with pytest.raises(RunError, match=r"cannot make .*other: Permission denied"):
        begin(file, "other")
    with pytest.raises(
        RunError, match=r"cannot write .*safetensors: Permission denied; what was written before is kept"
    ):
        fit(run)
    assert {path.name: path.read_bytes() for path in run.folder.iterdir()} == before


def test_the_checkpoint_before_the_last_is_kept(corpus):
    run = begin(corpus, "run")
    assert not fit(run, interrupt_at=14)
    kept = [checkpoint.load_tensors(run.folder / n)[1]["step"] for n in (checkpoint.PREVIOUS, checkpoint.CHECKPOINT)]
    assert kept == [7, 14]
    whole = begin(corpus, "whole")
    assert fit(whole)
    truncate(checkpoint.CHECKPOINT)(run.folder)
    with pytest.raises(
        RunError, match=r"is broken .*; the checkpoint before it is kept: rename previous.safetensors to"
    ):
        resume(corpus, "run")
    (run.folder / checkpoint.PREVIOUS).rename(run.folder / checkpoint.CHECKPOINT)
    run = resume(corpus, "run")
    assert run.trainer.step == 7
    assert fit(run)
    assert same_files(whole.folder, run.folder) == FILES


# Numbers that are none


def test_divergence_names_the_step_and_keeps_the_checkpoint_before_it(corpus, monkeypatch):
    run = begin(corpus, "run")
    honest = run.task.loss
    monkeypatch.setattr(run.task, "loss", lambda step: honest(step) * (float("nan") if step == 23 else 1.0))
    with pytest.raises(Diverged, match=r"at step 24; .*run keeps the checkpoint of step 21: .* lower --lr"):
        fit(run)
    again = resume(corpus, "run")
    assert again.trainer.step == 21
    assert fit(again)


def test_weights_that_are_no_numbers_are_never_saved(corpus, monkeypatch):
    run = begin(corpus, "run")
    honest = run.trainer.advance

    def spoil() -> torch.Tensor:
        loss = honest()
        if run.trainer.step == 28:  # an evaluation follows, and a checkpoint; the loss itself is still finite
            with torch.no_grad():
                run.task.model.linear.bias[0] = float("inf")
        return loss

    monkeypatch.setattr(run.trainer, "advance", spoil)
    with pytest.raises(Diverged, match=r"at step 28; .*run keeps the checkpoint of step 21"):
        fit(run)
    for file in (checkpoint.WEIGHTS, checkpoint.CHECKPOINT):
        tensors, _ = checkpoint.load_tensors(run.folder / file)
        assert all(tensor.isfinite().all() for tensor in tensors.values())


# Broken folders


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / checkpoint.CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_tensors(path: Path, change) -> None:
    tensors, facts = checkpoint.load_tensors(path)
    change(tensors)
    checkpoint.save_tensors(path, tensors, facts)


def drop_config_key(folder: Path) -> None:
    path = folder / checkpoint.CONFIG
    config = json.loads(path.read_text())
    del config["vocabulary"]
    path.write_text(json.dumps(config))


def truncate(name: str):
    def cut(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return cut


def remove(name: str):
    return lambda folder: (folder / name).unlink()


def change_model(**values: object):
    def change(folder: Path) -> None:
        model = json.loads((folder / checkpoint.CONFIG).read_text())["model"]
        edit_config(folder, model=model | values)

    return change


BROKEN_FOR_ALL = {
    "config.json is missing": (remove("config.json"), "config.json is missing"),
    "config.json is cut off": (truncate("config.json"), "config.json is broken"),
    "config.json is a list": (lambda f: (f / "config.json").write_text("[]"), "names no format version"),
    "config.json is not UTF-8": (lambda f: (f / "config.json").write_bytes(b'{"a": "\xff"}'), "config.json is broken"),
    "of another version": (lambda f: edit_config(f, format=99), "format version 99; this elman reads version 1"),
    "of another task": (lambda f: edit_config(f, task="labels"), "another task: labels, not text"),
    "a key is missing": (drop_config_key, "holds no vocabulary"),
    "a key has another type": (lambda f: edit_config(f, training=[]), "training, or one that is no dict"),
    "a setting is missing": (lambda f: edit_config(f, model={}), "missing or unknown settings: .*hidden_size"),
    "a setting is unknown": (change_model(gates=4), "missing or unknown settings: gates"),
    "a setting is impossible": (change_model(layers=0), "layers must be .*, not 0"),
    "the vocabulary is in disorder": (lambda f: edit_config(f, vocabulary="ba"), "vocabulary is not in order"),
    "the vocabulary is empty": (lambda f: edit_config(f, vocabulary=""), "vocabulary is not in order"),
}

BROKEN_TENSORS = {
    "the file is missing": (lambda p: p.unlink(), "{name} is missing"),
    "the file is cut off": (lambda p: p.write_bytes(p.read_bytes()[:-1]), "{name} is broken"),
    "the file is empty": (lambda p: p.write_bytes(b""), "{name} is broken"),
    "the file is something else": (lambda p: p.write_bytes(b"hello" * 50), "{name} is broken"),
    "the facts are missing": (
        lambda p: p.write_bytes(safetensors.torch.save({"a": torch.ones(1)})),
        "{name} is broken",
    ),
    "a tensor is missing": (lambda p: edit_tensors(p, lambda t: t.popitem()), "{name} is broken: it lacks "),
    "a tensor is too many": (
        lambda p: edit_tensors(p, lambda t: t.update(x=torch.ones(1))),
        "{name} does not fit .* x ",
    ),
    "another vocabulary": (
        lambda p: edit_config(p.parent, vocabulary="ab"),
        r"{name} does not fit config.json: .*embedding.weight has shape \(\d+, 6\), not \(2, 6\)",
    ),
    "another size": (lambda p: change_model(hidden_size=11)(p.parent), "{name} does not fit config.json: .* has shape"),
}


@pytest.fixture
def trained(corpus) -> Path:
    run = begin(corpus, "run", steps=8)
    assert fit(run)
    return run.folder


@pytest.mark.parametrize("case", BROKEN_FOR_ALL)
def test_a_broken_config_is_said(corpus, trained, case):
    spoil, message = BROKEN_FOR_ALL[case]
    spoil(trained)
    with pytest.raises(RunError, match=message):
        text_runs.load_model(trained)
    with pytest.raises(RunError, match=message):
        resume(corpus, "run")


@pytest.mark.parametrize("case", BROKEN_TENSORS)
@pytest.mark.parametrize("name", [checkpoint.WEIGHTS, checkpoint.CHECKPOINT])
def test_broken_tensors_are_said(corpus, trained, case, name):
    spoil, message = BROKEN_TENSORS[case]
    spoil(trained / name)
    with pytest.raises(RunError, match=message.format(name=name)):
        text_runs.load_model(trained) if name == checkpoint.WEIGHTS else resume(corpus, "run")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p.unlink(), "tokens.npy is missing"),
        (lambda p: p.write_bytes(p.read_bytes()[:-10]), "tokens.npy is broken"),
        (lambda p: p.write_bytes(b"hello"), "tokens.npy is broken"),
        (lambda p: p.write_bytes(b""), "tokens.npy is broken"),
    ],
)
def test_broken_tokens_are_said(corpus, trained, spoil, message):
    spoil(trained / "tokens.npy")
    with pytest.raises(RunError, match=message):
        resume(corpus, "run")


def test_resume_refuses_another_text(corpus, trained):
    corpus.write_text(corpus.read_text() + "!")
    with pytest.raises(RunError, match=r"corpus.txt is not the text that .*run was begun with"):
        resume(corpus, "run")
    corpus.unlink()
    with pytest.raises(RunError, match=r"corpus.txt is not the text"):
        resume(corpus, "run")


@pytest.mark.parametrize(("name", "value"), [("hidden_size", 11), ("lr", 0.5), ("seed", 12), ("held_out", 0.2)])
def test_resume_refuses_another_setting(corpus, trained, name, value):
    with pytest.raises(RunError, match=rf"was begun with {name} .*, not {value}: --resume"):
        text_runs.resume(corpus, trained, {name: value})


def test_resume_takes_the_same_settings_again(corpus, trained):
    wanted = {"hidden_size": 10, "layers": 2, "steps": 8, "seed": 11}
    assert text_runs.resume(corpus, trained, wanted).trainer.step == 8


def test_epochs_are_steps(corpus):
    run = text_runs.begin(corpus, corpus.with_name("run"), SETTINGS, TRAINING, epochs=0.5)
    assert run.trainer.settings.steps == -(-run.task.chunks // 2)
    assert text_runs.resume(corpus, run.folder, {}, epochs=0.5).trainer.step == 0
    with pytest.raises(RunError, match="not 3 epochs"):
        text_runs.resume(corpus, run.folder, {}, epochs=3)


@pytest.mark.parametrize("epochs", [0, -1.0, float("nan"), float("inf")])
def test_epochs_must_be_a_number(corpus, epochs):
    with pytest.raises(SettingError, match="epochs must be a number above 0"):
        text_runs.begin(corpus, corpus.with_name("run"), SETTINGS, TRAINING, epochs=epochs)


def test_begin_leaves_what_exists_alone(corpus):
    folder = corpus.with_name("run")
    folder.mkdir()
    (folder / "mine").write_text("precious")
    with pytest.raises(RunError, match="run exists already"):
        begin(corpus, "run")
    assert [path.name for path in folder.iterdir()] == ["mine"]


def test_begin_that_fails_leaves_no_folder(corpus):
    corpus.write_text("too short")
    with pytest.raises(DataError, match="too short"):
        begin(corpus, "run")
    corpus.write_bytes(b"ab\xff" * 1000)
    with pytest.raises(UserError, match="byte 2, is not UTF-8"):
        begin(corpus, "run")
    assert [path.name for path in corpus.parent.iterdir()] == ["corpus.txt"]
