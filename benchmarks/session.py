"""What a worker process does: runs one framework's calls, for their numbers or for their time."""

import gc
import time
from importlib import import_module

import elman
from benchmarks.frameworks import Call
from benchmarks.memory import peak
from benchmarks.problem import Problem, Values
from benchmarks.sizes import Size


class Session:
    """One framework, and the problem it is working on."""

    def __init__(self, module: str, threads: int) -> None:
        self.framework = import_module(module)
        self.framework.start(threads)
        gc.freeze()  # what is loaded is not searched for garbage before each problem: 0.1 s
        self.calls: dict[str, Call] = {}

    def prepare(self, mode: str, size: Size) -> dict[str, Values]:
        """Makes a problem's calls, runs each once and returns its numbers, by variant."""
        self.calls = {}
        gc.collect()
        if mode in self.framework.MODES:
            self.calls = self.framework.calls(mode, Problem(size))
        return {variant: call.read(call.run()) for variant, call in self.calls.items()}

    def truth(self, mode: str, size: Size) -> dict[str, Values]:
        """The numbers in float64, which torch's module has."""
        return self.framework.truth(mode, Problem(size))

    def wait_briefly(self) -> bool:
        """From now on."""
        return elman.wait_briefly()

    def peak(self, size: Size) -> float:
        """MB of a training step's peak."""
        return peak(self.framework, size)

    def turn(self, variant: str, seconds: float) -> list[float]:
        """Seconds a call, or a step of it: once to wake threads and caches, then for some seconds, at least once."""
        call = self.calls[variant]
        run, times = call.run, []
        gc.disable()
        run()
        end = time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            begin = time.perf_counter()
            run()
            times.append((time.perf_counter() - begin) / call.steps)
        gc.enable()
        fall_asleep()
        return times


def fall_asleep(nap: float = 0.005) -> None:
    """Returns when this process's threads no longer wait actively: ONNX Runtime's do so for 45 ms after a call."""
    idle = 0
    while idle < 2:
        before = time.process_time()
        time.sleep(nap)
        idle = idle + 1 if time.process_time() - before < nap / 10 else 0
