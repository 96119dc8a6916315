"""noisewise: speech models that still work in noise."""

__version__ = "0.1.0"
