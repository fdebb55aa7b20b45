"""How unlike the training data an image is, by what the model makes of it; larger is further away.

    knn           distance of the features, at length 1, to their k-th nearest training features [Sun et al. 2022]
    mahalanobis   the same by the covariance within classes [Lee et al. 2018], what the principal axes leave out by its
                  length [Wang et al. 2022]
    max-softmax   minus the log of the largest probability [Hendrycks, Gimpel 2017]
    pixels        distance of simple statistics of the pixels to their k-th nearest among training images
    other         log-odds of being one of the images of no class, where the data has some

A score is fitted to training images and compared with those of held-out images, which the model has not seen.
Shapes: features (N, D) float32; logits (N, K); statistics (N, S), as `pixel_statistics` gives them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from clearsight.errors import DataError
from clearsight.ood.outliers import OutlierClassifier

Floats = NDArray[np.float32]

NEAR = {"knn": 0.4, "mahalanobis": 0.4, "max-softmax": 0.2}
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

AXES, AXES_OF_COPIES = 64, 128
"""Principal axes that neighbours are taken over, what lies outside them counts by its length; and those of the
covariance within classes where features were learned from the images."""

LEAST_SPREAD = 1e-5
"""Variance along a principal axis at least, relative to the first: below it lie the errors of single precision."""

WHITENED = 6000
"""Vectors that are remembered for Mahalanobis distances at most, those of changed copies among them."""

COMPARED = 600
"""Vectors whose distance to their neighbours says how much chance differences count, at most."""


@dataclass(frozen=True)
class MildChanges:
    """Images before and after changes so mild that they still belong, such as a shift by a few pixels.

    features, changed_features (W, D); statistics, changed_statistics (W, S), pixel statistics.
    """

    features: Floats
    changed_features: Floats
    statistics: Floats
    changed_statistics: Floats


@dataclass(frozen=True)
class Neighbours:
    """Training vectors, and the distance of other vectors to the k-th nearest of them.

    Directions in which mild changes move an image count less. Where all images are aligned, none differ in them, and an
    image shifted by four pixels would seem far from all. So the covariance of these changes is added to the covariance
    that distances are relative to, as within-class covariance normalisation does for changes of the recording channel
    [Hatch, Kajarekar, Stolcke 2006].

    Stored compactly: centre (D,), axes (D, A) orthonormal, points (M, A + 1), whose last coordinate is the length of
    the part outside the axes. With all axes distances are exact; with fewer they are bounded from below. metric (A + 1,
    A + 1): the matrix that maps coordinates to the space in which distances are measured; points are stored there.
    """

    centre: Floats
    axes: Floats
    metric: Floats
    points: Floats
    k: int

    @classmethod
    def fit(cls, vectors: Floats, k: int = NEIGHBOURS, *, changes: Floats | None = None) -> Self:
        """Store vectors, with Euclidean distances; shorter in directions in which changes exceed the usual distance to
        the k-th neighbour.

        Args:
            vectors: training vectors (M, D).
            k: number of the neighbour whose distance counts.
            changes: vectors of mildly changed images minus those of the originals (W, D).

        Returns:
            The neighbours.
        """
        centre, axes, inner = _coordinates(vectors, AXES)
        metric = np.eye(inner.shape[1])
        usual = _squared_distance(inner, k) / inner.shape[1]
        if changes is not None and len(changes) and usual > 0:
            values, principal = np.linalg.eigh(_scatter(changes @ axes))
            metric[:-1, :-1] = principal / np.sqrt(1 + np.maximum(values, 0) / usual)
        return cls._of(centre, axes, metric, inner, k)

    @classmethod
    def whitened(
        cls,
        vectors: Floats,
        labels: NDArray[np.integer],
        k: int = NEIGHBOURS,
        *,
        changes: Floats | None = None,
        axes: int = AXES,
        rest: bool = True,
    ) -> Self:
        """Store at most `WHITENED` vectors, with Mahalanobis distances by the shrunk covariance within classes and the
        covariance of changes.

        Args:
            vectors: training vectors (M, D).
            labels: class indices (M,).
            k: number of the neighbour whose distance counts.
            changes: vectors of mildly changed images minus those of the originals (W, D).
            axes: largest number of principal axes.
            rest: include the part outside the axes, scaled by its deviation.

        Returns:
            The neighbours.
        """
        from sklearn.covariance import LedoitWolf

        centre, turned, inner = _coordinates(vectors, axes)
        classes, number = np.unique(labels, return_inverse=True)
        means = np.stack([inner[number == c, :-1].mean(0) for c in range(len(classes))])
        within = (inner[:, :-1] - means[number]).astype(np.float64)
        covariance = LedoitWolf(assume_centered=True).fit(within).covariance_
        outside = (inner[:, -1].astype(np.float64) ** 2).mean()
        if changes is not None and len(changes):
            moved = changes @ turned
            covariance = covariance + _scatter(moved)
            outside += np.maximum((changes**2).sum(1) - (moved**2).sum(1), 0).mean(dtype=np.float64)
        values, principal = np.linalg.eigh(covariance)
        metric = np.zeros([inner.shape[1]] * 2)
        metric[:-1, :-1] = principal / np.sqrt(np.maximum(values, 1e-9))
        left = vectors.shape[1] - turned.shape[1]
        deviation = np.sqrt(outside / left) if rest and left else 0.0
        metric[-1, -1] = 1 / deviation if deviation > 1e-12 else 0.0
        some = np.random.default_rng(0).permutation(len(inner))[:WHITENED]
        return cls._of(centre, turned, metric, inner[some], k)

    @classmethod
    def _of(cls, centre: Floats, axes: Floats, metric: NDArray[np.float64], inner: Floats, k: int) -> Self:
        metric32 = np.asarray(metric, np.float32)
        points = (inner @ metric32).astype(np.float16)  # which bundles keep, and so what is compared
        return cls(centre, axes, metric32, np.asarray(points, np.float32), max(1, min(k, len(inner) - 1)))

    def distance(self, vectors: Floats) -> Floats:
        """Distance to the k-th nearest training vector.

        Args:
            vectors: vectors (N, D).

        Returns:
            Distances (N,).
        """
        points = _within(vectors, self.centre, self.axes) @ self.metric
        parts = [
            np.partition(_distances(points[i : i + 512], self.points), self.k - 1, axis=1)[:, self.k - 1]
            for i in range(0, len(points), 512)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All fields as named arrays, for a file.

        Returns:
            Arrays by name.
        """
        return {k: np.atleast_1d(v) for k, v in vars(self).items()} | {"points": self.points.astype(np.float16)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Restore neighbours.

        Args:
            arrays: what `to_arrays` returned.

        Returns:
            The neighbours.

        Raises:
            KeyError: an array is missing.
        """
        points = np.asarray(arrays["points"], np.float32)
        return cls(arrays["centre"], arrays["axes"], arrays["metric"], points, int(arrays["k"][0]))


@dataclass(frozen=True)
class Bank:
    """The reference data of the scores, from training images.

    features: neighbours by unit-length features. whitened: neighbours whitened by the covariance within classes. scale
    (2, S): mean and deviation of each pixel statistic. pixels: neighbours by standardised pixel statistics. outliers: a
    classifier of images of no class, if some were given.
    """

    features: Neighbours
    whitened: Neighbours
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
        changes: MildChanges | None = None,
        copies: bool = False,
    ) -> Self:
        """Learn from training images.

        Args:
            features: features (M, D).
            labels: class indices (M,).
            statistics: pixel statistics (L, S).
            other: features of images of no class (O, D); None for none.
            changes: mild changes of images; None for none.
            copies: the network was trained on these images and changed copies of them are included. Then the distance
                to the nearest neighbour is used, since a changed image has one too, and the part outside the principal
                axes is left out: for networks trained from random weights it grows most when a known image is shifted
                by a pixel. On digits, 19 % of such images were flagged with it and 11 % without, at an AUROC of
                left-out classes of 0.993 and 0.991.

        Returns:
            The bank.

        Raises:
            DataError: there are fewer than two images.
        """
        if min(len(features), len(statistics)) < 2:
            raise DataError("the OOD detector needs training images", found=f"{len(features)}", expected="2 or more")
        scale = np.stack([statistics.mean(0), np.hypot(statistics.std(0), MILD)])
        some = np.random.default_rng(0).permutation(len(statistics))[:STATISTICS]
        k, axes = (1, AXES_OF_COPIES) if copies else (NEIGHBOURS, AXES)
        turned, moved, altered = None, None, None
        if changes is not None:
            turned = unit(changes.changed_features) - unit(changes.features)
            moved = changes.changed_features - changes.features
            altered = _scaled(changes.changed_statistics, scale) - _scaled(changes.statistics, scale)
        return cls(
            Neighbours.fit(unit(features), k, changes=turned),
            Neighbours.whitened(features, labels, k, changes=moved, axes=axes, rest=not copies),
            np.asarray(scale, np.float32),
            Neighbours.fit(_scaled(statistics[some], scale), changes=altered),
            None if other is None else OutlierClassifier.fit(features, other),
        )

    def scores(self, logits: NDArray[np.floating] | None, features: Floats, statistics: Floats) -> dict[str, Floats]:
        """Every score of N images.

        Args:
            logits: logits (N, K); None leaves out the scores that need them.
            features: features (N, D).
            statistics: pixel statistics (N, S).

        Returns:
            Scores (N,) by name, larger for images further from the training images.
        """
        found = {
            "knn": self.features.distance(unit(features)),
            "mahalanobis": self.whitened.distance(features),
            "pixels": self.pixels.distance(_scaled(statistics, self.scale)),
        }
        if logits is not None:
            found["max-softmax"] = _max_softmax(logits)
        if self.outliers is not None:
            found["other"] = self.outliers.score(features)
        return found

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All fields as named arrays, for a file.

        Returns:
            Arrays by name.
        """
        parts = {"features": self.features, "whitened": self.whitened, "pixels": self.pixels}
        named = {f"{name}.{k}": v for name, part in parts.items() for k, v in part.to_arrays().items()}
        return {**named, "scale": self.scale, **(self.outliers.to_arrays() if self.outliers else {})}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Restore a bank.

        Args:
            arrays: what `to_arrays` returned.

        Returns:
            The bank.

        Raises:
            KeyError: an array is missing.
        """

        def part(name: str) -> dict[str, NDArray[Any]]:
            return {k.removeprefix(f"{name}."): v for k, v in arrays.items() if k.startswith(f"{name}.")}

        return cls(
            Neighbours.from_arrays(part("features")),
            Neighbours.from_arrays(part("whitened")),
            arrays["scale"],
            Neighbours.from_arrays(part("pixels")),
            OutlierClassifier.from_arrays(arrays),
        )


def _max_softmax(logits: NDArray[np.floating]) -> Floats:
    wide = np.asarray(logits, np.float64)
    return np.asarray(np.log(np.exp(wide - wide.max(1, keepdims=True)).sum(1)), np.float32)


def _scaled(statistics: Floats, scale: Floats) -> Floats:
    return np.asarray((statistics - scale[0]) / scale[1], np.float32)


def pooled(pixels: Floats) -> Floats:
    """Images as vectors of block means.

    Args:
        pixels: images (N, C, H, W).

    Returns:
        Vectors (N, D), where D is at most C x GRID x GRID.
    """
    n, _, height, width = pixels.shape
    rows, columns = (np.arange(k) * min(k, GRID) // k for k in (height, width))
    down = np.add.reduceat(pixels, np.flatnonzero(np.diff(rows, prepend=-1)), axis=2)
    both = np.add.reduceat(down, np.flatnonzero(np.diff(columns, prepend=-1)), axis=3)
    area = np.bincount(rows)[:, None] * np.bincount(columns)
    return np.asarray((both / area).reshape(n, -1), np.float32)


def unit(vectors: Floats) -> Floats:
    """Vectors scaled to length 1.

    Args:
        vectors: vectors (N, D).

    Returns:
        Unit vectors (N, D), float32; vectors of length 0 are left unchanged.
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1), np.float32)


