"""Which images are copies of others: nearly identical, turned, mirrored, shifted or cropped.

A match counts as a copy if what is left after registration is tiny, or if it is small and many times smaller than for
any other image that looks like one of the two: among plain T-shirts all differences are small.

The thresholds were chosen on Fashion-MNIST, elpv and patches of scikit-image's pictures (seed 0) and tested on MNIST,
clip art and other seeds; `python -m benchmarks audit` repeats both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearsight.data.cached_pixels import CachedPixels
from clearsight.data.checks.registration import Match, registered
from clearsight.data.checks.views import MEDIUM, Views
from clearsight.data.duplicates import similar_pairs
from clearsight.data.thumbnails import Box

CERTAIN = {"nearly identical": 0.001, "turned": 0.001, "shifted": 0.001, "cropped": 0.0008}
"""Error of the registration below which two images are copies, whatever else the data contains."""

PROBABLE = {"nearly identical": 0.002, "turned": 0.002, "shifted": 0.006, "cropped": 0.004}
"""Error below which they are copies if it also stands out. Wafers cut from one block of silicon, whose crystals look
the same, differ by 0.002 and more in elpv."""

PROBABLE_SMALL = {"nearly identical": 0.007, "turned": 0.008, "shifted": 0.004, "cropped": 0.005}
"""The same for images of at most 48 pixels a side, in which compression and scaling change more."""

STANDS_OUT = 6.0
"""Times by which the error must be smaller than that of the second most similar other image of either."""

OTHER_COLOUR, GRAY = 16.0, 3.0
"""Difference of mean colours, of 255, from which two images of equal shape are not copies, unless one is gray: its mean
colour is below the second number."""

SMALLEST = 16
"""Side in pixels of images below which shifted and cropped copies are not searched, and only certain copies count."""

MANY = 3_000
"""Images up to which training searches for turned, shifted and cropped copies."""

MOST = 100_000
"""Images up to which the audit does; beyond, images are compared as they are, whole and upright."""


@dataclass(frozen=True)
class Copy:
    """Two images by position, first < second, that show the same. kind: what differs. similarity: correlation of what
    they share, after registration.
    """

    first: int
    second: int
    kind: str
    similarity: float


def find_copies(
    pixels: CachedPixels, rows: NDArray[np.int64], *, side: int, boxes: dict[int, Box] | None = None, limit: int = MANY
) -> list[Copy]:
    """All pairs of images that are copies of each other although their pixels differ.

    Args:
        pixels: cached pixels of all images.
        rows: positions of the images to compare.
        side: usual side in pixels of the images before they were scaled.
        boxes: part of an image that is not padding, by position.
        limit: number of images up to which turned, shifted and cropped copies are searched.

    Returns:
        The pairs, the most similar first.
    """
    contents = np.array(pixels.contents)[rows]
    _, own = np.unique(contents, return_index=True)  # copies to the pixel are found by their digest
    rows = rows[np.sort(own)]
    if len(rows) < 2:
        return []
    if len(rows) > limit:
        pairs = similar_pairs(pixels, rows, rows, boxes)
        return [Copy(i, j, "nearly identical", 0.999) for i, j, exact in pairs if not exact]
    side = min(side, *pixels.array.shape[2:])
    views = Views.of(pixels.array, rows, side=side, top=_top(pixels, rows), boxes=boxes or {})
    comparable = np.flatnonzero(views.comparable)
    if len(comparable) < 2:
        return []
    views = Views(
        views.small[comparable], views.medium[comparable], views.large[comparable], views.colour[comparable],
        views.comparable[comparable],
    )  # fmt: skip
    rows = rows[comparable]
    matches = registered(views, moved=side >= SMALLEST)
    found = []
    probable = CERTAIN if side < SMALLEST else PROBABLE_SMALL if side <= MEDIUM else PROBABLE
    for match in _copies(matches, probable):
        if _same_colour(*views.colour[[match.first, match.second]]):
            first, second = sorted((int(rows[match.first]), int(rows[match.second])))
            found.append(Copy(first, second, match.kind, round(1 - match.error, 5)))
    return sorted(found, key=lambda copy: (-copy.similarity, copy.first, copy.second))


def _copies(matches: Sequence[Match], probable: Mapping[str, float]) -> list[Match]:
    """The matches that are copies."""
    errors: dict[int, list[tuple[float, int]]] = {}
    for match in matches:
        errors.setdefault(match.first, []).append((match.error, match.second))
        errors.setdefault(match.second, []).append((match.error, match.first))

    def usual(image: int, partner: int) -> float:
        """Error of the second most similar image besides a partner: the most similar may be one more copy."""
        others = sorted(error for error, other in errors[image] if other != partner)
        return others[min(1, len(others) - 1)] if others else 1.0

    found = []
    for match in matches:
        kind = match.kind.split(" and ")[-1]
        limits = kind if kind in CERTAIN else "turned"
        standing_out = min(usual(match.first, match.second), usual(match.second, match.first)) / STANDS_OUT
        if match.error < max(CERTAIN[limits], min(probable[limits], standing_out)):
            found.append(match)
    return found


def _same_colour(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    """Whether two mean colours are close, or one of them is gray: a colour picture and its gray version are copies."""
    if min(float(np.abs(first).max()), float(np.abs(second).max())) < GRAY:
        return True
    return float(np.abs(first - second).max()) < OTHER_COLOUR


def _top(pixels: CachedPixels, rows: NDArray[np.int64]) -> float:
    """The level that counts as white: 255, and of 16 bits what the images use of them."""
    if pixels.array.dtype == np.uint8:
        return 255.0
    some = pixels.array[rows[:: max(1, len(rows) // 200)]]
    return max(1.0, float(np.percentile(some, 99.9)))
