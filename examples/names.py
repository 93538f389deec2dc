"""Which nationality does a family name have? Train on the names that come along, and ask for some."""

import polars as pl

from elman.data import NAMES
from elman.tasks import LabelsClassifier

names = pl.read_csv(NAMES["names"])
model = LabelsClassifier(steps=1500).fit(names["name"].to_list(), names["nationality"].to_list())
for who, score in model.scores_.items():
    print(f"macro-F1 {score.macro_f1:.3f} on held-out names: {who}")
asked = ["Kowalczyk", "Ó Briain", "Mäkinen", "Rossi"]
for name, p in zip(asked, model.predict_proba(asked), strict=True):
    best = p.argsort()[::-1][:3]
    print(f"{name}: {', '.join(f'{model.classes_[k]} {p[k]:.0%}' for k in best)}")
