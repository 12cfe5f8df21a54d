"""A plan held against the moments of X_t alone, which owe nothing to its reference or its grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recouple.inverse.errorbar import ErrorBar
from recouple.inverse.moment import MixedMoments

POWERS = {"E[X0 X1]": (1, 1), "E[X0^2 X1]": (2, 1), "E[X0 X1^2]": (1, 2)}
FAR = 3.0  # error bars by which grid and moments may differ without a word
APART = 1e-3  # correlation by which they always may


def said_by(moments: MixedMoments) -> dict[str, float]:
    """Return the correlation and the mixed moments that error bars are given for, by name."""
    said = {"correlation": moments.correlation}
    order = len(moments.condition) - 1
    return said | {k: float(moments.value[p]) for k, p in POWERS.items() if sum(p) <= order}


def reaching(
    bars: dict[str, ErrorBar], said: dict[str, float], allowed: dict[str, float] | None = None
) -> dict[str, ErrorBar]:
    """Return error bars that reach what the moments say, but for what these may be off themselves.

    Where both differ one of them is wrong.
    """
    found = dict(bars)
    for name, value in said.items():
        gap = abs(float(bars[name].value) - value) - (allowed or {}).get(name, 0.0)
        if gap > 0:  # and a number
            found[name] = replace(bars[name], error=float(np.hypot(bars[name].error, gap)))
    return found


def finding(correlation: float, bar: ErrorBar) -> list[str]:
    """Return what the moments of X_t alone say of the correlation, a line if anything."""
    if np.isnan(correlation):
        return []
    words, gap = "", abs(correlation - bar.value)
    if abs(correlation) > 1:
        words = ": impossible, the field and the laws do not go together"
    elif gap > max(FAR * bar.error, APART):
        words = (
            f", {gap:.2g} from the plan's: the grid, or the regularisation, loses something, and "
            "the error bars include it"
        )
    return [f"correlation {correlation:.5g} by the moments of X_t alone{words}"]
