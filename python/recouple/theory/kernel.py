"""The tangent kernel: Gram matrices, the smallest eigenvalue, widths, predicted descent."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import (
    FloatArray,
    frozen,
    real_array,
    real_number,
    thread_count,
    whole_number,
)
from recouple.network import ReluNetwork

__all__ = ["Prediction", "Spectrum", "Width", "ntk_gram", "ntk_gram_empirical", "predicted_loss",
           "spectrum", "width_required"]  # fmt: skip


def ntk_gram(
    Z: ArrayLike, *, train_outputs: bool = False, num_threads: int | None = None
) -> FloatArray:
    r"""Tangent kernel of an infinitely wide network, at rows z = (x, c t, b).

    .. math:: H(z, z') = \frac{z \cdot z' (\pi - \theta)}{2 \pi}
              \left[+ |z| |z'| \frac{\sin\theta + (\pi - \theta)\cos\theta}{2 \pi}\right]

    with the bracket when the output weights are trained. The kernel of a network with D outputs is
    I_D x H.

    Parameters
    ----------
    Z : array of shape (N, p)
        Rows, none of them zero; :meth:`ReluNetwork.inputs` gives them.
    train_outputs : bool
    num_threads : int, optional

    Returns
    -------
    array of shape (N, N)

    Raises
    ------
    ValueError
        On a zero row, NaN, or another shape.

    Notes
    -----
    Accuracy: a few 1e-16 |z||z'|, also for angles near 0 and pi. Cost: O(N^2 p). Source: Du, Zhai,
    Poczos & Singh (2019); Cho & Saul (2009) for the arc-cosine kernels.

    Examples
    --------
    >>> import recouple as rc
    >>> rc.theory.ntk_gram([[1.0, 0.0], [0.0, 2.0]])
    array([[0.5, 0. ],
           [0. , 2. ]])
    """
    return _core.ntk_gram(_inputs(Z), bool(train_outputs), thread_count(num_threads))


def _inputs(Z: ArrayLike) -> FloatArray:
    z = real_array("Z", Z, ndim=2)
    zero = ~z.any(axis=1)
    if zero.any():
        raise ValueError(f"Z must have no zero row, got one at index {int(np.argmax(zero))}")
    return z


def ntk_gram_empirical(net: ReluNetwork, Z: ArrayLike, *, full: bool = False) -> FloatArray:
    r"""Tangent kernel of a network as it is, at rows z = (x, c t, b).

    .. math:: H_{jj'}(z, z') = \frac{z \cdot z'}{m} \sum_r a_{rj} a_{rj'} 1[w_r z > 0] 1[w_r z' > 0]

    and, when the output weights are trained, plus the product of the hidden layers / m for j = j'.

    Parameters
    ----------
    net : ReluNetwork
        With one head for all times.
    Z : array of shape (N, D + 2)
    full : bool
        All outputs' blocks, (N D, N D) with the outputs of a row together; otherwise their mean
        over j = j', (N, N), which the blocks j != j' fall behind as m^(-1/2).

    Returns
    -------
    array of shape (N, N) or (N D, N D)

    Notes
    -----
    Source: Jacot, Gabriel & Hongler (2018); Du et al. (2019). |H_m - H| falls as m^(-1/2).
    """
    z = real_array("Z", Z, shape=(None, net.dim + 2))
    if net.times is not None:
        raise ValueError("net must have one head for all times, got one per time")
    hidden, a = net.hidden.astype(np.float64), net.outputs.astype(np.float64)
    pre = z @ hidden.T
    active = (pre > 0).astype(np.float64)
    inner = z @ z.T
    n, d, m = len(z), net.dim, net.width
    if not full:
        gram: FloatArray = inner * ((active * (a**2).mean(axis=1)) @ active.T) / m
        if net.train_outputs:
            layer = np.maximum(pre, 0)
            gram += layer @ layer.T / m
        return gram
    blocks = np.empty((n, d, n, d))
    for j in range(d):
        for k in range(j + 1):
            block = inner * ((active * (a[:, j] * a[:, k])) @ active.T) / m
            blocks[:, j, :, k] = blocks[:, k, :, j] = block
    if net.train_outputs:
        layer = np.maximum(pre, 0)
        for j in range(d):
            blocks[:, j, :, j] += layer @ layer.T / m
    return blocks.reshape(n * d, n * d)


@dataclass(frozen=True)
class Spectrum:
    """Smallest eigenvalue of the tangent kernel at some rows, and what bounds it."""

    smallest: float
    """lambda_min(H)."""
    largest: float
    angle: float
    """Smallest angle theta_min between two rows, in radians."""
    bound: float
    """An upper bound of ``smallest``: the Rayleigh quotient of the two closest rows."""
    ratio: float
    """lambda_min / (theta_min / (2 pi)) for the rows scaled to unit length."""


def spectrum(Z: ArrayLike) -> Spectrum:
    r"""Extreme eigenvalues of :func:`ntk_gram` and the bound by the smallest angle.

    For unit rows at angle theta, v = (e_i - e_j) / sqrt(2) gives

    .. math:: \lambda_{min} \le \frac{\theta + (\pi - \theta)(1 - \cos\theta)}{2 \pi}
              = \frac{\theta}{2\pi} (1 + O(\theta)),

    so the smallest angle, not the width, limits how fast descent can go. Cost O(N^3).

    Examples
    --------
    >>> import numpy as np, recouple as rc
    >>> angles = np.linspace(0, np.pi / 2, 50)
    >>> found = rc.theory.spectrum(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    >>> bool(0 < found.smallest <= found.bound)
    True
    """
    z = _inputs(Z)
    if len(z) < 2:
        raise ValueError(f"Z must have at least two rows, got {len(z)}")
    norms = np.linalg.norm(z, axis=1)
    unit = z / norms[:, None]
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    i, j = np.unravel_index(int(np.argmax(cosine)), cosine.shape)
    angle = 2 * np.arctan2(
        np.linalg.norm(unit[i] - unit[j]), np.linalg.norm(unit[i] + unit[j])
    )  # accurate where the cosine is 1 to rounding
    values = np.linalg.eigvalsh(ntk_gram(z))
    scaled = values if np.allclose(norms, 1, rtol=1e-14) else np.linalg.eigvalsh(ntk_gram(unit))
    quotient = (angle + (np.pi - angle) * (1 - np.cos(angle))) / (2 * np.pi)
    bound = quotient * 2 / (norms[i] ** -2 + norms[j] ** -2)
    return Spectrum(
        smallest=float(values[0]),
        largest=float(values[-1]),
        angle=float(angle),
        bound=float(bound),
        ratio=float(scaled[0] / (angle / (2 * np.pi))) if angle > 0 else np.nan,
    )


@dataclass(frozen=True)
class Width:
    """How wide a network must be."""

    heuristic: float
    """pi / theta_min: beyond it lambda_min(H_m) is of the size of lambda_min(H)."""
    du: float
    """N^6 / (lambda_min^4 delta^3): the order Du et al. (2019) prove; constant 1."""


def width_required(Z: ArrayLike, *, delta: float = 0.1) -> Width:
    """Widths at which gradient descent on rows Z is in the linear regime.

    Parameters
    ----------
    Z : array of shape (N, p)
    delta : float
        Allowed probability of failure, for the proven order.

    Returns
    -------
    Width
        A heuristic that measurements follow, and a proven order that is beyond any machine.
    """
    chance = real_number("delta", delta, positive=True, maximum=1)
    z = _inputs(Z)
    found = spectrum(z / np.linalg.norm(z, axis=1)[:, None])
    lam = max(found.smallest, 1e-300)
    with np.errstate(over="ignore", divide="ignore"):
        du = float(np.float64(len(z)) ** 6 / (np.float64(lam) ** 4 * chance**3))
        return Width(heuristic=float(np.divide(np.pi, found.angle)), du=du)


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted training loss after each step count in ``steps``."""

    steps: FloatArray
    loss: FloatArray
    """Of the linearised network: exact as m -> infinity."""
    du_bound: FloatArray
    """(1 - eta lambda_min / 2)^k L_0 (Du et al. 2019); NaN where eta lambda_max > 1."""
    eigenvalues: FloatArray = field(repr=False)


def predicted_loss(
    gram: ArrayLike, residuals: ArrayLike, rate: float, steps: ArrayLike
) -> Prediction:
    r"""Loss of gradient descent on fixed rows, predicted by the tangent kernel.

    .. math:: L_k = \frac{1}{N} \sum_i (1 - \eta \lambda_i)^{2 k} (v_i \cdot r_0)^2,
              \qquad \eta = 2\,\text{rate} / N

    for the loss (1/N) |r|^2 that :func:`recouple.train` descends with step ``rate``.

    Parameters
    ----------
    gram : array of shape (N, N), or (N D, N D) with every output's block
        :func:`ntk_gram` or :func:`ntk_gram_empirical` at the rows.
    residuals : array of shape (N,) or (N, D)
        f - target at the start.
    rate : float
        Step size of :func:`recouple.train`.
    steps : array of whole numbers
        When the loss is wanted.

    Returns
    -------
    Prediction

    Notes
    -----
    Real descent departs from it as weights move; targets a hundred times smaller (the lazy limit)
    keep it. How far was measured is in docs/study/study.md, section 3. Sources: Du et al. (2019);
    Arora et al. (2019), Theorem 4.1, for the curve.
    """
    h = real_array("gram", gram, ndim=2)
    r = real_array("residuals", residuals)
    r = r[:, None] if r.ndim == 1 else r
    if r.ndim != 2:
        raise ValueError(f"residuals must have shape (N,) or (N, D), got {r.shape}")
    n = len(r)
    if h.shape == (r.size, r.size) and r.shape[1] > 1:
        r = r.reshape(-1, 1)
    if h.shape != (len(r), len(r)):
        raise ValueError(f"gram must have shape ({n}, {n}) or one block an output, got {h.shape}")
    at = np.atleast_1d(np.asarray(steps))
    for k in at.ravel():
        whole_number("steps", k)
    k = at.astype(np.float64)
    eta = 2 * real_number("rate", rate, positive=True) / n
    values, vectors = np.linalg.eigh(h)
    weight = ((vectors.T @ r) ** 2).sum(axis=1)
    decay = np.abs(1 - eta * values)
    loss = np.array([(decay ** (2 * step) * weight).sum() / n for step in k])
    least = max(values[0], 0.0)
    with np.errstate(invalid="ignore"):
        du = np.where(eta * values[-1] <= 1, (1 - eta * least / 2) ** k, np.nan) * weight.sum() / n
    return Prediction(
        frozen(k), frozen(loss), frozen(np.asarray(du, dtype=np.float64)), frozen(values)
    )
