"""Functions that Python calls as its own, in machine code: a stream's step, and a layer's run.

They ask what Python asks before it starts a kernel, in a tenth of the time. What they do not find as it should be they
leave to Python: then they return None, and nothing that Python would see has happened. What code of others raises, they
raise. Where `inside_torch` finds nothing, there are none.
"""

import ctypes
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman.kernels.numba_cpu.compile.cache import native_code
from elman.kernels.numba_cpu.inside_torch import inside_torch
from elman.kernels.numba_cpu.native.record import ANSWERS, OF_RUN, OF_STEP
from elman.kernels.numba_cpu.rooms import contiguous_strides
from elman.kernels.numba_cpu.threads.team import address_alone

Step = Callable[[Any], Tensor | None]
Run = Callable[..., tuple[Any, ...] | None]
Start = Callable[[Any], None]
_ONE, _SEVERAL = 0x8, 0x80  # METH_O and METH_FASTCALL: of how many arguments they are called


class Turns(NamedTuple):
    """How steps are run."""

    memory: Any
    """All that has the plans, and what they have the addresses of."""
    start: Start
    plans: tuple[int, int]
    """The addresses of two, which take turns."""
    turn: ctypes.c_int64
    """Which is next."""
    x_bytes: int
    y_shape: Sequence[int]
    dtype: torch.dtype
    before_counters: int
    """Bytes from where a plan begins to where kernels count, and of what they count in."""
    counters: int


class Moment(NamedTuple):
    """What has to be as it was for a step, as Python found it."""

    attributes: Sequence[tuple[Any, str, Any]]
    """Of objects: by which name they have what, or its equal."""
    weights: Sequence[tuple[str, Tensor, int, int]]
    """The layer's parameters: by which name, where their numbers lie, and their versions."""
    threads: int
    backend: Any
    """What use_backend asks for."""


class NativeStep:
    """A stream's step for the moment that it was told last."""

    __slots__ = ("_record", "_told", "take")

    def __init__(self, turns: Turns, lock: Any, layer: Any, asked: ContextVar[Any]) -> None:
        """For steps of the layer. `lock` is held during a step; `asked` is where use_backend puts a backend."""
        tables = _Tables()
        values = {
            **_shared(turns.start, turns.dtype),
            "true": id(True),
            "runtime_error": id(RuntimeError),
            "acquire": tables.kept(lock.acquire),
            "without_waiting": tables.kept((False,)),
            "release": tables.kept(lock.release),
            "asked": tables.kept(asked),
            "layer": tables.kept(layer),
            "parameters": tables.kept(sys.intern("_parameters")),
            "x_bytes": turns.x_bytes,
            **dict(zip(("axes", "sizes", "strides"), tables.form(turns.y_shape), strict=True)),
            "plan_0": turns.plans[0],
            "plan_1": turns.plans[1],
            "before_counters": turns.before_counters,
            "counters": turns.counters,
            "turn": ctypes.addressof(turns.turn),
            "answers": tables.words([0] * ANSWERS),
            **dict.fromkeys(_OF_MOMENT, 0),
        }
        tables.kept(turns)
        self._record, self._told = _record(OF_STEP, values), list[Any]()
        tables.kept(self._told)
        self.take: Step = _as_python_calls_it("step", _ONE, self._record, tables)
        """Takes a step from an input, and returns y, if all is as at that moment. It may be called from the first
        `tell` on."""

    def tell(self, moment: Moment, looks: Callable[[Any], bool], terms: Any) -> None:
        """What the moment is from now on, what says of an input whether it looks as those that are read as they lie,
        and what has the memory of the terms. The lock is held."""
        tables, record = _Tables(), self._record
        watched = [(id(owner), id(name), id(has)) for owner, name, has in moment.attributes]
        weights = [(id(name), id(weight), address, version) for name, weight, address, version in moment.weights]
        now = {
            "threads": _NEVER,  # until all is written, since this may be interrupted, and what is read there is kept
            "looks": id(looks),
            "backend": id(moment.backend),
            "watched": len(watched),
            "at_watched": tables.rows(watched),
            "weights": len(weights),
            "at_weights": tables.rows(weights),
        }
        self._told.append((moment, looks, terms, tables))
        for name, value in now.items():
            record[OF_STEP.index(name)] = value
        record[OF_STEP.index("threads")] = moment.threads
        del self._told[:-1]


_OF_MOMENT = "looks", "backend", "threads", "watched", "at_watched", "weights", "at_weights"
_NEVER = -1  # threads


