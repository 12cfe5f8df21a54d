"""Snapshots as they come: samples, laws, histograms of counts or of masses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import real_array
from recouple.marginal import Empirical, Histogram, Marginal, as_marginal, smoothed


class Counts(Histogram):
    """A histogram of samples: of so many in each bin."""

    __slots__ = ("counts",)

    def __init__(self, edges: ArrayLike, counts: ArrayLike) -> None:
        super().__init__(edges, counts)
        self.counts = np.asarray(counts).astype(np.int64)

    @property
    def total(self) -> int:
        """Number of samples."""
        return int(self.counts.sum())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.edges, self.counts)


def law_of(snapshot: Any) -> Marginal:
    """Return the law of a snapshot; of a profile whose masses are whole numbers, the counts."""
    if not is_profile(snapshot):
        pair = isinstance(snapshot, tuple | list) and len(snapshot) == 2
        if pair and any(map(np.ndim, snapshot)):
            raise ValueError(
                "it must be samples, a law, or a pair (edges, mass) with one more edge than "
                f"masses, got two sequences of {np.size(snapshot[0])} and {np.size(snapshot[1])}"
            )
        return as_marginal(snapshot)
    edges, mass = (real_array("edges or mass", part, ndim=1) for part in snapshot)
    if len(edges) < len(mass):  # the order of np.histogram
        edges, mass = mass, edges
    rising = np.diff(edges) > 0
    if not rising.all():
        k = int(np.argmin(rising))
        raise ValueError(
            "a histogram is a pair (edges, mass) whose edges, the longer of the two, increase; "
            f"got {edges[k]:g} then {edges[k + 1]:g} at index {k}"
        )
    if mass.min() < 0:
        raise ValueError(f"the masses of a histogram must not be negative, got {mass.min():g}")
    if mass.sum() > 1 and np.all(mass == np.rint(mass)):
        return Counts(edges, mass)
    area = float(mass @ np.diff(edges))
    density = abs(area - 1) < 1e-9 < abs(float(mass.sum()) - 1)
    return Histogram(edges, mass * np.diff(edges) if density else mass)


def is_profile(snapshot: Any) -> bool:
    """Whether it is a pair (edges, mass) or (mass, edges)."""
    if not (isinstance(snapshot, tuple | list) and len(snapshot) == 2):
        return False
    if not all(np.ndim(part) == 1 for part in snapshot):
        return False
    return abs(len(snapshot[0]) - len(snapshot[1])) == 1


def effective_size(law: Marginal) -> int | None:
    """Effective number of samples of a snapshot; None for a law."""
    if isinstance(law, Counts):
        return law.total
    return round(1 / float(np.sum(law.weights**2))) if isinstance(law, Empirical) else None


def variance_of(law: Marginal) -> tuple[float, float]:
    """Variance of a snapshot and its standard error; 0 for a law."""
    square = float(law.std()) ** 2
    if isinstance(law, Counts):
        centres = 0.5 * (law.edges[1:] + law.edges[:-1]) - float(law.mean())
        fourth = float(law.mass @ centres**4)
        return square, float(np.sqrt(max(fourth - square**2, 0.0) / law.total))
    if not isinstance(law, Empirical):
        return square, 0.0
    if len(law.values) < 3:
        return square, square  # of two values the fourth moment is no help
    share = float(np.sum(law.weights**2))
    fourth = float(law.weights @ (law.values - float(law.mean())) ** 4)
    return square / (1 - share), float(np.sqrt(max(fourth - square**2, 0.0) * share))


def without_gaps(law: Histogram) -> Marginal:
    """Return a histogram's law with a density everywhere, as an empty bin forbids any plan there.

    Gaussian kernels as wide as a bin, or for counts Silverman's if wider, as in ``smooth_law``.
    """
    mean, std = float(law.mean()), float(law.std())
    wide = float(np.diff(law.edges) @ law.mass)
    size = effective_size(law)
    bandwidth = max(wide, 0.0 if size is None else 0.9 * std * size**-0.2)
    shrink = float(np.sqrt(max(0.0, 1 - (bandwidth / std) ** 2)))
    centres = 0.5 * (law.edges[1:] + law.edges[:-1])
    return smoothed(mean + shrink * (centres - mean), law.mass, bandwidth=bandwidth)
