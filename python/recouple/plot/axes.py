"""Axes to draw on, and the files they can be written to."""

from __future__ import annotations

from typing import Any

__all__ = ["axes_of", "formats", "pyplot"]


def pyplot() -> Any:
    """Return matplotlib's pyplot, or say how to install it."""
    try:
        from matplotlib import pyplot as found
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'recouple[plot]'") from None
    return found


def formats() -> set[str]:
    """Return the endings of the picture files that can be written.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    pyplot()
    from matplotlib.backend_bases import FigureCanvasBase

    return set(FigureCanvasBase.get_supported_filetypes())


def axes_of(ax: Any, figsize: tuple[float, float] | None = None) -> Any:
    """Return the axes given, or those of a new figure."""
    return pyplot().subplots(figsize=figsize, layout="constrained")[1] if ax is None else ax
