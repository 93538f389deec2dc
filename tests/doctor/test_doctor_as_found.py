"""The doctor leaves everything as it was: values, modes, gradients, attributes, hooks, the input, random numbers."""

import copy
import random
from collections import deque
from typing import Any

import numpy
import pytest
import torch
from doctor_models import KINDS, I, Normed, Stateful, StatefulByDesign, Tagger
from torch import Tensor, nn

import elman
from elman.explain.experiments.as_found import Snapshot


class Busy(Normed):
    """Writes into everything it has at every call: buffers, attributes, containers, helpers, parameters, its input."""

    def __init__(self, layer: type[nn.Module]) -> None:
        super().__init__(layer)
        self.embedding = nn.Embedding(3, I, max_norm=0.1)  # shrinks its rows in place when they are looked up
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("mean", torch.ones(I))
        self.count, self.seen, self.last = 0, [torch.ones(2)], {"x": torch.zeros(1)}
        self.recent: deque[int] = deque([1, 2], maxlen=3)
        self.names = {"a"}
        self.helper = Helper()
        self.fc.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.mean = x.detach().mean((0, 1))
        self.count += 1
        self.seen.append(x)
        self.seen[0].add_(1)
        self.last["x"] = x
        self.recent.append(self.count)
        self.names.add(str(self.count))
        self.helper.state.add_(1)
        self.helper.calls += 1
        self.rnn.dropout = 0.1
        if self.count > 1:
            self.new_attribute = torch.randn(3)
            self.norm.bias.requires_grad_(False)
            self.norm.bias.grad = None
            self.norm.weight.grad = torch.ones(I)
        with torch.no_grad():
            self.fc.weight.mul_(0.9)
        random.random()
        numpy.random.rand()
        torch.rand(3)
        row = self.embedding(torch.tensor([0]))
        return super().forward(x + row)


class Helper:
    def __init__(self) -> None:
        self.state, self.calls = torch.zeros(3), 0


def everything(model: nn.Module) -> dict[str, object]:
    """What a module holds, in a form that can be compared."""
    found: dict[str, object] = {}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            found[f"{name}.{key}"] = value if isinstance(value, nn.Module) else copy.deepcopy(value)
    return found


def assert_same(before: object, after: object, where: str = "") -> None:
    if isinstance(before, Tensor):
        torch.testing.assert_close(after, before, rtol=0, atol=0, equal_nan=True, msg=where)
        assert after.requires_grad == before.requires_grad, where
    elif isinstance(before, dict):
        assert list(before) == list(after), where
        for key in before:
            assert_same(before[key], after[key], f"{where}.{key}")
    elif isinstance(before, list | tuple | deque):
        assert len(before) == len(after), where
        for a, b in zip(before, after, strict=True):
            assert_same(a, b, where)
    elif isinstance(before, Helper):
        assert_same(vars(before), vars(after), where)
    elif not isinstance(before, nn.Module) and not callable(before):
        assert before == after or type(before).__name__ == "ReferenceType", where


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fails_at", [None, 1, 2, 9, 20])
def test_everything_is_left_as_found(kind: str, fails_at: int | None) -> None:
    """Also when the model raises, at its first call or later."""
    model = Busy(KINDS[kind])
    model.norm.eval()
    x = torch.randn(5, 7, I)
    model(x).sum().backward()
    calls = []

    def hook(module: nn.Module, args: object, output: Tensor) -> None:
        calls.append(1)
        if len(calls) == fails_at:
            raise RuntimeError("on purpose")

    handle = model.register_forward_hook(hook)
    gradients = {name: p.grad for name, p in model.named_parameters()}
    written = ("embedding.weight", "fc.weight")  # by the model itself, and by the doctor to undo it

    def identities() -> dict[str, tuple[int, ...]]:
        parameters = dict(model.named_parameters())
        return {n: (id(p), p.data_ptr(), p._version if n not in written else 0) for n, p in parameters.items()}

    found = identities()
    buffers = {name: id(b) for name, b in model.named_buffers()}
    before, before_gradients = everything(model), copy.deepcopy(gradients)
    original = x.clone()
    states = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    kept = model.seen, model.last, model.recent, model.helper
    if fails_at in (1, 2):  # the input as it is
        with pytest.raises(RuntimeError, match="on purpose"):
            elman.doctor(model, x)
    else:
        elman.doctor(model, x)
    assert len(calls) >= (fails_at or 10)
    assert_same(before, everything(model))
    assert (model.seen, model.last, model.recent, model.helper) == kept
    assert not hasattr(model, "new_attribute")
    assert found == identities()
    assert buffers == {name: id(b) for name, b in model.named_buffers()}
    assert all(p.grad is gradients[name] for name, p in model.named_parameters())
    assert_same(before_gradients, {name: p.grad for name, p in model.named_parameters()})
    assert torch.equal(x, original)
    assert random.getstate() == states[0]
    assert_same(list(states[1][1]), list(numpy.random.get_state()[1]))
    assert torch.equal(torch.get_rng_state(), states[2])
    assert list(model._forward_hooks) == [handle.id]
    assert all(not module._forward_hooks for module in model.modules() if module is not model)
    assert all(not module._forward_pre_hooks for module in model.modules())


