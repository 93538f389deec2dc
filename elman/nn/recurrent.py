"""What all layers share, and all cells: their parameters as they are now, and the way of a call. No arithmetic here."""

import copy
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.fx import Proxy
from torch.nn.modules.rnn import RNNBase, RNNCellBase
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import has_torch_function

from elman.autograd import eager
from elman.call.checks import check_call, check_cell_call, check_weights
from elman.call.fx import as_one_node
from elman.call.layout import run_packed, run_padded, run_step
from elman.call.usual import usual_call
from elman.kernels.cells import Cell

if TYPE_CHECKING:
    from elman.call.over_time import Given

States = tuple[Tensor, ...]
_OF_QUANTIZATION = {
    "RNN": "has no form of RNN: it leaves torch.nn.RNN as it is, and elman.RNN too. The weights of this layer stay "
    "what they are.",
    "LeakyRNN": "has no form of LeakyRNN: it leaves elman.LeakyRNN as it is. The weights of this layer stay what they "
    "are.",
}
_OTHERS = (
    "looks for torch's own classes and leaves elman.{kind} as it is. Call elman.to_torch(model) first, and it becomes "
    "torch's quantized {kind}."
)


class Recurrent(RNNBase):
    """The base of the layers."""

    _kind: ClassVar[str]
    """What torch's messages call it."""
    _gates: ClassVar[int] = 1
    """G: the weights have G * H rows."""
    _replaced: dict[str, tuple[Any, Tensor]] | None = None
    """Weights that stand in for parameters since they were put into `_flat_weights`, each with what it stands for."""

    _cell: Cell
    """What it computes."""
    _beside_parameters: tuple[object, ...] = ()
    """What a stream must know to see that steps are others, besides the parameters and what all layers have."""

    _arguments: ClassVar[tuple[str, ...]] = ("lengths", "reset")
    """The keyword arguments of forward, in its order."""

    recurrent_dropout: float = 0.0
    zoneout: float | tuple[float, float] = 0.0

    def _set_dropout_over_time(self, recurrent_dropout: float, zoneout: float | Sequence[float]) -> None:
        """Takes what a constructor is given. What is 0 stays the class's."""
        rates: dict[str, tuple[Any, ...]] = {"recurrent_dropout": (recurrent_dropout,), "zoneout": (zoneout,)}
        if isinstance(zoneout, Sequence) and len(self._cell.states) == 2:
            rates["zoneout"] = tuple(zoneout)
        for name, of_states in rates.items():
            for rate in of_states:
                if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
                    pair = ", or of an LSTM a pair, for h and for c" if name == "zoneout" else ""
                    raise ValueError(f"{name} should be a number from 0 to 1, a probability{pair}; got {rate!r}.")
            if any(of_states):
                if len(of_states) > 2:
                    raise ValueError(f"zoneout should be a number, or a pair, for h and for c; got {zoneout!r}.")
                setattr(self, name, of_states if len(of_states) > 1 else of_states[0])

    def _beyond_torch(self) -> str | None:
        """What this layer computes that torch's of its kind cannot; None: nothing."""
        names = [name for name in ("recurrent_dropout", "zoneout") if getattr(self, name)]
        return " and ".join(names) or None

    def extra_repr(self) -> str:
        rates = {name: getattr(self, name) for name in ("recurrent_dropout", "zoneout")}
        return ", ".join([super().extra_repr(), *(f"{name}={rate}" for name, rate in rates.items() if rate)])

    def _refuse_unknown(self, unknown: dict[str, Any]) -> None:
        """For arguments of a constructor that are not among its own."""
        if "proj_size" in unknown:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if unknown:
            raise TypeError(f"{self._kind}.__init__() got an unexpected keyword argument '{next(iter(unknown))}'")

    def _state_widths(self) -> tuple[int, ...]:
        """The width of each state."""
        return (self.hidden_size,)

    def _call(
        self,
        input: Any,
        hx: Any,
        states: tuple[Any, ...],  # of hx
        lengths: Tensor | Sequence[int] | None,
        reset: Tensor | None,
        given: "Given | None" = None,
    ) -> Any:
        """output and the states after the last step; `forward` says what it takes."""
        weights = self._weights()
        usual = usual_call(self, input, states, weights)
        found: tuple[Any, tuple[Tensor, ...]] | None = None
        if usual is None:
            if isinstance(input, Proxy):
                others = {} if given is None else given._asdict()
                return as_one_node(self, input, hx=hx, lengths=lengths, reset=reset, **others)
            if _is_like_a_tensor((input, *states)):
                return self._call_torchs(input, hx, lengths, reset)
            check_call(self, input, states, weights[0])
            check_weights(self, weights)
        elif (
            usual.known is not None
            and lengths is None
            and reset is None
            and given is None
            and not (self.zoneout or self.recurrent_dropout or (self.dropout and self.training))
        ):
            found = eager.run_known(usual.known, input, states, weights)
        if found is None and isinstance(input, PackedSequence):
            if lengths is not None or reset is not None:
                raise ValueError(
                    "A PackedSequence holds its own lengths: pass a padded tensor with lengths= or reset=."
                )
            found = run_packed(self, input, states, weights, given)
        elif found is None:
            found = run_padded(self, input, states, weights, lengths, reset, usual, given)
        output, last = found
        return output, last if len(last) > 1 else last[0]

    def _call_torchs(self, input: Any, hx: Any, lengths: Any, reset: Any) -> Any:
        """The forward of torch's layer, which takes whatever its operators take."""
        if lengths is not None or reset is not None:
            raise TypeError(
                f"lengths= and reset= take tensors: input is a {type(input).__name__}, which speaks __torch_function__ "
                "and is no torch.Tensor, and goes to torch's own layer."
            )
        if (more := self._beyond_torch()) is not None:
            raise TypeError(
                f"input is a {type(input).__name__}, which speaks __torch_function__ and is no torch.Tensor: it goes "
                f"to torch's own layer, which has no {more}."
            )
        return getattr(nn, self._kind).forward(self, input, hx)

    def _weights(self) -> list[Tensor]:
        """The parameters as they are now, in the order of `_flat_weights_names`."""
        parameters = self._parameters
        weights = []
        for name in self._flat_weights_names:
            weight = parameters.get(name)  # several times faster than getattr
            weights.append(getattr(self, name) if weight is None else weight)
        if self._replaced is not None:
            for place, name in enumerate(self._flat_weights_names):
                instead, of = self._replaced.get(name, (None, None))
                if of is weights[place]:
                    weights[place] = instead
        return weights

    def _put_weight(self, name: str, weight: Tensor) -> None:
        """Lets a tensor stand in for a parameter until that is set again, as an item of torch's `_flat_weights`."""
        current = getattr(self, name, None)
        replaced = {**(self._replaced or {}), name: (weight, current)}
        if weight is current:
            del replaced[name]
        self.__dict__["_replaced"] = replaced or None

    def __prepare_scriptable__(self) -> nn.Module:
        """What torch.jit.script compiles in place of this layer: torch's, of the same Parameters."""
        if (more := self._beyond_torch()) is not None:
            raise RuntimeError(
                f"torch.jit.script compiles torch's own layer in place of elman.{self._kind}, and that has no {more}. "
                "torch.export and torch.jit.trace take this one."
            )
        return _scriptable(self, self._kind)

    def _slow_forward(self, *args: Any, **kwargs: Any) -> Any:
        """The call under torch's tracer. The old ONNX exporter passes what is keyword-only, too, in a row."""
        if torch.onnx.is_in_onnx_export():
            args, kwargs = args[:2], kwargs | dict(zip(self._arguments, args[2:], strict=False))
        return super()._slow_forward(*args, **kwargs)  # type: ignore[no-untyped-call]

    # torch keeps a second list of the weights, which goes stale when a weight is replaced. Here it is a view.

    def flatten_parameters(self) -> None:
        """On a GPU, lays the parameters into one piece of memory, which cuDNN wants; elsewhere nothing."""
        parameters = [self._parameters.get(name) for name in self._flat_weights_names]
        if hasattr(nn, self._kind) and all(p is not None and p.is_cuda for p in parameters):
            nn.RNNBase.flatten_parameters(self)

    def _init_flat_weights(self) -> None:
        self.__dict__.pop("_replaced", None)
        self.flatten_parameters()

    def _update_flat_weights(self) -> None:
        pass

    @property
    def _flat_weights(self) -> Any:
        return FlatWeights(self._weights(), self)

    @_flat_weights.setter
    def _flat_weights(self, weights: Any) -> None:
        for name, weight in zip(self._flat_weights_names, weights, strict=True):
            self._put_weight(name, weight)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "qconfig" and (value is not None or self._kind not in _OF_QUANTIZATION):
            warnings.warn(
                f"torch's dynamic quantization {_OF_QUANTIZATION.get(self._kind, _OTHERS).format(kind=self._kind)}",
                stacklevel=2,
            )
        if self._replaced is not None and name in self._replaced:
            self._put_weight(name, getattr(self, name))
        if name == "_flat_weights":
            object.__setattr__(self, name, value)
        else:
            nn.Module.__setattr__(self, name, value)

    def __getstate__(self) -> dict[str, Any]:
        # every module's, which leaves out what layer.compile() made: a copy of that would call this layer
        state: dict[str, Any] = nn.Module.__getstate__(self)  # type: ignore[no-untyped-call]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        nn.Module.__setstate__(self, state)  # type: ignore[no-untyped-call]

    def _replicate_for_data_parallel(self) -> Any:
        return nn.Module._replicate_for_data_parallel(self)  # type: ignore[no-untyped-call]


