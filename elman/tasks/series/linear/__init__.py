"""Forecasts that are linear in the last values: what a recurrent layer has to beat, and begins from."""
