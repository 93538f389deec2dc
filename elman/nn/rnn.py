"""The Elman layer and its cell. No arithmetic here."""

from collections.abc import Sequence
from typing import Any, Literal, Never, Self, overload

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.kernels.cells import CELLS, Cell
from elman.nn.recurrent import Recurrent, RecurrentCell

_CELLS = {"tanh": CELLS["rnn_tanh"], "relu": CELLS["rnn_relu"]}


class RNN(Recurrent):
    r"""An Elman RNN of one or several layers, for one or both directions: `torch.nn.RNN` with its numbers, faster.

    For every step t of every layer, with x_t the layer's input (the output of the layer below, above the first):

        h_t = tanh(x_t W_ih^T + b_ih + h_{t-1} W_hh^T + b_hh)

    Source: J. L. Elman, Finding structure in time, Cognitive Science 14 (1990), in the form of `torch.nn.RNN`.

    Sizes: T steps, N sequences (batch), I input_size, H hidden_size, L num_layers, D directions (2 if bidirectional).

    Args:
        input_size: features of one input step, at least 1.
        hidden_size: features of the hidden state, at least 1.
        num_layers: layers on top of each other, at least 1. Default: 1.
        nonlinearity: "tanh" or "relu". Default: "tanh".
        bias: whether there are b_ih and b_hh. Default: True.
        batch_first: whether input and output are (N, T, .) and not (T, N, .). h_0 and h_n are the same in both cases.
            Default: False.
        dropout: probability with which, in training, each output of every layer but the last is zeroed. Default: 0.
        bidirectional: whether a second set of weights reads the sequence from its end. Default: False.
        device: where the parameters lie. Default: torch's.
        dtype: of the parameters. Default: torch's. float32 and float64 on the CPU run on elman's kernels, bfloat16 and
            float16 there are computed in float32, everything else runs on torch's operators.
        recurrent_dropout: probability with which, in training, a unit of h_{t-1} is zeroed where W_hh reads it, and the
            rest scaled by 1 / (1 - p): one mask for all steps of a sequence, another for each sequence, layer and
            direction. Default: 0. Source: Y. Gal, Z. Ghahramani, A theoretically grounded application of dropout in
            recurrent neural networks, NeurIPS 2016.
        zoneout: probability with which, in training, a unit keeps its state of the step before, drawn for every step;
            in evaluation the expectation, (1 - zoneout) h_t + zoneout h_{t-1}. Default: 0. Source: D. Krueger et al.,
            Zoneout, ICLR 2017.

    Attributes:
        weight_ih_l{k}, weight_ih_l{k}_reverse: (H, I) in the first layer, (H, D * H) above.
        weight_hh_l{k}, weight_hh_l{k}_reverse: (H, H).
        bias_ih_l{k}, bias_hh_l{k}, and with _reverse: (H,).
            All are drawn from U(-1/sqrt(H), 1/sqrt(H)), in torch's order.

    Raises:
        ValueError, TypeError: an argument that torch.nn.RNN refuses, for the same reasons.

    Example:
        >>> import elman, torch
        >>> rnn = elman.RNN(10, 20, 2)
        >>> output, h_n = rnn(torch.randn(5, 3, 10), torch.randn(2, 3, 20))
        >>> output.shape, h_n.shape
        (torch.Size([5, 3, 20]), torch.Size([2, 3, 20]))
    """

    _kind = "RNN"
    nonlinearity: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
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
        if not isinstance(nonlinearity, str) or nonlinearity not in _CELLS:
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        self.nonlinearity = nonlinearity
        super().__init__(
            f"RNN_{nonlinearity.upper()}",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )
        self._set_dropout_over_time(recurrent_dropout, zoneout)

    def __setattr__(self, name: str, value: Any) -> None:
        """Keeps `mode`, which torch's layer computes by, and `nonlinearity` the same whichever of them is set."""
        super().__setattr__(name, value)
        if name == "nonlinearity":
            self.__dict__["mode"] = f"RNN_{value}".upper()
        elif name == "mode":
            self.__dict__["nonlinearity"] = f"{value}".removeprefix("RNN_").lower()

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

    @classmethod
    def from_weights(
        cls,
        W_x: Any,
        W_h: Any,
        b: Any = None,
        b_h: Any = None,
        *,
        convention: Literal["x W", "W x"] = "x W",
        nonlinearity: str = "tanh",
        batch_first: bool = False,
        dtype: torch.dtype | None = None,
    ) -> Self:
        """A layer with the matrices of a formula on paper.

            convention "x W":  h_t = tanh(x_t W_x + h_{t-1} W_h + b), vectors are rows
            convention "W x":  h_t = tanh(W_x x_t + W_h h_{t-1} + b), vectors are columns, as torch keeps its weights

        W_h is square, so nothing shows when it is meant the other way round: both matrices are read in one convention.

        Args:
            W_x: (I, H) for "x W", (H, I) for "W x": a tensor, an array or a list of lists.
            W_h: (H, H).
            b: (H,), the bias. Default: none, and the layer has none.
            b_h: (H,), a second bias, where the formula has one for each product. Default: zeros.
            convention: "x W" or "W x". Default: "x W".
            nonlinearity: "tanh" or "relu". Default: "tanh".
            batch_first: as in `RNN`. Default: False.
            dtype: of the parameters. Default: the widest given; torch's default for lists.

        Returns:
            A layer of its own on the CPU; the parameters are copies.

        Raises:
            ValueError: the shapes do not fit. The message names the product that fails and whether the transpose would.

        Example:
            >>> import elman, torch
            >>> W_x = [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]  # three words, two units
            >>> rnn = elman.RNN.from_weights(W_x, [[0.7, 0.8], [0.9, 1.0]], [0.1, 0.2])
            >>> output, h_n = rnn(torch.eye(3))  # "i am here", one-hot
            >>> output[0]
            tensor([0.1974, 0.3799], grad_fn=<SelectBackward0>)
        """
        from elman.nn.from_weights import from_weights

        return from_weights(
            cls,
            W_x,
            W_h,
            b,
            b_h,
            convention=convention,
            nonlinearity=nonlinearity,
            batch_first=batch_first,
            dtype=dtype,
        )

    @property
    def _cell(self) -> Cell:  # type: ignore[override]
        if self.nonlinearity not in _CELLS:
            raise AssertionError(f"mode must be RNN_TANH or RNN_RELU, got {self.mode}")
        return _CELLS[self.nonlinearity]

    def extra_repr(self) -> str:
        said = super().extra_repr()
        return said if self.nonlinearity == "tanh" else f"{said}, nonlinearity={self.nonlinearity}"