class Passing(NamedTuple):
    """How a run passes, forward or back."""

    start: Start
    plan: Sequence[int]
    """Its words."""
    scratch: int
    """Bytes."""
    dtype: torch.dtype
    given: Sequence[int]
    """The bytes of each tensor."""
    held: int
    """How many of them, the last ones, have to be all of their memory, which is held meanwhile."""
    made: Sequence[Sequence[int]]
    """The shapes of what is made."""
    slots: Sequence[int]
    """Of what is returned: which of the made it is, from 1; 0: None; -1: the seal."""
    places: Sequence[tuple[int, int, int]]
    """Words of the plan: each word's place, which of what is given and made it is the address of, and how many bytes
    after its beginning."""
    weights: tuple[int, int] = (0, 0)
    """How many are given by their addresses, and the place of the first in the plan."""
    compared: bool = False
    """Whether the seal that the output should have is given."""
    seal: int = 0
    """The place of its address in the plan; 0: none is asked for."""
    seal_bits: int = 0


def run(passing: Passing) -> Run:
    """A function of tensors that look as they should, after the addresses of weights as `bytes` and the output's seal
    where these are given. It returns what is in the slots; None also where the seal is another."""
    tables, itemsize = _Tables(), passing.dtype.itemsize
    values = {
        **_shared(passing.start, passing.dtype),
        "given": len(passing.given),
        "at_given": tables.rows([(size, size // itemsize) for size in passing.given]),
        "held": passing.held,
        "one": tables.words([1]),
        "made": len(passing.made),
        "at_made": tables.rows([tables.form(shape) for shape in passing.made]),
        "slots": len(passing.slots),
        "at_slots": tables.words(passing.slots),
        "places": len(passing.places),
        "at_places": tables.rows(passing.places),
        "weights": passing.weights[0],
        "at_weights": passing.weights[1],
        "compared": passing.compared,
        "seal": passing.seal,
        "seal_bits": passing.seal_bits,
        "plan": tables.words(passing.plan),
        "plan_bytes": 8 * len(passing.plan),
        "scratch_bytes": passing.scratch,
    }
    tables.kept(passing)
    function: Run = _as_python_calls_it("run", _SEVERAL, _record(OF_RUN, values), tables)
    return function


Words = ctypes.Array[ctypes.c_int64]


class _Tables:
    """Words that machine code reads, and objects whose addresses it has."""

    def __init__(self) -> None:
        self._all: list[Any] = []

    def kept(self, thing: Any) -> int:
        """The address of an object."""
        self._all.append(thing)
        return id(thing)

    def words(self, numbers: Sequence[int]) -> int:
        """The address of such words."""
        table = (ctypes.c_int64 * len(numbers))(*numbers)
        self._all.append(table)
        return ctypes.addressof(table)

    def rows(self, rows: Sequence[Sequence[int]]) -> int:
        """The address of rows of words, one after the other."""
        return self.words([number for row in rows for number in row])

    def form(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """Of a contiguous tensor: its axes, and the addresses of its sizes and strides."""
        return len(shape), self.words(shape), self.words(contiguous_strides(shape))


def _shared(start: Start, dtype: torch.dtype) -> dict[str, int]:
    """What both records have."""
    inside = inside_torch()
    if inside is None:
        raise RuntimeError("Machine code cannot ask this torch, or this Python.")
    return {
        **inside.functions,
        "tensor": inside.tensor,
        "version": inside.version,
        "none": id(None),
        "start": id(start),
        "kernel": address_alone(start),
        "dtype": inside.dtypes[dtype],
        "itemsize": dtype.itemsize,
    }


def _record(fields: Sequence[str], values: Mapping[str, int]) -> Words:
    """The words of such fields. Those that begin with Py are functions of Python's."""
    of_python = {name: getattr(ctypes.pythonapi, name) for name in fields if name.startswith("Py")}
    addresses = {name: ctypes.cast(function, ctypes.c_void_p).value or 0 for name, function in of_python.items()}
    known = {**values, **addresses}
    return (ctypes.c_int64 * len(fields))(*[known[field] for field in fields])


class _Own(bytes):
    """What a function is given by Python, with the address of its record in it."""

    kept: tuple[Words, _Tables]
    """All that it reads, as long as Python has the function."""


class _Method(ctypes.Structure):
    """PyMethodDef of Python's C API."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


def _as_python_calls_it(name: str, flags: int, record: Words, tables: _Tables) -> Any:
    """A builtin function."""
    own = _Own(ctypes.addressof(record).to_bytes(8, sys.byteorder))
    own.kept = record, tables
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.py_object)
    return make(("PyCFunction_NewEx", ctypes.pythonapi))(ctypes.addressof(_method(name, flags)), own, __name__)


@functools.cache
def _method(name: str, flags: int) -> _Method:
    """Never freed, since Python reads it at each function's end, and some end after this module."""
    method = _Method(name.encode(), native_code()[name], flags, None)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(method))
    return method
