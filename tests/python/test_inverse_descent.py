"""Large grids on the line: the descent against closed forms and against Newton's method."""

from __future__ import annotations

import pickle
from typing import Any
from unittest import mock

import numpy as np
import pytest

import recouple as rc
from recouple import _core
from recouple.inverse import binned, descent
from recouple.inverse.dual import Options
from recouple.inverse.tracing import layout_of

GAUSSIAN = rc.GaussianPlan(0.0, 0.0, 1.0, 0.8, 1.0)
BLOBS = rc.MixturePlan(
    [0.4, 0.6], [[-1.0, 0.8], [0.7, -0.6]], [[[0.3, 0.0], [0.0, 0.3]], [[0.4, 0.2], [0.2, 0.3]]]
)


def recovered(plan: Any, **options: Any) -> rc.Recovery:
    chosen: dict[str, Any] = {"solver": "descent", "family": "line", "grid": 72, "times": 9}
    return rc.recover_plan(rc.velocity_field(plan), plan.source, **chosen | options)


def alone(plan: Any, **options: Any) -> rc.Recovery:
    """The descent without a coarse dual to begin from."""
    with mock.patch.object(descent, "_coarse_plan", return_value=None):
        return recovered(plan, **options)


def total_variation(recovered: rc.GridPlan, truth: Any) -> float:
    x, y = np.meshgrid(recovered.x0, recovered.x1, indexing="ij")
    mass = truth.pdf(x, y)
    return float(np.abs(recovered.mass - mass / mass.sum()).sum() / 2)


def normal_bins(n: int, rho: float, times: np.ndarray) -> tuple[Any, np.ndarray, Any]:
    """Data and exact masses of correlated standard normals."""
    law = rc.Normal(0.0, 1.0)
    plan = rc.GaussianPlan(0.0, 0.0, 1.0, rho, 1.0)
    options = Options.checked(n, len(times), None, 5, None, 1e-8, 1, grid_per_spline=2)
    start = law.ppf(np.r_[0.1:0.9:6j, 1e-8, 1 - 1e-8, 0.1:0.9:50j])
    layout = layout_of(start, start, start[6:8], options)
    field = rc.velocity_field(plan)
    problem = binned.Binned.of(field, law, None, layout, options, 96, (start, start, None))
    x, y = np.meshgrid(layout.x0, layout.x1, indexing="ij")
    return problem, plan.pdf(x, y) * (x[1, 0] - x[0, 0]) * (y[0, 1] - y[0, 0]), layout


def test_the_bins_are_those_that_smooth_masses_have() -> None:
    """Fourth order in the spacing; bins of the bare cdfs would be some 2e-3 off at 40 points."""
    errors = []
    for n in (40, 80):
        problem, mass, _ = normal_bins(n, 0.5, np.linspace(0, 1, 9))
        seen = problem.projections.project(np.ascontiguousarray(mass), 1)
        errors.append(np.abs(seen - problem.bins).sum() / 9)
    assert errors[0] < 5e-4
    assert errors[1] < errors[0] / 12  # 16 but for the tails that the box cuts


def test_columns_sum_to_one_and_the_adjoint_fits() -> None:
    times = np.linspace(0, 1, 5)
    a = _core.BinnedProjections(9, 14, 0.3, 0.5, times)
    rng = np.random.default_rng(0)
    mass, values = rng.random((9, 14)), rng.normal(size=a.first_bin[-1])
    bins = a.project(mass, 1)
    for first, last in zip(a.first_bin, a.first_bin[1:], strict=False):
        assert bins[first:last].sum() == pytest.approx(mass.sum(), rel=1e-14)
    assert values @ bins == pytest.approx(a.adjoint(values, 1) @ mass.ravel(), rel=1e-12)


@pytest.mark.parametrize(("plan", "bound"), [(GAUSSIAN, 0.01), (BLOBS, 0.1)])
def test_the_descent_alone_finds_the_plan(plan: Any, bound: float) -> None:
    """A Gaussian is all seen; of the blobs Newton's method, too, leaves 0.05 to the hidden wedge.

    The product of the ends is 0.3 and 0.45 off.
    """
    rec = alone(plan)
    assert rec.status == "converged"
    assert total_variation(rec.plan, plan) < bound
    assert abs(rec.plan.correlation - plan.correlation) < 1e-3


def test_without_a_dual_no_error_bar_is_made_up() -> None:
    rec = alone(GAUSSIAN, grid=48)
    assert np.isnan(rec.error_bars["correlation"].error)
    assert "no error bar" in rec.summary()
    assert "error bars: none" in rec.summary()
    assert np.isnan(rec.expectation(lambda x, y: x * y).error)


