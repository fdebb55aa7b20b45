"""Mean and deviation of each channel of the training images, by which inputs are normalised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clearsight.data.cached_pixels import CachedPixels
from clearsight.data.pixels import PixelFormat
from clearsight.data.prepare import Prepared


def channel_statistics(data: Prepared, sample: int = 5000) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel of the training split, of [0, 1] pixels.

    Args:
        data: the prepared data set.
        sample: largest number of images that are read.

    Returns:
        Means and deviations, one for each channel.
    """
    return statistics_of_rows(data.pixels, data.form, data.split.train, sample)


def statistics_of_rows(
    pixels: CachedPixels, form: PixelFormat, rows: NDArray[np.int64], sample: int = 5000
) -> tuple[list[float], list[float]]:
    """The same for some rows (N,) of pixels.

    Args:
        pixels: of images.
        form: of the pixels.
        rows: positions of images.
        sample: largest number of images that are read.

    Returns:
        Means and deviations, one for each channel.
    """
    rows = rows[:: max(1, len(rows) // sample)]
    total, squares, count = np.zeros(form.channels), np.zeros(form.channels), 0
    scale = 255.0 if form.bits == 8 else 65535.0
    for start in range(0, len(rows), 64):
        x = pixels.array[rows[start : start + 64]] / scale
        total, squares = total + x.sum(axis=(0, 2, 3)), squares + (x**2).sum(axis=(0, 2, 3))
        count += x.size // x.shape[1]
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1e-8))
    return [float(m) for m in mean], [float(s) for s in std]
