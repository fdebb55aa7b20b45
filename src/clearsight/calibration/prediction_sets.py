"""Prediction sets that hold the true class with a stated probability: split conformal prediction.

On images that the model was not fitted to, each true class gets a score, larger for a worse prediction; the threshold
is the ceil((n + 1) coverage)-th smallest of the n scores, and a set holds every class whose score is not above it.
Where images to come are drawn as these were, the sets hold the truth with at least that probability, on average over
images and draws [Vovk, Gammerman, Shafer 2005, proposition 4.1]. The most probable class scores 0 and is always in the
set, so no set is empty, and coverage is above the stated one only where the model is right more often than that.

    lac    1 - p(class): the smallest sets on average [Sadinle, Lei, Wasserman 2019]
    aps    the summed probability of all more probable classes, and a random part of the class's own: sizes follow the
           difficulty of the image [Romano, Sesia, Candès 2020]
    raps   as aps, and a penalty for each class beyond the first, which keeps sets small [Angelopoulos et al. 2021]

The random part of an image follows from its probabilities, so that one image always has the same set. With
`by_class`, the threshold of each class comes from images of that class alone, and coverage holds within each class;
with a group, such as a site or a camera, from the images of that group [Vovk 2012].

Shapes: probabilities (N, K), rows summing to 1; labels (N,).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from clearsight.errors import ConfigError, DataError, did_you_mean

Method = Literal["lac", "aps", "raps"]
Floats = NDArray[np.float64]

METHODS: tuple[str, ...] = get_args(Method)

KEPT = 2000
"""Scores and errors of calibration images that the card of a model keeps at most."""

GROUPS = 50
"""Values of a metadata column at most, for groups."""

PENALTY = 0.1
"""Of raps, for each class beyond the first."""


@dataclass(frozen=True)
class ConformalScores:
    """Scores of the true classes of M calibration images, from which sets of any coverage follow.

    labels (M,): their classes. scores: of each method (M,). groups: by the name of a metadata column the value (M,) of
    each image, for coverage within a group.
    """

    labels: tuple[int, ...]
    scores: Mapping[str, tuple[float, ...]]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, probabilities: Floats, labels: NDArray[np.integer], seed: int = 0) -> ConformalScores:
        """From calibrated probabilities (M, K) of images that the model was not fitted to; of more than `KEPT` a random
        part is kept. DataError without images or with a single class.
        """
        if not len(labels) or probabilities.shape[1] < 2:
            raise DataError(
                "prediction sets need images of two classes or more",
                found=f"{len(labels)} images, {probabilities.shape[1]} classes",
            )
        rows = kept_rows(len(labels), seed)
        p, own = probabilities[rows], labels[rows]
        scores = {method: tuple(_short(class_scores(p, method)[np.arange(len(own)), own])) for method in METHODS}
        return cls(tuple(own.tolist()), scores)

    def with_groups(self, metadata: Mapping[str, NDArray[np.str_]], seed: int = 0) -> ConformalScores:
        """The same, and the groups of the images that it was made of: columns of metadata (M,) with several values, but
        few, such as a site or a camera.
        """
        groups = {}
        for name, column in metadata.items():
            values = np.unique(column[column != ""])
            if 2 <= len(values) <= GROUPS:
                groups[name] = tuple(str(value) for value in column[kept_rows(len(column), seed)])
        return replace(self, groups=groups)

    def threshold(self, coverage: float, method: str = "lac") -> float:
        """The largest score that a class in a set may have; infinite where so few images cannot promise so much."""
        return threshold_of(np.sort(self._of(method)), coverage)

    def sets(
        self,
        probabilities: Floats,
        coverage: float,
        method: str = "lac",
        by_class: bool = False,
        group: tuple[str, str] | None = None,
    ) -> NDArray[np.bool_]:
        """Which classes the set of each image holds (N, K). group: the column of metadata, and the value in it that all
        of these images have; ConfigError for one that no calibration image has.
        """
        member = np.ones(len(self.labels), bool) if group is None else self._in_group(*group)
        own, labels = self._of(method)[member], np.array(self.labels)[member]
        classes = range(probabilities.shape[1])
        if by_class:
            limits = np.array([threshold_of(np.sort(own[labels == k]), coverage) for k in classes])
        else:
            limits = np.full(len(classes), threshold_of(np.sort(own), coverage))
        in_set: NDArray[np.bool_] = class_scores(probabilities, method) <= np.maximum(limits, 0)
        return in_set

    def _in_group(self, column: str, value: str) -> NDArray[np.bool_]:
        """Which calibration images belong to a group (M,)."""
        if column not in self.groups:
            raise ConfigError(
                f"the model knows no groups by {column!r}",
                found=", ".join(self.groups)
                or "no column of metadata with 2 to 50 values in the data it was trained on",
                expected="a column of the table that the model was trained on",
                fix=did_you_mean(column, self.groups),
            )
        member: NDArray[np.bool_] = np.array(self.groups[column]) == value
        if not member.any():
            known = sorted(set(self.groups[column]) - {""})
            raise ConfigError(
                f"no calibration image has {column} {value!r}", found=", ".join(known), expected="one of these",
                fix=did_you_mean(value, known),
            )  # fmt: skip
        return member

    def _of(self, method: str) -> Floats:
        if method not in METHODS:
            raise ConfigError(
                f"unknown method of prediction sets {method!r}", expected=", ".join(METHODS),
                fix=did_you_mean(method, METHODS),
            )  # fmt: skip
        return np.array(self.scores[method])

    def card(self) -> dict[str, Any]:
        """Plain values, which `load` takes."""
        groups = {"groups": {name: list(row) for name, row in self.groups.items()}} if self.groups else {}
        return {"labels": list(self.labels), **{method: list(row) for method, row in self.scores.items()}, **groups}

    @classmethod
    def load(cls, card: Mapping[str, Any]) -> ConformalScores:
        """From what `card` gave; KeyError where something is missing."""
        groups = {name: tuple(row) for name, row in card.get("groups", {}).items()}
        return cls(tuple(card["labels"]), {method: tuple(card[method]) for method in METHODS}, groups)


def kept_rows(count: int, seed: int = 0) -> NDArray[np.int64]:
    """Which of so many calibration images a card keeps: all, or `KEPT` drawn at random."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:KEPT])


