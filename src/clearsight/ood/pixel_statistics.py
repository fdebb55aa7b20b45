"""Simple statistics of an image's pixels: what a network may not see, and cannot be fooled about.

Noise, constants and pages of text differ from pictures in contrast, sharpness and in how much of them is flat, however
confident a network is about them; and images made to fool it are noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SCALES = 6
"""Octaves of detail, each of half the resolution of the one before."""

STEP = 1 / 255
"""What is added to deviations before their logarithm, and below which neighbours count as equal: one step of 8 bits."""

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles of the gray values."""

MOST = 4096
"""Pixels that quantiles are taken over at most."""


def pixel_statistics(images: Floats) -> Floats:
    """Of images (N, C, H, W) in [0, 1] some dozens of numbers each (N, S), S by C and by the size alone.

    Of each channel mean, deviation, least and largest value; of colour images how far channels differ; of the gray
    image quantiles; of differences of neighbours their size, their sparseness and the share of none; and the size of
    detail across, down and aslant by octaves, from Haar wavelets [Mallat 1989].
    """
    x = np.asarray(images, np.float32)
    channels = x.reshape(*x.shape[:2], -1)
    found = [channels.mean(2), channels.std(2), channels.min(2), channels.max(2)]
    gray = x.mean(1, keepdims=True)
    if x.shape[1] > 1:
        away = np.abs((x - gray)[:, :, ::2, ::2]).reshape(len(x), -1)
        found.append(np.stack([away.mean(1), away.max(1)], 1))
    values = gray.reshape(len(x), -1)
    values = values[:, :: max(1, values.shape[1] // MOST)]
    found.append(np.quantile(values, np.array(LEVELS, np.float32), axis=1).T)
    for axis in (2, 3):
        if gray.shape[axis] > 1:
            found.append(_of_differences(np.abs(np.diff(gray, axis=axis)).reshape(len(x), -1)))
    found.append(_details(gray))
    return np.asarray(np.concatenate(found, 1), np.float32)


def _of_differences(sizes: Floats) -> Floats:
    """Log of their root mean square, mean by that, and share of none (N, 3)."""
    root = np.sqrt(np.square(sizes).mean(1))
    few = (sizes < np.float32(1.5 * STEP)).mean(1)
    return np.asarray(np.stack([np.log(root + STEP), sizes.mean(1) / (root + 0.1 * STEP), few], 1), np.float32)


def _details(gray: Floats) -> Floats:
    """Log root mean square of the three Haar bands of each octave (N, 3 octaves)."""
    bands = []
    for _ in range(SCALES):
        height, width = gray.shape[2:]
        if min(height, width) < 2:
            break
        a, b, c, d = (
            gray[:, :, i : height - height % 2 : 2, j : width - width % 2 : 2] for i in (0, 1) for j in (0, 1)
        )
        for band in (a - b + c - d, a + b - c - d, a - b - c + d):
            squared = np.square(band / 4).reshape(len(gray), -1).mean(1)
            bands.append(np.log(np.sqrt(squared) + STEP / 2))
        gray = np.asarray((a + b + c + d) / 4, np.float32)
    return np.stack(bands, 1) if bands else np.zeros((len(gray), 0), np.float32)
