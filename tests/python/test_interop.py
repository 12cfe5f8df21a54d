"""torch and jax: distances with native gradients, teachers as fields, fields from files."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recouple as rc


@pytest.fixture(scope="module")
def torch() -> Iterator[Any]:
    module = pytest.importorskip("torch")
    threads = module.get_num_threads()
    module.set_num_threads(1)  # for problems this small others only stand in the way
    yield module
    module.set_num_threads(threads)


@pytest.fixture(scope="module")
def jax() -> Any:
    return pytest.importorskip("jax")


def test_the_package_works_without_torch_and_jax() -> None:
    code = """
import sys
for name in ("torch", "jax", "jaxlib"): sys.modules[name] = None
import recouple as rc
import recouple.interop
assert rc.as_field(lambda t, x: -x)(0.5, [1.0])[0] == -1
calls = [
    ("torch", lambda: rc.interop.torch.wasserstein_1d([0.0], [1.0])),
    ("torch", lambda: rc.interop.torch.sliced_wasserstein([[0.0]], [[1.0]])),
    ("torch", lambda: rc.interop.torch.load_field("model.pt")),
    ("jax", lambda: rc.interop.jax.wasserstein_1d([0.0], [1.0])),
    ("jax", lambda: rc.interop.jax.sliced_wasserstein([[0.0]], [[1.0]])),
]
for name, call in calls:
    try:
        call()
    except ImportError as error:
        assert f"pip install {name}" in str(error), error
    else:
        raise AssertionError(name)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def sorted_cost(torch: Any, u: Any, v: Any, p: float) -> Any:
    """W_p^p of as many atoms on both sides, by torch's own sort."""
    return ((u.sort(dim=-1).values - v.sort(dim=-1).values).abs() ** p).mean(-1)


def merged_cost(torch: Any, u: Any, v: Any, a: Any, b: Any, p: float) -> Any:
    """W_p^p of weighted atoms: levels merged, each interval's length differentiated."""
    (x, i), (y, j) = u.sort(), v.sort()
    f, g = (a / a.sum())[i].cumsum(0), (b / b.sum())[j].cumsum(0)
    ends = torch.cat([f[:-1], g[:-1], torch.ones(1, dtype=f.dtype)]).sort().values
    length = torch.diff(ends, prepend=torch.zeros(1, dtype=f.dtype))
    middle = (ends - length / 2).detach()
    k = torch.searchsorted(f.detach(), middle).clamp(max=len(x) - 1)
    m = torch.searchsorted(g.detach(), middle).clamp(max=len(y) - 1)
    return (length * (x[k] - y[m]).abs() ** p).sum()


def leaves(torch: Any, *shapes: tuple[int, ...], positive: bool = False) -> list[Any]:
    draw = torch.rand if positive else torch.randn
    return [(draw(s, dtype=torch.float64) + 0.1 * positive).requires_grad_() for s in shapes]


def gradients_of(torch: Any, value: Any, inputs: list[Any]) -> list[Any]:
    return [g.numpy() for g in torch.autograd.grad(value, inputs)]


