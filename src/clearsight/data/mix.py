"""Batches whose images are mixed with each other, and their targets in the same share (rule D7).

Shapes: images (N, C, H, W) float32 in [0, 1]; targets (N, K), each row a distribution over classes.
"""

from __future__ import annotations

import numpy as np
import torch

from clearsight.data.augment import boxes


def mix(
    images: torch.Tensor, targets: torch.Tensor, generator: torch.Generator, *, mixup: float = 0.0, cutmix: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix each image with the one before it in the batch, the first with the last.

    mixup: alpha of mixup [Zhang 2017, arXiv:1710.09412]: lambda x + (1 - lambda) x', and the targets alike.
    cutmix: alpha of CutMix [Yun 2019, arXiv:1905.04899]: a box of x' is pasted into x, and the targets are mixed by the
    share of the pixels it really covers. Zero is none of it; at most one may be above zero. lambda follows
    Beta(alpha, alpha), drawn for each image (the papers: for each batch). A batch comes shuffled, so that a neighbour
    is as good as any partner and, unlike one drawn, never the image itself.
    """
    assert not (mixup and cutmix), "mixup and cutmix cannot be combined"
    if not mixup and not cutmix:
        return images, targets
    kept = _beta(mixup or cutmix, len(images), generator)
    if mixup:
        weight = 1 - kept.to(images.device)  # of the partner
        images = torch.lerp(images, images.roll(1, 0), weight[:, None, None, None])
    else:
        sides = torch.tensor(images.shape[-2:])
        centre = torch.rand(len(images), 2, generator=generator) * sides
        half = (1 - kept).sqrt()[:, None] * sides / 2
        first = (centre - half).round().clamp(min=0)
        past = torch.minimum((centre + half).round(), sides)  # what sticks out of the image is lost, as in the paper
        images = torch.where(boxes(images, first, past), images.roll(1, 0), images)
        weight = ((past - first).prod(dim=1) / sides.prod()).to(images.device)
    return images, torch.lerp(targets, targets.roll(1, 0), weight[:, None].to(targets))


def _beta(alpha: float, n: int, generator: torch.Generator) -> torch.Tensor:
    """n numbers from Beta(alpha, alpha), by NumPy from a seed the generator draws: PyTorch's own takes no generator."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, n).astype(np.float32))
