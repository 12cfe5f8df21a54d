"""Samplers that replace the ODE: one draw from the plan, k draws, or the increasing map."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, generator, real_array, whole_number
from recouple.marginal import Marginal, Normal, as_marginal
from recouple.plan import AtomicPlan, GridPlan, MixturePlan, Plan, load_plan
from recouple.plan.file import read_arrays
from recouple.quantile import TransportMap, transport_map

__all__ = [
    "KStep",
    "MonotoneStep",
    "OneStep",
    "k_step",
    "load_sampler",
    "monotone_step",
    "one_step",
]

Rng = int | np.random.Generator | None
CHUNK = 1 << 20  # densities held at a time while drawing along the lines of a grid


@dataclass(frozen=True)
class OneStep:
    """A sampler that takes source points to target points in one step.

    ``generator(x0, rng)`` draws x1 ~ pi(. | x0) for each x0. If x0 ~ source then (x0, x1) ~ pi
    exactly, hence x1 ~ target: there is no discretisation, only the error of the plan. Points
    beyond a grid plan's range take the conditional law at its edge. On the line a plan of atoms
    that pairs each x0 with one x1 is followed as a map, by straight lines between its pairs, beyond
    them by those of its ends; if it pairs some with several, each point takes the nearest atom.
    """

    plan: Plan

    def __call__(self, x0: ArrayLike, rng: Rng = None) -> Any:
        """Draw one x1 for each x0, shaped like x0; ``rng`` is a seed, a Generator or None."""
        if isinstance(self.plan, GridPlan):  # sources reach beyond any grid: take its edge there
            return self.plan.sample_conditional(x0, rng, nearest=True)
        if isinstance(self.plan, AtomicPlan) and self.plan.dim == 1:
            return _follow_atoms(self.plan, x0, rng)
        return self.plan.sample_conditional(x0, rng)

    def save(self, path: Any) -> None:
        """Write the sampler to a ``.npz`` file that :func:`load_sampler` reads."""
        _save(path, "OneStep", plan=_bytes(self.plan))


@dataclass(frozen=True)
class KStep:
    """A sampler that goes from source to target in k draws; made by :func:`k_step`."""

    plan: Plan
    k: int

    def __call__(self, x0: ArrayLike, rng: Rng = None) -> Any:
        """Draw one x1 for each x0, shaped like x0; ``rng`` is a seed, a Generator or None."""
        generate = generator(rng)
        first = OneStep(self.plan)(x0, generate)
        if self.k == 1:
            return first
        end0, end1 = real_array("x0", x0, empty=True), np.asarray(first, dtype=np.float64)
        for step in range(1, self.k):
            t = step / self.k
            x = (1 - t) * end0 + t * end1
            end0, end1 = _draw_ends(self.plan, t, x, generate)
        return end1.astype(np.asarray(first).dtype, copy=False)[()]

    def save(self, path: Any) -> None:
        """Write the sampler to a ``.npz`` file that :func:`load_sampler` reads."""
        _save(path, "KStep", plan=_bytes(self.plan), k=np.array(self.k))


@dataclass(frozen=True)
class MonotoneStep:
    """The flow's own map on the line, F1^-1 o F0; made by :func:`monotone_step`."""

    map: TransportMap

    def __call__(self, x0: ArrayLike, rng: Rng = None) -> Any:
        """Map each x0; nothing is drawn, so ``rng`` is not used."""
        return self.map(x0)

    def save(self, path: Any) -> None:
        """Write 4097 quantile pairs to a ``.npz`` file that :func:`load_sampler` reads.

        Laws may be anybody's, so the map itself is kept: between the levels 1e-9 and 1 - 1e-9, as a
        monotone interpolation of relative accuracy about 1e-6.
        """
        z = np.linspace(-6, 6, 4097)
        low, high = Normal().cdf(z), Normal().sf(z)
        x0, x1 = (
            np.where(z < 0, law.ppf(low), law.isf(high))
            for law in (self.map.source, self.map.target)
        )
        _save(path, "TabulatedStep", x0=x0, x1=x1)


@dataclass(frozen=True)
class TabulatedStep:
    """A monotone map known by pairs, with straight lines between and beyond them."""

    x0: FloatArray
    x1: FloatArray

    def __call__(self, x0: ArrayLike, rng: Rng = None) -> Any:
        """Map each x0; nothing is drawn, so ``rng`` is not used."""
        x = real_array("x0", x0, empty=True)
        cell = np.clip(np.searchsorted(self.x0, x, side="right") - 1, 0, len(self.x0) - 2)
        left, right = self.x0[cell], self.x0[cell + 1]
        share = (x - left) / (right - left)
        return ((1 - share) * self.x1[cell] + share * self.x1[cell + 1])[()]

    def save(self, path: Any) -> None:
        """Write the map to a ``.npz`` file that :func:`load_sampler` reads."""
        _save(path, "TabulatedStep", x0=self.x0, x1=self.x1)


