"""Gray views of images in three sizes: copies are searched in the small, aligned in the medium and verified in the
large ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clearsight.data.cache import threaded
from clearsight.data.thumbnails import LUMA, Box

SMALL, MEDIUM, LARGE = 32, 48, 96
"""Sides of the views in pixels. The large view has 48 pixels a side if the images have no more."""

SMOOTHING = 1.0
"""Standard deviation in pixels of the blur of the large view: a copy that was scaled or moved by a fraction of a pixel
has other fine detail."""

FLAT = 2.5
"""Standard deviation of the gray levels, of 255, below which an image shows too little to be compared."""

Levels = NDArray[np.uint8]


@dataclass(frozen=True)
class Views:
    """Views of N images, each stretched to the range 0 to 255, which no comparison here depends on.

    small (N, 32, 32), medium (N, 48, 48), large (N, V, V). colour (N, 2): mean red and blue minus green, of 255.
    comparable (N,): whether the image shows enough to be compared.
    """

    small: Levels
    medium: Levels
    large: Levels
    colour: NDArray[np.float32]
    comparable: NDArray[np.bool_]

    @classmethod
    def of(
        cls, images: NDArray[Any], rows: NDArray[np.int64], *, side: int, top: float, boxes: dict[int, Box]
    ) -> Views:
        """Views of some images.

        Args:
            images: pixels of all images (M, C, H, W).
            rows: positions of the N images.
            side: usual side in pixels of the images, before they were scaled to the size of `images`.
            top: the largest level, which counts as 255.
            boxes: part of an image that is not padding, by position; a position without one has no padding.

        Returns:
            The views of the N images.
        """
        large = LARGE if side > MEDIUM else MEDIUM
        sizes = (SMALL, MEDIUM, large)
        arrays = [np.empty((len(rows), n, n), np.uint8) for n in sizes]
        colour = np.zeros((len(rows), 2), np.float32)
        comparable = np.zeros(len(rows), bool)

        def fill(place: int) -> None:
            pixels = images[rows[place]]
            if box := boxes.get(int(rows[place])):
                pixels = pixels[:, box[0] : box[1], box[2] : box[3]]
            planes = pixels.astype(np.float32) * (255 / top)
            gray = np.tensordot(LUMA, planes, 1) if len(planes) == 3 else planes.mean(0)
            comparable[place] = float(gray.std()) >= FLAT
            if len(planes) == 3:
                means = planes.mean((1, 2))
                colour[place] = means[0] - means[1], means[2] - means[1]
            low, high = float(gray.min()), float(gray.max())
            gray = (gray - low) * (255 / max(high - low, 1e-6))
            scaled = [_scaled(gray, n) for n in sizes]
            scaled[2] = cv2.GaussianBlur(scaled[2], (0, 0), SMOOTHING, borderType=cv2.BORDER_REPLICATE)
            for array, view in zip(arrays, scaled, strict=True):
                array[place] = np.rint(np.clip(view, 0, 255))

        for _ in threaded(fill, range(len(rows))):
            pass
        small, medium, detailed = arrays
        return cls(small, medium, detailed, colour, comparable)


def _scaled(gray: NDArray[Any], side: int) -> NDArray[Any]:
    """A gray image (H, W) as (side, side)."""
    method = cv2.INTER_AREA if min(gray.shape) > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(gray, (side, side), interpolation=method))


def turned(images: NDArray[Any], turn: int) -> NDArray[Any]:
    """Square images (N, S, S) after one of the eight symmetries of the square.

    Args:
        images: the images.
        turn: quarter turns anticlockwise, 0 to 3; plus 4 for images that are mirrored first.

    Returns:
        Images (N, S, S).
    """
    mirrored = images[:, :, ::-1] if turn >= 4 else images
    return np.ascontiguousarray(np.rot90(mirrored, turn % 4, (1, 2)))


def inverse(turn: int) -> int:
    """The turn that undoes another; a mirrored image needs the same again.

    Args:
        turn: number of a turn.

    Returns:
        Number of its inverse.
    """
    return turn if turn >= 4 else -turn % 4
