"""Wasserstein distances between Gaussians, and between Gaussian mixtures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, frozen, real_array


def bures_wasserstein(m0: ArrayLike, S0: ArrayLike, m1: ArrayLike, S1: ArrayLike) -> Any:
    """W_2 between the Gaussians N(m0, S0) and N(m1, S1), singular covariances included.

    W_2^2 = |m0 - m1|^2 + tr(S0 + S1 - 2 (S1^1/2 S0 S1^1/2)^1/2) = |m0 - m1|^2 + |L0 - L1 U|^2

    with S = L L' and U the orthogonal polar factor of L1' L0. The second form has no cancellation.

    Parameters
    ----------
    m0, m1 : array_like, shape (..., D)
        Means.
    S0, S1 : array_like, shape (..., D, D)
        Covariances, symmetric and positive semidefinite. Leading axes broadcast.

    Returns
    -------
    float or numpy.ndarray
        The distance; an array of the broadcast leading shape if there are leading axes.

    Raises
    ------
    ValueError
        For entries that are not finite, shapes that do not fit, and covariances that are not
        symmetric or have an eigenvalue below -1e-12 of their greatest.

    Notes
    -----
    Accuracy: absolute error of a few ulp of the greatest standard deviation: a relative distance of
    1e-9 has 6 digits, where the trace has none. Eigenvalues below D ulp of the greatest count as 0.
    Cost: O(D^3). Source: Bhatia, Jain and Lim, Expo. Math. 37 (2019), eq. (5).

    Examples
    --------
    >>> import recouple as rc
    >>> rc.bures_wasserstein([0, 0], [[1, 0], [0, 4]], [3, 0], [[1, 0], [0, 64]])
    6.708203932499369
    """
    shift, left, right = _factored(m0, S0, m1, S1)
    moved = left - right @ _polar(np.swapaxes(right, -1, -2) @ left)
    scale = np.maximum(np.abs(shift).max(-1), np.abs(moved).max((-1, -2)))
    safe = np.where(scale > 0, scale, 1.0)
    total = np.sum((shift / safe[..., None]) ** 2, -1)
    total = total + np.sum((moved / safe[..., None, None]) ** 2, (-1, -2))
    distance = scale * np.sqrt(total)
    return float(distance) if distance.ndim == 0 else distance


@dataclass(frozen=True, slots=True, eq=False)
class BuresMap:
    """The optimal map between Gaussians, T(x) = m1 + matrix (x - m0)."""

    matrix: FloatArray
    m0: FloatArray
    m1: FloatArray

    def __call__(self, x: ArrayLike) -> FloatArray:
        """Move points x of shape (..., D)."""
        points = real_array("x", x)
        if points.ndim == 0 or points.shape[-1] != len(self.m0):
            raise ValueError(f"x must have shape (..., {len(self.m0)}), got {points.shape}")
        moved: FloatArray = self.m1 + (points - self.m0) @ self.matrix.T
        return moved


def bures_map(m0: ArrayLike, S0: ArrayLike, m1: ArrayLike, S1: ArrayLike) -> BuresMap:
    """Optimal map from N(m0, S0) to N(m1, S1) for the squared distance.

    T(x) = m1 + A (x - m0),  A = L1 U L0^+ = S0^-1/2 (S0^1/2 S1 S0^1/2)^1/2 S0^-1/2

    Where S0 is singular A acts on its range and is zero across it; it then carries N(m0, S0) to
    N(m1, S1) only if S1 has no greater rank there.

    Parameters, errors and cost are those of ``bures_wasserstein``, for one pair of Gaussians.

    Examples
    --------
    >>> import recouple as rc
    >>> rc.bures_map([0, 0], [[1, 0], [0, 4]], [3, 0], [[1, 0], [0, 64]])([1, 1]).round(12)
    array([4., 4.])
    """
    shift, left, right = _factored(m0, S0, m1, S1)
    if shift.ndim != 1:
        raise ValueError(f"m0 must have shape (D,), got {np.shape(m0)}")
    first = real_array("m0", m0)
    return BuresMap(frozen(_map(left, right)), frozen(first), frozen(first - shift))


@dataclass(frozen=True, slots=True, eq=False)
class BuresGradient:
    """The distance between two Gaussians and its gradients by means and covariances."""

    distance: float
    m0: FloatArray
    S0: FloatArray
    m1: FloatArray
    S1: FloatArray


def bures_wasserstein_grad(
    m0: ArrayLike, S0: ArrayLike, m1: ArrayLike, S1: ArrayLike, *, power: bool = False
) -> BuresGradient:
    """Gradient of the distance between two Gaussians, or of its square (``power=True``).

    d W^2 = 2 (m0 - m1)'(dm0 - dm1) + tr((I - T01) dS0) + tr((I - T10) dS1),  dW = dW^2 / (2 W)

    with T01, T10 the matrices of the optimal maps. Covariance gradients are symmetric matrices, to
    be paired with symmetric changes by the trace. Where the distance is 0 the gradient is 0; for a
    singular covariance it is the derivative along its range.

    Parameters, errors and cost are those of ``bures_wasserstein``, for one pair of Gaussians.
    Source: Bhatia, Jain and Lim, Expo. Math. 37 (2019), section 3.

    Examples
    --------
    >>> import recouple as rc
    >>> rc.bures_wasserstein_grad([0], [[1]], [0], [[9]]).S0
    array([[-0.5]])
    """
    shift, left, right = _factored(m0, S0, m1, S1)
    if shift.ndim != 1:
        raise ValueError(f"m0 must have shape (D,), got {np.shape(m0)}")
    distance = bures_wasserstein(m0, S0, m1, S1)
    factor = 1.0 if power else 0.0 if distance == 0 else 0.5 / distance
    unit = np.eye(len(shift))
    by_s0 = factor * (unit - _map(left, right))
    by_s1 = factor * (unit - _map(right, left))
    by_m0 = 2 * factor * shift
    value = distance**2 if power else distance
    return BuresGradient(value, *(frozen(a) for a in (by_m0, by_s0, -by_m0, by_s1)))


@dataclass(frozen=True, slots=True, eq=False)
class MixtureDistance:
    """Distance between mixtures and the plan of their components; ``float()`` gives the first."""

    distance: float
    plan: FloatArray

    def __float__(self) -> float:
        return self.distance

    def __repr__(self) -> str:
        n, m = self.plan.shape
        return f"MixtureDistance({self.distance:.6g}, {n} to {m} components)"


def mixture_wasserstein(mix0: Any, mix1: Any) -> MixtureDistance:
    """Wasserstein distance of Gaussian mixtures: optimal among plans that are Gaussian mixtures.

    MW_2^2 = min_{w in Pi(w0, w1)} sum_kl w_kl W_2^2(N(m0_k, S0_k), N(m1_l, S1_l)),  W_2 <= MW_2

    Parameters
    ----------
    mix0, mix1 : Normal, NormalMixture, Gaussian or GaussianMixture
        Or any object with ``weights``, ``means`` and ``covs`` (``stds`` on the line).

    Returns
    -------
    MixtureDistance
        ``.distance``, and ``.plan``, the masses (K0, K1) moved between components.

    Raises
    ------
    ValueError
        If an argument is no Gaussian mixture, or the two differ in dimension.

    Notes
    -----
    Accuracy: that of the transport between components, solved exactly but for rounding by shortest
    augmenting paths. Cost: O(K0 K1 (D^3 + K0 + K1)).
    Source: Delon and Desolneux, SIAM J. Imaging Sci. 13 (2020), Proposition 4.

    Examples
    --------
    >>> import recouple as rc
    >>> rc.mixture_wasserstein(
    ...     rc.NormalMixture([0.5, 0.5], [0, 10], [1, 1]),
    ...     rc.NormalMixture([0.5, 0.5], [13, 3], [1, 1]),
    ... )
    MixtureDistance(3, 2 to 2 components)
    """
    w0, m0, S0 = _components("mix0", mix0)
    w1, m1, S1 = _components("mix1", mix1)
    if m0.shape[1] != m1.shape[1]:
        raise ValueError(f"mix1 must have dimension {m0.shape[1]} as mix0, got {m1.shape[1]}")
    apart = bures_wasserstein(m0[:, None], S0[:, None], m1[None], S1[None])
    scale = float(apart.max()) or 1.0
    plan = _transport(w0, w1, (apart / scale) ** 2)
    distance = scale * float(np.sqrt(np.sum(plan * (apart / scale) ** 2)))
    return MixtureDistance(distance, frozen(plan))


def _components(name: str, mix: Any) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return weights (K,), means (K, D) and covariances (K, D, D)."""
    if all(hasattr(mix, key) for key in ("weights", "means", "covs")):
        means = real_array(f"{name}.means", mix.means)
        means = means.reshape(len(means), -1)
        covs = real_array(f"{name}.covs", mix.covs).reshape(*means.shape, means.shape[1])
        weights = real_array(f"{name}.weights", mix.weights, shape=(len(means),))
    elif all(hasattr(mix, key) for key in ("weights", "means", "stds")):
        means = real_array(f"{name}.means", mix.means).reshape(-1, 1)
        covs = real_array(f"{name}.stds", mix.stds).reshape(-1, 1, 1) ** 2
        weights = real_array(f"{name}.weights", mix.weights, shape=(len(means),))
    elif type(mix).__name__ == "Normal":
        means, covs = np.array([[mix.mean()]]), np.array([[[mix.std() ** 2]]])
        weights = np.ones(1)
    else:
        raise ValueError(f"{name} must be a mixture of Gaussians, got {mix!r}")
    return weights / weights.sum(), means, covs


