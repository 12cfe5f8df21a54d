"""Adaptive quadrature of many integrals at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recouple.arguments import FloatArray

__all__ = ["integrate_panels"]

# Gauss-Kronrod (7, 15): nodes on [-1, 1], Kronrod weights, Gauss weights at every second node.
_HALF = np.array(
    [
        0.991455371120812639206854697526329,
        0.949107912342758524526189684047851,
        0.864864423359769072789712788640926,
        0.741531185599394439863864773280788,
        0.586087235467691130294144691693013,
        0.405845151377397166906606412076961,
        0.207784955007898467600689403773245,
        0.0,
    ]
)
_KRONROD = np.array(
    [
        0.022935322010529224963732008058970,
        0.063092092629978553290700663189204,
        0.104790010322250183839876322541518,
        0.140653259715525918745189590510238,
        0.169004726639267902826583426598550,
        0.190350578064785409913256402421014,
        0.204432940075298892414161999234649,
        0.209482141084727828012999174891714,
    ]
)
_GAUSS = np.array(
    [
        0.129484966168869693270611432679082,
        0.279705391489276667901467771423780,
        0.381830050505118944950369775488975,
        0.417959183673469387755102040816327,
    ]
)
NODES = np.concatenate([-_HALF, _HALF[-2::-1]])
KRONROD = np.concatenate([_KRONROD, _KRONROD[-2::-1]])
GAUSS = np.zeros(15)
GAUSS[1::2] = np.concatenate([_GAUSS, _GAUSS[-2::-1]])

Integrand = Callable[[NDArray[np.intp], FloatArray], FloatArray]


def integrate_panels(
    integrand: Integrand, edges: FloatArray, *, rtol: float = 1e-11, rounds: int = 40
) -> tuple[FloatArray, FloatArray]:
    """Integrate n vector-valued functions, each over its own panels.

    Parameters
    ----------
    integrand : callable
        ``integrand(which, s)``: which (p,) says of which function each row of s (p, 15) is wanted;
        returns (p, 15, m).
    edges : array of shape (n, k)
        Increasing along each row: the panels to start from.
    rtol : float
        Aimed-at error, relative to the integral of the absolute value of each component.
    rounds : int
        Halvings at most.

    Returns
    -------
    integrals, errors : arrays of shape (n, m)
        Errors are the summed differences between the Gauss and the Kronrod rule: pessimistic.
    """
    n, k = edges.shape
    which = np.repeat(np.arange(n), k - 1)
    low, high = edges[:, :-1].ravel(), edges[:, 1:].ravel()
    live = high > low
    which, low, high = which[live], low[live], high[live]
    total: FloatArray | None = None
    for round_ in range(rounds):
        half = 0.5 * (high - low)
        s = low[:, None] + half[:, None] * (NODES + 1)
        values = integrand(which, s)
        if total is None:
            total = np.zeros((n, values.shape[-1]))
            error = np.zeros_like(total)
            size = np.zeros_like(total)
        fine = half[:, None] * np.einsum("k,pkm->pm", KRONROD, values)
        gap = np.abs(fine - half[:, None] * np.einsum("k,pkm->pm", GAUSS, values))
        if round_ == 0:
            np.add.at(size, which, half[:, None] * np.einsum("k,pkm->pm", KRONROD, np.abs(values)))
        done = (gap <= rtol * size[which]).all(axis=1)
        if round_ == rounds - 1:
            done[:] = True
        np.add.at(total, which[done], fine[done])
        np.add.at(error, which[done], gap[done])
        if done.all():
            break
        middle = low[~done] + half[~done]
        which = np.repeat(which[~done], 2)
        low, high = (
            np.stack([low[~done], middle], axis=1).ravel(),
            np.stack([middle, high[~done]], axis=1).ravel(),
        )
    if total is None:
        raise ValueError("there is nothing to integrate over")
    return total, error
