"""What a recurrent layer returns, changed on its way: its output or its state alone."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

Change = Callable[[Tensor], Tensor]
Alter = Callable[[Any], Any]


def on_output(change: Change) -> Alter:
    """Changes the output, of packed sequences their data, and leaves the state."""

    def alter(returned: Any) -> Any:
        output, state = returned
        if isinstance(output, PackedSequence):
            return output._replace(data=change(output.data)), state
        return change(output), state

    return alter


def on_padded(change: Change) -> Alter:
    """Changes a packed output as if it were padded (time, batch, feature)."""

    def alter(returned: Any) -> Any:
        packed, state = returned
        padded, lengths = pad_packed_sequence(packed)
        changed = pack_padded_sequence(change(padded), lengths, enforce_sorted=False)
        return PackedSequence(changed.data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices), state

    return alter


def on_state(change: Change) -> Alter:
    """Changes h_n (and c_n) and leaves the output."""

    def alter(returned: Any) -> Any:
        output, state = returned
        return output, tuple(map(change, state)) if isinstance(state, tuple) else change(state)

    return alter
