"""What a field cannot tell: ranks, pairs of plans, alternatives, verdicts."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import recouple as rc

TIMES = (0.0, 0.1, 0.37, 0.5, 0.8, 1.0)


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_the_null_space_starts_at_order_four(dim: int) -> None:
    for order in (1, 2, 3):
        assert rc.identifiability(order, dim).nullity == 0
    assert rc.identifiability(4, dim).nullity == dim**2 * (dim**2 - 1) // 12
    # p_t alone loses C - C': one number for each pair of coordinates.
    assert rc.identifiability(2, dim, field=False).nullity == dim * (dim - 1) // 2


def test_the_null_space_is_where_a_pair_differs() -> None:
    found = rc.identifiability(4, 2)
    one, two = rc.ambiguous_pair("smooth")
    gap = np.array(
        [
            two.moment(tuple(map(int, p[:2])), tuple(map(int, p[2:])))
            - one.moment(tuple(map(int, p[:2])), tuple(map(int, p[2:])))
            for p in found.powers
        ]
    )
    invisible = found.null_space[0]
    cosine = gap @ invisible / (np.linalg.norm(gap) * np.linalg.norm(invisible))
    assert abs(cosine) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("kind", "dim"),
    [("rotation", 2), ("rotation", 4), ("skew", 2), ("skew", 3), ("smooth", 2)],
)
def test_a_pair_shares_path_and_field_but_not_the_plan(kind: str, dim: int) -> None:
    one, two = rc.ambiguous_pair(kind, dim)
    x = np.random.default_rng(0).normal(size=(40, dim))
    for t in TIMES:
        np.testing.assert_allclose(one.velocity(t, x), two.velocity(t, x), atol=1e-12)
        np.testing.assert_allclose(one.log_density(t, x), two.log_density(t, x), atol=1e-12)
    square = (2,) + (0,) * (dim - 1), (0, 2) + (0,) * (dim - 2)
    assert abs(one.moment(*square) - two.moment(*square)) > 0.01
    rec = rc.recover_plan(rc.velocity_field(two), two.source, family="gaussian")
    assert rec.verdict != "unique"
    assert rec.status == "converged"
    np.testing.assert_allclose(rec.plan.cov, one.cov, atol=1e-9)


def test_the_smooth_pair_keeps_its_promise_by_quadrature() -> None:
    one, two = rc.ambiguous_pair("smooth", amount=0.07)
    u = np.linspace(-9, 9, 91)
    grid = np.stack(np.meshgrid(u, u, indexing="ij"), axis=-1).reshape(-1, 2)
    for t, x in ((0.37, [0.7, -0.4]), (0.5, [1.5, 1.0])):
        # The line (1-t) x0 + t x1 = x; the trapezoid rule is exact to rounding for these.
        x0 = (np.array(x) - t * grid) / (1 - t)
        p, q = (np.asarray(getattr(plan, "pdf")(x0, grid)) for plan in (one, two))  # noqa: B009
        assert np.abs(p - q).max() > 1e-4
        assert p.sum() == pytest.approx(q.sum(), rel=1e-12)
        v = (grid - x0).T @ q / q.sum()
        np.testing.assert_allclose(v, two.velocity(t, np.array([x]))[0], atol=1e-12)
        assert q.min() >= 0


def test_draws_of_the_smooth_plan_have_its_moments() -> None:
    _, two = rc.ambiguous_pair("smooth", amount=0.07)
    x0, x1 = two.sample(100_000, rng=0)
    values = x0[:, 0] ** 2 * x1[:, 1] ** 2
    # 1.28 against 1 for independent ends; five standard errors.
    assert two.moment((2, 0), (0, 2)) == pytest.approx(1.28)
    assert np.mean(values) == pytest.approx(1.28, abs=5 * np.std(values) / np.sqrt(1e5))
    assert pickle.loads(pickle.dumps(two)) == two


def test_alternatives_have_the_field_of_the_recovered_plan() -> None:
    g = np.random.default_rng(1).normal(size=(6, 12))
    plan = rc.GaussianPlan.from_joint(np.zeros(6), g @ g.T / 12)
    rec = rc.recover_plan(rc.velocity_field(plan), plan.source, family="gaussian")
    others = rec.alternatives(3)
    assert len(others) == 3
    x = np.random.default_rng(0).normal(size=(20, 3))
    for other in others:
        for t in TIMES:
            np.testing.assert_allclose(other.velocity(t, x), rec.plan.velocity(t, x), atol=1e-11)
        assert np.abs(other.covs[0] - rec.plan.cov).max() > 1e-3
    assert not np.array_equal(others[0].covs, others[1].covs)


def test_on_the_line_there_is_no_alternative() -> None:
    plan = rc.GaussianPlan(0.0, 0.0, 1.0, 0.5, 1.0)
    rec = rc.recover_plan(rc.velocity_field(plan), plan.source, family="gaussian")
    assert rec.alternatives(3) == ()
    assert rec.verdict == "unique in family"  # the family was asked for, at some times
    grid = rc.recover_plan(rc.velocity_field(plan), plan.source, family="line", grid=32, times=5)
    assert grid.alternatives() == ()
    with pytest.raises(ValueError, match="n must be at least 0"):
        grid.alternatives(-1)


def test_no_room_means_no_alternative() -> None:
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    plan = rc.GaussianPlan([0, 0], [0, 0], np.eye(2), turn, np.eye(2))
    rec = rc.recover_plan(rc.velocity_field(plan), plan.source, family="gaussian")
    # A plan on the boundary: rounding may leave a hair of room, and no more.
    for other in rec.alternatives(2):
        assert np.abs(other.covs - plan.cov).max() < 1e-5


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rc.ambiguous_pair("twist"), "kind must be one of"),
        (lambda: rc.ambiguous_pair("rotation", 3), "dim must be even"),
        (lambda: rc.ambiguous_pair("skew", 1), "dim must be at least 2"),
        (lambda: rc.ambiguous_pair("smooth", amount=0.2), "amount must be at most 0.07"),
        (lambda: rc.ambiguous_pair("smooth", 3), "dim must be 2"),
        (lambda: rc.identifiability(0, 2), "order must be at least 1"),
        (lambda: rc.identifiability(8, 8), "at most 5000 moments"),
    ],
)
def test_a_bad_argument_is_named(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
