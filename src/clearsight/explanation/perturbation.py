"""Heatmaps from what an answer does when parts of the image are hidden: they need a score, no gradients.

score maps images (B, C, H, W) float32 in [0, 1] to one number each (B,), such as the probability of a class; it is
called with at most `batch` images. image is (C, H, W); results are (H, W).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Score = Callable[[Floats], NDArray[np.floating]]
Progress = Callable[[int, int], None]


def occlusion(
    score: Score,
    image: Floats,
    *,
    window: int | None = None,
    stride: int | None = None,
    fill: float | Floats = 0.5,
    batch: int = 16,
    progress: Progress | None = None,
) -> Floats:
    """How much the score falls when a square is covered, averaged over the squares a pixel lies in [Zeiler, Fergus
    2014].

    window: side in pixels, an eighth of the shorter side unless given, 1 at least. stride: half of that.
    fill: what covers, a gray or (C, 1, 1).
    """
    height, width = image.shape[1:]
    side = window or max(1, min(height, width) // 8)
    step = stride or max(1, side // 2)
    places = [
        (top, left) for top in range(0, height - side + step, step) for left in range(0, width - side + step, step)
    ]
    whole = float(score(image[None])[0])
    fall, count = np.zeros((height, width)), np.zeros((height, width))
    for start in range(0, len(places), batch):
        chosen = places[start : start + batch]
        covered = np.repeat(image[None], len(chosen), 0)
        for one, (top, left) in zip(covered, chosen, strict=True):
            one[:, top : top + side, left : left + side] = fill
        for value, (top, left) in zip(score(covered), chosen, strict=True):
            fall[top : top + side, left : left + side] += whole - value
            count[top : top + side, left : left + side] += 1
        if progress:
            progress(min(len(places), start + batch), len(places))
    return np.asarray(fall / count, np.float32)


def lime(
    score: Score,
    image: Floats,
    *,
    segments: NDArray[np.int64] | None = None,
    samples: int = 500,
    width: float = 0.25,
    strength: float = 1e-3,
    fill: float | Floats = 0.5,
    seed: int = 0,
    batch: int = 16,
    progress: Progress | None = None,
) -> Floats:
    """Weight of each superpixel in a linear model of the score around the image [Ribeiro, Singh, Guestrin 2016].

    segments (H, W): numbers of the superpixels, `superpixels` unless given. Each sample hides a random half of them;
    it counts exp(-d² / width²) with d = 1 - sqrt(share kept). strength: of the ridge penalty.
    """
    parts = superpixels(image) if segments is None else segments
    count = int(parts.max()) + 1
    masks = np.random.default_rng(seed).random((samples, count)) < 0.5
    masks[0] = True
    values = _masked(score, image, parts, masks, fill, batch, progress)
    distance = 1 - np.sqrt(masks.mean(1))
    weights = np.exp(-(distance**2) / width**2)
    return np.asarray(_ridge(masks.astype(float), values, weights, strength)[parts], np.float32)


def shap(
    score: Score,
    image: Floats,
    *,
    segments: NDArray[np.int64] | None = None,
    samples: int = 500,
    fill: float | Floats = 0.5,
    seed: int = 0,
    batch: int = 16,
    progress: Progress | None = None,
) -> Floats:
    """Shapley value of each superpixel: its mean contribution over all orders of uncovering them [Lundberg, Lee 2017].

    Kernel SHAP: coalitions are drawn by size in proportion to the Shapley kernel, each with its complement, or all are
    taken where they are no more than samples; a linear model of the score whose weights sum to score(image) -
    score(all hidden) then has the Shapley values as weights.
    """
    parts = superpixels(image) if segments is None else segments
    count = int(parts.max()) + 1
    ends = _masked(score, image, parts, np.array([[False] * count, [True] * count]), fill, batch, None)
    if count == 1:
        return np.full(parts.shape, ends[1] - ends[0], np.float32)
    masks, weights = _coalitions(count, samples, np.random.default_rng(seed))
    values = _masked(score, image, parts, masks, fill, batch, progress)
    # the last weight follows from the sum: phi_M = gap - the others
    gap = ends[1] - ends[0]
    last = masks[:, -1].astype(float)
    left = masks[:, :-1] - last[:, None]
    right = values - ends[0] - last * gap
    scaled = left * weights[:, None]
    phi = np.linalg.lstsq(left.T @ scaled, scaled.T @ right, rcond=None)[0]
    return np.asarray(np.append(phi, gap - phi.sum())[parts], np.float32)


def superpixels(image: Floats, count: int = 50) -> NDArray[np.int64]:
    """Numbers (H, W) from 0 of about so many connected patches of like colour (SLIC); of squares in a small image."""
    height, width = image.shape[1:]
    if min(height, width) < 32:
        rows, columns = (np.arange(n) * min(n, 8) // n for n in (height, width))
        return np.asarray(rows[:, None] * (columns.max() + 1) + columns, np.int64)
    from skimage.segmentation import slic

    found = slic(np.moveaxis(image, 0, 2).astype(np.float64), count, compactness=10, channel_axis=2, start_label=0)
    return np.asarray(np.unique(found, return_inverse=True)[1].reshape(height, width), np.int64)


def _masked(
    score: Score,
    image: Floats,
    parts: NDArray[np.int64],
    masks: NDArray[np.bool_],
    fill: float | Floats,
    batch: int,
    progress: Progress | None,
) -> NDArray[np.float64]:
    """The score with only the superpixels of each mask (S, M) shown."""
    found = []
    for start in range(0, len(masks), batch):
        shown = masks[start : start + batch][:, parts][:, None]
        found.append(score(np.where(shown, image, np.float32(fill)).astype(np.float32)))
        if progress:
            progress(min(len(masks), start + batch), len(masks))
    return np.concatenate(found).astype(np.float64)


def _coalitions(count: int, samples: int, rng: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Coalitions (S, M) but the empty and the full one, and their weights in the regression."""
    if count < 20 and 2**count - 2 <= samples:
        bits = np.arange(1, 2**count - 1)[:, None] >> np.arange(count)
        masks = (bits & 1).astype(bool)
        sizes = masks.sum(1)
        kernel = [(count - 1) / (math.comb(count, s) * s * (count - s)) for s in sizes]
        return masks, np.array(kernel)
    sizes = np.arange(1, count)
    share = 1 / (sizes * (count - sizes))
    drawn = rng.choice(sizes, samples // 2, p=share / share.sum())
    half = rng.random((len(drawn), count)).argsort(1).argsort(1) < drawn[:, None]
    return np.concatenate([half, ~half]), np.ones(2 * len(half))


def _ridge(
    x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64], strength: float
) -> NDArray[np.float64]:
    """Weights of the linear model with intercept that fits y best, weighted, with a penalty on their squares."""
    share = weights / weights.sum()
    mean, middle = share @ x, share @ y
    centred = (x - mean) * share[:, None]
    return np.asarray(np.linalg.solve(centred.T @ (x - mean) + strength * np.eye(x.shape[1]), centred.T @ (y - middle)))
