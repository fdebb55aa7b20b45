"""How unlike the training data an image is, by what the model makes of it; larger is stranger.

    max-softmax   1 - the largest belief [Hendrycks, Gimpel 2017]
    energy        -T log sum exp(logits / T) [Liu et al. 2020]
    knn           distance of the features, at length 1, to their k-th nearest training features [Sun et al. 2022]
    mahalanobis   distance of the features to the nearest class mean under one covariance [Lee et al. 2018]
    pixels        as knn, of the pixels pooled to a coarse grid: what no network can be fooled about
    joint         the larger of knn and pixels, each as its rank among images known to belong

A score is fitted to training images and compared with those of validation images, which the model has not seen.
Shapes: features (N, D) float32; logits (N, K); pixels (N, C, H, W) in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearsight.errors import ConfigError, DataError, nearest
from clearsight.metrics import softmax

Floats = NDArray[np.float32]

SCORES = ("max-softmax", "energy", "knn", "mahalanobis", "pixels", "joint")

BANK = 5000
"""Training images whose features are kept, drawn at random; more would make bundles large and answers slow."""

GRID = 16
"""Side of the coarse grid that pixels are pooled to, where the images are larger."""

AXES = 64
"""Principal axes that the covariance is taken over."""


@dataclass(frozen=True)
class Bank:
    """What the scores remember of the training images: arrays, so that a bundle can keep them.

    features (M, D), pixels (M, P): of some training images, at length 1 and standardised. axes (D, A), centre (D,),
    means (K, A): the space in which the covariance is the identity, and the classes in it. known_knn, known_pixels: the
    sorted scores of validation images, for ranks.
    """

    features: Floats
    pixels: Floats
    pixel_mean: Floats
    pixel_scale: Floats
    axes: Floats
    centre: Floats
    means: Floats
    known_knn: Floats
    known_pixels: Floats
    k: int

    @classmethod
    def fit(
        cls,
        features: Floats,
        pixels: Floats,
        labels: NDArray[np.integer],
        known_features: Floats,
        known_pixels: Floats,
        *,
        k: int = 10,
        seed: int = 0,
    ) -> Bank:
        """Learn from training images, and rank against others that belong. DataError for fewer than two images."""
        if len(features) < 2:
            raise DataError(
                "an outlier score learns from training images", found=f"{len(features)}", expected="2 or more"
            )
        some = np.sort(np.random.default_rng(seed).permutation(len(features))[:BANK])
        coarse = pooled(pixels)
        mean = coarse.mean(0)
        scale = np.full_like(mean, max(float(coarse.std()), 1e-6))
        axes, centre, means = _whitened(features, labels)
        bank = cls(
            unit(features[some]), (coarse[some] - mean) / scale, mean, scale, axes, centre, means,
            np.zeros(1, np.float32), np.zeros(1, np.float32), min(k, len(some)),
        )  # fmt: skip
        knn = np.sort(bank.knn(known_features))
        near = np.sort(bank.of_pixels(known_pixels))
        return cls(**{**vars(bank), "known_knn": knn, "known_pixels": near})

    def knn(self, features: Floats) -> Floats:
        """Distance to the k-th nearest training features (N,)."""
        return _kth(unit(features), self.features, self.k)

    def of_pixels(self, pixels: Floats) -> Floats:
        """Distance to the k-th nearest training images, as coarse pixels (N,)."""
        return _kth((pooled(pixels) - self.pixel_mean) / self.pixel_scale, self.pixels, self.k)

    def mahalanobis(self, features: Floats) -> Floats:
        """Distance to the nearest class (N,)."""
        white = (features - self.centre) @ self.axes
        return np.asarray(np.sqrt(_squared(np.asarray(white, np.float32), self.means).min(1)), np.float32)

    def joint(self, features: Floats, pixels: Floats) -> Floats:
        """The larger of two ranks, from 0 to 1, and above 1 by as much as the distance exceeds all known ones (N,)."""
        return np.maximum(_rank(self.knn(features), self.known_knn), _rank(self.of_pixels(pixels), self.known_pixels))

    def score(
        self, name: str, logits: NDArray[np.floating], features: Floats, pixels: Floats, temperature: float
    ) -> Floats:
        """The score of a name for N images (N,); ConfigError for one that does not exist."""
        if name == "max-softmax":
            return np.asarray(1 - softmax(logits, temperature).max(1), np.float32)
        if name == "energy":
            scaled = np.asarray(logits, np.float64) / temperature
            top = scaled.max(1)
            return np.asarray(-temperature * (top + np.log(np.exp(scaled - top[:, None]).sum(1))), np.float32)
        if name == "knn":
            return self.knn(features)
        if name == "mahalanobis":
            return self.mahalanobis(features)
        if name == "pixels":
            return self.of_pixels(pixels)
        if name == "joint":
            return self.joint(features, pixels)
        raise ConfigError(f"there is no outlier score {name!r}", expected=", ".join(SCORES), fix=nearest(name, SCORES))


def auroc(known: NDArray[np.floating], strange: NDArray[np.floating]) -> float:
    """The probability that a strange image scores above a known one, ties counted half."""
    both = np.concatenate([known, strange])
    _, inverse, counts = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    of_strange = ranks[len(known) :].sum() - len(strange) * (len(strange) + 1) / 2
    return float(of_strange / (len(known) * len(strange)))


def threshold(known: NDArray[np.floating], false_alarms: float = 0.05) -> float:
    """The score above which an image counts as strange, so that this share of known ones does."""
    if not 0 < false_alarms < 1:
        raise ConfigError(f"a share of false alarms of {false_alarms:g}", expected="between 0 and 1, such as 0.05")
    return float(np.quantile(known, 1 - false_alarms, method="higher"))


def pooled(pixels: Floats) -> Floats:
    """Images (N, C, H, W) as vectors of at most C x GRID x GRID numbers, each the mean of its part."""
    n, _, height, width = pixels.shape
    rows, columns = (np.arange(k) * min(k, GRID) // k for k in (height, width))
    down = np.add.reduceat(pixels, np.flatnonzero(np.diff(rows, prepend=-1)), axis=2)
    both = np.add.reduceat(down, np.flatnonzero(np.diff(columns, prepend=-1)), axis=3)
    area = np.bincount(rows)[:, None] * np.bincount(columns)
    return np.asarray((both / area).reshape(n, -1), np.float32)


def unit(vectors: Floats) -> Floats:
    """Vectors at length 1; those of length 0 stay so."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1), np.float32)


