"""Any module, any kind of result, any dtype, NaN and infinity."""

import pytest
import torch
from doctor_models import C, H, I, Last, N, T, Tagger
from torch import Tensor, nn

import elman


def test_nan_and_infinity(x: Tensor) -> None:
    report = elman.doctor(elman.RNN(I, H, batch_first=True), torch.full_like(x, torch.nan))
    assert report.codes == ("input-not-finite",)
    model = Tagger(nn.GRU, batch_first=True)
    with torch.no_grad():
        model.fc.weight[0, 0] = torch.nan
    report = elman.doctor(model, x)
    assert (report.codes[0], report.findings[0].where) == ("nan", "fc")


def test_missing_values_that_the_model_masks_are_right(x: Tensor) -> None:
    class Masking(Tagger):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.nan_to_num(0))

    missing = x.masked_fill(torch.rand(N, T, 1) < 0.3, torch.nan)
    elman.doctor(Masking(nn.GRU, batch_first=True), missing).raise_if_bad()
    assert elman.doctor(Masking(nn.GRU), missing).codes == ("batch-mixed",)


def test_the_default_device_is_the_models_alone(x: Tensor) -> None:
    """Where new tensors go by default (a GPU; here where there are no numbers) the doctor's own do not go."""
    seen = set()

    class Making(Tagger):
        def forward(self, x: Tensor) -> Tensor:
            seen.add(torch.get_default_device().type)
            return super().forward(x)

    model = Making(nn.GRU)
    expected = elman.doctor(model, x)
    seen.clear()
    with torch.device("meta"):
        found = elman.doctor(model, x)
    assert found.codes == expected.codes == ("batch-mixed",)
    assert seen == {"meta"}


@pytest.mark.filterwarnings("ignore")  # torch's own compiler warns of what it does
def test_compiled_models_are_looked_into(x: Tensor) -> None:
    """Hooks that are registered after compiling would be passed over."""
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> object:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(Last("nn.GRU", bidirectional=True), backend=backend)
    compiled(x)
    count = len(graphs)
    assert count
    assert elman.doctor(compiled, x).codes == ("two-direction-last-step",)
    assert elman.doctor(nn.Sequential(compiled, nn.Linear(C, 2)), x).codes == ("two-direction-last-step",)
    compiled(x)
    assert len(graphs) == count  # nor is anything compiled anew


def test_other_models_than_recurrent_ones() -> None:
    images = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    elman.doctor(images, torch.randn(4, 3, 9, 9)).raise_if_bad()
    elman.doctor(nn.Sequential(nn.Linear(9, 20), nn.Tanh(), nn.Linear(20, 3)), torch.randn(16, 9)).raise_if_bad()


class Returning(Tagger):
    """Whatever `make` makes of the logits."""

    def __init__(self, make, **options: object) -> None:
        super().__init__(nn.GRU, **options)
        self.make = make

    def forward(self, x: Tensor) -> object:
        return self.make(super().forward(x))


@pytest.mark.parametrize(
    "make",
    [
        lambda y: {"loss": y.square().mean(), "logits": y, "note": "text", "nothing": None},
        lambda y: [y, (y.argmax(-1), {"deep": y.sum((1, 2))})],
        lambda y: torch.nn.utils.rnn.pack_padded_sequence(y, [T] * N, batch_first=True),
        lambda y: y.argmax(-1),
        lambda y: y > 0,
        lambda y: torch.complex(y, y),
    ],
    ids=["dict", "nested", "packed", "ids", "bool", "complex"],
)
def test_any_kind_of_result(make, x: Tensor) -> None:
    elman.doctor(Returning(make, batch_first=True), x).raise_if_bad()
    assert elman.doctor(Returning(make), x).codes == ("batch-mixed",)


def test_a_loss_alone_says_nothing_of_samples(x: Tensor) -> None:
    elman.doctor(Returning(lambda y: y.square().mean(), batch_first=True), x).raise_if_bad()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("cls", [nn.GRU, elman.RNN])
def test_other_dtypes(cls: type[nn.Module], dtype: torch.dtype, x: Tensor) -> None:
    elman.doctor(cls(I, H, batch_first=True, dtype=dtype), x.to(dtype)).raise_if_bad()
    assert elman.doctor(cls(I, H, dtype=dtype), x.to(dtype)).codes == ("batch-mixed",)
