"""How long work tells its progress: ``progress=True`` shows a bar, a callable gets the figures."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Protocol, TypeAlias

Progress: TypeAlias = bool | Callable[[int, int], None] | Callable[[int, int, str], None] | None


class Tell(Protocol):
    """What work calls: how much is done, of how much, and how it stands, in a few words."""

    def __call__(self, done: int, total: int, note: str = "", /) -> None:
        """Tell it."""


def progress_callback(progress: Progress, label: str) -> Tell | None:
    """Return the ``callback(done, total, note)`` that ``progress`` asks for, or None.

    ``True`` draws a bar with tqdm if it is installed, a plain counter on standard error otherwise,
    with the note behind. A callable gets (done, total), or the note too if it asks for three.
    """
    if progress is None or progress is False:
        return None
    if callable(progress):
        return _given(progress)
    if progress is not True:
        raise ValueError(
            f"progress must be True, False, None or a callable(done, total), got {progress!r}"
        )
    try:
        from tqdm import tqdm
    except ImportError:
        return _counter(label)
    bar = tqdm(desc=label, total=None, leave=False)

    def update(done: int, total: int, note: str = "", /) -> None:
        bar.total = total
        if note:
            bar.set_postfix_str(note, refresh=False)
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return update


def _given(progress: Callable[..., None]) -> Tell:
    """Return the callable with the note left out, unless it cannot do without."""
    try:
        signature = inspect.signature(progress)
    except (TypeError, ValueError):  # compiled, with nothing to read
        return _without(progress)
    for wanted, told in ((2, _without), (3, _with)):
        try:
            signature.bind(*[0] * wanted)
        except TypeError:
            continue
        return told(progress)
    raise ValueError(
        "progress must be a callable(done, total) or a callable(done, total, note), got one of "
        f"{signature}"
    )


def _without(progress: Callable[..., None]) -> Tell:
    return lambda done, total, note="", /: progress(done, total)


def _with(progress: Callable[..., None]) -> Tell:
    return lambda done, total, note="", /: progress(done, total, note)


def _counter(label: str) -> Tell:
    longest = 0

    def update(done: int, total: int, note: str = "", /) -> None:
        nonlocal longest
        line = f"{label}: {done}/{total}{note and f', {note}'}"
        longest = max(longest, len(line))
        sys.stderr.write(line.ljust(longest) + ("\n" if done >= total else "\r"))
        sys.stderr.flush()

    return update
