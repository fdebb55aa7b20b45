"""Simple statistics of an image's pixels: what a network may not see, and cannot be fooled about.

Noise, constants and pages of text differ from pictures in contrast, sharpness and in how much of them is flat, however
confident a network is about them; and images made to fool it are noise.
"""

from __future__ import annotations

import numpy as np
import torch
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
    with torch.inference_mode():
        x = torch.from_numpy(np.ascontiguousarray(images, np.float32))
        channels = x.flatten(2)
        found = [channels.mean(2), channels.std(2, correction=0), channels.amin(2), channels.amax(2)]
        gray = x.mean(1, keepdim=True)
        if x.shape[1] > 1:
            away = (x - gray)[:, :, ::2, ::2].abs().flatten(1)
            found.append(torch.stack([away.mean(1), away.amax(1)], 1))
        values = gray.flatten(1)
        values = values[:, :: max(1, values.shape[1] // MOST)]
        found.append(torch.quantile(values, torch.tensor(LEVELS), dim=1).T)
        for axis in (2, 3):
            if gray.shape[axis] > 1:
                found.append(_of_differences(gray.diff(dim=axis).abs().flatten(1)))
        found.append(_details(gray))
        return np.asarray(torch.cat(found, 1).numpy(), np.float32)


def _of_differences(sizes: torch.Tensor) -> torch.Tensor:
    """Log of their root mean square, mean by that, and share of none (N, 3)."""
    root = sizes.square().mean(1).sqrt()
    return torch.stack(
        [(root + STEP).log(), sizes.mean(1) / (root + 0.1 * STEP), (sizes < 1.5 * STEP).float().mean(1)], 1
    )


def _details(gray: torch.Tensor) -> torch.Tensor:
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
            bands.append(((band / 4).square().flatten(1).mean(1).sqrt() + STEP / 2).log())
        gray = (a + b + c + d) / 4
    return torch.stack(bands, 1) if bands else gray.new_zeros((len(gray), 0))
