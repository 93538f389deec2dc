"""Perceptual decision making: rate neurons under Dale's law and noise learn which of two noisy stimuli is stronger.

    python examples/decision.py [STEPS]

The task is NeuroGym's PerceptualDecisionMaking-v0, with shorter trials: from NeuroGym where that is installed
(`pip install "elman[neuro]"`), generated here otherwise. Draws decision.png: the psychometric curve, one unit's
activity, and the state space.
"""

import sys
import time

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.parametrize import register_parametrization

import elman

try:
    import neurogym
except ImportError:
    neurogym = None

STEP, TAU = 20, 100  # ms
FIXATION, STIMULUS, DECISION = 100 // STEP, 800 // STEP, 200 // STEP  # steps
COHERENCES = torch.tensor([0.0, 3.2, 6.4, 12.8, 25.6, 51.2]) / 100
UNITS, TRIALS = 100, 64


def generated(coherence: Tensor) -> tuple[Tensor, Tensor]:
    """Trials of signed coherences (N,), above 0 where the right side is stronger: x (T, N, 3) and the answer (N,).

    x holds a sign to fixate and the evidence of the left and of the right side.
    """
    x = torch.zeros(FIXATION + STIMULUS + DECISION, len(coherence), 3)
    x[:FIXATION, :, 0] = 1
    evidence = torch.stack([1 - coherence, 1 + coherence], dim=-1) / 2
    x[FIXATION : FIXATION + STIMULUS, :, 1:] = evidence + STEP**-0.5 * torch.randn(STIMULUS, len(coherence), 2)
    chance = torch.rand(len(coherence)) < 0.5
    return x, 1 + torch.where(coherence == 0, chance, coherence > 0).long()


def from_neurogym(coherence: Tensor) -> tuple[Tensor, Tensor]:
    """The same trials from NeuroGym's environment."""
    timing = {"fixation": FIXATION * STEP, "stimulus": STIMULUS * STEP, "delay": 0, "decision": DECISION * STEP}
    environment = neurogym.make("PerceptualDecisionMaking-v0", dt=STEP, timing=timing).unwrapped
    environment.seed(int(torch.randint(2**31, ())))
    seen, answers = [], []
    for signed in coherence.tolist():
        chosen = {"ground_truth": int(signed > 0)} if signed else {}
        environment.new_trial(coh=100 * abs(signed), **chosen)
        seen.append(torch.tensor(environment.ob))
        answers.append(int(environment.gt[-1]))
    return torch.stack(seen, dim=1).float(), torch.tensor(answers)


trials = from_neurogym if neurogym else generated


class Network(nn.Module):
    """Rates of excitatory and inhibitory units, and from them: 0 fixate, 1 left, 2 right."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = elman.LeakyRNN(3, UNITS, nonlinearity="relu", form="potential", leak=STEP / TAU, noise=0.05)
        register_parametrization(self.rnn, "weight_hh_l0", elman.DalesLaw(UNITS, 0.8, self_connections=False))
        elman.echo_state_(self.rnn, radius=1.2, density=1.0)
        nn.init.uniform_(self.rnn.weight_ih_l0, 0, 1)  # what comes from elsewhere excites
        self.head = nn.Linear(UNITS, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        rates, _ = self.rnn(x)
        return self.head(rates), rates


def train(network: Network, steps: int) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    begun = time.perf_counter()
    for step in range(1, steps + 1):
        sides = torch.randint(2, (TRIALS,)) * 2 - 1
        x, answer = trials(COHERENCES[torch.randint(len(COHERENCES), (TRIALS,))] * sides)
        output, rates = network(x)
        fixating, deciding = output[:-DECISION].flatten(0, 1), output[-DECISION:].flatten(0, 1)
        loss = cross_entropy(deciding, answer.repeat(DECISION))
        loss = loss + cross_entropy(fixating, torch.zeros(len(fixating), dtype=torch.long))
        loss = loss + 1e-3 * rates.square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % max(steps // 6, 1) == 0:
            right = (output[-1].argmax(-1) == answer).float().mean()
            print(f"step {step}: loss {loss.item():.3f}, {right:.0%} right, {time.perf_counter() - begun:.0f} s")


@torch.no_grad()
def draw(network: Network, path: str) -> None:
    levels = torch.cat([-COHERENCES[1:].flip(0), COHERENCES])
    x, _ = trials(levels.repeat_interleave(200))
    output, rates = network(x)
    choices = (output[-1].argmax(-1) == 2).reshape(len(levels), -1).float().mean(1)
    mean = rates.reshape(len(x), len(levels), -1, UNITS).mean(2)  # (T, coherences, H)
    times = (torch.arange(len(x)) - FIXATION) * STEP
    tuned = int((mean[-DECISION - 1, -1] - mean[-DECISION - 1, 0]).argmax())
    flat = mean.flatten(0, 1)
    _, _, components = torch.pca_lowrank(flat, q=2)
    space = (flat - flat.mean(0)) @ components
    colors = plt.get_cmap("plasma")(torch.linspace(0, 0.9, len(levels)).numpy())

    figure, (curve, unit, plane) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    curve.plot(levels * 100, choices * 100, "o-", color="0.2")
    curve.set(title="Psychometric curve", xlabel="coherence, %", ylabel="choices of the right side, %", ylim=(-3, 103))
    for i, color in enumerate(colors):
        label = f"{levels[i] * 100:+.0f} %" if i in (0, len(levels) // 2, len(levels) - 1) else None
        unit.plot(times, mean[:, i, tuned], color=color, label=label)
        track = space.reshape(len(x), len(levels), 2)[:, i]
        plane.plot(track[:, 0], track[:, 1], color=color)
        plane.plot(*track[FIXATION + STIMULUS - 1], "o", color=color)
    unit.axvspan(0, STIMULUS * STEP, color="0.93", zorder=0)
    unit.set(title=f"Unit {tuned} prefers the right side", xlabel="ms from the stimulus", ylabel="mean rate")
    unit.legend(title="coherence", frameon=False)
    plane.set(title="State space, stimulus' end marked", xlabel="component 1", ylabel="component 2")
    figure.savefig(path, dpi=120)
    print(f"{path}; at the largest coherence {max(choices[-1], 1 - choices[0]):.0%} right")


if __name__ == "__main__":
    torch.manual_seed(0)
    network = Network()
    train(network, int(sys.argv[1]) if len(sys.argv) > 1 else 800)
    draw(network, "decision.png")
