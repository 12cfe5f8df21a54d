"""Two-layer ReLU networks: the field against its formula, training against other gradients."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import recouple as rc
from recouple import _core

PLAN = rc.GaussianPlan(0.3, 1.0, 1.0, 0.2, 0.5)


def by_formula(net: rc.ReluNetwork, t: Any, x: Any) -> NDArray[np.float64]:
    """f from its definition, one matrix product after the other, with one head."""
    z = net.inputs(t, x)
    hidden = np.maximum(z @ net.hidden.astype(float).T, 0)
    return np.asarray(hidden @ net.outputs.astype(float) / np.sqrt(net.width))


def points(dim: int, n: int, seed: int = 0) -> Any:
    x = np.random.default_rng(seed).standard_normal((n, dim))
    return x.ravel() if dim == 1 else x


# Dimensions on both sides of the kernels' switch at 3, widths on both sides of a panel of 64.
@pytest.mark.parametrize(("dim", "width"), [(1, 64), (2, 1), (2, 100), (3, 65), (4, 63), (17, 130)])
def test_the_network_is_its_formula(dim: int, width: int) -> None:
    net = rc.ReluNetwork(dim, width, time_scale=1.7, bias=0.4, rng=1)
    x, t = points(dim, 131), np.linspace(0, 1, 131)
    expected = by_formula(net, t, x).reshape(x.shape)
    # Sums of `width` products in another order: 1e-14 of terms of size 1.
    np.testing.assert_allclose(net(t, x), expected, rtol=0, atol=1e-13 * np.sqrt(dim))
    single = rc.ReluNetwork.from_arrays(
        net.hidden, net.outputs, time_scale=1.7, bias=0.4, dtype=np.float32
    )
    given = single(t, x.astype(np.float32))
    assert given.dtype == np.float32
    np.testing.assert_allclose(given, expected, rtol=0, atol=3e-6 * np.sqrt(dim))


@pytest.mark.parametrize("dim", [1, 3, 5])
def test_jacobian_and_divergence_are_differences_away_from_kinks(dim: int) -> None:
    net = rc.ReluNetwork(dim, 50, rng=2)
    x, h = points(dim, 20), 1e-7
    rows = x.reshape(20, dim)
    clear = (np.abs(net.inputs(0.3, x) @ net.hidden.T) > 1e-5).all(axis=1)  # no kink within h
    jac = np.asarray(net.jacobian(0.3, x)).reshape(20, dim, dim)
    for c in range(dim):
        step = np.zeros(dim)
        step[c] = h
        up, down = (
            np.asarray(net(0.3, (rows + s * step).reshape(x.shape))).reshape(20, dim)
            for s in (1, -1)
        )
        # Linear between kinks: only rounding of f over 2 h is left.
        np.testing.assert_allclose(jac[clear, :, c], ((up - down) / (2 * h))[clear], atol=1e-7)
    np.testing.assert_allclose(
        net.divergence(0.3, x), np.trace(jac, axis1=1, axis2=2), rtol=0, atol=1e-13
    )


def test_slopes_between_kinks_are_those_of_the_function() -> None:
    net = rc.ReluNetwork(1, 40, rng=3)
    places, slopes = net.kinks(0.6)
    assert (np.diff(places) >= 0).all()
    ends = np.concatenate([[places[0] - 2], places, [places[-1] + 2]])
    for low, high, slope in zip(ends[:-1], ends[1:], slopes, strict=True):
        if high - low > 1e-6:
            a, b = low + 0.25 * (high - low), low + 0.75 * (high - low)
            rise = net(0.6, [b])[0] - net(0.6, [a])[0]
            assert rise == pytest.approx(slope * (b - a), abs=1e-13)  # rounding of f
    least, most = net.slopes(0.6)
    assert most == pytest.approx(slopes.max(), abs=1e-14)
    assert least == pytest.approx(slopes.min(), abs=1e-14)


@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_slope_bounds_hold_over_a_span_of_time(seed: int, a: float, b: float) -> None:
    net = rc.ReluNetwork(1, 24, rng=seed)
    low, high = min(a, b), max(a, b)
    least, most = net.slopes(low, high)
    for t in np.linspace(low, high, 7):
        inner = net.slopes(float(t))
        assert least <= inner[0] + 1e-12  # rounding of sums in another order
        assert most >= inner[1] - 1e-12
    near = net.slopes(low, min(high, low + 1e-9))
    assert near[1] <= most + 1e-12


def test_heads_are_interpolated_in_time() -> None:
    times = np.array([0.0, 0.25, 1.0])
    base = rc.ReluNetwork(2, 30, times=times, rng=4)
    heads = np.random.default_rng(0).standard_normal(base.outputs.shape)
    net = rc.ReluNetwork.from_arrays(base.hidden, heads, times=times, time_scale=0.0)
    ones = [rc.ReluNetwork.from_arrays(base.hidden, head, time_scale=0.0) for head in heads]
    x = points(2, 9)
    parts = [np.asarray(one(0.0, x)) for one in ones]
    for t, expected in (
        (-1.0, parts[0]), (0.0, parts[0]), (0.25, parts[1]), (1.0, parts[2]), (3.0, parts[2]),
        (0.55, 0.6 * parts[1] + 0.4 * parts[2]),
    ):  # fmt: skip
        np.testing.assert_allclose(net(t, x), expected, rtol=0, atol=1e-14)
    mixed = np.array([0.0, 0.55, 0.55, 0.25, 1.0, 0.1, 0.55, 2.0, -1.0])
    each = np.concatenate([net(float(at), x[i : i + 1]) for i, at in enumerate(mixed)])
    np.testing.assert_allclose(net(mixed, x), each, rtol=0, atol=1e-14)
    jac = net.jacobian(0.55, x)
    blend = 0.6 * ones[1].jacobian(0.0, x) + 0.4 * ones[2].jacobian(0.0, x)
    np.testing.assert_allclose(jac, blend, rtol=0, atol=1e-14)


def test_what_is_not_a_number_is_not_hidden_by_the_relu() -> None:
    for dim in (1, 2, 6):
        net = rc.ReluNetwork(dim, 70, rng=0)
        x = points(dim, 3)
        x.reshape(3, dim)[1, 0] = np.nan
        values = np.asarray(net(0.5, x)).reshape(3, dim)
        assert np.isnan(values[1]).all()
        assert np.isfinite(values[[0, 2]]).all()


def test_an_antisymmetric_start_is_zero() -> None:
    net = rc.ReluNetwork(3, 64, antisymmetric=True, rng=0)
    assert np.abs(net(0.5, points(3, 10))).max() < 1e-14  # rounding of terms that cancel
    with pytest.raises(ValueError, match="width must be even"):
        rc.ReluNetwork(3, 63, antisymmetric=True)


# --- gradients ---


def rows_of(dim: int, n: int = 200) -> tuple[Any, Any, Any]:
    draw = np.random.default_rng(5)
    return draw.random(n), points(dim, n, 6), points(dim, n, 7)


@pytest.mark.parametrize("dim", [1, 2, 3, 5, 20])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 1e-6)])
def test_gradients_are_those_of_torch(dim: int, dtype: Any, tolerance: float) -> None:
    torch = pytest.importorskip("torch")
    net = rc.ReluNetwork(dim, 90, time_scale=0.8, bias=1.2, dtype=dtype, rng=8)
    t, x0, x1 = rows_of(dim)
    loss, hidden, outputs = net.loss_gradient(t, x0, x1)
    w = torch.tensor(net.hidden.astype(float), requires_grad=True)
    a = torch.tensor(net.outputs.astype(float), requires_grad=True)
    b0, b1 = (torch.tensor(x.reshape(len(t), dim)) for x in (x0, x1))
    at = torch.tensor(t)[:, None]
    z = torch.cat([(1 - at) * b0 + at * b1, 0.8 * at, torch.full_like(at, 1.2)], dim=1)
    f = torch.relu(z @ w.T) @ a / np.sqrt(90)
    expected = ((f - (b1 - b0)) ** 2).sum(1).mean()
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=tolerance)
    for ours, theirs in ((hidden, w.grad), (outputs, a.grad)):
        wanted = theirs.numpy()
        # Relative to the whole gradient: a neuron that flips within rounding moves one entry.
        assert np.linalg.norm(ours - wanted) <= tolerance * np.linalg.norm(wanted)


def test_gradients_are_differences_of_the_loss() -> None:
    times = np.array([0.1, 0.6, 0.9])
    net = rc.ReluNetwork(2, 20, times=times, rng=9)
    draw = np.random.default_rng(1)
    t, x0, x1 = draw.choice(times, 50), points(2, 50, 1), points(2, 50, 2)
    _, hidden, outputs = net.loss_gradient(t, x0, x1)
    h = 1e-6

    def moved(which: str, index: tuple[int, ...], by: float) -> float:
        arrays: dict[str, Any] = {"hidden": net.hidden.copy(), "outputs": net.outputs.copy()}
        arrays[which][index] += by
        other = rc.ReluNetwork.from_arrays(**arrays, times=times)
        return other.loss_gradient(t, x0, x1)[0]

    for which, gradient in (("hidden", hidden), ("outputs", outputs)):
        for flat in (0, 7, gradient.size - 2):
            index = np.unravel_index(flat, gradient.shape)
            place = tuple(int(i) for i in index)
            slope = (moved(which, place, h) - moved(which, place, -h)) / (2 * h)
            # Rounding of a loss near 3 over 2 h is 2e-10; a kink crossed within h adds O(h).
            assert gradient[place] == pytest.approx(slope, abs=1e-6)


# --- training ---


def reference_descent(
    net: rc.ReluNetwork, t: Any, x0: Any, x1: Any, rate: float, steps: int
) -> Any:
    """Full-batch descent on the hidden weights by matrix products; losses and weights."""
    w, a = net.hidden.astype(float).copy(), net.outputs.astype(float)
    x = (1 - t)[:, None] * x0 + t[:, None] * x1
    z = net.inputs(t, x.ravel() if net.dim == 1 else x)
    losses = []
    for _ in range(steps):
        pre = z @ w.T
        r = np.maximum(pre, 0) @ a / np.sqrt(len(w)) - (x1 - x0)
        losses.append((r**2).sum(1).mean())
        w -= rate * 2 / len(t) / np.sqrt(len(w)) * ((r @ a.T) * (pre > 0)).T @ z
    return np.array(losses), w


@pytest.mark.parametrize("dim", [2, 6])
def test_descent_is_descent(dim: int) -> None:
    net = rc.ReluNetwork(dim, 40, rng=0)
    t, x0, x1 = rows_of(dim)
    trace = rc.train(net, (t, x0, x1), epochs=30, rate=0.2, rng=0)
    losses, w = reference_descent(net, t, x0, x1, 0.2, 30)
    np.testing.assert_allclose(trace.loss, losses, rtol=1e-11)  # rounding along 30 steps
    np.testing.assert_allclose(trace.network.hidden, w, rtol=0, atol=1e-11)
    assert trace.movement[-1] == pytest.approx(np.linalg.norm(w - net.hidden), rel=1e-9)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-6)])
@pytest.mark.parametrize("signs", [0.5, 0.9, 1.0])
def test_descent_is_descent_where_all_heads_are_alike_but_for_their_signs(
    dim: int, dtype: Any, tolerance: float, signs: float
) -> None:
    # Such neurons are grouped by sign, rows taken 4 or 5 at a time, 8 or 16, 32 and 64:
    # numbers of rows on both sides of each, and groups of every size down to none.
    draw = np.random.default_rng(dim)
    width = 403
    heads = np.where(draw.random((width, dim)) < signs, 0.7, -0.7)
    net = rc.ReluNetwork.from_arrays(
        draw.standard_normal((width, dim + 2)), heads, bias=0.8, dtype=dtype
    )
    for n in (1, 2, 5, 12, 17, 31, 49, 63, 64, 65, 130):
        t, x0, x1 = rows_of(dim, n)
        trace = rc.train(net, (t, x0, x1), epochs=2, rate=0.1, rng=0)
        losses, w = reference_descent(net, t, x0.reshape(n, dim), x1.reshape(n, dim), 0.1, 2)
        np.testing.assert_allclose(trace.loss, losses, rtol=tolerance)  # rounding of sums
        moved = np.linalg.norm(w - net.hidden)
        assert np.linalg.norm(trace.network.hidden - w) <= (tolerance * (moved + np.linalg.norm(w)))


def test_adam_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    net = rc.ReluNetwork(2, 30, train_outputs=True, rng=1)
    t, x0, x1 = rows_of(2)
    trace = rc.train(net, (t, x0, x1), optimiser="adam", batch=len(t), rate=0.03, epochs=20, rng=0)
    module = net.to_torch()
    # The module holds scaled weights, which Adam does not scale with: train plain tensors.
    w = torch.tensor(np.array(net.hidden), requires_grad=True)
    a = torch.tensor(np.array(net.outputs), requires_grad=True)
    z = torch.tensor(net.inputs(t, (1 - t)[:, None] * x0 + t[:, None] * x1))
    u = torch.tensor(x1 - x0)
    step = torch.optim.Adam([w, a], lr=0.03)
    for k in range(20):
        loss = ((torch.relu(z @ w.T) @ a / np.sqrt(30) - u) ** 2).sum(1).mean()
        if k == 0:
            first = torch.cat([z[:, :2], z[:, 2:3]], dim=1)
            assert ((module(first) - u) ** 2).sum(1).mean().item() == pytest.approx(loss.item())
        assert trace.loss[k] == pytest.approx(loss.item(), rel=1e-9)
        step.zero_grad()
        loss.backward()
        step.step()
    np.testing.assert_allclose(trace.network.outputs, a.detach().numpy(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("optimiser", ["gd", "sgd", "adam"])
@pytest.mark.parametrize("dim", [2, 24])
def test_the_thread_count_changes_no_bit(optimiser: Any, dim: int) -> None:
    net = rc.ReluNetwork(dim, 512, dtype=np.float32, rng=0)  # wide enough for several tasks
    pairs = points(dim, 4000, 1), points(dim, 4000, 2)
    options: dict[str, Any] = {} if optimiser == "gd" else {"batch": 2000}
    one, two = (
        rc.train(net, pairs, optimiser=optimiser, epochs=3, rng=3, num_threads=k, **options)
        for k in (1, 2)
    )
    assert one.network == two.network
    np.testing.assert_array_equal(one.loss, two.loss)
    assert rc.train(net, pairs, optimiser=optimiser, epochs=3, rng=4, **options).network != (
        one.network
    )


@pytest.mark.parametrize("regime", ["fixed", "pairs", "data", "population"])
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_resuming_gives_the_same_bits(regime: Any, optimiser: Any) -> None:
    net = rc.ReluNetwork(1, 32, rng=0)
    options: dict[str, Any] = dict(
        regime=regime, optimiser=optimiser, samples=300, batch=64,
        momentum=0.5 if optimiser == "sgd" else 0.0, every=2,
    )  # fmt: skip
    whole = rc.train(net, PLAN, epochs=7, rng=5, **options)
    part = rc.train(net, PLAN, epochs=3, rng=5, **options)
    rest = rc.train(net, PLAN, epochs=4, resume=part, **options)
    assert rest.network == whole.network
    np.testing.assert_array_equal(np.concatenate([part.loss, rest.loss]), whole.loss)
    assert rest.movement[-1] == whole.movement[-1]


RESUMED = """
import pickle, sys
import recouple as rc
pairs, part = pickle.load(open(sys.argv[1], "rb"))
net = rc.ReluNetwork(2, 200, rng=0)
rest = rc.train(net, pairs, optimiser="adam", epochs=4, rate=0.05, resume=part)
print(*rest.loss)
"""


@pytest.mark.parametrize("level", ["baseline", "avx2"])
def test_training_goes_on_with_another_instruction_set(level: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = rng.standard_normal((100, 2)), rng.standard_normal((100, 2))
    net = rc.ReluNetwork(2, 200, rng=0)
    options: dict[str, Any] = {"optimiser": "adam", "rate": 0.05, "rng": 1}
    whole = rc.train(net, pairs, epochs=7, **options)
    part = rc.train(net, pairs, epochs=3, **options)
    (tmp_path / "part").write_bytes(pickle.dumps((pairs, part)))
    done = subprocess.run(
        [sys.executable, "-c", RESUMED, str(tmp_path / "part")],
        env={**os.environ, "RECOUPLE_SIMD": level},
        capture_output=True,
        text=True,
        check=True,
    )
    # Rounding alone: single precision, four steps.
    np.testing.assert_allclose([float(v) for v in done.stdout.split()], whole.loss[3:], rtol=1e-4)


def test_fixed_rows_are_memorised_and_the_population_is_learnt() -> None:
    net = rc.ReluNetwork(1, 256, antisymmetric=True, rng=0)
    floor = float(PLAN.floor())
    fixed = rc.train(net, PLAN, regime="fixed", samples=20, epochs=4000, rate=0.3, rng=1)
    fresh = rc.train(net, PLAN, samples=500, epochs=1000, rate=0.3, rng=1)
    assert fixed.loss[-1] < 0.8 * floor  # below the floor: overfitting, as documented
    assert fixed.excess[-1] > fixed.excess.min()
    assert fresh.loss[-100:].mean() == pytest.approx(
        floor + fresh.excess[-1], abs=5 * np.sqrt(2 / 50_000) * floor
    )  # five standard errors of a mean of squares over 50 000 draws
    assert fresh.excess[-1] < 0.02


def test_early_stopping_returns_the_best_network() -> None:
    net = rc.ReluNetwork(1, 128, antisymmetric=True, rng=0)
    x0, x1 = PLAN.sample(60, 0)
    options: dict[str, Any] = dict(
        regime="fixed", held_out=(x0[8:], x1[8:]), every=5, rate=0.3, rng=0
    )
    trace = rc.train(net, (x0[:8], x1[:8]), patience=4, epochs=20_000, **options)
    assert trace.status == "stopped early"
    assert len(trace.loss) < 20_000
    best = int(trace.epochs[np.nanargmin(trace.held_out)])
    again = rc.train(net, (x0[:8], x1[:8]), epochs=best, **options)
    assert best > 0
    assert trace.network == again.network


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("optimiser", ["gd", "sgd", "adam"])
def test_divergence_is_a_status_and_the_last_finite_network_is_kept(
    dtype: Any, optimiser: Any
) -> None:
    net = rc.ReluNetwork(2, 32, dtype=dtype, rng=0)
    pairs = points(2, 100, 1), points(2, 100, 2)
    trace = rc.train(net, pairs, optimiser=optimiser, rate=1e12, epochs=50, rng=0)
    assert trace.status == "diverged"
    assert f"step {trace.steps}" in trace.message
    assert np.isfinite(trace.network.hidden).all()
    assert np.isnan(trace.loss[-1])
    shortened = rc.train(net, pairs, optimiser="gd", rate=1e12, epochs=0, rng=0)
    assert shortened.status == "finished"
    assert shortened.network == net


def test_a_trainer_is_one_threads_at_a_time() -> None:
    options = _core.TrainOptions(
        False, False, 0.1, 0.0, (0.9, 0.999), 1e-8, 50, False, 0, rc.LINEAR, 1
    )
    trainer = rc.ReluNetwork(2, 64, rng=0)._trainer(options)
    t, x0, x1 = rows_of(2)
    refused = []

    def other(done: int, total: int) -> None:
        for call in (trainer.network, trainer.state, lambda: trainer.run(t, x0, x1, 1)):
            try:
                call()
            except RuntimeError as error:
                refused.append(str(error))

    def progress(done: int, total: int) -> None:
        thread = threading.Thread(target=other, args=(done, total))
        thread.start()
        thread.join()

    losses, status = trainer.run(t, x0, x1, 2, progress)
    assert status == "finished"
    assert np.isfinite(losses).all()
    assert len(refused) >= 3
    assert all("is at work" in message for message in refused)
    trainer.run(t, x0, x1, 1)  # free again


def test_ctrl_c_keeps_the_network() -> None:
    net = rc.ReluNetwork(1, 16, rng=0)

    def stop(done: int, total: int) -> None:
        if done >= 20:
            raise KeyboardInterrupt

    trace = rc.train(net, PLAN, epochs=200, samples=50, every=10, rng=0, progress=stop)
    assert trace.status == "interrupted"
    assert trace.network != net
    assert 20 <= len(trace.loss) < 200

    def fail(done: int, total: int) -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        rc.train(net, PLAN, epochs=20, samples=50, rng=0, progress=fail)


def test_one_head_per_time_learns_each_time() -> None:
    times = np.linspace(0, 1, 4)
    net = rc.ReluNetwork(1, 64, times=times, train_outputs=True, antisymmetric=True, rng=0)
    trace = rc.train(net, PLAN, samples=500, epochs=600, rng=0)
    assert trace.excess[-1] < 0.05 * trace.excess[0]


def test_an_interpolant_is_taken_from_the_plan_to_the_loss() -> None:
    net = rc.ReluNetwork(1, 128, antisymmetric=True, rng=0)
    trace = rc.train(
        net, PLAN, interpolant=rc.TRIGONOMETRIC, samples=1000, epochs=800, rate=0.2, rng=0
    )
    assert trace.excess[-1] < 0.05 * trace.excess[0]


def test_source_and_data_train_as_their_plan() -> None:
    data = points(2, 300, 3) * 0.3 + 2
    net = rc.ReluNetwork(2, 64, rng=0)
    trace = rc.train(
        net, (rc.Gaussian(np.zeros(2), np.eye(2)), data), truth=rc.dataset_plan(data), epochs=300,
        rng=0,
    )  # fmt: skip
    assert trace.excess[-1] < 0.2 * trace.excess[0]


# --- carrying networks about ---


def networks() -> list[rc.ReluNetwork]:
    return [
        rc.ReluNetwork(1, 8, rng=0),
        rc.ReluNetwork(3, 70, time_scale=2, bias=0.5, dtype=np.float32, train_outputs=True, rng=1),
        rc.ReluNetwork(2, 9, times=[0.0, 0.5, 1.0], rng=2),
    ]


@pytest.mark.parametrize("net", networks(), ids=repr)
def test_networks_pickle_and_save(net: rc.ReluNetwork, tmp_path: Path) -> None:
    assert pickle.loads(pickle.dumps(net)) == net
    net.save(tmp_path / "net.npz")
    assert rc.ReluNetwork.load(tmp_path / "net.npz") == net
    np.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(ValueError, match="written by ReluNetwork"):
        rc.ReluNetwork.load(tmp_path / "other.npz")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_torch_modules_come_and_go(dtype: Any) -> None:
    torch = pytest.importorskip("torch")
    net = rc.ReluNetwork(2, 33, time_scale=1.5, bias=0.7, dtype=dtype, rng=0)
    module = net.to_torch()
    x, t = points(2, 10).astype(dtype), np.linspace(0, 1, 10).astype(dtype)
    with torch.no_grad():
        theirs = module(torch.from_numpy(np.column_stack([x, t]))).numpy()
    tolerance = 1e-13 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(theirs, net(t, x), rtol=0, atol=tolerance)
    back = rc.ReluNetwork.from_torch(module)
    assert back.dtype == net.dtype
    np.testing.assert_allclose(back(t, x), net(t, x), rtol=0, atol=tolerance)
    with pytest.raises(ValueError, match="module must be Sequential"):
        rc.ReluNetwork.from_torch(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="one head"):
        rc.ReluNetwork(2, 9, times=[0.0, 1.0]).to_torch()


def test_a_network_is_a_field_for_the_solvers() -> None:
    net = rc.ReluNetwork(2, 32, rng=0)
    x0 = points(2, 20)
    flow = rc.integrate(net, x0, method="rk4", steps=400, log_density=True)
    other = rc.integrate(
        rc.as_field(lambda t, x: by_formula(net, t, x), dim=2), x0, method="rk4", steps=400
    )
    np.testing.assert_allclose(flow.x, other.x, rtol=0, atol=1e-12)  # rounding along 400 steps
    assert np.isfinite(flow.log_det).all()
    assert pickle.loads(pickle.dumps(flow)).x.shape == flow.x.shape


# --- bad input ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0, "width": 4}, "dim must be at least 1"),
        ({"dim": 1, "width": 0}, "width must be at least 1"),
        ({"dim": 1, "width": 4, "times": [0.0, 0.0]}, "times must increase"),
        ({"dim": 1, "width": 4, "times": [0.0, np.nan]}, "times must be finite"),
        ({"dim": 1, "width": 4, "dtype": np.int32}, "dtype must be float32 or float64"),
        ({"dim": 1, "width": 4, "bias": np.inf}, "bias must be finite"),
        ({"dim": 1, "width": 4, "train_outputs": 1.5}, "train_outputs must be True or False"),
    ],
)
def test_networks_that_cannot_be_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rc.ReluNetwork(**arguments)


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="hidden must have shape"):
        rc.ReluNetwork.from_arrays(np.ones((4, 2)), np.ones((4, 1)))
    with pytest.raises(ValueError, match="outputs must have shape"):
        rc.ReluNetwork.from_arrays(np.ones((4, 3)), np.ones((3, 1)))
    with pytest.raises(ValueError, match="hidden must be finite"):
        rc.ReluNetwork.from_arrays(np.full((4, 3), np.nan), np.ones((4, 1)))
    with pytest.raises(ValueError, match="must be"):
        _core.ReluNetwork(np.ones((4, 3)), np.ones((1, 3, 1)), 1.0, 1.0, np.empty(0))
    with pytest.raises(ValueError, match="dim must be 1"):
        rc.ReluNetwork(2, 4).kinks(0.5)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (PLAN, {"regime": "other"}, "regime must be one of"),
        (PLAN, {"optimiser": "lbfgs"}, "optimiser must be"),
        (PLAN, {"batch": 10}, "batch must be None"),
        (PLAN, {"batch": 0, "optimiser": "sgd"}, "batch must be at least 1, got 0"),
        (PLAN, {"momentum": 0.9, "optimiser": "adam"}, 'momentum must be 0 for "adam"'),
        (PLAN, {"momentum": 1.0}, "momentum must be below 1, got 1"),
        (PLAN, {"momentum": -0.1}, "momentum must be at least 0"),
        (PLAN, {"interpolant": "linear"}, "interpolant must be an Interpolant .* got 'linear'"),
        (PLAN, {"resume": 3}, "resume must be a Trace, got int"),
        (PLAN, {"rate": 0}, "rate must be positive"),
        (PLAN, {"rate": np.nan}, "rate must be finite"),
        (PLAN, {"patience": 3}, "patience needs held_out"),
        (PLAN, {"samples": 0}, "samples must be at least 1"),
        (rc.dataset_plan(np.zeros((3, 2))), {},
         "data must have dimension 1"),
        ((np.zeros(3), np.zeros(4)), {}, "x1 must be shaped like x0"),
        ((np.zeros(3), np.full(3, np.nan)), {}, "x1 must be finite"),
        ((np.zeros(3), np.zeros(3)), {"regime": "population"}, "needs a plan"),
        ((np.zeros(3), np.zeros(3)), {"held_out": 1.0}, "held_out must leave pairs"),
        (np.zeros(3), {}, "data must be a plan"),
    ],
)  # fmt: skip
def test_training_that_cannot_be_is_refused(data: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rc.train(rc.ReluNetwork(1, 8, rng=0), data, epochs=1, **options)


def test_resuming_with_a_network_of_another_dimension_is_refused() -> None:
    trace = rc.train(rc.ReluNetwork(1, 8, rng=0), PLAN, epochs=1, rng=0)
    pairs = points(2, 10, 1), points(2, 10, 2)
    with pytest.raises(ValueError, match=r"resume must be of a network of dimension 2 .* got 1"):
        rc.train(rc.ReluNetwork(2, 8, rng=0), pairs, resume=trace)


@pytest.mark.parametrize("optimiser", ["gd", "sgd", "adam"])
def test_a_resumed_run_that_diverges_keeps_the_last_finite_network(optimiser: Any) -> None:
    net = rc.ReluNetwork(1, 16, rng=0)
    draw = np.random.default_rng(0)
    data = draw.random(30), *PLAN.sample(30, 0)
    options: dict[str, Any] = dict(optimiser=optimiser, rate=1e9, rng=0, every=1)
    whole = rc.train(net, data, epochs=8, **options)
    assert whole.status == "diverged"
    for n in range(1, len(whole.loss)):
        part = rc.train(net, data, epochs=n, **options)
        rest = rc.train(net, data, epochs=8 - n, resume=part, **options)
        assert rest.status == "diverged"
        assert rest.network == whole.network
        assert np.abs(rest.network.hidden).max() > 0
        assert rest.steps == whole.steps
