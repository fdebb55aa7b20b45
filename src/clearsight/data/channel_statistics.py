"""Mean and deviation of each channel of the training images, by which inputs are normalised."""

from __future__ import annotations

import numpy as np

from clearsight.data.prepare import Prepared


def channel_statistics(data: Prepared, sample: int = 5000) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel of the training split, of [0, 1] pixels.

    Args:
        data: the prepared data set.
        sample: largest number of images that are read.

    Returns:
        Means and deviations, one for each channel.
    """
    rows = data.split.train[:: max(1, len(data.split.train) // sample)]
    total, squares, count = np.zeros(data.form.channels), np.zeros(data.form.channels), 0
    scale = 255.0 if data.form.bits == 8 else 65535.0
    for start in range(0, len(rows), 64):
        x = data.pixels.array[rows[start : start + 64]] / scale
        total, squares = total + x.sum(axis=(0, 2, 3)), squares + (x**2).sum(axis=(0, 2, 3))
        count += x.size // x.shape[1]
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1e-8))
    return [float(m) for m in mean], [float(s) for s in std]
