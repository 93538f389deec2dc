"""convert, to_torch and patch: a layer changes its class and stays what it is otherwise."""

import contextlib
import copy
import io
import threading
from collections.abc import Iterator

import pytest
import torch
from cases import CASES, EVERY_CELL, Case, assert_same, run
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

import elman

DTYPE = torch.float64
SIX = ("RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell")


class Tagger(nn.Module):
    """An RNN and cells in all the places where models keep them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.RNN(3, 4, 2, batch_first=True, bidirectional=True, dropout=0.5, dtype=DTYPE)
        self.towers = nn.ModuleList([nn.Sequential(nn.Linear(8, 5, dtype=DTYPE), nn.RNN(5, 6, dtype=DTYPE))])
        self.cells = nn.ModuleDict({"relu": nn.RNNCell(6, 7, nonlinearity="relu", bias=False, dtype=DTYPE)})
        self.again = self.towers[0][1]

    def forward(self, input: Tensor) -> Tensor:
        h = self.towers[0](self.encoder(input)[0])[0]
        return torch.cat(
            [self.cells["relu"](h.mean(1)), self.again(torch.ones(2, 5, dtype=DTYPE))[0].flatten()[None]], 1
        )


def tagger() -> Tagger:
    torch.manual_seed(1)
    return Tagger()


def is_ours(module: nn.Module) -> bool:
    return isinstance(module, tuple(getattr(elman, name) for name in SIX))


def test_convert_changes_every_layer_and_no_number() -> None:
    model, before = tagger().eval(), tagger().eval()
    input = torch.randn(1, 6, 3, dtype=DTYPE)
    report = elman.convert(model)
    assert report.module is model
    assert report.converted == ["encoder", "towers.0.1", "cells.relu"]
    assert report.left == {}
    assert is_ours(model.encoder)
    assert is_ours(model.cells["relu"])
    assert model.again is model.towers[0][1]
    assert is_ours(model.again)
    assert repr(model).replace(", nonlinearity=relu", "") == repr(before).replace(", nonlinearity=relu", "")
    assert list(model.state_dict()) == list(before.state_dict())
    torch.testing.assert_close(model(input), before(input))


def test_dropout_goes_on_as_before() -> None:
    model, before = tagger(), tagger()
    elman.convert(model)
    results = []
    for each in (model, before):
        torch.manual_seed(3)
        results.append(each(torch.ones(1, 6, 3, dtype=DTYPE)))
    torch.testing.assert_close(*results)


def test_to_torch_goes_back() -> None:
    model, before = tagger(), tagger()
    elman.convert(model)
    report = elman.to_torch(model)
    assert report.converted == ["encoder", "towers.0.1", "cells.relu"]
    assert [type(m) for m in model.modules()] == [type(m) for m in before.modules()]
    with torch.no_grad():
        for each in (model, before):
            each.encoder.weight_hh_l0_reverse.mul_(2)
            each.encoder.weight_hh_l1 = nn.Parameter(each.encoder.weight_hh_l1 * 0.5)
    results = []
    for each in (model, before):
        torch.manual_seed(3)
        results.append(each(torch.ones(1, 6, 3, dtype=DTYPE)))
    torch.testing.assert_close(*results, msg="torch's flat weights are those of now")


def test_an_optimiser_built_before_keeps_working() -> None:
    ends = []
    for change in (False, True):
        model = tagger().eval()
        optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
        if change:
            elman.convert(model)
        for _ in range(3):
            optimiser.zero_grad()
            model(torch.ones(1, 6, 3, dtype=DTYPE)).square().sum().backward()
            optimiser.step()
        ends.append(model.state_dict())
    assert_same(ends[1], ends[0])


@pytest.mark.parametrize("case", [CASES[0], CASES[12], *EVERY_CELL], ids=lambda case: case.id)
def test_a_bare_layer_is_converted_in_place(case: Case) -> None:
    layer, theirs = case.layer(nn, DTYPE), case.layer(nn, DTYPE)
    alias, parameters = layer, [id(p) for p in layer.parameters()]
    assert elman.convert(layer).converted == [""]
    assert type(alias) is getattr(elman, case.cell)
    assert [id(p) for p in alias.parameters()] == parameters
    assert_same(run(layer, case.input(DTYPE), case.hx(DTYPE)), run(theirs, case.input(DTYPE), case.hx(DTYPE)))


def test_what_is_converted_is_an_elman_layer_in_every_respect() -> None:
    """Attributes, text, copies and pickles are those of a layer that elman built."""
    layer, built = nn.RNN(3, 4, 2, "relu"), elman.RNN(3, 4, 2, "relu")
    elman.convert(layer)
    assert vars(layer).keys() == vars(built).keys()
    assert repr(layer) == repr(built)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    for twin in (copy.deepcopy(layer), torch.load(file, weights_only=False)):
        assert isinstance(twin, elman.RNN)
        torch.testing.assert_close(twin(torch.ones(5, 2, 3)), layer(torch.ones(5, 2, 3)))
    with pytest.raises(ValueError, match=r"lengths\[1\] = 9"):
        layer(torch.ones(5, 2, 3), lengths=[1, 9])
    elman.to_torch(layer)
    assert vars(layer).keys() == vars(nn.RNN(3, 4, 2, "relu")).keys()


class Halved(nn.Module):
    def forward(self, w: Tensor) -> Tensor:
        return w / 2


def parametrized(layer: nn.Module) -> None:
    parametrize.register_parametrization(layer, "weight_hh_l0", Halved())
    parametrizations.weight_norm(layer, "weight_ih_l1")


def pruned(layer: nn.Module) -> None:
    prune.l1_unstructured(layer, "weight_hh_l0", amount=0.4)


def tied(layer: nn.Module) -> None:
    layer.weight_hh_l1 = layer.weight_hh_l0


@pytest.mark.parametrize("change", [parametrized, pruned, tied])
@pytest.mark.parametrize("way", ["there", "and back"])
@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_changed_weights_stay_changed(cell: str, change: object, way: str) -> None:
    case = CASES[0].of(cell)
    layers = [case.layer(nn, DTYPE) for _ in range(2)]
    for layer in layers:
        change(layer)
    assert elman.convert(layers[0]).converted == [""]
    if way == "and back":
        assert elman.to_torch(layers[0]).converted == [""]
        assert isinstance(layers[0], getattr(nn, cell))
    else:
        assert isinstance(layers[0], getattr(elman, cell))
    with torch.no_grad():
        for layer in layers:
            for parameter in layer.parameters():
                parameter.mul_(1.5)
    ours, theirs = (run(layer, case.input(DTYPE), case.hx(DTYPE)) for layer in layers)
    assert_same(ours, theirs)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_a_parametrized_layer_that_was_converted_is_copied(cell: str) -> None:
    layer, x = getattr(nn, cell)(3, 4, 2), torch.randn(5, 2, 3)
    parametrized(layer)
    elman.convert(layer)
    expected = layer(x)[0]
    twin = copy.deepcopy(layer)
    torch.testing.assert_close(twin(x)[0], expected)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.fill_(0.5)
    torch.testing.assert_close(layer(x)[0], expected)


def test_parametrizations_can_be_removed_and_added_after() -> None:
    layer, theirs = CASES[0].layer(nn.RNN, DTYPE), CASES[0].layer(nn.RNN, DTYPE)
    for each in (layer, theirs):
        parametrize.register_parametrization(each, "weight_hh_l0", Halved())
    elman.convert(layer)
    assert type(layer).__name__ == "ParametrizedRNN"
    for each in (layer, theirs):
        parametrize.register_parametrization(each, "weight_hh_l1", Halved())
    ours, expected = (run(each, CASES[0].input(DTYPE)) for each in (layer, theirs))
    assert_same(ours, expected)
    for name in ("weight_hh_l0", "weight_hh_l1"):
        parametrize.remove_parametrizations(layer, name)
    assert type(layer) is elman.RNN


def test_a_parametrized_linear_layer_is_none_of_ours() -> None:
    model = nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 3)))
    assert elman.convert(model) == (model, [], {})


def test_hooks_and_training_mode_are_kept() -> None:
    layer, seen = nn.RNN(3, 4).eval(), []
    layer.register_forward_hook(lambda module, args, result: seen.append(type(module)))
    layer.weight_hh_l0.register_hook(lambda gradient: seen.append("gradient"))
    elman.convert(layer)
    assert not layer.training
    layer(torch.ones(5, 2, 3))[0].sum().backward()
    assert seen == [elman.RNN, "gradient"]


class Own(nn.RNN):
    """A subclass with code of its own."""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        output, h_n = super().forward(input, hx)
        return output + 1, h_n


class OwnGRU(nn.GRU):
    pass


def test_others_are_left_alone_and_named() -> None:
    model = nn.ModuleDict(
        {
            "base": nn.RNNBase("GRU", 3, 4),
            "own": Own(3, 4),
            "gru": OwnGRU(3, 4),
            "rnn": nn.RNN(3, 4),
            "head": nn.Linear(4, 2),
            "done": elman.RNN(3, 4),
        }
    )
    classes = {name: type(m) for name, m in model.items()}
    report = elman.convert(model)
    assert report.converted == ["rnn"]
    assert report.left == {
        "base": "elman has no RNNBase",
        "own": "Own is a subclass of torch's RNN",
        "gru": "OwnGRU is a subclass of torch's GRU",
    }
    assert {name: type(m) for name, m in model.items()} == classes | {"rnn": elman.RNN}
    assert str(report) == (
        "1 converted: rnn. Left alone: base (elman has no RNNBase); own (Own is a subclass of torch's RNN); "
        "gru (OwnGRU is a subclass of torch's GRU)."
    )


class OwnElman(elman.RNN):
    pass


def test_to_torch_leaves_subclasses() -> None:
    model = nn.ModuleList([OwnElman(3, 4), elman.RNN(3, 4), nn.GRU(3, 4)])
    report = elman.to_torch(model)
    assert report.converted == ["1"]
    assert report.left == {"0": "OwnElman is a subclass of elman's RNN"}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_a_scripted_layer_is_left_and_named() -> None:
    report = elman.convert(nn.ModuleList([torch.jit.script(nn.RNN(3, 4)), torch.jit.script(nn.Linear(3, 4))]))
    assert report.converted == []
    assert report.left == {"0": "a scripted RNN is compiled"}


def test_no_module_raises() -> None:
    for change in (elman.convert, elman.to_torch):
        with pytest.raises(TypeError, match=r"torch.nn.Module, got list.*ModuleList"):
            change([nn.RNN(3, 4)])


def test_nothing_to_convert_says_so() -> None:
    assert str(elman.convert(nn.Linear(2, 2))) == "Nothing to convert."


@pytest.fixture
def unpatched() -> Iterator[None]:
    """After the test torch's constructors are torch's."""
    before = [getattr(nn, name).__init__ for name in SIX]
    yield
    assert [getattr(nn, name).__init__ for name in SIX] == before


def test_all_six_classes_go_there_and_back() -> None:
    """With their arguments, numbers and Parameters; a second time changes nothing."""
    model = nn.ModuleDict({name: getattr(nn, name)(3, 4, dtype=DTYPE) for name in SIX})
    model["deep"] = nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True, proj_size=2, dropout=0.5, dtype=DTYPE)
    before, kept = copy.deepcopy(model), [id(p) for p in model.parameters()]
    built = {name: type(m)(3, 4).__dict__.keys() for name, m in model.items() if name in SIX}
    assert elman.convert(model).converted == [*SIX, "deep"]
    assert [type(m) for m in model.values()] == [*(getattr(elman, name) for name in SIX), elman.LSTM]
    assert elman.convert(model) == (model, [], {})
    assert [id(p) for p in model.parameters()] == kept
    assert repr(model) == repr(before)
    for name in SIX:
        assert vars(model[name]).keys() == vars(getattr(elman, name)(3, 4)).keys()
    for turn in (elman.convert, elman.to_torch):
        turn(model)
        for name, module in model.items():
            torch.manual_seed(3)
            found = module(torch.ones(2, 3, dtype=DTYPE))
            torch.manual_seed(3)
            torch.testing.assert_close(found, before[name](torch.ones(2, 3, dtype=DTYPE)))
    assert [type(m) for m in model.values()] == [type(m) for m in before.values()]
    assert {name: vars(m).keys() for name, m in model.items() if name in SIX} == built


def test_patch_builds_all_six(unpatched: None) -> None:
    with elman.patch() as built:
        made = [getattr(nn, name)(3, 4) for name in SIX]
        projected = nn.LSTM(3, 4, proj_size=2)
    assert [type(module) for module in made] == [getattr(elman, name) for name in SIX]
    assert type(projected) is elman.LSTM
    assert built == [*made, projected]


def test_patch_builds_elmans_layers_with_torchs_numbers(unpatched: None) -> None:
    plain = tagger().eval()
    with elman.patch() as built:
        model = tagger().eval()
    assert built == [model.encoder, model.again, model.cells["relu"]]
    assert all(map(is_ours, built))
    assert not any(map(is_ours, tagger().modules())), "after the block torch builds its own"
    assert_same(model.state_dict(), plain.state_dict())
    input = torch.randn(1, 6, 3, dtype=DTYPE)
    torch.testing.assert_close(model(input), plain(input))


def test_patch_leaves_everything_else(unpatched: None) -> None:
    with elman.patch() as built:
        layers = [nn.Linear(3, 4), OwnGRU(3, 4), Own(3, 4), elman.RNN(3, 4), elman.LSTMCell(3, 4), elman.GRU(3, 4)]
        with pytest.raises(ValueError, match="proj_size"):
            nn.RNN(3, 4, proj_size=2)
    kinds = [nn.Linear, OwnGRU, Own, elman.RNN, elman.LSTMCell, elman.GRU]
    assert [type(layer) for layer in layers] == kinds
    assert built == []


def test_patch_nests_and_ends_with_an_exception(unpatched: None) -> None:
    with elman.patch() as outer:
        with contextlib.suppress(KeyError), elman.patch() as inner:
            nn.RNN(3, 4)
            raise KeyError
        nn.RNNCell(3, 4)
    assert [type(m) for m in inner] == [elman.RNN]
    assert [type(m) for m in outer] == [elman.RNNCell]
    assert type(nn.RNN(3, 4)) is nn.RNN


def test_patch_is_of_one_thread(unpatched: None) -> None:
    kinds = []
    with elman.patch():
        thread = threading.Thread(target=lambda: kinds.append(type(nn.RNN(3, 4))))
        thread.start()
        thread.join()
    assert kinds == [nn.RNN]


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("kind", ["layer", "cell"])
def test_torch_jit_script_takes_torchs_layer(kind: str, cell: str) -> None:
    """Inside a model, with the same Parameters. The layer's object stays elman's; torch takes it out of the model."""

    class Layer(nn.Module):
        def __init__(self, rnn: nn.Module) -> None:
            super().__init__()
            self.rnn = rnn

        def forward(self, x: Tensor) -> Tensor:
            return self.rnn(x)[0]

    rnn = getattr(elman, cell)(3, 4, 2) if kind == "layer" else getattr(elman, f"{cell}Cell")(3, 4)
    model, input = Layer(rnn), torch.randn(5, 2, 3) if kind == "layer" else torch.randn(2, 3)
    expected = model(input)
    scripted = torch.jit.script(model)
    torch.testing.assert_close(scripted(input), expected)
    with torch.no_grad():
        next(rnn.parameters()).mul_(2)
    assert is_ours(rnn)
    torch.testing.assert_close(scripted(input), Layer(rnn)(input), msg="the Parameters are shared")
    assert not torch.allclose(scripted(input), expected)