def test_refined_and_newton_agree_and_the_bars_cover() -> None:
    newton = recovered(BLOBS, solver="newton", grid=32)
    with mock.patch.object(descent, "COARSE_GRID", 32):
        rec = recovered(BLOBS, grid=64)
    assert newton.settings["solver"] == "newton"
    assert rec.settings["solver"] == "descent"
    assert rec.settings["reference"] == "coarse dual"
    # What is left is the hidden wedge's, which the descent does not fill: it must not tear it.
    assert total_variation(rec.plan, BLOBS) < 1.02 * total_variation(newton.plan, BLOBS)
    for name, bar in rec.error_bars.items():
        assert abs(bar.value - newton.error_bars[name].value) < 4 * bar.error + 1e-4
        assert np.isfinite(bar.error)
    probability = rec.expectation(lambda x, y: (x > 0) & (y < 0))
    draws = BLOBS.sample(400_000, 0)
    share = float(np.mean((draws[0] > 0) & (draws[1] < 0)))
    assert abs(probability.value - share) < 4 * probability.error + 3e-3  # of the draws
    again = pickle.loads(pickle.dumps(rec))
    assert again.expectation(lambda x, y: (x > 0) & (y < 0)) == probability
    assert len(rec.estimator.bars(np.ones((2, 64 * 64)))) == 2  # type: ignore[attr-defined]


def test_the_thread_count_changes_no_bit() -> None:
    one, two = (alone(GAUSSIAN, grid=160, times=17, num_threads=n) for n in (1, 3))
    assert np.array_equal(one.plan.mass, two.plan.mass)


def test_a_plan_too_narrow_for_the_coarse_dual_is_found() -> None:
    plan = rc.GaussianPlan(0.0, 0.0, 1.0, 0.999, 1.0)
    with mock.patch.object(descent, "COARSE_GRID", 24):
        rec = recovered(plan, grid=240, times=7)
    assert rec.status == "converged"
    assert abs(rec.plan.correlation - 0.999) < 2e-4
    assert rec.settings["reference"] in ("X1 given X0", "X0 given X1")


def test_size_chooses_the_solver_and_says_so() -> None:
    def chosen(grid: int, times: int) -> Options:
        return Options.checked(grid, times, None, 5, None, 1e-6, 1, grid_per_spline=2)

    assert descent.dual_bytes(chosen(256, 33)) < descent.LARGEST_DUAL
    assert descent.dual_bytes(chosen(512, 33)) > descent.LARGEST_DUAL
    with mock.patch.object(descent, "LARGEST_DUAL", 1e6):
        rec = recovered(GAUSSIAN, solver=None, grid=48)
    assert rec.settings["solver"] == "descent"
    assert "Newton's method would need" in rec.summary()


def test_noise_keeps_the_descent_from_fitting_it() -> None:
    rng = np.random.default_rng(3)
    wave, phase = rng.normal(size=(30, 2)) / [0.3, 0.5], rng.uniform(0, 2 * np.pi, 30)

    def field(t: Any, x: Any) -> Any:
        angle = wave[:, :1] * t + wave[:, 1:] * x + phase[:, None]
        return BLOBS.velocity(t, x) * (1 + 0.05 * np.sqrt(2 / 30) * np.cos(angle).sum(axis=0))

    options: dict[str, Any] = {"family": "line", "grid": 40, "times": 7}
    newton = rc.recover_plan(field, BLOBS.source, BLOBS.target, solver="newton", **options)
    rec = rc.recover_plan(field, BLOBS.source, BLOBS.target, solver="descent", **options)
    assert rec.settings["regularization"] >= 1e-2
    assert total_variation(rec.plan, BLOBS) < 1.2 * total_variation(newton.plan, BLOBS)


def test_an_interrupted_descent_returns_the_best_so_far() -> None:
    told: list[int] = []

    def stop(done: int, total: int) -> None:
        told.append(done)
        if done > 70:
            raise KeyboardInterrupt

    rec = alone(GAUSSIAN, progress=stop)
    assert rec.status == "interrupted"
    assert "stopped on request" in rec.message
    assert rec.verdict == "representative"
    assert total_variation(rec.plan, GAUSSIAN) < 0.3  # the product of the ends
    assert told == sorted(told)


def test_progress_goes_once_from_nothing_to_all() -> None:
    told: list[tuple[int, int]] = []
    recovered(GAUSSIAN, grid=40, progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (100, 100)


def test_ends_that_disagree_are_inconsistent() -> None:
    field = rc.velocity_field(GAUSSIAN)
    rec = rc.recover_plan(
        field, GAUSSIAN.source, rc.Normal(0.8, 1.0), family="line", solver="descent", grid=40
    )
    assert rec.status == "inconsistent"


def test_a_solver_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="solver must be 'newton', 'descent' or None, got 'sgd'"):
        recovered(GAUSSIAN, solver="sgd")
    a = _core.BinnedProjections(4, 4, 1.0, 1.0, np.array([0.5]))
    with pytest.raises(ValueError, match="data must have one mass per bin"):
        _core.MirrorDescent(a, np.ones(16), np.ones(3), np.ones(1))
