"""Marks: places where the images of one class, and hardly any others, have the same pixels, such as a watermark, a date
or a logo.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clearsight.data.cached_pixels import CachedPixels
from clearsight.data.checks.one_property import ClassScore, score_of

SIDE = 64
"""Largest side in pixels at which images are compared."""

FEWEST = 8
"""Images of a class at least."""

MOST = 2000
"""Images compared, at most."""

STEADY = 0.25
"""Range of the levels at a place within the class, as a share of the range in the other classes."""

LEAST_RANGE = 24.0
"""Range of the levels in the other classes, of 255, at least."""

MARGIN = 3.0
"""Levels by which an image may lie outside the range of its class."""

BACKGROUND, CONTRAST = 0.05, 24.0
"""Share of all pixels from which one level is the background, and levels by which a mark differs from it and
from the usual level of its class: that a class leaves a place empty, or is dark all over, is no mark."""

CONSTANT = 3.0
"""Range of the levels up to which a place is a mark even at the usual level of its class, if most places of the class
vary by `LEAST_RANGE` or more."""


@dataclass(frozen=True)
class Mark:
    """How well a constant place predicts a class, and the place as shares of height and width."""

    score: ClassScore
    place: tuple[float, float]


def marks(pixels: CachedPixels, rows: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> dict[int, Mark]:
    """The best mark of each class: chosen on one half of the images, tested on the other, and the reverse.

    Args:
        pixels: cached pixels of all images.
        rows: positions of n images.
        labels: their classes (n,).
        classes: number of classes K.

    Returns:
        Marks by class; most classes have none.
    """
    order = np.random.default_rng(0).permutation(len(rows))[:MOST]
    rows, labels = rows[order], labels[order]
    levels, shape = _levels(pixels, rows)
    half = np.arange(len(rows)) % 2 == 1
    background = _background(levels)
    found = {}
    for c in range(classes):
        own = labels == c
        if own.sum() < FEWEST or (~own).sum() < FEWEST:
            continue
        predicted, place = np.zeros(len(rows), bool), None
        for chosen in (half, ~half):
            best = _best_place(levels[own & chosen], levels[~own & chosen], background)
            if best is not None:
                place, low, high = best
                values = levels[~chosen, place]
                predicted[~chosen] = (values >= low) & (values <= high)
        if place is not None:
            y, x = divmod(place % (shape[1] * shape[2]), shape[2])
            found[c] = Mark(score_of(predicted, own), ((y + 0.5) / shape[1], (x + 0.5) / shape[2]))
    return found


def _levels(pixels: CachedPixels, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint8], tuple[int, int, int]]:
    """Levels (n, C S T) of images of no more than `SIDE` pixels a side, and (C, S, T)."""
    channels, height, width = pixels.array.shape[1:]
    shape, fours = (channels, min(SIDE, height), min(SIDE, width)), range(0, channels, 4)
    scale = 1 if pixels.array.dtype == np.uint8 else 1 / 257
    levels = np.empty((len(rows), int(np.prod(shape))), np.uint8)
    for k, i in enumerate(rows):
        image = np.ascontiguousarray(pixels.array[i].transpose(1, 2, 0), np.float32) * scale
        small: Any = np.dstack(  # OpenCV scales at most four channels at once
            [cv2.resize(image[..., c : c + 4], (shape[2], shape[1]), interpolation=cv2.INTER_AREA) for c in fours]
        )
        levels[k] = np.rint(small.transpose(2, 0, 1)).ravel()
    return levels, shape


def _background(levels: NDArray[np.uint8]) -> float | None:
    counts = np.bincount(levels[:200].ravel(), minlength=256)
    return float(counts.argmax()) if counts.max() >= BACKGROUND * counts.sum() else None


def _best_place(
    own: NDArray[np.uint8], others: NDArray[np.uint8], background: float | None
) -> tuple[int, float, float] | None:
    """The place where a class is steady and the fewest others have its levels, and the lowest and highest of these."""
    low, middle, high = np.quantile(own, (0.05, 0.5, 0.95), axis=0)
    spread = np.subtract(*np.quantile(others[:500], (0.95, 0.05), axis=0))
    own_spread = high - low
    constant = (own_spread <= CONSTANT) & (np.median(own_spread) >= LEAST_RANGE)
    steady = (spread >= LEAST_RANGE) & (own_spread <= STEADY * spread)
    steady &= constant | (np.abs(middle - np.median(middle)) > CONTRAST)
    if background is not None:
        steady &= np.abs(middle - background) > CONTRAST
    places = np.flatnonzero(steady)
    if not len(places):
        return None
    low, high = low[places] - MARGIN, high[places] + MARGIN
    alike = (others[:, places] >= low) & (others[:, places] <= high)
    best = int(alike.mean(0).argmin())
    return int(places[best]), float(low[best]), float(high[best])
