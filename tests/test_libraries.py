"""Libraries that train the layer, or build it themselves: 240 MB, in the extra `ecosystem`; skipped without them."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import elman

lightning = pytest.importorskip("lightning")
darts = pytest.importorskip("darts")
# the libraries' own
pytestmark = pytest.mark.filterwarnings("ignore")

QUIET = dict(
    accelerator="cpu",
    enable_progress_bar=False,
    enable_checkpointing=False,
    enable_model_summary=False,
    logger=False,
)


def test_lightning_trains_it_as_torchs() -> None:
    class Tagger(lightning.LightningModule):
        def __init__(self, cls: type) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.rnn = cls(3, 8, batch_first=True)

        def training_step(self, batch: list[Tensor]) -> Tensor:
            return (self.rnn(batch[0])[0] - 0.3).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), 0.01)

    torch.manual_seed(1)
    data = torch.utils.data.TensorDataset(torch.randn(16, 7, 3))
    ends = []
    for cls in (elman.RNN, nn.RNN):
        model = Tagger(cls)
        trainer = lightning.Trainer(max_epochs=3, **QUIET)
        trainer.fit(model, torch.utils.data.DataLoader(data, batch_size=4))
        ends.append(model.rnn.state_dict())
    torch.testing.assert_close(dict(ends[0]), dict(ends[1]))


def test_patch_reaches_the_layer_that_darts_builds() -> None:
    """darts' RNNModel calls nn.RNN itself; under patch() it is elman's, and forecasts the same numbers."""
    from darts import TimeSeries
    from darts.models import RNNModel

    series = TimeSeries.from_values(np.sin(np.arange(80) / 5).astype("float32"))

    def forecast() -> np.ndarray:
        torch.manual_seed(0)
        model = RNNModel(12, "RNN", 8, training_length=20, n_epochs=2, random_state=0, pl_trainer_kwargs=QUIET)
        model.fit(series)
        return model.predict(5).values().ravel()

    with elman.patch() as built:
        ours = forecast()
    assert [type(layer) for layer in built] == [elman.RNN]
    np.testing.assert_allclose(ours, forecast(), rtol=1e-4)
