"""What an experiment returns: tables, curves for a picture, and what should hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Check", "Curve", "Experiment", "Table", "slope"]


@dataclass(frozen=True)
class Table:
    """Rows of names and numbers under column heads."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def text(self) -> str:
        """Return the table in aligned columns."""
        cells = [self.columns, *(tuple(_shown(value) for value in row) for row in self.rows)]
        widths = [max(len(str(row[c])) for row in cells) for c in range(len(self.columns))]
        lines = []
        for row in cells:
            first, *rest = (str(cell) for cell in row)
            padded = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
            lines.append("  ".join([first.ljust(widths[0]), *padded]).rstrip())
        return "\n".join(lines)

    def markdown(self) -> str:
        """Return the table in Markdown."""
        cells = [self.columns, *(tuple(_shown(value) for value in row) for row in self.rows)]
        lines = [
            "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in cells
        ]
        lines.insert(1, "|" + "---|" * len(self.columns))
        return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return f"{float(value):.4g}"
    return str(value)


@dataclass(frozen=True)
class Curve:
    """A line of a picture."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Check:
    """A figure, what it should be, and whether it is."""

    what: str
    value: float
    need: str
    met: bool


@dataclass(frozen=True)
class Experiment:
    """The outcome of one experiment."""

    name: str
    title: str
    seed: int
    setting: str
    tables: tuple[Table, ...]
    checks: tuple[Check, ...]
    seconds: float = 0.0
    curves: tuple[Curve, ...] = field(default=(), repr=False)
    axes: tuple[str, str, str] = ("", "", "linear")
    """Labels of x and y, and the scale of both axes."""
    pictures: tuple[Any, ...] = field(default=(), repr=False)
    """Pairs of a caption and images (n, side, side), where there are images."""

    def text(self) -> str:
        """Return everything but the pictures as text."""
        parts = [f"{self.title} ({self.setting}, seed {self.seed}, {self.seconds:.1f} s)"]
        parts += [table.text() for table in self.tables]
        parts.append(
            "\n".join(
                f"{'ok   ' if c.met else 'SHORT'} {c.what}: {c.value:.4g}, need {c.need}"
                for c in self.checks
            )
        )
        return "\n\n".join(parts)

    def markdown(self) -> str:
        """Return everything but the pictures as Markdown."""
        parts = [f"## {self.title}", f"Setting: {self.setting}; seed {self.seed}; "
                 f"{self.seconds:.0f} s."]  # fmt: skip
        parts += [table.markdown() for table in self.tables]
        if self.checks:
            rows = tuple(
                (check.what, check.value, check.need, "yes" if check.met else "**no**")
                for check in self.checks
            )
            parts.append(Table(("checked", "measured", "need", "met"), rows).markdown())
        return "\n\n".join(parts)

    def json(self) -> dict[str, Any]:
        """Return the figures as what JSON can hold."""
        return {
            "name": self.name,
            "title": self.title,
            "seed": self.seed,
            "setting": self.setting,
            "seconds": round(self.seconds, 2),
            "tables": [
                {"columns": list(t.columns), "rows": [[_plain(v) for v in row] for row in t.rows]}
                for t in self.tables
            ],
            "checks": [
                {"what": c.what, "value": _plain(c.value), "need": c.need, "met": bool(c.met)}
                for c in self.checks
            ],
        }


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value


def slope(x: Any, y: Any) -> float:
    """Return the slope of log y against log x by least squares."""
    return float(np.polyfit(np.log(np.asarray(x, float)), np.log(np.asarray(y, float)), 1)[0])
