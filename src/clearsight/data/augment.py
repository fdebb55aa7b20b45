"""Random changes to whole batches of training images (rule D7); the label stays true under each of them.

Shapes: images (N, C, H, W) float32 in [0, 1], on any device; every function returns the same shape and range.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F


def augment(images: torch.Tensor, strength: str, generator: torch.Generator) -> torch.Tensor:
    """Change a batch by the named policy: none, light (shift, turn, zoom), strong (also mirror, light, erasing)."""
    if strength == "none":
        return images
    if strength == "light":
        return affine(images, generator, degrees=10, shift=0.1, zoom=0.1)
    images = mirror(images, generator)
    images = affine(images, generator, degrees=15, shift=0.12, zoom=0.2)
    images = light(images, generator, brightness=0.2, contrast=0.3)
    return erase(images, generator, share=0.25)


def affine(
    images: torch.Tensor, generator: torch.Generator, *, degrees: float, shift: float, zoom: float
) -> torch.Tensor:
    """Turn by up to `degrees`, shift by up to `shift` of the side and zoom by up to 1 ± `zoom`, each image its own way.

    Bilinear; what comes in from outside repeats the border pixel.
    """
    n = len(images)
    u = torch.rand(n, 4, generator=generator) * 2 - 1  # uniform in [-1, 1]
    angle = u[:, 0] * math.radians(degrees)
    scale = 1 + u[:, 1] * zoom
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = torch.cos(angle) / scale
    theta[:, 0, 1] = -torch.sin(angle) / scale
    theta[:, 1, 0] = torch.sin(angle) / scale
    theta[:, :, 2] = u[:, 2:] * 2 * shift  # in units of half a side
    grid = F.affine_grid(theta.to(images.device), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def mirror(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror every other image left to right."""
    chosen = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def light(images: torch.Tensor, generator: torch.Generator, *, brightness: float, contrast: float) -> torch.Tensor:
    """Add up to ± `brightness` of the range and scale contrast by up to 1 ± `contrast` about each image's mean."""
    u = (torch.rand(len(images), 2, generator=generator) * 2 - 1).to(images.device)[:, :, None, None, None]
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return ((images - mean) * (1 + contrast * u[:, 1]) + mean + brightness * u[:, 0]).clamp(0, 1)


def erase(images: torch.Tensor, generator: torch.Generator, *, share: float) -> torch.Tensor:
    """Paint one square of up to `share` of the area with the image's mean, in every other image [Zhong 2017]."""
    n, _, height, width = images.shape
    u = torch.rand(n, 4, generator=generator)
    side = (share * u[:, 0] * (u[:, 3] < 0.5)).sqrt()  # relative; 0 leaves the image as it is
    y, x = torch.arange(height) / height, torch.arange(width) / width
    top, left = u[:, 1] * (1 - side), u[:, 2] * (1 - side)
    rows = (y >= top[:, None]) & (y < (top + side)[:, None])  # (N, H)
    cols = (x >= left[:, None]) & (x < (left + side)[:, None])  # (N, W)
    hole = (rows[:, None, :, None] & cols[:, None, None, :]).to(images.device)
    return torch.where(hole, images.mean(dim=(2, 3), keepdim=True), images)
