"""LeakyRNN beside the equations of its docstring, written as a loop over time in torch."""

from typing import Any

import drawn
import pytest
import torch
from leaky_loop import FUNCTIONS, loop
from torch import Tensor
from torch.func import functional_call, grad, jvp, vmap
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import elman

FORMS = ("activation", "potential")


def made(form: str, function: str = "tanh", layers: int = 2, learn: bool = False, **more: Any) -> elman.LeakyRNN:
    """Both directions, H = 5, a leak for each unit, float64."""
    torch.manual_seed(1)
    leak = torch.rand(2 * layers, 5, dtype=torch.float64) * 0.8 + 0.1
    sizes = {"nonlinearity": function, "bidirectional": True, "dtype": torch.float64}
    return elman.LeakyRNN(3, 5, layers, **sizes, form=form, leak=leak, learn_leak=learn, **more)


def inputs(T: int = 6, N: int = 4, places: int = 4) -> tuple[Tensor, ...]:
    """x, the states before the first step, a leak and a drive, that ask for gradients."""
    torch.manual_seed(2)
    shapes = (T, N, 3), (places, N, 5), (T, N, 5)
    x, start, drive = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes)
    return x, start, torch.rand(T, N, 5, dtype=torch.float64, requires_grad=True), drive


def same(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor], wanted: list[Tensor]) -> None:
    """Values, and gradients of everything wanted."""
    torch.testing.assert_close(found, expected)
    above = [torch.randn_like(y) for y in found]
    pairs = [torch.autograd.grad(y, wanted, above, materialize_grads=True) for y in (found, expected)]
    torch.testing.assert_close(*pairs)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_values_and_gradients_are_those_of_the_equation(form: str, function: str) -> None:
    layer = made(form, function, learn=True)
    x, start, _, drive = inputs()
    same(layer(x, start, drive=drive), loop(layer, x, start, drive=drive), [x, start, drive, *layer.parameters()])


@pytest.mark.parametrize("form", FORMS)
def test_lengths_and_resets_with_a_leak_of_every_step(form: str) -> None:
    layer = made(form, "softplus")
    x, start, leak, drive = inputs()
    lengths, reset = torch.tensor([6, 0, 3, 1]), torch.rand(6, 4) < 0.4
    past = torch.arange(6).unsqueeze(1) >= lengths
    terms = {"leak": leak, "drive": drive}
    spoilt = {name: term.masked_fill(past.unsqueeze(-1), torch.nan) for name, term in terms.items()}
    found = layer(x.masked_fill(past.unsqueeze(-1), torch.nan), start, lengths=lengths, reset=reset, **spoilt)
    expected = loop(layer, x, start, lengths, reset, **terms)
    same(found, expected, [x, start, leak, drive, *layer.parameters()])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("function", ["tanh", "sigmoid"])
def test_no_state_given_is_zero(form: str, function: str) -> None:
    layer = made(form, function)
    x, start, _, _ = inputs()
    same(layer(x), loop(layer, x, torch.zeros_like(start)), [x, *layer.parameters()])


@pytest.mark.parametrize("form", FORMS)
def test_the_axes_of_leak_and_drive(form: str) -> None:
    """Everything that broadcasts, batch first, one sequence, a direction at a time."""
    layer = made(form)
    x, start, leak, drive = (t.detach() for t in inputs())
    for shape in ((), (5,), (4, 1), (6, 1, 1), (6, 4, 1), (1, 4, 5)):
        some = {"leak": torch.rand(shape, dtype=torch.float64), "drive": torch.randn(shape, dtype=torch.float64)}
        whole = {name: term.expand(6, 4, 5) for name, term in some.items()}
        torch.testing.assert_close(layer(x, start, **some), layer(x, start, **whole))
    terms = {"leak": leak, "drive": drive}
    output, last = layer(x, start, **terms)
    places = {name: term.expand(4, 6, 4, 5) for name, term in terms.items()}
    torch.testing.assert_close(layer(x, start, **places), (output, last))
    one = {name: term[:, 1] for name, term in terms.items()}
    torch.testing.assert_close(layer(x[:, 1], start[:, 1], **one), (output[:, 1], last[:, 1]))
    layer.batch_first = True
    turned = {name: term.transpose(0, 1) for name, term in terms.items()}
    torch.testing.assert_close(layer(x.transpose(0, 1), start, **turned), (output.transpose(0, 1), last))
    for wrong in (torch.rand(5, 4, dtype=torch.float64), torch.rand(6, 4, 5, dtype=torch.float64)):
        with pytest.raises(ValueError, match=r"should broadcast to \(batch 4, time 6, hidden_size 5\)"):
            layer(x.transpose(0, 1), leak=wrong)


