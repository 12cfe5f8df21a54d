"""From the error of a field to the Wasserstein error of its samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, frozen, generator, real_array, whole_number
from recouple.field import VelocityField, as_field, velocity_field
from recouple.flow import integrate
from recouple.interpolant import LINEAR, Interpolant
from recouple.network import ReluNetwork
from recouple.plan import Plan
from recouple.plan.base import Rng
from recouple.theory.risk import flat
from recouple.wasserstein import wasserstein_1d

__all__ = [
    "Lipschitz",
    "WassersteinBounds",
    "ag_identity",
    "distance",
    "euler_term",
    "lipschitz",
    "paths",
    "wasserstein_bounds",
]

_STEPS = 100  # of RK4 over [0, 1], in what is measured here


@dataclass(frozen=True, eq=False)
class Lipschitz:
    """Lipschitz constants of a field on each of the spans between ``times``."""

    times: FloatArray = field(repr=False)
    one_sided: FloatArray = field(repr=False)
    """sup over x of the largest eigenvalue of sym Df, shape (len(times) - 1,)."""
    two_sided: FloatArray = field(repr=False)
    """sup over x of |Df|."""
    certified: bool
    """Whether the suprema are upper bounds; otherwise they are sampled."""

    @property
    def label(self) -> str:
        """What to call the constants: "certified" or "sampled"."""
        return "certified" if self.certified else "sampled"

    def integral(self, t: float = 0.0, *, two_sided: bool = False) -> float:
        """Integral of the constant from t to the last time."""
        values = self.two_sided if two_sided else self.one_sided
        lengths = np.maximum(self.times[1:] - np.maximum(self.times[:-1], t), 0)
        return float(lengths @ values)

    def stretch(self, t: ArrayLike) -> FloatArray:
        """Exp of the integral from each t to the last time: how much an error at t can grow."""
        with np.errstate(over="ignore"):
            values = [np.exp(self.integral(float(s))) for s in np.atleast_1d(t)]
        return np.array(values)

    def __repr__(self) -> str:
        return (
            f"Lipschitz(integral {self.integral():.4g}, two-sided "
            f"{self.integral(two_sided=True):.4g}, {self.label})"
        )


def lipschitz(
    net: Any,
    points: tuple[ArrayLike, ArrayLike] | None = None,
    *,
    times: ArrayLike | None = None,
    dim: int = 1,
) -> Lipschitz:
    """One-sided and two-sided Lipschitz constants of a field in x, along time.

    Parameters
    ----------
    net : ReluNetwork or field
        A ReLU network on the line is linear between its kinks, and its constants are certain: on
        each span of time an upper bound over all x (see :meth:`ReluNetwork.slopes`). Of any other
        field the largest eigenvalue at the given points is taken: sampled, and labelled so.
    points : (t, x), needed unless net is a ReluNetwork on the line
        Where to sample: times (k,), and points (k, n) on the line or (k, n, D).
    times : increasing array, optional
        Ends of the spans of a certified constant; by default 256 equal spans of [0, 1].
    dim : int
        Dimension of a callable.

    Returns
    -------
    Lipschitz

    Examples
    --------
    >>> import recouple as rc
    >>> net = rc.ReluNetwork(1, 64, rng=0)
    >>> rc.theory.lipschitz(net).certified
    True
    """
    if isinstance(net, ReluNetwork) and net.dim == 1 and points is None:
        ends = np.linspace(0, 1, 257) if times is None else real_array("times", times, ndim=1)
        if len(ends) < 2 or (np.diff(ends) <= 0).any():
            raise ValueError(f"times must increase, got {ends}")
        if net.times is not None:
            raise ValueError("net must have one head for all times to be certified: give points")
        spans = [net.slopes(a, b) for a, b in pairwise(ends)]
        least, most = np.array(spans).T
        return Lipschitz(
            frozen(ends), frozen(most), frozen(np.maximum(np.abs(least), np.abs(most))), True
        )
    if points is None:
        raise ValueError("points must say where to sample the constants of this field")
    f = as_field(net, dim=dim) if not isinstance(net, VelocityField) else net
    at = real_array("points", points[0], ndim=1)
    x = real_array("points", points[1])
    if len(x) != len(at) or len(at) < 2:
        raise ValueError(f"points must hold a set of points for each of at least two times, got "
                         f"{len(at)} times and shape {x.shape}")  # fmt: skip
    one, two = np.empty(len(at)), np.empty(len(at))
    for k, t in enumerate(at):
        jac = _jacobian(f, float(t), x[k])
        one[k] = np.linalg.eigvalsh((jac + jac.transpose(0, 2, 1)) / 2)[:, -1].max()
        two[k] = np.linalg.norm(jac, 2, axis=(1, 2)).max()
    # The larger end of each span stands for it.
    return Lipschitz(
        frozen(at),
        frozen(np.maximum(one[:-1], one[1:])),
        frozen(np.maximum(two[:-1], two[1:])),
        False,
    )


def _jacobian(f: VelocityField, t: float, x: FloatArray) -> FloatArray:
    """Jacobian (n, D, D), by central differences where the field does not know it."""
    d = f.dim
    n = len(x)
    if f.differentiable:
        return np.asarray(f.jacobian(t, x)).reshape(n, d, d)
    rows = x.reshape(n, d)
    jac = np.empty((n, d, d))
    for c in range(d):
        step = np.zeros(d)
        step[c] = 1e-5
        up, down = (np.asarray(f(t, flat(rows + s * step))).reshape(n, d) for s in (1, -1))
        jac[:, :, c] = (up - down) / 2e-5
    return jac


@dataclass(frozen=True, eq=False)
class WassersteinBounds:
    """Upper bounds of W2 between the laws two fields carry one source to, and what was measured."""

    measured: float
    """W2 between the two end laws on the line; otherwise the root mean square distance of the ends
    of trajectories from the same start, which is at least W2."""
    alekseev_groebner: float
    """int || DPhi_f{t,1}(X_t) (v - f) || dt, in L2: an identity by the triangle inequality. On the
    same draws it cannot be below ``measured``, so it is not counted in :meth:`holds`."""
    minkowski: float
    """int exp(int_t^1 L) ||v - f|| dt."""
    jensen: float
    """sqrt(int exp(2 int_t^1 L) ||v - f||^2 dt)."""
    benton: float
    """epsilon exp(int Lip dt), epsilon^2 = int ||v - f||^2 dt."""
    albergo: float
    """epsilon e^(1/2 + K), K the largest Lipschitz constant over t and x."""
    epsilon: float
    """sqrt(int E|v - f|^2 dt)."""
    label: str
    """Whether the Lipschitz constants are "certified" or "sampled"."""
    lipschitz: Lipschitz = field(repr=False)

    def holds(self) -> bool:
        """Whether every bound is at least what was measured.

        The Alekseev-Groebner integral is left out: it is an identity, and cannot fail.
        """
        return all(bound >= self.measured for _, bound in self.rows()[1:])

    def rows(self) -> list[tuple[str, float]]:
        """Bounds by name, in order from tight to loose."""
        return [
            ("Alekseev-Groebner (identity)", self.alekseev_groebner),
            ("Minkowski", self.minkowski),
            ("Jensen", self.jensen),
            ("Benton et al. (2023)", self.benton),
            ("Albergo & Vanden-Eijnden (2023)", self.albergo),
        ]

    def summary(self) -> str:
        """Return the bounds as a table with their slack."""
        lines = [f"{'measured W2':<33} {self.measured:10.4g}"]
        for name, bound in self.rows():
            slack = bound / self.measured if self.measured > 0 else np.inf
            lines.append(f"{name:<33} {bound:10.4g}   {slack:8.3g} x")
        lines.append(f"Lipschitz constants are {self.label}")
        return "\n".join(lines)


def _end(plan: Plan, interpolant: Interpolant) -> float:
    """1, or just before it where paths collide there."""
    collisions = plan.collision_times(interpolant)
    return 1 - 2.0**-10 if np.any(np.abs(collisions - 1) < 1e-9) else 1.0


def paths(v: VelocityField, x0: FloatArray, grid: FloatArray, tolerance: float) -> FloatArray:
    """Follow a field from x0 through the times of a grid: (times, n) or (times, n, D)."""
    flow = integrate(
        v, x0, t0=float(grid[0]), t1=float(grid[-1]), t_eval=grid, rtol=tolerance, atol=tolerance
    )
    return np.asarray(flow.x)


def _advance(f: VelocityField, x: FloatArray, t0: float, t1: float) -> FloatArray:
    if t0 >= t1:
        return x
    steps = max(4, int(np.ceil((t1 - t0) * _STEPS)))
    return np.asarray(integrate(f, x, t0=t0, t1=t1, method="rk4", steps=steps).x)


def _norms(e: FloatArray) -> FloatArray:
    """Root mean square length over the points, for each time."""
    square = e**2 if e.ndim == 2 else (e**2).sum(axis=2)
    return np.asarray(np.sqrt(square.mean(axis=1)))


def wasserstein_bounds(
    net: Any,
    plan: Plan,
    interpolant: Interpolant = LINEAR,
    *,
    samples: int = 500,
    intervals: int = 32,
    rng: Rng = 0,
) -> WassersteinBounds:
    r"""Bound W2 between the target and the law the field f carries the source to.

    With e = v - f, both flows from the same draws X_0 ~ source, X_t the path along v:

    .. math:: W_2 \le \int_0^1 \| D\Phi^f_{t,1}(X_t)\, e_t \|_{L^2} dt
              \le \int_0^1 e^{\int_t^1 \hat L}\, \|e_t\|_{L^2} dt \le \ldots

    Parameters
    ----------
    net : field or callable
        f.
    plan : Plan
        Its velocity is v, its target what the samples should be.
    samples : int
        Trajectories.
    intervals : int
        Of time. The first bound is the sum over intervals of the root mean square of the
        differences Phi_f{s,1}(X_s) - Phi_f{t,1}(X_t): by the triangle inequality it is at least the
        measured distance for any number of them, and it grows to the integral. The others are
        integrals by the larger end of each interval.
    rng : int, Generator or None

    Returns
    -------
    WassersteinBounds

    Notes
    -----
    Sources: Alekseev (1961) and Groebner (1960) for the first; Gronwall's and Minkowski's
    inequalities for the second; Benton, Deligiannidis & Doucet (2023), Theorem 1; Albergo &
    Vanden-Eijnden (2023), Proposition 3. Where the field of the plan is singular at t = 1 (a data
    set) both flows end at 1 - 2^-10. Cost: ``intervals`` flows of the samples.

    On the line flows keep order, so that trajectories of equal starts are coupled optimally, and
    the first bound takes no constant: all its slack is cancellation, errors of one time undone by
    those of another along the same trajectory. Through training it grows from 1 to 2 to 4.
    """
    count = whole_number("samples", samples, minimum=2)
    parts = whole_number("intervals", intervals, minimum=2)
    f = net if isinstance(net, VelocityField) else as_field(net, dim=plan.dim)
    if f.dim != plan.dim:
        raise ValueError(f"net must have dimension {plan.dim} like the plan, got {f.dim}")
    v = velocity_field(plan, interpolant)
    x0, _ = plan.sample(count, generator(rng))
    grid = np.linspace(0, _end(plan, interpolant), parts + 1)
    x = paths(v, np.asarray(x0), grid, 1e-9)
    e = np.stack([np.asarray(v(float(t), x[k])) - np.asarray(f(float(t), x[k]))
                  for k, t in enumerate(grid)])  # fmt: skip
    ends = np.stack([_advance(f, x[k], float(t), float(grid[-1])) for k, t in enumerate(grid)])
    gaps = ends[1:] - ends[:-1]
    ag = float(_norms(gaps).sum())
    measured = distance(x[-1], ends[0])
    certain = isinstance(f, ReluNetwork) and f.dim == 1 and f.times is None
    if certain:
        fine = np.linspace(0, float(grid[-1]), parts * max(1, 256 // parts) + 1)
        constants = lipschitz(f, times=fine)
    else:
        y = np.stack([x, _paths_of(f, np.asarray(x0), grid), 0.5 * (x + ends[0][None])])
        constants = lipschitz(f, (grid, np.concatenate(list(y), axis=1)), dim=plan.dim)
    size = _norms(e)
    length = np.diff(grid)
    top = np.maximum(size[:-1], size[1:])
    grow = constants.stretch(grid)
    stretch = np.maximum(grow[:-1], grow[1:])
    epsilon = float(np.sqrt((length * top**2).sum()))
    with np.errstate(over="ignore"):
        return WassersteinBounds(
            measured=measured,
            alekseev_groebner=ag,
            minkowski=float((length * stretch * top).sum()),
            jensen=float(np.sqrt((length * (stretch * top) ** 2).sum())),
            benton=float(epsilon * np.exp(constants.integral(two_sided=True))),
            albergo=float(epsilon * np.exp(0.5 + constants.two_sided.max())),
            epsilon=epsilon,
            label=constants.label,
            lipschitz=constants,
        )


def _paths_of(f: VelocityField, x0: FloatArray, grid: FloatArray) -> FloatArray:
    at = [x0]
    for a, b in pairwise(grid):
        at.append(_advance(f, at[-1], float(a), float(b)))
    return np.stack(at)


def distance(x: FloatArray, y: FloatArray) -> float:
    """W2 on the line; elsewhere the root mean square over the coupling of equal starts."""
    if x.ndim == 1:
        return float(wasserstein_1d(x, y, p=2))
    return float(np.sqrt(((x - y) ** 2).sum(axis=1).mean()))


def ag_identity(
    net: Any,
    plan: Plan,
    interpolant: Interpolant = LINEAR,
    *,
    samples: int = 100,
    intervals: int = 200,
    rng: Rng = 0,
) -> float:
    r"""Relative error of the Alekseev-Groebner identity along sampled trajectories.

    .. math:: X_1 - Y_1 = \int_0^1 D\Phi^f_{t,1}(X_t)\, (v - f)(t, X_t)\, dt

    The derivative of the flow of f along v - f is taken by central differences, the integral by the
    trapezoid rule: what is left is their error, and it falls with ``intervals``. Root mean square
    over trajectories, relative to that of X_1 - Y_1. Source: Alekseev (1961), Groebner (1960).
    """
    count = whole_number("samples", samples, minimum=2)
    parts = whole_number("intervals", intervals, minimum=2)
    f = net if isinstance(net, VelocityField) else as_field(net, dim=plan.dim)
    v = velocity_field(plan, interpolant)
    x0, _ = plan.sample(count, generator(rng))
    grid = np.linspace(0, _end(plan, interpolant), parts + 1)
    x = paths(v, np.asarray(x0), grid, 1e-10)
    step = 1e-5
    pushed = []
    for k, t in enumerate(grid):
        e = np.asarray(v(float(t), x[k])) - np.asarray(f(float(t), x[k]))
        both = np.concatenate([x[k] + step * e, x[k] - step * e])
        up, down = np.split(_advance(f, both, float(t), float(grid[-1])), 2)
        pushed.append((up - down) / (2 * step))
    weights = np.full(parts + 1, float(grid[-1]) / parts)
    weights[[0, -1]] /= 2
    whole = np.tensordot(weights, np.stack(pushed), axes=1)
    gap = x[-1] - _advance(f, np.asarray(x0), 0.0, float(grid[-1]))
    return float(np.linalg.norm(whole - gap) / np.linalg.norm(gap))


def euler_term(net: Any, x0: ArrayLike, steps: int, constants: Lipschitz, *, dim: int = 1) -> float:
    r"""Leading term of the error that Euler's method with h = 1 / steps adds to the samples.

    .. math:: \frac{h}{2} \int_0^1 e^{\int_t^1 \hat L}\, \| D_t f \|_{L^2}\, dt,
              \qquad D_t f = \partial_t f + Df\, f

    along the trajectories of f from x0. It bounds the error as h -> 0. D_t f by central
    differences.
    """
    f = net if isinstance(net, VelocityField) else as_field(net, dim=dim)
    count = whole_number("steps", steps, minimum=1)
    start = real_array("x0", x0)
    grid = np.linspace(0, float(constants.times[-1]), 65)
    y = _paths_of(f, start, grid)
    h, size = 1e-4, []
    for k, t in enumerate(grid):
        lo, hi = max(float(t) - h, 0.0), min(float(t) + h, float(grid[-1]))
        flow = np.asarray(f(float(t), y[k]))
        ahead = np.asarray(f(hi, y[k] + (hi - t) * flow))
        behind = np.asarray(f(lo, y[k] + (lo - t) * flow))
        size.append(_norms(((ahead - behind) / (hi - lo))[None])[0])
    top = np.maximum(size[:-1], size[1:])
    grow = constants.stretch(grid)
    return float(0.5 / count * (np.diff(grid) * np.maximum(grow[:-1], grow[1:]) * top).sum())
