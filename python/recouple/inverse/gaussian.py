"""Gaussian plans in any dimension: from an affine field, a noisy one, trajectories, snapshots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, frozen, generator, real_array, whole_number
from recouple.field import VelocityField
from recouple.inverse.affine import ROUNDING, AffineData, GaussianFit, fit_gaussian
from recouple.inverse.end import End, read_end
from recouple.inverse.errorbar import ErrorBar
from recouple.inverse.readings import carry, read_times, values_at
from recouple.inverse.recovery import Recovery, Residuals
from recouple.inverse.significance import f_tail
from recouple.plan import GaussianPlan
from recouple.progress import Progress, progress_callback

REJECTED = 1e-3  # p-value of a test below which the field is not that of a Gaussian plan
TESTED = 4  # times at most at which the field is tested for curvature
QUADRATURE = 1 << 14  # draws for expectations under the plan


def recover_gaussian(
    velocity: VelocityField | AffineData,
    source: Any,
    target: Any = None,
    *,
    times: int | ArrayLike = 12,
    points: int = 2000,
    steps: int = 32,
    rng: int | np.random.Generator | None = 0,
    num_threads: int | None = None,
    progress: Progress = None,
) -> Recovery:
    r"""Recover a Gaussian plan in R^D; see ``recover_plan``.

    Parameters
    ----------
    times : int or array
        Where the field is read: a number of Chebyshev points of [0, 1], or the times.
    points : int
        Points at each time, at least D + 2: source samples carried along by RK4.
    steps : int
        Steps of RK4 across [0, 1].
    rng : int, Generator or None
        Draws the source samples.
    """
    if isinstance(velocity, AffineData):
        data, dim = velocity, velocity.dim
        end0 = read_end("source", source, dim, regular=True)
        end1 = None if target is None else read_end("target", target, dim, regular=False)
        return finish_gaussian(data, end0, end1, {}, {}, _settings(data))
    dim = velocity.dim
    end0 = read_end("source", source, dim, regular=True)
    end1 = None if target is None else read_end("target", target, dim, regular=False)
    t = read_times(times)
    n = whole_number("points", points, minimum=1)
    if n < dim + 2:
        raise ValueError(
            f"points must be at least {dim + 2} for a regression in dimension {dim}, got {n}"
        )
    callback = progress_callback(progress, "recover_plan")
    start = end0.draw(n, generator(rng))
    clouds, carried = carry(
        velocity, start, t, whole_number("steps", steps, minimum=1), num_threads, callback
    )
    values = np.stack([values_at(velocity, s, x) for s, x in zip(t, clouds, strict=True)])
    data, tests, notes = regress(t, clouds, values)
    if carried and dim > 1:
        tests["constant E[v ^ x]"] = wedge_test(t, clouds, values)
    settings = {**_settings(data), "steps": steps if carried else 0}
    return finish_gaussian(data, end0, end1, tests, notes, settings)


def _settings(data: AffineData) -> dict[str, Any]:
    return {"times": len(data.times), "points": int(data.counts[0])}


def regress(
    times: FloatArray, x: FloatArray, v: FloatArray
) -> tuple[AffineData, dict[str, float], dict[str, str]]:
    """Regress v on x at each time; test the residual for quadratic and cubic parts.

    x and v have shape (T, n, D). Returns the slopes, p-values by the name of the test, and notes.
    """
    T, n, d = x.shape
    centres = x.mean(axis=1)
    q, r = orthonormal(x - centres[:, None])
    diagonal = np.abs(np.diagonal(r, axis1=1, axis2=2))
    if not (diagonal.min(axis=1) > 1e-12 * diagonal.max(axis=1)).all():
        k = int(np.argmin(diagonal.min(axis=1) / diagonal.max(axis=1)))
        raise ValueError(
            f"points must span all {d} dimensions at t = {times[k]:.4g}: they lie in a subspace"
        )
    values = v.mean(axis=1)
    projected = q.swapaxes(1, 2) @ v
    slopes = np.asarray(np.linalg.solve(r, projected).swapaxes(1, 2), np.float64)
    residual = v - values[:, None] - q @ projected
    # As much is lost to rounding in v and in the points it was read at.
    floor = ROUNDING * max(float(np.sqrt(np.mean(v**2))), 1e-300)
    dof = n - d - 1
    variance = np.sum(residual**2, axis=(1, 2)) / max(d * dof, 1)
    noise = np.maximum(np.sqrt(variance), floor)
    data = AffineData(times, slopes, centres, values, r.swapaxes(1, 2), noise, np.full(T, float(n)))
    tests, notes = {}, {}
    cubic = d + (d if d > 1 else 0)
    features = d * (d + 1) // 2 + cubic
    if dof <= features + 1:
        cubic, features = 0, d * (d + 1) // 2
    if dof > features + 1:
        tested = range(0, T, -(-T // TESTED))
        statistic = _lack_of_fit(q * np.sqrt(n), residual, floor, tested, cubic=cubic > 0)
        tests["lack of fit"] = f_tail(
            statistic, features * d * len(tested), (dof - features) * d * len(tested)
        )
        notes["lack of fit"] = f"F = {statistic:.3g}"
    return data, tests, notes


def orthonormal(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return Q and R of each matrix of a stack, (T, n, d): Cholesky twice, or Householder.

    The second pass restores the orthogonality that the first one's squared condition lost.
    """
    try:
        first = np.linalg.cholesky(x.swapaxes(1, 2) @ x).swapaxes(1, 2)
        q = x @ np.linalg.inv(first)
        second = np.linalg.cholesky(q.swapaxes(1, 2) @ q).swapaxes(1, 2)
        if np.abs(second - np.eye(x.shape[2])).max() < 1e-3:
            return q @ np.linalg.inv(second), second @ first
    except np.linalg.LinAlgError:
        pass
    q, r = np.linalg.qr(x)
    return q, r


