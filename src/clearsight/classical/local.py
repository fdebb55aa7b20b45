"""Local descriptors, of parts of an image: what visual words and Fisher vectors are made of.

    sift   4x4 cells of 8 orientations (128 numbers)      hog   a block of 2x2 cells of 9 orientations (36)
    surf   4x4 parts of 4 sums (64)                       lbp   2x2 cells of 10 uniform patterns (40)
    u-surf the same, upright at key points too

They are taken on a grid of places, upright and of one size, or at key points, turned and scaled as these are. Key
points are those of SIFT, and SURF's own for SURF; HOG and LBP describe there the patch around a point, brought to PATCH
pixels. On a grid, those of HOG are the blocks of `skimage.feature.hog`, and those of LBP histograms of
`skimage.feature.local_binary_pattern`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from clearsight.classical import keypoints, texture
from clearsight.classical.hog import hog, l2_hys, orientation_maps
from clearsight.classical.keypoints import KeyPoints
from clearsight.classical.sift import dense_sift
from clearsight.classical.surf import surf, surf_at
from clearsight.errors import DataError
from clearsight.wording import count

LOCAL: dict[str, int] = {"sift": 128, "surf": 64, "u-surf": 64, "hog": 36, "lbp": 40}
"""Kinds of local descriptors, and how many numbers each has."""

SURF = ("surf", "u-surf")
"""SURF with an orientation at each key point, and without; on a grid both are upright."""

ORIENTATIONS, PATTERNS = 9, 10
"""Bins of HOG over 180 degrees; uniform patterns of 8 neighbours, rotated ones alike, and one for all others."""

PATCH = 16
"""Side in pixels that the patch around a key point is brought to, for HOG and LBP."""

REACH = 12.0
"""Side of that patch in scales of the key point, as far as SIFT looks [Lowe 2004]."""


def on_grid(x: torch.Tensor, kind: str, step: int = 4, cell: int = 4) -> torch.Tensor:
    """Descriptors on a grid of places: (N, C, H, W) -> (N, rows, columns, D).

    Args:
        x: images (N, C, H, W), float32 in [0, 1].
        kind: one of `LOCAL`.
        step: pixels between neighbouring places.
        cell: side of a cell in pixels: of 4x4 for SIFT and SURF, of 2x2 for HOG and LBP.

    Returns:
        float32 (N, rows, columns, D).

    Raises:
        DataError: images smaller than a descriptor.
    """
    if kind == "sift":
        return dense_sift(texture.gray(x), step, cell)
    side = (4 if kind in SURF else 2) * cell
    if min(x.shape[2:]) < side:
        raise DataError(
            "the images are smaller than the patch of a descriptor", found=f"{x.shape[2]}x{x.shape[3]} pixels",
            expected=f"at least {side}x{side} with a cell size of {count(cell, 'pixel')}",
            fix="use smaller cells, such as --model-arg cell=3, or a larger --img-size",
        )  # fmt: skip
    if kind in SURF:
        return _surf_grid(x, step, cell)
    if kind == "hog":
        return l2_hys(_cells(orientation_maps(x, ORIENTATIONS), step, cell))
    codes = texture.lbp(texture.gray(x))
    return _cells(F.one_hot(codes, PATTERNS).permute(0, 3, 1, 2).to(x.dtype), step, cell)


def at_points(x: torch.Tensor, kind: str) -> list[KeyPoints]:
    """The key points of each image with descriptors of a kind.

    Args:
        x: images (N, C, H, W), float32 in [0, 1].
        kind: one of `LOCAL`.

    Returns:
        One set of key points for each image, perhaps empty.
    """
    images = texture.gray(x)[:, 0].cpu().numpy()
    if kind in SURF:
        return [surf(image, upright=kind == "u-surf") for image in images]
    found = [keypoints.sift(image) for image in images]
    return found if kind == "sift" else [_redescribed(*one, kind) for one in zip(images, found, strict=True)]


def _cells(maps: torch.Tensor, step: int, cell: int) -> torch.Tensor:
    """Means of maps (N, M, H, W) over 2x2 cells at each place, side by side: (N, rows, columns, 4 M), the M numbers of
    a cell together, row by row as in `hog`.
    """
    stride = math.gcd(step, cell)
    means = F.avg_pool2d(maps, cell, stride)
    rows, columns = ((side - 2 * cell) // step + 1 for side in maps.shape[2:])
    every, next_cell = step // stride, cell // stride
    parts = [
        means[:, :, top : top + (rows - 1) * every + 1 : every, left : left + (columns - 1) * every + 1 : every]
        for top in (0, next_cell)
        for left in (0, next_cell)
    ]
    return torch.cat(parts, 1).permute(0, 2, 3, 1)


def _surf_grid(x: torch.Tensor, step: int, cell: int) -> torch.Tensor:
    """Upright SURF (N, rows, columns, 64): its 20 scales are 4 cells wide, so a scale is a fifth of a cell."""
    rows, columns = ((side - 4 * cell) // step + 1 for side in x.shape[2:])
    across, down = np.meshgrid(np.arange(columns) * step, np.arange(rows) * step)
    places = np.stack([across.ravel(), down.ravel()], 1) + 2 * cell - 0.5  # the middle of the pixels looked at
    scales = np.full(len(places), cell / 5)
    found = np.stack([surf_at(image, places, scales) for image in texture.gray(x)[:, 0].cpu().numpy()])
    return torch.from_numpy(found.reshape(len(x), rows, columns, -1))


def _redescribed(image: NDArray[np.float32], points: KeyPoints, kind: str) -> KeyPoints:
    """Key points of an image (H, W) with HOG or LBP of their patches."""
    if not len(points):
        return replace(points, descriptors=np.zeros((0, LOCAL[kind]), np.float32))
    patches = torch.from_numpy(np.stack([patch(image, *place) for place in _frames(points)]))[:, None]
    half = PATCH // 2
    found = hog(patches, ORIENTATIONS, half, 2) if kind == "hog" else texture.lbp_histogram(patches, grid=2)
    return replace(points, descriptors=found.numpy().astype(np.float32))


def _frames(points: KeyPoints) -> list[tuple[float, float, float, float]]:
    return list(zip(*points.places.T.tolist(), points.scales.tolist(), points.angles.tolist(), strict=True))


def patch(image: NDArray[np.float32], x: float, y: float, scale: float, angle: float) -> NDArray[np.float32]:
    """The square of REACH scales around a place, turned upright, as (PATCH, PATCH) pixels; the border is repeated.

    Args:
        image: pixels (H, W).
        x: column of the middle.
        y: row of the middle.
        scale: scale of the key point in pixels.
        angle: its orientation in radians, from x towards y.

    Returns:
        float32 (PATCH, PATCH).
    """
    zoom = REACH * scale / PATCH
    cos, sin, middle = zoom * math.cos(angle), zoom * math.sin(angle), (PATCH - 1) / 2
    back = np.array([[cos, -sin, x - middle * (cos - sin)], [sin, cos, y - middle * (sin + cos)]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(image, back, (PATCH, PATCH), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32
    )
