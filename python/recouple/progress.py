"""How long work tells its progress: ``progress=True`` shows a bar, a callable gets the figures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = bool | Callable[[int, int], None] | None


def progress_callback(progress: Progress, label: str) -> Callable[[int, int], None] | None:
    """Return the ``callback(done, total)`` that ``progress`` asks for, or None.

    ``True`` draws a bar with tqdm if it is installed, a plain counter on standard error otherwise.
    """
    if progress is None or progress is False:
        return None
    if callable(progress):
        return progress
    if progress is not True:
        raise ValueError(
            f"progress must be True, False, None or a callable(done, total), got {progress!r}"
        )
    try:
        from tqdm import tqdm
    except ImportError:
        return _counter(label)
    bar = tqdm(desc=label, total=None, leave=False)

    def update(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return update


def _counter(label: str) -> Callable[[int, int], None]:
    def update(done: int, total: int) -> None:
        end = "\n" if done >= total else "\r"
        sys.stderr.write(f"{label}: {done}/{total}{end}")
        sys.stderr.flush()

    return update
