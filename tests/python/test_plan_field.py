"""The velocity fields of plans against regressions, conservation laws, closed forms and flows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import linalg

import recouple as rc
from recouple import _core
from recouple.interpolant import Interpolant
from test_plan import SLOW, SMOOTH, gaussian, mixture, some_data

Array = NDArray[np.float64]

SQUARE = rc.custom_interpolant(lambda t: 1 - t * t, lambda t: t * t, name="square")
INTERPOLANTS = [rc.LINEAR, rc.TRIGONOMETRIC, rc.COSINE, SQUARE]


def at(interpolant: Interpolant, t: float) -> tuple[float, float, float, float]:
    return _core.coefficients(interpolant, t)


def witnesses(x: Array) -> Array:
    """Functions of X_t that a wrong velocity would correlate with, one a column."""
    columns = [np.ones(len(x))]
    for c in range(x.shape[1]):
        columns += [x[:, c], np.cos(x[:, c]), np.sin(2 * x[:, c]), np.exp(-0.5 * x[:, c] ** 2)]
    return np.stack(columns, axis=1)


def worst_z(plan: rc.Plan, interpolant: Interpolant, t: float, n: int, seed: int) -> float:
    a, b, da, db = at(interpolant, t)
    x0, x1 = (part.reshape(n, -1) for part in plan.sample(n, seed))
    x = a * x0 + b * x1
    points = x.ravel() if plan.dim == 1 else x
    v = np.reshape(plan.velocity(t, points, interpolant), (n, -1))
    residual = da * x0 + db * x1 - v
    kept = np.isfinite(residual).all(axis=1)
    assert kept.mean() > 1 - 1e-4
    phi = witnesses(x[kept])
    worst = 0.0
    for c in range(plan.dim):
        products = residual[kept, c, None] * phi
        # 1e-9 for the rounding of rates that are functions of the place
        error = products.std(0) / np.sqrt(n) + 1e-9
        worst = max(worst, np.abs(products.mean(0) / error).max())
    return float(worst)


# 6 standard errors: 2e-9 for each of about 500 comparisons.
@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("interpolant", INTERPOLANTS, ids=lambda i: i.name)
def test_the_velocity_is_the_regression_of_the_rate_on_the_place(
    name: str, interpolant: Interpolant
) -> None:
    # A million draws once for each plan; the figure is in standard errors everywhere.
    for t, many in ((0.15, 30_000), (0.6, 1_000_000)):
        n = many if interpolant == rc.LINEAR else 30_000
        assert worst_z(SMOOTH[name], interpolant, t, n, 11) < 6


@pytest.mark.parametrize("name", SLOW)
def test_the_velocity_by_quadrature_is_the_regression_too(name: str) -> None:
    for t in (0.3, 0.7):
        assert worst_z(SLOW[name], rc.LINEAR, t, 4000, 12) < 6


def probability_balance(plan: rc.Plan, interpolant: Interpolant, t: float) -> float:
    """Largest residual of d_t log p + div v + v . grad log p at places X_t visits."""
    a, b, _, _ = at(interpolant, t)
    x0, x1 = plan.sample(25, 3)
    x = a * x0 + b * x1
    h = 2e-4
    early, earlier, late, later = (
        plan.log_density(t + step * h, x, interpolant) for step in (-1, -2, 1, 2)
    )
    change = (8 * (late - early) - (later - earlier)) / (12 * h)
    v = np.reshape(plan.velocity(t, x, interpolant), (25, -1))
    score = np.reshape(plan.score(t, x, interpolant), (25, -1))
    flux = plan.divergence(t, x, interpolant) + (v * score).sum(axis=1)
    return float(np.abs(change + flux).max() / (1 + np.abs(flux).max()))


CLOSED = [name for name in SMOOTH if name != "grid"]


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("interpolant", INTERPOLANTS, ids=lambda i: i.name)
def test_the_velocity_satisfies_the_continuity_equation(
    name: str, interpolant: Interpolant
) -> None:
    for t in (0.2, 0.5, 0.75):
        # Differences of order h^4 = 2e-15 in log p lose eps / h = 1e-12 to rounding.
        assert probability_balance(SMOOTH[name], interpolant, t) < 1e-6


def test_a_grid_plan_satisfies_the_continuity_equation() -> None:
    # The splines of a grid of 160 points, seen along t, are smooth to 1e-7.
    for t in (0.2, 0.4, 0.75):
        assert probability_balance(SMOOTH["grid"], rc.LINEAR, t) < 1e-6


# At t = 0.4 the decreasing plan has not folded yet: (1 - t) x + t T(x) increases everywhere.
@pytest.mark.parametrize("name", SLOW)
def test_quadrature_satisfies_the_continuity_equation(name: str) -> None:
    assert probability_balance(SLOW[name], rc.LINEAR, 0.4) < 1e-6


@pytest.mark.parametrize("name", CLOSED)
def test_jacobian_divergence_and_score_are_derivatives(name: str) -> None:
    plan, t, h = SMOOTH[name], 0.35, 1e-4
    d = plan.dim
    x = np.random.default_rng(0).normal(size=(6, d))

    def shaped(y: Array) -> Array:
        return y.ravel() if d == 1 else y

    jacobian = np.reshape(plan.jacobian(t, shaped(x)), (6, d, d))
    for c in range(d):
        e = np.zeros(d)
        e[c] = h

        def central(f: Any, e: Array = e) -> Array:
            values = [np.reshape(f(t, shaped(x + s * e)), (6, -1)) for s in (-2, -1, 1, 2)]
            slope: Array = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
            return slope

        scale = 1 + np.abs(jacobian).max()
        assert np.abs(jacobian[:, :, c] - central(plan.velocity)).max() < 1e-9 * scale
        score = np.reshape(plan.score(t, shaped(x)), (6, d))[:, c]
        assert np.abs(score - central(plan.log_density)[:, 0]).max() < 1e-9 * scale
    trace = np.trace(jacobian, axis1=1, axis2=2)
    # The data set's comes from a mean square distance: some digits of the exponents are lost.
    assert np.allclose(plan.divergence(t, shaped(x)), trace, rtol=1e-11, atol=1e-11)


SPACE = {name: plan for name, plan in SMOOTH.items() if plan.dim > 1} | {
    "several D=2": rc.mix_plans([1, 2], [SMOOTH["data set D=2"], mixture(2)])
}


@pytest.mark.parametrize("name", SPACE)
def test_the_mean_rotation_does_not_change_in_time(name: str) -> None:
    plan = SPACE[name]
    d, n = plan.dim, 100_000
    x0, x1 = plan.sample(n, 7)
    if name.startswith("data set"):  # independent of X0, which is centred
        exact = np.zeros((d, d))
    else:
        of = mixture(2) if name == "several D=2" else plan
        second = of.cov + np.outer(of.mean, of.mean)
        exact = second[d:, :d] - second[:d, d:]
        exact = exact * (2 / 3) if of is not plan else exact
    for t in (0.0, 0.3, 0.8, 0.99):
        x = (1 - t) * x0 + t * x1
        v = plan.velocity(t, x)
        for i in range(d):
            for j in range(i):
                wedge = v[:, i] * x[:, j] - v[:, j] * x[:, i]
                assert abs(wedge.mean() - exact[i, j]) < 6 * wedge.std() / np.sqrt(n)


def test_the_rotation_of_a_gaussian_plan_is_constant_to_rounding() -> None:
    plan, d = gaussian(4), 4
    origin = np.zeros((1, d))
    for t in np.linspace(0, 1, 7):
        mean, cov = plan.marginal(t).mean(), plan.marginal(t).cov()
        second = plan.jacobian(t, origin)[0] @ cov + np.outer(plan.velocity(t, mean[None])[0], mean)
        whole = plan.cov + np.outer(plan.mean, plan.mean)
        assert np.allclose(second - second.T, whole[d:, :d] - whole[:d, d:], atol=1e-12)


def test_the_kernel_of_the_line_is_that_of_space() -> None:
    plan = mixture(1)
    wide = rc.MixturePlan(
        plan.weights,
        np.stack(
            [plan.means[:, 0], 0 * plan.means[:, 0], plan.means[:, 1], 0 * plan.means[:, 0]], 1
        ),
        np.array([np.kron(c, np.diag([1.0, 0.0])) + np.diag([0, 1.0, 0, 1.0]) for c in plan.covs]),
    )
    x = np.linspace(-4, 4, 33)
    for t in (0.0, 0.4, 1.0):
        flat = wide.velocity(t, np.stack([x, 0 * x], axis=1))
        assert np.allclose(flat[:, 0], plan.velocity(t, x), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("gap", [1e-1, 1e-3, 1e-6, 1e-9, 1e-11])
def test_the_field_of_a_data_set_is_right_as_t_goes_to_one(gap: float) -> None:
    import mpmath

    mpmath.mp.dps = 60
    data = some_data(2, 30) + 100
    t = 1 - gap
    # Places a few noise widths from the middle between two rows, where both still count.
    middle = 0.5 * (data[3] + data[4])
    x = np.concatenate([middle[None] * t, data[:3] * t + 0.5 * (1 - t)])
    got = rc.dataset_plan(data).velocity(t, x)
    a, b = 1 - mpmath.mpf(t), mpmath.mpf(t)
    for i, point in enumerate(x):
        place = [mpmath.mpf(float(c)) for c in point]
        energy = [
            sum((p - b * mpmath.mpf(float(c))) ** 2 for p, c in zip(place, row, strict=True))
            / (2 * a**2)
            for row in data
        ]
        least = min(energy)
        weight = [mpmath.exp(least - e) for e in energy]
        total = sum(weight)
        for c in range(2):
            mean = sum(w * mpmath.mpf(float(r[c])) for w, r in zip(weight, data, strict=True))
            exact = (mean / total - place[c]) / a
            if i == 0 and gap < 1e-3:
                continue  # the tie is decided by the last bits of x itself
            # x and the rows, about 100, are rounded to 1e-14, which the division by a enlarges.
            assert abs(got[i, c] - float(exact)) < 4e-14 / gap + 1e-12


@pytest.mark.parametrize("dim", [1, 2, 4])
def test_the_floor_of_independent_gaussians_is_the_geometric_mean(dim: int) -> None:
    plan = gaussian(dim, 9)
    s0, s1 = (np.reshape(s, (dim, dim)) for s in (plan.cov00, plan.cov11))
    independent = rc.GaussianPlan(
        plan.mean0, plan.mean1, plan.cov00, np.zeros((dim, dim)), plan.cov11
    )
    root = linalg.sqrtm(s0)
    inverse = np.linalg.inv(root)
    geometric = root @ linalg.sqrtm(inverse @ s1 @ inverse) @ root
    exact = np.pi / 2 * np.trace(geometric)
    assert float(independent.floor()) == pytest.approx(exact, rel=1e-12)
    # The same for the trigonometric interpolant: da, db and the mean square rate change.
    assert independent.floor(rc.TRIGONOMETRIC).error < 1e-11


def test_the_floor_on_the_line_is_what_the_best_regression_leaves() -> None:
    plan = mixture(1)
    floor = plan.floor()
    rng = np.random.default_rng(0)
    n = 400_000
    t = rng.random(n)
    x0, x1 = plan.sample(n, rng)
    loss = (x1 - x0 - rc.velocity_field(plan)(t, (1 - t) * x0 + t * x1)) ** 2
    assert abs(loss.mean() - floor.value) < 6 * loss.std() / np.sqrt(n) + floor.error
    space = mixture(2).floor()
    x0, x1 = mixture(2).sample(n, rng)
    v = rc.velocity_field(mixture(2))(t, (1 - t)[:, None] * x0 + t[:, None] * x1)
    loss = ((x1 - x0 - v) ** 2).sum(axis=1)
    assert abs(loss.mean() - space.value) < 6 * (loss.std() / np.sqrt(n) + space.error)


# How far each is followed: a data set ends in atoms, and fields by quadrature are slow. The path of
# a grid plan converges with its grid, to 8e-8 at 160 points a side and 3e-9 at 320.
FLOWS: dict[str, tuple[rc.Plan, float]] = {
    "gaussian": (SMOOTH["gaussian on the line"], 1.0),
    "mixture": (SMOOTH["mixture on the line"], 1.0),
    "data set": (SMOOTH["data set on the line"], 0.9),
    "grid": (mixture(1).on_grid(320, 320), 1.0),
    "product": (SLOW["product"], 0.4),
    "several": (SLOW["several"], 0.3),
    "monotone": (SLOW["monotone"], 0.7),
    "decreasing": (SLOW["decreasing"], 0.4),
}


@pytest.mark.parametrize("name", FLOWS)
def test_the_flow_pushes_quantiles_to_quantiles(name: str) -> None:
    plan, end = FLOWS[name]
    u = np.array([0.02, 0.3, 0.55, 0.98])
    x0 = np.asarray(plan.source.ppf(u))
    x = rc.integrate(rc.velocity_field(plan), x0, t1=end, rtol=1e-11, atol=1e-12).x
    assert np.allclose(plan.marginal(end).cdf(x), u, rtol=0, atol=1e-8)
    if isinstance(plan, rc.MonotonePlan):
        assert np.allclose(x, (1 - end) * x0 + end * plan.transport(x0), atol=1e-8)


def test_collision_times_are_the_roots_of_the_singular_values() -> None:
    assert gaussian(2).collision_times().size == 0
    assert rc.dataset_plan([1.0, 2.0]).collision_times() == pytest.approx([1.0])
    assert rc.dataset_plan([1.0, 2.0]).as_mixture().collision_times() == pytest.approx([1.0])
    # X1 = diag(-1, -3) X0: the two coordinates collapse at 1/2 and at 1/4.
    turn = np.diag([-1.0, -3.0])
    plan = rc.GaussianPlan([0, 0], [0, 0], np.eye(2), turn, turn @ turn)
    assert plan.collision_times() == pytest.approx([0.25, 0.5], abs=1e-9)
    cosine = plan.collision_times(rc.COSINE)
    assert [rc.LINEAR.time_of(*at(rc.COSINE, float(t))[:2]) for t in cosine] == pytest.approx(
        [0.25, 0.5], abs=1e-9
    )
    # X0 on a line for ever is singular, but no more at one time than at another.
    flat = rc.GaussianPlan([0, 0], [0, 0], np.diag([1.0, 0]), np.diag([0.5, 0]), np.diag([1.0, 0]))
    assert flat.collision_times().size == 0
    atoms = rc.AtomicPlan(
        np.array([[0.0, 0], [1, 0], [5, 5]]), np.array([[2.0, 0], [0, 0], [5, 6]])
    )
    assert atoms.collision_times() == pytest.approx([1 / 3])


def test_a_collision_raises_or_gives_the_limit_asked_for() -> None:
    plan = rc.dataset_plan([-1.0, 1.0])
    with pytest.raises(ValueError, match="singular at t = 1"):
        rc.velocity_field(plan)(1.0, [0.5])
    with pytest.raises(ValueError, match="singular at t = 1"):
        plan.score(1.0, [0.5])
    before = rc.velocity_field(plan, at_collision="before")
    assert before(1.0, [0.5, -0.5, 2.0]).tolist() == [np.inf, -np.inf, -np.inf]
    assert before(1.0, 1.0) == pytest.approx(0.0, abs=1e-9)
    times = np.array([0.5, 1.0])
    assert before(times, [0.5, 0.5]).tolist() == [plan.velocity(0.5, [0.5])[0], np.inf]
    with pytest.raises(ValueError, match="side inside"):
        rc.velocity_field(plan, at_collision="after")(1.0, [0.5])
    # All paths through one point at t = 1/2, with finite speed for x = 0 alone.
    mirror = rc.monotone_plan(rc.Normal(0, 1), rc.Normal(0, 1), decreasing=True)
    late = rc.velocity_field(mirror, at_collision="after")
    assert late(0.5, [0.0, 1.0, -1.0]).tolist() == [0.0, np.inf, -np.inf]
    early = mirror.velocity(0.5, [1.0, -1.0], at_collision="before")
    assert early.tolist() == [-np.inf, np.inf]


def test_singular_blocks_give_the_field_on_the_support() -> None:
    # X0 and X1 on the first axis; the second coordinate is constant.
    line = gaussian(1)
    cov = np.zeros((4, 4))
    cov[np.ix_([0, 2], [0, 2])] = line.covs[0]
    flat = rc.GaussianPlan.from_joint([line.mean0, 1.0, line.mean1, 3.0], cov)
    x = np.linspace(-3, 3, 9)
    for t in (0.0, 0.4, 1.0):
        v = flat.velocity(t, np.stack([x, np.full(9, 1 + 2 * t)], axis=1))
        assert np.allclose(v[:, 0], line.velocity(t, x), atol=1e-12)
        assert np.allclose(v[:, 1], 2)
    with pytest.raises(ValueError, match="no density: the smallest eigenvalue"):
        flat.pdf(np.zeros((1, 2)), np.zeros((1, 2)))