def test_a_mode_set_part_by_part_comes_back() -> None:
    model = Normed(nn.GRU)
    model.train()
    model.norm.eval()
    model.rnn.eval()
    modes = {name: module.training for name, module in model.named_modules()}
    elman.doctor(model, torch.randn(5, 7, I))
    assert modes == {name: module.training for name, module in model.named_modules()}


def test_a_pending_backward_still_works() -> None:
    """A loss computed before the doctor came is differentiated after it left."""
    model = Normed(elman.RNN)
    x = torch.randn(5, 7, I)
    torch.manual_seed(3)
    expected = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    model.norm.reset_running_stats()
    torch.manual_seed(3)
    loss = model(x).square().sum()
    elman.doctor(model, x)
    for a, b in zip(torch.autograd.grad(loss, list(model.parameters())), expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("cls", [Stateful, StatefulByDesign])
def test_the_carried_state_itself_comes_back(cls: type[Stateful]) -> None:
    model = cls(nn.GRU)
    x = torch.randn(5, 7, I)
    model(x)
    state, values = model.state, model.state.clone()
    elman.doctor(model, x)
    assert model.state is state
    assert torch.equal(state, values)
    assert elman.doctor(model, x).codes == elman.doctor(cls(nn.GRU), x).codes


def test_modes_of_torch_are_left_and_do_not_disturb() -> None:
    model, x = Tagger(elman.RNN), torch.randn(5, 7, I)
    with torch.no_grad():
        assert elman.doctor(model, x).codes == ("batch-mixed",)
        assert not torch.is_grad_enabled()
    right_model = Tagger(nn.GRU, batch_first=True)
    with torch.inference_mode():
        right = elman.doctor(right_model, torch.randn(5, 7, I))
        right.raise_if_bad()
        assert {"gradient for every parameter", "gradients over the sequence"} <= set(right.checked)
        assert elman.doctor(model, x).codes == ("batch-mixed",)
        assert torch.is_inference_mode_enabled()


def test_no_memory_of_the_doctor_in_the_results() -> None:
    """A twin that the doctor never saw goes on with the same numbers, in training with dropout."""
    torch.manual_seed(5)
    seen = Normed(elman.RNN)
    twin = copy.deepcopy(seen)
    x = torch.randn(5, 7, I)
    elman.doctor(seen, x)
    for model in (seen, twin):
        torch.manual_seed(6)
        model.result = [model(x) for _ in range(3)]
    torch.testing.assert_close(seen.result, twin.result, rtol=0, atol=0)
    assert_same(dict(seen.state_dict()), dict(twin.state_dict()))


def test_the_input_is_left_too() -> None:
    class InPlace(Tagger):
        def forward(self, x: Tensor, h0: Tensor) -> Tensor:
            h0.mul_(0.5)
            return self.fc(self.rnn(x.mul_(2).add_(1), h0)[0])

    x, h0 = torch.randn(5, 7, I), torch.randn(1, 5, 6)
    kept = x.clone(), h0.clone()
    report = elman.doctor(InPlace(nn.GRU, batch_first=True), (x, h0), lang="en")
    assert report.codes == ("input-written",)
    assert "`x.mul_(2)`" in report.findings[0].sentence
    assert torch.equal(x, kept[0])
    assert torch.equal(h0, kept[1])


def test_a_stream_inside_goes_on_where_it_was() -> None:
    class Online(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = elman.RNN(I, 6, 2)
            self.stream = elman.Stream(self.rnn)
            self.fc = nn.Linear(6, 2)

        def reset(self) -> None:
            self.stream.reset()

        def forward(self, x_t: Tensor) -> Tensor:
            return self.fc(self.stream(x_t))

    model, x = Online(), torch.randn(20, 5, I)
    expected = model.fc(model.rnn(x)[0])
    outputs = [model(x_t) for x_t in x[:10]]
    report = elman.doctor(model, x[10])
    assert [note.code for note in report.notes] == ["state-by-design"]
    assert report.codes == ("no-gradient",)  # a stream computes none
    outputs += [model(x_t) for x_t in x[10:]]
    torch.testing.assert_close(torch.stack(outputs), expected)


@pytest.mark.parametrize("depth", range(8))
def test_a_stream_is_put_back_however_deep_it_lies(depth: int) -> None:
    """Whatever it was told meanwhile."""
    model, x = nn.Module(), torch.randn(2, I)
    model.rnn = elman.GRU(I, 6)
    stream = elman.Stream(model.rnn)
    inside: Any = stream
    for _ in range(depth):  # of which six are followed
        inside = [inside]
    model.helper = inside
    for _ in range(4):
        stream(x)
    kept, state = Snapshot(model), stream.state
    with elman.use_backend("numba"):
        for _ in range(4):
            stream(x)
    found = depth < 7
    expected = model.rnn(x.unsqueeze(0).expand(3, -1, -1), state if found else stream.state)[0]
    kept.restore()
    torch.testing.assert_close(torch.stack([stream(x) for _ in range(3)]), expected)


def test_a_lazy_module_is_asked_to_be_called_first() -> None:
    with pytest.raises(ValueError, match="call it once before"):
        elman.doctor(nn.Sequential(nn.LazyLinear(3)), torch.randn(4, 5))


def test_generators_of_the_models_own_start_anew_for_every_run() -> None:
    class Noisy(Tagger):
        def __init__(self) -> None:
            super().__init__(nn.GRU, batch_first=True)
            self.generators = torch.Generator(), numpy.random.default_rng(0), random.Random(0)

        def forward(self, x: Tensor) -> Tensor:
            torchs, numpys, pythons = self.generators
            return super().forward(x) + torch.rand(1, generator=torchs) + numpys.random() + pythons.random()

    model, twin = Noisy(), Noisy()
    twin.load_state_dict(model.state_dict())
    x = torch.randn(5, 7, I)
    elman.doctor(model, x).raise_if_bad()
    torch.testing.assert_close(model(x), twin(x), rtol=0, atol=0)


def test_state_out_of_sight_is_named() -> None:
    class Noisy(Tagger):
        generator = torch.Generator()  # of the class, not of the module

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.randn(1, generator=self.generator)

    report = elman.doctor(Noisy(nn.GRU, batch_first=True), torch.randn(5, 7, I))
    assert report.codes == ("not-repeatable",)
    assert report.checked == ()
