"""A training step of a character model: `python -m benchmarks.step LAYERS [briefly]`, of elman's or torch's layers.

Reads from its input for how many seconds to go on, and answers with the mean milliseconds of a step, line by line.
"""

import sys
import time

import torch

import elman

T, N, I, H, CHARACTERS = 64, 32, 64, 128, 60  # the default model of `elman train text`


class Model(torch.nn.Module):
    """Embedding, layer and linear layer."""

    def __init__(self, rnn: torch.nn.Module) -> None:
        super().__init__()
        self.embedding, self.rnn, self.head = torch.nn.Embedding(CHARACTERS, I), rnn, torch.nn.Linear(H, CHARACTERS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (T * N, characters)."""
        return self.head(self.rnn(self.embedding(x))[0]).flatten(0, 1)


def main() -> None:
    """Answers until the input ends."""
    layers, *how = sys.argv[1:]
    if how:
        elman.wait_briefly()
    model = Model({"elman": elman.RNN, "torch": torch.nn.RNN}[layers](I, H))
    adam = torch.optim.Adam(model.parameters(), fused=True)
    x, target = torch.randint(CHARACTERS, (T, N)), torch.randint(CHARACTERS, (T * N,))
    for line in sys.stdin:
        begin, steps = time.perf_counter(), 0
        while time.perf_counter() < begin + float(line) or steps < 2:
            adam.zero_grad()
            torch.nn.functional.cross_entropy(model(x), target).backward()
            adam.step()
            steps += 1
        print(1000 * (time.perf_counter() - begin) / steps, flush=True)


if __name__ == "__main__":
    main()