def _within(vectors: Floats, centre: Floats, axes: Floats) -> Floats:
    """Coordinates along the axes, and the length of the rest (N, A + 1)."""
    spread = vectors - centre
    along = spread @ axes
    rest = np.sqrt(np.maximum((spread**2).sum(1) - (along**2).sum(1), 0))
    return np.asarray(np.concatenate([along, rest[:, None]], axis=1), np.float32)


def _coordinates(vectors: Floats, axes: int) -> tuple[Floats, Floats, Floats]:
    """The centre (D,) of vectors (M, D), at most `axes` orthonormal directions of the largest spread (D, A), and the
    coordinates along them (M, A + 1).

    Only the largest eigenvectors are computed, of the smaller of the two matrices of inner products.
    """
    from scipy.linalg import eigh
    from threadpoolctl import threadpool_limits

    centre = vectors.mean(0)
    some = vectors[np.random.default_rng(0).permutation(len(vectors))[:BANK]] - centre
    wide = len(some) < some.shape[1]
    products = some @ some.T if wide else some.T @ some
    with threadpool_limits(1):  # threads of matrices this small wait for each other: two take four times as long
        values, found = eigh(products, subset_by_index=(max(0, len(products) - axes), len(products) - 1))
    if wide:  # the inner products say nothing of directions without spread
        spread = values > LEAST_SPREAD * values[-1]
        found = some.T @ found[:, spread] if spread.any() else np.eye(some.shape[1], 1)
    directions = np.asarray(np.linalg.qr(found[:, ::-1])[0], np.float32)
    return centre, directions, _within(vectors, centre, directions)


def _scatter(vectors: Floats) -> NDArray[np.float64]:
    """The mean outer product (D, D) of vectors (N, D)."""
    wide = vectors.astype(np.float64)
    return np.asarray(wide.T @ wide / len(wide))


def _squared_distance(points: Floats, k: int) -> float:
    """The mean squared distance of points (N, D) to the k-th nearest other one."""
    some = points[np.random.default_rng(0).permutation(len(points))[:COMPARED]]
    k = min(k, len(points) - 1)
    return float((np.partition(_distances(some, points), k, axis=1)[:, k].astype(np.float64) ** 2).mean())


def _distances(a: Floats, b: Floats) -> Floats:
    """Euclidean distances (N, M) of vectors (N, D) and (M, D)."""
    if "torch" not in sys.modules:  # `predict` of few images, which does without: the same by the same formula
        squared = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * (a @ b.T)
        return np.asarray(np.sqrt(np.maximum(squared, 0)), np.float32)
    import torch

    return np.asarray(torch.cdist(torch.from_numpy(a), torch.from_numpy(b)).numpy())
