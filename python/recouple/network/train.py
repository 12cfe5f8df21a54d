"""Training: gradient descent and Adam on the flow-matching loss, in four data regimes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import (
    FloatArray,
    frozen,
    generator,
    real_array,
    real_number,
    thread_count,
    whole_number,
)
from recouple.interpolant import LINEAR, Interpolant
from recouple.network.net import ReluNetwork
from recouple.plan import DatasetPlan, Plan, ProductPlan
from recouple.plan.base import Rng, rows
from recouple.progress import Progress, progress_callback

__all__ = ["Trace", "train"]

Regime: TypeAlias = Literal["fixed", "pairs", "data", "population"]
_REGIMES = ("fixed", "pairs", "data", "population")


@dataclass(frozen=True, eq=False)
class Trace:
    """What :func:`train` did; arrays but ``loss`` are taken at the epochs in ``epochs``."""

    network: ReluNetwork
    """The trained network: the last one, with early stopping the best on the held-out pairs."""
    status: str
    """"finished", "stopped early", "diverged" or "interrupted"."""
    message: str
    """The status in a sentence."""
    loss: FloatArray = field(repr=False)
    """Mean training loss of each epoch, each batch before its step."""
    epochs: FloatArray = field(repr=False)
    """Epochs finished when the following were taken; the first is the start."""
    excess: FloatArray = field(repr=False)
    """E|f - v|^2 by pairing f with v at the same X_t; NaN where v is not known."""
    excess_error: FloatArray = field(repr=False)
    """Its standard error."""
    held_out: FloatArray = field(repr=False)
    """Loss on the held-out pairs; NaN without."""
    movement: FloatArray = field(repr=False)
    """|W - W0|_F of the hidden weights."""
    flips: FloatArray = field(repr=False)
    """Fraction of (neuron, point) whose activation differs from the start's."""
    seconds: FloatArray = field(repr=False)
    """Time spent in training."""
    steps: int
    """Optimiser steps taken in all; with "diverged", the one that failed."""
    start: ReluNetwork = field(repr=False)
    _last: ReluNetwork = field(repr=False)
    _state: FloatArray = field(repr=False)
    _seed: int = field(repr=False)
    _done: int = field(repr=False)

    def __repr__(self) -> str:
        final = f", loss {self.loss[-1]:.4g}" if self.loss.size else ""
        return f"Trace({self.status}, {len(self.loss)} epochs{final})"

    def summary(self) -> str:
        """Say it in a few lines."""
        lines = [f"{self.network!r}: {self.message}"]
        finite = self.loss[np.isfinite(self.loss)]
        if finite.size:
            lines.append(f"training loss {finite[0]:.5g} -> {finite[-1]:.5g}")
        for name, values in (("excess", self.excess), ("held-out loss", self.held_out)):
            known = values[np.isfinite(values)]
            if known.size:
                lines.append(f"{name} {known[0]:.5g} -> {known[-1]:.5g}, least {known.min():.5g}")
        lines.append(
            f"hidden weights moved by {self.movement[-1]:.3g}, {self.flips[-1]:.1%} of "
            f"activations flipped, {self.seconds[-1]:.3g} s"
        )
        return "\n".join(lines)


