"""Losses, floors, excess, and the complexities that bound generalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import FloatArray, generator, real_array, real_number, whole_number
from recouple.interpolant import LINEAR, Interpolant
from recouple.plan import Plan
from recouple.plan.base import Rng
from recouple.plan.estimate import Estimate
from recouple.theory.kernel import ntk_gram

__all__ = ["KernelBall", "arora_complexity", "cfm_floor", "draw_path", "excess",
           "kernel_ball_bound", "multitask_bound", "task_variance"]  # fmt: skip


def cfm_floor(plan: Plan, interpolant: Interpolant = LINEAR) -> Estimate:
    r"""Least value of the conditional flow-matching loss over all functions f.

    .. math:: L(f) = E|f - v|^2 + \int_0^1 E\,\mathrm{tr\,Cov}(\dot X_t | X_t)\,dt

    The second term, which no network can go below on the population; on fixed pairs the training
    loss can, and then it overfits. Of an independent Gaussian plan (pi / 2) tr(S0 # S1), # the
    geometric mean of the covariances. See :meth:`Plan.floor`.

    Examples
    --------
    >>> import numpy as np, recouple as rc
    >>> plan = rc.GaussianPlan(0.0, 0.0, 4.0, 0.0, 1.0)
    >>> abs(float(rc.theory.cfm_floor(plan)) - np.pi / 2 * 2.0) < 1e-10
    True
    """
    return plan.floor(interpolant)


def draw_path(
    plan: Plan, n: int, rng: Rng, interpolant: Interpolant, times: FloatArray | None = None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Draw times (stratified, or among those given), X_t (n, D) and dX_t/dt (n, D)."""
    draw = generator(rng)
    t = (np.arange(n) + draw.random(n)) / n if times is None else draw.choice(times, n)
    x0, x1 = (np.asarray(x).reshape(n, plan.dim) for x in plan.sample(n, draw))
    if interpolant == LINEAR:
        a, b, da, db = 1 - t, t, -np.ones(n), np.ones(n)
    else:
        a, b, da, db = np.array([_core.coefficients(interpolant, float(s)) for s in t]).T
    x = a[:, None] * x0 + b[:, None] * x1
    return t, x, da[:, None] * x0 + db[:, None] * x1


def flat(x: FloatArray) -> FloatArray:
    """Points as the public names take them: (n,) on the line."""
    return x.ravel() if x.shape[1] == 1 else x


def excess(
    net: Any, plan: Plan, interpolant: Interpolant = LINEAR, *, samples: int = 20_000, rng: Rng = 0
) -> Estimate:
    """Excess loss E|f(t, X_t) - v(t, X_t)|^2, f and v paired at the same points.

    Pairing has a standard error several times below that of a difference of losses minus the floor.

    Parameters
    ----------
    net : field or callable
        f(t, x).
    plan : Plan
        Whose velocity is v.
    samples : int
        Points (t, X_t), t stratified.

    Returns
    -------
    Estimate
        With its standard error.

    Raises
    ------
    ValueError
        What is not callable, or no plan.
    """
    count = whole_number("samples", samples, minimum=2)
    if not callable(net):
        raise ValueError(f"net must be callable as f(t, x), got {type(net).__name__}")
    if not isinstance(plan, Plan):
        raise ValueError(f"plan must be a plan, got {type(plan).__name__}")
    times = getattr(net, "times", None)
    t, x, _ = draw_path(plan, count, rng, interpolant, times)
    f = np.asarray(net(t, flat(x)), dtype=np.float64).reshape(x.shape)
    v = np.asarray(plan.velocity(t, flat(x), interpolant)).reshape(x.shape)
    square = ((f - v) ** 2).sum(axis=1)
    return Estimate(float(square.mean()), float(square.std(ddof=1) / np.sqrt(count)))


def arora_complexity(Z: ArrayLike, targets: ArrayLike, *, train_outputs: bool = False) -> float:
    r"""Data-dependent complexity sqrt(2 tr(U' H^-1 U) / N) of targets U at rows Z.

    Falls with N on targets a network can learn, such as v, and grows on noise, such as the raw
    flow-matching targets X1 - X0: report both. Source: Arora, Du, Hu, Li & Wang (2019), Theorem
    5.1.

    Parameters
    ----------
    Z : array of shape (N, p)
    targets : array of shape (N,) or (N, D)

    Returns
    -------
    float
        inf if H is singular to rounding.
    """
    gram = ntk_gram(Z, train_outputs=train_outputs)
    u = real_array("targets", targets)
    u = u[:, None] if u.ndim == 1 else u
    if u.ndim != 2 or len(u) != len(gram):
        raise ValueError(f"targets must have {len(gram)} rows like Z, got shape {u.shape}")
    values, vectors = np.linalg.eigh(gram)
    if values[0] <= 1e-15 * values[-1]:
        return float("inf")
    return float(np.sqrt(2 * (((vectors.T @ u) ** 2).sum(axis=1) / values).sum() / len(u)))


@dataclass(frozen=True)
class KernelBall:
    """A bound of the gap between test and training loss, and its three terms."""

    bound: float
    rademacher: float
    """Rad: complexity of the ball of radius B in the tangent kernel's space."""
    truncation: float
    """The loss is cut off at tau^2."""
    terms: tuple[float, float, float]
    """Complexity, confidence, and the mean loss beyond tau^2."""


def kernel_ball_bound(
    radius: float,
    trace: float,
    n: int,
    losses: ArrayLike,
    *,
    outputs: int = 1,
    truncation: float | None = None,
    delta: float = 0.05,
) -> KernelBall:
    r"""Heuristic bound of E loss - training loss over a ball of the tangent kernel.

    .. math:: \text{gap} \le 4 \tau \sqrt{c}\, \mathrm{Rad} + 3 \tau^2 \sqrt{\log(2/\delta) / (2 n)}
              + E (\ell - \tau^2)_+, \qquad \mathrm{Rad} = B \sqrt{D\,\mathrm{tr} H} / n

    with c = 1 for one output and 2 for several.

    Parameters
    ----------
    radius : float
        B: a ball |W - W0|_F <= B fixed beforehand that holds the weights.
    trace : float
        tr H over the n rows, of one output.
    n : int
        Training rows.
    losses : array
        Losses of fresh rows, to estimate the mean beyond the truncation.
    outputs : int
        D.
    truncation : float, optional
        tau; by default the one among quantiles of ``losses`` that makes the bound least.
    delta : float
        Allowed probability of failure.

    Returns
    -------
    KernelBall

    Notes
    -----
    For the linearised network and unbounded losses. A theorem only for B and tau fixed before the
    data are seen. With B the distance the weights moved, and tau chosen among quantiles of the
    losses, it is a heuristic: nothing is paid for the choice. Sources: Bartlett & Mendelson (2002)
    for kernel balls; Maurer (2016) for several outputs.
    """
    b = real_number("radius", radius, minimum=0)
    h = real_number("trace", trace, minimum=0)
    count, d = whole_number("n", n, minimum=1), whole_number("outputs", outputs, minimum=1)
    chance = real_number("delta", delta, positive=True, maximum=1)
    seen = real_array("losses", losses).ravel()
    rad = b * np.sqrt(d * h) / count
    confidence = 3 * np.sqrt(np.log(2 / chance) / (2 * count))

    def terms(tau: float) -> tuple[float, float, float]:
        return (
            float(4 * tau * (1 if d == 1 else np.sqrt(2)) * rad),
            float(tau**2 * confidence),
            float(np.maximum(seen - tau**2, 0).mean()),
        )

    if truncation is None:
        choices = np.sqrt(np.quantile(seen, np.linspace(0.02, 1, 50)))
        tau = float(min(choices, key=lambda c: sum(terms(float(c)))))
    else:
        tau = real_number("truncation", truncation, positive=True)
    found = terms(tau)
    return KernelBall(sum(found), float(rad), tau, found)


def multitask_bound(shared: float, head: float, n: int, tasks: int) -> float:
    """Order of the gap with n fresh rows for each of T time tasks on a shared layer.

    sqrt(C_shared / (n T)) + sqrt(C_head / n): the shared layer learns from all times, each head
    from its own. Source: Maurer, Pontil & Romera-Paredes (2016), Theorem 1, constants left out.
    """
    count, t = whole_number("n", n, minimum=1), whole_number("tasks", tasks, minimum=1)
    return float(
        np.sqrt(real_number("shared", shared, minimum=0) / (count * t))
        + np.sqrt(real_number("head", head, minimum=0) / count)
    )


def task_variance(rho: float, n: int, tasks: int) -> float:
    """Variance of a mean over n pairs and T times: (rho + (1 - rho) / T) / n.

    rho is the correlation between times: 0 with fresh pairs at each time, positive where the same
    pairs serve all times, and then more times stop helping.
    """
    r = real_number("rho", rho, minimum=0, maximum=1)
    count, t = whole_number("n", n, minimum=1), whole_number("tasks", tasks, minimum=1)
    return (r + (1 - r) / t) / count
