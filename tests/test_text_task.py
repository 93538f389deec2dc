"""The text task: encoding, streams, bits per character, baselines, generation."""

import bz2
import itertools
import math
import random
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from elman.tasks.errors import DataError, SettingError
from elman.tasks.settings import LoopSettings, TextSettings
from elman.tasks.text import data as characters
from elman.tasks.text import generate
from elman.tasks.text import measures as baselines
from elman.tasks.text import task as text
from elman.tasks.text.data import Vocabulary, encode_file
from elman.tasks.text.model import CharacterModel
from elman.tasks.text.task import TextTask
from elman.tasks.training import loop
from elman.tasks.training.modules import SteadyDropout

KOREAN = "나는 학교에 간다.\r\n너는 집에 온다!\n"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def make_task(folder: Path, content: str, model_seed: int = 0, **settings: float) -> TextTask:
    """A task on a text, with a small untrained model whose predictions are far from uniform."""
    found = encode_file(write(folder / "text.txt", content), folder)
    chosen = TextSettings(**{"hidden_size": 7, "embedding_size": 5, "layers": 2} | settings)
    torch.manual_seed(model_seed)
    model = CharacterModel(len(found.vocabulary), chosen)
    with torch.no_grad():
        model.linear.weight.mul_(6)
    return TextTask(model.eval(), folder / characters.TOKENS, chosen, seed=3)


def random_text(length: int, alphabet: str = "abcdef 가나\n", seed: int = 0) -> str:
    return "".join(random.Random(seed).choices(alphabet, k=length))


# Encoding


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1 << 22])
def test_encode_file_keeps_every_character_in_blocks_of_any_size(tmp_path, monkeypatch, block):
    monkeypatch.setattr(characters, "BLOCK", block)
    content = "\ufeff" + KOREAN * 3 + "a\r\rb\x00𝄞é"
    found = encode_file(write(tmp_path / "text.txt", content), tmp_path)
    tokens = np.load(tmp_path / characters.TOKENS, mmap_mode="r")
    assert found.vocabulary.characters == "".join(sorted(set(content)))
    assert found.characters == len(content) == len(tokens)
    assert found.vocabulary.decode(tokens) == content
    assert found.vocabulary.encode(content) == tokens.tolist()


@pytest.mark.parametrize(
    ("size", "dtype"), [(1, "uint8"), (256, "uint8"), (257, "uint16"), (65536, "uint16"), (65537, "uint32")]
)
def test_encode_file_takes_the_narrowest_type(tmp_path, size, dtype):
    content = "".join(map(chr, range(0xE000, 0xE000 + size)))
    found = encode_file(write(tmp_path / "text.txt", content), tmp_path)
    tokens = np.load(tmp_path / characters.TOKENS)
    assert tokens.dtype == dtype
    assert found.vocabulary.decode(tokens) == content


