"""Images that show nothing: one colour, or nearly so, such as fully transparent or unexposed ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.cached_pixels import CachedPixels
from clearsight.data.dataset import Dataset
from clearsight.data.findings import Finding
from clearsight.wording import count

DEVIATION, RANGE = 2.5, 24.0
"""Largest standard deviation and range of the levels, of 255, of an image that counts as blank. A sensor's noise stays
within both; a small bright object does not."""


def blank_images(dataset: Dataset, pixels: CachedPixels, rows: NDArray[np.int64]) -> list[Finding]:
    """A finding that names the blank images.

    Args:
        dataset: images and targets.
        pixels: cached pixels of all images.
        rows: positions of the images that could be read.

    Returns:
        One finding; none if no image is blank.
    """
    largest = 255.0 if pixels.array.dtype == np.uint8 else _largest(pixels, rows)
    blank = [int(i) for i in rows if _is_blank(pixels.array[i], 255 / largest)]
    if not blank:
        return []
    return [
        Finding(
            "blank-images",
            "warning",
            f"{count(len(blank), 'blank image')}: a single colour, or nearly so",
            "remove them, or check how they were made: transparent pixels are composited over white",
            {"files": [dataset.source.name(i) for i in blank]},
        )
    ]


def _is_blank(image: NDArray[Any], scale: float) -> bool:
    planes = image.reshape(len(image), -1)
    ranges = (planes.max(1).astype(np.float64) - planes.min(1)) * scale
    return bool((ranges <= RANGE).all() and (planes.std(1) * scale <= DEVIATION).all())


def _largest(pixels: CachedPixels, rows: NDArray[np.int64]) -> float:
    """The range that 16-bit images use: many have 10 or 12 significant bits."""
    some = pixels.array[rows[:: max(1, len(rows) // 200)]]
    low, high = np.percentile(some, (0.1, 99.9))
    return max(1.0, float(high - low))
