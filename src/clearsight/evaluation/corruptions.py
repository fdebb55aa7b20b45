"""The 15 corruptions of ImageNet-C, each at five severities, for images of any size.

images (N, C, H, W) float32 in [0, 1]; the amount of every change is its severity, 1 to 5. The published parameters are
for images of 224 pixels, so lengths are those of the published ones relative to the side. Where the authors blend in
photographs of frost, a drawn texture takes their place.

Reference: Hendrycks, Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations",
2019.
"""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch.nn import functional as F

from clearsight.data.augment import gaussian_blur, warp
from clearsight.evaluation.image_changes import Change, Function, noise

SIDE = 224
"""Pixels a side of the images that lengths were published for."""


def _length(images: torch.Tensor, pixels: float) -> float:
    """A published length, for images of this size."""
    return pixels * min(images.shape[2:]) / SIDE


def _uniform(images: torch.Tensor, generator: torch.Generator, low: float, high: float) -> torch.Tensor:
    """A number (N,) for each image."""
    return low + (high - low) * torch.rand(len(images), generator=generator)


def _blurred(images: torch.Tensor, sigma: float) -> torch.Tensor:
    return gaussian_blur(images, torch.full((len(images),), sigma), max(1, math.ceil(4 * sigma)))


def _gray(images: torch.Tensor) -> torch.Tensor:
    return images.mean(1, keepdim=True)


GAUSSIAN_NOISE = (0.08, 0.12, 0.18, 0.26, 0.38)
SHOT_NOISE = (60.0, 25.0, 12.0, 5.0, 3.0)
IMPULSE_NOISE = (0.03, 0.06, 0.09, 0.17, 0.27)
"""Deviation; light particles for a white pixel; share of the values that become black or white."""

DEFOCUS = ((3.0, 0.1), (4.0, 0.5), (6.0, 0.5), (8.0, 0.5), (10.0, 0.5))
GLASS = ((0.7, 1.0, 2), (0.9, 2.0, 1), (1.0, 2.0, 3), (1.1, 3.0, 2), (1.5, 4.0, 2))
MOTION = ((10.0, 3.0), (15.0, 5.0), (15.0, 8.0), (15.0, 12.0), (20.0, 15.0))
ZOOM = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))
"""Radius of the disk and deviation of the Gaussian after it; deviation, largest displacement and rounds; length of the
path and deviation along it, in pixels; end and steps of the scale."""

SNOW = (
    (0.1, 0.3, 3.0, 0.5, 10.0, 4.0, 0.8), (0.2, 0.3, 2.0, 0.5, 12.0, 4.0, 0.7), (0.55, 0.3, 4.0, 0.9, 12.0, 8.0, 0.7),
    (0.55, 0.3, 4.5, 0.85, 12.0, 8.0, 0.65), (0.55, 0.3, 2.5, 0.85, 12.0, 12.0, 0.55),
)  # fmt: skip
FROST = ((1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))
FOG = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))
"""Mean, deviation, size and threshold of the flakes, length and deviation of their path, and weight of the image;
weights of the image and of the frost; thickness of the fog and by how much each octave is weaker."""

BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)
CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)
"""What is added to the value of a colour; what is left of the differences to the mean."""

ELASTIC = (12.5, 16.25, 21.25, 25.0, 30.0)
PIXELATE = (0.6, 0.5, 0.4, 0.3, 0.25)
JPEG = (25, 18, 15, 10, 7)
"""Strength of the displacement; share of the resolution that is left; quality."""


