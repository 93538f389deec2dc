"""Of how many random layers does a sequence keep its last bits in another batch and on another number of threads?

python -m benchmarks.any_batch [COUNT]
"""

import random
import sys
from types import ModuleType

import torch

import elman

_UNITS = (1, 2, 3, 5, 8, 12, 16, 17, 24, 31, 33, 48, 64, 65, 100, 128, 150, 200, 257, 384)
_INPUTS = (1, 2, 3, 4, 5, 8, 13, 16, 32, 40, 100, 128)
_STEPS, _SEQUENCES = (1, 2, 3, 7, 20, 50), (1, 2, 3, 4, 5, 8, 9, 16, 31, 64, 130, 256)


def keeps_its_bits(library: ModuleType, seed: int) -> bool:
    """Whether one layer, drawn by this seed, does."""
    drawn = random.Random(seed)
    torch.manual_seed(seed)
    layer = getattr(library, drawn.choice(("RNN", "GRU", "LSTM")))(
        drawn.choice(_INPUTS),
        drawn.choice(_UNITS),
        drawn.choice((1, 2)),
        bidirectional=drawn.random() < 0.3,
        dtype=drawn.choice((torch.float32, torch.float64)),
    )
    sequences = drawn.choice(_SEQUENCES)
    x = torch.randn(drawn.choice(_STEPS), sequences, layer.input_size, dtype=layer.weight_ih_l0.dtype)
    one, outputs = drawn.randrange(sequences), []
    with torch.set_grad_enabled(drawn.random() < 0.5):
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            for first, after in ((0, sequences), (one, one + 1), (max(0, one - 2), one + 3), (0, one + 1)):
                outputs.append(layer(x[:, first:after])[0][:, one - first])
    return all(torch.equal(output, outputs[0]) for output in outputs)


def main(count: int) -> None:
    """Prints so many layers' verdicts, of both libraries."""
    for library in (elman, torch.nn):
        kept = sum(keeps_its_bits(library, seed) for seed in range(count))
        print(f"{library.__name__}: {kept} of {count} layers")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
