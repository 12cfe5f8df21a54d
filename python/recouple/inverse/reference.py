"""Reference measures of the dual: what fills the directions that the field does not show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from recouple.arguments import FloatArray, frozen
from recouple.inverse.dual import Problem, density_on
from recouple.inverse.noise import Level, freedom
from recouple.marginal import Normal
from recouple.plan import MixturePlan

MOST_COMPONENTS = 8  # of a fitted mixture
WORTH = 1.25  # factor in the misfit that a component has to be worth
RESTARTS = 3  # of EM for each number of components, beside the splits of the fit with one fewer
ROUNDS = 20  # of EM: the way from there is shorter by the Levenberg-Marquardt method
FLAT = 1e-3  # standard deviation of a component, in the plan's reach, below which none is split
APART = 0.7  # of a standard deviation along its longest axis: where the halves of a component go
PATIENCE = 8  # steps that gain less than a hundredth, one after the other, after which a fit ends
FLOOR = 1e-8  # share of the product of the ends in a fitted reference: nothing is ruled out
NARROW = 0.5  # standard deviation of a component, in grid spacings, below which it is widened
SUFFICIENT = 3.0  # multiple of the data's error at which a fit explains them
STEP = 1e-4  # of a parameter, in its scale, in a central difference
_NORMAL = Normal(0.0, 1.0)


@dataclass(frozen=True)
class CdfFit:
    """A Gaussian mixture fitted to the cdfs of X_t, and how well it fits.

    ``residual``: root mean square misfit of the cdfs; ``bic``: P log(residual^2) + q log P for q
    parameters, P being the number of spline moments the cdfs stand for.
    """

    plan: MixturePlan
    residual: float
    bic: float


def schroedinger(mass0: FloatArray, mass1: FloatArray, correlation: float) -> FloatArray:
    """Return the masses a(x) b(y) exp(c x y) with these marginals and this correlation.

    It is the plan nearest the product that has the correlation: a Schroedinger coupling.
    """
    places = [np.linspace(-1, 1, len(m)) for m in (mass0, mass1)]
    u, v = (
        (x - m @ x / m.sum()) / np.sqrt(m @ x**2 / m.sum() - (m @ x / m.sum()) ** 2)
        for x, m in zip(places, (mass0, mass1), strict=True)
    )
    p, q = mass0 / mass0.sum(), mass1 / mass1.sum()
    uv = np.clip(np.outer(u, v), -12, 12)  # the corners beyond carry nothing

    def coupling(c: float) -> FloatArray:
        kernel = np.exp(c * uv)
        b = np.ones(len(q))
        for _ in range(400):
            a = p / (kernel @ b)
            last, b = b, q / (kernel.T @ a)
            if np.abs(b / last - 1).max() < 1e-9:
                break
        plan: FloatArray = a[:, None] * kernel * b
        return plan

    wanted = float(np.clip(correlation, -0.98, 0.98))
    low, high = sorted((0.0, np.sign(wanted) * 40.0))
    for _ in range(24):
        middle = 0.5 * (low + high)
        if u @ coupling(middle) @ v < wanted:
            low = middle
        else:
            high = middle
    return coupling(0.5 * (low + high))


def fit_mixture_to_cdfs(
    times: FloatArray,
    places: FloatArray,
    cdf: FloatArray,
    grid: tuple[FloatArray, FloatArray, FloatArray],
    error: float,
    *,
    data: int,
) -> CdfFit:
    """Fit a Gaussian mixture plan to values F_t(x) of the cdfs of X_t.

    Components are counted up until the misfit is down to ``error`` or two more, one after the
    other, have not each cut it by a fifth: the errors of a field are alike at neighbouring places
    and times, so that BIC would let components describe them. The fits
    with one more component start from the best so far with one of its components split, each in
    turn, and from EM on the masses of ``grid`` (x0, x1, mass), an approximate plan; all are
    polished by the Levenberg-Marquardt method on the cdfs.
    """
    points, masses = _thinned(*grid)
    rng = np.random.default_rng(0)  # of the starts, not of the data: fixed, so that results repeat
    best: CdfFit | None = None
    found: CdfFit | None = None
    worse = 0
    for count in range(1, MOST_COMPONENTS + 1):
        smaller, found = found, None
        for start in _starts(points, masses, count, smaller, rng):
            parameters, residual = _polish(start, times, places, cdf)
            bic = 2 * data * np.log(max(residual, error)) + (6 * count - 1) * np.log(data)
            if found is None or residual < found.residual:
                found = CdfFit(_plan(parameters), residual, float(bic))
            if residual <= SUFFICIENT * error:
                return found
        assert found is not None
        gained = 1.0 if best is None else WORTH ** (count - len(best.plan.weights))
        if best is None or found.residual * gained < best.residual:
            best, worse = found, 0
        else:
            worse += 1
            if worse == 2:
                break
    assert best is not None
    return best


def reference_of(mixture: MixturePlan, problem: Problem, share: float = FLOOR) -> FloatArray:
    """Return the masses of a mixture on a problem's grid, and a share of the reference it has.

    Components narrower than the grid are widened to what it resolves.
    """
    spacing = np.array([x[1] - x[0] for x in (problem.x0, problem.x1)])
    plan = widened(mixture, NARROW * spacing)
    masses = (1 - share) * density_on(plan, problem) + share * problem.reference
    return np.ascontiguousarray(masses / masses.sum())


def too_narrow(mixture: MixturePlan, problem: Problem) -> float:
    """Return the weight of the components that the problem's grid widens."""
    least = NARROW * np.array([x[1] - x[0] for x in (problem.x0, problem.x1)])
    shortest = np.linalg.eigvalsh(mixture.covs / np.outer(least, least))[:, 0]
    return float(mixture.weights[shortest < 1].sum())