def gaussian_noise(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Noise of electronics in low light."""
    return noise(images, GAUSSIAN_NOISE[int(amount) - 1], generator)


def shot_noise(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Noise of light itself: a Poisson number of particles in each pixel."""
    most = SHOT_NOISE[int(amount) - 1]
    return (torch.poisson(images * most, generator) / most).clamp(0, 1)


def impulse_noise(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Some values black or white."""
    share = IMPULSE_NOISE[int(amount) - 1]
    drawn = torch.rand(images.shape, generator=generator).to(images)
    return torch.where(drawn < share / 2, 0.0, torch.where(drawn > 1 - share / 2, 1.0, images))


def defocus_blur(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Out of focus: every point becomes a disk."""
    radius, sigma = (_length(images, one) for one in DEFOCUS[int(amount) - 1])
    reach = min(max(1, math.ceil(radius)), min(images.shape[2:]) - 1)
    fine = 5
    across = (torch.arange(fine * (2 * reach + 1)) - (fine * (2 * reach + 1) - 1) / 2) / fine
    disk = (across**2 + across[:, None] ** 2 <= max(radius, 0.5) ** 2).float()
    kernel = F.avg_pool2d(disk[None, None], fine).to(images)
    kernel = kernel / kernel.sum()
    channels = images.flatten(0, 1)[:, None]
    made = F.conv2d(F.pad(channels, [reach] * 4, mode="reflect"), kernel).view(images.shape)
    return _blurred(made, sigma).clamp(0, 1)


def glass_blur(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Through frosted glass: pixels change places with near ones."""
    sigma, most, rounds = GLASS[int(amount) - 1]
    sigma, most = _length(images, sigma), round(_length(images, most))
    n, channels, height, width = images.shape
    made = _blurred(images, sigma)
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    for _ in range(rounds if most else 0):
        move = torch.randint(-most, most + 1, (2, n, height, width), generator=generator)
        place = (rows + move[0]).clamp(0, height - 1) * width + (columns + move[1]).clamp(0, width - 1)
        place = place.view(n, 1, -1).expand(-1, channels, -1).to(images.device)
        made = made.flatten(2).gather(2, place).view(images.shape)
    return _blurred(made, sigma).clamp(0, 1)


def motion_blur(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """The camera moves, in a direction of its own for every image."""
    length, sigma = (_length(images, one) for one in MOTION[int(amount) - 1])
    return _moved(images, length, sigma, _uniform(images, generator, -45, 45))


def _moved(images: torch.Tensor, length: float, sigma: float, degrees: torch.Tensor) -> torch.Tensor:
    """Smeared along a straight path of two lengths, where weights fall off as a Gaussian from its start."""
    steps = max(2, math.ceil(2 * length) + 1)
    places = torch.linspace(0, 2 * length, steps)
    weights = torch.exp(-(places**2) / (2 * max(sigma, 1e-3) ** 2))
    weights = weights / weights.sum()
    height, width = images.shape[2:]
    angle = torch.deg2rad(degrees)
    made = torch.zeros_like(images)
    for place, weight in zip(places.tolist(), weights.tolist(), strict=True):
        if weight < 1e-4:
            break
        m = torch.eye(3).repeat(len(images), 1, 1)
        m[:, 0, 2], m[:, 1, 2] = place * torch.cos(angle) * 2 / width, place * torch.sin(angle) * 2 / height
        made += weight * warp(images, m)
    return made.clamp(0, 1)


def zoom_blur(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """The camera comes near quickly."""
    end, step = ZOOM[int(amount) - 1]
    scales = torch.arange(1, end, step).tolist()
    made = images.clone()
    for scale in scales:
        made += warp(images, torch.diag(torch.tensor([1 / scale, 1 / scale, 1.0])).expand(len(images), 3, 3))
    return (made / (1 + len(scales))).clamp(0, 1)


def snow(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Flakes that fall, and a paler picture."""
    mean, deviation, size, least, length, sigma, weight = SNOW[int(amount) - 1]
    n, _, height, width = images.shape
    flakes = mean + deviation * torch.randn(n, 1, height, width, generator=generator)
    zoom = torch.diag(torch.tensor([1 / size, 1 / size, 1.0])).expand(n, 3, 3)
    flakes = warp(flakes, zoom)
    flakes = torch.where(flakes < least, 0.0, flakes).clamp(0, 1)
    angle = _uniform(images, generator, -135, -45)
    flakes = _moved(flakes, _length(images, length), _length(images, sigma), angle).to(images)
    paler = weight * images + (1 - weight) * torch.maximum(images, 1.5 * _gray(images) + 0.5)
    return (paler + flakes + flakes.flip(2, 3)).clamp(0, 1)


def frost(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Ice crystals on the lens: bright ridges of fractal noise."""
    own, ice = FROST[int(amount) - 1]
    ridges = 1 - (2 * _fractal(images, 1.25, generator) - 1).abs()
    spread = (ridges - ridges.mean((2, 3), keepdim=True)) / ridges.std((2, 3), keepdim=True).clamp_min(1e-6)
    texture = (0.6 + 0.18 * spread).clamp(0, 1)  # as light and as rich in contrast as the authors' photographs
    return (own * images + ice * texture.to(images)).clamp(0, 1)


def fog(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Fractal clouds in front of the picture."""
    thickness, decay = FOG[int(amount) - 1]
    clouds = _fractal(images, decay, generator).to(images)
    most = images.amax((1, 2, 3), keepdim=True)
    return ((images + thickness * clouds) * most / (most + thickness)).clamp(0, 1)


def _fractal(images: torch.Tensor, decay: float, generator: torch.Generator) -> torch.Tensor:
    """Noise of several octaves (N, 1, H, W), from 0 to 1, each finer by half and weaker by `decay`."""
    n, _, height, width = images.shape
    made, strength = torch.zeros(n, 1, height, width), 1.0
    cells = 2
    while cells <= max(height, width):
        coarse = strength * (2 * torch.rand(n, 1, cells + 1, cells + 1, generator=generator) - 1)
        made += F.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)
        cells, strength = 2 * cells, strength / decay
    low, high = made.amin((2, 3), keepdim=True), made.amax((2, 3), keepdim=True)
    return (made - low) / (high - low).clamp_min(1e-6)


def brightness(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Brighter, with hue and saturation as they are."""
    value = images.amax(1, keepdim=True)
    brighter = (value + BRIGHTNESS[int(amount) - 1]).clamp(max=1)
    return torch.where(value > 0, images * brighter / value.clamp_min(1e-6), brighter).clamp(0, 1)


def contrast(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Less difference between light and dark."""
    mean = images.mean((2, 3), keepdim=True)
    return ((images - mean) * CONTRAST[int(amount) - 1] + mean).clamp(0, 1)


def elastic_transform(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Stretched here and compressed there, by a smooth field of displacements."""
    n, _, height, width = images.shape
    drawn = 2 * torch.rand(n, 2, SIDE, SIDE, generator=generator).numpy() - 1
    smooth = 0.01 * SIDE
    field = ndimage.gaussian_filter(drawn, (0, 0, smooth, smooth), mode="reflect", truncate=3)
    share = torch.from_numpy(ELASTIC[int(amount) - 1] * 0.005 * field)  # of the side
    y, x = (torch.linspace(-1, 1, k) * (k - 1) / k for k in (height, width))
    moved = 2 * F.interpolate(share, (height, width), mode="bilinear", align_corners=False)
    grid = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1) + moved.permute(0, 2, 3, 1)
    made = F.grid_sample(images, grid.to(images), mode="bilinear", padding_mode="reflection", align_corners=False)
    return made.clamp(0, 1)


def pixelate(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Enlarged from a lower resolution."""
    height, width = images.shape[2:]
    share = PIXELATE[int(amount) - 1]
    small = F.interpolate(images, (max(1, int(height * share)), max(1, int(width * share))), mode="area")
    return F.interpolate(small, (height, width), mode="nearest-exact")


def jpeg_compression(images: torch.Tensor, amount: float, generator: torch.Generator) -> torch.Tensor:
    """Stored as JPEG of low quality; other numbers of channels than three are stored one by one."""
    colour = images.shape[1] == 3
    pictures = images.permute(0, 2, 3, 1) if colour else images.flatten(0, 1)
    values = (255 * pictures).round().byte().cpu().numpy()
    made = []
    for one in values:
        stream = io.BytesIO()
        Image.fromarray(one).save(stream, "JPEG", quality=JPEG[int(amount) - 1])
        made.append(np.asarray(Image.open(stream), np.float32) / 255)
    stored = torch.from_numpy(np.stack(made)).to(images)
    return stored.permute(0, 3, 1, 2).contiguous() if colour else stored.view(images.shape)


_FUNCTIONS: tuple[Function, ...] = (
    gaussian_noise, shot_noise, impulse_noise, defocus_blur, glass_blur, motion_blur, zoom_blur, snow, frost, fog,
    brightness, contrast, elastic_transform, pixelate, jpeg_compression,
)  # fmt: skip

CORRUPTIONS: dict[str, Change] = {
    function.__name__: Change("severity (ImageNet-C)", (1.0, 2.0, 3.0, 4.0, 5.0), function) for function in _FUNCTIONS
}
"""The corruptions by their published names, in the published order."""
