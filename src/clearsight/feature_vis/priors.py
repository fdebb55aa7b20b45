"""What pictures are like, for pictures made by following a gradient: near the middle, smooth, the same when moved.

Shapes: x (N, C, H, W) in [0, 1]. All functions treat each image by itself, so that what becomes of it does not depend
on its batch-mates.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from clearsight.models.network import InputLayer


def middle(network: nn.Module, channels: int) -> torch.Tensor:
    """The pixel (C, 1, 1) that the network's input layer takes for zero; mid-gray where that depends on the image."""
    for module in network.modules():
        if isinstance(module, InputLayer) and module.mode == "fixed":
            mean = module.mean[0].detach().cpu()
            return mean if len(mean) == channels else mean.mean(0, keepdim=True).expand(channels, 1, 1)
    return torch.full((channels, 1, 1), 0.5)


def rolled(x: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    """Each image moved by its own (rows, columns) (N, 2); what leaves on one side comes in on the other."""
    return torch.stack([torch.roll(one, (int(r), int(c)), (1, 2)) for one, (r, c) in zip(x, shifts, strict=True)])


def blurred(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur, with the border repeated; sigma in pixels. Below a quarter of a pixel nothing is changed."""
    radius = min(math.ceil(3 * sigma), min(x.shape[2:]) - 1)
    if sigma < 0.25 or radius < 1:
        return x
    places = torch.arange(-radius, radius + 1, dtype=x.dtype)
    weights = torch.exp(-(places**2) / (2 * sigma**2))
    weights = (weights / weights.sum()).repeat(x.shape[1], 1, 1)  # (C, 1, 2 radius + 1)
    padded = F.pad(x, (radius,) * 4, mode="replicate")
    rows = F.conv2d(padded, weights[..., None], groups=x.shape[1])
    return F.conv2d(rows, weights[:, :, None], groups=x.shape[1])


def total_variation(x: torch.Tensor, unit: float) -> torch.Tensor:
    """Mean over pixels of (|dx|² + |dy|²) / unit², per image (N,) [Mahendran and Vedaldi 2015, equation 4, beta 2].

    unit: the difference between neighbours that counts as 1.
    """
    across = (x[..., :, 1:] - x[..., :, :-1]).square().flatten(1).sum(1)
    down = (x[..., 1:, :] - x[..., :-1, :]).square().flatten(1).sum(1)
    return (across + down) / (unit**2 * x[0].numel())


def alpha_norm(x: torch.Tensor, centre: torch.Tensor, unit: float, alpha: float = 6) -> torch.Tensor:
    """Mean over pixels of |(x - centre) / unit|^alpha, per image (N,): it bounds the range [the same, section 3.1]."""
    return ((x - centre) / unit).abs().pow(alpha).flatten(1).mean(1)
