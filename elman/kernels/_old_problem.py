"""What every backend is given and gives back."""

from typing import NamedTuple

from torch import Tensor


class Problem(NamedTuple):
    """What a run computes, without the numbers that gradients flow to.

    Beside it every backend takes x (T, N, I), or packed (R, I), h0 (L * D, N, H) or None, and the weights: for each
    layer, and in it for each direction, w_ih (H, K), w_hh (H, H) and, with bias, b_ih and b_hh (H,), where K is I in
    the first layer and D * H above.
    """

    nonlinearity: str
    num_layers: int
    num_directions: int
    bias: bool
    lengths: Tensor | None = None
    """(N,) int64 on the CPU, 0 <= length <= T; None: all are T."""
    reset: Tensor | None = None
    """(T, N) bool; None: no reset."""
    masks: Tensor | None = None
    """Dropout masks (L - 1, T, N, D * H), packed (L - 1, R, D * H), for each layer but the last; None: no dropout."""
    batch_sizes: Tensor | None = None
    """(T,) int64 on the CPU: x and output hold only the R real steps, step after step, the longest sequence first, as
    in a PackedSequence; None: they are padded. Without lengths and reset."""

    def size_of(self, x: Tensor) -> tuple[int, int]:
        """T and N."""
        if self.batch_sizes is not None:
            return self.batch_sizes.shape[0], int(self.batch_sizes[0])
        return x.shape[0], x.shape[1]
