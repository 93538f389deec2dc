"""LLVM's language becomes machine code, in a process of its own or in this one."""

import multiprocessing.spawn
import sys

import pytest

from elman.kernels.numba_cpu import machine_code
from elman.kernels.numba_cpu.compile import cache

ADD = """
define i64 @elman_add(i64 %a, i64 %b) {
  %c = add i64 %a, %b
  ret i64 %c
}
"""
PUTS = """
declare i32 @puts(ptr)
define void @elman_say(ptr %text) {
  %result = call i32 @puts(ptr %text)
  ret void
}
"""


def test_another_process_makes_the_same_code(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = machine_code.object_code(ADD, [])
    with monkeypatch.context() as patch:
        patch.setattr(machine_code, "object_code", lambda *_: pytest.fail("it was made in this process"))
        assert cache._object_code(ADD) == expected


@pytest.mark.parametrize("python", ["", None, "/nowhere/python", "false"])
def test_where_there_is_no_other_process_it_is_made_in_this_one(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing.spawn, "get_executable", lambda: python)
    assert cache._object_code(ADD) == machine_code.object_code(ADD, [])


def test_a_frozen_program_is_not_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(cache.subprocess, "run", lambda *_, **__: pytest.fail("it was started"))
    assert cache._object_code(ADD) == machine_code.object_code(ADD, [])


def test_code_may_call_only_what_every_process_has() -> None:
    with pytest.raises(RuntimeError, match="would call puts, which a process without numba does not have"):
        cache._object_code(PUTS)
    assert machine_code.object_code(PUTS, ["puts"])
