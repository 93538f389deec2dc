"""The edges: no steps, no sequences, NaN and infinity, odd memory layouts, meta tensors."""

import pytest
import torch
from cases import CASES, EVERY_CELL, Case, assert_same, gated, run

import elman
from elman.kernels.numba_cpu.threads import team

without_torchs_refusal = pytest.mark.parametrize("backend", ["reference", "numba"], indirect=True)


@without_torchs_refusal
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_no_steps_give_no_output_and_keep_the_state(batch_first: bool, bidirectional: bool, backend: str) -> None:
    """torch refuses T = 0; the recurrence says h_n = h_0."""
    layer = elman.RNN(3, 5, 2, batch_first=batch_first, bidirectional=bidirectional)
    D = 2 if bidirectional else 1
    input = torch.randn((4, 0, 3) if batch_first else (0, 4, 3), requires_grad=True)
    h0 = torch.randn(2 * D, 4, 5, requires_grad=True)
    output, h_n = layer(input, h0)
    assert output.shape == ((4, 0, 5 * D) if batch_first else (0, 4, 5 * D))
    assert torch.equal(h_n, h0)
    weights = torch.randn_like(h_n)
    (output.sum() + (h_n * weights).sum()).backward()
    torch.testing.assert_close(h0.grad, weights)
    assert all(p.grad is None or not p.grad.any() for p in layer.parameters())
    assert not layer(input)[1].any()


@without_torchs_refusal
def test_no_steps_unbatched(backend: str) -> None:
    output, h_n = elman.RNN(3, 5)(torch.randn(0, 3))
    assert output.shape == (0, 5)
    assert torch.equal(h_n, torch.zeros(1, 5))


@without_torchs_refusal
def test_neither_steps_nor_sequences(backend: str) -> None:
    output, h_n = elman.RNN(3, 5)(torch.randn(0, 0, 3))
    assert output.shape == (0, 0, 5)
    assert h_n.shape == (1, 0, 5)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_nan_and_infinity_pass_as_in_torch(dtype: torch.dtype, value: float, nonlinearity: str, backend: str) -> None:
    """In the input, in h_0 or in a weight: the same cells become NaN or saturate, and the rest stay as they were."""
    for place in ("input", "h0", "weight_hh_l1"):
        results = []
        for cls in (elman.RNN, torch.nn.RNN):
            torch.manual_seed(1)
            layer = cls(3, 9, 2, nonlinearity=nonlinearity, dtype=dtype)
            input, h0 = torch.randn(6, 5, 3, dtype=dtype), torch.randn(2, 5, 9, dtype=dtype)
            tensors = {"input": input, "h0": h0, "weight_hh_l1": layer.weight_hh_l1}
            with torch.no_grad():
                tensors[place].view(-1)[4] = value
                output, h_n = layer(input, h0)
            results.append({"output": output, "h_n": h_n})
        assert_same(*results)


def test_nan_in_one_sequence_stays_there(backend: str) -> None:
    case = CASES[9]
    input = case.input().detach()
    layer = case.layer(elman.RNN)
    clean, _ = layer(input)
    input[2, 31] = float("nan")
    output, _ = layer(input)
    assert output[2:, 31].isnan().all()
    output[2:, 31] = clean[2:, 31]
    torch.testing.assert_close(output, clean)


def test_large_values_saturate_exactly(backend: str) -> None:
    for dtype in (torch.float32, torch.float64):
        layer = elman.RNN(1, 8, dtype=dtype)
        with torch.no_grad():
            layer.weight_ih_l0.fill_(1.0)
            output, _ = layer(torch.tensor([1e4, -1e4, 3e38, -3e38], dtype=dtype).view(1, 4, 1))
        expected = torch.tensor([1.0, -1, 1, -1], dtype=dtype).view(1, 4, 1).expand(1, 4, 8)
        torch.testing.assert_close(output, expected, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_tanh_is_torchs_everywhere(dtype: torch.dtype, backend: str) -> None:
    """A layer that is only its nonlinearity, over the whole range: subnormal, tiny, ordinary, saturated."""
    layer = elman.RNN(1, 1, dtype=dtype, bias=False)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1)
        layer.weight_hh_l0.fill_(0)
    exponents = torch.linspace(-44, 2, 20001, dtype=torch.float64)
    points = torch.cat([10**exponents, -(10**exponents), torch.zeros(1, dtype=torch.float64)]).to(dtype)
    with torch.no_grad():
        output, _ = layer(points.view(1, -1, 1))
    expected = points.double().tanh()
    torch.testing.assert_close(output.flatten().double(), expected, rtol=4 * torch.finfo(dtype).eps, atol=1e-40)
    assert (output.flatten().abs() <= 1).all()
    assert torch.equal(output.flatten().sign(), points.sign()), "tanh keeps the sign, zero included"


