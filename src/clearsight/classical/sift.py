"""SIFT descriptors on a dense grid, for whole batches: what a bag of visual words is made of.

Each descriptor is 4x4 cells of 8 orientations [Lowe 2004], upright and of one size. A pixel votes for the two nearest
orientations and, falling off linearly, for the cells around it; cells away from the middle count less, by a Gaussian as
wide as half the descriptor taken at their centres [Vedaldi, Fulkerson 2010, "fast" dense SIFT].
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from clearsight.classical.hog import gradients
from clearsight.errors import DataError
from clearsight.wording import count

CELLS, ORIENTATIONS = 4, 8


def dense_sift(x: torch.Tensor, step: int = 4, cell: int = 4) -> torch.Tensor:
    """Descriptors on a grid: (N, 1, H, W) -> (N, rows, columns, 128), each of length 1, or 0 where nothing changes.

    step: pixels between neighbours. cell: side of a cell in pixels; a descriptor looks at 5 cell - 1 pixels each way.
    Raises DataError for images smaller than that.
    """
    span = 5 * cell - 1
    if min(x.shape[2:]) < span:
        raise DataError(
            "the images are smaller than the patch of a descriptor",
            found=f"{x.shape[2]}x{x.shape[3]} pixels",
            expected=f"at least {span}x{span} with a cell size of {count(cell, 'pixel')}",
            fix="use smaller cells, such as --model-arg cell=3, or a larger --img-size",
        )
    maps = _votes(x)
    ramp = 1 - torch.arange(-cell + 1, cell, dtype=x.dtype, device=x.device).abs() / cell
    stride = math.gcd(step, cell)
    down = ramp.view(1, 1, -1, 1).expand(ORIENTATIONS, 1, -1, 1)
    maps = F.conv2d(maps, down, stride=(stride, 1), groups=ORIENTATIONS)
    maps = F.conv2d(maps, down.transpose(2, 3), stride=(1, stride), groups=ORIENTATIONS)
    rows, columns = ((side - span) // step + 1 for side in x.shape[2:])
    away = torch.arange(CELLS, dtype=x.dtype, device=x.device) - (CELLS - 1) / 2  # in cells, from the middle
    weight = torch.exp(-away.square() / (2 * (CELLS / 2) ** 2))
    parts = []
    for i in range(CELLS):
        for j in range(CELLS):
            top, left = i * cell // stride, j * cell // stride
            every = step // stride
            part = maps[
                :, :, top : top + (rows - 1) * every + 1 : every, left : left + (columns - 1) * every + 1 : every
            ]
            parts.append(part * (weight[i] * weight[j]))
    found = torch.cat(parts, 1).permute(0, 2, 3, 1)  # (N, rows, columns, 128)
    found = _unit(found).clamp_max(0.2)
    return _unit(found)


def _votes(x: torch.Tensor) -> torch.Tensor:
    """Gradient magnitude shared between the two nearest of 8 orientations: (N, 1, H, W) -> (N, 8, H, W)."""
    down, right = gradients(x)
    magnitude = (down.square() + right.square()).sqrt()
    place = torch.atan2(down, right) * (ORIENTATIONS / (2 * math.pi)) % ORIENTATIONS
    low = place.floor()
    part = place - low
    maps = x.new_zeros(len(x), ORIENTATIONS, *x.shape[2:])
    maps.scatter_add_(1, low.long() % ORIENTATIONS, magnitude * (1 - part))
    maps.scatter_add_(1, (low.long() + 1) % ORIENTATIONS, magnitude * part)
    return maps


def _unit(x: torch.Tensor) -> torch.Tensor:
    """Vectors of length 1; those of nearly no length stay nearly nothing."""
    return x / (x.square().sum(-1, keepdim=True) + 1e-10).sqrt()
