"""A reference fitted to noisy data: its own error is part of every error bar."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

import recouple as rc
from recouple import _core
from recouple.arguments import FloatArray, frozen
from recouple.inverse import reference as reference_module
from recouple.inverse.dual import NODES, Options, Problem, descend, features_of, knots_over
from recouple.inverse.noise import Level, freedom
from recouple.inverse.reference import CdfFit, reference_error, reference_of, told_by_fit


def rough(plan: Any, level: float, seed: int) -> Any:
    """The plan's field with a smooth random relative error."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(24, 2)) / [0.3, 0.5]
    phase = rng.uniform(0, 2 * np.pi, 24)

    def field(t: Any, x: Any) -> Any:
        place = x / np.sqrt((1 - t) ** 2 + t**2)
        angle = waves[:, :1] * t + waves[:, 1:] * place + phase[:, None]
        return plan.velocity(t, x) * (1 + level * np.sqrt(2 / 24) * np.cos(angle).sum(axis=0))

    return rc.as_field(field)


@pytest.mark.parametrize(("rho", "level", "told"), [(0.95, 0.02, True), (0.9, 0.05, False)])
def test_the_default_knows_how_far_its_correlation_may_be_off(
    rho: float, level: float, told: bool
) -> None:
    plan = rc.GaussianPlan(0, 0, 1, rho, 1)
    scores = []
    for seed in range(2, 6):
        field = rough(plan, level, seed)
        rec = rc.recover_plan(
            field, plan.source, plan.target if told else None, grid=32, times=9, steps=32
        )
        assert rec.settings["reference"] == "mixture"
        assert isinstance(rec.estimator, Problem)
        x, y = np.meshgrid(rec.plan.x0, rec.plan.x1, indexing="ij")
        influence = x * y - 0.5 * rho * (x**2 + y**2)  # of the correlation: its mean is 0
        (bar,) = rec.estimator.bars(influence.reshape(1, -1))  # the dual's own, no other's added
        scores.append(bar.value / bar.error)
    # Four normal scores of size 1 have a larger root mean square once in 500 times.
    assert np.sqrt(np.mean(np.square(scores))) < 2


def test_the_plan_moves_with_the_cdfs_as_the_whole_estimate_does() -> None:
    # The estimate: a mixture fitted by least squares to cdfs, the dual solved from it.
    truth = rc.MixturePlan(
        [0.4, 0.6], [[-1, 0.5], [0.8, -0.4]], [[[0.4, 0.1], [0.1, 0.3]], [[0.3, 0], [0, 0.5]]]
    )
    options = Options.checked(32, 7, None, 5, 1e-3, 1e-6, 1, grid_per_spline=2)
    times, x = np.linspace(0, 1, 7), np.linspace(-3.5, 3.5, 32)
    knots = knots_over(times, x[[0, -1]], x[[0, -1]], options)
    features = features_of(times, knots)
    nodes = [_core.moment_abscissae(f, NODES) for f in features]
    t, places = np.repeat(times, [len(n) for n in nodes]), np.concatenate(nodes)
    cdf = np.concatenate(
        [truth.marginal(float(s)).cdf(n) for s, n in zip(times, nodes, strict=True)]
    )
    wave = 0.02 * np.sin(3 * t + places) * cdf * (1 - cdf)  # no error that two components make
    functions = [np.outer(x, x), np.outer(x**2, x), np.outer(x > 0.5, x < 0).astype(float)]
    values: FloatArray = np.stack(functions).reshape(3, -1)

    def moments(f: Any) -> Any:
        parts = np.split(f, np.cumsum([len(n) for n in nodes])[:-1])
        each = zip(features, parts, strict=True)
        return np.concatenate([_core.spline_moments_of_cdf(a, 5, NODES, b) for a, b in each])

    def solved(f: Any) -> tuple[CdfFit, Problem]:
        start = truth.weights, truth.means, truth.covs
        parameters, residual = reference_module._polish(start, t, places, f)
        fit = CdfFit(reference_module._plan(parameters), residual, 0.0)
        blank = Problem.of(
            x,
            x,
            np.ones((32, 32)),
            times,
            knots,
            options,
            moments(f),
            np.zeros(7 * options.splines),
        )
        problem = replace(blank, reference=frozen(reference_of(fit.plan, blank)))
        path, units = np.array([1e-2, 1e-3]), np.ones(blank.moments.size)
        return fit, descend(problem, path, units, False, None)[0]

    fit, problem = solved(cdf)
    shift = (moments(cdf + wave) - moments(cdf))[None]
    moved = reference_error(fit, t, places, wave[None], 0.0, problem, problem).at_level(1.0, shift)
    assert moved.scatter is not None
    assert moved.movable is not None
    _, sensitivity = problem.dual().uncertainty(values, problem.penalty, problem.noise, 1)
    by_data = (sensitivity @ shift.T)[:, 0]
    told = by_data + (moved.scatter @ moved.movable @ values.T)[0]
    happened = [solved(cdf + sign * 0.1 * wave)[1].means(values) for sign in (1, -1)]
    change = (happened[0] - happened[1]) / 0.2
    # Third order in a tenth of a wave of .005 in cdf, and Newton's method to 1e-3 of its term.
    np.testing.assert_allclose(told, change, rtol=0.02, atol=1e-5)
    assert np.abs(by_data - change).max() > 0.2 * np.abs(change).max()  # what was left out
    # And so the error bar.
    error, still = (np.array([b.error for b in p.bars(values)]) for p in (moved, problem))
    np.testing.assert_allclose(np.sqrt(error**2 - still**2), np.abs(told), rtol=1e-6)


