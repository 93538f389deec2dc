"""Noise and zoneout's masks: Philox beside its published answers, distributions, seeds, threads, transforms."""

from typing import Any

import drawn
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.library import opcheck

import elman
from elman.autograd import drawing
from elman.kernels.numba_cpu.random.request import BLOCKS_A_TASK, fill
from elman.kernels.reference import random

DTYPES = (torch.float32, torch.float64)
KEYS = torch.tensor([0, 5, -7, (1 << 63) - 1])


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_gives_the_answers_that_its_authors_publish(counter: Any, key: Any, words: str) -> None:
    """kat_vectors of the Random123 library, philox4x32 10."""
    found = random.philox([torch.tensor(c) for c in counter], [torch.tensor(k) for k in key])
    assert " ".join(f"{int(word):08x}" for word in found) == words


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [0, 1, 15, 33, 64, 1000, 64 * BLOCKS_A_TASK + 70])
def test_machine_code_draws_what_the_definition_says(dtype: torch.dtype, count: int) -> None:
    """And writes nothing else."""
    memory = torch.full((len(KEYS) * count + 1,), torch.nan, dtype=dtype)
    found = fill("normal", KEYS, memory[:-1].view(len(KEYS), count), 0.3)
    torch.testing.assert_close(found, random.normal(KEYS, count, 0.3, dtype))
    for threshold in (0, 1 << 30, 1 << 32):
        fill("moves", KEYS, found, 1.3, threshold)
        assert torch.equal(found, random.moves(KEYS, count, 1.3, threshold, dtype))
    assert memory[-1].isnan()


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_are_normal_and_independent(dtype: torch.dtype) -> None:
    """Moments within five standard errors, Kolmogorov and Smirnov's test of the whole, of each place in a block, and of
    the angle of neighbouring words; no correlation with the numbers after, nor with those of the next key."""
    count = 1 << 20
    z = fill("normal", torch.tensor([1, 2]), torch.empty(2, count, dtype=dtype), 1.0).double()
    for power, (moment, spread) in {1: (0, 1), 2: (1, 2), 3: (0, 15), 4: (3, 96)}.items():
        assert abs(float((z[0] ** power).mean()) - moment) < 5 * (spread / count) ** 0.5, power
    assert stats.kstest(z[0].numpy(), "norm").pvalue > 0.001
    places = z[0].view(-1, 64).T
    assert min(stats.kstest(place.numpy(), "norm").pvalue for place in places) > 0.001 / 64
    assert float(z.abs().max()) > 4.5
    for lag in (1, 2, 8, 15, 16, 17, 32, 48, 64):
        assert abs(float((z[0, lag:] * z[0, :-lag]).mean())) < 5 / count**0.5, lag
        assert abs(float((z[0, lag:] ** 2 * z[0, :-lag] ** 2).mean()) - 1) < 5 * (8 / count) ** 0.5, lag
    assert abs(float((z[0] * z[1]).mean())) < 5 / count**0.5


def test_moves_come_as_often_as_asked() -> None:
    found = drawing.moves((1 << 20,), 0.1, torch.empty(0))
    assert set(found.unique().tolist()) == {0.0, 1.0}
    assert stats.binomtest(int(found.sum()), len(found), 0.9).pvalue > 0.001
    assert not drawing.moves((1000,), 1.0, torch.empty(0)).any()
    assert drawing.moves((1000,), 0.0, torch.empty(0)).all()


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_does_not_matter(threads: int) -> None:
    found = []
    for count in (1, threads):
        torch.set_num_threads(count)
        torch.manual_seed(3)
        found.append(drawing.normal((300, 1001), 2.0, torch.empty(0)))
    assert torch.equal(*found)


def test_noise_follows_torchs_seed_and_leaves_its_state_to_fork_rng() -> None:
    layer, x = elman.LeakyRNN(3, 5, noise=0.3, zoneout=0.2), torch.randn(6, 4, 3)
    torch.manual_seed(1)
    first, second = layer(x)[0], layer(x)[0]
    torch.manual_seed(1)
    with torch.random.fork_rng(devices=[]):
        assert torch.equal(layer(x)[0], first)
    assert torch.equal(layer(x)[0], first)
    assert torch.equal(layer(x)[0], second)
    assert not torch.equal(first, second)


def test_the_key_is_what_torchs_randint_draws() -> None:
    like = torch.empty(3)
    for _ in range(3):
        state = torch.get_rng_state()
        found = drawing.moves((4, 5), 0.4, like, 2.0)
        after = torch.get_rng_state()
        torch.set_rng_state(state)
        keys = torch.randint((1 << 63) - 1, (1,))
        assert torch.equal(found, torch.ops.elman.moves(keys, (4, 5), 2.0, round(0.4 * (1 << 32)), torch.float32)[0])
        assert torch.equal(after, torch.get_rng_state())


def test_all_backends_have_the_same_noise() -> None:
    layer, x = elman.LeakyRNN(3, 5, noise=0.3, zoneout=0.2, dtype=torch.float64), torch.randn(6, 4, 3).double()
    found = []
    for name in ("numba", "reference"):
        torch.manual_seed(1)
        with elman.use_backend(name):
            found.append(layer(x)[0])
    torch.testing.assert_close(*found)


