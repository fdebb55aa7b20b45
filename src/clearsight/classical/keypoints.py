"""Key points: places in a picture that can be found again, and vectors that describe them.

points = sift(image)                 scale-invariant feature transform, through OpenCV
points = surf(image)                 speeded-up robust features (module `surf`)
pairs = matched(sift(a), sift(b))    which points of two pictures are the same
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from clearsight.errors import DataError


@dataclass(frozen=True)
class KeyPoints:
    """K points of one image: places (K, 2) as x, y in pixels; scales (K,), the standard deviation in pixels of the blob
    they stand for; angles (K,) in radians, from x towards y; strengths (K,); descriptors (K, D) of length 1.
    """

    places: NDArray[np.float32]
    scales: NDArray[np.float32]
    angles: NDArray[np.float32]
    strengths: NDArray[np.float32]
    descriptors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.places)


def sift(image: ArrayLike, limit: int = 0) -> KeyPoints:
    """SIFT key points [Lowe 2004] of an image (H, W) or (H, W, 3), values in [0, 1] or uint8, by OpenCV.

    limit: number of the strongest to keep, 0 for all. An image without any gives K = 0.
    """
    found, vectors = cv2.SIFT.create(nfeatures=limit).detectAndCompute(as_gray(image), None)
    if not found:
        return KeyPoints(*(np.zeros(s, np.float32) for s in ((0, 2), (0,), (0,), (0,), (0, 128))))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return KeyPoints(
        places=np.array([p.pt for p in found], np.float32),
        scales=np.array([p.size / 2 for p in found], np.float32),
        angles=np.radians(np.array([p.angle for p in found], np.float32)),
        strengths=np.array([p.response for p in found], np.float32),
        descriptors=(vectors / np.maximum(lengths, 1e-12)).astype(np.float32),
    )


def matched(a: KeyPoints, b: KeyPoints, ratio: float = 0.8) -> NDArray[np.int64]:
    """Pairs (M, 2) of numbers of points that are each other's nearest, clearly nearer than the second one.

    ratio: largest distance to the nearest as a share of that to the second nearest [Lowe 2004, section 7.1].
    """
    from scipy.spatial.distance import cdist

    if len(a) < 1 or len(b) < 2:
        return np.zeros((0, 2), np.int64)
    distance = cdist(a.descriptors, b.descriptors)
    order = np.argpartition(distance, 1, axis=1)[:, :2]
    two = np.take_along_axis(distance, order, 1)
    nearest = order[np.arange(len(a)), two.argmin(1)]
    clear = two.min(1) < ratio * two.max(1)
    mutual = distance.argmin(0)[nearest] == np.arange(len(a))
    first = np.flatnonzero(clear & mutual)
    return np.stack([first, nearest[first]], 1)


def as_gray(image: ArrayLike) -> NDArray[np.uint8]:
    """An image as 8-bit gray (H, W)."""
    f = np.asarray(image)
    if f.ndim == 3 and f.shape[2] in (1, 3):
        f = f[..., 0] if f.shape[2] == 1 else f @ np.array([0.2125, 0.7154, 0.0721])
        f = f if np.issubdtype(np.asarray(image).dtype, np.floating) else np.round(f).astype(np.uint8)
    if f.ndim != 2 or 0 in f.shape:
        raise DataError(
            "the input is not an image", found=f"an array of shape {f.shape}", expected="(H, W) or (H, W, 3)"
        )
    return f if f.dtype == np.uint8 else np.round(np.clip(f, 0, 1) * 255).astype(np.uint8)
