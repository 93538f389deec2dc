"""The commands as a user types them: what they print where, their exit codes, and what they leave on the disk."""

import random
import re
import subprocess
import sys
from pathlib import Path

import forked
import pytest
from commands import exit_code

from elman.cli import demo, train
from elman.tasks.text import run as text_runs

SMALL = "--hidden-size 16 --embedding-size 8 --seq-len 16 --batch-size 4 --steps 60 --eval-every 20 --dropout 0"
BITS = [
    "this model",
    "order-5 counts of the train text",
    "bz2 on the held-out text",
    "bz2 on it after the train text",
]
KOREAN = "옛날 옛적에 호랑이가 담배를 피우던 시절의 이야기다.\n"


def elman(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return forked.run(forked.COMMAND, *arguments, **environment)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("corpus") / "이야기.txt"
    words = f"{KOREAN} Once upon a time there was a tiger.\n".split(" ")
    text = " ".join(random.Random(0).choices(words, k=2000))
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def trained(corpus) -> Path:
    """A run folder made by the command itself."""
    done = elman("train", "text", corpus, "-o", corpus.with_name("run"), *SMALL.split())
    assert done.returncode == 0, done.stderr
    corpus.with_name("stdout").write_text(done.stdout, encoding="utf-8")
    corpus.with_name("stderr").write_text(done.stderr, encoding="utf-8")
    return corpus.with_name("run")


# What goes well


def test_train_reports_and_says_what_to_do_next(trained):
    lines = trained.with_name("stdout").read_text(encoding="utf-8").splitlines()
    characters = len(trained.with_name("이야기.txt").read_text(encoding="utf-8"))
    assert lines[0].startswith(f"이야기.txt: {characters:,} characters, ")
    assert f"{characters // 10:,} held out" in lines[0]
    assert [line.split(":")[0] for line in lines[2:5]] == ["step 20", "step 40", "step 60"]
    assert lines[6] == f"bits per character on the {characters // 10:,} held-out characters:"
    for name, line in zip(BITS, lines[7:11], strict=True):
        assert re.fullmatch(rf" +\d\.\d{{3}}  {name}", line)
    assert lines[11].startswith("By bits per character this model is worse than order-5 counts of the train text")
    assert re.search(r"weights of step (20|40|60), the best", lines[12])
    assert "a sample" in lines[14]
    assert lines[-1] == f"next: elman generate {trained} --prompt ... --length 1000"


def test_train_shows_its_progress_on_stderr(trained):
    text = trained.with_name("stderr").read_text(encoding="utf-8")
    first, *_, last = [line for line in re.split(r"[\r\n]", text) if line.startswith("train:")]
    assert "0%" in first
    assert re.search(r"100%.*char/s, loss \d\.\d{3}, \d\.\d{3} bits per character\]", last)


def test_train_writes_the_run_folder(trained):
    names = {path.name for path in trained.iterdir()}
    assert names == {
        "config.json",
        "tokens.npy",
        "weights.safetensors",
        "checkpoint.safetensors",
        "previous.safetensors",
        "metrics.csv",
        "metrics.json",
        "loss.png",
        "README.md",
    }
    assert (trained / "loss.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    rows = (trained / "metrics.csv").read_text().splitlines()
    assert rows[0] == "step,training bits per character,bits per character on held-out text"
    assert [row.split(",")[0] for row in rows if re.fullmatch(r"\d+,,[\d.]+", row)] == ["20", "40", "60"]
    assert [row.split(",")[0] for row in rows if re.fullmatch(r"\d+,[\d.]+,", row)] == [str(i) for i in range(1, 61)]


def test_printed_bits_are_those_of_the_kept_weights(trained):
    line = trained.with_name("stdout").read_text(encoding="utf-8").splitlines()[7]
    kept = min(
        float(row.split(",")[2]) for row in (trained / "metrics.csv").read_text().splitlines()[1:] if row.split(",")[2]
    )
    assert float(line.split()[0]) == pytest.approx(kept, abs=5.1e-4)


def test_generate_writes_to_stdout_and_advises_on_stderr(trained):
    one, same = (elman("generate", trained, "--prompt", "호랑이가 ", "--length", 40, "--seed", 7) for _ in range(2))
    assert one.returncode == 0, one.stderr
    assert one.stdout == same.stdout
    assert one.stdout.startswith("호랑이가 ")
    assert len(one.stdout) == len("호랑이가 ") + 40 + 1
    assert one.stderr.startswith("next: ")
    assert len(one.stderr.splitlines()) == 1


def test_generate_without_a_seed_names_the_one_it_took(trained, capsys):
    assert exit_code("generate", trained, "--length", 200, "--temperature", 2) == 0
    first = capsys.readouterr()
    seed = re.search(r"--seed (\d+)", first.err)[1]
    assert exit_code("generate", trained, "--length", 200, "--temperature", 2) == 0
    assert capsys.readouterr().out != first.out
    assert exit_code("generate", trained, "--length", 200, "--temperature", 2, "--seed", seed) == 0
    assert capsys.readouterr().out == first.out


def test_generate_streams_and_stops_with_its_reader(trained):
    program = forked.Program(forked.COMMAND, "generate", trained, "--length", "100000000")
    assert len(program.stdout.read(300)) == 300  # long before it has written all
    program.stdout.close()
    done = program.end(timeout=60)
    assert (done.returncode, done.stderr) == (1, "")


def test_generate_writes_korean_where_the_terminal_knows_ascii_only(trained):
    done = elman("generate", trained, "--prompt", "호", "--length", 3, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("\\ud638")


def test_resume_of_a_finished_run_measures_again(corpus, trained, capsys):
    assert exit_code("train", "text", corpus, "-o", trained, "--resume", *SMALL.split()) == 0
    before = trained.with_name("stdout").read_text(encoding="utf-8").splitlines()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "going on from step 60"
    assert lines[4:9] == before[6:11]


def test_train_without_matplotlib_says_so_in_one_line(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert exit_code("train", "text", corpus, "-o", tmp_path / "run", *SMALL.split()) == 0
    assert "no picture without matplotlib: pip install elman[plot]" in capsys.readouterr().out.splitlines()
    assert not (tmp_path / "run" / "loss.png").exists()


def test_train_leaves_the_baselines_out_of_a_very_long_text(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(text_runs, "MOST_CHARACTERS", 1000)
    assert exit_code("train", "text", corpus, "-o", tmp_path / "run", *SMALL.split()) == 0
    out = capsys.readouterr().out
    assert "  this model\n" in out
    assert "bz2" not in out
    sentence = "There are no baselines beside it: the text has more than 1,000 characters, and they take minutes."
    assert sentence in out.splitlines()
    assert sentence in (tmp_path / "run" / "README.md").read_text(encoding="utf-8")


def test_counts_of_the_end_of_a_long_text_are_called_so(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(text_runs, "MOST_COUNTED", 1234)
    assert exit_code("train", "text", corpus, "-o", tmp_path / "run", *SMALL.split()) == 0
    name = "order-5 counts of the last 1,234 characters of the train text"
    out, readme = capsys.readouterr().out, (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"^ +\d\.\d{{3}}  {name}$", out, re.MULTILINE)
    assert f"| {name} |" in readme
    for text in (out, readme):
        assert BITS[1] not in text


@pytest.fixture
def short_demo(monkeypatch) -> None:
    """The demo reads the beginning of its text, and its cells and its race are short."""
    text = demo.topics()[:100_000]
    monkeypatch.setattr(demo, "topics", lambda: text)
    monkeypatch.setattr(demo, "ROUNDS", 2)
    monkeypatch.setattr(demo, "ROUND_STEPS", 2)
    monkeypatch.setattr(demo, "CELL_SECONDS", 0.2)


def test_demo_trains_compares_samples_races_and_draws(tmp_path, monkeypatch, capsys, short_demo):
    monkeypatch.chdir(tmp_path)
    assert exit_code("demo", "--steps", 6) == 0
    out = capsys.readouterr().out
    assert f"{demo.TEXT}: {len(demo.topics()):,} characters, {len(set(demo.topics()))} different" in out
    for name in BITS:
        assert re.search(rf"\d\.\d{{3}}  {name}\n", out)
    for name in ("elman.GRU", "torch.nn.GRU"):
        assert re.search(rf"{name}: +[\d,]+ char/s", out)
    readme = (tmp_path / "elman-demo" / "README.md").read_text(encoding="utf-8")
    for cell in ("rnn", "gru", "lstm"):
        steps, bits = re.search(rf"\| {cell} \| ([\d,]+) \| (\d\.\d{{3}}) \|", readme).groups()
        assert f"  {bits} bits per character, {steps} steps  {cell}\n" in out
    assert f"\n{demo.PROMPT}" in out
    assert (tmp_path / "elman-demo" / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert out.splitlines()[-1].startswith("next: elman generate elman-demo ")
    assert exit_code("train", "text", f"elman-demo/{demo.TEXT}", "-o", "elman-demo", "--resume") == 0
    (tmp_path / "elman-demo-2").mkdir()
    assert demo.free_path(Path("elman-demo")) == Path("elman-demo-3")


def test_demo_without_matplotlib_names_no_picture(tmp_path, monkeypatch, capsys, short_demo):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert exit_code("demo", "--steps", 2, "-o", tmp_path / "run") == 0
    out = capsys.readouterr().out
    assert "no picture without matplotlib" in out
    assert f"everything is in {tmp_path / 'run'}\n" in out
    assert "loss.png" not in out


def test_demo_text_is_the_documentation_of_this_python():
    from pydoc_data.topics import topics

    paragraphs = demo.topics().split("\n\n")
    words = [tuple(paragraph.split()) for paragraph in paragraphs]
    assert len(set(words)) == len(words)
    assert set(words) == {tuple(paragraph.split()) for page in topics.values() for paragraph in page.split("\n\n")}


def test_race_steps_both_layers_alike(corpus, trained, monkeypatch):
    """Both run the same steps from the same weights: each reports a speed a round, and the first losses agree."""
    import torch

    losses: dict[str, list[float]] = {}

    def noting(name: str):
        class Noting(torch.nn.RNN):
            def forward(self, *arguments):
                losses.setdefault(name, []).append(self.weight_hh_l0.detach().sum().item())
                return super().forward(*arguments)

        return Noting

    monkeypatch.setattr(demo, "ROUNDS", 3)
    monkeypatch.setattr(demo, "ROUND_STEPS", 2)
    run = text_runs.resume(corpus, trained, {})
    speeds = demo.race(run, {"one": noting("one"), "other": noting("other")})
    assert [len(values) for values in speeds.values()] == [3, 3]
    assert losses["one"] == losses["other"]
    assert len(losses["one"]) == 3 * (1 + 2)
    assert len(set(losses["one"])) == 9


@pytest.mark.parametrize("arguments", [[], ["train"], ["--help"], ["train", "text", "--help"], ["generate", "--help"]])
def test_help_is_shown(arguments, capsys):
    assert exit_code(*arguments) == 0
    assert capsys.readouterr().out.startswith("Usage: elman")


def test_help_imports_no_torch():
    code = "import sys; import elman.cli as c\ntry: c.main(['train', 'text', '--help'])\nexcept SystemExit: pass\n"
    code += "print(sorted({'torch', 'numba', 'matplotlib', 'elman.tasks.text.task'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# What goes wrong: one line on stderr, exit code 2, and nothing left behind


def test_an_error_is_one_line_and_exit_code_2(tmp_path):
    done = elman("train", "text", tmp_path / "no.txt", "-o", tmp_path / "run")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"elman: {tmp_path / 'no.txt'} does not exist\n"
    assert not [*tmp_path.iterdir()]


FILES = {
    "empty.txt": (b"", "empty.txt is empty"),
    "latin.txt": ("Öl".encode("latin-1"), "latin.txt, byte 0, is not UTF-8 "),
    "cp949.txt": ("abc한글".encode("cp949"), "cp949.txt, byte 3, is not UTF-8 but seems to be CP949"),
    "utf16.txt": ("hello".encode("utf-16"), "utf16.txt, byte 0, is not UTF-8 but seems to be UTF-16"),
    "short.txt": (b"short", "too short: 4 characters to train on"),
}


@pytest.mark.parametrize("name", FILES)
def test_unusable_files_are_said(tmp_path, capsys, name):
    content, message = FILES[name]
    (tmp_path / name).write_bytes(content)
    assert exit_code("train", "text", tmp_path / name, "-o", tmp_path / "run") == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


TRAINING = {
    "--hidden-size 0": "--hidden-size must be a whole number of at least 1, not 0",
    "--hidden-size -3": "--hidden-size must be a whole number of at least 1, not -3",
    "--hidden-size 99999999": "--hidden-size must be smaller: the model would have",
    "--layers 0": "--layers must be a whole number of at least 1, not 0",
    "--layers 1.5": "Invalid value for '--layers'",
    "--embedding-size 0": "--embedding-size must be",
    "--seq-len 0": "--seq-len must be",
    "--seq-len 99999": "lower --batch-size or --seq-len",
    "--batch-size 0": "--batch-size must be",
    "--batch-size 99999": "lower --batch-size or --seq-len",
    "--steps 0": "--steps must be",
    "--steps many": "Invalid value for '--steps'",
    "--epochs 0": "--epochs must be a number above 0, not 0",
    "--epochs nan": "--epochs must be a number above 0, not nan",
    "--epochs 2 --steps 2": "--steps and --epochs",
    "--lr 0": "--lr must be a number above 0, not 0.0",
    "--lr -1": "--lr must be a number above 0, not -1.0",
    "--lr nan": "--lr must be a number above 0, not nan",
    "--lr inf": "--lr must be a number above 0, not inf",
    "--clip 0": "--clip must be",
    "--dropout 1": "--dropout must be at least 0 and below 1, not 1.0",
    "--dropout -0.1": "--dropout must be at least 0 and below 1, not -0.1",
    "--held-out 0": "--held-out must be above 0 and at most 0.5, not 0.0",
    "--held-out 0.9": "--held-out must be above 0 and at most 0.5, not 0.9",
    "--eval-every 0": "--eval-every must be",
    "--seed -1": "--seed must be a whole number from 0",
    "--device tpu": "--device must be a device that torch can compute on here, such as cpu, not tpu",
    "--device meta": "--device must be a device that torch can compute on here, such as cpu, not meta",
    "--device cuda:99": "--device must be a device that torch can compute on here, such as cpu, not cuda:99",
    "--frobnicate": "No such option: --frobnicate",
    "--resume": "run is no run folder: there is no such folder",
}


@pytest.mark.parametrize("options", TRAINING)
def test_bad_training_options_are_said(corpus, tmp_path, capsys, options):
    assert exit_code("train", "text", corpus, "-o", tmp_path / "run", *options.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("elman: ")
    assert TRAINING[options] in captured.err
    assert len(captured.err.splitlines()) == 1
    assert captured.out == ""
    assert not [*tmp_path.iterdir()]


def test_missing_arguments_are_said(corpus, capsys):
    for arguments, message in {
        ("train", "text"): "Missing argument 'FILE'",
        ("train", "text", corpus): "Missing option '--output'",
        ("train", "poems", corpus): "No such command 'poems'",
        ("generate",): "Missing argument 'RUN'",
        ("frobnicate",): "No such command 'frobnicate'",
    }.items():
        assert exit_code(*arguments) == 2
        captured = capsys.readouterr()
        assert message in captured.err
        assert len(captured.err.splitlines()) == 1


def test_an_output_folder_that_exists_is_left_alone(corpus, trained, capsys):
    before = {path: path.stat().st_mtime_ns for path in trained.iterdir()}
    assert exit_code("train", "text", corpus, "-o", trained, *SMALL.split()) == 2
    assert capsys.readouterr().err == (
        f"elman: {trained} exists already: choose another folder, or go on with it by --resume or replace it by "
        f"--overwrite\n"
    )
    assert exit_code("demo", "-o", trained) == 2
    assert capsys.readouterr().err == f"elman: {trained} exists already: choose another folder\n"
    assert {path: path.stat().st_mtime_ns for path in trained.iterdir()} == before


def test_resume_with_other_settings_is_refused(corpus, trained, capsys):
    assert exit_code("train", "text", corpus, "-o", trained, "--resume", "--hidden-size", 17) == 2
    assert "was begun with hidden_size 16, not 17" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_said(corpus, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert exit_code("train", "text", corpus, "-o", tmp_path / "file" / "run", *SMALL.split()) == 2
    assert capsys.readouterr().err == f"elman: cannot make {tmp_path / 'file' / 'run'}: Not a directory\n"


GENERATING = {
    "--prompt 옛z한♥": "the model has never seen 'z', '♥', '한': it knows the 39 characters of its text only",
    "--length 0": "--length must be at least 1, not 0",
    "--length -5": "--length must be at least 1, not -5",
    "--temperature 0": "--temperature must be a number above 0, not 0.0",
    "--temperature -1": "--temperature must be a number above 0, not -1.0",
    "--temperature nan": "--temperature must be a number above 0, not nan",
    "--temperature inf": "--temperature must be a number above 0, not inf",
    "--top-k 0": "--top-k must be at least 1, not 0",
    "--seed -1": "--seed must be a whole number from 0",
    "--device nowhere": "--device must be a device",
}


@pytest.mark.parametrize("options", GENERATING)
def test_bad_generating_options_are_said(trained, capsys, options):
    assert exit_code("generate", trained, *options.split()) == 2
    captured = capsys.readouterr()
    assert GENERATING[options] in captured.err
    assert len(captured.err.splitlines()) == 1
    assert captured.out == ""


def test_a_folder_that_is_no_run_is_said(tmp_path, capsys):
    assert exit_code("generate", tmp_path / "nothing") == 2
    assert capsys.readouterr().err == f"elman: {tmp_path / 'nothing'} is no run folder: there is no such folder\n"
    assert exit_code("generate", tmp_path) == 2
    assert capsys.readouterr().err == f"elman: {tmp_path} is no complete run folder: config.json is missing\n"


def test_a_loss_that_is_no_number_stops_training(corpus, tmp_path):
    done = elman("train", "text", corpus, "-o", tmp_path / "run", *SMALL.split(), "--lr", "1e38")
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert re.search(
        r"elman: the loss is no finite number any more at step \d+; .* keeps the checkpoint of step 0", last
    )
    assert elman("generate", tmp_path / "run", "--length", 5).returncode == 0


def test_ctrl_c_while_a_file_is_read_leaves_nothing(corpus, tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(text_runs, "encode_file", interrupt)
    assert exit_code("train", "text", corpus, "-o", tmp_path / "run", *SMALL.split()) == 130
    assert not [*tmp_path.iterdir()]


def test_every_option_of_train_text_becomes_a_setting(corpus, tmp_path, monkeypatch):
    """An option that is parsed and then forgotten would pass every other test here."""
    given = {
        "cell": "lstm",
        "hidden_size": 3,
        "layers": 2,
        "embedding_size": 5,
        "dropout": 0.125,
        "seq_len": 7,
        "batch_size": 6,
        "held_out": 0.25,
        "steps": 9,
        "lr": 0.5,
        "clip": 2.5,
        "eval_every": 8,
        "seed": 77,
        "patience": 5,
    }
    monkeypatch.setattr(train, "train_to_end", lambda run, file, **more: runs.append(run))
    monkeypatch.setattr(train, "show_sample", lambda run, prompt: None)
    monkeypatch.setattr(train, "outcome", lambda run: {})
    runs: list[text_runs.Run] = []
    options = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", value)]
    assert exit_code("train", "text", corpus, "-o", tmp_path / "run", *options) == 0
    found = {**vars(runs[0].settings), **vars(runs[0].trainer.settings)}
    assert found == given
