"""Snapshots as they come: samples, laws, histograms of counts or of masses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, real_array
from recouple.marginal import Empirical, Histogram, Marginal, as_marginal, smoothed

FINE = 16  # parts of a bin, within which a smooth law is seen as constant
MOST_SAMPLES = 2.0**53  # beyond, counts are not whole numbers any more


class Binned(Histogram):
    """The law behind a histogram: its cdf is known at the edges and smooth between them.

    A monotone cubic through them (Fritsch & Carlson 1980). Even masses within bins of width h
    would add h^2 / 6 to every variance, where these add some h^4 / 40, in standard deviations.
    """

    __slots__ = ("bins",)

    def __init__(self, edges: ArrayLike, mass: ArrayLike) -> None:
        self.bins = np.array(edges, np.float64)
        super().__init__(*_refined(self.bins, np.asarray(mass, np.float64)))

    @property
    def width(self) -> float:
        """Mean width of a bin, over the mass."""
        inside = np.diff(np.interp(self.bins, self.edges, np.append(0.0, np.cumsum(self.mass))))
        return float(np.diff(self.bins) @ inside)

    @property
    def error(self) -> float:
        """What the shape within a bin may be off by, in mass: of a normal law's by h^3 / 150."""
        return max(1e-4, 0.01 * (self.width / float(self.std())) ** 3)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.bins, self.mass.reshape(-1, FINE).sum(axis=1))


class Counts(Binned):
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
        return type(self), (self.bins, self.counts)


def _refined(edges: FloatArray, mass: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return FINE bins for each, and their masses under the monotone cubic through the cdf."""
    widths, total = np.diff(edges), mass.sum()
    rise = mass / total / widths
    slopes = np.zeros(len(edges))
    if len(mass) > 1:
        before, after = rise[:-1], rise[1:]
        first, second = widths[1:] + 2 * widths[:-1], 2 * widths[1:] + widths[:-1]
        flat = (before == 0) | (after == 0)
        low, high = np.where(flat, 1.0, before), np.where(flat, 1.0, after)
        slopes[1:-1] = np.where(flat, 0.0, (first + second) / (second / low + first / high))
        for end, (h, k), (d, e) in (
            (0, widths[:2], rise[:2]),
            (-1, widths[-1:-3:-1], rise[-1:-3:-1]),
        ):
            slopes[end] = np.clip(((2 * h + k) * d - h * e) / (h + k), 0.0, 3 * d)
    else:
        slopes[:] = rise[0]
    u = np.arange(FINE + 1) / FINE
    begun = u - 2 * u**2 + u**3, u**3 - u**2
    whole = 3 * u**2 - 2 * u**3
    inside = widths[:, None] * (
        rise[:, None] * whole + slopes[:-1, None] * begun[0] + slopes[1:, None] * begun[1]
    )
    parts = np.maximum(np.diff(inside, axis=1), 0.0)
    fine = (edges[:-1, None] + widths[:, None] * u[:-1]).ravel()
    return np.append(fine, edges[-1]), parts.ravel()


def law_of(snapshot: Any) -> Marginal:
    """Return the law of a snapshot; of a profile whose masses are whole numbers, the counts."""
    if not is_profile(snapshot):
        if is_pair(snapshot):
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
    if not mass.sum() > 0:
        raise ValueError("the masses of a histogram must not all be zero")
    area = float(mass @ np.diff(edges))
    if abs(area - 1) < 1e-9 < abs(float(mass.sum()) - 1):
        return Binned(edges, mass * np.diff(edges))
    if 1 < mass.sum() < MOST_SAMPLES and np.all(mass == np.rint(mass)):
        return Counts(edges, mass)
    return Binned(edges, mass)


def is_profile(snapshot: Any) -> bool:
    """Whether it is a pair (edges, mass) or (mass, edges)."""
    return is_pair(snapshot) and abs(len(snapshot[0]) - len(snapshot[1])) == 1


def is_pair(snapshot: Any) -> bool:
    """Whether it is a pair of sequences of numbers."""
    pair = isinstance(snapshot, tuple | list) and len(snapshot) == 2
    return pair and all(np.ndim(part) == 1 for part in snapshot)


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
    wide = law.width if isinstance(law, Binned) else float(np.diff(law.edges) @ law.mass)
    size = effective_size(law)
    bandwidth = max(wide, 0.0 if size is None else 0.9 * std * size**-0.2)
    shrink = float(np.sqrt(max(0.0, 1 - (bandwidth / std) ** 2)))
    centres = 0.5 * (law.edges[1:] + law.edges[:-1])
    return smoothed(mean + shrink * (centres - mean), law.mass, bandwidth=bandwidth)
