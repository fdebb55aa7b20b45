"""Random changes to whole batches of training images (rule D7); the label stays true under each of them.

Shapes: images (N, C, H, W) float32 in [0, 1], any C, on any device; every change returns the same shape and range, and
changes each image in its own way. Random numbers come from a CPU generator; the few per image travel to the device.

There are two kinds of change. A warp moves pixels: it is a function from shape and generator to homographies (N, 3, 3),
which lead from the place (x, y, 1) of a pixel in the changed image to its place in the old one, x and y from -1 to 1
between the outer edges. Warps that follow each other are multiplied, and the images are sampled once: faster, and less
blurred than one after the other. All others are functions from images and generator to images. What mixes several
images, and with them their labels, is in `clearsight.data.mix`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial, reduce

import torch
from torch.nn import functional as F

Warp = Callable[[Sequence[int], torch.Generator], torch.Tensor]
Change = Callable[[torch.Tensor, torch.Generator], torch.Tensor]

LUMA = (0.299, 0.587, 0.114)
"""What red, green and blue add to a gray image (ITU-R BT.601)."""

LEAST_BLUR = 0.7
"""Pixels the sigma of a blur may always reach, however small the image; below that nothing would be seen."""


def augment(images: torch.Tensor, policy: str, generator: torch.Generator) -> torch.Tensor:
    """Change a batch by the named policy, or by several joined by +, in that order.

    Args:
        images: images (N, C, H, W), float32 in [0, 1].
        policy: names of `WARPS` and `CHANGES`, which `train.choices.AUGMENTATIONS` explains. The same state of the
            generator gives the same bits on the same device. The images given are never written to; "none" returns
            them.
        generator: source of random numbers; it is advanced.

    Returns:
        Images of the same shape, in [0, 1].
    """
    for warps, names in itertools.groupby(policy.split("+"), key=WARPS.__contains__):
        if warps:
            images = warp(images, reduce(torch.matmul, [WARPS[name](images.shape, generator) for name in names]))
        else:
            for name in names:
                images = CHANGES[name](images, generator)
    return images


def warp(images: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Sample each image where its homography (N, 3, 3) leads; bilinear, and outside the border pixel goes on.

    For affine matrices the grid is that of `torch.nn.functional.affine_grid` to the bit, many times faster.

    Args:
        images: images (N, C, H, W), float32 in [0, 1].
        matrices: homographies (N, 3, 3) in normalised coordinates.

    Returns:
        Images of the same shape.
    """
    y, x = (torch.linspace(-1, 1, n, device=images.device) * (n - 1) / n for n in images.shape[-2:])
    m = matrices.to(images.device)[..., None, None]  # (N, 3, 3, 1, 1)
    grid = m[:, :2, 0] * x + m[:, :2, 1] * y[:, None] + m[:, :2, 2]  # (N, 2, H, W)
    if (matrices[:, 2] != torch.tensor([0.0, 0.0, 1.0])).any():  # asked where the small tensor is
        grid = grid / (m[:, 2:, 0] * x + m[:, 2:, 1] * y[:, None] + m[:, 2:, 2])
    grid = grid.permute(0, 2, 3, 1)
    sampled = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.clamp_(0, 1)  # weights add up to 1 only within rounding


def affine(
    shape: Sequence[int], generator: torch.Generator, *, degrees: float, shift: float, zoom: float
) -> torch.Tensor:
    """Turn by up to `degrees`, shift by up to `shift` of the side, zoom by up to 1 ± `zoom`: matrices (N, 3, 3).

    Args:
        shape: shape (N, C, H, W) of the images.
        generator: source of random numbers; it is advanced.
        degrees: largest rotation in degrees.
        shift: largest shift as a share of the side.
        zoom: largest change of scale, as a share.

    Returns:
        float32 (N, 3, 3).
    """
    n, aspect = shape[0], shape[-1] / shape[-2]
    u = _symmetric(n, 4, generator)
    angle = u[:, 0] * math.radians(degrees)
    scale = 1 + u[:, 1] * zoom
    m = torch.eye(3).repeat(n, 1, 1)
    m[:, 0, 0] = m[:, 1, 1] = torch.cos(angle) / scale
    m[:, 0, 1] = -torch.sin(angle) / scale / aspect  # x and y have units of their own
    m[:, 1, 0] = torch.sin(angle) / scale * aspect
    m[:, :2, 2] = u[:, 2:] * 2 * shift  # in units of half a side
    return m


