"""Images too large to hold at full size: means of square blocks of pixels, collected from parts of the image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.geometry import Geometry
from clearsight.data.pixel_format import FULL_PIXELS


def reduction(width: int, height: int, geometry: Geometry, channels: int = 1) -> int:
    """The side of the blocks that a large image is averaged over when it is decoded.

    As for JPEG, what is left has at least twice the working size. The blocks of an image that is wanted at its own
    size are single pixels.

    Args:
        width: width of the image in pixels.
        height: height of the image in pixels.
        geometry: size of the result.
        channels: number of its channels; with more than four, fewer pixels make it large.

    Returns:
        The side in pixels; 1 for images that are not large.
    """
    if not is_large(width, height, channels):
        return 1
    wide, high = geometry.needed((width, height))
    return max(1, min(width // max(1, wide), height // max(1, high)))


def is_large(width: int, height: int, channels: int = 1) -> bool:
    """Whether an image is decoded in parts.

    Args:
        width: width in pixels.
        height: height in pixels.
        channels: number of channels.

    Returns:
        True for more than `FULL_PIXELS` pixels, or as many values as four channels of these have.
    """
    return width * height * max(4, channels) > 4 * FULL_PIXELS


class BlockMeans:
    """Collects the mean of each block of `side` x `side` pixels; blocks at the right and lower edge may be smaller.

    Args:
        shape: height, width and channels of the image.
        side: side of the blocks in pixels.
        dtype: type of the values.
    """

    def __init__(self, shape: tuple[int, ...], side: int, dtype: np.dtype[Any]) -> None:
        (self.height, self.width, channels), self.side, self.dtype = shape, side, dtype
        self.sums = np.zeros((-(-self.height // side), -(-self.width // side), channels))

    def add(self, part: NDArray[Any], top: int, left: int, channel: int = 0) -> None:
        """Add a part of the image; parts must not overlap.

        Args:
            part: values (h, w, C); what lies beyond the image is ignored.
            top: row of its first pixel.
            left: column of its first pixel.
            channel: number of its first channel.
        """
        part = part[: self.height - top, : self.width - left]
        rows, columns = (
            np.unique((start + np.arange(length)) // self.side, return_index=True)
            for start, length in ((top, part.shape[0]), (left, part.shape[1]))
        )
        whole = np.uint64 if part.dtype.kind in "ub" else np.float64
        summed = np.add.reduceat(part, rows[1], axis=0, dtype=whole)
        summed = np.add.reduceat(summed, columns[1], axis=1)
        self.sums[
            rows[0][0] : rows[0][-1] + 1, columns[0][0] : columns[0][-1] + 1, channel : channel + part.shape[2]
        ] += summed

    def result(self) -> NDArray[Any]:
        """The means of all blocks.

        Returns:
            Values (h, w, C) of the type of the image; integers are rounded.
        """
        tall, wide = (
            np.minimum(self.side, length - self.side * np.arange(-(-length // self.side)))
            for length in (self.height, self.width)
        )
        means = self.sums / (tall[:, None, None] * wide[None, :, None])
        return np.asarray((means if self.dtype.kind == "f" else np.rint(means)).astype(self.dtype))
