"""The LSTM layer and its cell. No arithmetic here."""

from collections.abc import Sequence
from typing import Any, Never, overload

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import has_torch_function

from elman.kernels.cells import CELLS, Cell
from elman.nn.recurrent import Recurrent, RecurrentCell

Pair = tuple[Tensor, Tensor]


class LSTM(Recurrent):
    r"""An LSTM of one or several layers, for one or both directions: `torch.nn.LSTM` with its numbers, faster.

    For every step t of every layer, with x_t the layer's input (the output of the layer below, above the first), σ the
    logistic function and ⊙ elementwise:

        i_t, f_t, o_t = σ(W_i x_t + b_i + W_h h_{t-1} + b_h),  each with rows of its own
        g_t = tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)
        c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
        h_t = o_t ⊙ tanh(c_t),  with proj_size h_t = W_hr (o_t ⊙ tanh(c_t))

    Source: S. Hochreiter and J. Schmidhuber, Long short-term memory, Neural Computation 9 (1997), with the forget gate
    of F. Gers et al. (2000) and the projection of H. Sak et al. (2014), in the form of `torch.nn.LSTM`.

    Sizes: T steps, N sequences (batch), I input_size, H hidden_size, P proj_size or H, L num_layers, D directions (2 if
    bidirectional).

    Args:
        input_size: features of one input step, at least 1.
        hidden_size: features of the cell state, at least 1.
        num_layers: layers on top of each other, at least 1. Default: 1.
        bias: whether there are b_ih and b_hh. Default: True.
        batch_first: whether input and output are (N, T, .) and not (T, N, .). The states are the same in both cases.
            Default: False.
        dropout: probability with which, in training, each output of every layer but the last is zeroed. Default: 0.
        bidirectional: whether a second set of weights reads the sequence from its end. Default: False.
        proj_size: features of h where it is projected, below hidden_size; 0: it is not. Default: 0.
        device: where the parameters lie. Default: torch's.
        dtype: of the parameters. Default: torch's. float32 and float64 on the CPU run on elman's kernels, bfloat16 and
            float16 there are computed in float32, everything else runs on torch's operators.
        recurrent_dropout: probability with which, in training, a unit of h_{t-1} is zeroed where W_h. reads it, and the
            rest scaled by 1 / (1 - p): one mask for all steps of a sequence, another for each sequence, layer and
            direction. Default: 0. Source: Y. Gal, Z. Ghahramani, A theoretically grounded application of dropout in
            recurrent neural networks, NeurIPS 2016.
        zoneout: probability with which, in training, a unit keeps h, and another time drawn c, of the step before; in
            evaluation the expectation, (1 - zoneout) h_t + zoneout h_{t-1}. A pair: for h, and for c. c_t in the last
            equation is the new one, whether it is kept or not. With proj_size it runs on the definition, which
            is slower. Default: 0. Source: D. Krueger et al., Zoneout, ICLR 2017.

    Attributes:
        weight_ih_l{k}, weight_ih_l{k}_reverse: (4 * H, I) in the first layer, (4 * H, D * P) above: the rows of i, f,
            g and o.
        weight_hh_l{k}, weight_hh_l{k}_reverse: (4 * H, P).
        bias_ih_l{k}, bias_hh_l{k}, and with _reverse: (4 * H,).
        weight_hr_l{k}, weight_hr_l{k}_reverse: (P, H), with proj_size.
            All are drawn from U(-1/sqrt(H), 1/sqrt(H)), in torch's order.

    Raises:
        ValueError, TypeError: an argument that torch.nn.LSTM refuses, for the same reasons.

    Example:
        >>> import elman, torch
        >>> lstm = elman.LSTM(10, 20, 2)
        >>> output, (h_n, c_n) = lstm(torch.randn(5, 3, 10))
        >>> output.shape, h_n.shape, c_n.shape
        (torch.Size([5, 3, 20]), torch.Size([2, 3, 20]), torch.Size([2, 3, 20]))
    """

    _kind = "LSTM"
    _gates = 4

    # of a pair of states, for code that calls them, as torch's own forward does
    get_expected_cell_size = nn.LSTM.get_expected_cell_size
    check_forward_args = nn.LSTM.check_forward_args  # type: ignore[assignment]
    permute_hidden = nn.LSTM.permute_hidden  # type: ignore[assignment]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        recurrent_dropout: float = 0.0,
        zoneout: float | tuple[float, float] = 0.0,
        **unknown: Never,
    ) -> None:
        self._refuse_unknown(unknown)
        sizes = input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        super().__init__("LSTM", *sizes, proj_size=proj_size, device=device, dtype=dtype)
        self._set_dropout_over_time(recurrent_dropout, zoneout)

    @property
    def _cell(self) -> Cell:  # type: ignore[override]
        return CELLS["lstm"]

    def _state_widths(self) -> tuple[int, ...]:
        return (self.proj_size or self.hidden_size, self.hidden_size)

    @overload
    def forward(
        self,
        input: Tensor,
        hx: Pair | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor, Pair]: ...

    @overload
    def forward(self, input: PackedSequence, hx: Pair | None = None) -> tuple[PackedSequence, Pair]: ...

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Pair | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor | PackedSequence, Pair]:
        """Runs the layer over whole sequences.

        Args:
            input: (T, N, I), with batch_first (N, T, I), for one sequence (T, I), or a PackedSequence.
                T and N may be 0.
            hx: the pair h_0 (L * D, N, P) and c_0 (L * D, N, H), for one sequence (L * D, P) and (L * D, H).
                Default: zeros.
            lengths: the length of each sequence, N whole numbers from 0 to T in any order, on any device. What stands
                past a sequence's end is not read. Default: all are T.
            reset: bool over time and batch in the input's own order. True at step t: before that step the states are
                h_0 and c_0 again, so the pieces of a sequence are computed as if apart. Default: never.

        Returns:
            output: (T, N, D * P), with batch_first (N, T, D * P), for one sequence (T, D * P), or a PackedSequence:
                the last layer's h at every step, both directions side by side; 0 past a sequence's end.
            h_n, c_n: a pair, (L * D, N, P) and (L * D, N, H), for one sequence (L * D, P) and (L * D, H): every layer's
                and direction's states after its last step. A direction that reads backwards ends at step 0. Length 0:
                h_0 and c_0.

        Gradients flow to input, hx and all parameters, and can be differentiated again.

        Raises:
            AttributeError: input or a state is no tensor.
            ValueError: input has not 2 or 3 axes, another dtype than the weights, or lengths or reset do not fit.
            RuntimeError: input or a state has a wrong size, a state another dtype, or they lie on another device.
            IndexError, TypeError: hx is no pair.
            TypeError: lengths are no whole numbers or reset is not bool.
        """
        found: tuple[Tensor | PackedSequence, Pair] = self._call(input, hx, pair_of("LSTM", hx), lengths, reset)
        return found