def test_the_reference_of_an_exact_field_leaves_the_bar_small() -> None:
    plan = rc.GaussianPlan(0, 0, 1, 0.95, 1)
    for target in (None, plan.target):
        rec = rc.recover_plan(rc.velocity_field(plan), plan.source, target, grid=32, times=9)
        bar = rec.error_bars["correlation"]
        assert abs(bar.value - 0.95) < bar.error < 1e-3


def test_a_level_told_by_few_squares_is_allowed_what_student_allows() -> None:
    rows = np.zeros((7, 9))
    rows[np.arange(5), np.arange(5)] = 2.0
    assert freedom(rows) == pytest.approx(5)  # five squares of one size
    draws = np.random.default_rng(0).normal(size=(4000, 7)) @ rows
    assert freedom(draws) == pytest.approx(5, rel=0.02)  # sampled covariance, 4000 draws
    for dof in (3.0, 5.0, 20.0):
        wider = stats.t(dof).ppf(0.95) / stats.norm.ppf(0.95)
        # One term of the series: 8% short at 3, 3% at 5.
        assert Level(0.1, "", dof).allowed == pytest.approx(0.1 * wider, rel=0.09)
    assert Level(0.1, "").allowed == 0.1


def test_the_misfit_of_a_mixture_tells_the_error_of_its_cdfs() -> None:
    rng = np.random.default_rng(0)
    times, x = np.linspace(0, 1, 7), np.linspace(-3, 3, 30)
    t, places = np.repeat(times, len(x)), np.tile(x, len(times))
    truth = rc.GaussianPlan(0, 0, 1, 0.5, 1)
    exact = np.concatenate([truth.marginal(float(s)).cdf(x) for s in times])
    angle = rng.normal(size=(20, 2)) @ np.stack([3 * t, 2 * places]) + rng.uniform(0, 6, (20, 1))
    waves = np.cos(angle) * exact * (1 - exact)
    told, level = [], 1e-3
    for _ in range(40):
        cdf = exact + level * rng.normal(size=20) @ waves
        start = truth.weights, truth.means, truth.covs
        parameters, residual = reference_module._polish(start, t, places, cdf)
        fit = CdfFit(reference_module._plan(parameters), residual, 0.0)
        told.append(told_by_fit(fit, t, places, waves))
    size = np.sqrt(np.mean([one.value**2 for one in told]))
    # 40 times some ten squares: the mean of that many has a standard error of 7%, its root half.
    assert size == pytest.approx(level, rel=0.12)
    assert 3 < told[0].freedom < 15  # of 20 waves


def test_a_field_that_all_but_vanishes_has_no_silly_error() -> None:
    # X1 - X0 has size .055 and the field a tenth of that; what the grid leaves is no error of it.
    plan = rc.GaussianPlan(0, 0, 1, 0.9985, 1)
    field = rc.velocity_field(plan)
    options: dict[str, Any] = {"grid": 96, "times": 7, "steps": 32}
    alone = rc.recover_plan(field, plan.source, plan.target, family="line", **options)
    assert alone.settings["noise"] < 0.05
    assert any("by the residual" in line for line in alone.evidence)
    fitted = rc.recover_plan(field, plan.source, **options)
    assert fitted.settings["noise"] < 1e-6
    for rec in (alone, fitted):
        (line,) = (line for line in rec.evidence if "the plan's own field" in line)
        assert "a grid of 96 points resolves the plan no better" in line


def test_a_component_that_the_grid_widens_is_named() -> None:
    narrow, wide = [[1.0, 0.9993], [0.9993, 1.0]], [[0.2, 0.0], [0.0, 0.2]]
    plan = rc.MixturePlan([0.5, 0.5], [[0.0, 0.0], [1.5, -1.5]], [narrow, wide])
    rec = rc.recover_plan(rc.velocity_field(plan), plan.source, grid=64)
    assert "hold 0.5 of the mass are narrower than a grid of 64 points" in rec.message
    assert rec.mixture is not None
    np.testing.assert_allclose(np.sort(rec.mixture.covs[:, 0, 1]), [0.0, 0.9993], atol=1e-3)
