"""Changes of an image that leave it a copy."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from benchmarks.audit.planted import Image8, Rng


def _part(image: Image8, rng: Rng) -> Image8:
    """70 % of the area."""
    height, width = (round(side * 0.7**0.5) for side in image.shape[:2])
    y, x = (int(rng.integers(side - new + 1)) for side, new in zip(image.shape[:2], (height, width), strict=True))
    return image[y : y + height, x : x + width]


def _moved(image: Image8, rng: Rng) -> Image8:
    """Shifted by up to 12 % of each side, black where nothing is."""
    out = np.zeros_like(image)
    height, width = image.shape[:2]
    dy, dx = (round(rng.uniform(0.04, 0.12) * side) * int(rng.choice([-1, 1])) for side in (height, width))
    rows, columns = slice(max(0, dy), height + min(0, dy)), slice(max(0, dx), width + min(0, dx))
    out[rows, columns] = image[max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
    return out


def _resaved(image: Image8, rng: Rng) -> Image8:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=int(rng.integers(70, 95)))
    return np.asarray(Image.open(stream))


def _resized(image: Image8, rng: Rng) -> Image8:
    share = rng.uniform(0.75, 1.5)
    height, width = (round(side * share) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


CHANGES: dict[str, Callable[[Image8, Rng], Image8]] = {
    "re-encoded": _resaved,
    "resized": _resized,
    "brightness": lambda a, rng: np.clip(a * rng.uniform(0.8, 1.15) + rng.uniform(-10, 10), 0, 255).astype(np.uint8),
    "mirrored": lambda a, _: a[:, ::-1].copy(),
    "rotated": lambda a, rng: np.rot90(a, rng.integers(1, 4)).copy(),
    "shifted": _moved,
    "cropped": lambda a, rng: _part(a, rng).copy(),
}


def changed(image: Image8, how: str, rng: Rng) -> Image8:
    """A changed copy of an image."""
    return CHANGES[how](image, rng)