def reference_error(
    fit: CdfFit,
    times: FloatArray,
    places: FloatArray,
    shifts: FloatArray,
    level: float,
    before: Problem,
    solved: Problem,
) -> Problem:
    """Return a problem solved from a fitted mixture with what errors of the cdfs do to that.

    The parameters follow the cdfs as least squares do, to first order, and the plan follows them.

    Parameters
    ----------
    shifts : array (R, places)
        Columns of the cdfs' covariance, at the relative error 1 of the field.
    level : float
        That error. Parameters that it hides go no further than their scale.
    before, solved
        The problem before it had the mixture for a reference, and solved from there.
    """
    parameters, units, jacobian = _linearised(fit.plan, times, places)
    normal = jacobian @ jacobian.T
    error = level**2 * float(np.mean(np.sum(shifts**2, axis=0)))
    normal += max(error, 1e-12 * np.trace(normal)) * np.eye(len(normal))
    scatter = np.linalg.solve(normal, jacobian @ shifts.T).T
    scores = np.zeros((len(parameters), solved.reference.size))
    for j, unit in enumerate(units):
        step = np.zeros_like(parameters)
        step[j] = STEP * unit
        above, below = (
            reference_of(_plan(p), before) for p in (parameters + step, parameters - step)
        )
        change = (above - below) / (2 * STEP)
        np.divide(change, solved.reference, out=scores[j].reshape(change.shape), where=change != 0)
    movable = frozen(solved.tangents(scores))
    return replace(solved, movable=movable, scatter=frozen(np.asarray(scatter, np.float64)))


def told_by_fit(fit: CdfFit, times: FloatArray, places: FloatArray, shifts: FloatArray) -> Level:
    """Return the relative error of the field that would leave a mixture's fit the misfit it has.

    What the parameters follow of the error leaves no misfit.
    """
    _, _, jacobian = _linearised(fit.plan, times, places)
    followed = np.linalg.lstsq(jacobian.T, shifts.T, rcond=1e-9)[0]
    missed = shifts - followed.T @ jacobian
    size = float(np.sqrt(np.mean(np.sum(missed**2, axis=0))))
    return Level(fit.residual / size if size > 0 else 0.0, "by the mixture fitted", freedom(missed))


