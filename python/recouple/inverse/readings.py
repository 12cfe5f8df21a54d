"""What is read of a field in R^D: points that follow its flow, and its values there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recouple.arguments import FloatArray, real_array, whole_number
from recouple.field import VelocityField
from recouple.flow import integrate
from recouple.inverse.breakdown import breakdown
from recouple.inverse.end import End, read_end
from recouple.inverse.significance import normal_tail


@dataclass(frozen=True, eq=False)
class Readings:
    """Points of the flow grouped by time, and the field there."""

    times: FloatArray
    first: NDArray[np.uintp]
    x: FloatArray
    v: FloatArray
    start: FloatArray  # points of the source, and where the flow takes them
    end: FloatArray
    source: End
    threads: int

    @property
    def layout(self) -> tuple[FloatArray, NDArray[np.uintp], FloatArray]:
        """Times, offsets and points, as the core takes them."""
        return self.times, self.first, self.x

    @property
    def scale(self) -> float:
        """Root mean square of the field."""
        return float(np.sqrt(np.mean(self.v**2))) or 1.0


def read_times(times: int | ArrayLike) -> FloatArray:
    """Return the times, or so many Chebyshev points of [0, 1]."""
    if isinstance(times, int | np.integer) and not isinstance(times, bool):
        count = whole_number("times", times, minimum=1, maximum=1000)
        return 0.5 - 0.5 * np.cos((np.arange(count) + 0.5) * np.pi / count)
    if np.ndim(times) == 0:
        raise ValueError(f"times must be a whole number or an array of times, got {times!r}")
    t = np.sort(real_array("times", times, ndim=1))
    if t[0] < 0 or t[-1] > 1:
        raise ValueError(f"times must lie in [0, 1], got {t[0]:g} to {t[-1]:g}")
    if len(np.unique(t)) != len(t):
        raise ValueError("times must be different from each other")
    return t


def values_at(velocity: VelocityField, t: float, x: FloatArray) -> FloatArray:
    """Return v(t, x), (n, D), or say where it is not finite."""
    v = np.asarray(velocity(float(t), x[:, 0] if velocity.dim == 1 else x)).reshape(x.shape)
    bad = np.flatnonzero(~np.isfinite(v).all(axis=1))
    if bad.size:
        i = bad[0]
        raise ValueError(f"field must be finite, got {v[i]} at t = {t:.6g}, x = {x[i]}")
    return v


def carry(
    velocity: VelocityField,
    start: FloatArray,
    times: FloatArray,
    steps: int,
    num_threads: int | None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[FloatArray, bool]:
    """Return points at each time, (T, n, D), and whether they follow the flow.

    Where the flow collapses (paths collide) the points stay the source's, moved by the mean: an
    affine field is the same wherever it is read.
    """
    if progress is not None:
        progress(0, len(times))
    dim = velocity.dim
    collisions = velocity._collisions
    follows = collisions is None or collisions.size == 0
    clouds = start[None]
    if follows:
        with np.errstate(over="ignore", invalid="ignore"):
            flow = integrate(
                velocity,
                start[:, 0] if dim == 1 else start,
                0.0,
                float(times[-1]) or 1e-3,
                method="rk4",
                steps=steps,
                t_eval=times,
                throw=False,
                num_threads=num_threads,
            )
        clouds = np.ascontiguousarray(flow.x).reshape(len(times), *start.shape)
        follows = bool(np.isfinite(clouds).all())
    if follows:
        spread = _spread(start)
        follows = all(_spread(x) > 1e-6 * spread for x in clouds)
    if not follows:
        centre = start.mean(axis=0)
        drift = values_at(velocity, 0.0, centre[None])[0]
        clouds = start + times[:, None, None] * drift
    if progress is not None:
        progress(len(times), len(times))
    return clouds, follows


def _spread(x: FloatArray) -> float:
    """Return the least standard deviation in any direction, of enough points to tell it."""
    x = x[:: max(1, len(x) // (4 * (x.shape[1] + 50)))]  # from all over: draws may be in order
    centred = x - x.mean(axis=0)
    least = np.linalg.eigvalsh(centred.T @ centred / len(x))[0]
    return float(np.sqrt(max(least, 0.0)))


def _moved(
    velocity: VelocityField,
    x: FloatArray,
    before: float,
    after: float,
    steps: int,
    num_threads: int | None,
) -> FloatArray:
    """Carry points (n, D) along by RK4, ``steps`` of them across [0, 1]."""
    some = max(1, int(np.ceil(steps * (after - before) - 1e-9)))
    with np.errstate(over="ignore", invalid="ignore"):
        moved = integrate(
            velocity,
            x[:, 0] if velocity.dim == 1 else x,
            before,
            after,
            method="rk4",
            steps=some,
            throw=False,
            num_threads=num_threads,
        ).x
    return np.asarray(moved).reshape(x.shape)


def read_field(
    velocity: VelocityField,
    source: Any,
    times: int,
    points: int,
    steps: int,
    rng: np.random.Generator,
    threads: int,
) -> Readings:
    """Carry source samples along the flow and read the field at a share of them at each time."""
    dim = velocity.dim
    end = read_end("source", source, dim, regular=True)
    t = read_times(times)
    total = whole_number("points", points, minimum=1)
    if total < len(t) * (dim + 2):
        raise ValueError(
            f"points must be at least {len(t) * (dim + 2)}, {dim + 2} for a regression at each of "
            f"{len(t)} times, got {total}"
        )
    some = whole_number("steps", steps, minimum=1)
    first = np.linspace(0, total, len(t) + 1).astype(np.uintp)
    spare = min(500, total)
    start = end.draw(total + spare, rng)
    x = start.copy()
    before = 0.0
    for k, now in enumerate([*t, 1.0]):
        left = int(first[min(k, len(t))])
        if now > before:
            last = x[left:].copy()
            x[left:] = _moved(velocity, last, before, float(now), some, threads or None)
            if not np.isfinite(x).all():
                raise ValueError(breakdown(velocity, last, before, float(now), some))
        before = float(now)
    groups = [
        values_at(velocity, float(s), x[int(a) : int(b)])
        for s, a, b in zip(t, first[:-1], first[1:], strict=True)
    ]
    return Readings(
        times=np.ascontiguousarray(t),
        first=first,
        x=np.ascontiguousarray(x[:total]),
        v=np.concatenate(groups),
        start=np.ascontiguousarray(start[total:]),
        end=x[total:],
        source=end,
        threads=threads,
    )


def whiteness(readings: Readings, residual: FloatArray) -> float:
    """p-value of residuals that are independent of their neighbours' at the same time.

    A misfit is smooth, so that neighbours share it: their products have a positive mean.
    """
    products = []
    for a, b in zip(readings.first[:-1], readings.first[1:], strict=True):
        x, r = readings.x[int(a) : int(b)], residual[int(a) : int(b)]
        scaled = x / np.maximum(x.std(axis=0), 1e-300)
        apart = ((scaled[:, None] - scaled) ** 2).sum(axis=2)
        np.fill_diagonal(apart, np.inf)
        products.append(np.sum(r * r[apart.argmin(axis=1)], axis=1))
    every = np.concatenate(products)
    # Mutual neighbours count twice: the variance of the mean is up to twice that of a sample's.
    return normal_tail(float(every.sum() / np.sqrt(2 * np.sum(every**2) + 1e-300)))
