"""The leaky layer. No arithmetic here."""

from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor
from torch.nn.modules.rnn import RNNBase
from torch.nn.utils.rnn import PackedSequence

from elman.call.over_time import Given
from elman.kernels.cells import CELLS, Cell
from elman.nn.leak import Form, Leaking, Nonlinearity
from elman.nn.recurrent import Recurrent


class LeakyRNN(Recurrent, Leaking):
    r"""A recurrent network of leaky units, of one or several layers, for one or both directions.

    For every step t of every layer, with x_t the layer's input (the output of the layer below, above the first), α the
    leak, f the nonlinearity, d_t a drive and ξ_t standard normal numbers drawn anew for every unit and step:

        form "activation":  h_t = (1 - α) h_{t-1} + α f(x_t W_ih^T + b_ih + h_{t-1} W_hh^T + b_hh + d_t + σ ξ_t)
        form "potential":   v_t = (1 - α) v_{t-1} + α (x_t W_ih^T + b_ih + f(v_{t-1}) W_hh^T + b_hh + d_t)
                                  + sqrt(2 α) σ ξ_t,    output f(v_t), state v_t

    With time constant τ and step Δt, α = Δt / τ, or exactly 1 - exp(-Δt / τ). With α = 1, form "activation" and tanh it
    is `RNN`, to the last bit.

    Sources: H. Jaeger et al., Optimization and applications of echo state networks with leaky-integrator neurons,
    Neural Networks 20 (2007), for "activation"; H. F. Song, G. R. Yang, X.-J. Wang, Training excitatory-inhibitory
    recurrent neural networks for cognitive tasks, PLoS Computational Biology 12 (2016), for "potential" and its noise.

    Sizes: T steps, N sequences (batch), I input_size, H hidden_size, L num_layers, D directions (2 if bidirectional).

    Args:
        input_size: features of one input step, at least 1.
        hidden_size: units, at least 1.
        num_layers: layers on top of each other, at least 1. Default: 1.
        nonlinearity: f: "tanh", "relu", "sigmoid", "softplus" or "retanh" (tanh, and 0 where that is negative).
            Default: "tanh".
        bias: whether there are b_ih and b_hh. Default: True.
        batch_first: whether input and output are (N, T, .) and not (T, N, .). h_0 and h_n are the same in both cases.
            Default: False.
        dropout: probability with which, in training, each output of every layer but the last is zeroed. Default: 0.
        bidirectional: whether a second set of weights reads the sequence from its end. Default: False.
        device: where the parameters lie. Default: torch's.
        dtype: of the parameters. Default: torch's.
        form: "activation" or "potential". Default: "activation".
        leak: α, above 0 and at most 1: a number, one for each unit (H,), or one for each direction of each layer and
            unit (L * D, H). Default: 0.2, as for steps of 20 ms and a time constant of 100 ms.
        learn_leak: whether α is learned, from `leak` on, which then is below 1. It is the logistic function of a
            parameter, so it stays above 0 and at most 1. Default: False.
        noise: σ, at least 0. Drawn before the run, on the CPU by Philox4x32-10 on all threads under a key that torch's
            generator gives, elsewhere by torch. In evaluation too, since it is part of the system: `layer.noise = 0`
            turns it off. Default: 0.
        recurrent_dropout: probability with which, in training, a unit's output of the step before is zeroed where W_hh
            reads it: one mask for all steps, as in `RNN`. Default: 0.
        zoneout: probability with which, in training, a unit keeps its state of the step before, as in `RNN`.
            Default: 0.

    Attributes:
        weight_ih_l{k}, weight_hh_l{k}, bias_ih_l{k}, bias_hh_l{k}, and with _reverse: as in `RNN`, drawn alike.
        leak: α now. A number that is not learned is an argument, as noise is, and not in state_dict.
        leak_logit: (L * D, H) where one is given for each unit, else (L * D, 1): the parameter of a learned leak.
        leak_units: (1, H) or (L * D, H), where one is given for each unit and not learned: a buffer in state_dict.
        noise: σ.

    Raises:
        ValueError, TypeError: an argument that torch.nn.RNN refuses, or one of the others is out of range.

    Example:
        >>> import elman, torch
        >>> layer = elman.LeakyRNN(3, 50, leak=0.1, noise=0.05, form="potential", nonlinearity="relu")
        >>> output, v_n = layer(torch.randn(100, 8, 3))
        >>> output.shape, v_n.shape
        (torch.Size([100, 8, 50]), torch.Size([1, 8, 50]))
    """

    _kind = "LeakyRNN"
    _arguments = ("lengths", "reset", "leak", "drive")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Nonlinearity = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        form: Form = "activation",
        leak: float | Sequence[float] | Tensor = 0.2,
        learn_leak: bool = False,
        noise: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
    ) -> None:
        self._set_form(form, nonlinearity)
        sizes = input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        RNNBase.__init__(self, "RNN_TANH", *sizes, device=device, dtype=dtype)
        self.mode = "LEAKY"  # which torch has none of
        self._set_leak(
            leak,
            learn_leak,
            noise,
            num_layers * (2 if bidirectional else 1),
            self.get_parameter("weight_hh_l0").detach(),
        )
        self._set_dropout_over_time(recurrent_dropout, zoneout)

    @overload
    def forward(
        self,
        input: Tensor,
        hx: Tensor | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        reset: Tensor | None = None,
        leak: Tensor | float | None = None,
        drive: Tensor | float | None = None,
    ) -> tuple[Tensor, Tensor]: ...

    @overload
    def forward(self, input: PackedSequence, hx: Tensor | None = None) -> tuple[PackedSequence, Tensor]: ...

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Tensor | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        reset: Tensor | None = None,
        leak: Tensor | float | None = None,
        drive: Tensor | float | None = None,
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Runs the layer over whole sequences.

        Args:
            input: (T, N, I), with batch_first (N, T, I), for one sequence (T, I), or a PackedSequence.
                T and N may be 0.
            hx: the state before the first step, h_0 or v_0, (L * D, N, H), for one sequence (L * D, H). Default: zeros.
            lengths: the length of each sequence, as in `RNN`. Default: all are T.
            reset: bool over time and batch in the input's own order, as in `RNN`. Default: never.
            leak: α of this call, in place of the layer's: a number, or a tensor that broadcasts to (T, N, H), with
                batch_first (N, T, H), for one sequence (T, H); or has an axis L * D before these. From 0
                to 1, which is not looked at. With irregular sampling 1 - exp(-Δt / τ) of each step, (T, N, 1). Default:
                the layer's.
            drive: what is added to the pre-activation of every layer and direction, broadcasting likewise. Default: 0.

        Returns:
            output: (T, N, D * H), with batch_first (N, T, D * H), for one sequence (T, D * H), or a PackedSequence:
                the last layer's h_t, or f(v_t), at every step, both directions side by side; 0 past a sequence's end.
            h_n: (L * D, N, H), for one sequence (L * D, H): every layer's and direction's state, h or v, after its last
                step. Length 0: the state before the first.

        Gradients flow to input, hx, leak, drive and all parameters, and can be differentiated again.

        Raises:
            AttributeError: input or hx is no tensor.
            ValueError: input has not 2 or 3 axes, another dtype than the weights, or lengths, reset, leak or drive do
                not fit; or leak or drive are given for a PackedSequence.
            RuntimeError: input or hx has a wrong size, hx another dtype, or they lie on another device.
            TypeError: lengths are no whole numbers, reset is not bool, or leak or drive are neither numbers nor
                tensors.
        """
        output, last = self._call(input, hx, () if hx is None else (hx,), lengths, reset, Given(leak, drive))
        return output, last[-1] if isinstance(last, tuple) else last

    @property
    def _cell(self) -> Cell:  # type: ignore[override]
        """What takes the states that the layer takes; form "potential" runs on a cell that carries f(v) beside v."""
        return CELLS[f"leaky_{self.nonlinearity}"]

    @property
    def _beside_parameters(self) -> tuple[object, ...]:  # type: ignore[override]
        units = self._buffers.get("leak_units")
        return self.form, self.noise, self._number, None if units is None else (units.data_ptr(), units._version)

    def _beyond_torch(self) -> str:
        return "leak"

    def reset_parameters(self) -> None:
        """Draws the weights anew, as `RNN` does; a leak that is learned goes back to its start."""
        super().reset_parameters()
        self._reset_leak()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, {self._said()}"