def _lack_of_fit(
    z: FloatArray, residual: FloatArray, floor: float, tested: range, *, cubic: bool
) -> float:
    """F statistic of z_i z_j and, if ``cubic``, z_i^3 and z_i |z|^2 in the residuals."""
    _, n, d = z.shape
    explained = 0.0
    count = d * (d + 1) // 2 + (cubic and d) + (cubic and d > 1 and d)
    rows = np.empty((d + 1 + count, n))  # 1, z, features
    rows[0] = 1
    seen, f = rows[: d + 1], rows[d + 1 :]
    for k in tested:
        rows[1 : d + 1] = z[k].T
        at = 0
        for i in range(d):
            np.multiply(rows[1 + i], rows[1 + i : d + 1], out=f[at : at + d - i])
            at += d - i
        if cubic:
            squares = rows[1 : d + 1] ** 2
            np.multiply(rows[1 : d + 1], squares, out=f[at : at + d])
            if d > 1:
                np.multiply(rows[1 : d + 1], squares.sum(axis=0), out=f[at + d :])
        # 1 and z, orthogonal with squared length n, are projected out of the features.
        shared = f @ seen.T
        gram, cross = f @ f.T - shared @ shared.T / n, f @ residual[k]
        fitted = float(np.sum(cross * np.linalg.solve(gram, cross)))
        left = float(np.sum(residual[k] ** 2)) - fitted
        explained += fitted / max(left / ((n - d - 1 - count) * d), floor**2)
    return float(explained / (len(tested) * count * d))