def test_encode_file_never_holds_the_whole_file(tmp_path, monkeypatch):
    monkeypatch.setattr(characters, "BLOCK", 1 << 16)
    file = write(tmp_path / "text.txt", b"seven b" * 4_000_000)
    tracemalloc.start()
    encode_file(file, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < file.stat().st_size / 4


@pytest.mark.parametrize("block", [1, 5, 1 << 22])
@pytest.mark.parametrize(
    ("content", "byte"),
    [
        (b"\xff", 0),
        (b"abc\xffdef", 3),
        ("가나".encode() + b"\x80", 6),
        ("가나".encode()[:-1], 3),  # cut in the middle of a character
        (b"0123456789\xed\xa0\x80", 10),  # a surrogate
        ("한글".encode("cp949"), 0),
    ],
)
def test_encode_file_names_the_byte_that_is_not_utf8(tmp_path, monkeypatch, content, byte, block):
    monkeypatch.setattr(characters, "BLOCK", block)
    with pytest.raises(DataError, match=rf"text.txt, byte {byte}, is not UTF-8 "):
        encode_file(write(tmp_path / "text.txt", content), tmp_path)


def test_encode_file_notices_a_file_that_changes_meanwhile(tmp_path, monkeypatch):
    file = write(tmp_path / "text.txt", "abcabc")
    honest = characters._blocks

    def change_after_reading(path):
        yield from honest(path)
        write(file, "abcabd")

    monkeypatch.setattr(characters, "_blocks", change_after_reading)
    with pytest.raises(DataError, match="changed while it was read"):
        encode_file(file, tmp_path)


def test_vocabulary_names_every_unknown_character():
    with pytest.raises(DataError, match=r"never seen '\\n', '글', '한'"):
        Vocabulary("abc").encode("a한b글\n")


# Streams


class Recorder(CharacterModel):
    """Notes what it is given."""

    def forward(self, ids, h0):
        logits, h = super().forward(ids, h0)
        self.seen.append((ids.clone(), h0.clone(), h.detach().clone()))
        return logits, h


def test_streams_read_the_train_part_side_by_side_and_carry_the_state(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "CHUNKS", 2)  # so that an epoch needs several blocks
    content = random_text(500)
    found = encode_file(write(tmp_path / "text.txt", content), tmp_path)
    settings = TextSettings(hidden_size=4, embedding_size=3, batch_size=3, seq_len=11, held_out=0.2, dropout=0.0)
    model = Recorder(len(found.vocabulary), settings)
    model.seen = []
    task = TextTask(model, tmp_path / characters.TOKENS, settings, seed=0)
    assert (task.trained, task.stream, task.chunks) == (400, 133, 12)
    losses = [task.loss(step) for step in range(2 * task.chunks)]
    tokens = np.array(found.vocabulary.encode(content))
    offsets = []
    for epoch in range(2):
        seen = model.seen[epoch * task.chunks : (epoch + 1) * task.chunks]
        streams = torch.cat([ids for ids, _, _ in seen]).numpy()
        matches = [o for o in range(2) if all((streams[:, k] == tokens[133 * k + o :][:132]).all() for k in range(3))]
        assert len(matches) == 1
        offsets += matches
        assert not seen[0][1].any()
        for (_, _, left), (_, taken, _) in itertools.pairwise(seen):
            assert left.any()
            assert torch.equal(left, taken)
    for step, loss in enumerate(losses):
        ids, h0, _ = model.seen[step]
        start = offsets[step // task.chunks] + 11 * (step % task.chunks) + 1
        target = torch.tensor(np.stack([tokens[133 * k + start :][:11] for k in range(3)], axis=1))
        logits = CharacterModel.forward(model, ids, h0)[0]
        expected = -logits.log_softmax(-1).gather(-1, target[..., None]).mean()
        torch.testing.assert_close(loss, expected)
    assert not task.carried()["h"].requires_grad


def test_epochs_start_at_different_characters(tmp_path):
    task = make_task(tmp_path, random_text(1200), batch_size=2, seq_len=100)
    starts = {int(task._load(epoch, 0).ne(task._load(0, 0)).any()) for epoch in range(10)}
    assert starts == {0, 1}


@pytest.mark.parametrize(("length", "fits"), [(111, True), (110, False)])
def test_text_must_hold_one_sequence_for_every_stream(tmp_path, length, fits):
    settings = {"batch_size": 9, "seq_len": 11, "held_out": 0.1}
    content = random_text(length)  # 111 - 11 held out = 100 = 9 * 11 + 1
    if fits:
        assert math.isfinite(make_task(tmp_path, content, **settings).loss(0).item())
    else:
        with pytest.raises(DataError, match=r"99 characters to train on, .* 9 streams .* sequence of 11 need 100"):
            make_task(tmp_path, content, **settings)


# Bits per character


def bits_by_hand(task: TextTask, ids: np.ndarray, first: int, last: int, read_from: int) -> float:
    """Sum of -log2 p(character) over first..last, the model run over everything from `read_from` in one piece."""
    h0 = torch.zeros(task.settings.layers, 1, task.settings.hidden_size)
    with torch.no_grad():
        logits, _ = task.model(torch.tensor(ids[read_from : last - 1])[:, None], h0)
    p = logits[:, 0].double().softmax(-1).numpy()
    places = np.arange(first, last)
    return float(-np.log2(p[places - 1 - read_from, ids[places]]).sum())


@pytest.mark.parametrize("logits", [1, 100, 1 << 22])
@pytest.mark.parametrize("rows", [1, 3])
def test_held_out_bits_are_those_of_the_formula(tmp_path, monkeypatch, rows, logits):
    monkeypatch.setattr(text, "LOGITS", logits)  # how much is measured in one step must not matter
    monkeypatch.setattr(text, "STREAM", 50)
    monkeypatch.setattr(text, "WARM_UP", 20)
    content = random_text(600)
    task = make_task(tmp_path, content, batch_size=rows, seq_len=4, held_out=0.3)
    ids = np.array(Vocabulary("".join(sorted(set(content)))).encode(content))
    assert task.trained == 420
    bounds = {1: [420, 600], 3: [420, 480, 540, 600]}[rows]
    total = sum(bits_by_hand(task, ids, a, b, a - 21) for a, b in itertools.pairwise(bounds))
    with torch.no_grad():
        assert task.held_out_bits() == pytest.approx(total / 180, rel=1e-5)
        assert task.held_out_bits(stop=450) == pytest.approx(bits_by_hand(task, ids, 420, 450, 399) / 30, rel=1e-5)


def test_held_out_bits_count_a_last_stream_that_is_shorter(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "STREAM", 10)
    monkeypatch.setattr(text, "WARM_UP", 5)
    content = random_text(400)
    task = make_task(tmp_path, content, batch_size=4, seq_len=4, held_out=0.2575)
    ids = np.array(Vocabulary("".join(sorted(set(content)))).encode(content))
    bounds = [297, 323, 349, 375, 400]  # 103 characters: three streams of 26 and one of 25
    total = sum(bits_by_hand(task, ids, a, b, a - 6) for a, b in itertools.pairwise(bounds))
    with torch.no_grad():
        assert task.held_out_bits() == pytest.approx(total / 103, rel=1e-5)


@pytest.mark.parametrize("line", ["the cat sat on the mat. ", "나는 학교에 간다. "])
def test_training_learns_a_text_that_repeats(tmp_path, line):
    task = make_task(tmp_path, line * 100, hidden_size=24, batch_size=4, seq_len=16, layers=1)
    trainer = loop.Trainer(task, LoopSettings(steps=150, lr=0.02))
    assert trainer.evaluate() > 2
    trainer.record([trainer.advance() for _ in range(150)])
    assert trainer.evaluate() < 0.1


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_recurrent_weights_start_orthogonal(cell):
    model = CharacterModel(9, TextSettings(cell=cell, hidden_size=12, layers=3))
    for layer in range(3):
        for gate in getattr(model.rnn, f"weight_hh_l{layer}").split(12):
            torch.testing.assert_close(gate @ gate.T, torch.eye(12), atol=1e-5, rtol=0)
    if cell == "lstm":
        assert (model.rnn.bias_ih_l0[12:24] == 1).all()


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_state_of_every_cell_is_carried_and_measured_in_pieces(tmp_path, monkeypatch, cell):
    """Text in pieces of one character, by streams that keep their state, gives what torch's layer gives in one."""
    monkeypatch.setattr(text, "LOGITS", 1)
    content = random_text(400)
    task = make_task(tmp_path, content, cell=cell, batch_size=1, seq_len=8, held_out=0.3, dropout=0.0)
    ids = torch.tensor(Vocabulary("".join(sorted(set(content)))).encode(content))
    model = task.model
    theirs = getattr(torch.nn, cell.upper())(model.rnn.input_size, model.rnn.hidden_size, model.rnn.num_layers)
    theirs.load_state_dict(model.rnn.state_dict())

    def bits(first: int, last: int) -> torch.Tensor:
        logits = model.linear(theirs(model.embedding(ids[first : last - 1]))[0])
        return torch.nn.functional.cross_entropy(logits, ids[first + 1 : last], reduction="none") / math.log(2)

    with torch.no_grad():
        warm = min(256, task.trained - 1)
        expected = bits(task.trained - warm - 1, 400)[warm:].mean().item()
        assert task.held_out_bits() == pytest.approx(expected, rel=1e-5)
        start = int(np.random.default_rng((task.seed, 0)).integers(task.stream - task.chunks * 8 + 1))
        losses = [task.score(task.loss(step).item()) for step in range(4)]
        assert losses == pytest.approx(bits(start, start + 33).view(4, 8).mean(1).tolist(), rel=1e-5)
    assert set(task.carried()) == ({"h", "c"} if cell == "lstm" else {"h"})


def test_steady_dropout_drops_the_same_features_at_all_steps():
    x = torch.rand(6, 40, 50) + 1
    dropout = SteadyDropout(0.3)
    kept = dropout(x) / x
    torch.testing.assert_close(kept[kept > 0], torch.full_like(kept[kept > 0], 1 / 0.7))
    assert torch.equal(kept > 0, (kept[:1] > 0).expand_as(kept))
    assert kept.mean().item() == pytest.approx(1, abs=5 * (0.3 / 0.7 / 2000) ** 0.5)
    assert not torch.equal(dropout(x), dropout(x))
    assert torch.equal(dropout.eval()(x), x)


def test_decay_rises_then_falls_to_a_hundredth():
    shares = [loop.decay(step, 10_000) for step in range(10_000)]
    assert shares[0] == pytest.approx(0.01)
    assert max(shares) == pytest.approx(1, abs=1e-3)
    assert shares[99:] == sorted(shares[99:], reverse=True)
    assert shares[5_000] == pytest.approx(0.505)
    assert shares[-1] == pytest.approx(0.01, rel=1e-3)


# Baselines


def test_bz2_bits_are_those_of_the_compressed_bytes():
    one, other = random_text(3000, seed=1), random_text(2000, seed=2)
    assert baselines.bz2_alone(other) == len(bz2.compress(other.encode("utf-8"), 9)) * 8 / 2000
    both = len(bz2.compress((one + other).encode("utf-8"), 9))
    assert baselines.bz2_after(one, other) == (both - len(bz2.compress(one.encode("utf-8"), 9))) * 8 / 2000
    assert baselines.bz2_after(one, one) < baselines.bz2_alone(one) / 2
    assert baselines.bz2_after("ab" * 5000, "ab" * 5) >= 0


def witten_bell(train: list[int], context: tuple[int, ...], character: int, size: int) -> float:
    """p(character | context) by the recursion as it is written in the literature."""
    lower = 1 / size if not context else witten_bell(train, context[1:], character, size)
    width = len(context)
    grams = [tuple(train[i : i + width + 1]) for i in range(len(train) - width)]
    follow = Counter(gram[-1] for gram in grams if gram[:-1] == context)
    if not follow:
        return lower
    return (follow[character] + len(follow) * lower) / (follow.total() + len(follow))


@pytest.mark.parametrize("order", [0, 2, 5])
def test_count_bits_are_those_of_the_recursion(order):
    train = random.Random(5).choices([0, 0, 0, 1, 2, 4], k=120)
    held_out = random.Random(6).choices([0, 0, 1, 2, 3, 4], k=40)  # 3 was never seen in the train part
    everything = train + held_out
    logs = [
        -math.log2(witten_bell(train, tuple(everything[i - order : i]), everything[i], 6))
        for i in range(len(train), len(everything))
    ]
    found = baselines.count_bits(np.array(train, dtype=np.uint8), np.array(held_out, dtype=np.uint8), 6, order)
    assert found == pytest.approx(sum(logs) / 40, rel=1e-12)


def test_the_count_model_is_a_probability_distribution():
    train = np.array(random.Random(7).choices(range(5), k=60), dtype=np.uint16)
    for before in ([], [0], [4, 4], [1, 3, 2]):
        total = 0.0
        for character in range(5):
            held_out = np.array([*before, character], dtype=np.uint16)
            bits = baselines.count_bits(train, held_out, 5, 5) * len(held_out)
            so_far = baselines.count_bits(train, held_out[:-1], 5, 5) * len(before) if before else 0.0
            total += 2 ** -(bits - so_far)
        assert total == pytest.approx(1, rel=1e-12)


# Generation


@pytest.fixture
def writer(tmp_path) -> tuple[CharacterModel, Vocabulary]:
    task = make_task(tmp_path, random_text(400), batch_size=2, seq_len=8)
    return task.model, Vocabulary("".join(sorted(set(random_text(400)))))


def next_logits(model: CharacterModel, ids: list[int]) -> torch.Tensor:
    """The logits after `ids`, from one run over all of them."""
    with torch.no_grad():
        return model(torch.tensor(ids)[:, None], torch.zeros(2, 1, 7))[0][-1, 0]


@pytest.mark.parametrize("options", [{"top_k": 1}, {"temperature": 1e-300}, {"temperature": 1e-3, "top_k": 4}])
def test_generate_without_chance_takes_the_likeliest_as_the_whole_sequence_says(writer, options):
    model, vocabulary = writer
    ids = vocabulary.encode("가 나\nab")
    written = []
    for _ in range(60):
        written.append(int(next_logits(model, ids + written).argmax()))
    assert len(set(written)) > 1
    assert "".join(generate.generate(model, vocabulary, "가 나\nab", 60, **options)) == vocabulary.decode(written)


def test_generate_draws_by_temperature_and_top_k(writer):
    model, vocabulary = writer
    logits = next_logits(model, vocabulary.encode("ab가"))
    best = logits.topk(3)
    expected = F.softmax(best.values / 1.5, dim=0)
    draws = 3000
    found = Counter(
        "".join(generate.generate(model, vocabulary, "ab가", 1, temperature=1.5, top_k=3, seed=seed))
        for seed in range(draws)
    )
    assert set(found) == set(vocabulary.decode(best.indices.numpy()))
    for i, p in zip(best.indices.tolist(), expected.tolist(), strict=True):
        sigma = math.sqrt(p * (1 - p) / draws)
        assert abs(found[vocabulary.characters[i]] / draws - p) < 5 * sigma


def test_generate_repeats_under_a_seed_and_only_then(writer):
    one, same, other = ("".join(generate.generate(*writer, "a", 50, seed=seed)) for seed in (1, 1, 2))
    assert one == same != other


def test_generate_without_a_prompt_starts_after_a_line_end(writer):
    model, vocabulary = writer
    after_a_line_end = [*generate.generate(model, vocabulary, "\n", 30, seed=4)]
    assert [*generate.generate(model, vocabulary, "", 30, seed=4)] == after_a_line_end


# Settings


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (TextSettings, "hidden_size", 0),
        (TextSettings, "layers", -1),
        (TextSettings, "seq_len", 2.5),
        (TextSettings, "batch_size", True),
        (TextSettings, "dropout", 1.0),
        (TextSettings, "dropout", math.nan),
        (TextSettings, "held_out", 0.0),
        (TextSettings, "held_out", 0.51),
        (LoopSettings, "steps", 0),
        (LoopSettings, "lr", math.inf),
        (LoopSettings, "lr", math.nan),
        (LoopSettings, "clip", -1.0),
        (LoopSettings, "seed", 2**63),
        (LoopSettings, "eval_every", 0),
    ],
)
def test_settings_refuse_what_cannot_be(kind, name, value):
    with pytest.raises(SettingError, match=f"{name} must be .*, not {value}"):
        kind(**{name: value})
