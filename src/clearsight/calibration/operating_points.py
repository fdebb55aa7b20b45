"""Operating points: which class is predicted, given calibrated probabilities, where mistakes do not all cost the same.

The most probable class makes the fewest mistakes. Other wishes lead to other decisions: the lowest expected cost
[Elkan 2001, "The foundations of cost-sensitive learning"], or a precision or a recall of a class that new images keep.
All of these are one rule: the class d with the largest sum over k of p_k W_kd, for weights W. A threshold on the
probability of class c against the most probable other class is W diagonal, with W_cc other than 1.

A threshold is chosen on validation images by a lower confidence bound, so that it holds on new images drawn as these
were. The number of images of a class that lie above a threshold falls as it rises, so the recall is bounded exactly
[Clopper, Pearson 1934]. Precision need not; a few thresholds are compared, each by a bound that fails with a
probability of 5 % over their number [Bonferroni], so that all of these bounds hold together with a confidence of 95 %.

Shapes: N images, K classes; probabilities (N, K); scores (N,), larger for likelier; truth (N,) booleans.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clearsight.errors import ConfigError, did_you_mean
from clearsight.schema import integer, listed, number, record, text
from clearsight.wording import count, percent

Measure = Literal["precision", "recall"]
Floats = NDArray[np.float64]

CONFIDENCE = 0.95
"""Of the one-sided lower bounds."""

TRIED = 5
"""Thresholds at most that may reach a precision, each with a number of images above it; with more of them each bound is
lower. As many again have too few images above them for that.
"""


@dataclass(frozen=True)
class Reached:
    """What validation images say of a wish for one class.

    value: the precision or recall on them. bound: what new images have at least, with a confidence of 95 %. images:
    those it was measured on. threshold: of the score from which the class is predicted.
    """

    name: str
    measure: Measure
    required: float
    value: float
    bound: float
    images: int
    threshold: float

    @property
    def kept(self) -> bool:
        """Whether the bound is at least what was wished for."""
        return self.bound >= self.required - 1e-12

    def words(self) -> str:
        """The wish and what became of it."""
        asked = f"{self.measure} of ‘{self.name}’ at least {percent(self.required)}"
        found = (
            f"{percent(self.value)} on {count(self.images, 'validation image')}, "
            f"at least {percent(self.bound)} on new images with 95 % confidence"
        )
        return f"{asked} ({found})" if self.kept else f"{asked} cannot be guaranteed ({found})"


@dataclass(frozen=True)
class Wishes:
    """What the user wants of decisions. costs: by true class and predicted class. precision, recall: by class."""

    costs: Mapping[str, Mapping[str, float]] | None = None
    precision: Mapping[str, float] | None = None
    recall: Mapping[str, float] | None = None

    def __bool__(self) -> bool:
        return bool(self.costs or self.precision or self.recall)

    @property
    def names(self) -> set[str]:
        """Of the classes that anything is wished for."""
        decided = {name for row in (self.costs or {}).values() for name in row}
        return {*(self.costs or {}), *decided, *(self.precision or {}), *(self.recall or {})}

    def each(self) -> list[tuple[str, Measure, float]]:
        """The wishes for one class: name, measure and value."""
        found: list[tuple[str, Measure, float]] = [(k, "precision", v) for k, v in (self.precision or {}).items()]
        return found + [(k, "recall", v) for k, v in (self.recall or {}).items()]


@dataclass(frozen=True)
class OperatingPoint:
    """Which class is predicted: that with the largest p @ weights, weights (K, K) by true and predicted class.

    rule: what decided, in words. reached: what validation images say of each wish.
    """

    weights: tuple[tuple[float, ...], ...]
    rule: str
    reached: tuple[Reached, ...] = ()

    def decide(self, probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
        """The predicted class of each image (N,)."""
        return decisions(probabilities, self.weights)

    def card(self) -> dict[str, Any]:
        """Plain values for the bundle."""
        return {
            "weights": [list(row) for row in self.weights], "rule": self.rule,
            "reached": [asdict(r) for r in self.reached],
        }  # fmt: skip

    @classmethod
    def load(cls, card: Mapping[str, Any], classes: int | None = None) -> OperatingPoint:
        """From what `card` gave."""
        rows = card.get("weights") if isinstance(card, Mapping) else None
        classes = len(rows or ()) if classes is None and isinstance(rows, list | None) else classes or 1
        record({"weights": listed(listed(number(), classes), classes), "rule": text(), "reached": listed(_REACHED)})(
            card, "card.json: operating_point"
        )
        reached = tuple(Reached(**r) for r in card["reached"])
        return cls(tuple(tuple(map(float, row)) for row in card["weights"]), str(card["rule"]), reached)


_REACHED = record(
    {
        "name": text(), "measure": text("precision", "recall"), "required": number(0, 1), "value": number(0, 1),
        "bound": number(0, 1), "images": integer(0), "threshold": number(),
    }
)  # fmt: skip


def decisions(probabilities: NDArray[np.floating], weights: Sequence[Sequence[float]]) -> NDArray[np.int64]:
    """The predicted class of each image (N,), from probabilities (N, K) and weights (K, K)."""
    return np.asarray((np.asarray(probabilities, np.float64) @ np.asarray(weights, np.float64)).argmax(1), np.int64)


def operating_point(
    probabilities: Floats, labels: NDArray[np.integer], names: Sequence[str], wishes: Wishes
) -> OperatingPoint:
    """The operating point that validation images give.

    Args:
        probabilities: calibrated ones of validation images (M, K).
        labels: their classes (M,).
        names: of the classes (K,).
        wishes: costs, or a precision or recall of some classes.

    Raises:
        ConfigError: a class is not known, or costs do not fit the classes.
    """
    if wishes.costs:
        return _least_cost(probabilities, labels, names, wishes.costs)
    asked = [(known_name(name, names), measure, required) for name, measure, required in wishes.each()]
    diagonal, tried = np.ones(len(names)), dict[tuple[int, Measure], int]()
    for k, measure, required in asked:
        others = np.delete(probabilities * diagonal, k, axis=1).max(1)
        score = probabilities[:, k] / np.maximum(others, 1e-300)
        at, tried[k, measure] = threshold(score, labels == k, measure, required)
        diagonal[k] = 1 / at
    decided = (probabilities * diagonal).argmax(1)
    reached = []
    for k, measure, required in asked:
        counted = (decided == k) if measure == "precision" else (labels == k)
        right, n = int((counted & (decided == k) & (labels == k)).sum()), int(counted.sum())
        share = right / n if n else 0.0
        at = float(diagonal[k])
        reached.append(
            Reached(
                names[k],
                measure,
                required,
                share,
                lower_bound(right, n, tried[k, measure]),
                n,
                1 / at if at else math.inf,
            )
        )
    rule = "; ".join(r.words() for r in reached)
    return OperatingPoint(tuple(tuple(row) for row in np.diag(diagonal).tolist()), rule, tuple(reached))


def label_thresholds(
    probabilities: Floats,
    truth: NDArray[np.bool_],
    names: Sequence[str],
    thresholds: Sequence[float],
    wishes: Wishes,
) -> tuple[tuple[float, ...], tuple[Reached, ...]]:
    """Thresholds (K,) from which labels are given, those of some as wished for, by validation images with probabilities
    and truth (M, K); and what these say. thresholds: of all other labels.
    """
    found, reached = list(thresholds), []
    for name, measure, required in wishes.each():
        k = known_name(name, names)
        found[k], tried = threshold(probabilities[:, k], truth[:, k], measure, required)
        given = probabilities[:, k] >= found[k]
        counted = given if measure == "precision" else truth[:, k]
        right, n = int((given & truth[:, k]).sum()), int(counted.sum())
        bound = lower_bound(right, n, tried)
        reached.append(Reached(name, measure, required, right / n if n else 0.0, bound, n, found[k]))
    return tuple(found), tuple(reached)


def threshold(score: Floats, truth: NDArray[np.bool_], measure: Measure, required: float) -> tuple[float, int]:
    """The threshold on a score (M,) at which the lower bound of the precision or recall is as wanted: for a precision
    the one that finds most, for a recall the strictest. Where none is, for a precision the one with the highest bound,
    for a recall the one that these images alone lead to. Also the number of thresholds that it was chosen among.

    truth: which images are of the class (M,). Infinite or NaN scores do not occur; thresholds lie halfway between two
    scores that do, on a logarithmic scale where these are ratios.
    """
    order = np.sort(np.maximum(score, 1e-300))[::-1]
    if measure == "recall":
        return _recall_threshold(order, np.sort(np.maximum(score[truth], 1e-300))[::-1], required), 1
    if not len(order):
        return 1.0, 1
    few, enough = _places(len(order), required)
    bounds = {}
    for place in (*few, *enough):
        given = score >= order[place]
        bounds[place] = lower_bound(int((given & truth).sum()), int(given.sum()), TRIED)
    reached = [place for place in enough if bounds[place] >= required]
    chosen = max(reached) if reached else max(bounds, key=bounds.__getitem__)
    return _below(order, float(order[chosen])), TRIED if reached else 2 * TRIED


def _recall_threshold(order: Floats, own: Floats, required: float) -> float:
    """The threshold for a recall. order: all scores, falling; own: those of the class, falling."""
    if not len(own):
        return float(order[-1]) if len(order) else 1.0
    bounds = np.array([lower_bound(found, len(own)) for found in range(1, len(own) + 1)])
    enough = np.flatnonzero(bounds >= required)
    if not len(enough):  # so few images promise nothing: as many as wanted of those that there are
        enough = np.array([math.ceil(required * len(own)) - 1])
    return _below(order, float(own[enough[0]]))


def _places(n: int, required: float) -> tuple[list[int], list[int]]:
    """Places among n falling scores at which a precision is measured: those with too few images above them for a bound
    as wanted, and the others.
    """
    fewest = _fewest(required)

    def spread(low: int, high: int) -> list[int]:
        if low > high:
            return []
        return np.unique(np.geomspace(low, high, TRIED).round().astype(int) - 1).tolist()  # type: ignore[no-any-return]

    return spread(1, min(fewest - 1, n)), spread(fewest, n)


def lower_bound(right: int, n: int, tried: int = 1) -> float:
    """Exact one-sided lower bound of a share [Clopper, Pearson 1934]; 0 for no image. tried: number of such bounds that
    hold together.
    """
    from scipy.stats import beta

    return float(beta.ppf((1 - CONFIDENCE) / tried, right, n - right + 1)) if right else 0.0


def _fewest(required: float) -> int:
    """Images that must all be right for a bound as wanted of a precision."""
    return math.ceil(math.log((1 - CONFIDENCE) / TRIED) / math.log(required)) if 0 < required < 1 else 1


def _below(order: Floats, at: float) -> float:
    """Halfway, as a geometric mean, between a score and the next lower one of scores in falling order."""
    lower = order[order < at]
    return math.sqrt(at * float(lower[0])) if len(lower) else at / 2


def known_name(name: str, names: Sequence[str]) -> int:
    """The position of a name; ConfigError where there is none."""
    if name not in names:
        raise ConfigError(f"unknown class {name!r}", expected=", ".join(names[:8]), fix=did_you_mean(name, names))
    return list(names).index(name)


def _least_cost(
    probabilities: Floats, labels: NDArray[np.integer], names: Sequence[str], costs: Mapping[str, Mapping[str, float]]
) -> OperatingPoint:
    """The decision with the lowest expected cost. A pair that the matrix does not name costs 0 if right, else 1."""
    matrix = 1 - np.eye(len(names))
    for true, row in costs.items():
        for decided, cost in row.items():
            matrix[known_name(true, names), known_name(decided, names)] = cost
    if not np.isfinite(matrix).all():
        raise ConfigError("costs must be finite numbers", found=str(matrix[~np.isfinite(matrix)][0]))
    ours, usual = decisions(probabilities, (-matrix).tolist()), probabilities.argmax(1)
    spent = [float(matrix[labels, d].mean()) if len(labels) else 0.0 for d in (ours, usual)]
    rule = (
        f"lowest expected cost ({spent[0]:.3g} per validation image "
        f"on average; predicting the most probable class costs "
        f"{spent[1]:.3g})"
    )
    return OperatingPoint(tuple(tuple(row) for row in (-matrix).tolist()), rule)
