"""Pictures of laws: ellipses of Gaussians, quantiles against quantiles, samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recouple.arguments import FloatArray, real_array, real_number, whole_number
from recouple.marginal import as_marginal
from recouple.plan import MixturePlan
from recouple.plot.axes import axes_of

__all__ = ["ellipses", "quantiles", "samples"]


def ellipses(law: Any, ax: Any = None, *, mass: ArrayLike = (0.5, 0.95)) -> Any:
    """Draw Gaussians, or mixtures of them, as ellipses that hold given masses of each component.

    The ellipse of mass m is (x - mean)' cov^-1 (x - mean) = -2 log(1 - m); opacity follows the
    component's weight.

    Parameters
    ----------
    law : Gaussian, GaussianMixture, GaussianPlan or MixturePlan
        A law in the plane; a plan on the line, which is one of (x0, x1); or a plan in the plane,
        whose source (dashed), target (solid) and components' means (arrows) are drawn.
    ax : matplotlib Axes, optional
    mass : array
        Masses within the ellipses, between 0 and 1.

    Raises
    ------
    ValueError
        If ``law`` is no Gaussian mixture in the plane, or a mass is not between 0 and 1.
    """
    levels = np.atleast_1d(real_array("mass", mass))
    if levels.min() <= 0 or levels.max() >= 1:
        raise ValueError(f"mass must lie between 0 and 1, got {levels.tolist()}")
    radii = np.sqrt(-2 * np.log1p(-levels))
    if not all(hasattr(law, part) for part in ("weights", "means", "covs")):
        raise ValueError(f"law must be a mixture of Gaussians, got {type(law).__name__}")
    weights = np.asarray(law.weights, dtype=float)
    means, covs = np.asarray(law.means, dtype=float), np.asarray(law.covs, dtype=float)
    size = means.reshape(len(weights), -1).shape[1]
    pair = isinstance(law, MixturePlan) and law.dim == 2
    if size != (4 if pair else 2):
        raise ValueError(f"law must be in the plane, or a plan on it or the line, got {law!r}")
    ax = axes_of(ax)
    if not pair:
        _draw_ellipses(weights, means, covs, radii, ax, "-", "", mark="+")
        names = ("$x_0$", "$x_1$") if isinstance(law, MixturePlan) else None
    else:
        for part, style, name, mark in (
            (slice(0, 2), "--", "source", "o"),
            (slice(2, 4), "-", "target", "s"),
        ):
            _draw_ellipses(
                weights, means[:, part], covs[:, part, part], radii, ax, style, name, mark=mark
            )
        for mean in means:
            ax.annotate(
                "",
                xy=mean[2:],
                xytext=mean[:2],
                arrowprops={"arrowstyle": "->", "color": "0.4", "shrinkA": 4, "shrinkB": 4},
            )
        ax.legend(loc="best")
        names = None
    x, y = names or ("first coordinate", "second coordinate")
    ax.set(xlabel=x, ylabel=y)
    ax.autoscale_view()
    ax.set_aspect("equal", adjustable="datalim")
    return ax


def _draw_ellipses(
    weights: FloatArray,
    means: FloatArray,
    covs: FloatArray,
    radii: FloatArray,
    ax: Any,
    style: str,
    name: str,
    mark: str,
) -> None:
    turn = np.linspace(0, 2 * np.pi, 145)
    circle = np.stack([np.cos(turn), np.sin(turn)])
    share = 0.35 + 0.65 * weights / weights.max()
    for k, (mean, cov) in enumerate(zip(means, covs, strict=True)):
        values, vectors = np.linalg.eigh(cov)
        root = vectors * np.sqrt(np.maximum(values, 0))
        for j, radius in enumerate(np.sort(radii)):
            curve = mean[:, None] + radius * root @ circle
            label = name if name and k == 0 and j == 0 else None
            width = 1.6 if j == 0 else 0.9
            ax.plot(*curve, style, color="k", lw=width, alpha=share[k], label=label)
        ax.plot(*mean, mark, color="k", ms=5, mfc="w" if mark == "o" else "k", alpha=share[k])


def quantiles(
    first: Any,
    second: Any,
    ax: Any = None,
    *,
    names: tuple[str, str] = ("first law", "second law"),
    n: int = 200,
) -> Any:
    """Draw the quantiles of one law over those of another, with the line where they agree.

    Parameters
    ----------
    first, second : law or array of samples
        On the line; ``first`` along the horizontal axis.
    ax : matplotlib Axes, optional
    names : (str, str)
        What the axes call them.
    n : int
        Levels (k - 1/2) / n, k = 1, ..., n. Marked: the quartiles.
    """
    count = whole_number("n", n, minimum=2)
    laws = as_marginal(first, name="first"), as_marginal(second, name="second")
    levels = (np.arange(count) + 0.5) / count
    x, y = (np.asarray(law.ppf(levels)) for law in laws)
    ax = axes_of(ax)
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    margin = 0.05 * (high - low) or 1.0
    ends = [low - margin, high + margin]
    ax.plot(ends, ends, "--", color="0.5", lw=1, label="equal")
    ax.plot(x, y, "-", color="k", lw=1, marker=".", ms=3, label=f"{count} levels")
    quartiles = np.array([0.25, 0.5, 0.75])
    ax.plot(*(law.ppf(quartiles) for law in laws), "o", color="k", mfc="w", ms=7, label="quartiles")
    ax.set(xlabel=f"quantiles, {names[0]}", ylabel=f"quantiles, {names[1]}")
    ax.set(xlim=ends, ylim=ends, aspect="equal")
    ax.legend(loc="upper left")
    return ax


def samples(
    points: ArrayLike,
    ax: Any = None,
    *,
    truth: ArrayLike | None = None,
    shape: tuple[int, ...] | None = None,
    columns: int | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
) -> Any:
    """Draw samples: points of the plane as a scatter, images as a grid.

    Parameters
    ----------
    points : array of shape (n, 2), (n, H, W), (n, H, W, 3), or (n, D) with ``shape``
        Points of the plane, or images: grey, or red, green and blue between 0 and 1.
    ax : matplotlib Axes, optional
    truth : array (m, 2), optional
        Points to compare with, in the plane.
    shape : (H, W) or (H, W, 3), optional
        Of the images whose pixels are the rows of ``points``.
    columns : int, optional
        Images in a row; about as many as rows by default.
    vmin, vmax : float, optional
        Values of black and white of grey images; by default the range of all of them.

    Raises
    ------
    ValueError
        If ``points`` are neither, or ``shape`` does not hold as many pixels as a row has.
    """
    array = real_array("points", points)
    if shape is not None:
        pixels = int(np.prod(shape))
        if array.ndim != 2 or array.shape[1] != pixels or len(shape) not in (2, 3):
            raise ValueError(f"shape must hold the pixels of a row, got {shape} for {array.shape}")
        array = array.reshape(len(array), *shape)
    if array.ndim == 2 and array.shape[1] == 2:
        return _scatter(array, truth, axes_of(ax))
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] != 3):
        raise ValueError(
            "points must have shape (n, 2), (n, H, W), (n, H, W, 3), or (n, D) with "
            f"shape=(H, W), got {array.shape}"
        )
    if truth is not None:
        raise ValueError("truth must be left out for images, got some")
    low = float(array.min()) if vmin is None else real_number("vmin", vmin)
    high = float(array.max()) if vmax is None else real_number("vmax", vmax)
    if array.ndim == 4:
        low, high = 0.0, 1.0
    n = len(array)
    side = int(np.ceil(np.sqrt(n))) if columns is None else columns
    across = whole_number("columns", side, minimum=1)
    down = -(-n // across)
    height, width = array.shape[1:3]
    frame = np.full((down * (height + 1) - 1, across * (width + 1) - 1, *array.shape[3:]), np.nan)
    for k, image in enumerate(array):
        top, left = (k // across) * (height + 1), (k % across) * (width + 1)
        frame[top : top + height, left : left + width] = image
    if array.ndim == 4:
        frame = np.where(np.isnan(frame), 1.0, np.clip(frame, 0, 1))
    ax = axes_of(ax)
    ax.imshow(frame, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    ax.set_axis_off()
    return ax


def _scatter(points: FloatArray, truth: ArrayLike | None, ax: Any) -> Any:
    size = float(np.clip(6000 / len(points), 3, 24))
    if truth is not None:
        other = real_array("truth", truth, shape=(None, 2))
        ax.scatter(*other.T, s=3 * size, color="0.75", lw=0, label="truth", rasterized=True)
    ax.scatter(*points.T, s=size, color="k", lw=0, label="samples", rasterized=True)
    if truth is not None:
        ax.legend(loc="upper left", bbox_to_anchor=(0, 1.12), ncols=2, frameon=False)
    ax.set(xlabel="first coordinate", ylabel="second coordinate")
    ax.set_aspect("equal", adjustable="datalim")
    return ax