def wedge_test(times: FloatArray, x: FloatArray, v: FloatArray) -> float:
    """p-value of a constant E[v ^ x]: its first three moments in time, by Hotelling's test.

    For any plan (X1 - X0) ^ X_t = X1 ^ X0 path by path.
    """
    T, n, d = x.shape
    if T < 2:
        return 1.0
    shapes = np.polynomial.chebyshev.chebvander(2 * times - 1, min(3, T - 1))
    contrasts = np.linalg.qr(shapes)[0][:, 1:].T
    i, j = np.triu_indices(d, 1)
    p = min(len(contrasts) * len(i), max(1, n // 3))  # more than n / 3 have no usable covariance
    crossed = np.tensordot(contrasts, v.swapaxes(1, 2) @ x / n, 1)
    mean = (crossed[:, i, j] - crossed[:, j, i]).reshape(-1)[:p]
    # Their covariance from as many points as it takes: a matrix of v_i x_j for each.
    some = min(n, max(400, 16 * p))
    scaled = contrasts[:, None] * v[:, :some].transpose(1, 2, 0)[:, None]
    each = (scaled.reshape(some, -1, T) @ x[:, :some].swapaxes(0, 1)).reshape(some, -1, d, d)
    moments = (each[:, :, i, j] - each[:, :, j, i]).reshape(some, -1)[:, :p]
    centred = moments - moments.mean(axis=0)
    scatter = centred.T @ centred / (some - 1)
    size = float(np.mean(np.sum(x[:, :some] ** 2, axis=2) * np.sum(v[:, :some] ** 2, axis=2))) / d
    # RK4 and rounding leave differences of this size in a field without noise.
    scatter[np.diag_indices(p)] += 1e-10 * size
    squared = n * float(mean @ np.linalg.solve(scatter, mean))
    return f_tail(squared * (some - p) / (p * (some - 1)), p, some - p)


def finish_gaussian(
    data: AffineData,
    source: End,
    target: End | None,
    tests: dict[str, float],
    notes: dict[str, str],
    settings: dict[str, Any],
) -> Recovery:
    """Fit a plan to slopes and say what it is worth; ``tests`` are p-values known already."""
    fit = fit_gaussian(data, source, target)
    dim = data.dim
    plan = plan_of(fit)
    tests = {**tests, "one plan for all times": fit.consistency, "feasible": fit.feasibility}
    notes = {
        **notes,
        "one plan for all times": f"chi2 = {fit.chi2:.4g} with {fit.dof} degrees of freedom",
        "feasible": f"largest canonical correlation {1 + fit.excess:.6g}",
    }
    rejected = [name for name, p in tests.items() if p < REJECTED]
    misfit = float(np.sqrt(np.mean(fit.misfit**2)))
    if rejected:
        status = "inconsistent"
        message = f"no Gaussian plan has this field: {', '.join(rejected)} rejected"
        verdict, reason = "representative", "the field is not that of a Gaussian plan"
    else:
        status, message = "converged", "the slopes of the field at all times fit one Gaussian plan"
        verdict, reason = verdict_in_family(dim)
    settings = {**settings, "noise": float(np.sqrt(np.mean(data.noise**2)))}
    return Recovery(
        plan=plan,
        family="gaussian",
        verdict=verdict,
        reason=reason,
        status=status,
        message=message,
        residuals=Residuals(
            moments=misfit, per_time=frozen(fit.misfit), field=misfit, mismatch=None
        ),
        error_bars=_bars(fit, plan),
        settings=settings,
        history=(),
        estimator=GaussianEstimator(plan, frozen(fit.joint_cov), frozen(fit.mean_cov)),
        evidence=tuple(f"{k}: {notes.get(k, '')} p = {p:.3g}" for k, p in tests.items()),
        p_values=tests,
    )


def verdict_in_family(dim: int) -> tuple[str, str]:
    """Return the verdict on a Gaussian plan that passed its tests."""
    if dim == 1:
        return "unique in family", (
            "unique in Gaussian plans; on the line the field at all times determines the plan "
            "whatever it is (family 'line'), here it was asked at some and Gaussian plans assumed"
        )
    return "unique in family", (
        "unique in Gaussian plans: the field fixes all moments up to order 3, hence the "
        "cross-covariance; beyond Gaussian plans others have the same field (alternatives())"
    )


def plan_of(fit: GaussianFit) -> GaussianPlan:
    """Return the plan of a fit."""
    return GaussianPlan(fit.mean0, fit.mean1, fit.cov00, fit.cov01, fit.cov11)


def _bars(fit: GaussianFit, plan: GaussianPlan) -> dict[str, ErrorBar]:
    d = plan.dim
    variances = np.diag(fit.joint_cov).reshape(3, d, d)
    means = np.diag(fit.mean_cov).reshape(2, d)
    bars = {
        "cov01": (plan.cov01, variances[1]),
        "cov11": (plan.cov11, variances[2]),
        "mean1": (plan.mean1, means[1]),
        "cov00": (plan.cov00, variances[0]),
        "mean0": (plan.mean0, means[0]),
    }
    out = {}
    for name, (value, variance) in bars.items():
        error = np.sqrt(np.maximum(variance, 0))
        if d == 1:
            out[name] = ErrorBar(float(value), float(error.ravel()[0]), 1.0, 0.0)
        else:
            out[name] = ErrorBar(frozen(value), frozen(error), 1.0, 0.0)
    if d == 1 and plan.cov11 > 0:
        rho = float(plan.correlation)
        spread = np.sqrt(plan.cov00 * plan.cov11)
        slope = np.array([-rho / (2 * plan.cov00), 1 / spread, -rho / (2 * plan.cov11)])
        error = float(np.sqrt(max(0.0, slope @ fit.joint_cov @ slope)))
        out = {"correlation": ErrorBar(rho, error, 1.0, 0.0), **out}
    return out


@dataclass(frozen=True, eq=False)
class GaussianEstimator:
    """Expectations under a Gaussian plan, with the error of its moments carried along.

    Averages over fixed draws, with first and second Hermite polynomials as control variates: exact
    for quadratic functions; the same averages are the derivatives along the moments.
    """

    plan: GaussianPlan
    joint_cov: FloatArray
    mean_cov: FloatArray

    def expectations(
        self, functions: Sequence[Callable[[FloatArray, FloatArray], ArrayLike]]
    ) -> list[ErrorBar]:
        """Return E[f(X0, X1)] for each function."""
        d = self.plan.dim
        half = np.random.default_rng(0).standard_normal((QUADRATURE // 2, 2 * d))
        whole = np.concatenate([half, -half])
        root = self.plan._root[0]
        pairs = self.plan.mean + whole @ root.T
        x0, x1 = (pairs[:, 0], pairs[:, 1]) if d == 1 else (pairs[:, :d], pairs[:, d:])
        inverse = np.linalg.pinv(root, rcond=1e-10)
        bars = []
        for f in functions:
            values = real_array("function(x0, x1)", f(x0, x1), shape=(len(whole),))
            rest = values - values.mean()
            mean = float(values.mean())
            first, second = np.zeros(2 * d), np.zeros((2 * d, 2 * d))
            for _ in range(30):  # least squares on the polynomials, which are nearly orthonormal
                linear = whole.T @ rest / len(whole)
                square = (whole * rest[:, None]).T @ whole / len(whole)
                first, second = first + linear, second + square
                change = whole @ linear
                change += 0.5 * (np.einsum("ni,ni->n", whole @ square, whole) - np.trace(square))
                rest = rest - change
                shift = float(rest.mean())
                mean, rest = mean + shift, rest - shift
                if np.mean(change**2) <= 1e-24 * np.mean(values**2):
                    break
            gradient = inverse.T @ first
            hessian = inverse.T @ second @ inverse / 2
            blocks = np.concatenate(
                [
                    hessian[:d, :d].ravel(),
                    2 * hessian[:d, d:].ravel(),
                    hessian[d:, d:].ravel(),
                ]
            )
            variance = gradient @ self.mean_cov @ gradient + blocks @ self.joint_cov @ blocks
            variance += float(np.var(rest)) / len(whole)
            bars.append(ErrorBar(mean, float(np.sqrt(max(variance, 0.0))), 1.0, 0.0))
        return bars


def affine_data(times: ArrayLike, slopes: ArrayLike, offsets: ArrayLike) -> AffineData:
    """Return the data of an affine field v = A_t x + b_t known exactly at some times."""
    t = np.atleast_1d(real_array("times", times))
    A = real_array("A", slopes)
    A = A.reshape(len(t), 1, 1) if A.size == len(t) else A
    if A.ndim != 3 or A.shape[0] != len(t) or A.shape[1] != A.shape[2]:
        raise ValueError(f"A must have shape ({len(t)}, D, D), got {A.shape}")
    d = A.shape[1]
    b = real_array("b", np.reshape(offsets, (len(t), d)) if d == 1 else offsets, shape=(len(t), d))
    if t.min() < 0 or t.max() > 1:
        raise ValueError(f"times must lie in [0, 1], got {t.min():g} to {t.max():g}")
    scale = ROUNDING * max(float(np.sqrt(np.mean(A**2))), 1e-300)
    return AffineData(
        times=t,
        slopes=A,
        centres=np.zeros((len(t), d)),
        values=b,
        roots=np.broadcast_to(np.eye(d), A.shape),
        noise=np.full(len(t), scale),
        counts=np.ones(len(t)),
    )