def test_memory_layout_does_not_matter(backend: str) -> None:
    """Slices, transposes and expanded tensors read as their contiguous copies."""
    case = CASES[0]
    layer = case.layer(elman.RNN)
    whole = torch.randn(3, 10, 20, 5)
    views = [
        whole.permute(3, 0, 2, 1)[:, :, 4],
        torch.randn(10, 3, 10)[::2],
        torch.randn(5, 6, 10)[:, ::2],
        torch.randn(5, 3, 20)[..., ::2],
        torch.randn(5, 1, 10).expand(5, 3, 10),
        torch.randn(1).expand(5, 3, 10),
        torch.randn(5 * 3 * 10 + 1)[1:].view(5, 3, 10),
    ]
    states = [
        torch.randn(3, 20, 2).permute(2, 0, 1),
        torch.randn(2, 1, 20).expand(2, 3, 20),
        torch.randn(4, 3, 40)[::2, :, ::2],
    ]
    for input in views:
        for h0 in states:
            input, h0 = input.requires_grad_(), h0.requires_grad_()
            copies = [t.detach().clone(memory_format=torch.contiguous_format).requires_grad_() for t in (input, h0)]
            assert_same(run(layer, input, h0), run(layer, *copies))


@pytest.mark.parametrize("case", EVERY_CELL, ids=lambda case: case.id)
def test_zeros_without_memory_are_zeros(case: Case, backend: str) -> None:
    """Such as autograd makes: as an input whose axes are turned, they have strides and nothing that lies in them."""
    results = []
    for zeros in (torch.zeros, torch._efficientzerotensor):
        input = case.input()
        input.data = zeros(input.shape)
        results.append(run(case.layer(elman), input, case.hx()))
    assert_same(*results)


def test_output_is_laid_out_as_torchs() -> None:
    """Code after the layer may call .view on its output."""
    for case in CASES[:1] + CASES[10:11]:
        ours, theirs = (case.layer(cls)(case.input(), case.h0()) for cls in (elman.RNN, torch.nn.RNN))
        assert [t.is_contiguous() for t in ours] == [t.is_contiguous() for t in theirs]


def test_meta_tensors_give_shapes() -> None:
    for cls in (torch.nn.RNN, elman.RNN):
        layer = cls(10, 20, 2, bidirectional=True, device="meta")
        output, h_n = layer(torch.empty(5, 3, 10, device="meta"))
        assert output.is_meta
        assert (output.shape, h_n.shape) == ((5, 3, 40), (4, 3, 20))


def test_a_row_is_the_same_in_any_batch() -> None:
    """The recurrent part of a row does not depend on which rows share the call."""
    case = CASES[9]
    layer, input = case.layer(elman.RNN).double(), case.input().detach().double()
    whole, _ = layer(input)
    for rows in (slice(0, 1), slice(31, 34), slice(5, 66)):
        part, _ = layer(input[:, rows])
        torch.testing.assert_close(part, whole[:, rows])


@pytest.mark.parametrize("case", [CASES[17], *gated(CASES[17])], ids=lambda case: case.id)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_thread_count_changes_nothing(threads: int, case: Case, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "_TEAM_WORK", 0)
    layer, input, hx = case.layer(elman), case.input(), case.hx()
    expected = run(case.layer(torch.nn), input, hx)
    torch.set_num_threads(threads)
    assert_same(run(layer, input, hx), expected)
    assert torch.get_num_threads() == threads, "the layer reads torch's thread count and never sets it"
