"""How unlike the training data an image is, by what the model makes of it; larger is stranger.

    max-softmax   1 - the largest belief [Hendrycks, Gimpel 2017]
    energy        -T log sum exp(logits / T) [Liu et al. 2020]
    knn           distance of the features, at length 1, to their k-th nearest training features [Sun et al. 2022]
    mahalanobis   distance of the features to the nearest class mean under one covariance [Lee et al. 2018]
    pixels        as knn, of the pixels pooled to a coarse grid: what no network can be fooled about
    joint         the larger of knn and pixels, each as its rank among images known to belong

A score is fitted to training images and compared with those of validation images, which the model has not seen.
Shapes: features (N, D) float32; logits (N, K); pixels (N, P), as `pooled` gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp

from clearsight.errors import ConfigError, DataError, did_you_mean
from clearsight.metrics import softmax

Floats = NDArray[np.float32]

SCORES = ("max-softmax", "energy", "knn", "mahalanobis", "pixels", "joint")

OF_LOGITS = ("max-softmax", "energy")
"""Scores that stand on the logits."""

BANK = 2000
"""Training images that are remembered, drawn at random; more would make bundles large and answers slow, and gain
little [Sun et al. 2022, table 4]."""

GRID = 16
"""Side of the coarse grid that pixels are pooled to, where the images are larger."""

AXES = 64
"""Principal axes that neighbours and covariance are taken over; what lies outside them counts by its length."""


@dataclass(frozen=True)
class Neighbours:
    """Training vectors by which others are judged: the distance to the k-th nearest.

    Kept in few numbers: centre (D,), axes (D, A) orthonormal, points (M, A + 1), the last of which is the length of
    what the axes leave out. With all axes distances are exact, with fewer they are bounded from below.
    """

    centre: Floats
    axes: Floats
    points: Floats
    k: int

    @classmethod
    def fit(cls, vectors: Floats, k: int = 10) -> Neighbours:
        """Remember vectors (M, D)."""
        centre = vectors.mean(0)
        axes = _main_axes(vectors - centre)
        k = max(1, min(k, len(vectors) - 1))
        return cls(centre, axes, _within(vectors, centre, axes), k)

    def distance(self, vectors: Floats) -> Floats:
        """Distance of each (N, D) to its k-th nearest (N,)."""
        points = _within(vectors, self.centre, self.axes)
        parts = [
            np.partition(_distances(points[i : i + 512], self.points), self.k - 1, axis=1)[:, self.k - 1]
            for i in range(0, len(points), 512)
        ]
        return np.concatenate(parts)


@dataclass(frozen=True)
class Bank:
    """What the scores remember of the training images.

    white (D, A), middle (D,), means (K, A): the space in which the covariance within classes is the identity, and the
    classes in it. known_knn, known_pixels: the sorted scores of validation images, for ranks.
    """

    features: Neighbours
    pixels: Neighbours
    white: Floats
    middle: Floats
    means: Floats
    known_knn: Floats
    known_pixels: Floats

    @classmethod
    def fit(
        cls, features: Floats, pixels: Floats, labels: NDArray[np.integer], known_features: Floats, known_pixels: Floats
    ) -> Bank:
        """Learn from training images, and rank against others that belong. DataError for fewer than two images."""
        if len(features) < 2 or not len(known_features):
            raise DataError(
                "an outlier score learns from training images and is judged by others",
                found=f"{len(features)} and {len(known_features)}",
                expected="2 and 1, or more",
            )
        near_features, near_pixels = Neighbours.fit(unit(features)), Neighbours.fit(pixels)
        return cls(
            near_features,
            near_pixels,
            *_whitened(features, labels),
            known_knn=np.sort(near_features.distance(unit(known_features))),
            known_pixels=np.sort(near_pixels.distance(known_pixels)),
        )

    def score(
        self, name: str, logits: NDArray[np.floating], features: Floats, pixels: Floats, temperature: float
    ) -> Floats:
        """The score of a name for N images (N,); ConfigError for one that does not exist."""
        if name == "max-softmax":
            return np.asarray(1 - softmax(logits, temperature).max(1), np.float32)
        if name == "energy":
            scaled = np.asarray(logits, np.float64) / temperature
            return np.asarray(-temperature * logsumexp(scaled, axis=1), np.float32)
        if name == "knn":
            return self.features.distance(unit(features))
        if name == "mahalanobis":
            white = np.asarray((features - self.middle) @ self.white, np.float32)
            return np.asarray(_distances(white, self.means).min(1))
        if name == "pixels":
            return self.pixels.distance(pixels)
        if name == "joint":
            knn, near = self.features.distance(unit(features)), self.pixels.distance(pixels)
            return np.maximum(_rank(knn, self.known_knn), _rank(near, self.known_pixels))
        raise ConfigError(
            f"there is no outlier score {name!r}", expected=", ".join(SCORES), fix=did_you_mean(name, SCORES)
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as named arrays, for a file."""
        arrays = {k: v for k, v in vars(self).items() if isinstance(v, np.ndarray)}
        for name, near in (("features", self.features), ("pixels", self.pixels)):
            arrays |= {f"{name}.{k}": np.atleast_1d(v) for k, v in vars(near).items()}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Bank:
        """The bank that `to_arrays` gave; KeyError where something is missing."""
        own = {k: arrays[k] for k in ("white", "middle", "means", "known_knn", "known_pixels")}
        features, pixels = (
            Neighbours(arrays[f"{n}.centre"], arrays[f"{n}.axes"], arrays[f"{n}.points"], int(arrays[f"{n}.k"][0]))
            for n in ("features", "pixels")
        )
        return cls(features, pixels, **own)


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


