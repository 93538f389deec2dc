"""The kernels as they are compiled for processors older than this one."""

OLDER = {"haswell": "32 None", "x86-64": "16 on a processor with SSE alone"}
"""By the value of $ELMAN_CPU: bytes of a vector, and what is said to be slower."""

OF_AN_OLDER_PROCESSOR = """
import torch, elman
from cases import CASES, Case, assert_same, run
from elman.kernels.numba_cpu.compile import machine_code, processor
print(processor.VECTOR_BYTES, machine_code.slower())
torch.set_num_threads(2)
shared = Case("units shared evenly, and the last line of them cut off", 64, 1, 16, 241)
for case in (*CASES[:3], *CASES[7:12], CASES[17], shared):
    with elman.use_backend("numba"):
        layers = case.layer(elman.RNN), case.layer(torch.nn.RNN)
        assert_same(*(run(layer, case.input()) for layer in layers))
"""
"""Says both, and compares outputs and gradients with torch's."""
