"""The mask of one detection: the region of its class activation map around the peak.

Shapes: image (H, W, C) uint8 or uint16; maps and masks (H, W).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def laid(window: NDArray[np.float64], heat: NDArray[np.float32] | None, size: tuple[int, int]) -> NDArray[np.float32]:
    """A window's map on its image.

    Args:
        window: the window as x0, y0, x1, y1, which may reach beyond the image.
        heat: its map (h, w); None for ones.
        size: (H, W) of the image.

    Returns:
        The map (H, W), zero outside the window.
    """
    shown = np.zeros(size, np.float32)
    left, top, right, bottom = (int(v) for v in np.rint(window))
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, size[1]), min(bottom, size[0])
    if x1 > x0 and y1 > y0:
        sides = right - left, bottom - top
        whole = np.ones(sides[::-1], np.float32) if heat is None else cv2.resize(heat, sides)
        shown[y0:y1, x0:x1] = whole[y0 - top : y1 - top, x0 - left : x1 - left]
    return shown


def instance_mask(image: NDArray[Any], heat: NDArray[np.float32], share: float) -> NDArray[np.bool_]:
    """The pixels of one object.

    Args:
        image: the image (H, W, C).
        heat: the map of its class (H, W), zero outside its box.
        share: share of the maximum from which a pixel may belong to the object.

    Returns:
        bool (H, W).
    """
    from scipy import ndimage

    if heat.max() <= 0:
        return np.zeros(heat.shape, bool)
    numbered, _ = ndimage.label(heat >= share * heat.max(), np.ones((3, 3)))
    return np.asarray(numbered == numbered[np.unravel_index(int(heat.argmax()), heat.shape)])
