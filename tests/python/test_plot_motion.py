"""Pictures of motion and of laws: what they draw is what was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import recouple as rc

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

LINE = rc.MixturePlan([0.5, 0.5], [[-1, 1], [1, -1]], [0.2 * np.eye(2)] * 2)
PLANE = rc.GaussianPlan([0, 0], [3, 1], np.eye(2), 0.3 * np.eye(2), [[0.5, 0.3], [0.3, 0.6]])


@pytest.fixture
def ax() -> Iterator[Any]:
    from matplotlib import pyplot

    yield pyplot.subplots()[1]
    pyplot.close("all")


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: rc.plot.trajectories(LINE, ax, n=5),
        lambda ax: rc.plot.trajectories(PLANE, ax, n=5),
        lambda ax: rc.plot.field(LINE, ax),
        lambda ax: rc.plot.field(lambda t, x: -x * t, ax, x=[-1, 1, 0], kind="arrows"),
        lambda ax: rc.plot.field(PLANE, ax, t=0.5),
        lambda ax: rc.plot.field(lambda t, x: -x, ax, t=0, x=[0, 1], y=[0, 1], kind="arrows"),
        lambda ax: rc.plot.plan(LINE, ax, marginals=True),
        lambda ax: rc.plot.ellipses(LINE, ax),
        lambda ax: rc.plot.ellipses(PLANE, ax),
        lambda ax: rc.plot.ellipses(PLANE.target, ax),
        lambda ax: rc.plot.quantiles(LINE.source, [0.0, 1.0, 2.0], ax),
        lambda ax: rc.plot.samples(np.ones((5, 2)), ax, truth=np.zeros((4, 2))),
    ],
)
def test_each_picture_draws_on_the_axis_it_is_given(draw: Any, ax: Any) -> None:
    assert draw(ax) is ax
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    assert ax.has_data()
    ax.figure.canvas.draw()


def test_trajectories_start_at_quantiles_and_end_where_the_flow_does(ax: Any) -> None:
    plan = rc.GaussianPlan(0, 2, 1, 0.5, 1)
    lines = rc.plot.trajectories(plan, ax, n=4).lines
    levels = (np.arange(4) + 0.5) / 4
    for law, where in ((plan.source, 0), (plan.target, -1)):
        drawn = [line.get_ydata()[where] for line in lines[:4]]
        np.testing.assert_allclose(drawn, law.ppf(levels), atol=1e-5)  # ten times the flow's rtol
    assert len(lines) == 6  # the densities at both ends
    np.testing.assert_allclose(lines[5].get_ydata().mean(), 2, atol=1e-2)


def test_a_flow_is_drawn_as_it_is(ax: Any) -> None:
    field = rc.velocity_field(LINE)
    flow = rc.integrate(field, np.array([-1.0, 0.5]), t_eval=np.linspace(0, 1, 7))
    lines = rc.plot.trajectories(flow, ax, target=LINE.target).lines
    np.testing.assert_array_equal(lines[1].get_ydata(), flow.x[:, 1])
    assert len(lines) == 3
    with pytest.raises(ValueError, match="moving must hold times"):
        rc.plot.trajectories(rc.integrate(field, [0.0]), ax)


def test_the_marginals_beside_a_plan_have_mass_one(ax: Any) -> None:
    above, beside = rc.plot.plan(LINE, ax, marginals=True).child_axes
    for side, swap in ((above, False), (beside, True)):
        x, p = side.lines[0].get_data()[:: -1 if swap else 1]
        assert np.sum(p) * (x[1] - x[0]) == pytest.approx(1, abs=1e-9)


def test_ellipses_hold_the_mass_they_name(ax: Any) -> None:
    law = rc.Gaussian([1, 2], [[2, 1], [1, 3]])
    curve = np.array(rc.plot.ellipses(law, ax, mass=0.8).lines[0].get_data()).T
    inside = matplotlib.path.Path(curve).contains_points(law.rvs(20_000, rng=0))
    assert inside.mean() == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / 20_000))  # four deviations


def test_quantiles_of_equal_laws_lie_on_the_diagonal(ax: Any) -> None:
    sample = np.random.default_rng(0).normal(size=50)
    lines = rc.plot.quantiles(sample, 2 * sample, ax, names=("a", "b"), n=50).lines
    np.testing.assert_allclose(lines[1].get_ydata(), 2 * lines[1].get_xdata(), rtol=1e-12)
    assert "a" in ax.get_xlabel()
    assert "b" in ax.get_ylabel()


def test_images_are_laid_out_in_rows(ax: Any) -> None:
    images = np.arange(5)[:, None, None] * np.ones((5, 2, 3))
    (drawn,) = rc.plot.samples(images, ax, columns=3).images
    frame = drawn.get_array()
    assert frame.shape == (5, 11)
    assert frame[0, 4] == 1
    assert frame[4, 6] == 4
    assert frame.mask[:, 3].all()
    flat = rc.plot.samples(images.reshape(5, 6), ax, shape=(2, 3), columns=3).images[-1]
    np.testing.assert_array_equal(flat.get_array().filled(-1), frame.filled(-1))
    colour = rc.plot.samples(np.ones((4, 2, 2, 3)), ax).images[-1]
    assert colour.get_array().shape == (5, 5, 3)


def test_bad_input_is_named(ax: Any) -> None:
    plot = rc.plot
    cases: list[tuple[str, Any]] = [
        ("source must be given", lambda: plot.trajectories(lambda t, x: -x, ax)),
        ("got dimension 3", lambda: plot.trajectories(rc.as_field(lambda t, x: x, 3), ax)),
        ("n must be at least 1", lambda: plot.trajectories(LINE, ax, n=0)),
        ("t must be given in the plane", lambda: plot.field(PLANE, ax)),
        ("t must be left out on the line", lambda: plot.field(LINE, ax, t=0.5)),
        ("x must be given", lambda: plot.field(lambda t, x: -x, ax)),
        ("kind must be", lambda: plot.field(LINE, ax, kind="tea")),  # type: ignore[arg-type]
        ("mass must lie between", lambda: plot.ellipses(LINE, ax, mass=1.0)),
        ("law must be a mixture of Gaussians", lambda: plot.ellipses([1.0], ax)),
        ("law must be in the plane", lambda: plot.ellipses(rc.Gaussian([0.0], [[1.0]]), ax)),
        ("points must have shape", lambda: plot.samples(np.ones((3, 4)), ax)),
        ("shape must hold", lambda: plot.samples(np.ones((3, 4)), ax, shape=(2, 3))),
        ("truth must be left out", lambda: plot.samples(np.ones((3, 4, 4)), ax, truth=[[0, 0]])),
    ]
    for message, call in cases:
        with pytest.raises(ValueError, match=message):
            call()
