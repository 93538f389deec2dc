"""The layer: parameters and the call. No arithmetic here."""

import copy
import warnings
from collections.abc import Sequence
from typing import Any, Literal, Never, Self, overload

import torch
from torch import Tensor
from torch.fx import Proxy
from torch.nn import RNNBase
from torch.nn.utils.rnn import PackedSequence

from elman._checks import check_call, check_cell_call, check_weights
from elman._fx import as_one_node
from elman._layout import run_packed, run_padded, run_step
from elman._usual import is_usual

_MODES = {"tanh": "RNN_TANH", "relu": "RNN_RELU"}


class RNN(RNNBase):
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
        **unknown: Never,
    ) -> None:
        if "proj_size" in unknown:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if unknown:
            raise TypeError(f"RNN.__init__() got an unexpected keyword argument '{next(iter(unknown))}'")
        if not isinstance(nonlinearity, str) or nonlinearity not in _MODES:
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        self.nonlinearity = nonlinearity
        super().__init__(
            _MODES[nonlinearity],
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
        weights = self._weights()
        usual = is_usual(self, input, hx, weights)
        if not usual:
            if isinstance(input, Proxy):
                return as_one_node(self, input, hx=hx, lengths=lengths, reset=reset)
            check_call(self, input, hx, weights[0])
            check_weights(self, weights)
        if isinstance(input, PackedSequence):
            if lengths is not None or reset is not None:
                raise ValueError(
                    "A PackedSequence holds its own lengths: pass a padded tensor with lengths= or reset=."
                )
            return run_packed(self, input, hx, weights)
        return run_padded(self, input, hx, weights, lengths, reset, usual)

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
        from elman._from_weights import from_weights

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

    def _weights(self) -> list[Tensor]:
        """The parameters as they are now, in the order of `_flat_weights_names`."""
        parameters = self._parameters
        weights = []
        for name in self._flat_weights_names:
            weight = parameters.get(name)  # several times faster than getattr
            weights.append(getattr(self, name) if weight is None else weight)
        return weights

    def extra_repr(self) -> str:
        said = super().extra_repr()
        return said if self.nonlinearity == "tanh" else f"{said}, nonlinearity={self.nonlinearity}"

    def __prepare_scriptable__(self) -> torch.nn.Module:
        """What torch.jit.script compiles in place of this layer: torch's, of the same Parameters."""
        return _scriptable(self)

    def _slow_forward(self, *args: Any, **kwargs: Any) -> Any:
        """The call under torch's tracer. The old ONNX exporter passes what is keyword-only, too, in a row."""
        if torch.onnx.is_in_onnx_export():
            args, kwargs = args[:2], kwargs | dict(zip(("lengths", "reset"), args[2:], strict=False))
        return super()._slow_forward(*args, **kwargs)  # type: ignore[no-untyped-call]

    # torch keeps a second list of the weights for cuDNN, which goes stale when a weight is replaced. Here is none.

    def flatten_parameters(self) -> None:
        """Does nothing: there is no flat copy of the weights."""

    def _init_flat_weights(self) -> None:
        pass

    @property
    def _flat_weights(self) -> list[Tensor]:  # type: ignore[override]
        return self._weights()

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "qconfig" and value is not None:
            warnings.warn(
                "torch's dynamic quantization has no form of RNN: it leaves torch.nn.RNN as it is, and elman.RNN too. "
                "The weights of this layer stay what they are.",
                stacklevel=2,
            )
        torch.nn.Module.__setattr__(self, name, value)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        torch.nn.Module.__setstate__(self, state)  # type: ignore[no-untyped-call]

    def _replicate_for_data_parallel(self) -> Any:
        return torch.nn.Module._replicate_for_data_parallel(self)  # type: ignore[no-untyped-call]


def _scriptable(layer: torch.nn.Module) -> torch.nn.Module:
    """torch's layer of the same Parameters: TorchScript's language has no words for the kernels.

    torch.jit.script puts it into the model it was given, too.
    """
    from elman._convert import to_torch

    return to_torch(copy.copy(layer)).module


class RNNCell(torch.nn.RNNCell):
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
        if self.nonlinearity not in _MODES:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}. Select from 'tanh' or 'relu'.")
        if isinstance(input, Proxy):
            return as_one_node(self, input, hx=hx)
        check_cell_call(self, input, hx)
        weights = [self.weight_ih, self.weight_hh]
        if self.bias_ih is not None or self.bias_hh is not None:
            zero = self.weight_hh.new_zeros(self.hidden_size)
            weights += [zero if b is None else b for b in (self.bias_ih, self.bias_hh)]
        return run_step(self.nonlinearity, len(weights) == 4, input, hx, weights)

    def __prepare_scriptable__(self) -> torch.nn.Module:
        """What torch.jit.script compiles in place of this cell: torch's, of the same Parameters."""
        return _scriptable(self)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "qconfig":  # which torch's quantizers give to every module they come upon
            warnings.warn(
                "torch's quantization looks for torch's own classes and leaves elman.RNNCell as it is. Call "
                "elman.to_torch(model) first, and it becomes torch's quantized cell.",
                stacklevel=2,
            )
        super().__setattr__(name, value)
