"""Made-up anomalies, to choose between detectors before a real one is seen: a part of a normal image is pasted
elsewhere in it [CutPaste, Li, Sohn, Yoon, Pfister 2021].

Every other image gets a rectangle of 2 to 15 % of its area, as there; the others a scar, a long thin strip.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

AREA = (0.02, 0.15)
"""Of a rectangle, as a share of the image; its sides are at most 1 to 3.3."""

SCAR = (0.03, 0.35)
"""Width and length of a scar, as shares of the image's shorter side."""

SEEN = 0.02
"""Mean change of the pixels pasted over, as a share of their range, from which a change counts as one."""

TRIES = 20


def pasted(images: NDArray[Any], seed: int) -> NDArray[Any]:
    """A made-up anomaly of each image (N, C, H, W), of the same type."""
    rng = np.random.default_rng(seed)
    found = np.array(images)
    for i, image in enumerate(found):
        original = image.copy()
        for _ in range(TRIES):
            _paste(image, original, _size(image.shape[1:], i % 2 == 1, rng), rng)
            if _changed(image, original):
                break
    return found


def _size(shape: tuple[int, ...], scar: bool, rng: np.random.Generator) -> tuple[int, int]:
    """Height and width of what is cut out, smaller than the image."""
    height, width = shape
    if scar:
        sides = [SCAR[0] * min(shape), SCAR[1] * min(shape)]
        tall, wide = sides if rng.random() < 0.5 else sides[::-1]
    else:
        area, ratio = rng.uniform(*AREA) * height * width, np.exp(rng.uniform(-np.log(3.3), np.log(3.3)))
        tall, wide = np.sqrt(area * ratio), np.sqrt(area / ratio)
    return min(max(1, round(tall)), height - 1), min(max(1, round(wide)), width - 1)


def _paste(image: NDArray[Any], original: NDArray[Any], size: tuple[int, int], rng: np.random.Generator) -> None:
    tall, wide = size
    (top, left), (y, x) = (
        (int(rng.integers(image.shape[1] - tall + 1)), int(rng.integers(image.shape[2] - wide + 1))) for _ in range(2)
    )
    image[:] = original
    image[:, y : y + tall, x : x + wide] = original[:, top : top + tall, left : left + wide]


def _changed(image: NDArray[Any], original: NDArray[Any]) -> bool:
    """Whether the pixels that were pasted over look different."""
    away = np.abs(image.astype(np.float32) - original.astype(np.float32))
    over = (away > 0).any(0)
    return bool(over.any() and away[:, over].mean() >= SEEN * np.iinfo(image.dtype).max)