@pytest.mark.parametrize("form", FORMS)
def test_packed_rows(form: str) -> None:
    layer = made(form, learn=True)
    x, start, _, _ = inputs()
    lengths = torch.tensor([6, 5, 2, 1])
    packed, last = layer(pack_padded_sequence(x, lengths), start)
    found = pad_packed_sequence(packed)[0], last
    same(found, layer(x, start, lengths=lengths), [x, start, *layer.parameters()])
    with pytest.raises(ValueError, match="A PackedSequence takes no drive="):
        layer(pack_padded_sequence(x, lengths), drive=1.0)


def test_with_a_leak_of_one_it_is_the_elman_layer_to_the_last_bit() -> None:
    torch.manual_seed(0)
    leaky = elman.LeakyRNN(3, 17, 2, leak=1.0, bidirectional=True)
    rnn = elman.RNN(3, 17, 2, bidirectional=True)
    rnn.load_state_dict(leaky.state_dict())
    x, start = torch.randn(20, 5, 3, requires_grad=True), torch.randn(4, 5, 17, requires_grad=True)
    lengths = torch.tensor([20, 3, 0, 7, 19])
    results = []
    for layer in (leaky, rnn):
        output, last = layer(x, start, lengths=lengths)
        wanted = [x, start, *layer.parameters()]
        results.append((output, last, *torch.autograd.grad((output.sin().sum(), last.sin().sum()), wanted)))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


RESERVOIR = {
    0.3: [
        [0.2148893610597073, -0.15015606335707057, -0.16111487009941056],
        [0.18425957118428726, 0.05064589494693564, -0.1012608479828487],
        [-0.04239067422247961, 0.10094420407523105, 0.11268903087453411],
        [-0.05762090995512546, 0.2522267040729645, 0.1966459473404536],
        [0.10799211433962101, 0.07181215332288388, 0.10244458466506959],
    ],
    (0.3, 0.8, 0.05): [
        [0.2148893610597073, -0.40041616895218823, -0.02685247834990176],
        [0.1422913275481717, 0.3507358593490264, -0.03107364992500103],
        [-0.05063835891331094, 0.23949226499389134, 0.00620246283756502],
        [-0.03726597879900431, 0.5189875918342346, 0.02894937817245315],
        [0.15501649396357797, -0.19180192702010432, 0.02950679137796841],
    ],
}
"""By leak, what reservoirpy.nodes.Reservoir(W, Win, bias, lr).run(u) of ReservoirPy 0.4.2 gave of the same numbers."""


@pytest.mark.parametrize("leak", RESERVOIR)
def test_states_are_those_of_reservoirpy(leak: float | tuple[float, ...]) -> None:
    layer = elman.LeakyRNN(2, 3, leak=leak, dtype=torch.float64)
    values = {
        "weight_hh_l0": [[0.0, 0.4, -0.3], [0.5, 0.0, 0.2], [-0.1, 0.6, 0.0]],
        "weight_ih_l0": [[0.7, -0.2], [0.1, 0.9], [-0.5, 0.3]],
        "bias_ih_l0": [0.1, -0.2, 0.05],
        "bias_hh_l0": [0.0, 0.0, 0.0],
    }
    given = {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}
    u = torch.tensor([[1.0, -0.5], [0.25, 0.75], [-1.0, 0.5], [0.0, 1.0], [0.5, -0.25]], dtype=torch.float64)
    output, _ = functional_call(layer, given, (u,))
    torch.testing.assert_close(output, torch.tensor(RESERVOIR[leak], dtype=torch.float64))


def test_a_small_leak_loses_no_digits() -> None:
    """dα = dh (f - h₋), where f is not taken back from the difference of states."""
    layer = elman.LeakyRNN(2, 3, leak=1e-6, learn_leak=True)
    x = torch.randn(4, 2, 2)
    (found,) = torch.autograd.grad(layer(x)[0].sum(), layer.leak_logit)
    double = elman.LeakyRNN(2, 3, leak=1e-6, learn_leak=True, dtype=torch.float64)
    double.load_state_dict(layer.state_dict())
    (expected,) = torch.autograd.grad(double(x.double())[0].sum(), double.leak_logit)
    torch.testing.assert_close(found, expected.float())


