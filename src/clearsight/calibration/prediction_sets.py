"""Prediction sets that hold the true class with a stated probability: split conformal prediction.

On images that were not trained on, each true class gets a score, larger for a worse answer; the threshold is the
ceil((n + 1) coverage)-th smallest of the n scores, and a set holds every class whose score is not above it. Where
images to come are drawn as these were, the sets hold the truth with at least that probability, on average over images
and draws [Vovk, Gammerman, Shafer 2005, proposition 4.1].

    least      score 1 - p(class). The smallest sets on average; empty for an image of which nothing is likely enough,
               which happens where the model is right more often than the coverage asks for [Sadinle, Lei, Wasserman
               2019]
    adaptive   score: the summed belief of the class and of all likelier ones. Larger sets for harder images, never
               empty, and so above the stated coverage for a good model [Romano, Sesia, Candès 2020]

Shapes: belief (N, K), rows summing to 1; labels (N,).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clearsight.errors import ConfigError, DataError

Kind = Literal["least", "adaptive"]
Floats = NDArray[np.float64]

KEPT = 2000
"""Scores and errors of validation images that the card of a model keeps at most."""


def conformal_scores(belief: Floats, kind: Kind = "least") -> Floats:
    """The score of every class of every image (N, K)."""
    if kind == "least":
        return 1 - belief
    if kind != "adaptive":
        raise ConfigError(f"there is no kind of prediction set {kind!r}", expected="least or adaptive")
    order = np.argsort(-belief, axis=1, kind="stable")
    summed = np.cumsum(np.take_along_axis(belief, order, axis=1), axis=1)
    scores = np.empty_like(belief)
    np.put_along_axis(scores, order, summed, axis=1)
    return scores


def own_scores(belief: Floats, labels: NDArray[np.integer], kind: Kind = "least") -> Floats:
    """The sorted scores of the true classes (N,): all that thresholds of any coverage need.

    Raises DataError without images or with a single class.
    """
    if not len(labels) or belief.shape[1] < 2:
        raise DataError(
            "prediction sets need images of two classes or more",
            found=f"{len(labels)} images, {belief.shape[1]} classes",
        )
    return np.sort(conformal_scores(belief, kind)[np.arange(len(labels)), labels])


def threshold_of(scores: Floats, coverage: float = 0.9) -> float:
    """The largest score a class in a set may have, from `own_scores`; infinite where so few images cannot promise so
    much. Raises ConfigError for a coverage outside (0, 1).
    """
    if not 0 < coverage < 1:
        raise ConfigError(f"a coverage of {coverage:g}", expected="between 0 and 1, such as 0.9")
    place = math.ceil((len(scores) + 1) * coverage)
    return float(scores[place - 1]) if place <= len(scores) else math.inf


def thinned(scores: Floats, most: int = KEPT) -> Floats:
    """At most so many of sorted scores (..., n), evenly by rank: enough for thresholds, and a card stays small."""
    count = scores.shape[-1]
    return scores if count <= most else scores[..., np.linspace(0, count - 1, most).round().astype(int)]


def prediction_sets(belief: Floats, threshold: float, kind: Kind = "least") -> NDArray[np.bool_]:
    """Which classes each image's set holds (N, K). Adaptive sets always hold the likeliest class."""
    inside = conformal_scores(belief, kind) <= threshold
    if kind == "adaptive":
        inside[np.arange(len(belief)), belief.argmax(1)] = True
    return inside


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
