"""Interpolants X_t = a(t) X0 + b(t) X1, with a(0) = b(1) = 1 and a(1) = b(0) = 0."""

from __future__ import annotations

from recouple._core import Interpolant

LINEAR = Interpolant.linear
"""a = 1 - t, b = t: straight paths at constant velocity, the convention of flow matching."""

TRIGONOMETRIC = Interpolant.trigonometric
"""a = cos(pi t / 2), b = sin(pi t / 2): keeps a^2 + b^2 = 1 (variance preserving)."""

__all__ = ["LINEAR", "TRIGONOMETRIC", "Interpolant"]
