"""Images that belong to no set, images of other sets, and test images changed so little that they still belong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.promises.sets import SETS, BenchmarkSet, MissingError, sample_of

MILD = 0.1
"""Share of the brightness that is added or taken away."""

WORDS = (
    "the quick brown fox jumps over a lazy dog while seven wizards make toxic brew for an evil queen and jack reads "
    "every page of this long report about nothing at all"
)


def far_images(
    own: BenchmarkSet, shape: tuple[int, int, int], seed: int, sets: Mapping[str, BenchmarkSet] = SETS
) -> dict[str, Any]:
    """Far-OOD images for a model of a set with inputs of a shape (C, H, W), by name: 100 of noise, a row of grays, 50
    pages of text, and a sample of every one of the sets that is of another family.
    """
    draw = np.random.default_rng(1000 + seed)
    found: dict[str, Any] = {
        "noise": draw.integers(0, 256, (100, *shape), np.uint8),
        "constants": np.stack([np.full(shape, level, np.uint8) for level in (0, 32, 64, 96, 128, 160, 192, 224, 255)]),
        "text pages": [_page(draw) for _ in range(50)],
    }
    for other in sets.values():
        if other.family != own.family and not other.labels_alone:
            try:
                found[other.name] = sample_of(other.make(0), 100, seed)
            except MissingError:
                continue
    return found


def shifted(images: NDArray[np.uint8], seed: int = 0) -> NDArray[np.uint8]:
    """Images (N, C, H, W) moved left, right, up or down, by 1 pixel to 16 pixels a side, 2 to 64, else 4; the edge is
    repeated.
    """
    side = max(images.shape[2:])
    by = 1 if side <= 16 else 2 if side <= 64 else 4
    moves = np.array([(0, by), (0, -by), (by, 0), (-by, 0)])[np.random.default_rng(seed).integers(0, 4, len(images))]
    wide = np.pad(images, ((0, 0), (0, 0), (by, by), (by, by)), mode="edge")
    height, width = images.shape[2:]
    parts = [w[:, by - y : by - y + height, by - x : by - x + width] for w, (y, x) in zip(wide, moves, strict=True)]
    return np.stack(parts)


def brightened(images: NDArray[np.uint8], by: float) -> NDArray[np.uint8]:
    """Images with every value multiplied by 1 + by."""
    return np.rint(images.astype(np.float32) * (1 + by)).clip(0, 255).astype(np.uint8)


def _page(draw: np.random.Generator, width: int = 480, height: int = 640) -> Image.Image:
    """Black words on white."""
    page = Image.new("L", (width, height), 255)
    pen, size = ImageDraw.Draw(page), int(draw.integers(14, 30))
    font = ImageFont.load_default(size)
    for y in range(size, height - size, round(1.5 * size)):
        line = ""
        while pen.textlength(line, font) < 0.8 * width:
            line += f"{draw.choice(WORDS.split())} "
        pen.text((size, y), line, fill=0, font=font)
    return page