def _within(vectors: Floats, centre: Floats, axes: Floats) -> Floats:
    """Coordinates along the axes, and the length of the rest (N, A + 1)."""
    spread = vectors - centre
    inside = spread @ axes
    rest = np.sqrt(np.maximum((spread**2).sum(1) - (inside**2).sum(1), 0))
    return np.asarray(np.concatenate([inside, rest[:, None]], axis=1), np.float32)


def _main_axes(spread: Floats) -> Floats:
    """At most AXES orthonormal directions of the largest spread (D, A) [Halko, Martinsson, Tropp 2011]: of features by
    the thousand a fifteenth of an exact decomposition's time, for 1 % less of the spread.
    """
    from sklearn.utils.extmath import randomized_svd

    some = spread[:BANK]
    _, _, turned = randomized_svd(some, min(AXES, *some.shape), random_state=0)
    return np.asarray(turned.T, np.float32)


def _distances(a: Floats, b: Floats) -> Floats:
    """Euclidean distances (N, M) of vectors (N, D) and (M, D)."""
    return np.asarray(torch.cdist(torch.from_numpy(a), torch.from_numpy(b)).numpy())


def _rank(scores: Floats, known: Floats) -> Floats:
    """Share of known scores that are not larger, and above 1 by as much as the score exceeds them all."""
    share = np.searchsorted(known, scores, side="right") / len(known)
    beyond = np.maximum(0, scores / max(float(known[-1]), 1e-12) - 1)
    return np.asarray(share + beyond, np.float32)


def _whitened(features: Floats, labels: NDArray[np.integer]) -> tuple[Floats, Floats, Floats]:
    """Axes in which the shrunk covariance within classes is the identity, the centre, and the class means there."""
    from sklearn.covariance import LedoitWolf

    centre = features.mean(0)
    main = _main_axes(features - centre)
    inner = (features - centre) @ main
    classes = np.unique(labels)
    means = np.stack([inner[labels == c].mean(0) for c in classes])
    within = inner - means[np.searchsorted(classes, labels)]
    covariance = LedoitWolf(assume_centered=True).fit(within.astype(np.float64)).covariance_
    values, vectors = np.linalg.eigh(covariance)
    white = vectors / np.sqrt(np.maximum(values, 1e-9))
    return np.asarray(main @ white, np.float32), np.asarray(centre, np.float32), np.asarray(means @ white, np.float32)