def one_step(plan: Plan) -> OneStep:
    """Distil a plan into a one-step sampler.

    Parameters
    ----------
    plan : Plan
        Any plan that can be sampled given X0: Gaussian, mixture, grid, atomic, product, data set.

    Returns
    -------
    OneStep

    Raises
    ------
    ValueError
        If ``plan`` is not a plan. Drawing raises it where the plan has no mass over x0.

    Notes
    -----
    Cost: O(K) a draw from K components, O(N) from a grid of N points a side; an ODE with S steps
    of RK4 costs 4 S field evaluations instead.

    Examples
    --------
    >>> import numpy as np, recouple as rc
    >>> draw = rc.one_step(rc.GaussianPlan(0.0, 1.0, 1.0, 0.8, 1.0))
    >>> x1 = draw(np.full(10_000, 2.0), rng=0)
    >>> round(float(x1.mean()), 1), round(float(x1.std()), 1)
    (2.6, 0.6)
    """
    return OneStep(_plan(plan))


def k_step(plan: Plan, k: int) -> KStep:
    r"""Return the sampler that follows a plan in k draws, for the linear interpolant.

    At t = 0, 1/k, ..., (k-1)/k it draws the ends (X0, X1) of the straight line through the present
    place, given :math:`X_t = x`, and follows that line for 1/k. Each :math:`X_t` has the law
    :math:`p_t` exactly, so the last one has the target's, whatever k is. One draw is
    :func:`one_step`; as k grows the path tends to that of the ODE, whose velocity is the mean of
    the lines', at the rate 1/k in mean square.

    Parameters
    ----------
    plan : MixturePlan, GaussianPlan or GridPlan
        Plans with a density given X_t; smooth atoms first, put others on a grid.
    k : int
        Number of draws.

    Returns
    -------
    KStep

    Raises
    ------
    ValueError
        If the plan is of another kind and k > 1.

    Notes
    -----
    Accuracy: exact for mixtures; O(h^2) in the cells of a grid. Cost: k times that of one step; on
    a grid of N points a side O(N) densities a draw.

    Examples
    --------
    >>> import numpy as np, recouple as rc
    >>> plan = rc.GaussianPlan(0.0, 0.0, 1.0, 0.0, 1.0)  # independent ends
    >>> x0 = np.random.default_rng(0).normal(size=20_000)
    >>> [round(float(np.corrcoef(x0, rc.k_step(plan, k)(x0, rng=1))[0, 1]), 1) for k in (1, 2, 16)]
    [0.0, 0.5, 0.9]
    """
    count = whole_number("k", k, minimum=1)
    if count > 1 and not isinstance(_plan(plan), MixturePlan | GridPlan):
        raise ValueError(
            "plan must be a mixture, Gaussian or grid plan for more than one step, got "
            f"{type(plan).__name__}; smoothed(bandwidth) or on_grid make one of many others"
        )
    return KStep(_plan(plan), count)


def monotone_step(source: Marginal | ArrayLike, target: Marginal | ArrayLike) -> MonotoneStep:
    """Return the deterministic one-step sampler on the line: the increasing map F1^-1 o F0.

    It is where the ODE of any plan between these laws ends, because trajectories on the line never
    cross: the flow's own coupling, whatever the plan was.

    Parameters
    ----------
    source, target : law or samples
        Laws of X0 and X1.

    Examples
    --------
    >>> import recouple as rc
    >>> rc.monotone_step(rc.Normal(0.0, 1.0), rc.Normal(3.0, 2.0))([0.0, 1.0]).round(12)
    array([3., 5.])
    """
    ends = (as_marginal(source, name="source"), as_marginal(target, name="target"))
    return MonotoneStep(transport_map(*ends))


def load_sampler(path: Any) -> OneStep | KStep | TabulatedStep:
    """Read a sampler that its ``save(path)`` wrote.

    Raises
    ------
    ValueError
        If the file holds no sampler, or one that this version does not know.

    Examples
    --------
    >>> import io, recouple as rc
    >>> file = io.BytesIO()
    >>> rc.one_step(rc.GaussianPlan(0.0, 1.0, 1.0, 0.5, 1.0)).save(file)
    >>> _ = file.seek(0)
    >>> rc.load_sampler(file)
    OneStep(plan=GaussianPlan(D = 1))
    """
    arrays = read_arrays(path, "a sampler's save")
    kind = str(arrays.get("sampler", ""))
    if kind == "TabulatedStep":
        return TabulatedStep(arrays["x0"], arrays["x1"])
    if kind not in ("OneStep", "KStep"):
        raise ValueError(f"{path} must hold a sampler, got {kind or 'none'}")
    plan = load_plan(io.BytesIO(arrays["plan"].tobytes()))
    return OneStep(plan) if kind == "OneStep" else KStep(plan, int(arrays["k"]))