def test_short_numbers_have_the_noise_of_float32() -> None:
    torch.manual_seed(1)
    short = drawing.normal((5, 7), 0.5, torch.empty(0, dtype=torch.bfloat16))
    torch.manual_seed(1)
    assert torch.equal(short, drawing.normal((5, 7), 0.5, torch.empty(0)).bfloat16())


def test_vmap_is_told_what_is_random() -> None:
    x = torch.zeros(2, 5, 3, 4)

    def draw(x: Tensor) -> Tensor:
        return drawing.normal(x.shape, 1.0, x) + drawing.moves(x.shape, 0.5, x)

    with pytest.raises(RuntimeError, match="randomness error mode"):
        vmap(draw)(x)
    torch.manual_seed(1)
    same = vmap(draw, randomness="same")(x)
    torch.manual_seed(1)
    assert torch.equal(same, draw(x[0]).expand_as(x))
    apart = vmap(draw, randomness="different")(x)
    assert not torch.equal(apart[0], apart[1])
    inner = vmap(vmap(draw, randomness="different"), randomness="different")(x)
    assert len(inner.flatten(0, 1).flatten(1).unique(dim=0)) == 10
    mixed = vmap(vmap(draw, randomness="different"), randomness="same")(x)
    assert torch.equal(mixed[0], mixed[1])
    assert not torch.equal(mixed[0, 0], mixed[0, 1])


def test_per_sample_gradients_with_noise_of_each_sample() -> None:
    """The keys that vmap draws, in its order, are those of the samples."""
    layer, x = elman.LeakyRNN(3, 5, noise=0.3, dtype=torch.float64), torch.randn(6, 4, 3).double()
    weights = {name: p.detach() for name, p in layer.named_parameters()}

    def loss(weights: dict[str, Tensor], x: Tensor, **words: Any) -> Tensor:
        return functional_call(layer, weights, (x,), words)[0].sin().sum()

    torch.manual_seed(1)
    found = vmap(grad(loss), (None, 1), randomness="different")(weights, x.unsqueeze(2))
    torch.manual_seed(1)
    keys = torch.randint((1 << 63) - 1, (4, 1))
    layer.noise = 0
    for k, key in enumerate(keys):
        drive = random.normal(key, 30, 0.3, torch.float64).view(6, 1, 5)
        alone = grad(loss)(weights, x[:, k : k + 1], drive=drive)
        torch.testing.assert_close({name: d[k] for name, d in found.items()}, alone)


@pytest.mark.parametrize("name", ["normal", "moves"])
def test_opcheck_is_clean(name: str) -> None:
    operator = getattr(torch.ops.elman, name).default
    rest = 1.5, *((2,) if name == "moves" else ()), torch.float32
    opcheck(operator, (torch.tensor([3, 4]), (3, 5), *rest))
    with pytest.raises(RuntimeError, match="takes keys"):
        operator(torch.tensor([3.0]), (3, 5), *rest)
    freed = torch.arange(1000)
    freed.untyped_storage().resize_(0)
    with pytest.raises(RuntimeError, match="not allocated"):
        operator(freed, (3, 5), *rest)


def test_a_threshold_is_held_to_its_range() -> None:
    for threshold in (-1, (1 << 32) + 1):
        with pytest.raises(RuntimeError, match="takes a threshold"):
            torch.ops.elman.moves(KEYS, (3,), 1.0, threshold, torch.float32)


def test_programs_hold_the_draw_and_not_the_numbers() -> None:
    """Compiled and exported they draw what eager mode draws, at other sizes too."""
    layer, x = elman.LeakyRNN(3, 5, noise=0.3, zoneout=0.2, form="potential"), torch.randn(6, 4, 3)
    program = torch.export.export(
        layer, (x,), dynamic_shapes={"input": {0: torch.export.Dim("T"), 1: torch.export.Dim("N")}}
    ).module()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True, dynamic=True)
    for given in (x, torch.randn(9, 2, 3)):
        torch.manual_seed(1)
        expected = layer(given)[0]
        for run in (program, compiled):
            torch.manual_seed(1)
            torch.testing.assert_close(run(given)[0], expected)
            assert not torch.equal(run(given)[0], expected)


@pytest.mark.filterwarnings("ignore")  # of torch.jit.trace
def test_a_traced_program_has_torchs_own_draw() -> None:
    layer, x = elman.LeakyRNN(3, 5, noise=0.3), torch.randn(6, 4, 3)
    traced = torch.jit.trace(layer, (x,), check_trace=False)
    assert "elman::" not in str(traced.inlined_graph)
    torch.manual_seed(1)
    found = traced(x)[0]
    torch.manual_seed(1)
    drive = 0.3 * torch.randn(1, 6, 4, 5)
    layer.noise = 0
    torch.testing.assert_close(found, layer(x, drive=drive[0])[0])


def test_what_the_tests_expect_is_what_a_layer_draws() -> None:
    torch.manual_seed(1)
    found = drawing.normal((2, 3, 4, 5), 1.0, torch.empty(0, dtype=torch.float64))
    torch.manual_seed(1)
    torch.testing.assert_close(found, drawn.normal(2, 3, 4, 5))
