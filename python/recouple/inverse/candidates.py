"""Candidate pairs that fill the product of two laws evenly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recouple.arguments import FloatArray

SURPLUS = 8  # draws for each point that is kept
BITS = 60  # of a place along the curve, shared out among the dimensions


def along_curve(x: FloatArray) -> NDArray[np.intp]:
    """Return the order of points (n, D) along Morton's curve (1966) through their ranks.

    Runs of neighbours along it are neighbours in space.
    """
    n, d = x.shape
    bits = max(1, BITS // d)
    ranks = np.argsort(np.argsort(x, axis=0), axis=0)
    cells = (ranks * 2.0**bits / n).astype(np.uint64)
    key = np.zeros(n, np.uint64)
    for bit in range(bits - 1, -1, -1):
        for column in cells.T[:BITS]:
            key = (key << np.uint64(1)) | ((column >> np.uint64(bit)) & np.uint64(1))
    return np.argsort(key, kind="stable")


def balanced_draw(
    draw: Callable[[int, np.random.Generator], FloatArray], n: int, rng: np.random.Generator
) -> FloatArray:
    """Return n draws, one from each run of ``SURPLUS`` neighbours among more of them.

    Every region of space gets close to its share: the error of means is that of the larger sample.
    In the order of the curve.
    """
    many = draw(SURPLUS * n, rng)
    runs = along_curve(many).reshape(n, SURPLUS)
    return np.ascontiguousarray(many[runs[np.arange(n), rng.integers(SURPLUS, size=n)]])


def even_pairing(n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return a permutation whose points (i, permutation[i]) fill the square evenly.

    Hammersley's (1960): the second is the rank of the first's reversed bits, shifted at random.
    """
    bits = max(1, int(n - 1).bit_length())
    reversed_bits = np.zeros(n, np.int64)
    for bit in range(bits):
        reversed_bits |= ((np.arange(n) >> bit) & 1) << (bits - 1 - bit)
    return np.argsort(np.argsort(reversed_bits ^ int(rng.integers(1 << bits))))
