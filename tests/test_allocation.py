"""Large memory that one run after the other takes: never while anybody has it, and not more of it than is told."""

import ctypes
import mmap
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import elman
from elman.kernels.numba_cpu import allocation

MANY = allocation.LEAST // 4  # numbers of the smallest block


@pytest.fixture(autouse=True)
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """As in a process that has not computed yet."""
    monkeypatch.setattr(allocation, "_blocks", [])
    return allocation._blocks


def large(count: int = MANY) -> Tensor:
    return allocation.large_tensor((count,), (1,), torch.float32)


def kept(blocks: list[Any]) -> list[int]:
    """How many times the smallest each is."""
    return sorted(block.count // allocation.LEAST for block in blocks)


HOLDING: list[Callable[[Tensor], Any]] = [
    lambda t: t,
    lambda t: t[3:5],
    lambda t: t.detach(),
    lambda t: t.numpy(),
    lambda t: t.untyped_storage(),
    lambda t: memoryview(t.numpy()),
    lambda t: torch.utils.dlpack.to_dlpack(t),
    lambda t: (t.requires_grad_() * t).sum(),
]
LEAVING: list[Callable[[Tensor], Any]] = [
    Tensor.share_memory_,
    lambda t: t.untyped_storage().resize_(0),
    lambda t: t.resize_(2 * MANY),
]


@pytest.mark.parametrize("hold", HOLDING, ids=range(len(HOLDING)))
def test_a_block_is_another_ones_when_nobody_has_it(hold: Callable[[Tensor], Any], blocks: list[Any]) -> None:
    tensor = large()
    place, held = tensor.data_ptr(), hold(tensor)
    del tensor
    assert large().data_ptr() != place
    del held
    blocks[:] = [block for block in blocks if block._held()[0] == place]
    assert large(MANY * 3 // 4).data_ptr() == place


@pytest.mark.parametrize("change", LEAVING, ids=range(len(LEAVING)))
def test_a_block_that_was_moved_is_not_taken_again(change: Callable[[Tensor], Any], blocks: list[Any]) -> None:
    tensor = large()
    change(tensor)
    del tensor
    assert not blocks[0].is_free()
    again = large()
    assert again.numel() == MANY
    again.fill_(1)


def test_as_much_is_kept_as_is_told(blocks: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks of which none could stand for another."""
    monkeypatch.setattr(allocation, "MOST", 8 * allocation.LEAST)
    first = large(), large()
    assert kept(blocks) == [1, 1]
    del first
    large(2 * MANY)
    assert kept(blocks) == [2], "it stands for the two"
    large(5 * MANY)
    assert kept(blocks) == [2, 5]
    large(3 * MANY)
    assert kept(blocks) == [2, 5], "the larger one was taken"
    large(8 * MANY)
    assert kept(blocks) == [8]
    some = large(6 * MANY)
    assert kept(blocks) == [8]
    more = large(6 * MANY)
    assert kept(blocks) == [6], "the last one alone, since both would be too much"
    del some, more


@pytest.mark.parametrize("cell", ["GRU", "LSTM"])
def test_runs_in_the_same_memory_are_torchs(cell: str, blocks: list[Any]) -> None:
    """Step after step; and two that are both still to go back, whose memory is two blocks."""
    torch.use_deterministic_algorithms(False)
    torch.manual_seed(0)
    layer, theirs = getattr(elman, cell)(8, 256), getattr(torch.nn, cell)(8, 256)
    theirs.load_state_dict(layer.state_dict())
    inputs = [torch.randn(90, 32, 8) for _ in range(2)]

    def gradients(layer: torch.nn.Module, x: Tensor) -> Callable[[], tuple[Tensor, ...]]:
        output = layer(x)[0]
        return lambda: torch.autograd.grad(output.sin().mean(), [*layer.parameters()])

    expected = [gradients(theirs, x)() for x in inputs]
    for _ in range(2):
        for x, right in zip(inputs, expected, strict=True):
            torch.testing.assert_close(gradients(layer, x)(), right)
    counts = kept(blocks)
    assert counts
    backs = [gradients(layer, x) for x in inputs]
    for back, right in zip(backs, expected, strict=True):
        torch.testing.assert_close(back(), right)
    assert len(blocks) > len(counts)


def test_what_hooks_keep_is_theirs(blocks: list[Any]) -> None:
    """Of what is saved for the way back."""
    layer, x = elman.GRU(8, 256), torch.randn(90, 32, 8)
    seen: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        seen.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(x)
    before = [tensor.clone() for tensor in seen]
    assert blocks
    for _ in range(3):
        layer(torch.randn_like(x))[0].sum().backward()
    torch.testing.assert_close(seen, before)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such wish")
def test_large_pages_are_asked_for_within_what_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a block's whole pages of 2 MB; the run's numbers are torch's."""
    asked: list[tuple[int, int]] = []

    class Libc:
        @staticmethod
        def madvise(begin: ctypes.c_void_p, count: ctypes.c_size_t, advice: int) -> int:
            assert advice == mmap.MADV_HUGEPAGE
            asked.append((begin.value or 0, count.value))
            return 0

    monkeypatch.setattr(allocation, "_libc", Libc)
    theirs = torch.nn.LSTM(3, 64)
    layer = elman.LSTM(3, 64)
    layer.load_state_dict(theirs.state_dict())
    for steps in (10, 600):
        x = torch.randn(steps, 64, 3)
        output = layer(x)[0]
        assert bool(asked) is (steps == 600)
    z = max((t for t in output.grad_fn.saved_tensors if t is not None), key=lambda t: t.nbytes)
    page, after = 1 << 21, z.data_ptr() + z.nbytes
    (of_z,) = [(at, count) for at, count in asked if z.data_ptr() <= at < z.data_ptr() + page]
    assert after - page < sum(of_z) <= after
    assert all(at % page == count % page == 0 for at, count in asked)
    torch.testing.assert_close(output, theirs(x)[0])
