"""Plans: their laws, draws and moments against closed forms, samples and each other."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

import recouple as rc

Array = NDArray[np.float64]


def mixture(dim: int, components: int = 3, seed: int = 0) -> rc.MixturePlan:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(components, 2 * dim, 2 * dim)) / np.sqrt(2 * dim)
    covs = root @ root.swapaxes(1, 2) + 0.05 * np.eye(2 * dim)
    means = 1.5 * rng.normal(size=(components, 2 * dim))
    return rc.MixturePlan(rng.uniform(0.5, 1.5, components), means, covs)


def gaussian(dim: int, seed: int = 1) -> rc.GaussianPlan:
    plan = mixture(dim, 1, seed)
    return rc.GaussianPlan.from_joint(plan.means[0], plan.covs[0])


def some_data(dim: int, rows: int = 40) -> Array:
    return np.random.default_rng(5).normal(size=(rows, dim)) * 1.5


SMOOTH: dict[str, rc.Plan] = {
    "gaussian on the line": gaussian(1),
    "gaussian D=2": gaussian(2),
    "gaussian D=4": gaussian(4),
    "mixture on the line": mixture(1),
    "mixture D=2": mixture(2),
    "mixture D=4": mixture(4),
    "data set on the line": rc.dataset_plan(some_data(1).ravel(), 0.8),
    "data set D=2": rc.dataset_plan(some_data(2), 1.3, np.arange(1.0, 41)),
    "data set D=4": rc.dataset_plan(some_data(4), 1.0),
    "grid": mixture(1).on_grid(160, 160),
}
SLOW: dict[str, rc.Plan] = {
    "product": rc.product_plan(stats.logistic(0, 1), stats.norm(1, 2)),
    "monotone": rc.monotone_plan(stats.logistic(0, 1), rc.NormalMixture([1, 2], [-2, 2], [1, 1])),
    "decreasing": rc.monotone_plan(stats.logistic(0, 1), rc.Normal(0, 1), decreasing=True),
    "several": rc.mix_plans([1, 2], [rc.product_plan(stats.logistic(), rc.Normal()), mixture(1)]),
}
PLANS = SMOOTH | SLOW | {"atoms": rc.AtomicPlan([0.0, 1.0, 3.0], [2.0, 0.5, 1.0], [1, 2, 3])}


# Closed forms that must agree.


@given(st.integers(0, 10_000), st.floats(0.0, 1.0))
@settings(max_examples=60, deadline=None)
def test_a_gaussian_plan_is_conditioning_of_joint_normals(seed: int, t: float) -> None:
    d = 1 + seed % 4
    plan = gaussian(d, seed)
    s0, c, s1 = (np.reshape(m, (d, d)) for m in (plan.cov00, plan.cov01, plan.cov11))
    m0, m1 = np.reshape(plan.mean0, d), np.reshape(plan.mean1, d)
    s = (1 - t) ** 2 * s0 + t**2 * s1 + t * (1 - t) * (c + c.T)
    k = (1 - t) * (c.T - s0) + t * (s1 - c)
    x = np.random.default_rng(seed).normal(size=(5, d))
    expected = m1 - m0 + (x - (1 - t) * m0 - t * m1) @ np.linalg.solve(s, k.T)
    got = np.reshape(plan.velocity(t, x.ravel() if d == 1 else x), (5, d))
    # Both lose the condition number of S, at most some thousands here.
    bound = 1e-15 * 100 * np.linalg.cond(s) * (1 + np.abs(expected).max())
    assert np.abs(got - expected).max() < bound
    one = rc.MixturePlan([3.0], plan.means, plan.covs)
    assert np.array_equal(got, np.reshape(one.velocity(t, x.ravel() if d == 1 else x), (5, d)))


def test_a_product_of_normals_is_a_gaussian_plan_without_correlation() -> None:
    plan = rc.product_plan(rc.Normal(1, 2), rc.Normal(-1, 0.5))
    assert plan == rc.GaussianPlan(1, -1, 4, 0, 0.25)
    quadrature = rc.ProductPlan(rc.Normal(1, 2), rc.Normal(-1, 0.5))
    x = np.linspace(-5, 3, 41)
    for t in (0.0, 0.01, 0.3, 0.99, 1.0):
        assert np.allclose(quadrature.velocity(t, x), plan.velocity(t, x), rtol=1e-11, atol=1e-11)
        assert np.allclose(quadrature.log_density(t, x), plan.log_density(t, x), atol=1e-10)
        assert np.allclose(
            quadrature.conditional_covariance(t, x), plan.conditional_covariance(t, x), atol=1e-10
        )
    assert quadrature.moment(2, 3) == pytest.approx(plan.moment(2, 3), rel=1e-11)


def test_products_of_mixtures_and_samples_are_mixtures_and_atoms() -> None:
    mix = rc.NormalMixture([1, 3], [-1, 2], [0.5, 1.0])
    plan = rc.product_plan(mix, rc.Normal())
    quadrature = rc.ProductPlan(mix, rc.Normal())
    x = np.linspace(-4, 5, 30)
    assert np.allclose(plan.velocity(0.4, x), quadrature.velocity(0.4, x), rtol=1e-11, atol=1e-11)
    atoms = rc.product_plan([0.0, 1.0], [2.0, 3.0, 4.0])
    assert isinstance(atoms, rc.AtomicPlan)
    assert len(atoms.x0) == 6
    noisy = rc.product_plan(rc.Normal(0, 0.7), [2.0, 3.0])
    data = rc.dataset_plan([2.0, 3.0], 0.7)
    for t in (0.0, 0.5, 0.9):
        assert np.allclose(noisy.velocity(t, x), data.velocity(t, x), rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="smooth the samples"):
        rc.product_plan(stats.logistic(), [1.0, 2.0])


def test_a_data_set_of_one_row_is_a_straight_line_to_it() -> None:
    row = np.array([1.0, -2.0, 0.5])
    plan = rc.dataset_plan(row[None], 1.7)
    x = np.random.default_rng(0).normal(size=(20, 3))
    for t in (0.0, 0.3, 0.999):
        assert np.allclose(plan.velocity(t, x), (row - x) / (1 - t), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_a_data_set_is_the_mixture_with_an_atom_in_each_component(dim: int) -> None:
    data = some_data(dim, 150)
    plan = rc.dataset_plan(data.ravel() if dim == 1 else data, 1.2, np.linspace(0, 1, 150))
    other = plan.as_mixture()
    x = np.random.default_rng(0).normal(size=(70, dim))
    x = x.ravel() if dim == 1 else x
    for t in (0.0, 1e-9, 0.3, 0.7, 0.99):
        scale = 1 / (1 - t)  # of the field, and of what rounding of the exponents does to it
        for name in ("velocity", "score", "conditional_covariance", "divergence", "log_density"):
            got, want = getattr(plan, name)(t, x), getattr(other, name)(t, x)
            assert np.allclose(got, want, rtol=1e-10, atol=1e-12 * scale**3), (name, t)
    assert np.allclose(plan.cov, other.cov, atol=1e-13)
    powers = ((1,) * dim, (2,) * dim)
    assert plan.moment(*powers) == pytest.approx(other.moment(*powers), rel=1e-12, abs=1e-12)
    assert plan.correlation == pytest.approx(0) if dim == 1 else np.all(plan.correlation == 0)


def test_a_grid_plan_converges_to_the_mixture_at_fourth_order() -> None:
    plan = gaussian(1, 3)
    x = np.linspace(-1.0, 1.0, 40) + plan.marginal(0.4).mean()
    sizes = np.array([32, 48, 72])
    errors = [
        np.abs(plan.on_grid(int(n), int(n)).velocity(0.4, x) - plan.velocity(0.4, x)).max()
        for n in sizes
    ]
    order = -np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert order > 3.7  # or better: the trapezoid rule is spectrally accurate here
    assert errors[-1] < 1e-3


def test_grid_plans_know_the_laws_of_what_they_were_made_from() -> None:
    plan = mixture(1, 2, 4)
    grid = plan.on_grid(200, 200)
    x0, x1 = plan.sample(50, 0)
    assert np.allclose(grid.pdf(x0, x1), plan.pdf(x0, x1), atol=2e-4 * plan.pdf(x0, x1).max())
    assert np.allclose(grid.cov, plan.cov, rtol=1e-3)
    for t in (0.0, 0.4, 1.0):
        law, exact = grid.marginal(t), plan.marginal(t)
        u = np.linspace(0.01, 0.99, 33)
        assert np.allclose(exact.cdf(law.ppf(u)), u, atol=1e-4)  # the grid's own O(h^4)
        assert np.allclose(law.cdf(law.ppf(u)), u, atol=1e-14)
        assert law.mean() == pytest.approx(exact.mean(), abs=1e-3)
        assert law.std() == pytest.approx(exact.std(), rel=1e-3)
    assert np.allclose(grid.score(0.4, x0), plan.score(0.4, x0), rtol=0.01, atol=0.05)
    assert np.allclose(
        grid.conditional_covariance(0.4, 0.6 * x0 + 0.4 * x1),
        plan.conditional_covariance(0.4, 0.6 * x0 + 0.4 * x1),
        rtol=0.01,
    )


# Monotone plans.


@pytest.mark.parametrize("decreasing", [False, True])
def test_a_monotone_plan_of_normals_is_the_singular_gaussian(decreasing: bool) -> None:
    laws = rc.Normal(0, 1), rc.Normal(1, 2)
    curve = rc.MonotonePlan(*laws, decreasing)
    exact = rc.monotone_plan(*laws, decreasing)
    assert isinstance(exact, rc.GaussianPlan)
    x = np.linspace(-1.5, 1.8, 40)  # inside the scan at every one of these times
    for t in (0.0, 0.2, 0.5, 0.8, 1.0):
        assert np.allclose(curve.velocity(t, x), exact.velocity(t, x), rtol=1e-12, atol=1e-12)
    assert curve.collision_times() == pytest.approx([1 / 3] if decreasing else [])
    assert exact.collision_times() == pytest.approx([1 / 3] if decreasing else [])
    assert curve.moment(1, 2) == pytest.approx(exact.moment(1, 2), rel=1e-9)


def test_monotone_plans_of_samples_pair_them_in_order() -> None:
    plan = rc.monotone_plan([3.0, 1.0, 2.0], [10.0, 30.0, 20.0])
    assert isinstance(plan, rc.AtomicPlan)
    assert np.array_equal(plan.x0, [1, 2, 3])
    assert np.array_equal(plan.x1, [10, 20, 30])
    down = rc.monotone_plan([3.0, 1.0, 2.0], [10.0, 30.0, 20.0], decreasing=True)
    assert np.array_equal(down.x1, [30, 20, 10])
    uneven = rc.monotone_plan(rc.Empirical([0.0, 1.0], [0.25, 0.75]), [5.0, 6.0])
    assert np.allclose(uneven.weights, [0.25, 0.25, 0.5])


def test_the_increasing_plan_moves_along_its_transport_map() -> None:
    plan = SLOW["monotone"]
    assert isinstance(plan, rc.MonotonePlan)
    x0 = np.linspace(-5, 5, 30)
    x1 = plan.transport(x0)
    for t in (0.0, 0.3, 1.0):
        moving = (1 - t) * x0 + t * x1
        assert np.allclose(plan.velocity(t, moving), x1 - x0, atol=1e-11)
        assert np.allclose(plan.conditional_covariance(t, moving), 0)


# Draws, conditionals, moments.


@pytest.mark.parametrize("name", PLANS)
def test_draws_have_the_moments_of_the_plan(name: str) -> None:
    plan, n = PLANS[name], 20_000
    x0, x1 = plan.sample(n, 5)
    again = plan.sample(n, np.random.default_rng(5))
    assert np.array_equal(x0, again[0])
    assert np.array_equal(x1, again[1])
    z = np.column_stack([x0, x1])
    for i in range(z.shape[1]):
        for j in range(i + 1):
            product = (z[:, i] - plan.mean[i]) * (z[:, j] - plan.mean[j])
            # 6 standard errors, and the O(h^4) by which a grid's masses differ from its density
            slack = 6 * product.std() / np.sqrt(n) + (2e-3 if name == "grid" else 1e-9)
            assert abs(product.mean() - plan.cov[i, j]) < slack, (i, j)
    assert np.allclose(plan.source.mean(), plan.mean0, atol=2e-3)
    assert np.allclose(plan.target.mean(), plan.mean1, atol=2e-3)


@pytest.mark.parametrize("name", PLANS)
def test_one_draw_from_the_conditional_at_each_source_point_gives_the_target(name: str) -> None:
    plan, n = PLANS[name], 20_000
    x0, x1 = plan.sample(n, 6)
    drawn = plan.sample_conditional(x0, 7)
    assert drawn.shape == x1.shape
    first, second = (np.reshape(x, (n, -1)) for x in (x1, drawn))
    start = np.reshape(x0, (n, -1))
    for f in (lambda x: x, np.cos, np.sin, lambda x: np.cos(x) * np.sin(start)):
        gap = f(first) - f(second)
        assert (np.abs(gap.mean(0)) <= 6 * gap.std(0) / np.sqrt(n) + 1e-9).all()


@pytest.mark.parametrize("name", ["gaussian on the line", "mixture on the line", "grid"])
def test_conditional_draws_follow_the_conditional_law(name: str) -> None:
    plan = PLANS[name]
    x0 = float(plan.mean0) + 0.3
    drawn = np.asarray(plan.sample_conditional(np.full(5000, x0), 1))
    # Kolmogorov-Smirnov at the 1e-6 level.
    assert stats.ks_1samp(drawn, plan.conditional(x0).cdf).pvalue > 1e-6


def test_conditional_laws_are_conditioning() -> None:
    plan = mixture(2, 3, 8)
    x0 = np.array([0.3, -0.2])
    law = plan.conditional(x0)
    x1 = np.random.default_rng(0).normal(size=(20, 2))
    joint = plan.logpdf(np.broadcast_to(x0, (20, 2)), x1)
    assert np.allclose(law.logpdf(x1), joint - plan.source.logpdf(x0[None]), atol=1e-11)
    atoms = rc.AtomicPlan([0.0, 0.0, 1.0], [1.0, 2.0, 3.0], [1, 3, 4])
    assert np.allclose(atoms.conditional(0.0).mean(), 1.75)
    with pytest.raises(ValueError, match="atom of X0"):
        atoms.conditional(0.5)
    with pytest.raises(ValueError, match=r"atoms of X0, got .* at index 1"):
        atoms.sample_conditional([0.0, 0.5])


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_moments_are_those_of_gauss_hermite_quadrature(i: int, j: int, seed: int) -> None:
    plan = mixture(1, 2, seed)
    node, weight = np.polynomial.hermite_e.hermegauss(8)  # exact to degree 15
    weight = weight / weight.sum()
    total = 0.0
    for w, mean, cov in zip(plan.weights, plan.means, plan.covs, strict=True):
        root = np.linalg.cholesky(cov)
        z = np.stack(np.meshgrid(node, node, indexing="ij"), axis=-1) @ root.T + mean
        total += w * (np.outer(weight, weight) * z[..., 0] ** i * z[..., 1] ** j).sum()
    assert plan.moment(i, j) == pytest.approx(total, rel=1e-11, abs=1e-11)


def test_moments_in_space_take_a_power_for_each_coordinate() -> None:
    plan = gaussian(2)
    second = plan.cov + np.outer(plan.mean, plan.mean)
    assert plan.moment((1, 0), (0, 1)) == pytest.approx(second[0, 3], rel=1e-13)
    with pytest.raises(ValueError, match="i must hold 2 power"):
        plan.moment(1, 1)


# Values: frozen, equal, pickled, saved.


@pytest.mark.parametrize("name", PLANS)
def test_plans_pickle_save_reverse_and_do_not_change(name: str) -> None:
    plan = PLANS[name]
    assert len(repr(plan)) < 250
    with pytest.raises(AttributeError, match="immutable"):
        plan.dim = 3
    file = io.BytesIO()
    if name in ("product", "monotone", "decreasing", "several"):
        with pytest.raises(ValueError, match="cannot be saved"):
            plan.save(file)
    else:
        plan.save(file)
        file.seek(0)
        loaded = rc.load_plan(file)
        assert loaded == plan
        assert pickle.loads(pickle.dumps(plan)) == plan
    back = plan.reverse()
    x0, x1 = plan.sample(20, 1)
    assert np.allclose(back.mean0, plan.mean1)
    if name != "atoms":
        x = 0.7 * x0 + 0.3 * x1
        assert np.allclose(back.velocity(0.7, x), -plan.velocity(0.3, x), rtol=1e-6, atol=1e-6)
        field = rc.velocity_field(plan)
        assert np.array_equal(field(0.3, x), plan.velocity(0.3, x))


def test_plans_of_laws_of_this_package_save_too(tmp_path: Any) -> None:
    plans = [
        rc.ProductPlan(rc.Normal(1, 2), rc.NormalMixture([1, 2], [0, 1], [1, 2])),
        rc.MonotonePlan(rc.Normal(1, 2), rc.NormalMixture([1, 2], [0, 1], [1, 2]), True),
        rc.PlanMixture([1, 2], [gaussian(1), rc.dataset_plan([1.0, 2.0])]),
    ]
    x = np.linspace(-2, 2, 5)
    for plan in plans:
        plan.save(tmp_path / "plan.npz")
        loaded = rc.load_plan(tmp_path / "plan.npz")
        assert type(loaded) is type(plan)
        assert np.array_equal(loaded.velocity(0.3, x), plan.velocity(0.3, x))
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    with pytest.raises(ValueError, match="holds no plan"):
        rc.load_plan(tmp_path / "other.npz")
    np.savez(tmp_path / "later.npz", kind="GaussianPlan", version=99)
    with pytest.raises(ValueError, match="layout 99"):
        rc.load_plan(tmp_path / "later.npz")
    np.savez(tmp_path / "short.npz", kind="GridPlan", version=1, x0=np.ones(3))
    with pytest.raises(ValueError, match="must hold x1"):
        rc.load_plan(tmp_path / "short.npz")
    np.savez(tmp_path / "odd.npz", kind="Surprise", version=1)
    with pytest.raises(ValueError, match="Surprise"):
        rc.load_plan(tmp_path / "odd.npz")


def test_threads_change_no_bit_and_float32_stays_float32() -> None:
    for dim in (1, 3):
        for plan in (mixture(dim), rc.dataset_plan(some_data(dim), 1.0)):
            x = np.random.default_rng(0).normal(size=(5000, dim)).astype(np.float32)
            x = x.ravel() if dim == 1 else x
            one = plan.velocity(0.4, x, num_threads=1)
            assert one.dtype == np.float32
            assert np.array_equal(one, plan.velocity(0.4, x, num_threads=3))


# Mixtures of plans, minibatches, distances.


def test_mixing_plans_of_one_kind_gives_that_kind() -> None:
    first, second = gaussian(2, 1), gaussian(2, 2)
    mixed = rc.mix_plans([1, 3], [first, second])
    assert isinstance(mixed, rc.MixturePlan)
    general = rc.PlanMixture([1, 3], [first, second])
    x = np.random.default_rng(0).normal(size=(9, 2))
    for name in ("velocity", "score", "conditional_covariance", "log_density"):
        assert np.allclose(getattr(mixed, name)(0.4, x), getattr(general, name)(0.4, x), atol=1e-11)
    assert np.allclose(mixed.cov, general.cov)
    assert mixed.moment((1, 0), (1, 1)) == pytest.approx(general.moment((1, 0), (1, 1)))
    atoms = rc.mix_plans([1, 1], [rc.AtomicPlan([0.0], [1.0]), rc.AtomicPlan([2.0], [3.0])])
    assert atoms == rc.AtomicPlan([0.0, 2.0], [1.0, 3.0])
    grid = gaussian(1).on_grid(32, 32)
    assert isinstance(rc.mix_plans([1, 1], [grid, grid]), rc.GridPlan)
    data = rc.dataset_plan([1.0, 2.0])
    assert isinstance(rc.mix_plans([1, 1], [data, data]), rc.DatasetPlan)
    with pytest.raises(ValueError, match="one dimension"):
        rc.mix_plans([1, 1], [gaussian(1), gaussian(2)])


def test_minibatch_plans_pair_within_batches() -> None:
    pytest.importorskip("ot")
    rng = np.random.default_rng(0)
    x0, x1 = rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 3
    whole = rc.minibatch_plan(x0, x1, 60, rng=1)
    cost = ((x0[:, None] - x1[None]) ** 2).sum(2)
    from scipy.optimize import linear_sum_assignment

    best = cost[linear_sum_assignment(cost)].mean()
    paid = ((whole.x1 - whole.x0) ** 2).sum(axis=1).mean()
    assert paid == pytest.approx(best, rel=1e-12)
    small = rc.minibatch_plan(x0, x1, 8, rng=1)
    assert ((small.x1 - small.x0) ** 2).sum(axis=1).mean() >= best
    assert np.allclose(np.sort(small.x1[:, 0]), np.sort(x1[:, 0]))
    with pytest.raises(ValueError, match="shape"):
        rc.minibatch_plan(x0, x1[:5], 4)


def test_the_distance_of_atomic_plans_is_exact_and_sliced_otherwise() -> None:
    pytest.importorskip("ot")
    plan = rc.AtomicPlan([0.0, 1.0], [2.0, 3.0])
    moved = rc.AtomicPlan([1.0, 0.0], [3.0, 2.0 + 0.6])
    assert float(plan.distance(moved)) == pytest.approx(0.6 / np.sqrt(2), rel=1e-12)
    first, second = gaussian(1, 1), gaussian(1, 1)
    assert float(first.distance(second)) < 0.1
    shifted = rc.GaussianPlan(first.mean0 + 3, first.mean1, first.cov00, first.cov01, first.cov11)
    far = first.distance(shifted)
    # A shift of length 3 in the plane: its rms over directions is 3 / sqrt 2.
    assert abs(far.value - 3 / np.sqrt(2)) < 6 * far.error + 0.1
    with pytest.raises(ValueError, match="D = 1"):
        first.distance(gaussian(2))


# Bad input.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rc.GaussianPlan(0, 0, 1, 2, 1), "smallest eigenvalue is -1"),
        (lambda: rc.GaussianPlan(0, 0, np.nan, 0, 1), "cov00 must be finite"),
        (lambda: rc.GaussianPlan([0, 0], 0, 1, 0, 1), "mean1 must have shape"),
        (lambda: rc.GaussianPlan.from_joint([0, 0, 0], np.eye(3)), r"shape \(2 D,\)"),
        (lambda: rc.GaussianPlan.from_joint([0, 0], np.array([[1, 0.5], [0, 1]])), "symmetric"),
        (lambda: rc.MixturePlan([1, -1], np.zeros((2, 2)), [np.eye(2)] * 2), "negative"),
        (lambda: rc.MixturePlan([0], np.zeros((1, 2)), [np.eye(2)]), "positive, finite sum"),
        (lambda: rc.MixturePlan([1], np.zeros((1, 3)), [np.eye(3)]), r"\(K, 2 D\)"),
        (lambda: rc.MixturePlan([1], [[0, 0]], [[[1, 0.3], [0.1, 1]]]), "symmetric"),
        (lambda: rc.MixturePlan([1], [[0, 1j]], [np.eye(2)]), "real numbers"),
        (lambda: rc.MixturePlan([], np.zeros((0, 2)), np.zeros((0, 2, 2))), "not be empty"),
        (lambda: rc.AtomicPlan([0.0], [1.0, 2.0]), "x1 must have the shape"),
        (lambda: rc.AtomicPlan([0.0], [np.inf]), "x1 must be finite"),
        (lambda: rc.AtomicPlan([0.0], [1.0]).smoothed(0), "bandwidth must be positive"),
        (lambda: rc.AtomicPlan([0.0], [1.0]).smoothed(np.ones(3)), "bandwidth must hold"),
        (lambda: rc.velocity_field(rc.AtomicPlan([0.0], [1.0])), "smoothed"),
        (lambda: rc.GridPlan([0, 1, 2], [0, 1, 2, 3], np.ones((3, 4))), "at least 4 points"),
        (lambda: rc.GridPlan([0, 1, 2, 4], [0, 1, 2, 3], np.ones((4, 4))), "equally spaced"),
        (lambda: rc.GridPlan([0, 1, 2, 3], [0, 1, 2, 3], -np.ones((4, 4))), "not negative"),
        (lambda: gaussian(1).on_grid(8, 8).conditional(99.0), "lie on the grid"),
        (lambda: gaussian(1).on_grid(8, 8).sample_conditional([0.0, 99.0]), "at index 1"),
        (lambda: rc.dataset_plan([[1.0, np.nan]]), "data must be finite"),
        (lambda: rc.dataset_plan([1.0], std=0), "std must be positive"),
        (lambda: rc.dataset_plan(np.zeros((2, 2, 2))), "shape"),
        (lambda: gaussian(2).velocity(0.5, np.zeros((3, 3))), r"x must have shape \(n, 2\)"),
        (lambda: gaussian(1).velocity([0.1, 0.2], np.zeros(3)), r"t must be a number"),
        (lambda: gaussian(1).velocity(np.nan, np.zeros(3)), "t must be finite"),
        (lambda: rc.velocity_field(gaussian(1), at_collision="maybe"), "at_collision"),  # type: ignore
        (lambda: rc.velocity_field("plan"), "plan must be a plan, got str"),  # type: ignore
        (lambda: gaussian(2).on_grid(), "plan on the line"),
        (lambda: gaussian(2).conditional([1.0]), "one point of dimension 2"),
    ],
)
def test_bad_input_names_the_argument_the_need_and_what_came(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_nan_points_give_nan_velocities_and_nothing_else_does() -> None:
    for plan in (gaussian(1), mixture(1), gaussian(3), mixture(3), rc.dataset_plan(some_data(3))):
        x = np.random.default_rng(0).normal(size=(60, plan.dim)) * 1e3
        x[7, 0] = np.nan
        v = np.reshape(plan.velocity(0.5, x.ravel() if plan.dim == 1 else x), x.shape)
        good: Any = np.isfinite(v).all(axis=1)
        assert not good[7]
        assert good.sum() == 59