def _linearised(
    plan: MixturePlan, times: FloatArray, places: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the parameters, their scales, and the cdfs' derivatives by them in these scales."""
    scale = np.sqrt(np.einsum("c,cii->", plan.weights, plan.covs) / 2)
    parameters = _parameters(plan.weights, plan.means, plan.covs)
    units = np.tile([1.0, scale, scale, 1.0, scale, 1.0], len(plan.weights))
    _, jacobian = _model(parameters, times, places, slopes=True)
    assert jacobian is not None
    return parameters, units, units[:, None] * jacobian


def widened(mixture: MixturePlan, least: FloatArray) -> MixturePlan:
    """Return the mixture with no axis of a component shorter than ``least``, a length for each x.

    Lengths are standard deviations.
    """
    scale = np.outer(least, least)
    values, vectors = np.linalg.eigh(mixture.covs / scale)
    wide = np.maximum(values, 1.0)
    covs = (vectors * wide[:, None, :]) @ np.swapaxes(vectors, 1, 2) * scale
    return MixturePlan(mixture.weights, mixture.means, 0.5 * (covs + np.swapaxes(covs, 1, 2)))


def _thinned(x0: FloatArray, x1: FloatArray, mass: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return at most about 48 x 48 points of the grid that carry mass, and their masses."""
    step = max(1, len(x0) // 48), max(1, len(x1) // 48)
    some = mass[:: step[0], :: step[1]]
    x, y = np.meshgrid(x0[:: step[0]], x1[:: step[1]], indexing="ij")
    keep = some > 1e-6 * some.max()
    return np.column_stack([x[keep], y[keep]]), some[keep] / some[keep].sum()


def _starts(
    points: FloatArray,
    masses: FloatArray,
    count: int,
    smaller: CdfFit | None,
    rng: np.random.Generator,
) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    """Yield weights, means and covariances to start from: splits of a smaller fit, then EM's."""
    if smaller is not None:
        wide = widened(smaller.plan, FLAT * np.ptp(points, axis=0))
        for component in range(count - 1):
            yield _split(wide, component)
    for _ in range(1 if count == 1 else RESTARTS):
        yield _em(points, masses, count, rng)


def _split(mixture: MixturePlan, component: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return weights, means and covariances with a component halved along its longest axis.

    The halves together have its mean and covariance.
    """
    c = np.append(np.arange(len(mixture.weights)), component)
    weights, means, covs = mixture.weights[c], mixture.means[c], mixture.covs[c]
    variances, axes = np.linalg.eigh(covs[component])
    step = APART * np.sqrt(variances[1]) * axes[:, 1]
    halves = [component, -1]
    weights[halves] /= 2
    means[halves] += np.array([step, -step])
    covs[halves] -= np.outer(step, step)
    return weights, means, covs


def _em(
    points: FloatArray, masses: FloatArray, count: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return weights, means and covariances after EM from a k-means++ start."""
    mean = masses @ points
    spread = (masses[:, None] * (points - mean)).T @ (points - mean)
    centres = [points[rng.choice(len(points), p=masses)]]
    for _ in range(count - 1):
        gap = np.min([np.sum((points - c) ** 2, axis=1) for c in centres], axis=0) * masses
        centres.append(points[rng.choice(len(points), p=gap / gap.sum())])
    means = np.array(centres) if count > 1 else mean[None]
    weights = np.full(count, 1 / count)
    covs = np.repeat(spread[None] / count, count, axis=0)
    floor = 1e-4 * np.trace(spread) * np.eye(2)
    before = -np.inf
    for _ in range(ROUNDS):
        logs = np.empty((count, len(points)))
        for c in range(count):
            root = np.linalg.cholesky(covs[c])
            z = np.linalg.solve(root, (points - means[c]).T)
            logs[c] = np.log(weights[c]) - np.log(np.diag(root)).sum() - 0.5 * np.sum(z**2, axis=0)
        top = logs.max(axis=0)
        share = np.exp(logs - top)
        total = share.sum(axis=0)
        likelihood = float(masses @ (top + np.log(total)))
        share *= masses / total
        weights = np.maximum(share.sum(axis=1), 1e-8)
        means = share @ points / weights[:, None]
        for c in range(count):
            centred = points - means[c]
            covs[c] = (share[c][:, None] * centred).T @ centred / weights[c] + floor
        if likelihood - before < 3e-5:
            break
        before = likelihood
    return weights / weights.sum(), means, covs


# A component is (log weight, m0, m1, log l00, l10, log l11), with covariance L L'.


def _parameters(weights: FloatArray, means: FloatArray, covs: FloatArray) -> FloatArray:
    roots = np.linalg.cholesky(covs)
    columns = [np.log(weights), means]
    columns += [np.log(roots[:, 0, 0]), roots[:, 1, 0], np.log(roots[:, 1, 1])]
    return np.column_stack(columns).ravel()


def _plan(parameters: FloatArray) -> MixturePlan:
    weights, means, roots = _unpacked(parameters)
    return MixturePlan(weights, means, roots @ np.swapaxes(roots, 1, 2))


def _unpacked(parameters: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    p = parameters.reshape(-1, 6)
    weights = np.exp(p[:, 0] - p[:, 0].max())
    roots = np.zeros((len(p), 2, 2))
    roots[:, 0, 0], roots[:, 1, 0], roots[:, 1, 1] = np.exp(p[:, 3]), p[:, 4], np.exp(p[:, 5])
    return weights / weights.sum(), p[:, 1:3], roots


def _model(
    parameters: FloatArray, t: FloatArray, x: FloatArray, *, slopes: bool
) -> tuple[FloatArray, FloatArray | None]:
    """Return the cdf F_t(x) of the mixture and its derivatives by the parameters."""
    weights, means, roots = _unpacked(parameters)
    a, b = 1 - t, t
    u1 = np.outer(roots[:, 0, 0], a) + np.outer(roots[:, 1, 0], b)
    u2 = np.outer(roots[:, 1, 1], b)
    s = np.sqrt(u1**2 + u2**2)
    z = (x - np.outer(means[:, 0], a) - np.outer(means[:, 1], b)) / s
    parts = weights[:, None] * _NORMAL.cdf(z.ravel()).reshape(z.shape)
    cdf = parts.sum(axis=0)
    if not slopes:
        return cdf, None
    by_mean = -weights[:, None] * np.exp(-0.5 * z**2) / (np.sqrt(2 * np.pi) * s)
    by_spread = by_mean * z / s
    jacobian = np.empty((len(weights), 6, len(x)))
    jacobian[:, 0] = parts - weights[:, None] * cdf
    jacobian[:, 1], jacobian[:, 2] = by_mean * a, by_mean * b
    jacobian[:, 3] = by_spread * u1 * a * roots[:, 0, 0, None]
    jacobian[:, 4] = by_spread * u1 * b
    jacobian[:, 5] = by_spread * u2 * b * roots[:, 1, 1, None]
    return cdf, jacobian.reshape(-1, len(x))


def _polish(
    start: tuple[FloatArray, FloatArray, FloatArray],
    t: FloatArray,
    x: FloatArray,
    cdf: FloatArray,
) -> tuple[FloatArray, float]:
    """Levenberg-Marquardt on the cdfs; returns the parameters and the root mean square misfit."""
    parameters = _parameters(*start)
    model, jacobian = _model(parameters, t, x, slopes=True)
    misfit = cdf - model
    cost, damping, idle = float(misfit @ misfit), 1e-3, 0
    for _ in range(150):
        assert jacobian is not None
        normal, gradient = jacobian @ jacobian.T, jacobian @ misfit
        for _ in range(12):
            lifted = normal + damping * np.diag(np.diag(normal) + 1e-12 * np.trace(normal))
            step = np.linalg.solve(lifted, gradient)
            trial = parameters + np.clip(step, -2, 2)
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                model, _ = _model(trial, t, x, slopes=False)
            trial_misfit = cdf - model
            trial_cost = float(trial_misfit @ trial_misfit)
            if trial_cost < cost:  # false for nan
                break
            damping *= 4
        else:
            break
        idle = idle + 1 if trial_cost > 0.99 * cost else 0
        parameters, misfit, cost = trial, trial_misfit, trial_cost
        damping = max(damping / 5, 1e-14)
        if idle == PATIENCE or cost < 1e-22 * len(x):
            break
        _, jacobian = _model(parameters, t, x, slopes=True)
    return parameters, float(np.sqrt(cost / len(x)))
