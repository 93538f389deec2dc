"""LeakyRNN's equations, as its docstring has them, written as a loop over time in torch."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import elman

FUNCTIONS = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "retanh": lambda a: torch.tanh(a).clamp(min=0),
}


def loop(
    layer: elman.LeakyRNN,
    x: Tensor,  # (T, N, I)
    start: Tensor,  # (L * D, N, H)
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
    leak: Tensor | None = None,  # (T, N, H)
    drive: Tensor | None = None,  # (T, N, H)
    recurrent: Tensor | None = None,  # (L * D, N, H)
) -> tuple[Tensor, Tensor]:
    """Sequence by sequence, step by step, as the docstring says it."""
    f = FUNCTIONS[layer.nonlinearity]
    T, N, _ = x.shape
    alpha = torch.as_tensor(layer.leak, dtype=x.dtype)
    last = []
    for k in range(layer.num_layers):
        outputs = []
        for d in range(2 if layer.bidirectional else 1):
            place, suffix = k * (2 if layer.bidirectional else 1) + d, f"l{k}{'_reverse' if d else ''}"
            w_ih, w_hh = getattr(layer, f"weight_ih_{suffix}"), getattr(layer, f"weight_hh_{suffix}")
            b = getattr(layer, f"bias_ih_{suffix}") + getattr(layer, f"bias_hh_{suffix}")
            of_layer = alpha[place if alpha.shape[0] > 1 else 0] if alpha.dim() == 2 else alpha
            columns, ends = [], []
            for n in range(N):
                length = T if lengths is None else int(lengths[n])
                state, found = start[place, n], {}
                for s, t in enumerate(range(length - 1, -1, -1) if d else range(length)):
                    if s > 0 and reset is not None and reset[t + d, n]:
                        state = start[place, n]
                    a = of_layer if leak is None else leak[t, n]
                    r = f(state) if layer.form == "potential" else state
                    if recurrent is not None:
                        r = r * recurrent[place, n]
                    z = w_ih @ x[t, n] + w_hh @ r + b + (0 if drive is None else drive[t, n])
                    state = (1 - a) * state + a * (z if layer.form == "potential" else f(z))
                    found[t] = f(state) if layer.form == "potential" else state
                nothing = torch.zeros_like(state)
                columns.append(torch.stack([found.get(t, nothing) for t in range(T)]))
                ends.append(state)
            outputs.append(torch.stack(columns, 1))
            last.append(torch.stack(ends))
        x = torch.cat(outputs, -1)
    return x, torch.stack(last)


class LeakyByHand(elman.LeakyRNN):
    """The layer with its weights, run by the loop."""

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Tensor | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        if isinstance(input, PackedSequence):
            rows, lengths = pad_packed_sequence(input)
            output, last = self._run(rows, hx, lengths, None)
            return pack_padded_sequence(output, lengths), last
        if not self.batch_first:
            return self._run(input, hx, lengths, reset)
        marks = None if reset is None else reset.transpose(0, 1)
        output, last = self._run(input.transpose(0, 1), hx, lengths, marks)
        return output.transpose(0, 1), last

    def _run(self, x: Tensor, hx: Tensor | None, lengths: Tensor | None, reset: Tensor | None) -> tuple[Tensor, Tensor]:
        places = self.num_layers * (2 if self.bidirectional else 1)
        start = x.new_zeros(places, x.shape[1], self.hidden_size) if hx is None else hx
        return loop(self, x, start, lengths, reset)