@pytest.mark.parametrize("form", FORMS)
def test_noise_is_a_drive_that_follows_the_seed(form: str) -> None:
    layer = made(form, noise=0.3, learn=True).eval()
    x, start, _, _ = inputs()
    torch.manual_seed(7)
    found = layer(x, start)
    torch.manual_seed(7)
    xi = drawn.normal(4, 6, 4, 5)
    scale = 0.3 * (2 / layer.leak).sqrt().view(4, 1, 1, 5) if form == "potential" else 0.3
    layer.noise = 0
    same(found, layer(x, start, drive=xi * scale), [x, start, *layer.parameters()])
    still = torch.rand(5, dtype=torch.float64).round()  # units that do not move have no noise
    layer.noise = 0.3
    output, _ = layer(x, start, leak=still)
    assert output.isfinite().all()
    layer.noise = 0
    assert torch.equal(layer(x)[0], layer(x)[0])


@pytest.mark.parametrize("form", FORMS)
def test_dropout_over_time(form: str) -> None:
    x, start, _, _ = inputs(places=1)
    sizes = {"form": form, "leak": 0.4, "dtype": torch.float64}
    layer = elman.LeakyRNN(3, 5, recurrent_dropout=0.4, **sizes)
    torch.manual_seed(7)
    found = layer(x, start)
    torch.manual_seed(7)
    masks = drawn.moves(1, 4, 5, rate=0.4) / 0.6
    same(found, loop(layer, x, start, recurrent=masks), [x, start, *layer.parameters()])
    layer.eval()
    same(layer(x, start), loop(layer, x, start), [x, start, *layer.parameters()])
    layer = elman.LeakyRNN(3, 5, zoneout=0.25, **sizes)
    torch.manual_seed(7)
    found = layer(x, start)
    torch.manual_seed(7)
    moves = drawn.moves(1, 6, 4, 5, rate=0.25)[0]
    assert 0 < moves.sum() < moves.numel()
    same(found, loop(layer, x, start, leak=0.4 * moves), [x, start, *layer.parameters()])
    layer.eval()
    expected = loop(layer, x, start, leak=torch.full((6, 4, 5), 0.3, dtype=torch.float64))
    same(layer(x, start), expected, [x, start, *layer.parameters()])


@pytest.mark.parametrize("form", FORMS)
def test_first_and_second_derivatives_are_those_of_differences(form: str) -> None:
    layer = made(form, "softplus", layers=1)
    x, start, leak, drive = inputs(T=3, N=2, places=2)

    def run(*given: Tensor) -> tuple[Tensor, Tensor]:
        return layer(given[0], given[1], leak=given[2], drive=given[3])

    assert torch.autograd.gradcheck(run, (x, start, leak, drive), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (x, start, leak, drive), fast_mode=True)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_of_each_sample_and_of_an_ensemble_of_leaks(form: str) -> None:
    layer = made(form, learn=True)
    x, _, _, drive = (t.detach() for t in inputs())
    weights = {name: p.detach() for name, p in layer.named_parameters()}

    def loss(weights: dict[str, Tensor], x: Tensor, drive: Tensor) -> Tensor:
        return functional_call(layer, weights, (x,), {"drive": drive})[0].sin().sum()

    found = vmap(grad(loss), (None, 1, 1))(weights, x.unsqueeze(2), drive.unsqueeze(2))
    alone = [grad(loss)(weights, x[:, i : i + 1], drive[:, i : i + 1]) for i in range(4)]
    torch.testing.assert_close(found, {name: torch.stack([one[name] for one in alone]) for name in weights})
    pairs = vmap(grad(loss), (None, 1, 1))(weights, x.unflatten(1, (2, 2)), drive.unflatten(1, (2, 2)))
    torch.testing.assert_close(pairs, {name: d.unflatten(0, (2, 2)).sum(1) for name, d in found.items()})

    def of_leak(leak: Tensor, x: Tensor) -> Tensor:
        return layer(x, leak=leak)[0].sin().sum()

    leaks = torch.rand(3, 5, dtype=torch.float64)
    expected = torch.stack([grad(of_leak)(leak, x) for leak in leaks])
    torch.testing.assert_close(vmap(grad(of_leak), (0, None))(leaks, x), expected)
    each = vmap(vmap(grad(of_leak), (None, 1)), (0, None))(leaks, x.unsqueeze(2))
    torch.testing.assert_close(each.sum(1), expected)
    _, tangent = jvp(lambda leak: of_leak(leak, x), (leaks[0],), (torch.ones_like(leaks[0]),))
    torch.testing.assert_close(tangent, expected[0].sum())


