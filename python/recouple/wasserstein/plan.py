"""The optimal plan on the line, and the gradients of the distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recouple import _core
from recouple.arguments import FloatArray, frozen, real_array, thread_count
from recouple.plan import AtomicPlan
from recouple.wasserstein.line import finite_order

IndexArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LinePlan:
    """Optimal plan between two samples on the line, as a list of entries.

    Entry e moves ``mass[e]`` from ``u_values[u_index[e]]`` to ``v_values[v_index[e]]``. Entries go
    up along the line on both sides; there are at most n + m - 1, and the masses sum to 1.
    """

    u_index: IndexArray
    v_index: IndexArray
    mass: FloatArray
    u_values: FloatArray
    v_values: FloatArray

    def __len__(self) -> int:
        return len(self.mass)

    def __repr__(self) -> str:
        n, m = self.shape
        return f"LinePlan({n} to {m} atoms, {len(self)} entries)"

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of atoms (n, m)."""
        return len(self.u_values), len(self.v_values)

    def to_dense(self) -> FloatArray:
        """Masses as a matrix (n, m)."""
        dense = np.zeros(self.shape)
        np.add.at(dense, (self.u_index, self.v_index), self.mass)
        return dense

    def to_coo(self) -> Any:
        """Masses as a ``scipy.sparse.coo_array`` (n, m); needs SciPy."""
        from scipy.sparse import coo_array

        return coo_array((self.mass, (self.u_index, self.v_index)), shape=self.shape)

    def to_plan(self) -> AtomicPlan:
        """The same as a plan of the package: pairs of points with weights."""
        return AtomicPlan(
            self.u_values[self.u_index], self.v_values[self.v_index], weights=self.mass
        )

    def distance(self, p: float = 1) -> float:
        """W_p, as the cost of this plan: (sum mass |u - v|^p)^(1/p)."""
        order = finite_order(p)
        moved = np.abs(self.u_values[self.u_index] - self.v_values[self.v_index])
        farthest = float(moved.max())
        if farthest == 0:
            return 0.0
        cost = float(np.sum(self.mass * (moved / farthest) ** order))
        return farthest * float(cost ** (1 / order))


def wasserstein_1d_plan(
    u_values: ArrayLike,
    v_values: ArrayLike,
    u_weights: ArrayLike | None = None,
    v_weights: ArrayLike | None = None,
) -> LinePlan:
    """Optimal plan between two samples on the line: the increasing one, whatever the order p >= 1.

    Parameters
    ----------
    u_values, v_values : array_like
        Atoms, n and m of them, in any order. Units of length.
    u_weights, v_weights : array_like, optional
        Weights of the atoms, normalised to sum 1; equal by default.

    Returns
    -------
    LinePlan
        At most n + m - 1 entries; atoms without weight have none.

    Raises
    ------
    ValueError
        For values that are not finite or empty, and weights that are negative, not finite, sum to
        zero or do not fit the values.

    Notes
    -----
    Accuracy: the masses of each atom add up to its weight within 16 ulp of 1; for equal weights
    they are whole multiples of 1 / (n m). Cost: the sorts, then O(n + m).
    Source: Villani, Topics in Optimal Transportation (2003), Theorem 2.18.

    Examples
    --------
    >>> import recouple as rc
    >>> plan = rc.wasserstein_1d_plan([3.0, 1.0], [2.0, 4.0, 6.0])
    >>> plan
    LinePlan(2 to 3 atoms, 4 entries)
    >>> plan.to_dense().round(3)
    array([[0.   , 0.167, 0.333],
           [0.333, 0.167, 0.   ]])
    """
    u, v = real_array("u_values", u_values, ndim=1), real_array("v_values", v_values, ndim=1)
    uw = None if u_weights is None else real_array("u_weights", u_weights, shape=u.shape)
    vw = None if v_weights is None else real_array("v_weights", v_weights, shape=v.shape)
    rows, columns, mass = _core.wasserstein_1d_plan(u, v, uw, vw)
    return LinePlan(*(frozen(array) for array in (rows, columns, mass, u, v)))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LineGradient:
    """Distances and their gradients by the atoms and by the weights as they were given."""

    distance: Any
    u_values: FloatArray
    v_values: FloatArray
    u_weights: FloatArray
    v_weights: FloatArray

    def __repr__(self) -> str:
        shapes = f"{self.u_values.shape}, {self.v_values.shape}"
        return f"LineGradient(distance={self.distance!r}, shapes {shapes})"


