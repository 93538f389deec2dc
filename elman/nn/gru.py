"""The GRU layer and its cell. No arithmetic here."""

from collections.abc import Sequence
from typing import Never, overload

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.kernels.cells import CELLS, Cell
from elman.nn.recurrent import Recurrent, RecurrentCell


class GRU(Recurrent):
    r"""A GRU of one or several layers, for one or both directions: `torch.nn.GRU` with its numbers, faster.

    For every step t of every layer, with x_t the layer's input (the output of the layer below, above the first), σ the
    logistic function and ⊙ elementwise:

        r_t = σ(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)
        z_t = σ(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)
        n_t = tanh(W_in x_t + b_in + r_t ⊙ (W_hn h_{t-1} + b_hn))
        h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1}

    Source: K. Cho et al., Learning phrase representations using RNN encoder-decoder, EMNLP (2014), in the form of
    `torch.nn.GRU`, whose r_t multiplies the product and not the state.

    Sizes: T steps, N sequences (batch), I input_size, H hidden_size, L num_layers, D directions (2 if bidirectional).

    Args:
        input_size: features of one input step, at least 1.
        hidden_size: features of the hidden state, at least 1.
        num_layers: layers on top of each other, at least 1. Default: 1.
        bias: whether there are b_ih and b_hh. Default: True.
        batch_first: whether input and output are (N, T, .) and not (T, N, .). h_0 and h_n are the same in both cases.
            Default: False.
        dropout: probability with which, in training, each output of every layer but the last is zeroed. Default: 0.
        bidirectional: whether a second set of weights reads the sequence from its end. Default: False.
        device: where the parameters lie. Default: torch's.
        dtype: of the parameters. Default: torch's. float32 and float64 on the CPU run on elman's kernels, bfloat16 and
            float16 there are computed in float32, everything else runs on torch's operators.
        recurrent_dropout: probability with which, in training, a unit of h_{t-1} is zeroed where W_h. reads it, and the
            rest scaled by 1 / (1 - p): one mask for all steps of a sequence, another for each sequence, layer and
            direction. Default: 0. Source: Y. Gal, Z. Ghahramani, A theoretically grounded application of dropout in
            recurrent neural networks, NeurIPS 2016.
        zoneout: probability with which, in training, a unit keeps its state of the step before, drawn for every step;
            in evaluation the expectation, (1 - zoneout) h_t + zoneout h_{t-1}. Default: 0. Source: D. Krueger et al.,
            Zoneout, ICLR 2017.

    Attributes:
        weight_ih_l{k}, weight_ih_l{k}_reverse: (3 * H, I) in the first layer, (3 * H, D * H) above: the rows of r, z
            and n.
        weight_hh_l{k}, weight_hh_l{k}_reverse: (3 * H, H).
        bias_ih_l{k}, bias_hh_l{k}, and with _reverse: (3 * H,).
            All are drawn from U(-1/sqrt(H), 1/sqrt(H)), in torch's order.

    Raises:
        ValueError, TypeError: an argument that torch.nn.GRU refuses, for the same reasons.

    Example:
        >>> import elman, torch
        >>> gru = elman.GRU(10, 20, 2)
        >>> output, h_n = gru(torch.randn(5, 3, 10), torch.randn(2, 3, 20))
        >>> output.shape, h_n.shape
        (torch.Size([5, 3, 20]), torch.Size([2, 3, 20]))
    """

    _kind = "GRU"
    _gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        **unknown: Never,
    ) -> None:
        self._refuse_unknown(unknown)
        sizes = input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        super().__init__("GRU", *sizes, device=device, dtype=dtype)
        self._set_dropout_over_time(recurrent_dropout, zoneout)

    @property
    def _cell(self) -> Cell:  # type: ignore[override]
        return CELLS["gru"]

    @overload
    def forward(
        self,
        input: Tensor,
        hx: Tensor | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        reset: Tensor | None = None,
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
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Runs the layer over whole sequences.

        Args:
            input: (T, N, I), with batch_first (N, T, I), for one sequence (T, I), or a PackedSequence.
                T and N may be 0.
            hx: h_0, (L * D, N, H), for one sequence (L * D, H). Default: zeros.
            lengths: the length of each sequence, N whole numbers from 0 to T in any order, on any device. What stands
                past a sequence's end is not read. Default: all are T.
            reset: bool over time and batch in the input's own order. True at step t: before that step the state is h_0
                again, so the pieces of a sequence are computed as if apart. Default: never.

        Returns:
            output: (T, N, D * H), with batch_first (N, T, D * H), for one sequence (T, D * H), or a PackedSequence:
                the last layer's state at every step, both directions side by side; 0 past a sequence's end.
            h_n: (L * D, N, H), for one sequence (L * D, H): every layer's and direction's state after its last step.
                A direction that reads backwards ends at step 0. Length 0: h_0.

        Gradients flow to input, hx and all parameters, and can be differentiated again.

        Raises:
            AttributeError: input or hx is no tensor.
            ValueError: input has not 2 or 3 axes, another dtype than the weights, or lengths or reset do not fit.
            RuntimeError: input or hx has a wrong size, hx another dtype, or they lie on another device.
            TypeError: lengths are no whole numbers or reset is not bool.
        """
        found: tuple[Tensor | PackedSequence, Tensor]
        found = self._call(input, hx, () if hx is None else (hx,), lengths, reset)
        return found


class GRUCell(RecurrentCell, torch.nn.GRUCell):
    r"""One step of a GRU, as `GRU` has it; `torch.nn.GRUCell` with its numbers.

    For whole sequences `GRU` is many times faster than a loop over a cell.

    Args:
        input_size: I, features of the input.
        hidden_size: H, features of the state.
        bias: whether there are b_ih and b_hh. Default: True.
        device: where the parameters lie. Default: torch's.
        dtype: of the parameters. Default: torch's.

    Attributes:
        weight_ih: (3 * H, I). weight_hh: (3 * H, H). bias_ih, bias_hh: (3 * H,): the rows of r, z, n. Drawn from
            U(-1/sqrt(H), 1/sqrt(H)).

    Example:
        >>> import elman, torch
        >>> cell = elman.GRUCell(10, 20)
        >>> cell(torch.randn(3, 10)).shape
        torch.Size([3, 20])
    """

    _kind = "GRU"
    _cell = CELLS["gru"]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """One step.

        Args:
            input: (N, I), or (I,) for one sequence.
            hx: the state, (N, H) or (H,). Default: zeros.

        Returns:
            The next state, (N, H) or (H,). Gradients flow to input, hx and all parameters.

        Raises:
            AttributeError: input or hx is no tensor.
            ValueError: input or hx has not 1 or 2 axes.
            RuntimeError: a size, dtype or device does not fit.
        """
        after: Tensor = self._call(input, hx, () if hx is None else (hx,))
        return after
