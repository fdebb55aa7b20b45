"""Scenes of handwritten digits (scikit-learn's, enlarged) with what is known of them: labels, boxes, pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

INK = 0.25
"""A pixel belongs to a digit where its ink is at least so dark, from 0 to 1."""


@dataclass(frozen=True)
class Scenes:
    """images (N, H, W) or (N, H, W, 3) uint8; labels (N, K) 0 or 1. Of each image: boxes, for every digit [x0, y0, x1,
    y1] around its ink and its kind, and pixels (H, W): 0 for background, kind + 1 for a digit.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    boxes: list[list[tuple[tuple[int, int, int, int], int]]]
    pixels: NDArray[np.uint8]


@cache
def drawn_digits(size: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """All 1,797 digits at (size, size), ink from 0 to 1, and which they are."""
    from skimage.transform import resize
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.stack([resize(image / 16, (size, size)) for image in digits.images]), digits.target


def compose(
    count: int,
    *,
    side: int,
    size: int,
    kinds: int,
    most: int,
    seed: int = 0,
    which: NDArray[np.int64] | None = None,
    apart: bool = False,
    photos: Sequence[NDArray[np.uint8]] = (),
) -> Scenes:
    """Up to `most` digits of the first kinds at random places of (side, side) pixels.

    size: of a digit in pixels. which: numbers of the digits to draw from, all unless given. apart: digits do not
    touch; one that finds no place is left out. photos: (H, W, 3), of which a random part, darkened by half, is the
    background in place of black.
    """
    rng, (drawn, target) = np.random.default_rng(seed), drawn_digits(size)
    pools = [np.flatnonzero(target == kind) for kind in range(kinds)]
    if which is not None:
        pools = [np.intersect1d(pool, which) for pool in pools]
    ink, labels = np.zeros((count, side, side)), np.zeros((count, kinds), int)
    pixels = np.zeros((count, side, side), np.uint8)
    boxes: list[list[Any]] = [[] for _ in range(count)]
    for i in range(count):
        taken = np.zeros((side, side), bool)
        for _ in range(rng.integers(0, most + 1)):
            kind = int(rng.integers(0, kinds))
            y, x = (int(v) for v in rng.integers(0, side - size + 1, 2))
            part = np.s_[y : y + size, x : x + size]
            tries = 0
            while apart and taken[part].any() and tries < 50:
                y, x = (int(v) for v in rng.integers(0, side - size + 1, 2))
                part, tries = np.s_[y : y + size, x : x + size], tries + 1
            if apart and taken[part].any():
                continue
            taken[part] = True
            digit = drawn[rng.choice(pools[kind])]
            np.maximum(ink[i][part], digit, out=ink[i][part])
            labels[i, kind] = 1
            pixels[i][part][digit >= INK] = kind + 1
            rows, columns = (np.flatnonzero((digit >= INK).any(axis)) for axis in (1, 0))
            box = x + columns[0], y + rows[0], x + columns[-1] + 1, y + rows[-1] + 1
            boxes[i].append((tuple(int(v) for v in box), kind))
    if not photos:
        return Scenes((255 * ink).astype(np.uint8), labels, boxes, pixels)
    behind = np.stack([_part(photos[int(rng.integers(len(photos)))], side, rng) for _ in range(count)])
    lit = ink[..., None] + (1 - ink[..., None]) * behind / 2
    return Scenes((255 * lit).astype(np.uint8), labels, boxes, pixels)


def _part(photo: NDArray[np.uint8], side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A random part of a photograph (side, side, 3) in [0, 1]."""
    y, x = (int(rng.integers(0, n - side + 1)) for n in photo.shape[:2])
    return photo[y : y + side, x : x + side] / 255
