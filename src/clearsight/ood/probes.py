"""Built-in far-OOD images: noise, constants, patterns and pages of text, which belong to no set of pictures.

A detector of out-of-distribution images that misses them is of little use, whatever it says of classes left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

Floats = NDArray[np.float32]
Shape = tuple[int, int, int]

COUNT = 20
"""Images of each kind."""

LETTERS = "etaoinshrdlucmfwypvbgkjqxzETAOINS0123456789.,;"
"""What pages of text are made of, common letters first."""


LINE = 100
"""Letters of a line, of which as many are seen as there is room for."""


def far_probes(shape: Shape, seed: int = 0, count: int = COUNT) -> dict[str, Floats]:
    """Far-OOD images by kind, each (count, C, H, W) float32 in [0, 1]; the same for the same seed.

    Args:
        shape: (C, H, W) of the images wanted, in gray (C = 1) or colour.
        seed: of all random numbers.
        count: images of each kind.
    """
    makers: dict[str, Callable[[Shape, np.random.Generator], Floats]] = {
        "uniform noise": _uniform,
        "gaussian noise": _gaussian,
        "blurred noise": _blurred,
        "constant": _constant,
        "stripes": _stripes,
        "checkerboard": _checkerboard,
        "text page": _text_page,
        "mixture": _mixture,
    }
    probes = {}
    for number, (name, make) in enumerate(makers.items()):
        draw = np.random.default_rng([seed, number])
        images = np.stack([make(shape, draw) for _ in range(count)])
        probes[name] = np.asarray(images.clip(0, 1), np.float32)
    return probes


def _uniform(shape: Shape, draw: np.random.Generator) -> Floats:
    return draw.random(shape, np.float32)


def _gaussian(shape: Shape, draw: np.random.Generator) -> Floats:
    deviation = draw.uniform(0.15, 0.4)
    return np.asarray(draw.uniform(0.3, 0.7) + deviation * draw.standard_normal(shape), np.float32)


def _blurred(shape: Shape, draw: np.random.Generator) -> Floats:
    """Uniform noise behind a Gaussian of 1 to 3 % of the side and 0.5 pixels at least, at its full contrast."""
    sigma = max(0.5, draw.uniform(0.01, 0.03) * min(shape[1:]))
    noise = gaussian_filter(draw.random(shape), (0, sigma, sigma), mode="wrap")
    return np.asarray((noise - noise.min()) / max(np.ptp(noise), 1e-6), np.float32)


def _constant(shape: Shape, draw: np.random.Generator) -> Floats:
    """One gray or one colour; black, white and middle gray among them."""
    plain = draw.choice([0.0, 0.25, 0.5, 0.75, 1.0]) * np.ones(shape[0])
    colour = plain if draw.random() < 0.5 else draw.random(shape[0])
    return np.broadcast_to(colour[:, None, None], shape).astype(np.float32)


def _colours(shape: Shape, draw: np.random.Generator) -> tuple[Floats, Floats]:
    """Two colours (C, 1, 1), clearly apart: black and white, or any."""
    dark, light = (draw.uniform(low, low + 0.3, (shape[0], 1, 1)) for low in (0.0, 0.7))
    if draw.random() < 0.5:
        dark, light = np.zeros_like(dark), np.ones_like(light)
    return np.asarray(dark, np.float32), np.asarray(light, np.float32)


def _stripes(shape: Shape, draw: np.random.Generator) -> Floats:
    """Bars across, down or aslant, 2 to 16 pairs in the side and 2 pixels a pair at least."""
    dark, light = _colours(shape, draw)
    y, x = np.mgrid[: shape[1], : shape[2]]
    period = max(2.0, min(shape[1:]) / draw.integers(2, 17))
    angle = math.pi / 4 * draw.integers(4)
    phase = (np.cos(angle) * x + np.sin(angle) * y) / period + draw.random()
    return np.where(phase % 1 < 0.5, dark, light)


def _checkerboard(shape: Shape, draw: np.random.Generator) -> Floats:
    dark, light = _colours(shape, draw)
    y, x = np.mgrid[: shape[1], : shape[2]]
    side = max(1.0, min(shape[1:]) / draw.integers(4, 17))
    return np.where((x // side + y // side) % 2 < 1, dark, light)


def _text_page(shape: Shape, draw: np.random.Generator) -> Floats:
    """Lines of random words, black on white or nearly so, 12 to 24 lines a page, scaled to the size."""
    page = max(224, *shape[1:])
    lines = int(draw.integers(12, 25))
    pitch = page / lines
    image = Image.new("L", (page, page), int(draw.integers(235, 256)))
    pen, font, ink = ImageDraw.Draw(image), ImageFont.load_default(max(6, 0.75 * pitch)), int(draw.integers(0, 60))
    common = 1 / np.arange(1, len(LETTERS) + 1)
    signs = draw.choice(list(LETTERS), (lines, LINE), p=common / common.sum())
    signs[draw.random((lines, LINE)) < 0.18] = " "
    for row, line in enumerate(signs):
        pen.text((0.05 * page, (row + 0.1) * pitch), "".join(line), ink, font)
    small = image.resize((shape[2], shape[1]), Image.Resampling.BOX)
    return np.broadcast_to(np.asarray(small, np.float32) / 255, shape)


def _mixture(shape: Shape, draw: np.random.Generator) -> Floats:
    """Two of the other kinds, side by side or one over the other."""
    kinds = (_uniform, _gaussian, _blurred, _stripes, _text_page)
    first, second = (kinds[k](shape, draw) for k in draw.permutation(len(kinds))[:2])
    if draw.random() < 0.5:
        return np.asarray((first + second) / 2, np.float32)
    half = [np.arange(side) < side // 2 for side in shape[1:]]
    return np.where(half[1] if draw.random() < 0.5 else half[0][:, None], first, second)
