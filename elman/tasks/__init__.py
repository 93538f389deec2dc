"""Jobs that need data, a model, a measure and hours of patience: one training loop and one kind of run folder for all.

Importing this package imports no torch, so that the command line can show its help at once.
"""
