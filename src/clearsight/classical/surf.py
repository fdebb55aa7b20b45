"""SURF, speeded-up robust features [Bay, Ess, Tuytelaars, Van Gool 2008], whose every filter is a few box sums.

    integral image -> determinant of the Hessian at several scales -> its maxima -> orientation -> 64 numbers

A sum over any rectangle costs four look-ups in the integral image, whatever its size, so larger scales use larger
filters on the same image. All points are worked on at once. Section numbers below are the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clearsight.classical.keypoints import KeyPoints, as_gray

Floats = NDArray[np.float64]

SMALLEST = 9
"""Side of the smallest filter in pixels; it answers to blobs of scale 1.2."""

WIDTH = 6.0
"""Standard deviation, in scales, of the Gaussian that a descriptor's samples count by. The paper's is 3.3, with samples
that belong to one part each; where they are shared between parts, a wider one finds more points again."""

WINDOWS = 72
"""Places of the sliding window of 60 degrees that looks for the orientation."""


def surf(
    image: ArrayLike, *, threshold: float = 0.0004, octaves: int = 4, upright: bool = False, limit: int = 0
) -> KeyPoints:
    """Key points and descriptors (K, 64) of an image (H, W) or (H, W, 3), values in [0, 1] or uint8.

    Args:
        image: array (H, W) or (H, W, 3), in [0, 1] or uint8.
        threshold: smallest determinant of the Hessian, of an image in [0, 1].
        octaves: number of octaves, at least 1.
        upright: leave out the orientation (U-SURF), for pictures that are not turned.
        limit: number of the strongest to keep, 0 for all. An image without any gives K = 0. Scales: the paper's, 1.2 is
            the filter of 9 pixels: three quarters of a blob's standard deviation.

    Returns:
        The key points, strongest first, with descriptors (K, 64).
    """
    total = integral(as_gray(image) / 255.0)
    found = [point for octave in range(octaves) for point in _maxima(total, octave, threshold)]
    points = np.concatenate(found) if found else np.zeros((0, 4))  # x, y, scale, strength
    points = _once(points[np.argsort(-points[:, 3], kind="stable")])
    points = points[:limit] if limit else points
    places, scales = points[:, :2], points[:, 2]
    angles = np.zeros(len(points)) if upright or not len(points) else _angles(total, places, scales)
    descriptors = _describe(total, places, scales, angles)
    arrays = (places, scales, angles, points[:, 3], descriptors)
    return KeyPoints(*(a.astype(np.float32) for a in arrays))


def surf_at(image: ArrayLike, places: ArrayLike, scales: ArrayLike) -> NDArray[np.float32]:
    """Upright descriptors (K, 64) at given places of an image (H, W) or (H, W, 3), values in [0, 1] or uint8.

    Args:
        image: array (H, W) or (H, W, 3), in [0, 1] or uint8.
        places: x and y in pixels (K, 2).
        scales: scale of each descriptor (K,), which looks at a square of 20 scales.

    Returns:
        float32 (K, 64).
    """
    total, where = integral(as_gray(image) / 255.0), np.asarray(places, np.float64)
    return _describe(total, where, np.asarray(scales, np.float64), np.zeros(len(where))).astype(np.float32)


def integral(image: NDArray[np.float64]) -> Floats:
    """Sums over everything above and to the left: (H, W) -> (H + 1, W + 1), total[y, x] = sum of image[:y, :x].

    Args:
        image: array (H, W).

    Returns:
        float64 (H + 1, W + 1).
    """
    out = np.zeros((image.shape[0] + 1, image.shape[1] + 1))
    out[1:, 1:] = image.cumsum(0).cumsum(1)
    return out


def box(total: Floats, top: NDArray[np.int64], left: NDArray[np.int64], height: int, width: int) -> Floats:
    """Sums of rectangles of one size, parts beyond the border counting nothing; top and left broadcast.

    Args:
        total: integral image (H + 1, W + 1).
        top: first rows.
        left: first columns.
        height: height of the rectangles in pixels.
        width: width of the rectangles in pixels.

    Returns:
        float64, of the shape that `top` and `left` broadcast to.
    """
    y0, y1 = (np.clip(v, 0, total.shape[0] - 1) for v in (top, top + height))
    x0, x1 = (np.clip(v, 0, total.shape[1] - 1) for v in (left, left + width))
    return np.asarray(total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0])


def hessian(total: Floats, rows: NDArray[np.int64], columns: NDArray[np.int64], side: int) -> Floats:
    """Approximate determinant of the Hessian with filters of a side in pixels: (len(rows), len(columns)), section 3.2.

    Lobes are a third of the side; second derivatives are weighted 1, -2, 1, mixed ones 1, -1, 1, -1, and the answer is
    per pixel of the filter. 0.9 balances the mixed term. Filters that leave the image answer 0.

    Args:
        total: integral image (H + 1, W + 1).
        rows: rows of the filters' centres.
        columns: columns of the filters' centres.
        side: side of the filter in pixels.

    Returns:
        float64 (len(rows), len(columns)).
    """
    y, x, lobe, reach = rows[:, None], columns[None, :], side // 3, side // 2
    wide = 2 * lobe - 1  # across the direction of the derivative

    dyy = box(total, y - reach, x - lobe + 1, side, wide) - 3 * box(total, y - lobe // 2, x - lobe + 1, lobe, wide)
    dxx = box(total, y - lobe + 1, x - reach, wide, side) - 3 * box(total, y - lobe + 1, x - lobe // 2, wide, lobe)
    dxy = (
        box(total, y - lobe, x - lobe, lobe, lobe)
        + box(total, y + 1, x + 1, lobe, lobe)
        - box(total, y - lobe, x + 1, lobe, lobe)
        - box(total, y + 1, x - lobe, lobe, lobe)
    )
    determinant = (dxx * dyy - (0.9 * dxy) ** 2) / side**4
    height, width = total.shape[0] - 1, total.shape[1] - 1
    within_bounds = (y >= reach) & (y < height - reach) & (x >= reach) & (x < width - reach)
    return np.where(within_bounds, determinant, 0.0)


def _maxima(total: Floats, octave: int, threshold: float) -> Iterator[Floats]:
    """Points (K, 4) as x, y, scale, strength: maxima of the determinant over place and scale, sections 3.3 and 3.4."""
    grow, stride = 6 * 2**octave, 2**octave
    sides = [SMALLEST + 6 * (2**octave - 1) + grow * i for i in range(4)]
    rows, columns = np.arange(0, total.shape[0] - 1, stride), np.arange(0, total.shape[1] - 1, stride)
    if min(len(rows), len(columns)) < 3:
        return
    responses = np.stack([hessian(total, rows, columns, side) for side in sides])
    for level in (1, 2):
        middle = responses[level, 1:-1, 1:-1]
        around = np.lib.stride_tricks.sliding_window_view(responses[level - 1 : level + 2], (3, 3, 3))[0]
        y, x = np.nonzero((middle > threshold) & (middle >= around.max((2, 3, 4))))
        cube = around[y, x]  # (K, scale, y, x)
        shift = _interpolated(cube)
        near = np.all(np.abs(shift) < 0.5 + 1e-9, axis=1)
        y, x, cube, shift = y[near], x[near], cube[near], shift[near]
        side = sides[level] + shift[:, 0] * grow
        places = np.stack([(x + 1 + shift[:, 2]) * stride, (y + 1 + shift[:, 1]) * stride], 1)
        yield np.column_stack([places, 1.2 * side / SMALLEST, cube[:, 1, 1, 1]])


def _once(points: Floats) -> Floats:
    """Points (K, 4), strongest first, without those a stronger one stands for: within two scales, and of a scale less
    than twice as large or small. Octaves overlap, and a blob found in two of them would be its own rival in matching.
    """
    kept = np.ones(len(points), bool)
    for start in range(0, len(points), 256):
        some, stronger = points[start : start + 256], points[: start + 256]
        apart = np.hypot(some[:, None, 0] - stronger[None, :, 0], some[:, None, 1] - stronger[None, :, 1])
        ratio = some[:, None, 2] / stronger[None, :, 2]
        same = (apart < 2 * np.minimum(some[:, None, 2], stronger[None, :, 2])) & (ratio < 2) & (ratio > 0.5)
        kept[start : start + 256] = ~np.tril(same, start - 1).any(1)
    return points[kept]


def _interpolated(cube: Floats) -> Floats:
    """Where a quadratic through each 3x3x3 cube (K, 3, 3, 3) has its top: offsets (K, 3) of scale, y, x [Brown
    2002].
    """
    slope = np.stack([np.diff(cube[:, ::2, 1, 1], axis=1), np.diff(cube[:, 1, ::2, 1], axis=1),
                      np.diff(cube[:, 1, 1, ::2], axis=1)], 1)[..., 0] / 2  # fmt: skip

    def at(*moved: int) -> Floats:
        """Values (K,) at the middle of each cube, moved along axes: axis, place, axis, place, ..."""
        place = [1, 1, 1]
        for axis, to in zip(moved[::2], moved[1::2], strict=True):
            place[axis] = to
        return np.asarray(cube[:, place[0], place[1], place[2]])

    bend = np.zeros((len(cube), 3, 3))
    centre = cube[:, 1, 1, 1]
    for i in range(3):
        bend[:, i, i] = at(i, 0) + at(i, 2) - 2 * centre
        for j in range(i):
            mixed = at(i, 0, j, 0) - at(i, 0, j, 2) - at(i, 2, j, 0) + at(i, 2, j, 2)
            bend[:, i, j] = bend[:, j, i] = mixed / 4
    flat = np.abs(np.linalg.det(bend)) < 1e-30
    bend[flat] = np.eye(3)
    slope[flat] = 1e9  # no top to be found
    return np.asarray(-np.linalg.solve(bend, slope[..., None])[..., 0])


def _haar(total: Floats, x: Floats, y: Floats, side: Floats) -> tuple[Floats, Floats]:
    """Haar wavelets (dx, dy) of sides (K, 1) around places (K, P): right minus left, below minus above.

    Places and sides are fractions of pixels, which the integral image answers by interpolation.
    """
    rows = [y + 0.5 + part * side for part in (-0.5, 0.0, 0.5)]  # pixel (0, 0) reaches from 0 to 1 there
    columns = [x + 0.5 + part * side for part in (-0.5, 0.0, 0.5)]
    (tl, tc, tr), (cl, _, cr), (bl, bc, br) = ([_between(total, row, column) for column in columns] for row in rows)
    dx = (br - tr - bc + tc) - (bc - tc - bl + tl)
    dy = (br - bl - cr + cl) - (cr - cl - tr + tl)
    return dx, dy


def _between(total: Floats, y: Floats, x: Floats) -> Floats:
    """The integral image at fractional places, held at its border."""
    height, width = total.shape
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    row = np.minimum(y.astype(np.int64), height - 2)
    column = np.minimum(x.astype(np.int64), width - 2)
    down, right = y - row, x - column
    flat, corner = total.ravel(), row * width + column
    above = flat[corner] * (1 - right) + flat[corner + 1] * right
    below = flat[corner + width] * (1 - right) + flat[corner + width + 1] * right
    return np.asarray(above * (1 - down) + below * down)


def _angles(total: Floats, places: Floats, scales: Floats) -> Floats:
    """The dominant orientation (K,) within 6 scales of each point, section 4.1."""
    grid = np.stack(np.meshgrid(np.arange(-6, 7), np.arange(-6, 7)), -1).reshape(-1, 2)
    grid = grid[(grid**2).sum(1) < 36]  # 109 places
    s = scales[:, None]
    dx, dy = _haar(total, places[:, :1] + s * grid[None, :, 0], places[:, 1:] + s * grid[None, :, 1], 4 * s)
    weight = np.exp(-(grid**2).sum(1) / (2 * 2.0**2))
    dx, dy = dx * weight, dy * weight
    angle = np.arctan2(dy, dx)
    longest, best = np.full(len(places), -1.0), np.zeros(len(places))
    for start in np.arange(WINDOWS) * (2 * math.pi / WINDOWS):
        in_window = (angle - start) % (2 * math.pi) < math.pi / 3
        sx, sy = (dx * in_window).sum(1), (dy * in_window).sum(1)
        length = sx**2 + sy**2
        better = length > longest
        longest[better], best[better] = length[better], np.arctan2(sy, sx)[better]
    return best


def _describe(total: Floats, places: Floats, scales: Floats, angles: Floats) -> Floats:
    """Sums of dx, |dx|, dy, |dy| over 4x4 parts of a square of 20 scales, turned to the orientation: (K, 64), section
    4.2.

    dx and dy are along and across the orientation. Rows have length 1, or 0 where nothing changes.
    """
    if not len(places):
        return np.zeros((0, 64))
    steps = np.arange(20) - 9.5
    v, u = np.meshgrid(steps, steps, indexing="ij")  # across and along
    u, v = u.ravel(), v.ravel()
    s, cos, sin = scales[:, None], np.cos(angles)[:, None], np.sin(angles)[:, None]
    x = places[:, :1] + s * (u * cos - v * sin)
    y = places[:, 1:] + s * (u * sin + v * cos)
    dx, dy = _haar(total, x, y, 2 * s)
    weight = np.exp(-(u**2 + v**2) / (2 * WIDTH**2))
    along, across = weight * (dx * cos + dy * sin), weight * (dy * cos - dx * sin)

    share = np.maximum(0, 1 - np.abs(steps[:, None] - (5 * np.arange(4) - 7.5)) / 5)  # of a sample in the parts
    shares = np.kron(share, share)  # (400, 16)

    def parts(values: Floats) -> Floats:
        return values @ shares

    sums = np.stack([parts(along), parts(np.abs(along)), parts(across), parts(np.abs(across))], -1).reshape(-1, 64)
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    return sums / np.where(length > 1e-9, length, 1.0)
