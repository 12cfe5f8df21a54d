"""The flow of an affine field, as a matrix: of Gaussian plans, to rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, frozen, real_array, real_number, whole_number
from recouple.field import VelocityField

__all__ = ["AffineFlow", "affine_flow"]

STAGES = 5
CURVED = 1e-9  # relative departure from affine values that is no rounding


@dataclass(frozen=True, eq=False)
class AffineFlow:
    """The map x -> matrix x + offset, and log |det matrix|."""

    matrix: FloatArray
    offset: FloatArray
    log_det: float

    def __call__(self, x: ArrayLike) -> Any:
        """Carry points of shape (n, D), or (n,) on the line."""
        points = real_array("x", x, empty=True)
        if len(self.offset) == 1 and points.ndim < 2:
            return self.matrix[0, 0] * points + self.offset[0]
        if points.shape[-1:] != self.offset.shape:
            raise ValueError(f"x must have shape (n, {len(self.offset)}), got {points.shape}")
        return points @ self.matrix.T + self.offset

    @property
    def inverse(self) -> AffineFlow:
        """The flow back."""
        back = np.linalg.inv(self.matrix)
        return AffineFlow(frozen(back), frozen(-back @ self.offset), -self.log_det)

    def __repr__(self) -> str:
        return f"AffineFlow(in R^{len(self.offset)}, log_det {self.log_det:.6g})"


def affine_flow(
    field: VelocityField, t0: float = 0.0, t1: float = 1.0, *, steps: int = 32
) -> AffineFlow:
    r"""Flow of an affine field v = A_t x + b_t between two times, as a matrix and an offset.

    Gauss-Legendre collocation with five stages, of order 10, for
    :math:`\dot\Phi = A_t \Phi`: symplectic, so that it keeps quadratic invariants such as
    :math:`\Phi S_0 \Phi^T = S_t` of a Gaussian plan.

    Parameters
    ----------
    field : VelocityField
        Of a :class:`GaussianPlan`, or any differentiable affine field.
    t0, t1 : float
        From when to when; ``t1 < t0`` runs backwards.
    steps : int
        Steps of equal length.

    Returns
    -------
    AffineFlow
        ``flow(x)`` carries points; log p_t1(flow(x)) = log p_t0(x) - flow.log_det.

    Raises
    ------
    ValueError
        If the field is not affine, or not finite in between (paths collide).

    Notes
    -----
    Accuracy: 2e-14 at 32 steps on well conditioned plans. Cost: 5 Jacobians and a linear system of
    size 5 D a step.

    Source: Kuntzmann (1961) and Butcher (1964) for the method.

    Examples
    --------
    >>> import recouple as rc
    >>> plan = rc.GaussianPlan(0.0, 1.0, 1.0, 0.0, 4.0)
    >>> flow = rc.affine_flow(rc.velocity_field(plan))
    >>> flow([0.0, 1.0]).round(12)
    array([1., 3.])
    """
    if not isinstance(field, VelocityField) or not field.differentiable:
        raise ValueError("field must be a differentiable VelocityField, as of a GaussianPlan")
    start, end = real_number("t0", t0), real_number("t1", t1)
    count = whole_number("steps", steps, minimum=1)
    d = field.dim
    node, weight = np.polynomial.legendre.leggauss(STAGES)
    node, weight = (node + 1) / 2, weight / 2
    # a_ij = integral of the j-th Lagrange polynomial from 0 to node_i.
    powers = np.arange(STAGES)
    a = (node[:, None] ** (powers + 1) / (powers + 1)) @ np.linalg.inv(node[:, None] ** powers)
    h = (end - start) / count
    probes = np.concatenate([np.zeros((1, d)), np.eye(d), 2 * np.eye(d)])
    state = np.concatenate([np.zeros((d, 1)), np.eye(d)], axis=1)  # offset, matrix
    log_det = 0.0
    for k in range(count):
        system = np.eye(STAGES * d)
        right = np.empty((STAGES * d, d + 1))
        traces = np.empty(STAGES)
        slopes, shifts = [], []
        for t in start + (k + node) * h:
            values = np.reshape(field(float(t), probes[:, 0] if d == 1 else probes), (-1, d))
            if not np.isfinite(values).all():
                raise ValueError(f"field must be finite, it is not at t = {t:.6g}")
            A = np.reshape(
                field.jacobian(float(t), probes[:1, 0] if d == 1 else probes[:1]), (d, d)
            )
            gap = np.abs(values - values[0] - probes @ A.T).max()
            if gap > CURVED * (1 + np.abs(values).max()):
                raise ValueError(f"field must be affine, at t = {t:.6g} it is off by {gap:.2g}")
            slopes.append(A)
            shifts.append(values[0])
        # Stage derivatives F_i = A_i (state + h sum_j a_ij F_j) + b_i.
        for i in range(STAGES):
            rows = slice(i * d, (i + 1) * d)
            right[rows] = slopes[i] @ state
            right[rows, 0] += shifts[i]
            traces[i] = np.trace(slopes[i])
            for j in range(STAGES):
                system[rows, j * d : (j + 1) * d] -= h * a[i, j] * slopes[i]
        stages = np.linalg.solve(system, right).reshape(STAGES, d, d + 1)
        state = state + h * np.tensordot(weight, stages, 1)
        log_det += h * float(weight @ traces)
    sign, exact = np.linalg.slogdet(state[:, 1:])
    if sign > 0 and np.isfinite(exact):
        log_det = float(exact)
    return AffineFlow(frozen(state[:, 1:]), frozen(state[:, 0]), log_det)