def close(found: Any, exact: Any) -> None:
    # 1e-10 is what is promised; sums of some hundred terms of order 1 round by 1e-14.
    np.testing.assert_allclose(found, exact, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("p", [1, 2, 2.5])
@pytest.mark.parametrize("power", [False, True])
def test_gradients_on_the_line_are_those_through_a_torch_sort(
    torch: Any, p: float, power: bool
) -> None:
    torch.manual_seed(0)
    u, v = leaves(torch, (3, 200), (3, 200))
    outer = torch.randn(3, dtype=torch.float64)
    theirs = sorted_cost(torch, u, v, p) ** (1 if power else 1 / p)
    wanted = gradients_of(torch, (outer * theirs).sum(), [u, v])
    for u_learns, v_learns in ((True, True), (True, False), (False, True)):
        left, right = u if u_learns else u.detach(), v if v_learns else v.detach()
        ours = rc.interop.torch.wasserstein_1d(left, right, p=p, power=power)
        close(ours.detach(), theirs.detach())
        learning = [side for side in (left, right) if side.requires_grad]
        found = gradients_of(torch, (outer * ours).sum(), learning)
        expected = [g for g, on in zip(wanted, (u_learns, v_learns), strict=True) if on]
        for one, other in zip(found, expected, strict=True):
            close(one, other)


@pytest.mark.parametrize("p", [1, 2])
def test_weights_are_differentiated_as_through_merged_levels(torch: Any, p: float) -> None:
    torch.manual_seed(1)
    u, v = leaves(torch, (60,), (45,))
    a, b = leaves(torch, (60,), (45,), positive=True)
    ours = rc.interop.torch.wasserstein_1d(u, v, a, b, p)
    theirs = merged_cost(torch, u, v, a, b, p) ** (1 / p)
    close(ours.item(), theirs.item())
    inputs = [u, v, a, b]
    for one, other in zip(
        gradients_of(torch, ours, inputs), gradients_of(torch, theirs, inputs), strict=True
    ):
        close(one, other)


@pytest.mark.parametrize("p", [1, 2])
def test_torch_finds_the_gradients_to_be_derivatives(torch: Any, p: float) -> None:
    torch.manual_seed(2)
    u, v = leaves(torch, (3, 1, 6), (2, 5))  # shapes that broadcast
    a, b, c = leaves(torch, (6,), (2, 5), (5,), positive=True)
    check = torch.autograd.gradcheck
    assert check(lambda x, y, s, t: rc.interop.torch.wasserstein_1d(x, y, s, t, p), (u, v, a, b))
    columns = leaves(torch, (6, 2), (5, 2))
    assert check(lambda x, y: rc.interop.torch.wasserstein_1d(x, y, p=p, axis=0), columns)
    X, Y = leaves(torch, (6, 3), (5, 3))
    assert check(
        lambda *x: rc.interop.torch.sliced_wasserstein(*x, p=p, n_projections=7, rng=0),
        (X, Y, a, c),
    )


@pytest.mark.parametrize("p", [1, 2])
def test_the_sliced_gradient_is_that_through_a_torch_sort(torch: Any, p: float) -> None:
    torch.manual_seed(3)
    X, Y = leaves(torch, (150, 3), (150, 3))
    theta = torch.randn(20, 3, dtype=torch.float64)
    unit = theta / theta.norm(dim=1, keepdim=True)
    theirs = sorted_cost(torch, unit @ X.T, unit @ Y.T, p).mean() ** (1 / p)
    ours = rc.interop.torch.sliced_wasserstein(X, Y, p=p, projections=theta)
    assert ours.shape == ()
    close(ours.item(), theirs.item())
    pairs = (gradients_of(torch, value, [X, Y]) for value in (ours, theirs))
    for one, other in zip(*pairs, strict=True):
        close(one, other)


def test_single_precision_stays_single_precision(torch: Any) -> None:
    torch.manual_seed(4)
    u, v = leaves(torch, (100,), (80,))
    X, Y = leaves(torch, (30, 2), (30, 2))
    pairs: list[tuple[Any, tuple[Any, Any]]] = [
        (rc.interop.torch.wasserstein_1d, (u, v)),
        (lambda x, y: rc.interop.torch.sliced_wasserstein(x, y, rng=0), (X, Y)),
    ]
    for call, inputs in pairs:
        double = call(*inputs)
        half = [x.detach().float().requires_grad_() for x in inputs]
        single = call(*half)
        assert single.dtype == torch.float32
        assert call(half[0].detach(), half[1].detach()).dtype == torch.float32
        assert call(half[0], inputs[1]).dtype == torch.float64
        # inputs rounded to 6e-8 of numbers of order 1
        assert single.item() == pytest.approx(double.item(), abs=1e-6)
        wanted = torch.autograd.grad(double, inputs)
        for one, other in zip(torch.autograd.grad(single, half), wanted, strict=True):
            assert one.dtype == torch.float32
            np.testing.assert_allclose(one, other, atol=2e-6)


def test_directions_follow_torchs_seed_and_their_own(torch: Any) -> None:
    X, Y = torch.randn(20, 3), torch.randn(20, 3)

    def value(**options: Any) -> float:
        return float(rc.interop.torch.sliced_wasserstein(X, Y, n_projections=5, **options))

    torch.manual_seed(0)
    first, second = value(), value()
    torch.manual_seed(0)
    assert value() == first != second
    assert value(rng=1) == value(rng=1) == value(rng=np.random.default_rng(1))
    assert value(rng=torch.Generator().manual_seed(2)) == value(
        rng=torch.Generator().manual_seed(2)
    )


def test_a_generator_learns_by_the_sliced_distance(torch: Any) -> None:
    torch.manual_seed(5)
    net = torch.nn.Linear(2, 2)
    target = torch.randn(256, 2) @ torch.tensor([[1.0, 0.5], [0.0, 0.7]]) + 3
    step = torch.optim.Adam(net.parameters(), lr=0.1)
    losses = []
    for _ in range(60):
        loss = rc.interop.torch.sliced_wasserstein(
            net(torch.randn(256, 2)), target, n_projections=16, num_threads=1
        )
        step.zero_grad()
        loss.backward()
        step.step()
        losses.append(loss.item())
    # What two samples of 256 of one law are apart is about 0.1; untrained it is above 2.
    assert np.mean(losses[-10:]) < 0.1 * losses[0]


def test_no_gradient_is_computed_where_none_is_asked_for(torch: Any) -> None:
    u = torch.randn(5, requires_grad=True)
    with torch.no_grad():
        assert rc.interop.torch.wasserstein_1d(u, torch.zeros(1), p=np.inf).grad_fn is None
    assert not rc.interop.torch.wasserstein_1d(u.detach(), torch.zeros(1)).requires_grad
    value = rc.interop.torch.wasserstein_1d(u, torch.zeros(1), p=2) ** 2
    (slope,) = torch.autograd.grad(value, u, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_functional_gradients_work_as_well(torch: Any) -> None:
    torch.manual_seed(6)
    u, v = torch.randn(9, dtype=torch.float64), torch.randn(9, dtype=torch.float64)
    slope = torch.func.grad(lambda x: rc.interop.torch.wasserstein_1d(x, v, p=2))(u)
    np.testing.assert_array_equal(slope, rc.wasserstein_1d_grad(u, v, p=2).u_values)


def test_bad_tensors_are_named(torch: Any) -> None:
    line, sliced = rc.interop.torch.wasserstein_1d, rc.interop.torch.sliced_wasserstein
    x = torch.ones(3, requires_grad=True)
    away = torch.ones(3, device="meta")  # stands for any device that is not the CPU
    with pytest.raises(ValueError, match="v_values must be on the CPU, got a tensor on meta"):
        line(x, away)
    with pytest.raises(ValueError, match="Y must be on the CPU"):
        sliced(x[:, None], away[:, None])
    with pytest.raises(ValueError, match="u_values must hold real numbers"):
        line(x.to(torch.complex64), x)
    with pytest.raises(ValueError, match="p must be finite"):
        line(x, x, p=np.inf)
    with pytest.raises(ValueError, match="u_values must be finite"):
        line(x * np.nan, x)
    with pytest.raises(ValueError, match="u_values must have at least one dimension"):
        line(x[0], x)
    with pytest.raises(ValueError, match="axis must be an axis of u_values"):
        line(x, x, axis=1)
    with pytest.raises(ValueError, match="u_weights must have the shape"):
        line(x, x, torch.ones(2))
    with pytest.raises(ValueError, match=r"Y must have shape \(m, 1\)"):
        sliced(x[:, None], torch.ones(3, 2))


# jax


def test_jax_gradients_are_the_native_ones_compiled_and_mapped(jax: Any) -> None:
    rng = np.random.default_rng(0)
    u, v, w = rng.normal(size=(4, 7)), rng.normal(size=(4, 5)), rng.random(7) + 0.1
    with jax.enable_x64(True):
        arrays = [jax.numpy.asarray(array) for array in (u, v, w)]
        native = rc.wasserstein_1d_grad(u, v, w, p=2)

        def one(x: Any, y: Any, a: Any) -> Any:
            return rc.interop.jax.wasserstein_1d(x, y, a, p=2)

        def total(x: Any, y: Any, a: Any) -> Any:
            return one(x, y, a).sum()

        close(one(*arrays), native.distance)
        found = jax.jit(jax.grad(total, (0, 1, 2)))(*arrays)
        wanted = (native.u_values, native.v_values, native.u_weights.sum(0))
        for got, exact in zip(found, wanted, strict=True):
            close(got, exact)
        mapped = jax.jit(jax.vmap(jax.grad(one, (0, 2)), (0, 0, None)))(*arrays)
        close(mapped[0], native.u_values)
        close(mapped[1], native.u_weights)


def test_jax_gradients_are_those_through_a_jax_sort(jax: Any) -> None:
    jnp = jax.numpy
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        X, Y = jnp.asarray(rng.normal(size=(50, 3))), jnp.asarray(rng.normal(size=(50, 3)))
        theta = rng.normal(size=(11, 3))
        unit = jnp.asarray(theta / np.linalg.norm(theta, axis=1, keepdims=True))

        def theirs(X: Any, Y: Any) -> Any:
            apart = jnp.sort(unit @ X.T, axis=1) - jnp.sort(unit @ Y.T, axis=1)
            return jnp.sqrt((apart**2).mean())

        def ours(X: Any, Y: Any) -> Any:
            return rc.interop.jax.sliced_wasserstein(X, Y, projections=theta)

        assert jax.jit(ours)(X, Y) == pytest.approx(float(theirs(X, Y)), rel=1e-12)
        wanted = jax.grad(theirs, (0, 1))(X, Y)
        for got, exact in zip(jax.jit(jax.grad(ours, (0, 1)))(X, Y), wanted, strict=True):
            close(got, exact)
        clouds = jnp.stack([X, X + 1])
        mapped = jax.vmap(lambda X: ours(X, Y))(clouds)
        close(mapped, [ours(X, Y), ours(X + 1, Y)])
        weights = jnp.asarray(rng.random(50) + 0.1)
        slope = jax.grad(lambda a: rc.interop.jax.sliced_wasserstein(X, Y, a, projections=theta))(
            weights
        )
        native = rc.sliced_wasserstein_grad(X, Y, weights, projections=theta)
        close(slope, native.a)


def test_jax_keys_draw_directions_inside_compiled_code(jax: Any) -> None:
    X = jax.random.normal(jax.random.key(0), (30, 2))
    value = jax.jit(lambda key: rc.interop.jax.sliced_wasserstein(X, 2 * X, p=1, rng=key))
    first, again, other = (float(value(jax.random.key(seed))) for seed in (1, 1, 2))
    assert first == again != other
    assert value(jax.random.key(3)).dtype == np.float32
    fixed = rc.interop.jax.sliced_wasserstein(X, 2 * X, rng=5)
    # float32 in: sums of a hundred roundings of 6e-8
    assert float(fixed) == pytest.approx(float(rc.sliced_wasserstein(X, 2 * X, rng=5)), rel=1e-5)


def test_bad_arrays_are_named_by_jax_functions(jax: Any) -> None:
    line, sliced = rc.interop.jax.wasserstein_1d, rc.interop.jax.sliced_wasserstein
    x = jax.numpy.ones((3, 2))
    with pytest.raises(ValueError, match="p must be at least 1 and finite"):
        line(x, x, p=np.inf)
    with pytest.raises(ValueError, match="must have shapes that broadcast"):
        line(x, jax.numpy.ones((4, 2)))
    with pytest.raises(ValueError, match=r"u_weights must have the shape"):
        line(x, x, jax.numpy.ones(3))
    with pytest.raises(ValueError, match="must be real numbers"):
        line(x * 1j, x)
    with pytest.raises(ValueError, match=r"Y must have shape \(m, 2\)"):
        sliced(x, jax.numpy.ones((3, 3)))
    with pytest.raises(ValueError, match=r"a must have shape \(3,\)"):
        sliced(x, x, jax.numpy.ones(2))
    with pytest.raises(ValueError, match=r"projections must have shape \(L, 2\)"):
        sliced(x, x, projections=np.ones((5, 3)))
    with pytest.raises(ValueError, match="directions must be 'gaussian' with a key"):
        sliced(x, x, directions="quasi", rng=jax.random.key(0))


# Teachers


def test_a_jax_function_is_a_field(jax: Any) -> None:
    jnp = jax.numpy

    def decay(t: Any, x: Any) -> Any:
        return -x * jnp.exp(t)

    field = rc.as_field(jax.jit(decay))
    x = np.linspace(-1, 1, 5)
    np.testing.assert_allclose(field(0.5, x), -x * np.exp(0.5), rtol=1e-6)  # float32 inside
    times = np.linspace(0, 1, 5)
    np.testing.assert_allclose(field(times, x), -x * np.exp(times), rtol=1e-6)
    flow = rc.integrate(field, x, method="rk4", steps=20)
    np.testing.assert_allclose(flow.x, x * np.exp(1 - np.e), rtol=1e-5)

    def network(rows: Any) -> Any:  # on rows (x, t)
        return jnp.tanh(rows @ jnp.asarray([[1.0, 0], [0, 2], [3, 0]]))

    field = rc.as_field(network, 2, order="auto")
    at = np.ones((4, 2))
    expected = np.tile(np.tanh([1 + 3 * 0.25, 2]), (4, 1))
    np.testing.assert_allclose(field(0.25, at), expected, rtol=1e-6)
    assert rc.check_field(network, 2).order == "rows"


def test_a_torch_teacher_runs_in_evaluation_mode_and_keeps_its_own(torch: Any) -> None:
    net = torch.nn.Sequential(
        torch.nn.Linear(3, 16),
        torch.nn.Dropout(0.5),
        torch.nn.BatchNorm1d(16),
        torch.nn.Linear(16, 2),
    )
    net[3].eval()
    field = rc.as_field(net, 2)
    x = np.random.default_rng(0).normal(size=(6, 2))
    assert np.array_equal(field(0.3, x), field(0.3, x))
    assert [part.training for part in net.modules()] == [True, True, True, True, False]
    assert int(net[2].num_batches_tracked) == 0
    assert all(parameter.grad is None for parameter in net.parameters())
    rows = torch.as_tensor(np.column_stack([x, np.full(6, 0.3)]), dtype=torch.float32)
    net.eval()
    np.testing.assert_allclose(field(0.3, x), net(rows).detach(), atol=1e-6)
    report = rc.check_field(net.train(), 2)
    assert (report.order, report.ok) == ("rows", True)


def test_points_reach_a_torch_module_without_a_copy(torch: Any) -> None:
    seen = []

    class Spy(torch.nn.Module):  # type: ignore[misc]
        def forward(self, t: Any, x: Any) -> Any:
            seen.append((x.data_ptr(), x.shape, x.requires_grad, torch.is_grad_enabled()))
            return -x

    spied = rc.field.adapter._Adapter(Spy(), 2, "tx", "points", "torch", ("x", "t"))
    x = np.ones((5, 2))
    spied(0.5, x)
    assert seen == [(x.ctypes.data, (5, 2), False, False)]


def test_a_batch_limit_holds(torch: Any) -> None:
    sizes = []

    def decay(t: Any, x: Any) -> Any:
        sizes.append(len(x))
        return -x * t

    field = rc.as_field(decay, batch=4)
    x, t = np.arange(10.0), np.linspace(0, 1, 10)
    np.testing.assert_array_equal(field(0.5, x), -x * 0.5)
    np.testing.assert_array_equal(field(t, x), -x * t)
    assert sizes == [4, 4, 2, 4, 4, 2]
    rc.integrate(field, x, method="rk4", steps=2)
    assert max(sizes) == 4
    with pytest.raises(ValueError, match="batch must be at least 1"):
        rc.as_field(decay, batch=0)


def test_conventions_of_common_libraries_are_found(torch: Any) -> None:
    module: Any = torch.nn.Module

    class FlowMatching(module):  # type: ignore[misc]
        def forward(self, x: Any, t: Any, **extras: Any) -> Any:
            return x * t.reshape(-1, *[1] * (x.ndim - 1))

    class Diffusers(module):  # type: ignore[misc]
        def __init__(self, wrap: Any) -> None:
            super().__init__()
            self.wrap = wrap

        def forward(self, sample: Any, timestep: Any, return_dict: bool = True) -> Any:
            return self.wrap(sample * timestep.reshape(-1, 1))

    class TorchCfm(module):  # type: ignore[misc]
        def forward(self, rows: Any) -> Any:
            return rows[:, :-1] * rows[:, -1:]

    x = np.random.default_rng(0).normal(size=(4, 3))
    for net, order in (
        (FlowMatching(), "xt"),
        (Diffusers(lambda v: (v,)), "xt"),
        (Diffusers(lambda v: {"sample": v}), "xt"),
        (TorchCfm(), "rows"),
    ):
        assert rc.check_field(net, 3).order == order
        field = rc.as_field(net, 3)
        np.testing.assert_allclose(field(0.5, x), 0.5 * x, rtol=1e-12)
        np.testing.assert_allclose(field([0.1, 0.2, 0.3, 0.4], x)[3], 0.4 * x[3], rtol=1e-12)


class Files:
    """A teacher on rows (x, t) of the line, saved in each way."""

    def __init__(self, torch: Any, folder: Path):
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Dropout(0.5)).eval()
        self.script = folder / "model.pt"
        self.program = folder / "model.pt2"
        self.fixed = folder / "fixed.pt2"
        self.parameters = folder / "parameters.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript as a whole is
            script = torch.jit.script(self.net)
            script.train()
            torch.jit.save(script, str(self.script))
        rows, n = (torch.ones(3, 2),), ({0: torch.export.Dim("n")},)
        export = torch.export
        export.save(export.export(self.net, rows, dynamic_shapes=n), self.program)
        export.save(export.export(self.net, rows), self.fixed)
        torch.save(self.net.state_dict(), self.parameters)


def test_fields_are_read_from_torchs_files(torch: Any, tmp_path: Path) -> None:
    files = Files(torch, tmp_path)
    x, t = np.linspace(-1, 1, 9), np.linspace(0, 1, 9)
    exact = rc.as_field(files.net)(t, x)
    for path in (files.script, str(files.program)):
        field = rc.interop.torch.load_field(path, batch=4)
        assert field.dim == 1
        np.testing.assert_array_equal(field(t, x), exact)  # dropout off, though saved in training


def test_files_that_hold_no_field_say_what_to_do(torch: Any, tmp_path: Path) -> None:
    files = Files(torch, tmp_path)
    load = rc.interop.torch.load_field
    with pytest.raises(ValueError, match="where there is none"):
        load(tmp_path / "missing.pt")
    with pytest.raises(ValueError, match="parameters without the program"):
        load(files.parameters)
    junk = tmp_path / "junk.pt"
    junk.write_text("junk")
    with pytest.raises(ValueError, match="which holds neither"):
        load(junk)
    with pytest.raises(ValueError, match="for a fixed number of points"):
        load(files.fixed)
    with pytest.raises(ValueError, match=r"is not a field on R\^3: (.|\n)*tried:"):
        load(files.script, 3)
    torn = tmp_path / "torn.pt2"
    torn.write_bytes(files.program.read_bytes()[:-400])
    with pytest.raises(ValueError, match="path"):
        load(torn)