def wasserstein_1d_grad(
    u_values: ArrayLike,
    v_values: ArrayLike,
    u_weights: ArrayLike | None = None,
    v_weights: ArrayLike | None = None,
    p: float = 1,
    *,
    power: bool = False,
    num_threads: int | None = None,
) -> LineGradient:
    """Gradient of the Wasserstein distance on the line by its atoms and by its weights.

    With the optimal plan pi and the potentials f + g = |u - v|^p on it,

    d W^p / d u_i = p sum_j pi_ij |u_i - v_j|^(p-1) sign(u_i - v_j),
    d W^p / d a_i = (f_i - sum_k a_k f_k / s) / s,   s = sum_k a_k

    and d W = d W^p / (p W^(p-1)).

    Parameters
    ----------
    u_values, v_values : array_like, shapes (..., n) and (..., m)
        Atoms along the last axis; leading axes broadcast, a problem each.
    u_weights, v_weights : array_like, optional
        Weights, of length n (m) or of the shape of the values. Those left out count as 1 / n.
    p : float
        Order, at least 1 and finite.
    power : bool
        Differentiate W_p^p instead of W_p.
    num_threads : int, optional
        Threads; the result does not depend on them.

    Returns
    -------
    LineGradient
        ``.distance`` and the gradients ``.u_values .v_values .u_weights .v_weights``, of the
        broadcast shapes (..., n) and (..., m). At a kink (ties, equal levels, p = 1 where u = v) a
        value between the one-sided derivatives; where the distance is 0, zero.

    Raises
    ------
    ValueError
        As ``wasserstein_1d``, and for values or p that are not finite.

    Notes
    -----
    Cost: two sorts with their order, then O(n + m) for each problem.
    Source: Peyre and Cuturi, Computational Optimal Transport (2019), section 9.1.

    Examples
    --------
    >>> import recouple as rc
    >>> gradient = rc.wasserstein_1d_grad([0.0, 1.0], [3.0, 5.0], p=2)
    >>> gradient.u_values.round(4)
    array([-0.4243, -0.5657])
    """
    order = finite_order(p)
    u, v = real_array("u_values", u_values), real_array("v_values", v_values)
    for name, array in (("u_values", u), ("v_values", v)):
        if array.ndim == 0:
            raise ValueError(f"{name} must have at least one dimension, got a number")
    try:
        shape = np.broadcast_shapes(u.shape[:-1], v.shape[:-1])
    except ValueError:
        raise ValueError(
            "u_values and v_values must have leading shapes that broadcast, "
            f"got {u.shape} and {v.shape}"
        ) from None
    n, m = u.shape[-1], v.shape[-1]
    distance, *gradients = _core.wasserstein_1d_grad(
        np.ascontiguousarray(np.broadcast_to(u, (*shape, n))),
        np.ascontiguousarray(np.broadcast_to(v, (*shape, m))),
        _weights("u_weights", u_weights, u.shape, (*shape, n)),
        _weights("v_weights", v_weights, v.shape, (*shape, m)),
        p=order,
        power=bool(power),
        threads=thread_count(num_threads),
    )
    value = float(distance[0]) if shape == () else frozen(distance.reshape(shape))
    return LineGradient(value, *(frozen(gradient) for gradient in gradients))


def _weights(
    name: str, weights: ArrayLike | None, shape: tuple[int, ...], full: tuple[int, ...]
) -> FloatArray | None:
    if weights is None:
        return None
    array = real_array(name, weights)
    if array.shape == shape[-1:]:
        return array
    if array.shape != shape:
        raise ValueError(
            f"{name} must have the shape of its values, {shape}, or {shape[-1:]}, got {array.shape}"
        )
    return np.ascontiguousarray(np.broadcast_to(array, full))