class _Source:
    """Where the rows (t, x0, x1) of an epoch come from."""

    def __init__(self, data: Any, regime: str | None, dim: int, samples: int, seed: int,
                 times: FloatArray | None):  # fmt: skip
        self.plan = data if isinstance(data, Plan) else None
        self.law: Any = None
        self.dim, self.seed = dim, seed
        self.t: FloatArray | None = None
        if self.plan is not None:
            if self.plan.dim != dim:
                raise ValueError(f"data must have dimension {dim}, got a plan of {self.plan.dim}")
            self.regime = "population" if regime is None else regime
            x0, x1 = (_rows(x, dim) for x in self.plan.sample(samples, self._draw(0)))
        elif isinstance(data, tuple | list) and len(data) in (2, 3):
            if len(data) == 2 and hasattr(data[0], "rvs"):
                self.law = data[0]
                self.regime = "data" if regime is None else regime
                x1 = rows("data", data[1], dim)
                x0 = self._source(len(x1), self._draw(0))
            else:
                self.regime = ("fixed" if len(data) == 3 else "pairs") if regime is None else regime
                x0, x1 = rows("x0", data[-2], dim), rows("x1", data[-1], dim)
                if x0.shape != x1.shape:
                    raise ValueError(f"x1 must be shaped like x0 {x0.shape}, got {x1.shape}")
                if len(data) == 3:
                    self.t = real_array("t", data[0], shape=(len(x0),))
        else:
            raise ValueError(
                "data must be a plan, pairs (x0, x1), rows (t, x0, x1) or (source, data), got "
                f"{type(data).__name__}"
            )
        if self.regime not in _REGIMES:
            raise ValueError(f"regime must be one of {', '.join(_REGIMES)}, got {regime!r}")
        if self.t is not None and self.regime != "fixed":
            raise ValueError(f'regime must be "fixed" where times are given, got "{self.regime}"')
        if self.regime in ("data", "population") and self.plan is None and self.law is None:
            raise ValueError(
                f'regime "{self.regime}" needs a plan or (source, data) to draw from, got pairs'
            )
        if self.regime == "population" and self.plan is None:
            raise ValueError('regime "population" needs a plan, got (source, data)')
        self.x0, self.x1 = x0, x1
        if self.regime == "fixed" and self.t is None:
            draw = self._draw(1)
            n = len(x0)
            self.t = draw.random(n) if times is None else draw.choice(times, n)

    @property
    def redraws_pairs(self) -> bool:
        return self.regime in ("data", "population")

    def _draw(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *key])

    def _source(self, n: int, draw: np.random.Generator) -> FloatArray:
        x0 = _rows(self.law.rvs(n, draw), self.dim)
        if x0.shape != (n, self.dim):
            raise ValueError(f"source must have dimension {self.dim}, drew shape {x0.shape}")
        return x0

    def hold_out(self, part: float) -> tuple[FloatArray, FloatArray]:
        """Take the last part of the pairs away, and return it."""
        cut = len(self.x0) - max(1, round(part * len(self.x0)))
        if cut < 1:
            raise ValueError(f"held_out must leave pairs to train on, got {part:g}")
        held = self.x0[cut:].copy(), self.x1[cut:].copy()
        self.x0, self.x1 = self.x0[:cut].copy(), self.x1[:cut].copy()
        self.t = None if self.t is None else self.t[:cut].copy()
        return held

    def epoch(self, number: int) -> tuple[FloatArray, FloatArray]:
        """Pairs of an epoch, a function of the seed and its number alone."""
        if not self.redraws_pairs:
            return self.x0, self.x1
        draw, n = self._draw(2, number), len(self.x0)
        if self.regime == "population":
            assert self.plan is not None
            x0, x1 = self.plan.sample(n, draw)
            return _rows(x0, self.dim), _rows(x1, self.dim)
        if self.law is not None:
            return self._source(n, draw), self.x1
        assert self.plan is not None
        if isinstance(self.plan, DatasetPlan):
            return self.plan.std * draw.standard_normal(self.x1.shape), self.x1
        if isinstance(self.plan, ProductPlan):
            return _rows(self.plan.source.rvs(n, draw), self.dim), self.x1
        x1 = self.x1.ravel() if self.dim == 1 else self.x1
        return _rows(self.plan.reverse().sample_conditional(x1, draw), self.dim), self.x1


def _rows(x: Any, dim: int) -> FloatArray:
    return np.ascontiguousarray(np.asarray(x, dtype=np.float64).reshape(len(x), -1)).reshape(
        -1, dim
    )