def class_scores(probabilities: Floats, method: str = "lac") -> Floats:
    """The score of every class of every image (N, K), 0 for the most probable."""
    likeliest = np.arange(len(probabilities)), probabilities.argmax(1)
    if method == "lac":
        found = 1 - probabilities
        found[likeliest] = 0
        return found
    order = np.argsort(-probabilities, axis=1, kind="stable")
    own = np.take_along_axis(probabilities, order, axis=1)
    before = np.cumsum(own, axis=1) - own
    found = before + random_parts(probabilities)[:, None] * own
    if method == "raps":
        found += PENALTY * np.arange(probabilities.shape[1])
    scores = np.empty_like(probabilities)
    np.put_along_axis(scores, order, found, axis=1)
    scores[likeliest] = 0
    return scores


def random_parts(probabilities: Floats) -> Floats:
    """A number in [0, 1) for each image (N,), drawn from the digits of its probabilities."""
    rounded = np.ascontiguousarray(np.round(probabilities, 8))
    digests = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rounded]
    return np.array([int.from_bytes(digest, "little") / 2**64 for digest in digests])


def threshold_of(scores: Floats, coverage: float = 0.9) -> float:
    """The largest score that belongs to a set of the coverage, from sorted scores; infinite where so few images cannot
    promise so much. ConfigError for a coverage outside (0, 1).
    """
    if not 0 < coverage < 1:
        raise ConfigError(f"a coverage of {coverage:g}", expected="between 0 and 1, such as 0.9")
    place = math.ceil((len(scores) + 1) * coverage)
    return float(scores[place - 1]) if place <= len(scores) else math.inf


def coverage_band(stated: float, n: int, calibrated_on: int, confidence: float = 0.95) -> tuple[float, float]:
    """Where the observed coverage of n test images lies with this probability if coverage is as stated: quantiles of a
    beta-binomial distribution, as split conformal prediction gives it [Vovk 2012, proposition 2; Angelopoulos and Bates
    2023, 3.2]. (0, 1) where there are too few calibration images for any promise.
    """
    from scipy.stats import betabinom

    place = math.ceil((calibrated_on + 1) * stated - 1e-9)
    if n <= 0 or calibrated_on <= 0 or place > calibrated_on:
        return 0.0, 1.0
    band = betabinom(n, place, calibrated_on + 1 - place)
    tail = (1 - confidence) / 2
    return float(band.ppf(tail)) / n, float(band.ppf(1 - tail)) / n


def thinned(scores: Floats, most: int = KEPT) -> Floats:
    """At most so many of sorted scores (..., n), evenly by rank: enough for thresholds, and a card stays small."""
    count = scores.shape[-1]
    return scores if count <= most else scores[..., np.linspace(0, count - 1, most).round().astype(int)]


def interval_scores(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Conformal scores of ordered classes (N, K), for sets that are intervals: how much probability (N, K) an interval
    holds before it takes in each class, as it grows from the likeliest class towards the likelier neighbour [Lu,
    Angelopoulos, Pomerantz 2022].
    """
    found = np.empty(probabilities.shape, np.float64)
    for row, p in enumerate(probabilities):
        low = high = int(p.argmax())
        found[row, low], mass = 0.0, float(p[low])
        while low > 0 or high < len(p) - 1:
            down, up = p[low - 1] if low > 0 else -1.0, p[high + 1] if high < len(p) - 1 else -1.0
            if down >= up:
                low, grade = low - 1, low - 1
            else:
                high, grade = high + 1, high + 1
            found[row, grade] = mass
            mass += float(p[grade])
    return found


def _short(scores: Floats) -> list[float]:
    """Rounded to eight digits, as a card holds them."""
    return [float(f"{score:.8g}") for score in scores.tolist()]
