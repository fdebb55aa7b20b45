"""Pixels as numbers in [0, 1], in NumPy, and the number of images per batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH = 16
"""Images per request of an engine; throughput is flat from 8 to 32 on the processors measured."""


def unit_range(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """uint8 or uint16 of any shape to float32 in [0, 1]; floats pass as float32.

    Args:
        pixels: pixels of any shape.

    Returns:
        float32 of the same shape, the same bits as `loader.to_float` gives.

    Example:
        >>> unit_range(np.array([0, 255], np.uint8)).tolist()
        [0.0, 1.0]
    """
    found = np.asarray(pixels, np.float32)
    if pixels.dtype in (np.uint8, np.uint16):
        found = found / np.float32(np.iinfo(pixels.dtype).max)
    return found
