"""One step of a leaky layer. No arithmetic here."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.fx import Proxy
from torch.nn.modules.rnn import RNNCellBase

from elman.autograd.run import run
from elman.call.checks import check_cell_call
from elman.call.dtypes import in_kernel_dtype
from elman.call.fx import as_one_node
from elman.call.over_time import Given, changed, leaky_terms, on_its_cell
from elman.kernels.cells import CELLS, Cell
from elman.kernels.problem import Problem
from elman.nn.leak import Form, Leaking, Nonlinearity
from elman.nn.recurrent import RecurrentCell


class LeakyRNNCell(RecurrentCell, Leaking):
    r"""One step of a `LeakyRNN`.

        form "activation":  h' = (1 - α) h + α f(x W_ih^T + b_ih + h W_hh^T + b_hh + d + σ ξ)
        form "potential":   v' = (1 - α) v + α (x W_ih^T + b_ih + f(v) W_hh^T + b_hh + d) + sqrt(2 α) σ ξ

    For whole sequences `LeakyRNN` is many times faster than a loop over a cell. In form "potential" the state is v, and
    what the unit gives out is f(v).

    Args:
        input_size: I, features of the input.
        hidden_size: H, units.
        bias: whether there are b_ih and b_hh. Default: True.
        nonlinearity: f: "tanh", "relu", "sigmoid", "softplus" or "retanh". Default: "tanh".
        device: where the parameters lie. Default: torch's.
        dtype: of the parameters. Default: torch's.
        form, leak, learn_leak, noise: as in `LeakyRNN`; leak is a number or (H,).

    Attributes:
        weight_ih: (H, I). weight_hh: (H, H). bias_ih, bias_hh: (H,). Drawn from U(-1/sqrt(H), 1/sqrt(H)).
        leak, leak_logit, leak_units, noise: as in `LeakyRNN`, with L and D 1.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import elman, torch
        >>> cell = elman.LeakyRNNCell(10, 20, leak=0.1)
        >>> cell(torch.randn(3, 10)).shape
        torch.Size([3, 20])
    """

    _kind = "LeakyRNN"
    num_layers, bidirectional, batch_first = 1, False, False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Nonlinearity = "tanh",
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        form: Form = "activation",
        leak: float | Sequence[float] | Tensor = 0.2,
        learn_leak: bool = False,
        noise: float = 0.0,
    ) -> None:
        RNNCellBase.__init__(self, input_size, hidden_size, bias, num_chunks=1, device=device, dtype=dtype)
        self._set_form(form, nonlinearity)
        self._set_leak(leak, learn_leak, noise, 1, self.weight_hh.detach())

    def forward(
        self,
        input: Tensor,
        hx: Tensor | None = None,
        *,
        leak: Tensor | float | None = None,
        drive: Tensor | float | None = None,
    ) -> Tensor:
        """One step.

        Args:
            input: (N, I), or (I,) for one sequence.
            hx: the state, h or v, (N, H) or (H,). Default: zeros.
            leak: α of this step, in place of the cell's: a number, or what broadcasts to the state. Default: the
                cell's.
            drive: what is added to the pre-activation, broadcasting likewise. Default: 0.

        Returns:
            The next state, (N, H) or (H,). Gradients flow to input, hx, leak, drive and all parameters.

        Raises:
            AttributeError: input or hx is no tensor.
            ValueError: input or hx has not 1 or 2 axes, or leak or drive do not fit.
            RuntimeError: a size, dtype or device does not fit.
        """
        if isinstance(input, Proxy):
            node: Tensor = as_one_node(self, input, hx=hx, leak=leak, drive=drive)
            return node
        weights = self._weights()
        check_cell_call(self, input, () if hx is None else (hx,), weights[0])
        batched = input.dim() == 2
        x = input.unsqueeze(0) if batched else input.view(1, 1, -1)
        states = () if hx is None else (hx.unsqueeze(0) if batched else hx.view(1, 1, -1),)
        problem = Problem(self._cell, 1, 1, len(weights) == 4, False, x, states, tuple(weights))
        own_leak, own_drive = leaky_terms(self, problem, Given(leak, drive), not batched)
        terms = (own_leak,) if own_drive is None else (own_leak, own_drive)
        _, last = in_kernel_dtype(run, changed(problem, *on_its_cell(self, problem), terms, None))
        return last[-1][0] if batched else last[-1][0, 0]

    @property
    def _cell(self) -> Cell:  # type: ignore[override]
        return CELLS[f"leaky_{self.nonlinearity}"]

    def reset_parameters(self) -> None:
        """Draws the weights anew; a leak that is learned goes back to its start."""
        super().reset_parameters()
        self._reset_leak()

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, {self._said()}"

    def __prepare_scriptable__(self) -> torch.nn.Module:
        raise RuntimeError("torch.jit.script has no leaky cell. torch.export and torch.jit.trace take this one.")