def _kth(points: Floats, bank: Floats, k: int) -> Floats:
    """Distance of each point to its k-th nearest of the bank."""
    parts = []
    for start in range(0, len(points), 512):
        squared = _squared(points[start : start + 512], bank)
        parts.append(np.partition(squared, k - 1, axis=1)[:, k - 1])
    return np.asarray(np.sqrt(np.concatenate(parts)) if parts else np.zeros(0), np.float32)


def _squared(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0), np.float32)


def _rank(scores: Floats, known: Floats) -> Floats:
    share = np.searchsorted(known, scores, side="right") / len(known)
    beyond = np.maximum(0, scores / max(float(known[-1]), 1e-12) - 1)
    return np.asarray(share + beyond, np.float32)


def _whitened(features: Floats, labels: NDArray[np.integer]) -> tuple[Floats, Floats, Floats]:
    """Axes in which the shrunk covariance within classes is the identity, the centre, and the class means there."""
    from sklearn.covariance import LedoitWolf

    centre = features.mean(0)
    spread = features - centre
    _, _, turned = np.linalg.svd(spread[:2000], full_matrices=False)
    main = turned[:AXES].T  # (D, A)
    inner = spread @ main
    classes = np.unique(labels)
    means = np.stack([inner[labels == c].mean(0) for c in classes])
    within = inner - means[np.searchsorted(classes, labels)]
    covariance = LedoitWolf(assume_centered=True).fit(within.astype(np.float64)).covariance_
    values, vectors = np.linalg.eigh(covariance)
    white = vectors / np.sqrt(np.maximum(values, 1e-9))
    return np.asarray(main @ white, np.float32), np.asarray(centre, np.float32), np.asarray(means @ white, np.float32)
