"""Pictures: every function takes an axis and returns it, and none needs more than matplotlib."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import recouple as rc

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

TRUTH = rc.GaussianPlan(0, 0, 1, 0.5, 1)


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    matplotlib.pyplot.close("all")


@pytest.fixture(scope="module")
def rec() -> rc.Recovery:
    return rc.recover_plan(rc.velocity_field(TRUTH), TRUTH.source, grid=32, times=5)


def test_each_picture_draws_on_the_axis_it_is_given(rec: rc.Recovery) -> None:
    from matplotlib import pyplot

    drawings: list[Any] = [
        lambda ax: rc.plot.plan(TRUTH, ax),
        lambda ax: rc.plot.difference(rec.plan, TRUTH, ax),
        lambda ax: rc.plot.marginal_path(TRUTH, ax),
        lambda ax: rc.plot.recovery(rec, ax=ax),
        lambda ax: rc.plot.recovery(rec, "residuals", ax),
        lambda ax: rc.plot.recovery(rec, "resolved", ax),
        lambda ax: rc.plot.recovery(rec, "history", ax),
    ]
    for draw in drawings:
        _, ax = pyplot.subplots()
        assert draw(ax) is ax
        assert ax.get_xlabel()
        assert ax.get_ylabel()
        assert ax.has_data()


def test_all_quantities_of_a_recovery_share_a_figure(rec: rc.Recovery) -> None:
    axes = rc.plot.recovery(rec, "all")
    assert axes.shape == (2, 2)
    assert len({id(ax.figure) for ax in axes.flat}) == 1
    assert all(ax.has_data() for ax in axes.flat)
    first = rc.plot.recovery(rec)
    shown = [ax.get_ylabel() for ax in first.figure.axes]
    assert {axes.flat[k].get_ylabel() for k in range(4)} <= set(shown)
    assert first is first.figure.axes[0]
    _, ax = matplotlib.pyplot.subplots()
    assert rc.plot.recovery(rec, ax=ax) is ax  # where there is room for one, the plan


def test_recoveries_off_a_grid_show_their_plan_and_say_so() -> None:
    graph = rc.recover_plan(lambda t, x: np.ones_like(x), rc.Normal())
    assert rc.plot.recovery(graph).has_data()
    for quantity in ("all", "resolved", "residuals", "history"):
        with pytest.raises(ValueError, match=r"on a grid, got one of AtomicPlan; .* 'plan'"):
            rc.plot.recovery(graph, quantity)
    square = rc.GaussianPlan(np.zeros(2), np.zeros(2), np.eye(2), 0.5 * np.eye(2), np.eye(2))
    plane = rc.recover_plan(rc.velocity_field(square), square.source)
    with pytest.raises(ValueError, match=r"plan on the line, got one in R\^2"):
        rc.plot.recovery(plane)


def test_the_comparison_has_four_titled_panels(rec: rc.Recovery) -> None:
    axes = rc.plot.comparison(rec.plan, TRUTH, names=("a", "b"))
    assert axes.shape == (2, 2)
    assert all(ax.get_title() for ax in axes.flat)


def test_an_unknown_quantity_is_named(rec: rc.Recovery) -> None:
    with pytest.raises(ValueError, match="quantity must be"):
        rc.plot.recovery(rec, "tea")  # type: ignore[arg-type]


def test_plans_without_a_density_are_drawn_as_points_or_a_curve() -> None:
    atoms = rc.plot.plan(rc.AtomicPlan([0.0, 1.0], [1.0, 0.0], [1, 3]))
    assert len(atoms.collections[0].get_offsets()) == 2
    increasing = rc.monotone_plan(rc.Normal(), rc.NormalMixture([1, 1], [-1.0, 2.0], [1.0, 0.5]))
    x, y = rc.plot.plan(increasing).lines[0].get_data()
    assert y == pytest.approx(increasing.transport(x))
