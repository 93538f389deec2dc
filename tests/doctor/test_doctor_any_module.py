"""Any module, any kind of result, any dtype, NaN and infinity."""

import subprocess
import sys
from pathlib import Path

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


class Making(Tagger):
    """Makes tensors where its code says, and where torch makes them by default."""

    def forward(self, x: Tensor) -> Tensor:
        zeros = torch.zeros(x.shape[0], device="cuda").cuda().to("cuda:0") + torch.zeros(1).to("cuda", x.dtype).to(0)
        return super().forward(x.to(device="cuda")) + zeros.to(torch.device("cuda")).view(-1, 1, 1)


def test_the_cpu_stands_for_every_device_that_is_named(x: Tensor) -> None:
    """Where a model's code, or the default, is a GPU; here, where there is none, it is never asked for."""
    right, wrong = Making(nn.GRU, batch_first=True), Making(nn.GRU)
    with torch.device("meta"):
        elman.doctor(right, x).raise_if_bad()
        assert elman.doctor(wrong, x).codes == ("batch-mixed",)
        assert torch.zeros(1).is_meta


def test_a_model_on_another_device_is_examined_as_a_copy_on_the_cpu() -> None:
    """The device is torch's for backends in Python, made in a process of its own, which it changes for good."""
    pytest.importorskip("torch.utils.backend_registration")
    if not hasattr(torch.utils.backend_registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this torch has no backends in Python")
    program = Path(__file__).with_name("another_device.py")
    ended = subprocess.run([sys.executable, "-W", "ignore", program], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    *said, noted, unmoved, packed = ended.stdout.splitlines()
    assert said == ["batch-mixed", "fine", "fine", "not on there, as it is"]
    assert noted.startswith("not on cpu, elman.doctor examines a model of another device as a copy on the CPU")
    assert unmoved == packed == "fine"


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