class RNNCell(RecurrentCell, torch.nn.RNNCell):
    r"""One step of an Elman RNN: h' = tanh(x W_ih^T + b_ih + h W_hh^T + b_hh); `torch.nn.RNNCell` with its numbers.

    For whole sequences `RNN` is many times faster than a loop over a cell.

    Args:
        input_size: I, features of the input.
        hidden_size: H, features of the state.
        bias: whether there are b_ih and b_hh. Default: True.
        nonlinearity: "tanh" or "relu". Default: "tanh".
        device: where the parameters lie. Default: torch's.
        dtype: of the parameters. Default: torch's.

    Attributes:
        weight_ih: (H, I). weight_hh: (H, H). bias_ih, bias_hh: (H,). Drawn from U(-1/sqrt(H), 1/sqrt(H)).

    Example:
        >>> import elman, torch
        >>> cell = elman.RNNCell(10, 20)
        >>> cell(torch.randn(3, 10)).shape
        torch.Size([3, 20])
    """

    _kind = "RNN"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, nonlinearity, device, dtype)

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
            RuntimeError: a size, dtype or device does not fit, or the nonlinearity is unknown.
        """
        after: Tensor = self._call(input, hx, () if hx is None else (hx,))
        return after

    @property
    def _cell(self) -> Cell:  # type: ignore[override]
        if self.nonlinearity not in _CELLS:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}. Select from 'tanh' or 'relu'.")
        return _CELLS[self.nonlinearity]
