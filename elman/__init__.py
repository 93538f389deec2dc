"""elman: the recurrent layer. `elman.RNN` is `torch.nn.RNN` with the same parameters and numbers, faster on CPUs.

Names are loaded when they are first used, so that `elman --help` does not wait for torch.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from elman import _fork as _fork

if TYPE_CHECKING:
    from elman._waiting import wait_briefly as wait_briefly
    from elman.explain._doctor import doctor as doctor
    from elman.explain._report import Report as Report
    from elman.explain._run import trace as trace
    from elman.kernels.table import backends as backends
    from elman.kernels.table import use_backend as use_backend
    from elman.nn.convert import convert as convert
    from elman.nn.convert import patch as patch
    from elman.nn.convert import to_torch as to_torch
    from elman.nn.gru import GRU as GRU
    from elman.nn.gru import GRUCell as GRUCell
    from elman.nn.init import echo_state_ as echo_state_
    from elman.nn.init import identity_ as identity_
    from elman.nn.init import spectral_radius as spectral_radius
    from elman.nn.leaky import LeakyRNN as LeakyRNN
    from elman.nn.leaky_cell import LeakyRNNCell as LeakyRNNCell
    from elman.nn.lstm import LSTM as LSTM
    from elman.nn.lstm import LSTMCell as LSTMCell
    from elman.nn.parametrizations import Connectivity as Connectivity
    from elman.nn.parametrizations import DalesLaw as DalesLaw
    from elman.nn.parametrizations import LowRank as LowRank
    from elman.nn.rnn import RNN as RNN
    from elman.nn.rnn import RNNCell as RNNCell
    from elman.nn.stream import Stream as Stream

_HOMES = {
    "Connectivity": "elman.nn.parametrizations",
    "DalesLaw": "elman.nn.parametrizations",
    "GRU": "elman.nn.gru",
    "GRUCell": "elman.nn.gru",
    "LSTM": "elman.nn.lstm",
    "LSTMCell": "elman.nn.lstm",
    "LowRank": "elman.nn.parametrizations",
    "LeakyRNN": "elman.nn.leaky",
    "LeakyRNNCell": "elman.nn.leaky_cell",
    "RNN": "elman.nn.rnn",
    "RNNCell": "elman.nn.rnn",
    "Report": "elman.explain._report",
    "Stream": "elman.nn.stream",
    "backends": "elman.kernels.table",
    "convert": "elman.nn.convert",
    "doctor": "elman.explain._doctor",
    "echo_state_": "elman.nn.init",
    "identity_": "elman.nn.init",
    "patch": "elman.nn.convert",
    "spectral_radius": "elman.nn.init",
    "to_torch": "elman.nn.convert",
    "trace": "elman.explain._run",
    "use_backend": "elman.kernels.table",
    "wait_briefly": "elman._waiting",
}
__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Connectivity",
    "DalesLaw",
    "GRUCell",
    "LSTMCell",
    "LeakyRNN",
    "LeakyRNNCell",
    "LowRank",
    "RNNCell",
    "Report",
    "Stream",
    "backends",
    "convert",
    "doctor",
    "echo_state_",
    "identity_",
    "patch",
    "spectral_radius",
    "to_torch",
    "trace",
    "use_backend",
    "wait_briefly",
]
__version__ = "0.1.0"

if "torch" in sys.modules:  # then the operators of exported programs are there at once
    importlib.import_module("elman.autograd.registered")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'elman' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
