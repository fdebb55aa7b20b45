"""The mask of one detection: the class activation map around its peak, made to follow the edges of the image.

The map is coarse and smooth. So the image around the detection is divided into segments of similar colour
[Felzenszwalb, Huttenlocher 2004], and the map is averaged over each. The segment with the highest mean is the peak; the
mask is this and all segments whose mean is near it.

Shapes: image (H, W, C) uint8 or uint16; maps and masks (H, W).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clearsight.metrics.localisation import box_iou

AROUND = 0.3
"""How far around a box the image is divided, as a share of its longer side: segments that go on outside the box, where
the map fades, are background."""

GRAIN = 60
"""How coarse segments are (`scale` of scikit-image). The image is not smoothed before, or edges become segments."""


AGREES = 0.4
"""Overlap (IoU) of the box around a mask with the typical box of its class from which both count."""


def outline(
    image: NDArray[Any],
    heat: NDArray[np.float32],
    window: NDArray[np.float64],
    typical: NDArray[np.float64],
    share: float,
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """The mask of an object, and its box.

    Args:
        image: the image (H, W, C).
        heat: the map of its class (H, W), zero outside its window.
        window: x0, y0, x1, y1 of the window in which it was recognised.
        typical: box of the typical shape of its class in that window.
        share: as for `instance_mask`.

    Returns:
        The mask (H, W) in the window, and the mean of the box around it and the typical box. If these overlap by less
        than `AGREES`, the mask in the typical box, and the typical box.
    """
    size = heat.shape[0], heat.shape[1]
    mask = instance_mask(image, heat, clipped(window, size), share)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows):
        around = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
        if box_iou(around[None], typical[None])[0, 0] >= AGREES:
            return mask, (around + typical) / 2
    return instance_mask(image, heat, clipped(typical, size), share), typical


def clipped(box: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """The part of a box inside an image.

    Args:
        box: x0, y0, x1, y1.
        size: (H, W) of the image.

    Returns:
        The box (4,), clipped.
    """
    return np.asarray(np.clip(box, 0, [size[1], size[0]] * 2))


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


def instance_mask(
    image: NDArray[Any], heat: NDArray[np.float32], box: NDArray[np.float64], share: float
) -> NDArray[np.bool_]:
    """The pixels of one object.

    Args:
        image: the image (H, W, C).
        heat: the map of its class (H, W), zero outside its window.
        box: x0, y0, x1, y1 of the part of the image to which the mask is confined.
        share: a segment belongs to the object if its mean of the map reaches this share of the highest one, 0 to 1.

    Returns:
        bool (H, W); empty where the map is zero.
    """
    from skimage.segmentation import felzenszwalb

    mask = np.zeros(heat.shape, bool)
    left, top, right, bottom = (int(v) for v in np.rint(box))
    if right <= left or bottom <= top or heat[top:bottom, left:right].max() <= 0:
        return mask
    around = round(AROUND * max(right - left, bottom - top))
    rows, columns = slice(max(0, top - around), bottom + around), slice(max(0, left - around), right + around)
    part, shown = image[rows, columns], heat[rows, columns]
    least = max(4, (right - left) * (bottom - top) // 50)
    segment = felzenszwalb(part, scale=GRAIN, sigma=0, min_size=least, channel_axis=2).ravel()
    mean = np.bincount(segment, shown.ravel()) / np.bincount(segment)
    mask[rows, columns] = (mean >= share * mean.max())[segment].reshape(shown.shape)
    within = np.zeros_like(mask)
    within[top:bottom, left:right] = True
    return mask & within
