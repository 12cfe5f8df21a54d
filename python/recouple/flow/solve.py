"""Integration of batches of trajectories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recouple import _core
from recouple.arguments import real_array
from recouple.field import VelocityField, as_field
from recouple.flow.map import FlowMap
from recouple.flow.solution import Flow
from recouple.flow.trace import trace
from recouple.progress import Progress

__all__ = ["crossings", "integrate"]


def integrate(
    field: VelocityField | Callable[[Any, Any], Any],
    x0: ArrayLike,
    t0: float = 0.0,
    t1: float = 1.0,
    *,
    method: str = "dopri5",
    rtol: float | None = None,
    atol: float | None = None,
    steps: int | None = None,
    max_steps: int = 100_000,
    t_eval: ArrayLike | None = None,
    dense: bool = False,
    log_density: bool | str = False,
    jacobian: bool = False,
    throw: bool = True,
    rng: int | np.random.Generator | None = None,
    num_threads: int | None = None,
    progress: Progress = None,
) -> Flow:
    r"""Follow points along a velocity field.

    .. math:: \frac{dx}{dt} = v(t, x), \qquad x(t_0) = x_0, \qquad
              \frac{d}{dt} \log |\det \partial x / \partial x_0| = \operatorname{div} v(t, x)

    Each trajectory has its own steps, error control and counts: a hard one costs the others
    nothing.

    Parameters
    ----------
    field : VelocityField or callable
        A callable ``v(t, x)`` (NumPy, a torch module, a jax function) is called on the caller's
        thread with all active points at once: ``t`` a float for methods of equal steps, otherwise
        an array of shape (n,), a time for each point; ``x`` of shape (n,) on the line, else (n, D).
    x0 : array of shape (n,) on the line (or a number), (n, D) otherwise (or (D,))
        Starting points; float32 gives float32, computed in float64.
    t0, t1 : float
        From when to when; ``t1 < t0`` runs backwards. Where the field has a pole at an end (a
        target that is not smooth has one at t = 1), stopping short of it is the caller's decision.
    method : str
        For equal steps: ``"euler"`` (order 1), ``"midpoint"``, ``"heun"`` (2), ``"rk4"`` (4). With
        steps chosen by the error: ``"bosh3"`` (order 3), ``"dopri5"``, ``"tsit5"`` (5),
        ``"dop853"`` (8).
    rtol, atol : float, optional
        Adaptive methods: error allowed in each step, atol + rtol \|x\|, in the mean square over
        coordinates. 1e-6 and rtol / 1000.
    steps : int
        Take this many equal steps. The first four methods need it, the others then forgo their
        error control; excludes rtol and atol.
    max_steps : int
        Adaptive methods: steps, taken and refused, after which a trajectory is given up.
    t_eval : array of shape (T,), optional
        Times at which to return points, from t0 towards t1. Steps do not depend on it.
    dense : bool
        Keep all steps, so that ``flow(t)`` gives the points at any time. Memory O(n D steps).
    log_density : bool or ``"hutchinson"``
        Carry log \|det d phi\| along: by the exact divergence for native fields; for callables by
        central differences (error about 1e-10 times the third derivatives of v, 2 D more
        evaluations), or with ``"hutchinson"`` along one random direction of signs per trajectory
        (unbiased, 2 more evaluations).
    jacobian : bool
        Carry d phi / d x0 along; also gives ``log_det``.
    throw : bool
        Raise what the field's callable raises, with the state so far as its attribute ``flow``;
        False returns that state, with the exception in ``flow.error``. How single trajectories
        fare is never raised: it is in ``flow.status``.
    rng : int, Generator, optional
        Seed of ``"hutchinson"``; without one, 0.
    num_threads : int, optional
        Threads of native fields. No bit of the result depends on it.
    progress : bool or callable, optional
        True draws a bar; a callable gets (trajectories done, in all).

    Returns
    -------
    Flow
        ``flow.x`` the points, ``flow.status`` how each trajectory ended, ``flow.log_det``,
        ``flow.map`` and more.

    Raises
    ------
    ValueError
        Points that are not finite or of the wrong shape, times outside the field's range, t_eval
        out of order, unknown method, steps together with rtol.

    Notes
    -----
    Accuracy: the global error is a small multiple of the tolerance times the stretching of the flow
    (the exponential of the integrated one-sided Lipschitz constant). On the line adaptive results
    are checked for order: trajectories that overtook another end as ``collision``.
    Cost: O(n) evaluations times steps; memory O(n D) beyond what is asked for.

    Source: Hairer, Norsett & Wanner (1993), Solving Ordinary Differential Equations I, II.4-II.6;
    Bogacki & Shampine (1989); Dormand & Prince (1980); Tsitouras (2011); for the log-density,
    Chen et al. (2018), eq. (8).

    Examples
    --------
    >>> import recouple as rc
    >>> field = rc.velocity_field(rc.GaussianPlan(0.0, 1.0, 1.0, 0.0, 4.0))
    >>> flow = rc.integrate(field, [0.0, 1.0], log_density=True)
    >>> flow.x.round(5), flow.log_det.round(5)
    (array([1., 3.]), array([0.69315, 0.69315]))
    """
    if not isinstance(field, VelocityField):
        shape = np.shape(x0)
        field = as_field(field, dim=1 if len(shape) < 2 else shape[1])
    flow_map = FlowMap(
        field, t0, t1, method=method, rtol=rtol, atol=atol, steps=steps, max_steps=max_steps
    )
    return trace(
        flow_map,
        x0,
        t_eval,
        dense,
        log_density,
        jacobian,
        throw,
        rng,
        num_threads,
        progress,
    )


def crossings(x0: ArrayLike, x: ArrayLike, slack: ArrayLike = 0.0) -> NDArray[np.bool_]:
    """Which points of a flow on the line changed their order.

    Trajectories on the line never cross, so the order of ``x`` is that of ``x0``; points that start
    together may end in any order.

    Parameters
    ----------
    x0, x : arrays of shape (n,)
        Points before and after. NaN takes no part.
    slack : float or array of shape (n,)
        Error of each x: only points that overtook by more than both their errors count.

    Returns
    -------
    array of bool, shape (n,)
        True for each point that overtook another or was overtaken. Cost: O(n log n).

    Examples
    --------
    >>> import recouple as rc
    >>> rc.crossings([0.0, 1.0, 2.0], [0.0, 3.0, 2.5])
    array([False,  True,  True])
    """
    before = real_array("x0", x0, ndim=1, empty=True, finite=False)
    after = real_array("x", x, shape=before.shape, empty=True, finite=False)
    errors = np.broadcast_to(real_array("slack", slack), before.shape)
    found: NDArray[np.bool_] = _core.crossings(before, after, np.ascontiguousarray(errors))
    return found
