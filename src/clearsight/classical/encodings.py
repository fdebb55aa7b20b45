"""From many local descriptors to one vector: bags of visual words, spatial pyramids, Fisher vectors.

Local descriptors are (N, R, C, D): N images, a grid of R x C places, D numbers each. What is learned is learned from a
sample of the training images' descriptors (M, D) alone.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from clearsight.errors import DataError

Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]


def learn_words(
    sample: Floats, words: int, *, seed: int, rounds: int = 100, progress: Progress | None = None
) -> Floats:
    """A vocabulary (words, D): the centres of mini-batch k-means on the sample (M, D) [Sculley 2010].

    Args:
        sample: descriptors (M, D).
        words: number of words.
        seed: random seed.
        rounds: number of passes over the sample.
        progress: called with the number of images done and of all.

    Returns:
        float32 (words, D).
    """
    from sklearn.cluster import MiniBatchKMeans

    _enough(sample, words, "words")
    batch = min(len(sample), max(4096, 4 * words))
    rng = np.random.default_rng(seed)
    found = MiniBatchKMeans(words, random_state=seed, batch_size=batch, n_init=1, compute_labels=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of k-means on MKL; nothing to do with the sample
        for i in range(rounds):
            found.partial_fit(sample[rng.choice(len(sample), batch, replace=False)])
            if progress:
                progress(i + 1, rounds)
    return np.asarray(found.cluster_centers_, np.float32)


@dataclass(frozen=True)
class Mixture:
    """A mixture of K Gaussians with diagonal covariance: weights (K,), means (K, D), variances (K, D)."""

    weights: Floats
    means: Floats
    variances: Floats


def learn_mixture(
    sample: Floats, components: int, *, seed: int, rounds: int = 40, progress: Progress | None = None
) -> Mixture:
    """Fit a mixture to the sample (M, D) by expectation-maximisation, begun from k-means.

    Args:
        sample: descriptors (M, D).
        components: number of Gaussians.
        seed: random seed.
        rounds: maximum number of iterations.
        progress: called with the number of images done and of all.

    Returns:
        Weights, means and variances of the mixture.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    _enough(sample, components, "components")
    centres = learn_words(sample, components, seed=seed, rounds=30)
    spread = np.tile(1 / np.maximum(sample.var(axis=0), 1e-6), (components, 1))
    found = GaussianMixture(
        components, covariance_type="diag", max_iter=1, warm_start=True, random_state=seed, reg_covar=1e-6,
        means_init=centres, precisions_init=spread, weights_init=np.full(components, 1 / components),
    )  # fmt: skip
    bound = -math.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # each fit is one round
        for i in range(rounds):
            found.fit(sample)
            if progress:
                progress(i + 1, rounds)
            if found.lower_bound_ - bound < 1e-3:
                break
            bound = found.lower_bound_
    if progress:
        progress(rounds, rounds)
    return Mixture(*(np.asarray(a, np.float32) for a in (found.weights_, found.means_, found.covariances_)))


def _enough(sample: Floats, needed: int, what: str) -> None:
    distinct = len(np.unique(sample[:20_000], axis=0))
    if distinct < needed:
        raise DataError(
            f"the training images have too few distinct descriptors for {needed} {what}",
            found=f"{distinct}",
            fix=f"use fewer {what}, larger images or a smaller --model-arg step",
        )


def words_of(local: torch.Tensor, vocabulary: torch.Tensor) -> torch.Tensor:
    """Number of the nearest word of each descriptor: (N, R, C, D), (K, D) -> (N, R, C).

    Args:
        local: descriptors (N, R, C, D).
        vocabulary: words (K, D).

    Returns:
        int64 (N, R, C).
    """
    score = local @ vocabulary.T - vocabulary.square().sum(1) / 2  # highest where the distance is lowest
    return score.argmax(-1)


def pyramid(words: torch.Tensor, size: int, levels: int = 3) -> torch.Tensor:
    """Spatial pyramid [Lazebnik, Schmid, Ponce 2006]: shares of the words in each cell of 1, 2x2, 4x4, ... grids.

    (N, R, C) -> (N, size (4**levels - 1) / 3). Level l counts with weight 1/2**(L - l + 1), level 0 with 1/2**L, where
    L is levels - 1, so that coinciding in a finer grid counts more; every level's shares add up to 1 before that.

    Args:
        words: word numbers (N, R, C).
        size: number of words in the vocabulary.
        levels: number of levels, at least 1.

    Returns:
        float32 (N, size (4**levels - 1) / 3).
    """
    n, rows, columns = words.shape
    grid = 2 ** (levels - 1)
    row = torch.arange(rows, device=words.device) * grid // rows
    column = torch.arange(columns, device=words.device) * grid // columns
    cell = row[:, None] * grid + column[None]
    counts = torch.zeros(n, grid * grid * size, device=words.device)
    index = (cell * size + words).flatten(1)
    counts.scatter_add_(1, index, torch.ones_like(index, dtype=counts.dtype))
    return pyramid_of_counts(counts.view(n, grid, grid, size))


