"""What a call may be given. Every complaint is torch's own, then a sentence that names the axes and the likely mend."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Never

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.call.usual import sizes_of, weights_are_usual
from elman.kernels.problem import weight_shapes
from elman.kernels.shapes import check_length_values

if TYPE_CHECKING:
    from elman.nn.recurrent import Recurrent, RecurrentCell


def check_call(layer: "Recurrent", input: Tensor | PackedSequence, states: tuple[Tensor, ...], weight: Tensor) -> None:
    """Raises what torch's layer raises for an input or states that do not fit; `weight` is any parameter."""
    packed = isinstance(input, PackedSequence)
    kind = layer._kind
    data = input.data if isinstance(input, PackedSequence) else input
    _check_is_tensor(kind, "input", data, " or a PackedSequence")
    for name, state in zip(_state_names(layer)[: len(states)], states, strict=True):
        _check_is_tensor(kind, name, state)
    if not packed and data.dim() not in (2, 3):
        raise ValueError(
            f"{kind}: Expected input to be 2D or 3D, got {data.dim()}D{' tensor' if kind == 'RNN' else ''} instead. "
            f"Pass {_input_axes(layer)} for a batch or (time, input_size) for one sequence; got {_shape(data)}."
        )
    if not packed and any(state.dim() != data.dim() for state in states):
        _raise_for_axes_of_states(layer, data, states)
    if packed and kind == "LSTM":  # which leaves packed rows to its operator
        check_matmul_dtype("input", data, weight)
    _check_dtype("RNN input", data, weight)  # torch says RNN for every layer
    if packed and data.dim() != 2:
        raise RuntimeError(
            f"input must have 2 dimensions, got {data.dim()}. "
            f"The data of a PackedSequence is (steps of all sequences, input_size); got {_shape(data)}."
        )
    if data.shape[-1] != layer.input_size:
        raise RuntimeError(
            f"input.size(-1) must be equal to input_size. Expected {layer.input_size}, got {data.shape[-1]}. "
            f"{'The last axis is the feature axis' if packed else _read_as(layer, data)}{_misplaced_hint(layer, data)}."
        )
    if data.device != weight.device:
        raise RuntimeError(
            f"Input and parameter tensors are not at the same device, found input tensor at {data.device} "
            f"and parameter tensor at {weight.device}. "
            f"Move one: input.to('{weight.device}') or {kind.lower()}.to('{data.device}')."
        )
    for place, state in enumerate(states):
        _check_state(layer, input, place, state)


def _raise_for_axes_of_states(layer: "Recurrent", data: Tensor, states: tuple[Tensor, ...]) -> Never:
    batched = data.dim() == 3
    said = f"For {'batched 3-D' if batched else 'unbatched 2-D'} input, "
    if len(states) == 1:
        said += f"hx should also be {data.dim()}-D but got {states[0].dim()}-D tensor"
    else:
        said += f"hx and cx should also be {data.dim()}-D but got ({states[0].dim()}-D, {states[1].dim()}-D) tensors"
    axes = "(layers * directions, batch, hidden_size)" if batched else "(layers * directions, hidden_size)"
    batch = _batch(layer, data)
    shapes = [_shape_list(_state_shape(layer, batch, place)[:: 1 if batched else 2]) for place in range(len(states))]
    wanted = " and ".join(f"{n} as {axes} = {shape}" for n, shape in zip(_state_names(layer), shapes, strict=True))
    got = " and ".join(map(_shape, states))
    raise RuntimeError(f"{said}. Pass {wanted}; got {got}. {_read_as(layer, data)}.")


def check_weights(layer: "Recurrent", weights: list[Tensor]) -> None:
    """Raises where a parameter was replaced by one of another shape, dtype or device: the kernels take it as given."""
    if not torch.compiler.is_compiling() and weights_are_usual(layer, weights):
        return  # Dynamo does not know attrgetter
    shapes = weight_shapes(*sizes_of(layer))
    first = weights[0]
    for place, (name, weight, shape) in enumerate(zip(layer._flat_weights_names, weights, shapes, strict=True)):
        if not isinstance(weight, Tensor):
            raise TypeError(
                f"expected Tensor as element {place} in argument 2, but got {type(weight).__name__}. "
                f"{name} was replaced; a layer without biases is made with bias=False."
            )
        if weight.shape != shape:
            raise RuntimeError(f"{name} should have the shape {shape}, got {_shape(weight)}.")
        check_matmul_dtype(name, weight, first)
        if weight.device != first.device:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but {name} is on {weight.device} "
                f"and {layer._flat_weights_names[0]} on {first.device}."
            )


