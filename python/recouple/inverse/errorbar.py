"""Error bars of functionals of a recovered plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recouple.arguments import FloatArray, real_number
from recouple.marginal import Normal

DETERMINED = 0.5  # resolved fraction below which a value is the reference's more than the data's
SHOWN = 4  # columns, and half the rows, of an array that is shown in full


@dataclass(frozen=True)
class ErrorBar:
    """A functional of the recovered plan and how far to trust it.

    ``error`` is a standard error. It adds up, in squares, what the noise of the data moves, also
    through a reference fitted to them; what the rest of the regularisation's path would move, from
    its last steps; what another reference would have said; what the grid cuts off; and what the
    reference filled in, taken to be as far from the truth along a direction that the data do not
    resolve as it was along those they do.
    ``resolved`` is the part of the functional's variance under the plan that the data see, and
    ``unresolved`` the standard deviation of the rest. All three are NaN where nothing is known.
    Of several functionals at once all four are arrays; of a matrix, value and error.
    """

    value: Any  # a number, or an array of them (then ``error`` is one too)
    error: Any
    resolved: Any
    unresolved: Any

    def interval(self, level: float = 0.9) -> tuple[Any, Any]:
        """Return the interval that holds the truth with this probability."""
        level = real_number("level", level, minimum=0.0, maximum=1.0)
        reach = float(Normal(0.0, 1.0).ppf(0.5 + 0.5 * level)) * self.error
        return self.value - reach, self.value + reach

    def lines(self) -> list[str]:
        """Return the value as text, +- one standard error: of a small array each entry's.

        Of a larger one the norm, and the largest of the errors.
        """
        value = np.asarray(self.value, np.float64)
        if not value.ndim:
            return [str(self)]
        if value.ndim > 2 or value.shape[-1] > SHOWN or len(value) > 2 * SHOWN:
            return [f"norm {np.linalg.norm(value):.4g} of {self}"]
        rows = zip(np.atleast_2d(value), np.atleast_2d(self.error), strict=True)
        shown = [[_entry(float(v), float(e)) for v, e in zip(*row, strict=True)] for row in rows]
        width = max(len(entry) for row in shown for entry in row)
        return ["  ".join(entry.rjust(width) for entry in row) for row in shown]

    def __str__(self) -> str:
        if np.ndim(self.value):
            shape = " x ".join(map(str, np.shape(self.value)))
            return f"{shape} entries, each +- {np.max(self.error):.1g} or less"
        if np.isnan(self.error):
            return f"{self.value:.5g} (no error bar)"
        whose = ": more the reference's than the data's" if self.resolved < DETERMINED else ""
        return f"{_entry(self.value, self.error)} (resolved {self.resolved:.3f}{whose})"


def _entry(value: float, error: float) -> str:
    """Value and error, the value to the error's leading digit; alone where it is known."""
    if not np.isfinite(error):
        return f"{value:.4g} +- {error}"
    if not error > 0:
        return f"{value:.6g}"
    digits = -int(np.floor(np.log10(error)))
    shown = f"{round(value, digits) + 0.0:.{min(max(digits, 0), 15)}f}"
    return f"{shown} +- {error:.1g}"


def combine(
    rows: FloatArray,
    noise: FloatArray,
    means: Sequence[FloatArray],
    rival: FloatArray | float,
    cut: FloatArray,
    tilt: float,
) -> list[ErrorBar]:
    """Return error bars from rows (mean, -, resolved, variance) and the parts of the error.

    ``means``: at the last stage and up to two before it; the steps shrink by a ratio, and what is
    left of the path is their geometric series.
    """
    left = np.zeros(len(rows))
    if len(means) > 1:
        step = np.abs(means[0] - means[1])
        ratio = np.full(len(rows), 0.5)
        if len(means) > 2:
            before = np.abs(means[1] - means[2])
            ratio = np.clip(np.divide(step, before, out=ratio, where=before > 0), 0.5, 0.9)
        left = step * ratio / (1 - ratio)
    resolved = rows[:, 2]
    unresolved = np.sqrt(np.maximum(0.0, (1 - resolved) * rows[:, 3]))
    error = np.sqrt(noise**2 + left**2 + np.square(rival) + cut**2 + (tilt * unresolved) ** 2)
    return [
        ErrorBar(float(value), float(e), float(r), float(u))
        for value, e, r, u in zip(rows[:, 0], error, resolved, unresolved, strict=True)
    ]