class FlatWeights(list[Tensor]):
    """The weights of a layer in a row. One that is put into it is what the layer computes with."""

    def __init__(self, weights: Iterable[Tensor] = (), layer: Recurrent | None = None) -> None:
        super().__init__(weights)
        self._layer = layer

    def __setitem__(self, place: Any, weight: Any) -> None:
        super().__setitem__(place, weight)
        if self._layer is not None:  # otherwise a list like another, as torch makes of it
            self._layer._flat_weights = list(self)


class RecurrentCell(RNNCellBase):
    """The base of the cells."""

    _kind: ClassVar[str]
    """The layer that runs it over sequences."""

    _cell: Cell
    """What it computes."""

    def _call(self, input: Any, hx: Any, states: tuple[Any, ...]) -> Any:
        """The states after a step; `forward` says what it takes."""
        if isinstance(input, Proxy):
            return as_one_node(self, input, hx=hx)
        if _is_like_a_tensor((input, *states)):
            return getattr(nn, f"{self._kind}Cell").forward(self, input, hx)
        weights = self._weights()
        check_cell_call(self, input, states, weights[0])
        last = run_step(self._cell, len(weights) == 4, input, states, weights)
        return last if len(last) > 1 else last[0]

    def _weights(self) -> list[Tensor]:
        """The parameters as they are now, each read once as by torch's cell: reading one may compute it anew."""
        weights, biases = [self.weight_ih, self.weight_hh], (self.bias_ih, self.bias_hh)
        if any(b is not None for b in biases):
            zero = weights[1].new_zeros(weights[1].shape[0])
            weights += [zero if b is None else b for b in biases]
        return weights

    def __prepare_scriptable__(self) -> nn.Module:
        """What torch.jit.script compiles in place of this cell: torch's, of the same Parameters."""
        return _scriptable(self, f"{self._kind}Cell")

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "qconfig":  # which torch's quantizers give to every module they come upon
            warnings.warn(
                f"torch's quantization looks for torch's own classes and leaves elman.{self._kind}Cell as it is. Call "
                "elman.to_torch(model) first, and it becomes torch's quantized cell.",
                stacklevel=2,
            )
        super().__setattr__(name, value)


def _is_like_a_tensor(given: tuple[Any, ...]) -> bool:
    """Whether one of these speaks __torch_function__ and is no Tensor."""
    strange = tuple(g for g in given if g is not None and not isinstance(g, (Tensor, PackedSequence)))
    return bool(strange) and has_torch_function(strange)


def _scriptable(layer: nn.Module, name: str) -> nn.Module:
    """torch's layer of that name, of the same Parameters: TorchScript's language has no words for the kernels.

    torch.jit.script puts it into the model it was given, too. A subclass stays what it is, with its own code.
    """
    from elman.nn.become import become, own_class

    same = copy.copy(layer)
    if "_kind" in vars(own_class(layer)):
        become(same, getattr(nn, name))
    return same
