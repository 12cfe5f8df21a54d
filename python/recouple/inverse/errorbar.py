"""Error bars of functionals of a recovered plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recouple.arguments import real_number
from recouple.marginal import Normal

DETERMINED = 0.5  # resolved fraction below which a value is the reference's more than the data's


@dataclass(frozen=True)
class ErrorBar:
    """A functional of the recovered plan and how far to trust it.

    ``error`` combines what the noise of the data moves with what the last step of the
    regularisation moved. ``resolved`` is the part of the functional's variance under the plan that
    the data see at this regularisation, and ``unresolved`` the standard deviation of the rest,
    which the reference measure filled in: ``error`` does not speak of it.
    """

    value: Any  # a number, or an array of them (then ``error`` is one too)
    error: Any
    resolved: float
    unresolved: float

    def interval(self, level: float = 0.9) -> tuple[Any, Any]:
        """Return the interval that holds the truth with this probability."""
        level = real_number("level", level, minimum=0.0, maximum=1.0)
        reach = float(Normal(0.0, 1.0).ppf(0.5 + 0.5 * level)) * self.error
        return self.value - reach, self.value + reach

    def __str__(self) -> str:
        if np.ndim(self.value):
            shape = " x ".join(map(str, np.shape(self.value)))
            return f"{shape} entries, each +- {np.max(self.error):.1g} or less"
        if self.resolved < DETERMINED:
            return f"{self.value:.5g}, not determined by the data (resolved {self.resolved:.3f})"
        return f"{self.value:.5g} +- {self.error:.1g} (resolved {self.resolved:.3f})"
