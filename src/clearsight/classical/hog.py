"""Histograms of oriented gradients [Dalal, Triggs 2005], for whole batches, as scikit-image defines them.

image -> gradients -> a histogram of 9 orientations per cell -> blocks of cells, each normalised -> one long vector
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from clearsight.errors import DataError
from clearsight.wording import count


def hog(x: torch.Tensor, orientations: int = 9, cell: int = 8, block: int = 2) -> torch.Tensor:
    """Descriptors (N, rows * columns * block² * orientations) of images (N, C, H, W).

    Args:
        x: images (N, C, H, W), float32 in [0, 1].
        orientations: number of orientation bins over 180°.
        cell: side in pixels.
        block: side in cells; blocks overlap by all but one cell and are normalised by L2-Hys: L2, cut at 0.2, L2 again.
            Pixels that fill no cell are left out on the right and below. Of several channels each pixel takes the one
            with the largest gradient. The values are those of `skimage.feature.hog`.

    Returns:
        float32 (N, rows * columns * block² * orientations).

    Raises:
        DataError: images smaller than a block.

    Example:
        >>> hog(torch.zeros(2, 1, 32, 32)).shape
        torch.Size([2, 324])
    """
    height, width = x.shape[2] // cell, x.shape[3] // cell
    if min(height, width) < block:
        raise DataError(
            "the images are smaller than a block of cells",
            found=f"{x.shape[2]}x{x.shape[3]} pixels",
            expected=f"at least {block * cell}x{block * cell} with a cell size of {count(cell, 'pixel')}",
            fix="use smaller cells, such as --model-arg cell=4, or a larger --img-size",
        )
    cells = cell_histograms(x, orientations, cell)
    patches = cells.unfold(2, block, 1).unfold(3, block, 1)  # (N, orientations, rows, columns, block, block)
    blocks = patches.permute(0, 2, 3, 4, 5, 1).flatten(3)
    return l2_hys(blocks).flatten(1)


def l2_hys(blocks: torch.Tensor) -> torch.Tensor:
    """Vectors (..., D) brought to length 1, cut at 0.2, and brought to length 1 again.

    Args:
        blocks: float32 (..., D).

    Returns:
        float32 (..., D).
    """
    blocks = blocks / (blocks.square().sum(-1, keepdim=True) + 1e-10).sqrt()
    blocks = blocks.clamp_max(0.2)
    return blocks / (blocks.square().sum(-1, keepdim=True) + 1e-10).sqrt()


def cell_histograms(x: torch.Tensor, orientations: int, cell: int) -> torch.Tensor:
    """Gradient magnitude per orientation, averaged over each cell: (N, C, H, W) -> (N, orientations, H/cell, W/cell).

    Orientations are unsigned: bin i holds angles from i to i + 1 times 180°/orientations.

    Args:
        x: images (N, C, H, W), float32 in [0, 1].
        orientations: number of orientation bins over 180°.
        cell: side of a cell in pixels.

    Returns:
        float32 (N, orientations, H / cell, W / cell).
    """
    return F.avg_pool2d(orientation_maps(x, orientations), cell)


def orientation_maps(x: torch.Tensor, orientations: int) -> torch.Tensor:
    """Gradient magnitude of each pixel, in the map of its orientation: (N, C, H, W) -> (N, orientations, H, W).

    Args:
        x: images (N, C, H, W), float32 in [0, 1].
        orientations: number of orientation bins over 180°.

    Returns:
        float32 (N, orientations, H, W).
    """
    down, right = gradients(x)
    magnitude = (down.square() + right.square()).sqrt()
    if x.shape[1] > 1:
        magnitude, strongest = magnitude.max(dim=1, keepdim=True)
        down, right = down.gather(1, strongest), right.gather(1, strongest)
    flip = (down < 0) | ((down == 0) & (right < 0))  # the half circle from 0 to below 180 degrees
    down, right = torch.where(flip, -down, down), torch.where(flip, -right, right)
    bins = torch.zeros_like(down, dtype=torch.long)
    for i in range(1, orientations):  # how many borders between bins lie at or below the angle
        angle = math.pi * i / orientations
        bins += (down * math.cos(angle) >= right * math.sin(angle)).long()
    return x.new_zeros(len(x), orientations, *x.shape[2:]).scatter_(1, bins, magnitude)


def gradients(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Differences of the neighbours, downwards and to the right, 0 at the border: each (N, C, H, W).

    Args:
        x: images (N, C, H, W), float32 in [0, 1].

    Returns:
        Vertical and horizontal differences, each (N, C, H, W).
    """
    down, right = torch.zeros_like(x), torch.zeros_like(x)
    down[:, :, 1:-1] = x[:, :, 2:] - x[:, :, :-2]
    right[:, :, :, 1:-1] = x[:, :, :, 2:] - x[:, :, :, :-2]
    return down, right