def _transport(a: FloatArray, b: FloatArray, cost: FloatArray) -> FloatArray:
    """Return the optimal plan (n, m) between masses a and b, for costs >= 0.

    Successive shortest paths with potentials: mass goes from a row along a path of least reduced
    cost, which may take mass back from a column to another row, to a column that still wants some.
    """
    n, m = cost.shape
    flow = np.zeros((n, m))
    supply, demand = a.copy(), b.copy()
    row_potential, column_potential = np.zeros(n), np.zeros(m)
    smallest = 1e-15
    for source in range(n):
        while supply[source] > smallest and demand.max() > smallest:
            rows = np.full(n, np.inf)
            columns = np.full(m, np.inf)
            rows[source] = 0
            from_row, from_column = np.full(m, -1), np.full(n, -1)
            row_done, column_done = np.zeros(n, bool), np.zeros(m, bool)
            while True:
                open_rows = np.where(row_done, np.inf, rows)
                open_columns = np.where(column_done, np.inf, columns)
                i, j = int(open_rows.argmin()), int(open_columns.argmin())
                if open_rows[i] <= open_columns[j]:
                    row_done[i] = True
                    reduced = cost[i] + row_potential[i] - column_potential
                    reach = rows[i] + np.maximum(reduced, 0)
                    better = ~column_done & (reach < columns)
                    columns[better], from_row[better] = reach[better], i
                elif demand[j] > smallest:
                    break
                else:
                    column_done[j] = True
                    better = ~row_done & (flow[:, j] > 0) & (columns[j] < rows)
                    rows[better], from_column[better] = columns[j], j
            length = columns[j]
            row_potential += np.minimum(rows, length)
            column_potential += np.minimum(columns, length)
            path = []
            while True:
                i = int(from_row[j])
                path.append((i, j))
                if i == source:
                    break
                j = int(from_column[i])
            end = path[0][1]
            moved = min(supply[source], demand[end])
            back = [(path[k][0], path[k + 1][1]) for k in range(len(path) - 1)]
            moved = min([moved, *(flow[cell] for cell in back)])
            for cell in path:
                flow[cell] += moved
            for cell in back:
                flow[cell] -= moved
            supply[source] -= moved
            demand[end] -= moved
    return flow