class _Watcher:
    """What is measured at logged epochs, at points fixed once."""

    def __init__(self, start: ReluNetwork, source: _Source, truth: Plan | None,
                 interpolant: Interpolant, held: Any, samples: int):  # fmt: skip
        self.start, self.interpolant = start, interpolant
        self.columns: dict[str, list[float]] = {
            name: [] for name in ("epochs", "excess", "excess_error", "held_out", "movement",
                                  "flips", "seconds")
        }  # fmt: skip
        draw = source._draw(3)
        if truth is not None:
            x0, x1 = (_rows(x, start.dim) for x in truth.sample(samples, draw))
        else:
            x0, x1 = source.x0[:samples], source.x1[:samples]
        n = len(x0)
        t = draw.random(n) if start.times is None else draw.choice(start.times, n)
        a, b, _, _ = _coefficients(interpolant, t)
        x = a[:, None] * x0 + b[:, None] * x1
        self.t, self.x = t, x.ravel() if start.dim == 1 else x
        self.v = (
            None
            if truth is None
            else np.asarray(truth.velocity(t, self.x, interpolant)).reshape(n, -1)
        )
        few = slice(0, 256)
        self.z = start.inputs(self.t[few], self.x[few])
        self.at_start = self.z @ start.hidden.astype(np.float64).T > 0
        self.held = None
        if held is not None:
            y0, y1 = held
            at = draw.random(len(y0)) if start.times is None else draw.choice(start.times, len(y0))
            self.held = at, y0, y1

    def look(self, trainer: Any, net: ReluNetwork, epoch: int, seconds: float) -> None:
        excess = error = np.nan
        if self.v is not None:
            square = ((np.asarray(net(self.t, self.x)).reshape(self.v.shape) - self.v) ** 2).sum(1)
            excess, error = float(square.mean()), float(square.std() / np.sqrt(len(square)))
        now = net.hidden.astype(np.float64)
        moved = float(np.linalg.norm(now - self.start.hidden.astype(np.float64)))
        flips = float(((self.z @ now.T > 0) != self.at_start).mean())
        held = np.nan if self.held is None else trainer.loss(*self.held)
        row = (epoch, excess, error, held, moved, flips, seconds)
        for column, value in zip(self.columns.values(), row, strict=True):
            column.append(value)


def _coefficients(interpolant: Interpolant, t: FloatArray) -> tuple[FloatArray, ...]:
    if interpolant == LINEAR:
        one = np.ones_like(t)
        return 1 - t, t, -one, one
    table = np.array([_core.coefficients(interpolant, float(at)) for at in t])
    return tuple(table.T)


