"""Fitting what knows normal features alone: the heads of detectors, and what is usual of their distances.

Shapes: maps (N, D, h, w), memory-mapped; P = h w places; distances (N, P).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.models.anomaly_model import GaussianHead, MemoryHead, coreset

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]

POINTS = 20_000
"""Patches from which the memory of PatchCore is taken, drawn at random."""

MEMORY = 2000
"""Features that are remembered."""

NEIGHBOURS = {"knn": 5, "patchcore": 1}
"""Nearest remembered features that a distance is the mean over."""

FAR = 3.0
"""A score further above the upper quartile than so many interquartile ranges is a far outlier [Tukey 1977]."""

FEW = 0.2
"""Share of the images that are set aside at most."""

LEAST_SPREAD = 0.1
"""Smallest spread of a place's distances, as a share of the mean one: where normal images never differ, rounding errors
would be anomalies."""

CHUNK = 128


def far_out(scores: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which scores are far outliers upwards, FEW of them at most."""
    low, high = np.quantile(scores, (0.25, 0.75))
    fence = max(high + FAR * (high - low), float(np.quantile(scores, 1 - FEW)))
    return np.asarray(scores > fence)


def usual(away: Floats) -> tuple[Floats, Floats]:
    """Level and spread (P,) of distances (N, P): median, and the median distance from it as a deviation."""
    level = np.median(away, axis=0)
    spread = 1.4826 * np.median(np.abs(away - level), axis=0)
    return level.astype(np.float32), np.maximum(spread, LEAST_SPREAD * spread.mean() + 1e-6).astype(np.float32)


def fit_head(method: str, maps: Floats, fit: Rows, seed: int) -> GaussianHead | MemoryHead:
    """The head of a method on the features of some images."""
    if method in ("padim", "mahalanobis"):
        return GaussianHead.of(*moments(maps, fit), len(fit))
    if method == "knn":
        return MemoryHead.of(maps[fit][:, :, 0, 0], NEIGHBOURS[method])
    rng = np.random.default_rng(seed)
    each = -(-POINTS // len(fit))
    points = []
    for i in fit:
        flat = maps[i].reshape(maps.shape[1], -1).T  # (P, D)
        points.append(flat[rng.permutation(len(flat))[:each]])
    joined = np.concatenate(points)
    return MemoryHead.of(joined[coreset(joined, MEMORY, seed)], NEIGHBOURS[method])


def moments(maps: Floats, fit: Rows) -> tuple[Floats, Floats]:
    """Mean (P, D) and covariance (P, D, D) at each place, a chunk of images at a time."""
    features, places = maps.shape[1], int(np.prod(maps.shape[2:]))
    mean = np.zeros((places, features))
    for rows in _chunks(fit):
        mean += maps[rows].reshape(len(rows), features, places).sum(0).T
    mean /= len(fit)
    covariance = np.zeros((places, features, features), np.float32)
    for rows in _chunks(fit):
        x = maps[rows].reshape(len(rows), features, places).transpose(2, 0, 1) - mean[:, None].astype(np.float32)
        covariance += x.transpose(0, 2, 1) @ x
    covariance /= len(fit)
    return mean.astype(np.float32), covariance


def distances(head: GaussianHead | MemoryHead, maps: Floats, rows: Rows) -> Floats:
    """How far every place of some images lies from normal (N, P)."""
    with torch.inference_mode():
        return np.concatenate([head(torch.from_numpy(np.array(maps[some]))).numpy() for some in _chunks(rows)])


def _chunks(rows: Rows) -> list[Rows]:
    return [rows[i : i + CHUNK] for i in range(0, len(rows), CHUNK)]
