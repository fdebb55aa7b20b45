"""Pairs of images of one data set that are the same, or nearly so."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from clearsight.data.cached_pixels import CachedPixels
from clearsight.data.thumbnails import NEAR, Box, thumbnails, unit_thumbnails, unpadded_thumbnails

BLOCK = 2048
"""Images compared with as many others at a time, so that memory does not grow with the data."""

PAIRS = 10_000
"""Pairs returned, at most."""


def similar_pairs(
    pixels: CachedPixels, query: NDArray[np.int64], among: NDArray[np.int64], boxes: Mapping[int, Box] | None = None
) -> list[tuple[int, int, bool]]:
    """Pairs (i, j, exact) of positions, i from `query` and j from `among`, each pair once, the most similar first.

    exact: the pixels are equal. The others' thumbnails correlate as the audit requires of near duplicates. boxes: part
    of an image that is not padding, by position.
    """
    if not len(query):
        return []
    small = unpadded_thumbnails(pixels, boxes) if boxes else thumbnails(pixels)
    contents = np.unique(pixels.contents, return_inverse=True)[1]
    pairs: dict[tuple[int, int], float] = {}
    for start in range(0, len(query), BLOCK):
        rows = query[start : start + BLOCK]
        vectors, flat = unit_thumbnails(small[rows])
        for first in range(0, len(among), BLOCK):
            others = among[first : first + BLOCK]
            reference, flat_too = unit_thumbnails(small[others])
            likeness = vectors @ reference.T
            likeness[flat] = likeness[:, flat_too] = -1
            likeness[contents[rows][:, None] == contents[others]] = 2
            for a, b in np.argwhere(likeness >= NEAR)[:PAIRS].tolist():
                i, j = sorted((int(rows[a]), int(others[b])))
                if i != j:
                    pairs[i, j] = float(likeness[a, b])
    ranked = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))[:PAIRS]
    return [(i, j, likeness > 1.5) for (i, j), likeness in ranked]