class LSTMCell(RecurrentCell, torch.nn.LSTMCell):
    r"""One step of an LSTM, as `LSTM` has it; `torch.nn.LSTMCell` with its numbers.

    For whole sequences `LSTM` is many times faster than a loop over a cell.

    Args:
        input_size: I, features of the input.
        hidden_size: H, features of both states.
        bias: whether there are b_ih and b_hh. Default: True.
        device: where the parameters lie. Default: torch's.
        dtype: of the parameters. Default: torch's.

    Attributes:
        weight_ih: (4 * H, I). weight_hh: (4 * H, H). bias_ih, bias_hh: (4 * H,): the rows of i, f, g, o. Drawn from
            U(-1/sqrt(H), 1/sqrt(H)).

    Example:
        >>> import elman, torch
        >>> cell = elman.LSTMCell(10, 20)
        >>> h, c = cell(torch.randn(3, 10))
        >>> h.shape, c.shape
        (torch.Size([3, 20]), torch.Size([3, 20]))
    """

    _kind = "LSTM"
    _cell = CELLS["lstm"]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: Pair | None = None) -> Pair:
        """One step.

        Args:
            input: (N, I), or (I,) for one sequence.
            hx: the states h and c, each (N, H) or (H,). Default: zeros.

        Returns:
            The next h and c, each (N, H) or (H,). Gradients flow to input, hx and all parameters.

        Raises:
            AttributeError: input or a state is no tensor.
            ValueError: input or a state has not 1 or 2 axes.
            RuntimeError: a size, dtype or device does not fit, or hx are not two.
            TypeError: hx is no pair.
        """
        after: Pair = self._call(input, hx, pair_of("LSTMCell", hx))
        return after


def pair_of(kind: str, hx: Any) -> tuple[Any, ...]:
    """h and c, where they are given. torch's layer indexes hx: so a tensor of two states will do."""
    if hx is None:
        return ()
    is_tensor, cell = isinstance(hx, Tensor), kind.endswith("Cell")
    count = len(hx) if isinstance(hx, (tuple, list)) or (is_tensor and hx.dim() > 0) else None
    if count == 2 or (is_tensor and not cell and hx.dim() == 3 and count is not None and count > 2):
        return hx[0], hx[1]  # of a state alone, the checks say what its rows lack
    got = f"a tensor {tuple(hx.shape)}" if is_tensor else type(hx).__name__ if count is None else f"{count} of them"
    said = f"{kind} takes hx as a pair of tensors (h_0, c_0), got {got}."
    if count is None and has_torch_function((hx,)):  # torch.fx's proxy of a pair, and what else stands for one
        return (hx,)
    if count is None or (is_tensor and (cell or count > 2)):
        raise TypeError(said)
    if count < 2 and not cell:
        first = "index 1 is out of bounds" if is_tensor else f"{type(hx).__name__} index out of range"
        raise IndexError(f"{first}. {said}")
    raise RuntimeError(f"{'lstm_cell' if cell else 'lstm'} expects two hidden states. {said}")
