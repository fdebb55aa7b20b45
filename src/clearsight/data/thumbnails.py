"""Small gray versions of images, which are compared to find images that look the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.cached_pixels import CachedPixels
from clearsight.data.store import Recipe, rows_of

THUMBNAIL = 16
"""Side in pixels of the gray thumbnails that are compared for near duplicates."""

NEAR = 0.999
"""Correlation of two thumbnails from which two images count as near duplicates, where only thumbnails are compared.

In images of 96 pixels or more, JPEG at quality 50, noise of 2 % and small changes of brightness or contrast leave
0.9997 or more; in smaller ones JPEG at quality 85 does. Different solar cells of one module, photographed alike, reach
0.9986; different digits of 8x8 pixels 0.994.
"""

Box = tuple[int, int, int, int]
"""Top, bottom, left and right in pixels."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in gray [ITU-R BT.601]. Not their mean: JPEG stores colour at half the size."""


def thumbnails(pixels: CachedPixels) -> NDArray[np.uint16]:
    """Gray block means of images, from the store or computed in chunks.

    They have 16 bits: at 8 bits, rounding alone would make copies of pale images look different.

    Args:
        pixels: cached pixels of N images.

    Returns:
        Thumbnails (N, 16, 16), uint16.
    """

    def compute(missing: NDArray[np.int64]) -> Iterator[tuple[tuple[NDArray[np.uint16]], str]]:
        for start in range(0, len(missing), 256):
            yield from (((row,), "") for row in _block_means(pixels.array[missing[start : start + 256]]))

    shapes = (("thumbnails", (THUMBNAIL, THUMBNAIL), np.dtype(np.uint16)),)
    recipe = Recipe("thumbnails", f"1 {pixels.array.shape[1:]}", lambda: shapes, compute)
    return np.asarray(rows_of(recipe, pixels.contents).arrays["thumbnails"])


def unpadded_thumbnails(pixels: CachedPixels, boxes: Mapping[int, Box]) -> NDArray[np.uint16]:
    """Thumbnails of the parts of images that are not padding, which would make different images look alike.

    Args:
        pixels: cached pixels of N images.
        boxes: the part of an image that is not padding, by position; a position without one has no padding.

    Returns:
        Thumbnails (N, 16, 16), uint16.
    """
    small = thumbnails(pixels).copy()
    for i, (top, bottom, left, right) in boxes.items():
        small[i] = _block_means(pixels.array[i][None, :, top:bottom, left:right])[0]
    return small


def _block_means(chunk: NDArray[Any]) -> NDArray[np.uint16]:
    """Of images (n, C, H, W)."""
    height, width = chunk.shape[2:]
    rows = np.linspace(0, height, THUMBNAIL + 1).astype(int)
    cols = np.linspace(0, width, THUMBNAIL + 1).astype(int)
    scale = 257 if chunk.dtype == np.uint8 else 1
    luma = LUMA if chunk.shape[1] == 3 else np.full(chunk.shape[1], 1 / chunk.shape[1], np.float32)
    gray = np.tensordot(chunk.astype(np.float32), luma, (1, 0)) * scale
    # images below 16 pixels have empty blocks: reduceat then repeats the pixel at the boundary
    summed = np.add.reduceat(np.add.reduceat(gray, rows[:-1], axis=1), cols[:-1], axis=2)
    area = np.maximum(np.diff(rows), 1)[:, None] * np.maximum(np.diff(cols), 1)[None, :]
    return np.asarray(np.rint(summed / area), np.uint16)


def unit_thumbnails(small: NDArray[np.uint16]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Thumbnails as centred unit vectors.

    Args:
        small: thumbnails (N, 16, 16).

    Returns:
        Vectors (N, 256), and a boolean array (N,) that marks thumbnails too flat to compare.
    """
    vectors = small.reshape(len(small), -1).astype(np.float32) / 257
    vectors -= vectors.mean(axis=1, keepdims=True)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(length, 1e-6), length[:, 0] < 5 * THUMBNAIL
