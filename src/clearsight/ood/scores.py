"""How unlike the training data an image is, by what the model makes of it; larger is further away.

    knn           distance of the features, at length 1, to their k-th nearest training features [Sun et al. 2022]
    mahalanobis   distance of the features to the nearest class mean under one covariance [Lee et al. 2018], what the
                  principal axes leave out by its length [Wang et al. 2022]
    max-softmax   minus the log of the largest probability [Hendrycks, Gimpel 2017]
    pixels        distance of simple statistics of the pixels to their k-th nearest among training images
    other         log-odds of being one of the images of no class, where the data has some

A score is fitted to training images and compared with those of held-out images, which the model has not seen.
Shapes: features (N, D) float32; logits (N, K); statistics (N, S), as `pixel_statistics` gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp

from clearsight.errors import DataError
from clearsight.ood.outliers import OutlierClassifier

Floats = NDArray[np.float32]

NEAR = {"knn": 0.45, "mahalanobis": 0.45, "max-softmax": 0.1}
"""Scores by what the network makes of an image, which separate near classes, and their weights. The largest
probability falls most of all when a known image is moved a little."""

SCORES = (*NEAR, "pixels")

BANK = 2000
"""Training images that are remembered, drawn at random, changed copies aside; more would make bundles large and answers
slow, and gain little [Sun et al. 2022, table 4]."""

GRID = 16
"""Side of the coarse grid that pixels are pooled to, where the images are larger."""

NEIGHBOURS = 5
"""The neighbour whose distance counts: of pixel statistics, and of features where no changed copies are remembered."""

STATISTICS = 4000
"""Pixel statistics that are remembered at most, those of changed copies among them."""

MILD = 0.1
"""Deviation of a pixel statistic at least, in its own unit (gray values, logarithms, shares). Where all backgrounds are
white, their gray value has no deviation; a picture that is a tenth darker is no outlier for that."""

AXES = 64
"""Principal axes that neighbours and covariance are taken over; what lies outside them counts by its length."""


@dataclass(frozen=True)
class Neighbours:
    """Training vectors to which the distance of others is measured: that to the k-th nearest.

    Kept in few numbers: centre (D,), axes (D, A) orthonormal, points (M, A + 1), the last of which is the length of
    what the axes leave out. With all axes distances are exact, with fewer they are bounded from below.
    """

    centre: Floats
    axes: Floats
    points: Floats
    k: int

    @classmethod
    def fit(cls, vectors: Floats, k: int = NEIGHBOURS) -> Self:
        """Remember vectors (M, D)."""
        centre = vectors.mean(0)
        axes = _main_axes(vectors - centre)
        k = max(1, min(k, len(vectors) - 1))
        points = _within(vectors, centre, axes).astype(np.float16)  # which bundles keep, and so what is compared
        return cls(centre, axes, np.asarray(points, np.float32), k)

    def distance(self, vectors: Floats) -> Floats:
        """Distance of each (N, D) to its k-th nearest (N,)."""
        points = _within(vectors, self.centre, self.axes)
        parts = [
            np.partition(_distances(points[i : i + 512], self.points), self.k - 1, axis=1)[:, self.k - 1]
            for i in range(0, len(points), 512)
        ]
        return np.concatenate(parts)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as named arrays, for a file."""
        return {k: np.atleast_1d(v) for k, v in vars(self).items()} | {"points": self.points.astype(np.float16)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """What `to_arrays` gave; KeyError where something is missing."""
        return cls(arrays["centre"], arrays["axes"], np.asarray(arrays["points"], np.float32), int(arrays["k"][0]))


@dataclass(frozen=True)
class Gaussians:
    """One Gaussian per class with a common covariance: the Mahalanobis distance to the nearest.

    centre (D,), axes (D, A) orthonormal, white (A, A): coordinates along the axes to those in which the shrunk
    covariance within classes is the identity; means (K, A): the classes there. rest (1,): deviation of each coordinate
    that the axes leave out, 0 where there is none.
    """

    centre: Floats
    axes: Floats
    white: Floats
    means: Floats
    rest: Floats

    @classmethod
    def fit(cls, vectors: Floats, labels: NDArray[np.integer], *, rest: bool = True) -> Self:
        """Learn from vectors (M, D) with labels (M,). rest: what the axes leave out counts."""
        from sklearn.covariance import LedoitWolf

        centre = vectors.mean(0)
        axes = _main_axes(vectors - centre)
        inner = _within(vectors, centre, axes)
        inner, beyond = inner[:, :-1], inner[:, -1].astype(np.float64)
        classes, number = np.unique(labels, return_inverse=True)
        means = np.stack([inner[number == k].mean(0) for k in range(len(classes))])
        covariance = LedoitWolf(assume_centered=True).fit((inner - means[number]).astype(np.float64)).covariance_
        values, turned = np.linalg.eigh(covariance)
        white = np.asarray(turned / np.sqrt(np.maximum(values, 1e-9)), np.float32)
        left = vectors.shape[1] - axes.shape[1]
        deviation = np.sqrt((beyond**2).mean() / left) if rest and left else 0.0
        return cls(centre, axes, white, np.asarray(means @ white, np.float32), np.asarray([deviation], np.float32))

    def distance(self, vectors: Floats) -> Floats:
        """Distance of each (N, D) to the nearest class (N,)."""
        inner = _within(vectors, self.centre, self.axes)
        near = _distances(inner[:, :-1] @ self.white, self.means).min(1)
        rest = inner[:, -1] / self.rest[0] if self.rest[0] > 1e-12 else np.zeros(len(near))
        return np.asarray(np.hypot(near, rest), np.float32)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as named arrays, for a file."""
        return dict(vars(self))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """What `to_arrays` gave; KeyError where something is missing."""
        return cls(*(arrays[name] for name in ("centre", "axes", "white", "means", "rest")))


@dataclass(frozen=True)
class Bank:
    """What the scores remember of the training images.

    features: neighbours. classes: Gaussians of the features. scale (2, S): mean and deviation of each pixel statistic,
    and pixels: neighbours among these at deviation 1. outliers: a classifier of images of no class, if some are given.
    """

    features: Neighbours
    classes: Gaussians
    scale: Floats
    pixels: Neighbours
    outliers: OutlierClassifier | None = None

    @classmethod
    def fit(
        cls,
        features: Floats,
        labels: NDArray[np.integer],
        statistics: Floats,
        other: Floats | None = None,
        *,
        copies: bool = False,
    ) -> Self:
        """Learn from features (M, D) with labels (M,), from pixel statistics (L, S), and from features of images of no
        class (O, D). DataError for fewer than two images.

        copies: the features were learned from these images, changed copies of which are among them. Then the nearest
        neighbour counts, of which a changed image has one too, and what the axes leave out does not: of networks from
        random weights it grows most of all when a known image is moved by a pixel (digits: 19 % of such images were
        flagged with it, 11 % without, at an AUROC of left-out classes of 0.993 and 0.991).
        """
        if min(len(features), len(statistics)) < 2:
            raise DataError("OOD scores learn from training images", found=f"{len(features)}", expected="2 or more")
        scale = np.stack([statistics.mean(0), np.hypot(statistics.std(0), MILD)])
        some = np.random.default_rng(0).permutation(len(statistics))[:STATISTICS]
        return cls(
            Neighbours.fit(unit(features), 1 if copies else NEIGHBOURS),
            Gaussians.fit(features, labels, rest=not copies),
            np.asarray(scale, np.float32),
            Neighbours.fit(_scaled(statistics[some], scale)),
            None if other is None else OutlierClassifier.fit(features, other),
        )

    def scores(self, logits: NDArray[np.floating] | None, features: Floats, statistics: Floats) -> dict[str, Floats]:
        """Every score of N images (N,) by name; without logits those that need none."""
        found = {
            "knn": self.features.distance(unit(features)),
            "mahalanobis": self.classes.distance(features),
            "pixels": self.pixels.distance(_scaled(statistics, self.scale)),
        }
        if logits is not None:
            found["max-softmax"] = _max_softmax(logits)
        if self.outliers is not None:
            found["other"] = self.outliers.score(features)
        return found

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as named arrays, for a file."""
        parts: dict[str, Neighbours | Gaussians] = {
            "features": self.features, "classes": self.classes, "pixels": self.pixels,
        }  # fmt: skip
        named = {f"{name}.{k}": v for name, part in parts.items() for k, v in part.to_arrays().items()}
        return {**named, "scale": self.scale, **(self.outliers.to_arrays() if self.outliers else {})}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The bank that `to_arrays` gave; KeyError where something is missing."""

        def part(name: str) -> dict[str, NDArray[Any]]:
            return {k.removeprefix(f"{name}."): v for k, v in arrays.items() if k.startswith(f"{name}.")}

        return cls(
            Neighbours.from_arrays(part("features")),
            Gaussians.from_arrays(part("classes")),
            arrays["scale"],
            Neighbours.from_arrays(part("pixels")),
            OutlierClassifier.from_arrays(arrays),
        )


def _max_softmax(logits: NDArray[np.floating]) -> Floats:
    wide = np.asarray(logits, np.float64)
    return np.asarray(logsumexp(wide, axis=1) - wide.max(1), np.float32)


def _scaled(statistics: Floats, scale: Floats) -> Floats:
    return np.asarray((statistics - scale[0]) / scale[1], np.float32)


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
    along = spread @ axes
    rest = np.sqrt(np.maximum((spread**2).sum(1) - (along**2).sum(1), 0))
    return np.asarray(np.concatenate([along, rest[:, None]], axis=1), np.float32)


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
