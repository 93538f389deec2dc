"""A stream's step: what has to be asked of layer, weights and input, room for the result, and the kernel."""

from typing import Any

from numba import types

from elman.kernels.numba_cpu.compile.parts import addresses, part, pointer_to
from elman.kernels.numba_cpu.native.calls import ask, drop, has_address, has_room, is_int, launch, make, or_none, reader
from elman.kernels.numba_cpu.native.record import OF_STEP
from elman.kernels.numba_cpu.plan.addresses import clear
from elman.kernels.numba_cpu.plan.record import FIELDS

_PREPARED, _X, _OUTPUT = map(FIELDS.index, ("prepared", "x", "output"))
_EQUAL = 2  # Py_EQ, of what may be compared
_counts: Any = pointer_to(types.uint32)
_record = reader(OF_STEP)


def make_step() -> Any:
    """step(own, x), which returns y, or None where the step is for Python to take."""

    @part
    def has_as_before(r, owner, name, before):
        now = ask(r.PyObject_GetAttr, owner, name)
        same = now != 0 and is_int(ask(r.PyObject_RichCompareBool, now, before, _EQUAL), 1)
        drop(r, now)
        return same

    @part
    def all_have_as_before(r):
        at, same = addresses(r.at_watched), True
        for k in range(r.watched):
            same = same and has_as_before(r, at[3 * k], at[3 * k + 1], at[3 * k + 2])
        return same

    @part
    def is_quiet(r):
        """Whether torch runs in as many threads, no mode wants to see it, and the same backend is asked for."""
        if ask(r.modes_now) != 0 or not is_int(ask(r.threads_now), r.threads):
            return False
        answers = addresses(r.answers)
        answers[0] = 0
        ask(r.PyContextVar_Get, r.asked, 0, r.answers)
        drop(r, answers[0])  # what it had is held
        return answers[0] == r.backend

    @part
    def weight_is_as_before(r, weight, address, version):
        tensor = weight + r.tensor
        counter = addresses(ask(r.version_counter, tensor))[0]  # 0 where torch.inference_mode made it
        if counter == 0 or _counts(counter + r.version)[0] != version:
            return False
        return has_address(r, tensor, r.answers) and addresses(r.answers)[0] == address

    @part
    def weights_are_as_before(r):
        at, parameters = addresses(r.at_weights), ask(r.PyObject_GetAttr, r.layer, r.parameters)
        if parameters == 0:
            return False
        same = True
        for k in range(r.weights):
            weight = ask(r.PyDict_GetItem, parameters, at[4 * k])
            if weight != at[4 * k + 1] or not weight_is_as_before(r, weight, at[4 * k + 2], at[4 * k + 3]):
                same = False
        drop(r, parameters)
        return same

    @part
    def looks_as_before(r, x):
        answer = ask(r.PyObject_CallOneArg, r.looks, x)
        drop(r, answer)
        return answer == r.true

    @part
    def take(r, x):
        """y, or 0."""
        answers, turn = addresses(r.answers), addresses(r.turn)
        at_plan = r.plan_0 if turn[0] == 0 else r.plan_1
        plan = addresses(at_plan)
        if plan[_PREPARED] == 0 or not has_room(r, x + r.tensor, r.x_bytes, r.answers):
            return 0
        plan[_X] = answers[0]
        y = make(r, r.axes, r.sizes, r.strides, r.answers)
        if y == 0:
            return 0
        plan[_OUTPUT] = answers[0]
        clear(at_plan + r.before_counters, r.counters)
        if not launch(r, at_plan):
            drop(r, y)
            return 0
        turn[0] = 1 - turn[0]
        return y

    @part
    def release(r):
        """The lock, whether or not something was raised."""
        answers, at = addresses(r.answers), r.answers
        ask(r.PyErr_Fetch, at, at + 8, at + 16)
        kind, value, trace = answers[0], answers[1], answers[2]
        drop(r, ask(r.PyObject_CallNoArgs, r.release))
        ask(r.PyErr_Restore, kind, value, trace)

    @part
    def step(own, x):
        r = _record(own)
        acquired, y = ask(r.PyObject_Call, r.acquire, r.without_waiting, 0), 0
        if acquired == r.true:
            if all_have_as_before(r) and is_quiet(r) and weights_are_as_before(r) and looks_as_before(r, x):
                y = take(r, x)
            elif ask(r.PyErr_Occurred) != 0 and is_int(ask(r.PyErr_ExceptionMatches, r.runtime_error), 1):
                ask(r.PyErr_Clear)  # as of what torch.inference_mode made, which counts no versions
            release(r)
        drop(r, acquired)
        return or_none(r, y)

    return step