def _factored(
    m0: ArrayLike, S0: ArrayLike, m1: ArrayLike, S1: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return m0 - m1 and factors L of both covariances, L L' = S, with broadcast leading axes."""
    means = real_array("m0", m0), real_array("m1", m1)
    for name, mean in zip(("m0", "m1"), means, strict=True):
        if mean.ndim == 0:
            raise ValueError(f"{name} must have shape (D,), got a number")
    dim = means[0].shape[-1]
    if means[1].shape[-1] != dim:
        raise ValueError(f"m1 must have shape ({dim},) as m0, got {means[1].shape}")
    left, right = _factor("S0", S0, dim), _factor("S1", S1, dim)
    try:
        shape = np.broadcast_shapes(
            *(m.shape[:-1] for m in means), left.shape[:-2], right.shape[:-2]
        )
    except ValueError:
        raise ValueError("m0, S0, m1 and S1 must have leading shapes that broadcast") from None
    shift = np.broadcast_to(means[0] - means[1], (*shape, dim))
    return shift, left, right


def _factor(name: str, S: ArrayLike, dim: int) -> FloatArray:
    cov = real_array(name, S)
    if cov.shape[-2:] != (dim, dim):
        raise ValueError(f"{name} must have shape (..., {dim}, {dim}), got {cov.shape}")
    size = np.abs(cov).max((-1, -2))
    skew = np.abs(cov - np.swapaxes(cov, -1, -2)).max((-1, -2))
    if (skew > 1e-12 * size).any():
        raise ValueError(f"{name} must be symmetric, it is off by {skew.max():g}")
    values, vectors = np.linalg.eigh((cov + np.swapaxes(cov, -1, -2)) / 2)
    greatest = np.abs(values).max(-1, keepdims=True)
    if (values < -1e-12 * greatest).any():
        raise ValueError(
            f"{name} must be positive semidefinite, its smallest eigenvalue is {values.min():g}"
        )
    rounding = dim * np.finfo(float).eps * greatest
    factor: FloatArray = vectors * np.sqrt(np.where(values > rounding, values, 0))[..., None, :]
    return factor


def _polar(matrix: FloatArray) -> FloatArray:
    """Return the orthogonal factor of the polar decomposition (one of them if singular)."""
    left, _, right = np.linalg.svd(matrix)
    factor: FloatArray = left @ right
    return factor


def _map(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return the matrix L1 U L0^+ of the optimal map; the columns of L0 are orthogonal."""
    squares = np.sum(left**2, axis=0)
    inverse = left.T * np.divide(1, squares, out=np.zeros_like(squares), where=squares > 0)[:, None]
    matrix = right @ _polar(right.T @ left) @ inverse
    symmetric: FloatArray = (matrix + matrix.T) / 2
    return symmetric
