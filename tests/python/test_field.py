"""Fields on grids, changed fields, conversions and other people's callables."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator, RectBivariateSpline

import recouple as rc

Array = NDArray[np.float64]


def plan(dim: int = 1) -> rc.MixturePlan:
    rng = np.random.default_rng(3)
    root = rng.normal(size=(2, 2 * dim, 2 * dim)) / np.sqrt(2 * dim)
    covs = root @ root.swapaxes(1, 2) + 0.3 * np.eye(2 * dim)
    return rc.MixturePlan([1, 2], rng.normal(size=(2, 2 * dim)), covs)


# Grids.


def wave(t: Any, x: Any) -> Any:
    return np.sin(1.3 * x + 0.4) * np.exp(-0.5 * np.asarray(t)) + 0.2 * x * t


def on_grid(m: int, n: int, **options: Any) -> rc.GridField:
    t, x = np.linspace(0, 1, m), np.linspace(-2, 2, n)
    return rc.GridField(t, x, wave(t[:, None], x), **options)


def test_a_grid_field_is_the_tensor_spline_of_scipy() -> None:
    t, x = np.linspace(0, 1, 9) ** 1.5, np.sort(np.random.default_rng(0).uniform(-2, 2, 15))
    v = wave(t[:, None], x)
    field, spline = rc.GridField(t, x, v), RectBivariateSpline(t, x, v)
    at, times = np.random.default_rng(1).uniform(x[0], x[-1], (2, 200))
    times = np.abs(times) / np.abs(times).max()
    assert np.allclose(field(times, at), spline(times, at, grid=False), atol=1e-13)
    assert np.allclose(field.divergence(0.3, at), spline(0.3, np.sort(at), dy=1)[0][
        np.argsort(np.argsort(at))
    ], atol=1e-12)  # fmt: skip
    assert np.array_equal(field.jacobian(0.3, at), field.divergence(0.3, at))


def test_a_monotone_grid_field_is_pchip_in_x_and_makes_no_extrema() -> None:
    t, x = np.array([0.0, 1.0]), np.array([0.0, 1.0, 2.0, 3.0, 5.0])
    row = np.array([0.0, 0.0, 1.0, 1.0, 3.0])
    field = rc.GridField(t, x, np.stack([row, row]), method="monotone")
    at = np.linspace(0, 5, 101)
    assert np.allclose(field(0.5, at), PchipInterpolator(x, row)(at), atol=1e-14)
    assert (np.diff(field(0.5, at)) >= -1e-15).all()  # flat pieces round


def test_a_grid_field_converges_at_fourth_order() -> None:
    x, t = np.linspace(-1.9, 1.9, 301), np.random.default_rng(0).random(301)
    sizes = np.array([8, 16, 32])
    errors = [np.abs(on_grid(int(n), int(n))(t, x) - wave(t, x)).max() for n in sizes]
    order = -np.polyfit(np.log(sizes - 1), np.log(errors), 1)[0]
    assert 3.7 < order < 5.2


def test_beyond_the_grid_the_field_goes_on_as_stated() -> None:
    field, flat = on_grid(9, 9), on_grid(9, 9, extrapolation="constant")
    edge, slope = field(0.4, 2.0), field.divergence(0.4, 2.0)
    assert field(0.4, 5.0) == pytest.approx(edge + 3 * slope, rel=1e-14)
    assert flat(0.4, 5.0) == pytest.approx(edge, rel=1e-14)
    assert flat(0.4, -9.0) == flat(0.4, -2.0)
    assert flat(1.5, 0.3) == flat(1.0, 0.3)
    rate = (field(1.0, 0.3) - field(1 - 1e-6, 0.3)) / 1e-6
    assert field(1.5, 0.3) == pytest.approx(field(1.0, 0.3) + 0.5 * rate, abs=1e-5)
    assert np.isnan(field(0.5, np.nan))


def test_grid_fields_pickle_and_stand_for_a_plan() -> None:
    exact = rc.velocity_field(plan())
    t, x = np.linspace(0, 1, 129), np.linspace(-4, 4, 513)
    field = rc.GridField(t, x, np.array([exact(float(s), x) for s in t]))
    at = np.linspace(-3, 3, 50)
    # h^4 / 384 times a fourth derivative of some thousands, h = 1/64 in x and 1/128 in t
    assert np.abs(field(0.37, at) - exact(0.37, at)).max() < 1e-5
    again = pickle.loads(pickle.dumps(field))
    assert np.array_equal(again(0.37, at), field(0.37, at))
    assert "129 times" in repr(field)
    with pytest.raises(ValueError, match="read-only"):
        field.v[0, 0] = 1.0


@pytest.mark.parametrize(
    ("t", "x", "v", "options", "message"),
    [
        ([0, 1], [0, 1, 2], np.ones((3, 2)), {}, r"v must have shape \(2, 3\)"),
        ([0, 1], [0, 2, 1], np.ones((2, 3)), {}, "x must increase"),
        ([0], [0, 1], np.ones((1, 2)), {}, "t must have at least 2 points"),
        ([0, 1], [0, 1], [[0, 1], [np.nan, 1]], {}, "v must be finite"),
        ([0, 1], [0, 1], np.ones((2, 2)), {"method": "cubic"}, "method"),
        ([0, 1], [0, 1], np.ones((2, 2)), {"extrapolation": "wrap"}, "extrapolation"),
    ],
)
def test_bad_grids_are_refused(t: Any, x: Any, v: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rc.GridField(t, x, v, **options)


# Changed fields.


@pytest.mark.parametrize("dim", [1, 3])
def test_reversed_time_is_the_field_of_the_reversed_plan(dim: int) -> None:
    given = plan(dim)
    back = rc.reversed_time(rc.velocity_field(given))
    x = np.random.default_rng(0).normal(size=(30, dim))
    x = x.ravel() if dim == 1 else x
    t = np.linspace(0, 1, 30)
    exact = rc.velocity_field(given.reverse())
    assert np.allclose(back(t, x), exact(t, x), rtol=1e-12, atol=1e-12)
    assert np.allclose(back.jacobian(0.3, x), exact.jacobian(0.3, x), rtol=1e-11, atol=1e-11)
    assert np.allclose(back.divergence(0.3, x), exact.divergence(0.3, x), rtol=1e-11, atol=1e-11)
    twice = rc.reversed_time(back)
    assert np.allclose(twice(0.4, x), rc.velocity_field(given)(0.4, x), rtol=1e-13, atol=1e-13)
    assert np.array_equal(pickle.loads(pickle.dumps(back))(0.4, x), back(0.4, x))


def test_reversing_a_callable_keeps_its_errors() -> None:
    def broken(t: Any, x: Any) -> Any:
        raise RuntimeError("the weights are lost")

    assert rc.reversed_time(lambda t, x: t + x)(0.25, [1.0]) == [-1.75]
    with pytest.raises(RuntimeError, match="weights are lost"):
        rc.reversed_time(broken)(0.5, [1.0])


SQUARE = rc.custom_interpolant(lambda t: 1 - t * t, lambda t: t * t, name="square")


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize(
    ("from_", "to"),
    [
        (rc.LINEAR, rc.TRIGONOMETRIC),
        (rc.TRIGONOMETRIC, SQUARE),
        (SQUARE, rc.COSINE),
        (rc.COSINE, rc.LINEAR),
    ],
    ids=lambda i: i.name,
)
def test_one_field_gives_that_of_another_interpolant(dim: int, from_: Any, to: Any) -> None:
    given = plan(dim)
    x = np.random.default_rng(0).normal(size=(30, dim))
    x = x.ravel() if dim == 1 else x
    changed = rc.change_interpolant(rc.velocity_field(given, from_), to, from_)
    exact = rc.velocity_field(given, to)
    t = np.linspace(0.05, 0.95, 30)
    # A tabulated interpolant's time change is solved to some ulp, its derivative known to 1e-11.
    assert np.allclose(changed(t, x), exact(t, x), rtol=1e-10, atol=1e-10)
    assert np.allclose(changed.jacobian(0.3, x), exact.jacobian(0.3, x), rtol=1e-9, atol=1e-9)
    assert np.allclose(changed.divergence(0.3, x), exact.divergence(0.3, x), rtol=1e-9, atol=1e-9)


def test_a_change_of_interpolant_carries_collisions_along() -> None:
    data = rc.dataset_plan([1.0, 2.0])
    field = rc.change_interpolant(rc.velocity_field(data), rc.TRIGONOMETRIC)
    with pytest.raises(ValueError, match="singular at t = 1"):
        field(1.0, [1.0])


# Velocity, score, denoiser.


@pytest.mark.parametrize("interpolant", [rc.LINEAR, rc.TRIGONOMETRIC, SQUARE], ids=lambda i: i.name)
def test_velocity_score_and_denoiser_say_the_same(interpolant: Any) -> None:
    data, std, t = np.random.default_rng(0).normal(size=(20, 2)), 1.3, 0.4
    given = rc.dataset_plan(data, std)
    x = np.random.default_rng(1).normal(size=(10, 2))
    v = given.velocity(t, x, interpolant)
    score = given.as_mixture().score(t, x, interpolant)
    assert np.allclose(rc.score_from_velocity(t, x, v, std, interpolant), score, atol=1e-12)
    assert np.allclose(rc.velocity_from_score(t, x, score, std, interpolant), v, atol=1e-12)
    _, denoised = rc.expected_ends(t, x, v, interpolant)
    a, b = rc._core.coefficients(interpolant, t)[:2]
    energy = ((x[:, None] - b * data) ** 2).sum(2) / (2 * (a * std) ** 2)
    weight = np.exp(energy.min(1, keepdims=True) - energy)
    assert np.allclose(denoised, weight @ data / weight.sum(1, keepdims=True), atol=1e-12)
    assert np.allclose(rc.velocity_from_denoiser(t, x, denoised, interpolant), v, atol=1e-12)
    noise, _ = rc.expected_ends(t, x, v, interpolant)
    assert np.allclose(a * noise + b * denoised, x, atol=1e-13)


def test_conversions_refuse_the_ends_they_cannot_serve() -> None:
    with pytest.raises(ValueError, match="t must be before 1"):
        rc.velocity_from_denoiser(1.0, [1.0], [1.0])
    with pytest.raises(ValueError, match="t must be before 1"):
        rc.score_from_velocity(1.0, [1.0], [1.0])
    with pytest.raises(ValueError, match="t must be after 0"):
        rc.velocity_from_score(0.0, [1.0], [1.0])
    with pytest.raises(ValueError, match="v must have the shape"):
        rc.expected_ends(0.5, [1.0], [1.0, 2.0])


# Callables.


def test_a_callable_gets_a_number_or_a_time_for_each_point() -> None:
    seen = []

    def field(t: Any, x: Any) -> Any:
        seen.append((np.shape(t), x.shape))
        return t * x

    wrapped = rc.as_field(field)
    assert wrapped(0.5, [1.0, 2.0]).tolist() == [0.5, 1.0]
    assert wrapped([0.5, 1.0], [1.0, 2.0]).tolist() == [0.5, 2.0]
    assert rc.as_field(field, 2)(0.5, np.ones((3, 2))).shape == (3, 2)
    assert seen == [((), (2,)), ((2,), (2,)), ((), (3, 2))]
    with pytest.raises(ValueError, match="to have derivatives"):
        wrapped.divergence(0.5, [1.0])
    assert rc.as_field(wrapped) is wrapped


@pytest.mark.parametrize("n", [2, 5])
def test_times_that_multiply_coordinates_are_found_out(n: int) -> None:
    # Two times beside two points of the plane would broadcast, along the wrong axis.
    t, x = np.linspace(0.1, 0.9, n), np.ones((n, 2))
    with pytest.raises(ValueError, match=r"as in t\[:, None\] \* x"):
        rc.as_field(lambda t, x: t * x, 2)(t, x)
    with pytest.raises(ValueError, match=r"^operands could not"):  # another fault: its own words
        rc.as_field(lambda t, x: x + np.ones(3), 2)(0.5, x)
    right = rc.as_field(lambda t, x: np.reshape(t, (-1, 1)) * x, 2)
    cut = rc.as_field(lambda t, x: t * x, 2, times="scalar")
    for field in (right, cut):
        np.testing.assert_array_equal(field(t, x), np.stack([t, t], axis=1))


@pytest.mark.parametrize(
    ("function", "order", "times"),
    [
        (lambda t, x: t * x, "tx", "points"),
        (lambda x, t: t * x - x, "xt", "points"),
        (lambda *, x, t: t * x, "kw", "points"),
        (lambda *, x_t, time: x_t + time, "kw", "points"),
        (lambda x, t: x * float(t), "xt", "scalar"),
    ],
)
def test_auto_finds_the_convention(function: Any, order: str, times: str) -> None:
    report = rc.check_field(function)
    assert (report.order, report.times) == (order, times)
    assert report.ok
    field = rc.as_field(function, order="auto", times="auto")
    x = np.array([1.0, 2.0])
    both = field([0.25, 0.5], x)
    assert both[0] == field(0.25, x)[0]
    assert both[1] == field(0.5, x)[1]


def test_a_column_of_times_is_found_for_functions_that_stack() -> None:
    def stacked(x: Any, t: Any) -> Any:
        return np.concatenate([x, t], axis=1)[:, :2] * t

    report = rc.check_field(stacked, 2)
    assert (report.order, report.times) == ("xt", "column")
    field = rc.as_field(stacked, 2, order="xt", times="column")
    assert np.allclose(field(0.5, np.ones((3, 2))), 0.5)


def test_the_self_check_reports_what_is_wrong() -> None:
    rng = np.random.default_rng(0)
    assert not rc.check_field(lambda t, x: x + rng.normal(size=x.shape)).deterministic
    assert not rc.check_field(lambda t, x: x - x.mean()).pointwise
    with np.errstate(divide="ignore"):
        report = rc.check_field(lambda t, x: x / np.zeros(len(x)))
    assert not report.finite
    assert "not finite" in report.summary()
    with pytest.raises(ValueError, match=r"tried:\n.*gives shape"):
        rc.check_field(lambda t, x: np.ones(3))
    with pytest.raises(ValueError, match="order must be one of"):
        rc.as_field(lambda t, x: x, order="xy")
    with pytest.raises(ValueError, match="field must be callable"):
        rc.as_field(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="dim must be at least 1"):
        rc.as_field(lambda t, x: x, 0)


def test_a_torch_module_is_a_field_in_its_own_precision() -> None:
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 2)

        def forward(self, x: Any, t: Any) -> Any:
            return self.layer(torch.cat([x, t.reshape(-1, 1).expand(len(x), 1)], dim=1))

    torch.manual_seed(0)
    net = Net()
    field = rc.as_field(net, 2)
    x = np.random.default_rng(0).normal(size=(7, 2))
    weight = net.layer.weight.detach().numpy().astype(float)
    bias = net.layer.bias.detach().numpy().astype(float)
    t = np.linspace(0, 1, 7)
    exact = np.column_stack([x, t]) @ weight.T + bias
    assert np.allclose(field(t, x), exact, atol=1e-6)  # float32 inside
    report = rc.check_field(net, 2)
    assert (report.kind, report.order, report.ok) == ("torch", "xt", True)


def test_the_names_of_a_function_s_arguments_say_their_order() -> None:
    for function in (lambda t, x: t * x * x, lambda x, t: t * x * x, lambda a, b: a * b * b):
        assert rc.as_field(function)(0.5, [2.0]) == pytest.approx([2.0])
    assert rc.as_field(lambda x, t: x * t * t, order="tx")(0.5, [2.0]) == pytest.approx([2.0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (lambda x: x + 0j, "field's values must hold real numbers, got dtype complex128"),
        (lambda x: "abc", "field's values must hold real numbers, got dtype <U3"),
        (lambda x: None, "field's values must hold real numbers, got dtype object"),
        (lambda x: [[1.0], [2.0, 3.0]], "field's values must be convertible to an array"),
        (lambda x: 0.3, r"field must return an array of shape \(2,\) like x, got \(\)"),
        (lambda x: x[:1], r"field must return an array of shape \(2,\) like x, got \(1,\)"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"times": "scalar"}, {"batch": 100}])
def test_values_that_are_no_field_s_are_named(values: Any, message: str, options: Any) -> None:
    field = rc.as_field(lambda t, x: values(x), **options)
    with pytest.raises(ValueError, match=message):
        field(0.5, [1.0, 2.0])


def test_values_of_any_real_kind_serve() -> None:
    x = np.array([1.0, -2.0])
    for kind in (np.float32, np.float16, np.longdouble, np.int64, np.bool_, list):
        field = rc.as_field(lambda t, x, kind=kind: kind(x) if kind is list else x.astype(kind))
        assert field(0.5, x).tolist() == ([1.0, 1.0] if kind is np.bool_ else x.tolist())


def test_tensors_leave_their_gradients_behind() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = torch.nn.Linear(1, 1)  # float32
    field = rc.as_field(lambda t, x: net(torch.as_tensor(x, dtype=torch.float32)[:, None])[:, 0])
    x = np.array([1.0, -2.0])
    exact = float(net.weight.detach()[0, 0]) * x + float(net.bias.detach()[0])
    assert np.allclose(field(0.5, x), exact, rtol=1e-6)
    with pytest.raises(ValueError, match=r"must hold real numbers, got dtype complex64"):
        rc.as_field(lambda t, x: torch.as_tensor(x).to(torch.complex64))(0.5, x)
