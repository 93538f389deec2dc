"""The frameworks, one module each, with the same names in every module.

MODES: what it can run.
start(threads): sets its thread count, before anything runs.
calls(mode, problem): what is timed, by variant; where a framework has several ways, the faster counts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from benchmarks.problem import Values


@dataclass(frozen=True)
class Call:
    """One way to run a problem: `run` is what is timed, `read` names the numbers in its result."""

    run: Callable[[], Any]
    read: Callable[[Any], Values]
    steps: int = 1  # a time is divided by them


@dataclass(frozen=True)
class Framework:
    """Where a framework's calls are, and the packages that it needs."""

    module: str
    needs: tuple[str, ...]

    @property
    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]


FRAMEWORKS = {
    "elman": Framework("benchmarks.frameworks.elman_rnn", ("elman",)),
    "torch": Framework("benchmarks.frameworks.torch_rnn", ("torch",)),
    "JAX": Framework("benchmarks.frameworks.jax_scan", ("jax",)),
    "ONNX Runtime": Framework("benchmarks.frameworks.onnx_runtime", ("onnx", "onnxruntime")),
    "OpenVINO": Framework("benchmarks.frameworks.openvino_cpu", ("onnx", "openvino")),
    "numpy": Framework("benchmarks.frameworks.numpy_product", ("numpy",)),
}
