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
from clearsight.schema import anything, listed, mapping, number, record, text
from clearsight.wording import count

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
        """Scores of calibration images; of more than `KEPT` images a random part is kept.

        Args:
            probabilities: calibrated probabilities (M, K) of images that the model was not fitted to.
            labels: true class indices (M,).
            seed: random seed of the part that is kept.

        Returns:
            The scores.

        Raises:
            DataError: there are no images, or there is a single class.
        """
        if not len(labels) or probabilities.shape[1] < 2:
            raise DataError(
                "prediction sets need images of at least two classes",
                found=f"{count(len(labels), 'image')}, {count(probabilities.shape[1], 'class', 'classes')}",
            )
        rows = kept_rows(len(labels), seed)
        p, own = probabilities[rows], labels[rows]
        scores = {method: tuple(_short(class_scores(p, method)[np.arange(len(own)), own])) for method in METHODS}
        return cls(tuple(own.tolist()), scores)

    def with_groups(self, metadata: Mapping[str, NDArray[np.str_]], seed: int = 0) -> ConformalScores:
        """Add the groups of the calibration images.

        Only columns with a few distinct values are kept, such as a site or a camera.

        Args:
            metadata: columns (M,) by name.
            seed: the seed that `of` was called with.

        Returns:
            Scores with groups.
        """
        groups = {}
        for name, column in metadata.items():
            values = np.unique(column[column != ""])
            if 2 <= len(values) <= GROUPS:
                groups[name] = tuple(str(value) for value in column[kept_rows(len(column), seed)])
        return replace(self, groups=groups)

    def threshold(self, coverage: float, method: str = "lac") -> float:
        """The largest score that a class in a set may have.

        Args:
            coverage: coverage of the sets, in (0, 1).
            method: "lac", "aps" or "raps".

        Returns:
            The threshold; infinite if there are too few images for this coverage.
        """
        return threshold_of(np.sort(self._of(method)), coverage)

    def sets(
        self,
        probabilities: Floats,
        coverage: float,
        method: str = "lac",
        by_class: bool = False,
        group: tuple[str, str] | None = None,
    ) -> NDArray[np.bool_]:
        """Which classes are in the prediction set of each image.

        Args:
            probabilities: calibrated probabilities (N, K).
            coverage: coverage of the sets, in (0, 1).
            method: "lac", "aps" or "raps".
            by_class: thresholds per class, so that coverage holds within each class.
            group: a metadata column and the value that all N images have in it; None for all calibration images.

        Returns:
            Boolean array (N, K).

        Raises:
            ConfigError: no calibration image has this value, or the coverage is out of range.
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
                f"the model has no groups for the column {column!r}",
                found=", ".join(self.groups) or "no metadata column with 2 to 50 distinct values in the training data",
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
                f"unknown prediction-set method {method!r}", expected=", ".join(METHODS),
                fix=did_you_mean(method, METHODS),
            )  # fmt: skip
        return np.array(self.scores[method])

    def card(self) -> dict[str, Any]:
        """Plain values, which `load` takes.

        Returns:
            A dictionary for JSON.
        """
        groups = {"groups": {name: list(row) for name, row in self.groups.items()}} if self.groups else {}
        return {"labels": list(self.labels), **{method: list(row) for method, row in self.scores.items()}, **groups}

    @classmethod
    def load(cls, card: Mapping[str, Any]) -> ConformalScores:
        """Restore scores.

        Args:
            card: what `card` returned.

        Returns:
            The scores.

        Raises:
            BundleError: a value is missing or invalid.
        """
        record(
            {"labels": anything, **{method: listed(number()) for method in METHODS}},
            {"groups": mapping(lambda row, place: None if isinstance(row, str) else listed(text())(row, place))},
        )(card, "card.json: conformal")
        groups = {name: tuple(row) for name, row in card.get("groups", {}).items()}
        return cls(tuple(card["labels"]), {method: tuple(card[method]) for method in METHODS}, groups)


def kept_rows(count: int, seed: int = 0) -> NDArray[np.int64]:
    """Which calibration images a card keeps.

    Args:
        count: number of calibration images.
        seed: random seed.

    Returns:
        Sorted positions: all, or `KEPT` drawn at random.
    """
    return np.sort(np.random.default_rng(seed).permutation(count)[:KEPT])


def class_scores(probabilities: Floats, method: str = "lac") -> Floats:
    """The conformal score of every class of every image; 0 for the most probable class.

    Args:
        probabilities: calibrated probabilities (N, K).
        method: "lac", "aps" or "raps".

    Returns:
        Scores (N, K).
    """
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
    """A pseudo-random number for each image, derived from its probabilities.

    Args:
        probabilities: calibrated probabilities (N, K).

    Returns:
        Numbers (N,) in [0, 1).
    """
    rounded = np.ascontiguousarray(np.round(probabilities, 8))
    digests = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rounded]
    return np.array([int.from_bytes(digest, "little") / 2**64 for digest in digests])


def threshold_of(scores: Floats, coverage: float = 0.9) -> float:
    """The largest score that a class in a set may have.

    Args:
        scores: sorted conformal scores (n,).
        coverage: coverage of the sets, in (0, 1).

    Returns:
        The ceil((n + 1) coverage)-th smallest score; infinite if there are too few scores for this coverage.

    Raises:
        ConfigError: the coverage is not between 0 and 1.

    Example:
        >>> threshold_of(np.array([0.1, 0.2, 0.3, 0.4]), coverage=0.8)
        0.4
    """
    if not 0 < coverage < 1:
        raise ConfigError(f"the coverage is {coverage:g}", expected="a number between 0 and 1, such as 0.9")
    place = math.ceil((len(scores) + 1) * coverage)
    return float(scores[place - 1]) if place <= len(scores) else math.inf


def coverage_band(stated: float, n: int, calibrated_on: int, confidence: float = 0.95) -> tuple[float, float]:
    """The range in which the observed coverage lies with a given probability if the stated coverage is true.

    Its ends are quantiles of a beta-binomial distribution, the distribution of coverage in split conformal prediction.

    Args:
        stated: coverage of the sets, in (0, 1).
        n: number of test images.
        calibrated_on: number of calibration images.
        confidence: probability of the range, in (0, 1).

    Returns:
        Low and high end; (0, 1) if there are too few calibration images for this coverage.

    Reference:
        Vovk, "Conditional validity of inductive conformal predictors", 2012, proposition 2; Angelopoulos and Bates
        2023, section 3.2.
    """
    from scipy.stats import betabinom

    place = math.ceil((calibrated_on + 1) * stated - 1e-9)
    if n <= 0 or calibrated_on <= 0 or place > calibrated_on:
        return 0.0, 1.0
    band = betabinom(n, place, calibrated_on + 1 - place)
    tail = (1 - confidence) / 2
    return float(band.ppf(tail)) / n, float(band.ppf(1 - tail)) / n


def thinned(scores: Floats, most: int = KEPT) -> Floats:
    """At most `most` of sorted scores, evenly spaced by rank.

    That is enough for thresholds, and keeps cards small.

    Args:
        scores: sorted scores (..., n).
        most: number of scores to keep.

    Returns:
        Scores (..., min(n, most)).
    """
    count = scores.shape[-1]
    return scores if count <= most else scores[..., np.linspace(0, count - 1, most).round().astype(int)]


def interval_scores(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Conformal scores of ordered classes, for prediction sets that are intervals.

    The score of a class is the probability that an interval holds before it includes the class, as it grows from the
    most probable class towards the more probable neighbour.

    Args:
        probabilities: probabilities (N, K) of ordered classes.

    Returns:
        Scores (N, K).

    Reference:
        Lu, Angelopoulos and Pomerantz, "Improving trustworthiness of AI disease severity rating in medical imaging with
        ordinal conformal prediction sets", 2022.
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