def train(
    net: ReluNetwork,
    data: Any,
    *,
    regime: Regime | None = None,
    epochs: int = 100,
    rate: float | None = None,
    optimiser: Literal["gd", "sgd", "adam"] = "gd",
    batch: int | None = None,
    momentum: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    samples: int = 10_000,
    interpolant: Interpolant = LINEAR,
    truth: Plan | None = None,
    held_out: float | tuple[ArrayLike, ArrayLike] | None = None,
    patience: int | None = None,
    every: int | None = None,
    watch_samples: int = 2000,
    rng: Rng = None,
    resume: Trace | None = None,
    num_threads: int | None = None,
    progress: Progress = None,
) -> Trace:
    r"""Train a network on the conditional flow-matching loss.

    .. math:: E\,|f(t, X_t) - \dot X_t|^2 = E\,|f - v|^2 + \text{floor}

    Parameters
    ----------
    net : ReluNetwork
        Where to start; it is left as it is. Its ``dtype`` is the precision of training, and its
        ``train_outputs`` says whether the output weights move too.
    data : Plan, (x0, x1), (t, x0, x1) or (source, data)
        A plan to draw ``samples`` pairs from; pairs of points, (n,) on the line or (n, D); such
        with their times; or a law of X0 and samples of X1, independent of each other.
    regime : "fixed", "pairs", "data" or "population"
        What stays the same from epoch to epoch: rows (t, x0, x1); pairs, with t redrawn; X1, with
        X0 and t redrawn; nothing. By default the last that ``data`` allows ("fixed" for given
        times, "pairs" for pairs, "data" for a source and data, "population" for a plan).
    epochs : int
        Passes over the rows, after those of ``resume``.
    rate : float, optional
        Step size: of w for the loss as it stands, not of a halved loss. By default 0.1 for "gd"
        and "sgd", 0.01 for "adam".
    optimiser : "gd", "sgd" or "adam"
        Gradient descent on all rows; on batches; Adam (Kingma & Ba 2015), on batches.
    batch : int, optional
        Rows a step of "sgd" and "adam", in a new order each epoch; 256 by default.
    momentum : float
        Heavy-ball momentum of "gd" and "sgd", in [0, 1).
    betas, epsilon
        Of Adam.
    samples : int
        Rows an epoch where a plan is given.
    interpolant : Interpolant
        X_t = a(t) X0 + b(t) X1.
    truth : Plan, optional
        The plan whose field v the excess is measured against; ``data`` if that is a plan.
    held_out : float or pairs, optional
        Pairs never trained on, or the part of the given pairs to set aside.
    patience : int, optional
        Stop when so many looks at the held-out loss in a row have found no improvement, and return
        the best network. Needs ``held_out``.
    every : int, optional
        Epochs between looks; by default about a hundred looks in all.
    watch_samples : int
        Points at which excess and flips are taken.
    rng : int, Generator or None
        Seed. With it the result is the same for any number of threads.
    resume : Trace, optional
        Go on from where that training, with the same data and options, ended: n epochs and then k
        give the same bits as n + k. ``net`` is not used then, nor ``rng``.
    num_threads, progress
        As everywhere. Ctrl-C ends training with the status "interrupted" and the network so far.

    Returns
    -------
    Trace
        Also when training diverges: status "diverged", the step named in ``message``, and the
        last network whose loss was finite.

    Raises
    ------
    ValueError
        On shapes and dimensions that do not match, NaN, and options that contradict each other.

    Notes
    -----
    Where pairs are fixed the training loss can fall below the floor of the plan, even to 0: that is
    overfitting, not success; look at ``excess``. Cost of an epoch: 8 n m (D + 2) operations, in one
    pass over tiles that stay in the caches. Sources: the loss, Lipman et al. (2023); the
    parametrisation, Du et al. (2019).

    Examples
    --------
    >>> import recouple as rc
    >>> plan = rc.GaussianPlan(0.0, 1.0, 1.0, 0.0, 0.5)
    >>> net = rc.ReluNetwork(1, 64, antisymmetric=True, rng=0)
    >>> trace = rc.train(net, plan, epochs=50, samples=1000, rng=0)
    >>> trace.status, bool(trace.excess[-1] < 0.2 * trace.excess[0])
    ('finished', True)
    """
    if not isinstance(net, ReluNetwork):
        raise ValueError(f"net must be a ReluNetwork, got {type(net).__name__}")
    if optimiser not in ("gd", "sgd", "adam"):
        raise ValueError(f'optimiser must be "gd", "sgd" or "adam", got {optimiser!r}')
    if batch is not None and optimiser == "gd":
        raise ValueError('batch must be None for "gd", which takes all rows; use "sgd"')
    if batch is not None:
        batch = whole_number("batch", batch, minimum=1)
    heavy = real_number("momentum", momentum, minimum=0)
    if heavy >= 1:
        raise ValueError(f"momentum must be below 1, got {heavy:g}")
    if heavy > 0 and optimiser == "adam":
        raise ValueError(f'momentum must be 0 for "adam", which has its betas, got {heavy:g}')
    if not isinstance(interpolant, Interpolant):
        raise ValueError(
            f"interpolant must be an Interpolant such as recouple.LINEAR, got {interpolant!r}"
        )
    if resume is not None:
        if not isinstance(resume, Trace):
            raise ValueError(f"resume must be a Trace, got {type(resume).__name__}")
        if resume.start.dim != net.dim:
            raise ValueError(
                f"resume must be of a network of dimension {net.dim} like net, got "
                f"{resume.start.dim}"
            )
        net = resume.start
    if patience is not None and held_out is None:
        raise ValueError("patience needs held_out pairs to judge by")
    count = whole_number("epochs", epochs)
    seed = int(generator(rng).integers(2**62)) if resume is None else resume._seed
    source = _Source(
        data, regime, net.dim, whole_number("samples", samples, minimum=1), seed, net.times
    )
    held = _held_out(source, held_out, net.dim)
    if net.times is not None and source.t is not None and not np.isin(source.t, net.times).all():
        raise ValueError("t must be among the times of the network's heads")
    known = source.plan if truth is None else truth
    if known is not None and known.dim != net.dim:
        raise ValueError(f"truth must have dimension {net.dim}, got {known.dim}")
    size = 0 if optimiser == "gd" else 256 if batch is None else batch
    step = (0.01 if optimiser == "adam" else 0.1) if rate is None else rate
    options = _core.TrainOptions(
        optimiser == "adam",
        net.train_outputs,
        real_number("rate", step, positive=True),
        heavy,
        (real_number("betas", betas[0], minimum=0, maximum=1 - 1e-12),
         real_number("betas", betas[1], minimum=0, maximum=1 - 1e-12)),
        real_number("epsilon", epsilon, positive=True),
        size,
        source.regime != "fixed",
        seed,
        interpolant,
        thread_count(num_threads),
    )  # fmt: skip
    start, begin, done = net, net, 0
    if resume is not None:
        start, begin, done = resume.start, resume._last, resume._done
    trainer = begin._trainer(options)
    if resume is not None:
        trainer.restore(resume._state)
    watcher = _Watcher(
        start, source, known, interpolant, held,
        whole_number("watch_samples", watch_samples, minimum=2),
    )  # fmt: skip
    every = max(1, count // 100) if every is None else whole_number("every", every, minimum=1)
    return _run(
        trainer, watcher, source, begin, start, done, count, every,
        None if patience is None else whole_number("patience", patience, minimum=1),
        progress_callback(progress, "train"), seed,
    )  # fmt: skip


def _held_out(source: _Source, held_out: Any, dim: int) -> Any:
    if held_out is None:
        return None
    if isinstance(held_out, tuple | list):
        x0, x1 = rows("held_out", held_out[0], dim), rows("held_out", held_out[1], dim)
        if x0.shape != x1.shape:
            raise ValueError(f"held_out must be pairs of one shape, got {x0.shape}, {x1.shape}")
        return x0, x1
    part = real_number("held_out", held_out, positive=True, maximum=1)
    return source.hold_out(part)


def _run(
    trainer: Any, watcher: _Watcher, source: _Source, begin: ReluNetwork, start: ReluNetwork,
    done: int, count: int, every: int, patience: int | None, callback: Any, seed: int,
) -> Trace:  # fmt: skip
    status, losses, seconds, failures = "finished", [np.empty(0)], 0.0, 0
    net, best = begin, begin
    least, best_epoch = np.inf, done
    times = np.empty(0) if source.t is None else source.t
    epoch = 0

    def told(offset: int) -> Any:
        return None if callback is None else lambda at, _: callback(offset + at, count)

    try:
        watcher.look(trainer, net, done, 0.0)
        least = np.nan_to_num(watcher.columns["held_out"][0], nan=np.inf)
        while epoch < count and status == "finished":
            length = min(every, count - epoch)
            before = time.perf_counter()
            for _ in range(length if source.redraws_pairs else 1):
                part = 1 if source.redraws_pairs else length
                x0, x1 = source.epoch(done + epoch)
                loss, status = trainer.run(times, x0, x1, part, told(epoch))
                taken = trainer.epochs - done - epoch
                losses.append(loss[: taken + (status == "diverged")])
                epoch += taken
                if status != "finished":
                    break
            seconds += time.perf_counter() - before
            net = begin._with(trainer.network())
            watcher.look(trainer, net, done + epoch, seconds)
            held = watcher.columns["held_out"][-1]
            failures = 0 if held < least else failures + 1
            if held < least:
                least, best, best_epoch = held, net, done + epoch
            if patience is not None and failures >= patience and status == "finished":
                status = "stopped early"
    except KeyboardInterrupt:
        status = "interrupted"
        net = begin._with(trainer.network())
    steps = trainer.steps
    message = {
        "finished": f"finished after {done + epoch} epochs, {steps} steps",
        "stopped early": f"stopped after {done + epoch} epochs; the best was after {best_epoch}",
        "diverged": f"diverged at step {steps}: the loss was not finite or grew 10^8-fold; the "
        "network is the last before. A smaller rate may help",
        "interrupted": f"interrupted after {done + epoch} epochs, {steps} steps",
    }[status]
    columns = {
        name: frozen(np.array(values, dtype=np.float64)) for name, values in watcher.columns.items()
    }
    return Trace(
        network=best if patience is not None and np.isfinite(least) else net,
        status=status,
        message=message,
        loss=frozen(np.concatenate(losses)),
        steps=steps,
        start=start,
        _last=net,
        _state=frozen(trainer.state()),
        _seed=seed,
        _done=done + epoch,
        **columns,
    )