def check_cell_call(cell: "RecurrentCell", input: Tensor, states: tuple[Tensor, ...], weight: Tensor) -> None:
    """Raises what torch's cell raises for an input or state that does not fit; `weight` is any parameter."""
    kind = f"{cell._kind}Cell"
    _check_is_tensor(kind, "input", input)
    for state in states:
        _check_is_tensor(kind, "hx", state)
    names = ("hidden",) if len(states) == 1 else ("hx[0]", "hx[1]")
    hidden = [(name, state, "hidden_size") for name, state in zip(names[: len(states)], states, strict=True)]
    for name, tensor, axis in (("input", input, "input_size"), *hidden):
        if tensor.dim() not in (1, 2):
            raise ValueError(
                f"{kind}: Expected {name} to be 1D or 2D, got {tensor.dim()}D instead. A cell takes one step: pass "
                f"(batch, {axis}) or ({axis},); for whole sequences use {cell._kind}. Got {_shape(tensor)}."
            )
    if input.shape[-1] != cell.input_size:
        raise RuntimeError(
            f"input has inconsistent input_size: got {input.shape[-1]} expected {cell.input_size}. "
            f"The last axis of the input is the feature axis; got {_shape(input)}."
        )
    for place, given in enumerate(states):
        batch = input.shape[0] if input.dim() == 2 else 1
        state = given if input.dim() == 2 else given.unsqueeze(0)
        if state.shape[0] != batch:
            raise RuntimeError(
                f"Input batch size {batch} doesn't match hidden{place} batch size {state.shape[0]}. "
                f"The input is (batch, input_size) = {_shape(input)}, hx is {_shape(given)}: their batch axes must "
                "agree."
            )
        if state.shape[1] != cell.hidden_size or state.dim() != 2:
            raise RuntimeError(
                f"hidden{place} has inconsistent hidden_size: got {state.shape[1]}, expected {cell.hidden_size}. "
                f"hx is {'(batch, hidden_size)' if input.dim() == 2 else '(hidden_size,)'}; got {_shape(given)}."
            )
    for name, tensor in (("input", input), *(("hx", state) for state in states)):
        if tensor.device != weight.device:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found {name} on {tensor.device} "
                f"and the weights on {weight.device}. Move one: .to('{weight.device}')."
            )
        check_matmul_dtype(name, tensor, weight)


def check_lengths(lengths: Tensor | Sequence[int], steps: int, sequences: int) -> Tensor | None:
    """`lengths` as an int64 tensor (N,) on the CPU, every one from 0 to T; None if all are T."""
    if not isinstance(lengths, Tensor):
        lengths = torch.as_tensor(lengths, device="cpu")  # whatever torch.set_default_device says
        if lengths.numel() == 0:
            lengths = lengths.long()
    if lengths.dtype.is_floating_point or lengths.dtype.is_complex or lengths.dtype == torch.bool:
        raise TypeError(f"lengths should be whole numbers (a LongTensor or a list of int), got {lengths.dtype}.")
    if lengths.shape != (sequences,):
        raise ValueError(
            f"lengths should hold one length for each sequence of the batch, ({sequences},), got {_shape(lengths)}."
        )
    lengths = lengths.to("cpu", torch.int64, copy=True)  # backward must see what forward saw
    if _is_captured(lengths):
        return lengths  # what they hold is seen when the program runs
    return lengths if check_length_values(lengths, steps, sequences) else None


