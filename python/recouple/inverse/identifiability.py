r"""What a field does not tell: moments out of its sight, pairs of plans it cannot tell apart.

(p_t, v) for all t fix the joint characteristic function and its gradient on the cone of pairs of
parallel frequencies, and nothing else. On the line the cone is everything. For D >= 2 every
perturbation P^2 psi with :math:`P = \partial_{x_i} \partial_{y_j} - \partial_{x_j} \partial_{y_i}`
is invisible: P kills functions of (1-t) x + t y and maps (y - x) times them to gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple import _core
from recouple.arguments import (
    FloatArray,
    frozen,
    generator,
    real_number,
    whole_number,
)
from recouple.interpolant import LINEAR, Interpolant
from recouple.plan import Gaussian, GaussianPlan, MixturePlan, Plan
from recouple.plan.base import Points, Rng

LARGEST = 0.07  # of the smooth perturbation: the density stays positive below 1 / 14.28
KINDS = ("rotation", "skew", "smooth")


@dataclass(frozen=True, eq=False)
class Identifiability:
    """Which mixed moments of one order a field determines.

    ``powers`` (n, 2 D) are the exponents of (X0, X1); the field fixes ``rank`` combinations of
    these moments, and each row of ``null_space`` (nullity, n) is a change of them it does not see.
    """

    dim: int
    order: int
    powers: FloatArray
    rank: int
    null_space: FloatArray
    field: bool

    @property
    def nullity(self) -> int:
        """Number of independent changes of the moments that stay unseen."""
        return len(self.null_space)

    def __repr__(self) -> str:
        seen = "p_t and v" if self.field else "p_t"
        return (
            f"Identifiability(order {self.order} in R^{self.dim}: {seen} fix {self.rank} of "
            f"{len(self.powers)} moments)"
        )


def identifiability(order: int, dim: int, *, field: bool = True) -> Identifiability:
    r"""Find which moments of (X0, X1) a field and its path determine, by computation.

    At order n they determine :math:`E[Z_i (\xi \cdot X_t)^{n-1}]` for Z in (X0, X1), every t and
    every direction; the rank of these functionals over the moments of order n is computed.

    Parameters
    ----------
    order : int
        Order n of the moments, 1 to 8.
    dim : int
        Dimension D.
    field : bool
        False: from the path p_t alone, that is :math:`E[(\xi \cdot X_t)^n]`.

    Returns
    -------
    Identifiability

    Raises
    ------
    ValueError
        If there are more than 5000 moments of this order.

    Notes
    -----
    Order 4 has nullity D^2 (D^2 - 1) / 12; orders up to 3 have none, so that Cov(X0, X1) is
    determined whatever the plan. Cost: a singular value decomposition, O(n^3) for n moments.

    Examples
    --------
    >>> import recouple as rc
    >>> rc.identifiability(2, 2).nullity, rc.identifiability(4, 2).nullity
    (0, 1)
    >>> rc.identifiability(2, 2, field=False)
    Identifiability(order 2 in R^2: p_t fix 9 of 10 moments)
    """
    n = whole_number("order", order, minimum=1, maximum=8)
    d = whole_number("dim", dim, minimum=1, maximum=64)
    count = factorial(2 * d + n - 1) // (factorial(n) * factorial(2 * d - 1))
    if count > 5000:
        raise ValueError(
            f"order and dim must leave at most 5000 moments, got {count} of order {n} in R^{d}"
        )
    chosen = list(combinations_with_replacement(range(2 * d), n))
    powers = np.array([np.bincount(c, minlength=2 * d) for c in chosen])
    position = {tuple(p): k for k, p in enumerate(powers)}
    lower = np.array(
        [
            np.bincount(c, minlength=2 * d)
            for c in combinations_with_replacement(range(2 * d), n - 1)
        ]
    )
    rng = np.random.default_rng(0)
    # Directions on the cone (a xi, b xi), a and b over a half turn: analytic, so any arc does.
    directions = 2 * len(powers)
    angle = np.pi * (np.arange(directions) + 0.5) / directions
    xi = rng.standard_normal((directions, d))
    xi /= np.linalg.norm(xi, axis=1, keepdims=True)
    along = np.concatenate([np.cos(angle)[:, None] * xi, np.sin(angle)[:, None] * xi], axis=1)
    if field:
        factors = _powers_of(along, lower)  # E[Z_i (along . Z)^(n-1)]
        rows = np.zeros((2 * d, directions, len(powers)))
        for k, alpha in enumerate(lower):
            for i in range(2 * d):
                raised = alpha.copy()
                raised[i] += 1
                rows[i, :, position[tuple(raised)]] += factors[:, k]
        matrix = rows.reshape(-1, len(powers))
    else:
        matrix = _powers_of(along, powers)
    # Moments scaled by the roots of their multinomials make the rows well conditioned.
    scale = np.sqrt(np.array([_multinomial(p) for p in powers]))
    _, s, vt = np.linalg.svd(np.linalg.qr(matrix / scale, mode="r"))
    rank = int(np.sum(s > 1e-9 * s[0]))
    return Identifiability(d, n, frozen(powers), rank, frozen(vt[rank:] / scale), field)


def _multinomial(powers: Any) -> float:
    out = factorial(int(sum(powers)))
    for p in powers:
        out //= factorial(int(p))
    return float(out)


def _powers_of(along: FloatArray, powers: Any) -> FloatArray:
    """Coefficients of (along . z)^n over the monomials z^powers."""
    columns = [_multinomial(p) * np.prod(along**p, axis=1) for p in powers]
    return np.stack(columns, axis=1)


def ambiguous_pair(
    kind: str = "rotation",
    dim: int = 2,
    *,
    plan: GaussianPlan | None = None,
    amount: float | None = None,
    rng: Rng = 0,
) -> tuple[Plan, Plan]:
    r"""Two different plans with the same path p_t and the same field v, for teaching and tests.

    Parameters
    ----------
    kind : {"rotation", "skew", "smooth"}
        ``"rotation"``: X0 and X1 independent and standard normal, and X1 = +-J X0 with a fair coin,
        J a quarter turn of pairs of coordinates. ``"skew"``: a Gaussian plan, and a mixture of two
        that differ from it by opposite antisymmetric parts of C. ``"smooth"``: N(0, I), and
        :math:`N(0, I) + \epsilon P^2 N(0, I/2)`, which has all moments and a smooth density.
    dim : int
        At least 2; even for "rotation", 2 for "smooth".
    plan : GaussianPlan, optional
        The first of the pair, for "skew"; default standard normal ends with a random C.
    amount : float, optional
        For "skew" the part, between 0 and 1, of the largest antisymmetric change; for "smooth" the
        epsilon, at most 0.07. Default: half of the largest.
    rng : int, Generator or None
        Draws the change of "skew".

    Returns
    -------
    (Plan, Plan)

    Raises
    ------
    ValueError
        If the kind is unknown, or ``dim`` or ``amount`` out of range.

    Examples
    --------
    >>> import numpy as np, recouple as rc
    >>> one, two = rc.ambiguous_pair("skew")
    >>> x = np.array([[1.0, -0.5]])
    >>> np.allclose(one.velocity(0.3, x), two.velocity(0.3, x), atol=1e-12)
    True
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    d = whole_number("dim", dim, minimum=2)
    eye = np.eye(d)
    if kind == "rotation":
        if d % 2:
            raise ValueError(f"dim must be even for a quarter turn, got {d}")
        turn = np.kron(np.eye(d // 2), np.array([[0.0, -1.0], [1.0, 0.0]]))
        covs = [np.block([[eye, s * turn.T], [s * turn, eye]]) for s in (1, -1)]
        zero = np.zeros(d)
        first = GaussianPlan(zero, zero, eye, np.zeros((d, d)), eye)
        return first, MixturePlan([0.5, 0.5], np.zeros((2, 2 * d)), covs)
    if kind == "smooth":
        if d != 2:
            raise ValueError(f"dim must be 2 for the smooth pair, got {d}")
        epsilon = LARGEST / 2 if amount is None else amount
        zero = np.zeros(2)
        return GaussianPlan(zero, zero, eye, np.zeros((2, 2)), eye), RippledPlan(epsilon)
    generate = generator(rng)
    if plan is None:
        g = generate.standard_normal((d, d))
        zero = np.zeros(d)
        plan = GaussianPlan(zero, zero, eye, 0.5 * g / np.linalg.norm(g, 2), eye)
    if not isinstance(plan, GaussianPlan):
        raise ValueError(f"plan must be a GaussianPlan, got {type(plan).__name__}")
    part = 0.5 if amount is None else real_number("amount", amount, positive=True, maximum=1)
    split = _split(plan, part, generate)
    if split is None:
        raise ValueError(
            "plan must leave room for an antisymmetric change of C: its joint covariance is "
            "singular along every one that was tried"
        )
    return plan, split


def alternatives(plan: Plan, n: int = 3, rng: Rng = 0) -> tuple[MixturePlan, ...]:
    """Return other plans with the path and the field of a Gaussian or a mixture plan.

    Each component N(H + W) is replaced by equal shares of N(H + W + A) and N(H + W - A), A
    antisymmetric: the field does not see A. Empty where there is no room (on the line, or where
    the joint covariance is singular along every A that was tried).
    """
    count, generate = whole_number("n", n), generator(rng)
    if plan.dim == 1:
        return ()
    if not isinstance(plan, MixturePlan):
        raise ValueError(
            "plan must be Gaussian or a mixture for its components to be split, got "
            f"{type(plan).__name__}: a free plan is one of many as it is, and ambiguous_pair() "
            "shows how far two with one field can be apart"
        )
    found: list[MixturePlan] = []
    for _ in range(count):
        split = _split(plan, float(generate.uniform(0.3, 0.95)), generate)
        if split is None:
            break
        found.append(split)
    return tuple(found)


def _split(plan: MixturePlan, part: float, rng: np.random.Generator) -> MixturePlan | None:
    """Split every component along an antisymmetric direction, as far as ``part`` of its room."""
    d = plan.dim
    weights, means, covs = [], [], []
    some = False
    for w, m, cov in zip(plan.weights, plan.means, plan.covs, strict=True):
        change = np.zeros((2 * d, 2 * d))
        for _ in range(20):
            g = rng.standard_normal((d, d))
            turn = g - g.T
            change[:d, d:], change[d:, :d] = turn, turn.T
            room = _room(cov, change)
            if room > 1e-6 * np.sqrt(np.trace(cov[:d, :d]) * np.trace(cov[d:, d:])):
                break
        else:
            weights.append(w)
            means.append(m)
            covs.append(cov)
            continue
        some = True
        for sign in (1, -1):
            weights.append(w / 2)
            means.append(m)
            covs.append(cov + sign * part * room * change)
    return MixturePlan(weights, np.array(means), np.array(covs)) if some else None


def _room(cov: FloatArray, change: FloatArray) -> float:
    """Return the largest s with cov +- s change positive semidefinite."""
    try:
        inverse = np.linalg.inv(np.linalg.cholesky(cov))
    except np.linalg.LinAlgError:
        return 0.0
    size = np.abs(np.linalg.eigvalsh(inverse @ change @ inverse.T)).max()
    return float(1 / size)


class RippledPlan(Plan):
    r"""N(0, I4) + epsilon P^2 N(0, I4 / 2): the path and the field of N(0, I4), another law.

    With P = d_{x1} d_{y2} - d_{x2} d_{y1}. The density relative to N(0, I4) is
    :math:`1 + 4 \epsilon e^{-|z|^2/2} q(x, y)`, q a polynomial of degree 4, positive for epsilon
    up to 0.07.
    """

    epsilon: float
    _fields = ("epsilon",)

    def __init__(self, epsilon: float):
        value = real_number("amount", epsilon, positive=True, maximum=LARGEST)
        self._set(dim=2, epsilon=value)

    @property
    def _flat(self) -> GaussianPlan:
        zero, eye = np.zeros(2), np.eye(2)
        return GaussianPlan(zero, zero, eye, np.zeros((2, 2)), eye)

    def _ratio(self, x: FloatArray, y: FloatArray) -> FloatArray:
        hx, hy = 4 * x**2 - 2, 4 * y**2 - 2
        q = hx[:, 0] * hy[:, 1] + hx[:, 1] * hy[:, 0] - 32 * np.prod(x, 1) * np.prod(y, 1)
        size = np.sum(x**2, axis=1) + np.sum(y**2, axis=1)
        out: FloatArray = 1 + 4 * self.epsilon * np.exp(-size / 2) * q
        return out

    def pdf(self, x0: ArrayLike, x1: ArrayLike) -> Any:
        """Density at pairs (n, 2), (n, 2)."""
        p, q = Points("x0", x0, 2), Points("x1", x1, 2)
        if len(p) != len(q):
            raise ValueError(f"x0 and x1 must have equally many points, got {len(p)}, {len(q)}")
        normal = self._flat.pdf(p.rows, q.rows)
        return p.restore(normal * self._ratio(p.rows, q.rows), rank=0)

    @property
    def mean(self) -> FloatArray:
        """Mean of (X0, X1)."""
        return np.zeros(4)

    @property
    def cov(self) -> FloatArray:
        """Covariance of (X0, X1): the identity, for the ripple starts at order 4."""
        return np.eye(4)

    def marginal(self, t: float, interpolant: Interpolant = LINEAR) -> Gaussian:
        """Law of X_t: that of independent ends."""
        law: Gaussian = self._flat.marginal(t, interpolant)
        return law

    def _field(self, interpolant: Interpolant) -> _core.Field:
        return self._flat._field(interpolant)

    def _local(
        self, t: float, x: FloatArray, interpolant: Interpolant
    ) -> tuple[FloatArray, FloatArray]:
        raise ValueError("a rippled plan does not tell its conditional covariance")

    def _log_density(self, t: float, x: FloatArray, interpolant: Interpolant) -> FloatArray:
        return self._flat._log_density(t, x, interpolant)

    def sample(self, n: int, rng: Rng = None) -> tuple[FloatArray, FloatArray]:
        """Draw n pairs."""
        generate, count = generator(rng), whole_number("n", n)
        x0 = generate.standard_normal((count, 2))
        return x0, self._draw(x0, generate)

    def _draw(self, x0: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Rejection from the normal: p_1 given X0 has the ratio as its density."""
        x1 = np.empty_like(x0)
        waiting = np.arange(len(x0))
        bound = 1 + 32 * self.epsilon  # the largest ratio
        while waiting.size:
            trial = rng.standard_normal((len(waiting), 2))
            accepted = bound * rng.random(len(waiting)) < self._ratio(x0[waiting], trial)
            x1[waiting[accepted]] = trial[accepted]
            waiting = waiting[~accepted]
        return x1

    def sample_conditional(self, x0: ArrayLike, rng: Rng = None) -> Any:
        """Draw one X1 given each X0."""
        points = Points("x0", x0, 2)
        return points.restore(self._draw(points.rows, generator(rng)))

    def conditional(self, x0: ArrayLike) -> Any:
        """Not a law with a name: draw from it by :meth:`sample_conditional`."""
        raise ValueError("a rippled plan's conditional laws have no closed form: draw from them")

    def reverse(self) -> RippledPlan:
        """Return the plan of (X1, X0): the same, for P changes sign and comes twice."""
        return self

    def _moment(self, powers: tuple[int, ...]) -> float:
        # E f = E_N f + epsilon E_{N(0, I/2)} P^2 f, exactly, on monomials f.
        normal = float(self._flat._moment(powers))
        x1, x2, y1, y2 = powers
        total = 0.0
        for factor, drop in ((1, (2, 0, 0, 2)), (-2, (1, 1, 1, 1)), (1, (0, 2, 2, 0))):
            term = float(factor)
            for power, times in zip((x1, x2, y1, y2), drop, strict=True):
                for k in range(times):
                    term *= power - k
                rest = power - times
                if rest < 0 or rest % 2:
                    term = 0.0
                    break
                term *= _double_factorial(rest - 1) * 0.5 ** (rest // 2)
            total += term
        return normal + self.epsilon * total

    def __repr__(self) -> str:
        return f"RippledPlan({self.epsilon:g})"


def _double_factorial(n: int) -> float:
    return float(np.prod(np.arange(n, 0, -2))) if n > 0 else 1.0
