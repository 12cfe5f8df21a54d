"""One-step samplers reproduce the joint law they were distilled from."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import recouple as rc


@pytest.mark.parametrize(
    "plan",
    [
        rc.GaussianPlan(0, 1, 1, 0.8, 2),
        rc.MixturePlan(
            [0.4, 0.6], [[-1, 1], [1, -1]], np.array([0.3 * np.eye(2), [[0.5, 0.2], [0.2, 0.4]]])
        ),
        rc.GaussianPlan(0, 1, 1, 0.8, 2).on_grid(96, 96),
    ],
    ids=["gaussian", "mixture", "grid"],
)
def test_a_draw_from_the_conditional_law_completes_the_joint_law(plan: rc.Plan) -> None:
    n = 40_000
    x0, _ = plan.sample(n, 3)
    x1 = rc.one_step(plan)(x0, rng=4)
    # Five standard errors of the largest of these estimates, the variance of X1 (2 for the
    # Gaussian): its sample variance has standard deviation 2 sqrt(2 / n).
    tolerance = 5 * 2 * np.sqrt(2 / n)
    assert np.mean(x1) == pytest.approx(plan.mean1, abs=tolerance)
    assert np.cov(x0, x1)[0, 1] == pytest.approx(plan.cov01, abs=tolerance)
    assert np.var(x1) == pytest.approx(plan.cov11, abs=tolerance)


def test_a_sampler_repeats_with_its_seed_and_pickles() -> None:
    draw = rc.one_step(rc.GaussianPlan(0, 0, 1, 0.5, 1))
    x0 = np.linspace(-2, 2, 100)
    again = pickle.loads(pickle.dumps(draw))
    assert np.array_equal(draw(x0, rng=7), again(x0, rng=7))
    assert not np.array_equal(draw(x0, rng=7), draw(x0, rng=8))


def test_only_plans_are_distilled() -> None:
    with pytest.raises(ValueError, match="plan must be a plan, got float"):
        rc.one_step(1.0)  # type: ignore[arg-type]


MIXTURE = rc.MixturePlan(
    [0.4, 0.6], [[-1, 1], [1, -1]], np.array([0.3 * np.eye(2), [[0.5, 0.2], [0.2, 0.4]]])
)
GRID = MIXTURE.on_grid(128, 128)


@pytest.mark.parametrize("plan", [MIXTURE, GRID], ids=["mixture", "grid"])
@pytest.mark.parametrize("k", [2, 5])
def test_k_draws_end_in_the_target_whatever_k(plan: rc.Plan, k: int) -> None:
    n = 20_000
    x0 = MIXTURE.source.rvs(n, 1)
    x1 = rc.k_step(plan, k)(x0, rng=2)
    # Kolmogorov's statistic exceeds 2.2 / sqrt(n) once in 8000; the grid adds its h^2 / 10.
    assert ks_distance(x1, MIXTURE.target) < 2.2 / np.sqrt(n) + 2e-3


def ks_distance(x: np.ndarray, law: rc.Marginal) -> float:
    u = np.sort(law.cdf(x))
    i = np.arange(len(u))
    return float(max((u - i / len(u)).max(), ((i + 1) / len(u) - u).max()))


def test_k_draws_tend_to_the_flow_at_first_order_in_mean_square() -> None:
    # Independent normal ends: the flow is the identity at t = 1, the plan has correlation 0.
    plan = rc.GaussianPlan(0.0, 0.0, 1.0, 0.0, 1.0)
    x0 = np.random.default_rng(0).normal(size=100_000)
    gaps = [float(np.mean((rc.k_step(plan, k)(x0, rng=1) - x0) ** 2)) for k in (8, 16, 32, 64)]
    slopes = np.diff(np.log2(gaps))
    assert np.all(np.abs(slopes + 1) < 0.15)  # draws move each slope by 0.01


def test_the_lines_of_a_grid_are_those_of_its_mixture() -> None:
    n = 60_000
    x0 = MIXTURE.source.rvs(n, 3)
    grid, exact = (rc.k_step(plan, 3)(x0, rng=4) for plan in (GRID, MIXTURE))
    # Two estimates of a covariance, each with error about sqrt(2 / n) of the variances 1.2.
    assert np.cov(x0, grid)[0, 1] == pytest.approx(
        np.cov(x0, exact)[0, 1], abs=7 * 1.2 * 2 / n**0.5
    )


def test_k_draws_work_in_the_plane_and_repeat_with_their_seed() -> None:
    rng = np.random.default_rng(5)
    root = rng.normal(size=(4, 4))
    plan = rc.GaussianPlan.from_joint(np.arange(4.0), root @ root.T)
    x0 = plan.source.rvs(30_000, rng)
    sampler = rc.k_step(plan, 4)
    x1 = sampler(x0, rng=6)
    scale = np.trace(plan.cov11)
    assert np.allclose(x1.mean(0), plan.mean1, atol=5 * np.sqrt(scale / 30_000))
    assert np.allclose(np.cov(x1.T), plan.cov11, atol=10 * scale / np.sqrt(30_000))
    assert np.array_equal(x1, sampler(x0, rng=6))


@pytest.mark.parametrize(
    "sampler", [rc.one_step(MIXTURE), rc.k_step(GRID, 3)], ids=["one step", "k step"]
)
def test_samplers_save_load_and_pickle(sampler: rc.OneStep | rc.KStep, tmp_path: Path) -> None:
    x0 = np.linspace(-1.5, 1.5, 50)
    sampler.save(tmp_path / "sampler.npz")
    for again in (rc.load_sampler(tmp_path / "sampler.npz"), pickle.loads(pickle.dumps(sampler))):
        # A grid that was read is normalised anew, to a rounding.
        assert np.allclose(again(x0, rng=1), sampler(x0, rng=1), rtol=0, atol=1e-12)


def test_the_monotone_step_is_where_the_flow_ends(tmp_path: Path) -> None:
    x0 = np.linspace(-2, 2, 9)
    step = rc.monotone_step(MIXTURE.source, MIXTURE.target)
    ends = rc.integrate(rc.velocity_field(MIXTURE), x0, rtol=1e-11).x
    assert np.allclose(step(x0), ends, atol=1e-8)  # what the flow's tolerance leaves
    step.save(tmp_path / "step.npz")
    # Straight lines between 4097 quantiles 0.003 standard deviations apart.
    assert np.allclose(rc.load_sampler(tmp_path / "step.npz")(x0), step(x0), atol=2e-5)


def test_the_report_agrees_with_closed_forms() -> None:
    plan = rc.GaussianPlan(0.0, 3.0, 1.0, 0.6, 4.0)
    field = rc.velocity_field(plan)
    report = rc.distillation_report(field, rc.one_step(plan), rc.Normal(0, 1), samples=40_000)
    assert report.metric == "W2"
    assert report.field_consistency == 0
    # E|X1 - X0|^2 = 9 + 1 + 4 - 1.2 and W2^2 = 9 + (2 - 1)^2; the action is their like at v.
    assert report.cost == pytest.approx(np.sqrt(12.8), rel=0.01)
    assert report.w2_ends == pytest.approx(np.sqrt(10), rel=0.01)
    t = np.linspace(0, 1, 2001)
    var = (1 - t) ** 2 + 4 * t**2 + 2 * t * (1 - t) * 0.6
    rate = -(1 - t) + 4 * t + (1 - 2 * t) * 0.6  # half of d var / dt
    action = 9 + np.trapezoid(rate**2 / var, t)
    assert report.action == pytest.approx(np.sqrt(action), rel=0.01)
    assert report.w2_ends <= report.action <= report.cost
    # The flow's displacement is 3 + z, v along it 3 + rate / sqrt(var) z.
    bend = np.trapezoid((1 - rate / np.sqrt(var)) ** 2, t)
    assert report.straightness == pytest.approx(bend / action, rel=0.02)
    # Euler errs at first order; the sampler is at the Monte Carlo floor.
    by_budget = {row.evaluations: row.w2 for row in report.ode}
    assert by_budget[1] > 0.3
    assert by_budget[128] < 0.1
    assert report.w2 < 3 * report.w2_floor
    assert "128 evaluations" in report.summary()


def test_the_report_works_in_the_plane_for_any_callable() -> None:
    plan = rc.GaussianPlan(np.zeros(2), np.ones(2), np.eye(2), 0.5 * np.eye(2), np.eye(2))
    report = rc.distillation_report(
        rc.velocity_field(plan),
        lambda x0, rng: rng.normal(1.0, 1.0, x0.shape),
        plan.source,
        plan.target,
        samples=2000,
        evaluations=(1, 6),
    )
    assert report.metric == "sliced W2"
    assert report.field_consistency is None
    assert [row.evaluations for row in report.ode] == [1, 6]


def test_the_report_sees_a_wrong_coupling_that_w2_cannot() -> None:
    truth, wrong = (rc.GaussianPlan(0, 0, 1, c, 1) for c in (0.8, -0.5))
    report = rc.distillation_report(
        rc.velocity_field(truth), rc.one_step(wrong), rc.Normal(), rc.Normal(), samples=5000
    )
    assert report.w2 < 3 * report.w2_floor
    assert report.field_consistency is not None
    assert report.field_consistency > 1


def test_distil_goes_from_a_field_to_a_sampler() -> None:
    done = rc.distill(
        rc.velocity_field(MIXTURE), MIXTURE.source, steps=2, grid=64, samples=5000, family="line"
    )
    assert isinstance(done.sampler, rc.KStep)
    assert done.report.field_consistency is not None
    assert done.report.field_consistency < 0.05
    assert done.recovery.verdict in done.summary()
    assert pickle.loads(pickle.dumps(done)).report == done.report


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rc.k_step(MIXTURE, 0), "k must be at least 1, got 0"),
        (lambda: rc.k_step(rc.AtomicPlan([0.0], [1.0]), 2), "plan must be a mixture"),
        (lambda: rc.load_sampler(io.BytesIO(b"")), "must be a .npz file"),
        (
            lambda: rc.distillation_report(
                rc.velocity_field(MIXTURE), lambda x, rng: x[:-1], rc.Normal(), samples=100
            ),
            "sampler\\(x0, rng\\) must have shape \\(100\\), got \\(99,\\)",
        ),
        (
            lambda: rc.distillation_report(
                rc.velocity_field(MIXTURE), lambda x, rng: x, rc.Normal(), np.zeros((9, 2))
            ),
            "target must have the source's dim 1",
        ),
        (
            lambda: rc.distillation_report(
                lambda t, x: x**3 * 1e3, lambda x, rng: x, rc.Normal(), samples=100
            ),
            "field must carry the source to time 1",
        ),
    ],
)
def test_bad_input_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_atoms_that_pair_each_point_once_are_followed_as_a_map() -> None:
    draw = rc.one_step(rc.AtomicPlan([0.0, 1.0, 3.0], [1.0, 3.0, -1.0], [1, 2, 1]))
    assert np.allclose(draw([-1.0, 0.5, 1.0, 2.0]), [-1.0, 2.0, 3.0, 1.0])
    several = rc.one_step(rc.AtomicPlan([0.0, 0.0, 2.0], [1.0, 5.0, 7.0]))
    drawn = several(np.full(1000, 0.4), rng=0)
    assert set(drawn) == {1.0, 5.0}


def test_a_deterministic_teacher_is_distilled_without_its_target() -> None:
    done = rc.distill(lambda t, x: x / (1 + t), rc.Normal(), samples=4000)
    x0 = np.linspace(-2.5, 2.5, 11)
    assert np.allclose(done.sampler(x0), 2 * x0, atol=1e-3)  # straight lines between 4000 pairs
    assert "increasing" in done.recovery.message
