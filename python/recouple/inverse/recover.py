"""One entry for every family of plans: look at the field, choose the family, hand over."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from recouple.arguments import real_number
from recouple.field import VelocityField, as_field
from recouple.inverse.automatic import recover_automatically
from recouple.inverse.components import recover_mixture
from recouple.inverse.descent import recover_on_grid
from recouple.inverse.end import dimension_of
from recouple.inverse.free import recover_free
from recouple.inverse.gaussian import affine_data, recover_gaussian
from recouple.inverse.graph import recover_graph
from recouple.inverse.parsimony import recover_in_space
from recouple.inverse.recovery import Recovery
from recouple.inverse.repeat import REMAINS, disagreement, with_disagreement
from recouple.progress import Progress

# family -> the dimensions it covers (None: any) and the function that recovers it
FAMILIES: dict[str, tuple[int | None, Callable[..., Recovery]]] = {
    "free": (None, recover_free),
    "gaussian": (None, recover_gaussian),
    "graph": (1, recover_graph),
    "line": (1, recover_on_grid),
    "mixture": (None, recover_mixture),
}


def recover_plan(
    field: VelocityField | Callable[[Any, Any], Any] | tuple[ArrayLike, ArrayLike, ArrayLike],
    source: Any,
    target: Any = None,
    *,
    family: str = "auto",
    num_threads: int | None = None,
    progress: Progress = None,
    **options: Any,
) -> Recovery:
    r"""Recover the plan behind a flow-matching velocity field.

    Given :math:`v(t, x) = E[X_1 - X_0 \mid (1-t) X_0 + t X_1 = x]` and the law of X0, find the
    joint law :math:`\pi` of (X0, X1). On the line, with :math:`B_{km}` B-splines at times
    :math:`t_k`,

    .. math::
        \min_\pi\; KL(\pi \,\|\, \pi_{ref})
        + \frac{1}{2\lambda} \sum_{k,m} \Bigl(E_\pi B_{km}(X_{t_k}) - g_{km}\Bigr)^2,

    where the moments g come from the flow of v alone. In R^D a family of plans is sought: Gaussian
    plans, of which the field determines one; mixtures of Gaussians, likewise under a condition that
    is checked; or a representative of all the plans that have the field.

    Parameters
    ----------
    field : VelocityField or callable
        ``v(t, x)`` for the linear interpolant, x of shape (n,) on the line, (n, D) otherwise, in
        length per unit time. Or, for Gaussian plans, the exact coefficients of v = A_t x + b_t: a
        tuple (times, A, b) of shapes (T,), (T, D, D), (T, D).
    source : law or array of samples
        Law of X0. On the line samples are smoothed by Gaussian kernels that keep their variance. In
        R^D also its moments, a tuple (mean, covariance).
    target : law or array of samples, optional
        Law of X1, if known: steadies noisy fields, and its mismatch with the flow measures them.
    family : {"auto", "line", "graph", "gaussian", "mixture", "free"}
        For D = 1 "auto" is "graph" if X1 is a function of X0, or X0 of X1, and "line" otherwise,
        with the reference chosen by what the data cost; in R^D the first of the other three that
        passes its tests.
    points, times, steps, rng : family "gaussian"
        Points of each of the times (2000; 12 Chebyshev points, or the times themselves) at which
        the field is regressed on x, steps of RK4 (32) that carry them there, seed of the points.
    components, max_components, points, times, steps, restarts, rng : family "mixture"
        Number of Gaussians, by default the one of least BIC up to ``max_components`` (6); points
        over all times (3000); starts at most (12).
    candidates, times, frequencies, regularization, steps, rng : family "free"
        Pairs that carry the weights (8000), equally spaced times (8), test functions at each,
        final penalty. Each end is drawn from for eight times as many points.
    grid : int, optional
        Points a side, N, by default 96 and up to 256 (1024 by descent) for plans that are narrow
        beside the reach of their ends (correlation near 1, long tails); this and the options down
        to ``steps`` are those of the line.
    times : int
        Number K of times, at least 3, equally spaced in the angle at which X_t views the
        standardised plan.
    splines, degree : int
        B-splines per time (default N/2) and their degree (1 to 7).
    reference : {"auto", "product", "schroedinger", "mixture"} or plan
        What fills in where the field shows nothing: the product of the ends; the Schroedinger
        coupling with the right correlation; a Gaussian mixture fitted to the cdfs of X_t; or
        whichever of the first and the last costs fewer nats ("auto", of family "auto"; family
        "line" takes the product).
    noise : float, optional
        Relative error of the field, smooth in x and t as a trained network's. Given, its covariance
        stays in the penalty, whatever lambda, and where both ends are known the gap between them
        corrects the data; it serves the error bars and tells a graph. Default: from how far the
        ends disagree, and from what the fit leaves; then the data are taken as they are. A callable
        that is not the same twice (Monte Carlo, dropout) is found out by evaluating it twice, and
        ``evidence`` says by how much: that error averages along trajectories, no noise stands for
        it, and 7% of it is the least that counts as given.
    regularization : float, optional
        Final lambda. Default: from 3e-3 down in steps of sqrt(10) to 1e-9, stopped where the
        residual no longer follows (slope below 0.25 in the log-log plane).
    solver : {"newton", "descent"}, optional
        "newton" solves the dual; memory 136 N^2 K + 16 (K M)^2 bytes, M splines. "descent" solves
        it on at most 128 points and 17 times, and refines the plan on the whole grid by mirror
        descent on binned projections, with neither a table of features nor a Hessian: a few arrays
        of the grid's size. Default: "newton" up to 0.8 GB (N = 256 with K = 33 needs 0.4, N = 512
        1.3), "descent" beyond; ``settings`` and ``evidence`` say which. The descent's error bars
        are those of the coarse dual and what refining moved; where no coarse dual fits the field,
        there are none (NaN). It begins from whichever of the coarse plan, the product of the ends
        and two conditional normals misfits least, and its ``regularization`` is the weight of
        KL(plan || that) beside the mean over times of KL(projection || p_t), by default from 10
        down to 1e-8.
    tail : float
        Probability left out at either side of either marginal.
    steps : int
        Steps of RK4 for tracing: 96, with an error of about 1e-8 on smooth fields; where family
        "auto" finds a plan that is all but a map, up to 1000.
    num_threads : int, optional
        Result independent of it.
    progress : bool or callable, optional
        ``True`` for a bar, ``callback(done, total)``, or ``callback(done, total, note)``: the note
        is a stage's lambda and residual, or empty. On Ctrl-C the best plan so far is returned, with
        status "interrupted".

    Returns
    -------
    Recovery

    Raises
    ------
    ValueError
        If an argument is out of range, the field's values have the wrong shape or are not finite
        (the message says when and where), or the source is not a law. What the field raises
        surfaces.

    Notes
    -----
    Accuracy from exact fields, total variation: below 1e-3 on Gaussian plans of correlation up to
    0.95 (6e-3 at 0.99), 0.02 on crossing ridges of correlation +-0.95. A field known to rounding
    shows more of what hides, at ten times the cost:
    ``grid=128, regularization=1e-12, tail=1e-9, steps=192``. Cost: O(N^2 K^2) and O((K M)^3) a
    Newton step, about 50 steps: some 4 s at the defaults on one core, half of which goes into the
    mixture.

    Source: Korotin & Pammer (2025) for the problem and its uniqueness; the edge tracing, the
    spline moments and the dual are this package's, in the tradition of maximum-entropy tomography
    (Minerbo 1979).

    Examples
    --------
    >>> import recouple as rc
    >>> plan = rc.GaussianPlan(0.0, 0.0, 1.0, 0.8, 1.0)
    >>> rec = rc.recover_plan(rc.velocity_field(plan), rc.Normal(0.0, 1.0), grid=48)
    >>> rec.verdict, round(rec.plan.correlation, 2)
    ('unique', 0.8)
    """
    velocity: Any  # a VelocityField, or AffineData
    if isinstance(field, tuple) and len(field) == 3:
        velocity = affine_data(*field)
        family = "gaussian" if family == "auto" else family
        if family != "gaussian":
            raise ValueError(f"family must be 'gaussian' for affine coefficients, got {family!r}")
        if options:
            raise ValueError(
                f"coefficients are not read: they take no options, got {', '.join(sorted(options))}"
            )
    else:
        velocity = as_field(field, dimension_of(source))
    if not isinstance(family, str) or family not in ("auto", *FAMILIES):
        raise ValueError(
            f"family must be 'auto' or one of {', '.join(map(repr, FAMILIES))}, got {family!r}"
        )
    automatic = recover_automatically if velocity.dim == 1 else recover_in_space
    dim, recover = (None, automatic) if family == "auto" else FAMILIES[family]
    if dim is not None and velocity.dim != dim:
        raise ValueError(f"field must have dim {dim} for family {family!r}, got {velocity.dim}")
    known = list(inspect.signature(recover).parameters)[3:]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(
            f"options of family {family!r} are {', '.join(known)}; got {', '.join(unknown)}"
        )
    unsteady = disagreement(velocity, source)
    if unsteady and options.get("noise") is not None:
        given = real_number("noise", options["noise"], minimum=0.0)
        options["noise"] = max(given, REMAINS * unsteady)
    rec = recover(velocity, source, target, num_threads=num_threads, progress=progress, **options)
    return with_disagreement(rec, unsteady) if unsteady else rec
