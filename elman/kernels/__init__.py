from elman import _needs as _needs
