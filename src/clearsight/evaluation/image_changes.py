"""Changes that leave the class as it is, each in five steps from slight to severe.

images (N, C, H, W) float32 in [0, 1]; every change returns the same shape and range, and follows from the images, the
amount and the generator alone. What random numbers decide, such as a direction, differs from image to image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from clearsight.data.augment import gaussian_blur, warp

FINEST = 224
"""Pixels a side from which noise has grains of several pixels."""

Function = Callable[[torch.Tensor, float, torch.Generator], torch.Tensor]


@dataclass(frozen=True)
class Change:
    """A kind of change: what an amount of it means, the amounts of its five steps, the function that makes it, and the
    amount that leaves the image as it is.
    """

    words: str
    steps: tuple[float, float, float, float, float]
    function: Function
    none: float = 0.0

    @property
    def quantity(self) -> str:
        """What an amount is, in few words: `words` without what follows a comma or stands in brackets."""
        return self.words.partition(" (")[0].partition(",")[0]


def scale(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """The image at `amount` times its size, its border going on around it; above 1 it is cut."""
    return warp(images, torch.diag(torch.tensor([1 / amount, 1 / amount, 1.0])).expand(len(images), 3, 3))


def translation(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Moved by `amount` of the side in any direction, its border going on behind it."""
    angle = 2 * math.pi * torch.rand(len(images), generator=generator)
    m = torch.eye(3).repeat(len(images), 1, 1)
    m[:, 0, 2], m[:, 1, 2] = 2 * amount * torch.cos(angle), 2 * amount * torch.sin(angle)
    return warp(images, m)