def check_batch_sizes(batch_sizes: Tensor, rows: int, states: tuple[Tensor, ...]) -> None:
    """Raises where the parts of a PackedSequence do not fit: one can be made by hand, and kernels take it as given."""
    if _is_captured(batch_sizes):
        return  # what they hold is seen when the program runs
    fits = batch_sizes.dtype == torch.int64 and batch_sizes.dim() == 1 and batch_sizes.numel() > 0
    if not (
        fits
        and int(batch_sizes[-1]) >= 0
        and not bool((batch_sizes[1:] > batch_sizes[:-1]).any())
        and int(batch_sizes.sum()) == rows
    ):
        raise RuntimeError(
            "The batch_sizes of a PackedSequence are int64 on one axis, never increase, and add up to the rows of its "
            f"data, {rows}; got {batch_sizes}. pack_padded_sequence and pack_sequence make such ones."
        )
    for state in states:
        if state.shape[1] != int(batch_sizes[0]):
            raise RuntimeError(
                f"Expected hidden size {(state.shape[0], int(batch_sizes[0]), state.shape[2])}, got "
                f"{list(state.shape)}. The sorted_indices of the PackedSequence are not as many as its sequences."
            )


def _is_captured(tensor: Tensor) -> bool:
    """Whether a program is being written down, in which a tensor may hold other numbers than now."""
    if (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._len_torch_dispatch_stack() > 0
    ):
        return True
    return torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def check_reset(layer: "Recurrent", reset: Tensor, input: Tensor) -> None:
    """Raises for a reset that is no bool tensor over the input's own time and batch axes."""
    if not isinstance(reset, Tensor) or reset.dtype != torch.bool:
        kind = reset.dtype if isinstance(reset, Tensor) else type(reset).__name__
        raise TypeError(f"reset should be a bool tensor, True where the state is h_0 again, got {kind}.")
    if reset.shape != input.shape[:-1]:
        axes = "(time,)" if input.dim() == 2 else _input_axes(layer).replace(", input_size", "")
        raise ValueError(
            f"reset should be over {axes} in the input's own order, {_shape_list(input.shape[:-1])}; "
            f"got {_shape(reset)}."
        )


def _check_is_tensor(layer: str, name: str, value: Any, or_else: str = "") -> None:
    if isinstance(value, Tensor):
        return
    try:
        value.dim  # noqa: B018 - Python's own words come first, as from torch's layer
    except AttributeError as error:
        said = str(error)
    else:
        said = f"{type(value).__name__} is no tensor"
    raise AttributeError(
        f"{said}. {layer} takes {name} as a torch.Tensor{or_else}: torch.tensor(...) makes one of a list or an array."
    )


def _check_dtype(what: str, tensor: Tensor, weight: Tensor) -> None:
    if tensor.dtype != weight.dtype and not torch._C._is_any_autocast_enabled():
        raise ValueError(
            f"{what} dtype ({tensor.dtype}) does not match weight dtype ({weight.dtype}). "
            f"Convert input: input.to({weight.dtype}), or convert model: model.to({tensor.dtype})"
        )


def check_matmul_dtype(name: str, tensor: Tensor, weight: Tensor, autocast: bool = True) -> None:
    """Raises for two dtypes, unless autocast is on and would make them one."""
    if tensor.dtype != weight.dtype and not (autocast and torch._C._is_any_autocast_enabled()):
        names = {torch.float32: "Float", torch.float64: "Double", torch.float16: "Half", torch.bfloat16: "BFloat16"}
        names |= {torch.int64: "Long", torch.int32: "Int", torch.complex64: "ComplexFloat"}
        got, expected = (names.get(t.dtype, str(t.dtype)) for t in (tensor, weight))
        raise RuntimeError(
            f"mat1 and mat2 must have the same dtype, but got {got} and {expected}. "
            f"{name} is {tensor.dtype} and the weights are {weight.dtype}: convert with {name}.to({weight.dtype})."
        )


