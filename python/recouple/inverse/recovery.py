"""What a recovery returns: the plan, its verdict, its error bars, and how it was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, frozen, whole_number
from recouple.inverse import functional
from recouple.inverse.dual import Options, Problem, Stage
from recouple.inverse.errorbar import ErrorBar
from recouple.inverse.identifiability import alternatives
from recouple.inverse.moment import MixedMoments
from recouple.marginal import Empirical, Marginal, Normal, NormalMixture
from recouple.plan import GridPlan, MixturePlan, Plan

TAILS = np.array([1e-2, 1e-4, 1e-6])
SAMPLED_TAILS = np.array([0.2, 0.04, 0.008])  # of samples: .72 normal, 1 exponential, 4.9 Cauchy
SAMPLED_HEAVY = 1.5  # which the quantiles of a thousand draws of lighter tails do not reach
NEAR, HEAVY = 0.9, 1.1  # growth of quantile steps: .74 normal, 1 exponential, 1.35 lognormal(.5)


@dataclass(frozen=True, eq=False)
class Residuals:
    """What the recovered plan leaves unexplained.

    ``moments``: root mean square of the misfit of what was fitted (on the line spline moments, or
    the masses of bins; slopes relative to their size for Gaussian plans, the field for mixtures);
    ``per_time``: the same at each time; ``field``: sqrt(E|v_plan - v|^2 / E|v|^2) along
    trajectories of v (None for snapshots);
    ``mismatch``: root mean square difference between the cdfs that the two ends give (None unless
    both ends are known): 0 for a field that carries the source to the target.
    """

    moments: float
    per_time: FloatArray
    field: float | None
    mismatch: float | None


class Estimator(Protocol):
    """What stays behind of a recovery to estimate functionals of its plan; it pickles."""

    def expectations(
        self, functions: Sequence[Callable[[FloatArray, FloatArray], ArrayLike]]
    ) -> list[ErrorBar]:
        """Return E[f(X0, X1)] for each function, with its error bar."""


@dataclass(frozen=True, eq=False)
class Recovery:
    """A recovered plan, what it is worth, and how it was found.

    Attributes
    ----------
    plan : Plan
        The recovered joint law of (X0, X1): a :class:`GridPlan` from family "line".
    family : str
        The family it was sought in.
    evidence : tuple of str
        Why that family and that verdict: one finding a line.
    verdict : str
        ``"unique"``: on the line the field and the source determine the plan (Korotin & Pammer
        2025), given an exponential moment. ``"representative"``: a tail looks heavier than that, or
        the data are snapshots at finitely many times; the plan is one of those that fit, the
        closest to the reference. ``"unique in family"``: no other plan of the family has this
        field and source, but plans outside it do. ``reason`` says what the verdict rests on.
    status : str
        ``"converged"``; ``"inconsistent"``: no plan has this field and these ends;
        ``"stalled"``, ``"failed"``, ``"interrupted"``: what stopped the work. ``message`` puts it
        in a sentence.
    residuals : Residuals
    error_bars : dict of str to ErrorBar
        Correlation and mixed moments; :meth:`expectation` gives those of any functional.
    settings : dict
        Every choice made, automatic or not.
    history : tuple of Stage
    mixture : MixturePlan or None
        A Gaussian mixture fitted to the path, where one was.
    p_values : dict of str to float
        Of the tests that could have rejected the family, by name; ``evidence`` says them in words.
    aperture : float or None
        On the line, in degrees: the angle, of the 180 that there are, over which the data view the
        whitened plan. At times 0 to 1 it is arccos of the correlation.
    """

    plan: Any  # a Plan; of which kind depends on the family
    family: str
    verdict: str
    reason: str
    status: str
    message: str
    residuals: Residuals
    error_bars: dict[str, ErrorBar]
    settings: dict[str, Any]
    history: tuple[Stage, ...]
    estimator: Estimator = dataclass_field(repr=False)
    evidence: tuple[str, ...] = ()
    mixture: MixturePlan | None = None
    mixed_moments: MixedMoments | None = dataclass_field(default=None, repr=False)
    p_values: dict[str, float] = dataclass_field(default_factory=dict)
    aperture: float | None = None

    def moments(self, order: int) -> MixedMoments:
        """Return the mixed moments E[X0^i X1^j] up to an order, from the moments of X_t alone.

        They owe nothing to the reference measure: a check of the plan, with their conditioning.

        Raises
        ------
        ValueError
            If the order is not between 1 and what the times allow (at most 8), or the family
            reads no moments.
        """
        if self.mixed_moments is None:
            raise ValueError(
                f"moments are read from the path by family 'line', got {self.family!r}: those of "
                "the plan itself come from plan.moment, any others from expectation()"
            )
        most = len(self.mixed_moments.condition) - 1
        order = whole_number("order", order, minimum=1, maximum=most)
        return self.mixed_moments.up_to(order)

    def expectation(self, function: Callable[[FloatArray, FloatArray], ArrayLike]) -> ErrorBar:
        """Return E[function(X0, X1)] with its error bar.

        Parameters
        ----------
        function : callable
            Takes arrays x0 and x1 of one shape, returns values of that shape. On a grid it is
            evaluated at a thousand points a side: that a jump is seen no better is part of the
            error. :meth:`probability` is exact.
        """
        return self.estimator.expectations([function])[0]

    def probability(
        self, x0: ArrayLike = (-np.inf, np.inf), x1: ArrayLike = (-np.inf, np.inf)
    ) -> ErrorBar:
        """Return P(X0 and X1 within two intervals) with its error bar, for a plan on a grid.

        Parameters
        ----------
        x0, x1 : (low, high)
            Either end may be infinite.

        Raises
        ------
        ValueError
            If low < high fails, or the plan is not on a grid: of others :meth:`expectation`.

        Examples
        --------
        >>> import recouple as rc
        >>> plan = rc.GaussianPlan(0.0, 0.0, 1.0, 0.0, 1.0)
        >>> rec = rc.recover_plan(rc.velocity_field(plan), plan.source, family="line", grid=48)
        >>> round(rec.probability(x0=(0, 9), x1=(0, 9)).value, 4)
        0.25
        """
        return functional.probability(self.plan, self.estimator, x0, x1)

    def density(self, edges0: ArrayLike, edges1: ArrayLike) -> ErrorBar:
        """Return the density between edges, P(cell) / area, with its error bars.

        The mean over a cell: of the density at a point no data at finite accuracy tell anything.

        Parameters
        ----------
        edges0, edges1 : arrays of shapes (n0 + 1,), (n1 + 1,)
            Increasing edges along x0 and along x1.

        Returns
        -------
        ErrorBar of arrays (n0, n1)

        Raises
        ------
        ValueError
            If edges do not increase, or the plan is not on a grid.
        """
        return functional.density(self.plan, self.estimator, edges0, edges1)

    def conditional_mean(self, x0: ArrayLike, width: float | None = None) -> ErrorBar:
        r"""Return :math:`E[X_1 \mid |X_0 - x_0| \le w / 2]` with its error bar.

        Parameters
        ----------
        x0 : number or array
            Where the plan, which must be on a grid, has mass.
        width : float, optional
            w, by default a quarter of the standard deviation of X0. What the data tell of a point
            they tell of its neighbours: errors grow as the window narrows.

        Returns
        -------
        ErrorBar, of arrays shaped like ``x0``

        Raises
        ------
        ValueError
            If no mass is near x0, or the plan is not on a grid: others have ``conditional(x0)``.
        """
        return functional.conditional_mean(self.plan, self.estimator, x0, width)

    def conditional_quantile(
        self, x0: ArrayLike, level: float = 0.5, width: float | None = None
    ) -> ErrorBar:
        """Return the quantile of X1 given that X0 is near x0, with its error bar.

        The error is that of the level, carried to the axis by the quantiles on either side of it.

        Parameters
        ----------
        x0, width
            As in :meth:`conditional_mean`.
        level : float
            Between 0 and 1.

        Returns
        -------
        ErrorBar, of arrays shaped like ``x0``

        Raises
        ------
        ValueError
            If the level is out of range, no mass is near x0, or the plan is not on a grid.
        """
        return functional.conditional_quantile(self.plan, self.estimator, x0, level, width)

    def alternatives(
        self, n: int = 3, rng: int | np.random.Generator | None = 0
    ) -> tuple[MixturePlan, ...]:
        """Return up to n other plans with the same path p_t and the same field v.

        Mixtures, of a recovered Gaussian or mixture plan: what v cannot tell. On the line, where
        v determines the plan whatever its kind, none.

        Parameters
        ----------
        n : int
        rng : int, Generator or None
            Draws the antisymmetric parts in which they differ.

        Raises
        ------
        ValueError
            If the plan is of another kind: a free plan is itself one of many.
        """
        return alternatives(self.plan, n, rng)

    def __repr__(self) -> str:
        name, bar = next(iter(self.error_bars.items()), ("plan", repr(self.plan)))
        return (
            f"Recovery({self.verdict}, {self.status}, {name} {bar}, moment residual "
            f"{self.residuals.moments:.1e})"
        )

    def summary(self) -> str:
        """Return the findings as a text: a dozen lines, and the parameters where they are few."""
        lines = [
            f"recovered plan    {_shape_of(self.plan)}",
            f"verdict           {self.verdict}: {self.reason}",
            f"status            {self.status}: {self.message}",
            f"moment residual   {self.residuals.moments:.2e} (worst time "
            f"{self.residuals.per_time.max():.2e})",
        ]
        if self.residuals.field is not None:
            lines.append(f"field consistency {self.residuals.field:.2e}")
        if self.residuals.mismatch is not None:
            lines.append(f"two-sided mismatch {self.residuals.mismatch:.2e}")
        if self.aperture is not None:
            lines.append(f"aperture          {self.aperture:.1f} of 180 degrees")
        for name, bar in self.error_bars.items():
            lines += [f"{'' if k else name:<17} {text}" for k, text in enumerate(bar.lines())]
        if any(np.isfinite(bar.error).any() for bar in self.error_bars.values()):
            lines.append("error bars        +- one standard error")
        chosen = ", ".join(
            f"{k} = {v:.3g}" if isinstance(v, float) else f"{k} = {v}"
            for k, v in self.settings.items()
        )
        lines += [f"evidence          {finding}" for finding in self.evidence]
        lines.append(f"settings          {chosen}")
        return "\n".join(lines)


def _shape_of(plan: Plan) -> str:
    if not isinstance(plan, GridPlan):
        return repr(plan)
    ends = (f"x{i} in [{x[0]:.4g}, {x[-1]:.4g}]" for i, x in enumerate((plan.x0, plan.x1)))
    return f"{len(plan.x0)} x {len(plan.x1)} grid, {', '.join(ends)}"


def aperture_of(plan: Plan, times: FloatArray) -> float:
    """Return the angle in degrees between the first and the last view of the whitened plan."""
    first, last = (np.array([1 - t, t]) for t in (times[0], times[-1]))
    cov = plan.cov
    area = np.sqrt(max(np.linalg.det(cov), 0.0)) * (times[-1] - times[0])
    return float(np.degrees(np.arctan2(area, first @ cov @ last)))


def grid_plan(problem: Problem) -> GridPlan:
    """Return the plan of a solved problem."""
    mass = problem.dual().mass().reshape(len(problem.x0), len(problem.x1))
    return GridPlan(problem.x0, problem.x1, mass)


def tail_index(quantiles: FloatArray, levels: FloatArray) -> float:
    r"""Return the index of a tail from its quantiles at three levels, each r times the next.

    .. math:: \xi = \log\frac{q_3 - q_2}{q_2 - q_1} \Big/ \log r

    Exact for generalised Pareto laws, among them powers, P(X > x) ~ x^(-1/xi), with moments below
    the order 1 / xi; the exponential, 0; the uniform law, -1. Others tend to theirs as the levels
    fall, normal laws slowly, to 0 from below. Source: Pickands (1975), with quantiles for order
    statistics.
    """
    near, far = abs(quantiles[1] - quantiles[0]), abs(quantiles[2] - quantiles[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.log(far / near) / np.log(levels[0] / levels[1]))


def verdict_of(ends: Sequence[Marginal | FloatArray]) -> tuple[str, str]:
    """Return the verdict for a field, and its reason, from what is known of both ends.

    Each end is its law, or its quantiles at TAILS and 1 - TAILS where only the flow knows it.
    Uniqueness asks for an exponential moment. Between the levels 1e-2, 1e-4 and 1e-6 the quantiles
    of an exponential tail take equal steps, those of lighter tails smaller ones: a sign, no proof.
    :func:`tail_index` puts the growth of the steps in the usual terms.
    """
    growth, index = 0.0, 0.0
    for end in ends:
        if isinstance(end, Normal | NormalMixture):
            continue  # lighter than exponential, however wide a component
        sampled = isinstance(end, Empirical)
        levels = SAMPLED_TAILS if sampled else TAILS
        q = end if isinstance(end, np.ndarray) else end.ppf(np.concatenate([levels, 1 - levels]))
        for tail in (q[:3], q[3:]):
            near, far = abs(tail[1] - tail[0]), abs(tail[2] - tail[1])
            if far > near * max(growth, SAMPLED_HEAVY if sampled else NEAR) and near > 0:
                growth, index = float(far / near), tail_index(tail, levels)
    found = f"tail index {index:.2f}, of an exponential 0; its quantile steps grow by {growth:.2f}"
    if growth > HEAVY:
        return "representative", (
            "uniqueness on the line asks for an exponential moment, and a tail looks heavier than "
            f"exponential ({found}): this plan is one that fits"
        )
    if growth > NEAR:
        return "unique", (
            "on the line the field and the source determine the plan; but a tail looks close to "
            f"exponential ({found}), where the hidden directions hang by a thread: a small "
            "residual does not vouch for them"
        )
    if any(isinstance(end, Empirical) for end in ends):
        return "unique", (
            "on the line the field and the source determine the plan if both ends have an "
            "exponential moment, which samples cannot show"
        )
    return "unique", (
        "on the line the field and the source determine the plan: both ends have the exponential "
        "moment this rests on, as far as their quantiles show"
    )


def finish(
    problem: Problem,
    history: tuple[Stage, ...],
    status: str,
    message: str,
    settings: dict[str, Any],
    *,
    verdict: str,
    reason: str,
    field: float | None = None,
    mismatch: float | None = None,
) -> Recovery:
    """Turn a solved problem into a result."""
    misfit = (problem.dual().moments(problem.threads) - problem.moments).reshape(
        len(problem.times), -1
    )
    per_time = np.sqrt(np.mean(misfit**2, axis=1))
    plan = grid_plan(problem)
    x, y = np.meshgrid(problem.x0, problem.x1, indexing="ij")
    names = ["E[X0 X1]", "E[X0^2 X1]", "E[X0 X1^2]"]
    values = [x * y, x * x * y, x * y * y, _influence(plan, x, y)]
    *bars, correlation = problem.bars(np.stack([v.reshape(-1) for v in values]))
    correlation = replace(correlation, value=float(plan.correlation))
    residuals = Residuals(
        moments=float(np.sqrt(np.mean(misfit**2))),
        per_time=frozen(per_time),
        field=field,
        mismatch=mismatch,
    )
    return Recovery(
        plan=plan,
        family="line",
        verdict=verdict,
        reason=reason,
        status=status,
        message=message,
        residuals=residuals,
        error_bars={"correlation": correlation, **dict(zip(names, bars, strict=True))},
        settings=settings,
        history=history,
        estimator=problem,
        aperture=aperture_of(plan, problem.times),
    )


def _influence(plan: GridPlan, x: FloatArray, y: FloatArray) -> FloatArray:
    """What a mass at (x, y) moves the correlation by."""
    (mean0, mean1), cov = plan.mean, plan.cov
    z0, z1 = (x - mean0) / np.sqrt(cov[0, 0]), (y - mean1) / np.sqrt(cov[1, 1])
    values: FloatArray = z0 * z1 - 0.5 * float(plan.correlation) * (z0**2 + z1**2)
    return values


def settings_of(
    options: Options, problem: Problem, history: tuple[Stage, ...], **others: Any
) -> dict[str, Any]:
    """Return every choice made, automatic or not."""
    return {
        "grid": options.grid,
        "times": len(problem.times),
        "splines": options.splines,
        "degree": options.degree,
        "regularization": history[-1].regularization,
        "tail": options.tail,
        **others,
    }
