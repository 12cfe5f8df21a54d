"""The theory of flow matching with two-layer networks, checked number by number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import recouple as rc
from recouple import theory

GAUSS = rc.GaussianPlan(0.0, 1.0, 1.0, 0.0, 0.5)
TIED = rc.GaussianPlan(0.0, 1.0, 1.0, 0.4, 0.5)
MODES = rc.MixturePlan(
    [0.5, 0.5], [[0.0, -2.0], [0.0, 2.0]], [[[1.0, 0.0], [0.0, 0.1]], [[1.0, 0.0], [0.0, 0.1]]]
)


def rows(n: int, p: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((n, p))


def unit(z: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = z / np.linalg.norm(z, axis=1)[:, None]
    return scaled


# --- optimisation ---


@pytest.mark.parametrize("p", [2, 3, 66])
@pytest.mark.parametrize("outputs", [False, True])
def test_the_gram_matrix_is_its_formula(p: int, outputs: bool) -> None:
    mp = pytest.importorskip("mpmath")
    z = rows(70, p)
    z[1] = z[0] * 3  # angle 0
    z[2] = -z[0]  # angle pi
    z[3] = z[0] + 1e-9 * z[4]  # angles that a cosine cannot tell from 0 and pi
    z[5] = -z[0] + 1e-9 * z[4]
    gram = theory.ntk_gram(z, train_outputs=outputs)
    assert np.array_equal(gram, gram.T)
    with mp.workdps(40):
        for i, j in ((0, 0), (0, 1), (0, 2), (0, 3), (0, 5), (6, 69), (64, 63), (10, 11)):
            a, b = ([mp.mpf(float(v)) for v in z[k]] for k in (i, j))
            dot = mp.fsum(x * y for x, y in zip(a, b, strict=True))
            sizes = mp.sqrt(mp.fsum(x * x for x in a)) * mp.sqrt(mp.fsum(x * x for x in b))
            cosine = max(min(dot / sizes, mp.mpf(1)), mp.mpf(-1))
            angle = mp.acos(cosine)
            exact = dot * (mp.pi - angle) / (2 * mp.pi)
            if outputs:
                exact += sizes * (mp.sin(angle) + (mp.pi - angle) * cosine) / (2 * mp.pi)
            assert (
                abs(gram[i, j] - float(exact)) <= 1e-15 * float(sizes) * p
            )  # roundings of p terms


def test_the_gram_matrix_does_not_depend_on_threads() -> None:
    z = rows(700, 5)
    assert np.array_equal(theory.ntk_gram(z, num_threads=1), theory.ntk_gram(z, num_threads=2))


@pytest.mark.parametrize("outputs", [False, True])
def test_finite_widths_reach_the_kernel_at_the_rate_of_a_mean(outputs: bool) -> None:
    z = rows(40, 4)
    exact = theory.ntk_gram(z, train_outputs=outputs)
    widths = np.array([50, 200, 800, 3200])
    errors = []
    for m in widths:
        gaps = [
            np.linalg.norm(
                theory.ntk_gram_empirical(
                    rc.ReluNetwork(2, int(m), train_outputs=outputs, rng=seed), z
                ) - exact
            )
            for seed in range(12)
        ]  # fmt: skip
        errors.append(np.sqrt(np.mean(np.square(gaps))))
    slope = np.polyfit(np.log(widths), np.log(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.1)  # twelve draws a width: 0.03 of scatter


def test_the_empirical_kernel_is_the_product_of_gradients() -> None:
    for outputs in (False, True):
        net = rc.ReluNetwork(2, 30, train_outputs=outputs, rng=0)
        z = net.inputs(0.4, rows(6, 2))
        pre = z @ net.hidden.T
        scale = 1 / np.sqrt(30)
        gradient = scale * np.einsum("rj,nr,nc->njrc", net.outputs, pre > 0, z).reshape(12, -1)
        if outputs:
            head = np.zeros((6, 2, 30, 2))
            for j in range(2):
                head[:, j, :, j] = scale * np.maximum(pre, 0)
            gradient = np.concatenate([gradient, head.reshape(12, -1)], axis=1)
        full = theory.ntk_gram_empirical(net, z, full=True)
        np.testing.assert_allclose(full, gradient @ gradient.T, rtol=0, atol=1e-13)
        mean = full.reshape(6, 2, 6, 2)
        np.testing.assert_allclose(
            theory.ntk_gram_empirical(net, z),
            (mean[:, 0, :, 0] + mean[:, 1, :, 1]) / 2, rtol=0, atol=1e-13,
        )  # fmt: skip


@pytest.mark.parametrize(("dim", "n"), [(1, 128), (1, 400), (2, 512)])
def test_the_smallest_angle_sets_the_smallest_eigenvalue(dim: int, n: int) -> None:
    draw = np.random.default_rng(0)
    x = np.column_stack([draw.standard_normal((n, dim)), draw.random(n), np.ones(n)])
    found = theory.spectrum(unit(x))
    assert 0.9 <= found.ratio <= 1.0
    assert found.smallest <= found.bound
    width = theory.width_required(unit(x))
    assert width.heuristic == pytest.approx(np.pi / found.angle)
    assert width.du > 1e20  # the proven order is beyond any machine


@given(st.integers(2, 30), st.integers(2, 6), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_the_bound_by_the_closest_rows_holds(n: int, p: int, seed: int) -> None:
    z = rows(n, p, seed) * np.random.default_rng(seed).uniform(0.1, 3, (n, 1))
    found = theory.spectrum(z)
    assert found.smallest <= found.bound + 1e-14  # rounding of the eigenvalue


def lazy(m: int, scale: float) -> tuple[rc.ReluNetwork, Any]:
    """A network whose outputs are `scale` times larger: targets that much smaller."""
    start = rc.ReluNetwork(1, m, antisymmetric=True, rng=0)
    net = rc.ReluNetwork.from_arrays(start.hidden, start.outputs * scale)
    draw = np.random.default_rng(1)
    return net, (draw.random(60), *GAUSS.sample(60, draw))


def test_descent_follows_its_prediction_in_the_lazy_limit() -> None:
    departures = []
    for scale in (1.0, 100.0):
        net, (t, x0, x1) = lazy(4096, scale)
        rate = 0.5 / scale**2
        trace = rc.train(net, (t, x0, x1), rate=rate, epochs=1001, every=1000, rng=0)
        gram = theory.ntk_gram_empirical(net, net.inputs(t, (1 - t) * x0 + t * x1))
        steps = np.array([0, 10, 100, 1000])
        predicted = theory.predicted_loss(gram, x0 - x1, rate, steps)
        departures.append(np.abs(trace.loss[steps] / predicted.loss - 1))
        assert (predicted.du_bound >= predicted.loss * (1 - 1e-12)).all()
    assert departures[1].max() <= 0.05
    assert departures[0][-1] > departures[1][-1]  # unscaled targets leave the lazy limit


def test_a_prediction_with_one_block_an_output_is_the_same() -> None:
    z, r = rows(10, 4), rows(10, 2, 1)
    gram = theory.ntk_gram(z)
    one = theory.predicted_loss(gram, r, 0.1, [0, 5])
    full = theory.predicted_loss(np.kron(gram, np.eye(2)), r, 0.1, [0, 5])
    np.testing.assert_allclose(one.loss, full.loss, rtol=1e-12)
    assert one.loss[0] == pytest.approx((r**2).sum() / 10)


# --- the floor and the excess ---


@pytest.mark.parametrize("dim", [1, 3])
def test_the_floor_of_an_independent_gaussian_plan_is_closed(dim: int) -> None:
    draw = np.random.default_rng(dim)
    s0, s1 = (a @ a.T + 0.1 * np.eye(dim) for a in draw.standard_normal((2, dim, dim)))
    zero = np.zeros((dim, dim))
    plan = rc.GaussianPlan(np.zeros(dim), np.ones(dim), s0, zero, s1)

    def root(a: Any) -> Any:
        values, vectors = np.linalg.eigh(a)
        return (vectors * np.sqrt(values)) @ vectors.T

    half, inverse = root(s0), np.linalg.inv(root(s0))
    mean = half @ root(inverse @ s1 @ inverse) @ half  # the geometric mean S0 # S1
    assert float(theory.cfm_floor(plan)) == pytest.approx(np.pi / 2 * np.trace(mean), rel=1e-10)


def test_the_loss_is_the_excess_and_the_floor() -> None:
    net = rc.ReluNetwork(1, 64, rng=0)
    for plan in (GAUSS, MODES):
        found = theory.excess(net, plan, samples=40_000)
        t, x, u = theory.risk.draw_path(plan, 40_000, 1, rc.LINEAR)
        loss = (np.asarray(net(t, x[:, 0])) - u[:, 0]) ** 2
        # Five standard errors of the plain mean; the paired estimate is sharper.
        tolerance = 5 * loss.std() / 200
        assert loss.mean() == pytest.approx(
            found.value + float(theory.cfm_floor(plan)), abs=tolerance
        )
        assert found.error < loss.std() / 200
    assert theory.excess(rc.velocity_field(GAUSS), GAUSS).value < 1e-25


# --- generalisation ---


def test_complexity_falls_on_the_velocity_and_grows_on_noise() -> None:
    net = rc.ReluNetwork(1, 2, rng=0)
    noisy, clean = [], []
    for n in (50, 400):
        t, x, u = theory.risk.draw_path(GAUSS, n, 2, rc.LINEAR)
        z = net.inputs(t, x[:, 0])
        noisy.append(theory.arora_complexity(z, u))
        clean.append(theory.arora_complexity(z, GAUSS.velocity(t, x[:, 0])))
    assert noisy[1] > 1.5 * noisy[0]
    assert clean[1] < 0.7 * clean[0]
    assert theory.arora_complexity(np.ones((2, 3)), [1.0, 2.0]) == np.inf


def test_the_kernel_ball_bounds_the_gap_in_every_run() -> None:
    for seed in range(3):
        pairs = GAUSS.sample(100, seed)
        net = rc.ReluNetwork(1, 256, antisymmetric=True, rng=seed)
        trace = rc.train(net, pairs, epochs=2000, rate=0.3, rng=seed)
        found = theory.generalization_report(trace.network, GAUSS, pairs, trace.start, rng=seed)
        assert found.gap <= found.ball.bound
        assert found.noisy > found.denoised
        assert sum(found.ball.terms) == pytest.approx(found.ball.bound)
        assert "kernel-ball bound of the gap, heuristic" in found.summary()


def test_the_orders_in_tasks() -> None:
    assert theory.multitask_bound(4.0, 1.0, 100, 4) == pytest.approx(0.1 + 0.1)
    assert theory.task_variance(0.0, 10, 5) == pytest.approx(1 / 50)
    assert theory.task_variance(1.0, 10, 5) == pytest.approx(1 / 10)
    with pytest.raises(ValueError, match="rho must be at most 1"):
        theory.task_variance(1.5, 10, 5)


# --- Wasserstein ---


def test_lipschitz_constants_of_a_network_on_the_line_are_upper_bounds() -> None:
    net = rc.ReluNetwork(1, 200, rng=3)
    found = theory.lipschitz(net)
    assert found.certified
    t = np.linspace(0, 1, 50)
    x = np.tile(np.linspace(-4, 4, 400), (50, 1))
    sampled = theory.lipschitz(net, (t, x))
    assert not sampled.certified
    assert sampled.integral() <= found.integral() + 0.05  # the larger end of each span, sampled
    for at in (0.1, 0.77):
        slopes = net.jacobian(at, x[0])
        k = int(at * 256)
        assert slopes.max() <= found.one_sided[k] + 1e-13  # sums in another order
        assert np.abs(slopes).max() <= found.two_sided[k] + 1e-13
    finer = theory.lipschitz(net, times=np.linspace(0, 1, 2049))
    assert finer.integral() <= found.integral()
    assert found.stretch(0.5)[0] == pytest.approx(np.exp(found.integral(0.5)))


@pytest.mark.parametrize("plan", [TIED, MODES], ids=["Gaussian", "two modes"])
def test_every_bound_holds_through_training(plan: rc.Plan) -> None:
    net = rc.ReluNetwork(1, 128, antisymmetric=True, rng=0)
    trace = None
    for epochs in (1, 30, 300):
        trace = rc.train(net, plan, epochs=epochs, samples=500, rng=0, resume=trace)
        found = theory.wasserstein_bounds(trace.network, plan, samples=200, intervals=16)
        assert found.holds(), found.summary()
        bounds = [bound for _, bound in found.rows()]
        assert bounds == sorted(bounds)
        assert found.label == "certified"
        # Tight, but where the errors along the way happen to cancel at the end.
        assert found.alekseev_groebner <= 4 * found.measured
    assert trace is not None
    chain = theory.chain_report(trace.network, plan, trace, samples=200)
    assert chain.holds()
    assert all(link.value >= chain.measured for link in chain.links)
    # The excess and the Jensen bound are from different draws: only the later links are in order.
    assert all(link.slack >= 1 for link in chain.links[1:])
    assert "Alekseev-Groebner identity" in chain.summary()


def test_the_chain_weighs_the_training_loss_and_can_fail() -> None:
    net = rc.ReluNetwork(1, 128, antisymmetric=True, rng=0)
    trace = rc.train(net, GAUSS, regime="fixed", samples=20, epochs=3000, rate=0.3, rng=1)
    chain = theory.chain_report(trace.network, GAUSS, trace, samples=100)
    assert chain.train == trace.loss[-1]
    assert chain.gap > 5 * chain.gap_error  # twenty rows: overfitting
    # From other draws, so equal within five standard errors and not to the bit.
    error = np.hypot(chain.gap_error, chain.excess.error)
    difference = chain.train + chain.gap - chain.floor - chain.excess.value
    assert 0 < abs(difference) <= 5 * error
    alone = theory.chain_report(trace.network, GAUSS, samples=100)
    assert alone.gap == 0
    assert alone.train == pytest.approx(chain.train + chain.gap)
    assert chain.holds()
    assert not replace(chain, measured=1.001 * chain.links[0].value).holds()
    far = 1.001 * chain.bounds.minkowski
    assert not replace(chain.bounds, measured=far).holds()
    # The identity is not among the bounds.
    assert replace(chain.bounds, alekseev_groebner=0.0).holds()


def test_bounds_hold_in_the_plane_with_sampled_constants() -> None:
    plan = rc.GaussianPlan(
        np.zeros(2), np.array([1.0, -1.0]), np.eye(2), np.zeros((2, 2)), np.diag([0.5, 2.0])
    )
    net = rc.ReluNetwork(2, 128, antisymmetric=True, rng=0)
    trace = rc.train(net, plan, epochs=200, samples=500, rng=0)
    found = theory.wasserstein_bounds(trace.network, plan, samples=150, intervals=12)
    assert found.holds(), found.summary()
    assert found.label == "sampled"


def test_the_alekseev_groebner_identity_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(np, "trapezoid", raising=False)  # numpy 1.26 has none
    net = rc.ReluNetwork(1, 64, antisymmetric=True, rng=0)
    trace = rc.train(net, GAUSS, epochs=100, samples=500, rng=0)
    assert theory.ag_identity(trace.network, GAUSS, samples=20, intervals=150) <= 1e-3
    plane = rc.GaussianPlan(
        np.zeros(2), np.ones(2), np.eye(2), 0.3 * np.eye(2), np.diag([0.5, 2.0])
    )
    other = rc.as_field(lambda t, x: np.tanh(x[:, ::-1]) + 0.5, dim=2)
    assert theory.ag_identity(other, plane, samples=10, intervals=60) <= 1e-3


def test_the_euler_term_is_the_leading_error() -> None:
    field = rc.velocity_field(rc.GaussianPlan(0.0, 1.0, 1.0, 0.0, 4.0))
    x0 = np.linspace(-2, 2, 41)
    t = np.linspace(0, 1, 201)
    constants = theory.lipschitz(field, (t, np.zeros((201, 2))))
    exact = rc.integrate(field, x0, rtol=1e-10).x
    ratios = []
    for steps in (50, 400):
        error = np.sqrt(
            np.mean((rc.integrate(field, x0, method="euler", steps=steps).x - exact) ** 2)
        )
        ratios.append(theory.euler_term(field, x0, steps, constants) / error)
    assert ratios[1] >= 1.0
    # Linear in h: the ratio settles.
    assert ratios[1] == pytest.approx(ratios[0], rel=0.1)


# --- bad input ---


def test_bad_input_is_named() -> None:
    net = rc.ReluNetwork(2, 8, rng=0)
    for call, message in (
        (lambda: theory.ntk_gram([[0.0, 0.0]]), "zero row"),
        (lambda: theory.ntk_gram([[np.nan, 0.0]]), "Z must be finite"),
        (lambda: theory.ntk_gram([1.0]), "Z must have 2 dimension"),
        (lambda: theory.ntk_gram_empirical(net, np.ones((3, 3))), r"Z must have shape \(n, 4\)"),
        (lambda: theory.spectrum([[1.0, 0.0]]), "two rows"),
        (lambda: theory.predicted_loss(np.eye(3), [1.0, 2.0], 0.1, 1), "gram must have shape"),
        (lambda: theory.predicted_loss(np.eye(2), [1.0, 2.0], 0.0, 1), "rate must be positive"),
        (lambda: theory.arora_complexity(np.eye(3), [1.0]), "targets must have 3 rows"),
        (lambda: theory.kernel_ball_bound(-1.0, 1.0, 3, [1.0]), "radius must be at least 0"),
        (lambda: theory.lipschitz(net), "points must say"),
        (lambda: theory.wasserstein_bounds(net, GAUSS), "net must have dimension 1"),
        (lambda: theory.chain_report("net", GAUSS), "net must be callable"),  # type: ignore
        (lambda: theory.chain_report(net, "plan"), "plan must be a plan"),  # type: ignore
    ):
        with pytest.raises(ValueError, match=message):
            call()