def _check_state(layer: "Recurrent", input: Tensor | PackedSequence, place: int, hx: Tensor) -> None:
    data = input.data if isinstance(input, PackedSequence) else input
    expected = _state_shape(layer, _batch(layer, input), place)
    got = hx.unsqueeze(1) if data.dim() == 2 and not isinstance(input, PackedSequence) else hx
    if tuple(got.shape) != expected:
        which = "hidden" if len(layer._cell.states) == 1 else f"hidden[{place}]"
        said = f"Expected {which} size {expected}, got {list(got.shape)}"
        raise RuntimeError(f"{said}. {_state_hint(layer, input, place, got)}")
    if hx.device != data.device:
        raise RuntimeError(
            f"Input and hidden tensors are not at the same device, found input tensor at {data.device} "
            f"and hidden tensor at {hx.device}. Move it: hx.to('{data.device}')."
        )
    check_matmul_dtype(_state_names(layer)[place], hx, data)


def _state_names(layer: "Recurrent") -> tuple[str, ...]:
    """What a message calls the states."""
    states = layer._cell.states
    return ("hx",) if len(states) == 1 else tuple(f"{state}_0" for state in states)


def _state_hint(layer: "Recurrent", input: Tensor | PackedSequence, place: int, state: Tensor) -> str:
    layers, batch, width = _state_shape(layer, _batch(layer, input), place)
    names = _state_names(layer)
    name = names[place]
    feature = "proj_size" if place == 0 and layer.proj_size else "hidden_size"
    axes = f"{name} is (layers * directions {layers}, batch {batch}, {feature} {width}) whatever batch_first says"
    if state.dim() != 3:
        return f"{axes}; got {state.dim()} axes."
    wrong = [
        f"{axis} {got} where {size} was expected"
        for axis, got, size in zip(
            ("layers * directions", "batch", feature), state.shape, (layers, batch, width), strict=True
        )
        if got != size
    ]
    said = f"{axes}; this one has {' and '.join(wrong)}."
    if len(names) > 1 and tuple(state.shape) == _state_shape(layer, batch, 1 - place):
        return f"{said} h_0 and c_0 are swapped: pass (h_0, c_0)."
    if isinstance(input, PackedSequence):
        return f"{said} The batch of a PackedSequence is its first batch size."
    if input.dim() == 3 and state.shape[1] != batch:
        time, other = (1, 0) if layer.batch_first else (0, 1)
        said += f" {_read_as(layer, input)} because batch_first={layer.batch_first}"
        if state.shape[1] == input.shape[time] and input.shape[time] != input.shape[other]:
            return f"{said}; batch_first={not layer.batch_first} would fit."
        return f"{said}."
    if tuple(state.shape) == (batch, layers, width):
        return f"{said} Its first two axes are swapped: {name}.transpose(0, 1) would fit."
    return said


def _misplaced_hint(layer: "Recurrent", data: Tensor) -> str:
    places = [i for i, size in enumerate(data.shape[:-1]) if size == layer.input_size]
    if not places:
        return ""
    axis = places[0]
    return f". Axis {axis} has {layer.input_size}: if that is the feature axis, input.movedim({axis}, -1) would fit"


def _read_as(layer: "Recurrent", input: Tensor) -> str:
    """How the axes of the input were understood."""
    sizes = [f"{size}" for size in input.shape]  # Dynamo knows no str() of a symbol
    if input.dim() == 2:
        return f"The input was read as one sequence (time {sizes[0]}, features {sizes[1]})"
    first, second = ("batch", "time") if layer.batch_first else ("time", "batch")
    return f"The input was read as ({first} {sizes[0]}, {second} {sizes[1]}, features {sizes[2]})"


def _batch(layer: "Recurrent", input: Tensor | PackedSequence) -> int:
    if isinstance(input, PackedSequence):
        return int(input.batch_sizes[0])
    if input.dim() == 2:
        return 1
    return input.shape[0 if layer.batch_first else 1]  # a symbol, where torch.export traces


def _state_shape(layer: "Recurrent", batch: int, place: int) -> tuple[int, int, int]:
    return layer.num_layers * (2 if layer.bidirectional else 1), batch, layer._state_widths()[place]


def _input_axes(layer: "Recurrent") -> str:
    return "(batch, time, input_size)" if layer.batch_first else "(time, batch, input_size)"


def _shape(tensor: Tensor) -> str:
    return _shape_list(tensor.shape)


def _shape_list(shape: Sequence[int]) -> str:
    return str(tuple(shape))
