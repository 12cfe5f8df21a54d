"""Other frameworks: distances that torch and jax differentiate, fields from their files.

``recouple.interop.torch`` and ``recouple.interop.jax`` import their framework when a function of
theirs is called, and say what to install if it is not there.
"""

from recouple.interop import jax, torch

__all__ = ["jax", "torch"]
