"""RNN.from_weights: a layer from matrices on paper, and a published hand computation put right."""

import math

import numpy as np
import pytest
import torch

import elman

# A tutorial computes "i am here" by hand: one-hot words of three numbers, h = tanh(W_hx * x + W_hh * h + b) of two.
W_X3, W_H3 = [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], [[0.7, 0.8], [0.9, 1.0]]
# And then "i am here now", with words of four numbers.
W_X4, W_H4 = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]], [[0.9, 1.0], [1.1, 1.2]]
B = [0.1, 0.2]


def rounded(output: torch.Tensor) -> list[list[float]]:
    return [[round(v, 4) for v in state] for state in output.tolist()]


def test_i_am_here_as_published_has_a_product_that_does_not_exist() -> None:
    """W_hx is (3, 2): on the left of a vector it takes 2 numbers, and the word has 3. The message says what fits."""
    with pytest.raises(ValueError, match=r"W_x x fails: in the convention 'W x' W_x \(3, 2\) takes 2 numbers") as error:
        elman.RNN.from_weights(W_X3, W_H3, B, convention="W x")
    said = str(error.value)
    assert "gives 3, but W_h (2, 2) has a state of 2" in said
    assert "The transpose would fit: pass W_x.T for 3 numbers of input" in said
    assert "convention='x W'" in said


def test_i_am_here_by_hand() -> None:
    """The published states are [0.197, 0.378], then four numbers, then [0.802, 0.851]. Row by row, as x W, they are:"""
    rnn = elman.RNN.from_weights(W_X3, W_H3, B)
    output, h_n = rnn(torch.eye(3))
    a, b = math.tanh(0.1 + 0.1), math.tanh(0.2 + 0.2)
    states = [[a, b]]
    for x_a, x_b in ((0.3, 0.4), (0.5, 0.6)):
        a, b = math.tanh(x_a + 0.7 * a + 0.9 * b + 0.1), math.tanh(x_b + 0.8 * a + 1.0 * b + 0.2)
        states.append([a, b])
    np.testing.assert_allclose(output.tolist(), states, rtol=1e-6)
    assert rounded(output) == [[0.1974, 0.3799], [0.7065, 0.8137], [0.9495, 0.9747]]
    assert h_n.tolist() == output[-1:].tolist()


def test_i_am_here_with_the_transpose_on_the_left() -> None:
    """W_x.T fits W x, in another layer: W_hh is square, and read the other way round it changes the later states."""
    rnn = elman.RNN.from_weights(np.array(W_X3).T, W_H3, B, convention="W x")
    output, _ = rnn(torch.eye(3, dtype=torch.float64))
    a, b = math.tanh(0.2), math.tanh(0.4)
    states = [[a, b]]
    for x_a, x_b in ((0.3, 0.4), (0.5, 0.6)):
        a, b = math.tanh(x_a + 0.7 * a + 0.8 * b + 0.1), math.tanh(x_b + 0.9 * a + 1.0 * b + 0.2)
        states.append([a, b])
    np.testing.assert_allclose(output.tolist(), states, rtol=1e-14)
    assert rounded(output) == [[0.1974, 0.3799], [0.6869, 0.8203], [0.9399, 0.9775]]


def test_i_am_here_now_by_hand() -> None:
    """The published states have four numbers from the first step on; W_hx is (2, 4), and W x gives a column, two."""
    rnn = elman.RNN.from_weights(W_X4, W_H4, B, convention="W x", dtype=torch.float64)
    output, _ = rnn(torch.eye(4, dtype=torch.float64))
    a = b = 0.0
    states = []
    for x_a, x_b in ((0.1, 0.5), (0.2, 0.6), (0.3, 0.7), (0.4, 0.8)):
        a, b = math.tanh(x_a + 0.9 * a + 1.0 * b + 0.1), math.tanh(x_b + 1.1 * a + 1.2 * b + 0.2)
        states.append([a, b])
    np.testing.assert_allclose(output.tolist(), states, rtol=1e-14)
    assert rounded(output) == [[0.1974, 0.6044], [0.7939, 0.9405], [0.9677, 0.994], [0.9825, 0.997]]
    with pytest.raises(ValueError, match=r"x W_x fails.*takes 2 numbers and gives 4.*convention='W x'"):
        elman.RNN.from_weights(W_X4, W_H4, B)