def crop(shape: Sequence[int], generator: torch.Generator, *, least: float, ratio: float) -> torch.Tensor:
    """A part of `least` to all of the area, enlarged to the whole [Szegedy 2014, section 6]: matrices (N, 3, 3).

    Its sides, each as a share of the image's own, are to each other as up to `ratio` to 1 either way, less where the
    part would not fit. The paper takes 8 % to 100 %; such small parts often miss what the label names.

    Args:
        shape: shape (N, C, H, W) of the images.
        generator: source of random numbers; it is advanced.
        least: smallest share of the area, in (0, 1].
        ratio: largest ratio of the sides, at least 1.

    Returns:
        float32 (N, 3, 3).
    """
    n = shape[0]
    u = torch.rand(n, 4, generator=generator)
    area = least + (1 - least) * u[:, 0]
    widest = torch.minimum(torch.tensor(math.log(ratio)), -torch.log(area))  # so that no side is longer than the image
    stretch = torch.exp((2 * u[:, 1] - 1) * widest)
    sides = torch.stack([(area * stretch).sqrt(), (area / stretch).sqrt()], dim=1)  # (N, 2) width and height
    m = torch.eye(3).repeat(n, 1, 1)
    m[:, 0, 0], m[:, 1, 1] = sides[:, 0], sides[:, 1]
    m[:, :2, 2] = (2 * u[:, 2:] - 1) * (1 - sides)
    return m


def perspective(shape: Sequence[int], generator: torch.Generator, *, strength: float) -> torch.Tensor:
    """Move each corner by up to `strength` of half a side, both ways: homographies (N, 3, 3).

    Below 0.5 the four corners always span a convex figure, so that the image is never folded.

    Args:
        shape: shape (N, C, H, W) of the images.
        generator: source of random numbers; it is advanced.
        strength: largest shift of a corner as a share of half a side, in [0, 0.5).

    Returns:
        float32 (N, 3, 3).
    """
    n = shape[0]
    here = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    there = here + strength * _symmetric(n, 8, generator).reshape(n, 4, 2)
    place = torch.cat([here, torch.ones(4, 1)], dim=1).expand(n, 4, 3)
    # there = (a x + b y + c) / (g x + h y + 1) at four corners: eight equations, linear in the eight numbers
    equations = torch.zeros(n, 4, 2, 8)
    equations[:, :, 0, :3] = equations[:, :, 1, 3:6] = place
    equations[..., 6:] = -there[..., None] * here[:, None, :]
    found = torch.linalg.solve(equations.reshape(n, 8, 8), there.reshape(n, 8))
    return torch.cat([found, torch.ones(n, 1)], dim=1).reshape(n, 3, 3)


def mirror(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror every other image left to right.

    Args:
        images: images (N, C, H, W), float32 in [0, 1].
        generator: source of random numbers; it is advanced.

    Returns:
        Images of the same shape.

    Example:
        >>> images = torch.rand(4, 3, 8, 8)
        >>> mirror(images, torch.Generator().manual_seed(0)).shape
        torch.Size([4, 3, 8, 8])
    """
    chosen = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def flip(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror every other image left to right and, apart from that, every other one top to bottom.

    Args:
        images: images (N, C, H, W), float32 in [0, 1].
        generator: source of random numbers; it is advanced.

    Returns:
        Images of the same shape.
    """
    images = mirror(images, generator)
    chosen = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    return torch.where(chosen[:, None, None, None], images.flip(-2), images)


def colour(
    images: torch.Tensor, generator: torch.Generator, *, brightness: float, contrast: float, saturation: float
) -> torch.Tensor:
    """Add up to ± `brightness`, scale contrast by up to 1 ± `contrast` about each image's mean, and colour likewise.

    Saturation is scaled about each pixel's gray, in images of three channels alone.

    Args:
        images: images (N, C, H, W), float32 in [0, 1].
        generator: source of random numbers; it is advanced.
        brightness: largest change of brightness, for pixels in [0, 1].
        contrast: largest change of the contrast factor.
        saturation: largest change of the saturation factor.

    Returns:
        Images of the same shape, in [0, 1].
    """
    u = _symmetric(len(images), 3, generator).to(images.device)[..., None, None, None]
    if images.shape[1] == 3 and saturation:
        gray = torch.einsum("nchw,c->nhw", images, torch.tensor(LUMA, device=images.device))[:, None]
        images = torch.lerp(gray, images, 1 + saturation * u[:, 2])
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, 1 + contrast * u[:, 1]).add_(brightness * u[:, 0]).clamp_(0, 1)


def hue(images: torch.Tensor, generator: torch.Generator, *, turn: float) -> torch.Tensor:
    """Shift the hue of each image by up to ± `turn` of the colour circle; saturation and value (HSV) stay.

    Args:
        images: images (N, C, H, W), float32 in [0, 1]; those without three channels have no hue.
        generator: source of random numbers; it is advanced.
        turn: largest shift as a share of the colour circle, in [0, 0.5].

    Returns:
        Images of the same shape, in [0, 1].
    """
    shift = turn * _symmetric(len(images), 1, generator).to(images.device)[..., None]
    return shifted_hue(images, shift) if images.shape[1] == 3 else images