def pyramid_of_counts(counts: torch.Tensor) -> torch.Tensor:
    """The pyramid from counts in the cells of its finest grid: (N, 2**L, 2**L, size) -> (N, size (4**(L + 1) - 1) / 3).

    An image without any word gives zeros.

    Args:
        counts: counts (N, 2**L, 2**L, size).

    Returns:
        float32 (N, size (4**(L + 1) - 1) / 3).
    """
    n, side = counts.shape[:2]
    finest = side.bit_length() - 1
    total = counts.sum((1, 2, 3)).clamp_min(1)
    parts = []
    for level in range(finest + 1):
        grid, each = 2**level, 2 ** (finest - level)
        cells = counts.view(n, grid, each, grid, each, -1).sum((2, 4))
        weight = 2.0**-finest if level == 0 else 2.0 ** (level - finest - 1)
        parts.append(cells.flatten(1) * weight / total[:, None])
    return torch.cat(parts, 1)


def fisher_pyramid(
    local: torch.Tensor, weights: torch.Tensor, means: torch.Tensor, variances: torch.Tensor, levels: int = 1
) -> torch.Tensor:
    """Improved Fisher vectors of each cell of 1, 2x2, 4x4, ... grids, side by side, of length 1 together.

    local (N, R, C, D) -> (N, (K + 2 K D) (4**levels - 1) / 3). A cell without descriptors gives zeros.

    Args:
        local: descriptors (N, R, C, D).
        weights: weights of the mixture (K,).
        means: means of the mixture (K, D).
        variances: variances of the mixture (K, D).
        levels: number of levels, at least 1.

    Returns:
        float32 (N, (K + 2 K D) (4**levels - 1) / 3).
    """
    size = len(weights) * (2 * local.shape[3] + 1)
    parts = [
        fisher(cell, weights, means, variances) if cell.shape[1] * cell.shape[2] else local.new_zeros(len(local), size)
        for level in range(levels)
        for row in local.tensor_split(2**level, dim=1)
        for cell in row.tensor_split(2**level, dim=2)
    ]
    return torch.nn.functional.normalize(torch.cat(parts, 1))


def fisher_of_cells(
    cells: Sequence[torch.Tensor], weights: torch.Tensor, means: torch.Tensor, variances: torch.Tensor
) -> torch.Tensor:
    """Improved Fisher vectors of the descriptors in each cell of one image, side by side, of length 1 together.

    Args:
        cells: descriptors of each cell (P, D), perhaps none.
        weights: weights of the mixture (K,).
        means: means of the mixture (K, D).
        variances: variances of the mixture (K, D).

    Returns:
        float32 (cells (K + 2 K D),); zeros for cells without descriptors.
    """
    size = len(weights) * (2 * means.shape[1] + 1)
    parts = [
        fisher(own[None, None], weights, means, variances)[0] if len(own) else own.new_zeros(size) for own in cells
    ]
    return torch.nn.functional.normalize(torch.cat(parts), dim=0)


def fisher(
    local: torch.Tensor,
    weights: torch.Tensor,
    means: torch.Tensor,
    variances: torch.Tensor,
    *,
    improved: bool = True,
) -> torch.Tensor:
    """Fisher vectors [Perronnin, Sánchez, Mensink 2010]: how the mixture would have to change to explain each image.

    local (N, R, C, D) -> (N, K + 2 K D): gradients of the log-likelihood by weights, means and deviations, each by its
    Fisher information, in scikit-image's order and signs.

    Args:
        local: descriptors (N, R, C, D).
        weights: weights of the mixture (K,).
        means: means of the mixture (K, D).
        variances: variances of the mixture (K, D).
        improved: signed square root, then length 1.

    Returns:
        float32 (N, K + 2 K D).
    """
    x = local.flatten(1, 2)  # (N, P, D)
    count = x.shape[1]
    inverse = 1 / variances
    log_density = -0.5 * (
        x.square() @ inverse.T
        - 2 * x @ (means * inverse).T
        + (means.square() * inverse).sum(1)
        + variances.log().sum(1)
        + x.shape[-1] * math.log(2 * math.pi)
    )
    posterior = (log_density + weights.log()).softmax(-1)  # (N, P, K)
    zeroth = posterior.mean(1)  # (N, K)
    first = posterior.transpose(1, 2) @ x / count  # (N, K, D)
    second = posterior.transpose(1, 2) @ x.square() / count
    d_weights = (zeroth - weights) / weights.sqrt()
    share = zeroth[..., None]
    root = weights.sqrt()[:, None]
    d_means = (first - share * means) / (root * variances.sqrt())
    d_deviations = (-second - share * means.square() + share * variances + 2 * first * means) / (
        math.sqrt(2) * root * variances
    )
    found = torch.cat([d_weights, d_means.flatten(1), d_deviations.flatten(1)], 1)
    if not improved:
        return found
    found = found.sign() * found.abs().sqrt()
    return F.normalize(found, dim=1)