def rotation(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Turned by `amount` degrees, to the left or to the right."""
    return turned(images, amount * _signs(len(images), generator))


def turned(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Each image turned by its own degrees (N,), counter-clockwise above 0."""
    angle = torch.deg2rad(degrees)
    aspect = images.shape[3] / images.shape[2]
    m = torch.eye(3).repeat(len(images), 1, 1)
    m[:, 0, 0] = m[:, 1, 1] = torch.cos(angle)
    m[:, 0, 1], m[:, 1, 0] = -torch.sin(angle) / aspect, torch.sin(angle) * aspect
    return warp(images, m)


def viewpoint(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Seen `amount` degrees from the side, from above or from below: the picture as a plane, tilted in space.

    The camera stands two sides of the image away, so the near edge grows and the far one shrinks.
    """
    tilt = math.radians(amount)
    sign, upright = _signs(len(images), generator), torch.rand(len(images), generator=generator) < 0.5
    forward = torch.eye(3).repeat(len(images), 1, 1)  # a place on the plane -> its place in the picture
    for axis, chosen in ((0, ~upright), (1, upright)):
        forward[chosen, axis, axis] = math.cos(tilt)
        forward[chosen, 2, axis] = sign[chosen] * math.sin(tilt) / 4
    return warp(images, torch.linalg.inv(forward))


def deformation(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Elastic deformation by `amount` of the side (root mean square) [Simard, Steinkraus, Platt 2003]."""
    n, _, height, width = images.shape
    coarse = torch.randn(n, 2, 5, 5, generator=generator)
    field = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
    field = field / field.square().mean((1, 2, 3), keepdim=True).sqrt() * 2 * amount
    y, x = (torch.linspace(-1, 1, k) * (k - 1) / k for k in (height, width))
    grid = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1) + field.permute(0, 2, 3, 1)
    moved = F.grid_sample(images, grid.to(images), mode="bilinear", padding_mode="border", align_corners=False)
    return moved.clamp(0, 1)


def occlusion(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """A gray square over `amount` of the area, anywhere."""
    n, _, height, width = images.shape
    side = [max(1, round(k * math.sqrt(amount))) for k in (height, width)]
    top, left = (
        (torch.rand(n, generator=generator) * (k - s + 1)).long() for k, s in zip((height, width), side, strict=True)
    )
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (rows >= top[:, None]) & (rows < top[:, None] + side[0])
    across = (columns >= left[:, None]) & (columns < left[:, None] + side[1])
    return images.masked_fill((in_rows[:, None, :, None] & across[:, None, None, :]).to(images.device), 0.5)


def background(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """What `object_mask` takes for background, mixed with clutter of the images' own colours in the share `amount`."""
    n, channels, height, width = images.shape
    patches = torch.rand(n, channels, max(2, height // 4), max(2, width // 4), generator=generator)
    clutter = F.interpolate(patches, (height, width), mode="nearest").to(images)
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    clutter = low + clutter * (high - low)
    return torch.where(object_mask(images), images, (1 - amount) * images + amount * clutter)


def lighting(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """`amount` of the light; above 1 bright parts become white."""
    return (images * amount).clamp(0, 1)


def blur(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Out of focus: a Gaussian of `amount` of the shorter side."""
    sigma = amount * min(images.shape[2:])
    return gaussian_blur(images, torch.full((len(images),), sigma), max(1, math.ceil(3 * sigma))).clamp(0, 1)


def noise(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Gaussian noise of deviation `amount`, each pixel and channel for itself up to `FINEST` pixels a side. Its grains
    keep their size relative to larger images: finer noise would vanish when a network pools it.
    """
    height, width = images.shape[2:]
    coarser = max(1.0, min(height, width) / FINEST)
    shape = (*images.shape[:2], round(height / coarser), round(width / coarser))
    grains = torch.randn(shape, generator=generator).to(images)
    if coarser > 1:
        grains = F.interpolate(grains, (height, width), mode="nearest-exact")
    return (images + amount * grains).clamp(0, 1)


CHANGES: dict[str, Change] = {
    "smaller": Change("scale factor (image padded to its original size)", (0.9, 0.75, 0.6, 0.45, 0.3), scale, none=1.0),
    "larger": Change("scale factor (image cropped to its original size)", (1.1, 1.25, 1.5, 1.75, 2.0), scale, none=1.0),
    "translation": Change("displacement, as a share of the side length", (0.05, 0.1, 0.15, 0.2, 0.3), translation),
    "rotation": Change("rotation angle in degrees", (10.0, 30.0, 60.0, 90.0, 180.0), rotation),
    "viewpoint": Change("viewing angle in degrees", (15.0, 30.0, 40.0, 50.0, 60.0), viewpoint),
    "deformation": Change(
        "RMS pixel displacement, as a share of the side length", (0.01, 0.02, 0.04, 0.06, 0.08), deformation
    ),
    "occlusion": Change("share of the image area covered", (0.05, 0.1, 0.2, 0.35, 0.5), occlusion),
    "background": Change("weight of the clutter blended into the background", (0.2, 0.4, 0.6, 0.8, 1.0), background),
    "darker": Change("brightness, as a share of the original", (0.8, 0.6, 0.4, 0.25, 0.1), lighting, none=1.0),
    "brighter": Change("brightness, as a share of the original", (1.2, 1.4, 1.7, 2.0, 2.5), lighting, none=1.0),
    "blur": Change("Gaussian sigma, as a share of the shorter side", (0.01, 0.02, 0.03, 0.05, 0.08), blur),
    "noise": Change("standard deviation, for pixel values from 0 to 1", (0.03, 0.06, 0.12, 0.2, 0.3), noise),
}
"""The changes, in the order in which several are made."""


def object_mask(images: torch.Tensor) -> torch.Tensor:
    """Where the object is thought to be (N, 1, H, W): pixels that differ from the border's median colour by more than
    half of the largest difference. Of an image that fills its frame it is a guess; look at the card's pictures.
    """
    rim = torch.cat([images[:, :, 0], images[:, :, -1], images[:, :, :, 0], images[:, :, :, -1]], 2)
    away = (images - rim.median(2).values[:, :, None, None]).abs().amax(1, keepdim=True)
    return away > 0.5 * away.amax((2, 3), keepdim=True)


def painted_out(images: torch.Tensor) -> torch.Tensor:
    """The object, as `object_mask` sees it, and two pixels around it, in the colour of the border."""
    rim = torch.cat([images[:, :, 0], images[:, :, -1], images[:, :, :, 0], images[:, :, :, -1]], 2)
    grown = F.max_pool2d(object_mask(images).float(), 5, 1, 2) > 0
    return torch.where(grown, rim.median(2).values[:, :, None, None], images)


def _signs(n: int, generator: torch.Generator) -> torch.Tensor:
    return torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