def shifted_hue(images: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Shift the hue of each image.

    Args:
        images: colour images (N, 3, H, W), float32 in [0, 1].
        shift: share of the colour circle, (N, 1, 1).

    Returns:
        Images of the same shape.
    """
    red, green, blue = images.unbind(1)
    value, least = images.amax(1), images.amin(1)
    chroma = value - least
    scale = chroma.clamp(min=1e-8)
    sector = torch.where(  # of the colour circle, 0 to 6
        value == red,
        (green - blue) / scale,
        torch.where(value == green, 2 + (blue - red) / scale, 4 + (red - green) / scale),
    )
    sector = sector + 6 * shift
    # of each channel c: value - chroma * clamp(min(k, 4 - k), 0, 1), k = (n_c + sector) mod 6, n = 5, 3, 1
    k = (torch.tensor([5.0, 3.0, 1.0], device=images.device)[:, None, None] + sector[:, None]) % 6
    return value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)


def noise(images: torch.Tensor, generator: torch.Generator, *, sigma: float) -> torch.Tensor:
    """Add Gaussian noise, independent in every channel, whose deviation is up to `sigma`, each image its own.

    Args:
        images: images (N, C, H, W), float32 in [0, 1].
        generator: source of random numbers; it is advanced.
        sigma: largest standard deviation, for pixels in [0, 1].

    Returns:
        Images of the same shape, in [0, 1].
    """
    sigmas = (torch.rand(len(images), 1, 1, 1, generator=generator) * sigma).to(images.device)
    if images.device.type != "cpu":  # as many numbers as pixels: drawn beside the images, from one drawn here
        seed = int(torch.randint(2**62, (), generator=generator))
        generator = torch.Generator(images.device).manual_seed(seed)
    grain = torch.randn(images.shape, generator=generator, device=images.device)
    return grain.mul_(sigmas).add_(images).clamp_(0, 1)


def blur(images: torch.Tensor, generator: torch.Generator, *, sigma: float) -> torch.Tensor:
    """Blur by a Gaussian whose deviation is up to `sigma` of the longer side (or `LEAST_BLUR`), each image its own.

    Args:
        images: images (N, C, H, W), float32 in [0, 1].
        generator: source of random numbers; it is advanced.
        sigma: largest standard deviation as a share of the longer side.

    Returns:
        Images of the same shape.
    """
    most = max(LEAST_BLUR, sigma * max(images.shape[-2:]))
    return gaussian_blur(images, torch.rand(len(images), generator=generator) * most, math.ceil(3 * most))


def gaussian_blur(images: torch.Tensor, sigmas: torch.Tensor, radius: int) -> torch.Tensor:
    """Convolve each image with a Gaussian of its sigma (N,) in pixels, cut off after `radius` pixels, mirrored outside.

    One grouped convolution per axis, in which every channel of every image is a group.

    Args:
        images: images (N, C, H, W), float32 in [0, 1].
        sigmas: standard deviations (N,) in pixels.
        radius: radius of the kernel in pixels.

    Returns:
        Images of the same shape.
    """
    n, channels = images.shape[:2]
    spread = sigmas.to(images.device).clamp(min=1e-3)[:, None]
    blurred = images.reshape(1, n * channels, *images.shape[2:])
    for axis in (0, 1):
        reach = min(radius, images.shape[2 + axis] - 1)  # a mirror shows no more than there is
        weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=images.device) / spread) ** 2)
        weights = (weights / weights.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)  # (N C, 2 reach + 1)
        kernel = weights[:, None, None, :] if axis else weights[:, None, :, None]
        border = [reach, reach, 0, 0] if axis else [0, 0, reach, reach]
        blurred = F.conv2d(F.pad(blurred, border, mode="reflect"), kernel, groups=n * channels)
    return blurred.reshape(images.shape).clamp_(0, 1)


def erase(images: torch.Tensor, generator: torch.Generator, *, share: float) -> torch.Tensor:
    """Paint one square of up to `share` of the area with the image's mean, in every other image [Zhong 2017].

    Square as a share of either side, and in whole pixels, rounded down.

    Args:
        images: images (N, C, H, W), float32 in [0, 1].
        generator: source of random numbers; it is advanced.
        share: largest share of the area, in (0, 1).

    Returns:
        Images of the same shape.
    """
    u = torch.rand(len(images), 4, generator=generator)
    sides = torch.tensor(images.shape[-2:])
    relative = (share * u[:, :1] * (u[:, 3:] < 0.5)).sqrt()  # 0 leaves the image as it is
    size = (relative * sides).floor()
    first = (u[:, 1:3] * (sides - size + 1)).floor()
    return torch.where(boxes(images, first, first + size), images.mean(dim=(2, 3), keepdim=True), images)


def boxes(images: torch.Tensor, first: torch.Tensor, past: torch.Tensor) -> torch.Tensor:
    """A mask (N, 1, H, W), true from the row and column of `first` (N, 2) on, up to but without those of `past`.

    Args:
        images: images (N, C, H, W), float32 in [0, 1].
        first: first row and column (N, 2).
        past: row and column after the last (N, 2).

    Returns:
        bool (N, 1, H, W).
    """
    first, past = first.to(images.device), past.to(images.device)
    places = [torch.arange(side, device=images.device) for side in images.shape[-2:]]
    rows, columns = (
        (place >= first[:, axis, None]) & (place < past[:, axis, None]) for axis, place in enumerate(places)
    )
    return rows[:, None, :, None] & columns[:, None, None, :]


def strong(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror, turn, shift, zoom, colour, erase.

    Args:
        images: images (N, C, H, W), float32 in [0, 1].
        generator: source of random numbers; it is advanced.

    Returns:
        Images of the same shape, in [0, 1].
    """
    images = mirror(images, generator)
    images = warp(images, affine(images.shape, generator, degrees=15, shift=0.12, zoom=0.2))
    images = colour(images, generator, brightness=0.2, contrast=0.3, saturation=0.3)
    return erase(images, generator, share=0.25)


def rand(images: torch.Tensor, generator: torch.Generator, *, count: int = 2) -> torch.Tensor:
    """RandAugment [Cubuk 2019, arXiv:1909.13719]: to each image `count` changes drawn from `RANDOM`, with replacement.

    Each change runs once per turn, on the images that drew it. Departs from the paper in the changes, which are those
    of this file, and in their strength: uniform up to a largest one, as in TrivialAugment [Müller 2021], not searched.

    Args:
        images: images (N, C, H, W), float32 in [0, 1].
        generator: source of random numbers; it is advanced.
        count: number of changes per image.

    Returns:
        Images of the same shape, in [0, 1].
    """
    drawn = torch.randint(len(RANDOM), (count, len(images)), generator=generator)
    images = images.clone()
    for turn in drawn:
        for number, change in enumerate(RANDOM.values()):
            chosen = (turn == number).nonzero()[:, 0].to(images.device)
            if len(chosen):
                images[chosen] = change(images[chosen], generator)
    return images


def _symmetric(n: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """Uniform in [-1, 1): (n, count)."""
    return torch.rand(n, count, generator=generator) * 2 - 1


def _unchanged(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return images


def _warped(how: Warp) -> Change:
    return lambda images, generator: warp(images, how(images.shape, generator))


WARPS: dict[str, Warp] = {
    "light": partial(affine, degrees=10, shift=0.1, zoom=0.1),
    "crop": partial(crop, least=0.35, ratio=4 / 3),
    "affine": partial(affine, degrees=15, shift=0.12, zoom=0.2),
    "perspective": partial(perspective, strength=0.25),
}
"""The policies that only move pixels."""

CHANGES: dict[str, Change] = {
    "none": _unchanged,
    "strong": strong,
    "mirror": mirror,
    "flip": flip,
    "colour": partial(colour, brightness=0.2, contrast=0.3, saturation=0.4),
    "hue": partial(hue, turn=0.1),
    "noise": partial(noise, sigma=0.1),
    "blur": partial(blur, sigma=0.01),
    "erase": partial(erase, share=0.25),
    "rand": rand,
}
"""All other policies."""

RANDOM: dict[str, Change] = {
    "nothing": _unchanged,
    "turn": _warped(partial(affine, degrees=30, shift=0, zoom=0)),
    "shift": _warped(partial(affine, degrees=0, shift=0.2, zoom=0)),
    "zoom": _warped(partial(affine, degrees=0, shift=0, zoom=0.3)),
    "perspective": _warped(partial(perspective, strength=0.35)),
    "brightness": partial(colour, brightness=0.3, contrast=0, saturation=0),
    "contrast": partial(colour, brightness=0, contrast=0.7, saturation=0),
    "saturation": partial(colour, brightness=0, contrast=0, saturation=0.9),
    "noise": partial(noise, sigma=0.1),
    "blur": partial(blur, sigma=0.015),
    "erase": partial(erase, share=0.3),
}
"""What `rand` draws from. Like the paper's, no mirror: it would make other digits and letters of some."""