def test_noise_under_vmap_is_drawn_as_it_is_asked() -> None:
    layer = made("potential", noise=0.1)
    x = inputs()[0].detach()
    twice = torch.stack([x, x])
    different = vmap(lambda x: layer(x)[0], randomness="different")(twice)
    alike = vmap(lambda x: layer(x)[0], randomness="same")(twice)
    assert not torch.equal(different[0], different[1])
    assert torch.equal(alike[0], alike[1])


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_and_a_cell_step_as_the_layer_does(form: str) -> None:
    torch.manual_seed(3)
    layer = elman.LeakyRNN(3, 5, form=form, leak=0.3, nonlinearity="sigmoid", dtype=torch.float64)
    x, _, leak, drive = (t.detach() for t in inputs())
    output, last = layer(x, leak=leak, drive=drive)
    stream = elman.Stream(layer)
    steps = [stream(x_t, leak=a, drive=d) for x_t, a, d in zip(x, leak, drive, strict=True)]
    torch.testing.assert_close((torch.stack(steps), stream.state), (output, last))
    cell = elman.LeakyRNNCell(3, 5, form=form, leak=0.3, nonlinearity="sigmoid", dtype=torch.float64)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    state = None
    for x_t, a, d in zip(x, leak, drive, strict=True):
        state = cell(x_t, state, leak=a, drive=d)
    torch.testing.assert_close(state, last[0])
    torch.testing.assert_close(
        cell(x[0, 1], leak=leak[0, 1], drive=drive[0, 1]), layer(x[:1], leak=leak[:1], drive=drive[:1])[1][0, 1]
    )


def test_a_learned_leak_stays_above_0_and_at_most_1() -> None:
    layer = elman.LeakyRNN(3, 5, leak=0.2, learn_leak=True)
    torch.testing.assert_close(layer.leak, torch.full((1, 1), 0.2))
    for far in (-1e4, 1e4):
        torch.nn.init.constant_(layer.leak_logit, far)
        assert 0 < layer.leak.item() <= 1
    layer.reset_parameters()
    torch.testing.assert_close(layer.leak, torch.full((1, 1), 0.2))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"leak": 0.0}, "above 0"),
        ({"leak": 1.5}, "at most 1"),
        ({"leak": [0.1, 0.2]}, r"one for each unit, \(5,\)"),
        ({"leak": 1.0, "learn_leak": True}, "begin below"),
        ({"form": "state"}, "Unknown form"),
        ({"nonlinearity": "gelu"}, "Unknown nonlinearity"),
        ({"noise": -1}, "noise should be"),
        ({"zoneout": 1.5}, "zoneout should be"),
        ({"recurrent_dropout": "0.1"}, "recurrent_dropout should be"),
    ],
)
def test_bad_arguments_get_a_sentence(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        elman.LeakyRNN(3, 5, **arguments)


def test_a_state_whose_memory_was_freed_is_refused_in_both_forms() -> None:
    for form in ("activation", "potential"):
        layer = elman.LeakyRNN(3, 64, form=form)
        h_0 = torch.randn(1, 500, 64)
        h_0.untyped_storage().resize_(0)
        with pytest.raises(RuntimeError):
            layer(torch.randn(2, 500, 3), h_0)


@pytest.mark.parametrize("form", FORMS)
def test_compiled_whole_from_a_state_and_from_none(form: str) -> None:
    layer = elman.LeakyRNN(3, 5, form=form, nonlinearity="softplus")
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x, start = torch.randn(6, 4, 3), torch.randn(1, 4, 5)
    torch.testing.assert_close(compiled(x, start), layer(x, start))
    torch.testing.assert_close(compiled(x), layer(x))
