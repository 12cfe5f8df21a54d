"""The data on a large grid, as masses of bins, and what a descent on them can start from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from recouple import _core
from recouple.arguments import FloatArray, frozen
from recouple.field import VelocityField
from recouple.inverse.dual import Options
from recouple.inverse.noise import told_by_ends, unit_shifts
from recouple.inverse.recovery import Recovery, Residuals
from recouple.inverse.tracing import LEVELS, Data, Layout, data_of
from recouple.marginal import Marginal
from recouple.plan import GridPlan

COARSE_DUAL = "coarse dual"
END_WEIGHT = 4.0  # of the two ends beside the times between
FLOOR = 1e-9  # share of the product of the ends in a start: nothing is ruled out


@dataclass(frozen=True)
class Binned:
    """The data on a grid: masses of bins at all times, as projections of grid masses see them."""

    layout: Layout
    data: Data
    projections: _core.BinnedProjections
    bins: FloatArray
    level: float  # relative error of the field that the two ends tell; 0 where one is unknown
    threads: int

    @classmethod
    def of(
        cls,
        velocity: VelocityField,
        law0: Marginal,
        law1: Marginal | None,
        layout: Layout,
        options: Options,
        steps: int,
        flow: tuple[FloatArray, FloatArray, FloatArray | None],
        *,
        corrected: bool = False,
    ) -> Binned:
        """Trace the edges of all bins to both ends.

        ``flow``: trajectories of LEVELS, the field along them, and by how much these levels miss
        those of the target, where it is known: that tells the size of the field's error, and
        corrects the cdfs if asked to.

        Masses of a smooth density at grid points, spread over their cells, are the density smoothed
        by the trapezoid, whose variance is (((1-t) h0)^2 + (t h1)^2) / 12: so are the cdfs here, to
        fourth order. At the ends, where the projection is along an axis, bins hold single points.
        """
        h0, h1 = layout.x0[1] - layout.x0[0], layout.x1[1] - layout.x1[0]
        projections = _core.BinnedProjections(
            len(layout.x0), len(layout.x1), h0, h1, np.ascontiguousarray(layout.times)
        )
        first = projections.first_bin
        widths = (1 - layout.times) * h0 + layout.times * h1
        corner = (1 - layout.times) * layout.x0[0] + layout.times * layout.x1[0]
        edges = [
            z + w * (np.arange(b - a + 1) - 0.5)
            for z, w, a, b in zip(corner, widths, first, first[1:], strict=False)
        ]
        binned = replace(layout, features=[], nodes=edges)
        data = data_of(velocity, law0, law1, binned, options, steps)
        paths, speeds, gap = flow
        level = 0.0
        if gap is not None and data.mismatch is not None:
            waves, closing = unit_shifts(layout.times, paths, speeds, LEVELS, edges, two_sided=True)
            size = float(np.sqrt(np.mean(np.sum(closing**2, axis=0))))
            if size > 0:
                level = data.mismatch / size
                if corrected:
                    amplitudes, _ = told_by_ends(closing, gap)
                    cdfs = [f - amplitudes @ w for f, w in zip(data.cdf, waves, strict=True)]
                    data = replace(data, cdf=cdfs)
        bins = []
        for t, w, cdf in zip(layout.times, widths, data.cdf, strict=True):
            share = (((1 - t) * h0) ** 2 + (t * h1) ** 2) / (24 * w**2) if 0 < t < 1 else -1 / 24
            smooth = cdf.copy()
            smooth[1:-1] += share * np.diff(cdf, 2)
            bins.append(np.maximum(np.diff(smooth), 0.0))
        return cls(binned, data, projections, np.concatenate(bins), level, options.threads)

    def descent(self, reference: FloatArray) -> _core.MirrorDescent:
        """Return the core's solver from a reference, its masses."""
        weights = np.ones(len(self.layout.times))
        weights[[0, -1]] = END_WEIGHT
        product = np.outer(self.data.mass0, self.data.mass1)
        masses = reference / reference.sum() + FLOOR * product / product.sum()
        masses = np.ascontiguousarray(masses / masses.sum())
        return _core.MirrorDescent(self.projections, masses, self.bins, weights)

    def residuals(self, mass: FloatArray, field: float) -> Residuals:
        """Return what the masses leave, in masses of bins."""
        seen = self.projections.project(np.ascontiguousarray(mass), self.threads)
        pieces = np.split((seen - self.bins) ** 2, self.projections.first_bin[1:-1])
        return Residuals(
            moments=float(np.sqrt(np.mean((seen - self.bins) ** 2))),
            per_time=frozen(np.sqrt(np.array([piece.mean() for piece in pieces]))),
            field=field,
            mismatch=self.data.mismatch,
        )


def starts_of(
    problem: Binned, velocity: VelocityField, coarse: Recovery | None
) -> dict[str, FloatArray]:
    """Return reference masses by name.

    The coarse dual's plan; the product of the ends; and X1 normal given X0, with the mean that the
    field says and the variance that this leaves of X1, and its mirror.
    """
    x0, x1, data = problem.layout.x0, problem.layout.x1, problem.data
    starts = {"product": np.outer(data.mass0, data.mass1)}
    for name, t, here, there, mass, other in (
        ("X1 given X0", 0.0, x0, x1, data.mass0, data.mass1),
        ("X0 given X1", 1.0, x1, x0, data.mass1, data.mass0),
    ):
        speed = velocity(t, here)
        centre = here + speed if t == 0 else here - speed
        weight = mass / mass.sum()
        spread = weight @ centre**2 - (weight @ centre) ** 2
        whole = other @ there**2 / other.sum() - (other @ there / other.sum()) ** 2
        least = (there[1] - there[0]) ** 2
        z = (there[None, :] - centre[:, None]) ** 2 / (2 * max(whole - spread, least))
        kernel = np.exp(-(z - z.min(axis=1, keepdims=True)))
        masses: FloatArray = mass[:, None] * kernel / kernel.sum(axis=1, keepdims=True)
        starts[name] = masses if t == 0 else masses.T
    if coarse is not None and isinstance(coarse.plan, GridPlan):
        x, y = np.meshgrid(x0, x1, indexing="ij")
        starts[COARSE_DUAL] = np.asarray(coarse.plan.pdf(x, y))
    return {name: masses for name, masses in starts.items() if masses.sum() > 0}
