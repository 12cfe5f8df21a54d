"""What public functions do to their arguments, in one place.

Each function returns the argument in the form the compiled core takes, or raises a ``ValueError``
that names the argument, what was needed and what came.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray: TypeAlias = NDArray[np.float64]


def real_array(
    name: str,
    value: ArrayLike,
    *,
    ndim: int | None = None,
    shape: tuple[int | None, ...] | None = None,
    finite: bool = True,
    empty: bool = False,
) -> FloatArray:
    """Return ``value`` as a C-contiguous float64 array, copied only if it has to be.

    ``ndim`` or ``shape`` (``None`` entries are free) fix its shape; ``finite`` refuses NaN and
    infinities, ``empty`` allows zero elements.
    """
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} must be convertible to an array of numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}")
    array = np.require(array, dtype=np.float64, requirements=["C", "A"])
    if shape is not None:
        fits = array.ndim == len(shape) and all(
            want is None or want == got for want, got in zip(shape, array.shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("n" if n is None else str(n) for n in shape)
            raise ValueError(f"{name} must have shape ({wanted}), got {array.shape}")
    elif ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension(s), got shape {array.shape}")
    if array.size == 0 and not empty:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    if finite:
        good = np.isfinite(array)
        if not good.all():
            where = tuple(int(i) for i in np.argwhere(~good)[0])
            raise ValueError(f"{name} must be finite, got {array[where]} at index {where}")
    return array


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only array that shares no memory with a writable one the caller holds."""
    copy = array if array.base is None and not array.flags.writeable else array.copy()
    copy.setflags(write=False)
    return copy


def real_number(
    name: str,
    value: float,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    positive: bool = False,
) -> float:
    """Return ``value`` as a finite float within the bounds."""
    try:
        if isinstance(value, str | bytes | bool):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number, got {value!r}") from None
    if not np.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    if positive and number <= 0:
        raise ValueError(f"{name} must be positive, got {number:g}")
    if minimum is not None and number < minimum:
        raise ValueError(f"{name} must be at least {minimum:g}, got {number:g}")
    if maximum is not None and number > maximum:
        raise ValueError(f"{name} must be at most {maximum:g}, got {number:g}")
    return number


def whole_number(
    name: str, value: int | np.integer[Any], *, minimum: int = 0, maximum: int | None = None
) -> int:
    """Return ``value`` as an int within the bounds; booleans and fractions are refused."""
    if type(value) is not int and (
        isinstance(value, bool) or not isinstance(value, (int, np.integer))
    ):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}")
    if maximum is not None and value > maximum:
        raise ValueError(f"{name} must be at most {maximum}, got {value}")
    return int(value)


def thread_count(num_threads: int | None) -> int:
    """Return the core's thread argument: 0 stands for its default."""
    if num_threads is None:
        return 0
    return whole_number("num_threads", num_threads, minimum=1, maximum=1024)


def generator(rng: int | np.random.Generator | None) -> np.random.Generator:
    """Return the random generator that ``rng`` (a seed, a generator or None) stands for."""
    if rng is None or isinstance(rng, np.random.Generator):
        return np.random.default_rng(rng)
    return np.random.default_rng(whole_number("rng", rng))