@pytest.mark.parametrize("convention", ["x W", "W x"])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_formula_holds_in_both_conventions(convention: str, nonlinearity: str) -> None:
    W_x, W_h, b, b_h = (torch.randn(s, dtype=torch.float64) for s in ((3, 3), (3, 3), (3,), (3,)))
    rnn = elman.RNN.from_weights(W_x, W_h, b, b_h, convention=convention, nonlinearity=nonlinearity, batch_first=True)
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    output, _ = rnn(x)
    f, h = getattr(torch, nonlinearity), torch.zeros(2, 3, dtype=torch.float64)
    for t in range(5):
        if convention == "x W":
            h = f(x[:, t] @ W_x + h @ W_h + b + b_h)
        else:
            h = f((W_x @ x[:, t].T + W_h @ h.T).T + b + b_h)
        torch.testing.assert_close(output[:, t], h)


def test_parameters_are_copies_that_train() -> None:
    W_x, W_h = torch.randn(3, 2), torch.randn(2, 2)
    rnn = elman.RNN.from_weights(W_x, W_h)
    assert not rnn.bias
    kept = W_x.clone()
    rnn(torch.randn(4, 3))[0].sum().backward()
    assert all(p.requires_grad and p.grad is not None for p in rnn.parameters())
    with torch.no_grad():
        rnn.weight_ih_l0.zero_()
    assert torch.equal(W_x, kept)
    with_bias = elman.RNN.from_weights(W_x, W_h, [1, 2])
    assert with_bias.bias_ih_l0.tolist() == [1, 2]
    assert with_bias.bias_hh_l0.tolist() == [0, 0]
    assert elman.RNN.from_weights(W_x, W_h, b_h=[1, 2]).bias_hh_l0.tolist() == [1, 2]


def test_dtype_is_the_widest_given() -> None:
    for dtype, value in (
        (torch.float32, [[1, 2]]),
        (torch.float64, np.ones((1, 2))),
        (torch.float16, torch.ones(1, 2).half()),
    ):
        W_h = torch.ones(2, 2, dtype=torch.float16) if dtype == torch.float16 else [[1, 0], [0, 1]]
        assert elman.RNN.from_weights(value, W_h).weight_ih_l0.dtype == dtype
    assert elman.RNN.from_weights([[1.0]], [[1.0]], dtype=torch.float64).weight_hh_l0.dtype == torch.float64


def test_subclass_builds_itself() -> None:
    class Own(elman.RNN):
        pass

    assert type(Own.from_weights([[1.0]], [[1.0]])) is Own


def test_biases_may_be_rows_or_columns() -> None:
    for b in ([0.1, 0.2], [[0.1, 0.2]], [[0.1], [0.2]]):
        rnn = elman.RNN.from_weights(W_X3, W_H3, b)
        torch.testing.assert_close(rnn.bias_ih_l0.detach(), torch.tensor([0.1, 0.2]))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ([[1, 2, 3]], [[1, 2], [3, 4]]),
            r"x W_x fails: .* takes 1 number and gives 3, .* would not fit either: one side of",
        ),
        (([[1, 2]], [[1, 2]]), r"h W_h fails: W_h is \(1, 2\), so it takes 1 number and gives 2 numbers"),
        (([1, 2], [[1, 2], [3, 4]]), r"W_x should be a matrix of at least one row and column, got \(2,\)"),
        (([[1, 2]], [[1, 2], [3, 4]], [1, 2, 3]), r"b should have one number a hidden unit, \(2,\), got \(3,\)"),
        (([[1, 2]], [[1, 2], [3, 4]], None, [1]), r"b_h should have one number a hidden unit, \(2,\), got \(1,\)"),
        (([[1, 2], [3]], [[1, 2], [3, 4]]), "W_x is no array of real numbers"),
        (([["a"]], [[1]]), "W_x is no array of real numbers"),
        (([[1j]], [[1]]), "W_x is no array of real numbers"),
        ((torch.ones(1, 1).cfloat(), [[1]]), "W_x is complex"),
    ],
)
def test_what_does_not_fit_is_named(arguments: tuple, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        elman.RNN.from_weights(*arguments)


def test_unknown_convention_and_missing_matrix() -> None:
    with pytest.raises(ValueError, match="Unknown convention 'xW'"):
        elman.RNN.from_weights([[1]], [[1]], convention="xW")
    with pytest.raises(TypeError, match="W_h is None"):
        elman.RNN.from_weights([[1]], None)