def _plan(plan: Any) -> Plan:
    if not isinstance(plan, Plan):
        hint = "; a recovery holds one: rec.plan" if hasattr(plan, "plan") else ""
        raise ValueError(f"plan must be a plan, got {type(plan).__name__}{hint}")
    return plan


def _bytes(plan: Plan) -> Any:
    buffer = io.BytesIO()
    plan.save(buffer)
    return np.frombuffer(buffer.getvalue(), dtype=np.uint8)


def _save(path: Any, kind: str, **arrays: Any) -> None:
    np.savez(path, sampler=np.array(kind), **arrays)


def _follow_atoms(plan: AtomicPlan, x0: ArrayLike, rng: Rng) -> Any:
    """Interpolate the map that the atoms are pairs of, or draw from the nearest atom's."""
    x = real_array("x0", x0, empty=True)
    kept = plan.weights > 0
    order = np.argsort(plan.x0[kept], kind="stable")
    at, to = plan.x0[kept][order], plan.x1[kept][order]
    if len(at) > 1 and (np.diff(at) > 0).all():
        return TabulatedStep(at, to)(x)
    left = np.clip(np.searchsorted(at, x) - 1, 0, len(at) - 1)
    right = np.minimum(left + 1, len(at) - 1)
    nearest = np.where(np.abs(at[right] - x) < np.abs(at[left] - x), at[right], at[left])
    return plan.sample_conditional(nearest, rng)


def _draw_ends(
    plan: Plan, t: float, x: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draw (X0, X1) given X_t = x, 0 < t < 1, for the linear interpolant."""
    if isinstance(plan, MixturePlan):
        d = plan.dim
        shear = np.eye(2 * d)  # (X0, X1) -> (X_t, X1)
        shear[:d, :d] *= 1 - t
        shear[:d, d:] = t * np.eye(d)
        seen = MixturePlan(plan.weights, plan.means @ shear.T, shear @ plan.covs @ shear.T)
        x1 = seen.sample_conditional(x, rng)
        return (x - t * x1) / (1 - t), x1
    assert isinstance(plan, GridPlan)
    return _draw_on_line(plan, t, x, rng)


def _draw_on_line(
    plan: GridPlan, t: float, x: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Invert the distribution function along the line (1-t) x0 + t x1 = x, point by point.

    The line is walked along the coordinate in which it is longer; between the points of a grid
    twice as fine the density is taken as linear.
    """
    along1 = t <= 0.5
    grid = plan.x1 if along1 else plan.x0
    nodes = np.linspace(grid[0], grid[-1], 2 * len(grid) - 1)
    step = nodes[1] - nodes[0]
    u = rng.random(x.size)
    drawn = np.empty(x.size)
    rows = max(1, CHUNK // len(nodes))
    for first in range(0, x.size, rows):
        at = x.ravel()[first : first + rows, None]
        other = (at - t * nodes) / (1 - t) if along1 else (at - (1 - t) * nodes) / t
        x0, x1 = (other, nodes) if along1 else (nodes, other)
        density = np.maximum(plan.pdf(x0, x1), 0.0)
        # Where no density is on a line every place on it is as good as another.
        cells = 0.5 * (density[:, 1:] + density[:, :-1])
        total = np.cumsum(cells, axis=1)
        lost = total[:, -1] <= 0
        total[lost] = np.arange(1, len(nodes))
        wanted = u[first : first + rows, None] * total[:, -1:]
        cell = np.minimum((total < wanted).sum(axis=1), len(nodes) - 2)
        which = np.arange(len(cell))
        before = np.where(cell > 0, total[which, np.maximum(cell - 1, 0)], 0.0)
        rest = (wanted[:, 0] - before) / np.maximum(total[which, cell] - before, 1e-300)
        a, b = density[which, cell], density[which, cell + 1]
        # rest = (a s + (b - a) s^2 / 2) / ((a + b) / 2), in the form that does not cancel
        root = np.sqrt(np.maximum(a * a + rest * (b * b - a * a), 0.0))
        share = np.where(a + root > 0, rest * (a + b) / np.maximum(a + root, 1e-300), rest)
        drawn[first : first + rows] = nodes[cell] + step * np.clip(share, 0.0, 1.0)
    chosen = drawn.reshape(x.shape)
    if along1:
        return (x - t * chosen) / (1 - t), chosen
    return chosen, (x - (1 - t) * chosen) / t
