"""Gaussian plans from trajectories and from snapshots of X_t."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, frozen, real_array
from recouple.inverse.affine import nearest_feasible
from recouple.inverse.end import dimension_of, read_end
from recouple.inverse.errorbar import ErrorBar
from recouple.inverse.gaussian import GaussianEstimator, finish_gaussian, regress
from recouple.inverse.recovery import Recovery, Residuals
from recouple.inverse.significance import chi2_tail
from recouple.plan import GaussianPlan

STABLE = 100.0  # condition number of a polynomial fit that still gives derivatives


def recover_plan_from_trajectories(
    times: ArrayLike,
    trajectories: ArrayLike,
    source: Any = None,
    target: Any = None,
) -> Recovery:
    r"""Recover a Gaussian plan from trajectories of its field, dx/dt = v(t, x).

    Polynomials in t are fitted to the trajectories, of the highest degree that the times support;
    their derivatives are values of v, and an affine field follows at every time.

    Parameters
    ----------
    times : array of shape (T,)
        Increasing, in [0, 1], at least 3; Chebyshev points give spectral accuracy.
    trajectories : array of shape (n, T, D), or (n, T) on the line
        Points followed; n at least D + 1.
    source : law, (mean, covariance) or samples, optional
        Law of X0. Default: the points at time 0, if it is among the times.
    target : the same, optional

    Returns
    -------
    Recovery
        As from family "gaussian".

    Raises
    ------
    ValueError
        On shapes, on too few points (the message says how many are needed), on a source that is
        neither given nor seen.

    Notes
    -----
    Accuracy: 3e-10 from D + 1 noise-free trajectories at 32 Chebyshev times.

    Examples
    --------
    >>> import numpy as np, recouple as rc
    >>> plan = rc.GaussianPlan(0.0, 0.0, 1.0, 0.5, 2.0)
    >>> t = 0.5 - 0.5 * np.cos(np.pi * (np.arange(24) + 0.5) / 24)
    >>> flow = rc.integrate(rc.velocity_field(plan), [-1.0, 1.0], t_eval=t, rtol=1e-11)
    >>> rec = rc.recover_plan_from_trajectories(t, flow.x.T, rc.Normal(0.0, 1.0))
    >>> round(rec.plan.cov01, 6)
    0.5
    """
    t = real_array("times", times, ndim=1)
    if len(t) < 3 or (np.diff(t) <= 0).any() or t[0] < 0 or t[-1] > 1:
        raise ValueError(f"times must be at least 3, increasing, in [0, 1], got {t.tolist()}")
    x = real_array("trajectories", trajectories)
    x = x[:, :, None] if x.ndim == 2 else x
    if x.ndim != 3 or x.shape[1] != len(t):
        raise ValueError(f"trajectories must have shape (n, {len(t)}, D), got {x.shape}")
    n, _, d = x.shape
    if n < d + 1:
        raise ValueError(
            f"trajectories must be at least {d + 1} for an affine field in dimension {d}, got {n}"
        )
    if source is None:
        if t[0] > 0:
            raise ValueError("source must be given: no trajectory is seen at time 0")
        source = x[:, 0]
    end0 = read_end("source", source, d, regular=True)
    end1 = None if target is None else read_end("target", target, d, regular=False)
    points = np.ascontiguousarray(x.transpose(1, 0, 2))
    values, noise, degree = _derivatives(t, points.reshape(len(t), -1))
    data, tests, notes = regress(t, points, values.reshape(points.shape))
    data = replace(data, noise=np.maximum(data.noise, noise))
    settings = {"times": len(t), "points": n, "degree": degree}
    return finish_gaussian(data, end0, end1, tests, notes, settings)


def _derivatives(t: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray, int]:
    """Derivatives at t of polynomials fitted to the columns of x, their noise, and the degree.

    The last coefficients measure what the fit leaves: noise of x, or terms that are missing.
    """
    basis = np.polynomial.chebyshev.chebvander(2 * t - 1, len(t) - 1)
    degree = 1
    for k in range(2, len(t)):
        if np.linalg.cond(basis[:, : k + 1]) > STABLE:
            break
        degree = k
    coefficients, *_ = np.linalg.lstsq(basis[:, : degree + 1], x, rcond=None)
    tail = float(np.sqrt(np.mean(coefficients[-2:] ** 2)))
    derivative = np.polynomial.chebyshev.chebder(np.eye(degree + 1)) * 2  # (degree, degree + 1)
    rates = basis[:, :degree] @ derivative
    return rates @ coefficients, tail * np.linalg.norm(rates, axis=1), degree


def recover_gaussian_from_snapshots(
    times: ArrayLike,
    snapshots: Sequence[Any],
    *,
    source: Any = None,
    target: Any = None,
) -> Recovery:
    """Recover what snapshots of X_t in R^D tell of a Gaussian plan: all but C - C'.

    Cov(X_t) is quadratic in t with coefficients S0, S1 and H = (C + C') / 2, fitted by generalised
    least squares. The antisymmetric part is 0, or the least that makes the plan feasible.
    """
    t = real_array("times", times, ndim=1)
    if len(snapshots) != len(t):
        raise ValueError(f"snapshots must have {len(t)} entries like times, got {len(snapshots)}")
    if len(np.unique(t)) != len(t):
        raise ValueError(f"times must hold each time once, got {t.tolist()}")
    if t.min() < 0 or t.max() > 1:
        raise ValueError(f"times must lie in [0, 1], got {t.min():g} to {t.max():g}")
    dim = dimension_of(snapshots[0])
    ends = [read_end(f"snapshots[{k}]", s, dim, regular=True) for k, s in enumerate(snapshots)]
    for name, law, at in (("source", source, 0.0), ("target", target, 1.0)):
        if law is not None:
            ends.append(read_end(name, law, dim, regular=True))
            t = np.append(t, at)
    if len(np.unique(t)) < 3:
        raise ValueError(
            "times must be at least 3, ends included, for a covariance quadratic in t, got "
            f"{len(np.unique(t))}"
        )
    shares = np.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], axis=1)
    # S_t is linear in (S0, H, S1): each entry by least squares, weighted by the samples; whitened
    # by the average covariance its errors are independent with variance 1 / n.
    counts = np.array([min(end.count, 1e9) for end in ends])
    covs = np.array([end.cov for end in ends])
    means = np.array([end.mean for end in ends])
    pooled = covs.mean(axis=0)
    sizes = np.trace(np.linalg.solve(pooled, covs), axis1=1, axis2=2) / dim
    weight = np.sqrt(counts) / sizes
    fitted, *_ = np.linalg.lstsq(
        shares * weight[:, None], covs.reshape(len(t), -1) * weight[:, None], rcond=None
    )
    information = np.linalg.inv((shares * weight[:, None]).T @ (shares * weight[:, None]))
    cov00, H, cov11 = fitted.reshape(3, dim, dim)
    lines = np.stack([1 - t, t], axis=1) * np.sqrt(counts / sizes)[:, None]
    both, *_ = np.linalg.lstsq(lines, means * np.sqrt(counts / sizes)[:, None], rcond=None)
    chi2 = 0.0
    for share, end, count in zip(shares, ends, counts, strict=True):
        model = np.tensordot(share, fitted.reshape(3, dim, dim), 1)
        if np.linalg.eigvalsh(model)[0] <= 0:
            chi2 = np.inf
            break
        gap = np.linalg.solve(model, end.cov - model)
        chi2 += float(count / 2 * np.trace(gap @ gap))
    half = dim * (dim + 1) // 2
    dof = len(t) * half - 3 * half
    sampled = any(not end.exact for end in ends)
    p = chi2_tail(chi2, dof) if dof > 0 and sampled else 1.0
    cov00, cov01, cov11 = nearest_feasible(cov00, H, cov11)
    plan = GaussianPlan(both[0], both[1], cov00, cov01, cov11)
    diagonal = np.diag(pooled)
    spread = np.outer(diagonal, diagonal) + pooled**2
    errors = np.sqrt(np.diag(information)[:, None, None] * spread)
    joint = np.zeros((3 * dim * dim, 3 * dim * dim))
    np.fill_diagonal(joint, (errors**2).ravel())
    mean_cov = np.kron(np.linalg.inv(lines.T @ lines), pooled)
    gap = shares @ fitted - covs.reshape(len(t), -1)
    per_time = np.linalg.norm(gap, axis=1) / np.linalg.norm(covs.reshape(len(t), -1), axis=1)
    bars = {
        "(cov01 + cov01')/2": ErrorBar(frozen(H), frozen(errors[1]), 1.0, 0.0),
        "cov00": ErrorBar(frozen(cov00), frozen(errors[0]), 1.0, 0.0),
        "cov11": ErrorBar(frozen(cov11), frozen(errors[2]), 1.0, 0.0),
    }
    good = p >= 1e-3
    return Recovery(
        plan=plan,
        family="gaussian",
        verdict="representative",
        reason=(
            "snapshots of p_t fix the symmetric part of Cov(X0, X1) only: C - C' is not "
            "identified; the plan takes the least that is feasible"
        ),
        status="converged" if good else "inconsistent",
        message="covariances at all times fit one quadratic path"
        if good
        else "no plan has covariances like these: they are not quadratic in time",
        residuals=Residuals(
            moments=float(np.sqrt(np.mean(per_time**2))),
            per_time=frozen(per_time),
            field=None,
            mismatch=None,
        ),
        error_bars=bars,
        settings={"times": len(t), "samples": sampled},
        history=(),
        estimator=GaussianEstimator(plan, frozen(joint), frozen(mean_cov)),
        evidence=(
            f"one quadratic path: chi2 = {chi2:.4g} with {dof} degrees of freedom p = {p:.3g}",
        ),
        p_values={"one quadratic path": p},
    )
