"""Backends are chosen in the open: listed, scoped, and one asked for by name raises rather than falls back."""

import threading

import pytest
import torch
from cases import CASES

import elman
from elman.call import usual
from elman.kernels import table


def test_backends_are_listed_with_a_reason() -> None:
    listed = elman.backends()
    text = str(listed)
    for name in ("reference", "numba", "torch"):
        assert name in text


def test_unknown_name_raises_and_names_what_there_is() -> None:
    with pytest.raises(ValueError, match="nmuba") as caught, elman.use_backend("nmuba"):
        pass
    for name in ("reference", "numba", "torch"):
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("dtype", "device"), [(torch.complex64, "cpu"), (torch.float32, "meta")], ids=["complex", "other device"]
)
def test_numba_by_name_raises_where_it_cannot(dtype: torch.dtype, device: str) -> None:
    layer = elman.RNN(3, 4, dtype=dtype, device=device)
    input = torch.empty(5, 2, 3, dtype=dtype, device=device)
    layer(input)
    with elman.use_backend("numba"), pytest.raises((RuntimeError, ValueError, TypeError), match="numba"):
        layer(input)


def test_choice_is_scoped_and_nests() -> None:
    """Seen from outside: inside use_backend('numba') complex numbers are refused, everywhere else they compute."""
    layer, input = elman.RNN(3, 4, dtype=torch.complex64), torch.ones(2, 1, 3, dtype=torch.complex64)

    def refused() -> bool:
        try:
            layer(input)
        except (RuntimeError, ValueError, TypeError) as error:
            return "numba" in str(error)
        return False

    assert not refused()
    with elman.use_backend("numba"):
        assert refused()
        with elman.use_backend("torch"):
            assert not refused()
        assert refused()
        other: list[bool] = []
        thread = threading.Thread(target=lambda: other.append(refused()))
        thread.start()
        thread.join()
        assert other == [False], "another thread keeps its own choice"
    assert not refused()
    with pytest.raises(KeyError), elman.use_backend("numba"):
        raise KeyError
    assert not refused()


def test_backward_runs_where_the_forward_ran() -> None:
    """The choice is made at the call: a backward outside the scope still gives the same gradients."""
    case = CASES[0]
    layer, input = case.layer(elman.RNN), case.input()
    expected = torch.autograd.grad(layer(input)[0].square().sum(), input)
    for name in ("reference", "torch"):
        with elman.use_backend(name):
            loss = layer(input)[0].square().sum()
        torch.testing.assert_close(torch.autograd.grad(loss, input), expected)


def test_large_layers_may_be_given_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a variable, for processors on which torch's products are the faster ones."""
    kept = table._torch_from, table._own, usual._before  # calls that looked so in tests before

    def forget() -> None:
        for function in kept:
            function.cache_clear()

    monkeypatch.setenv("ELMAN_TORCH_FROM", "8")
    forget()
    try:
        took = {}
        for hidden in (7, 8):
            layer = elman.RNN(3, hidden)
            for _ in range(2):
                output, _ = layer(torch.ones(4, 2, 3))
            took[hidden] = type(output.grad_fn).__name__
        assert "Layer" in took[7]
        assert "Layer" not in took[8]
        with elman.use_backend("numba"):
            assert "Layer" in type(layer(torch.ones(4, 2, 3))[0].grad_fn).__name__
        monkeypatch.setenv("ELMAN_TORCH_FROM", "many")
        forget()
        with pytest.raises(ValueError, match="ELMAN_TORCH_FROM is a hidden size, such as 512, not many"):
            layer(torch.ones(5, 2, 3))
    finally:
        forget()
