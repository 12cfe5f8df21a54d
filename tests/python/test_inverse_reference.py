"""A reference fitted to noisy data: its own error is part of every error bar."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import recouple as rc
from recouple import _core
from recouple.arguments import FloatArray, frozen
from recouple.inverse import reference as reference_module
from recouple.inverse.dual import NODES, Options, Problem, descend, features_of, knots_over
from recouple.inverse.reference import CdfFit, reference_error, reference_of


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
        bar = rec.error_bars["correlation"]
        scores.append((bar.value - rho) / bar.error)
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
