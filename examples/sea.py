"""How warm will the sea off Peru be? Train on its temperatures, and forecast a year with an interval."""

import polars as pl

from elman.data import NAMES
from elman.tasks import SeriesForecaster

sea = pl.read_csv(NAMES["elnino"])
model = SeriesForecaster(horizon=12, season=12, steps=200).fit(sea["temperature"].to_numpy())
for who, errors in model.errors_.items():
    print(f"MASE {errors.mase.mean():.3f} on held-out months: {who}")
for month, (low, median, high) in enumerate(model.predict_interval(), 1):
    print(f"{month:2} months on: {median:.1f} degrees, between {low:.1f} and {high:.1f} four times out of five")
