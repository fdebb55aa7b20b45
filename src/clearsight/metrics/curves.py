"""Curves over all thresholds, by scikit-learn: ROC and precision against recall of each class, and their areas.

Shapes: N images, K classes; truth (N, K) booleans, whether an image is of a class; scores (N, K), larger for likelier.
Each class is evaluated against all others. Classes without positives or negatives among the images have no ROC curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearsight.metrics.comparison import auroc_interval
from clearsight.metrics.ranking import auroc, average_precision

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

POINTS = 101
"""Places at which a macro-averaged curve is taken."""

MOST = 30
"""Classes whose curves are drawn at most; of more there are only the areas."""


@dataclass(frozen=True)
class Curve:
    """A curve from (0, ...) to (1, ...): x, y (P,). name: of the class. area: under it."""

    name: str
    x: Floats
    y: Floats
    area: float

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {"name": self.name, "area": self.area, "x": self.x.tolist(), "y": self.y.tolist()}


@dataclass(frozen=True)
class RankingScores:
    """How well scores rank the images of each class above all others.

    auroc, average_precision (K,): NaN where a class has no positives, of AUROC also where it has no negatives.
    auroc_intervals: 95 %, (0, 1) where there is none. macro_auroc, macro_average_precision: means over the classes that
    have one; NaN where none has. macro_auroc_interval: 95 %.
    """

    auroc: tuple[float, ...]
    auroc_intervals: tuple[tuple[float, float], ...]
    average_precision: tuple[float, ...]
    macro_auroc: float
    macro_auroc_interval: tuple[float, float]
    macro_average_precision: float


def ranking_scores(truth: Mask, scores: NDArray[np.floating], level: float = 0.95) -> RankingScores:
    """AUROC with intervals, and average precision, of each class against the others.

    The interval of one class is Newcombe's (`auroc_interval`). That of the mean combines them by the method of variance
    estimates recovery [Zou and Donner 2008], the correlations between classes being those of DeLong's components
    [DeLong, DeLong, Clarke-Pearson 1988].

    Args:
        truth: whether each image is of each class (N, K).
        scores: larger for likelier (N, K).
        level: confidence level of the intervals.
    """
    areas = [auroc(s[~t], s[t]) for t, s in zip(truth.T, scores.T, strict=True)]
    spans = [
        auroc_interval(area, int((~t).sum()), int(t.sum()), level) if np.isfinite(area) else (0.0, 1.0)
        for t, area in zip(truth.T, areas, strict=True)
    ]
    precisions = [average_precision(t, s) for t, s in zip(truth.T, scores.T, strict=True)]
    counted = [k for k, area in enumerate(areas) if np.isfinite(area)]
    return RankingScores(
        tuple(areas),
        tuple(spans),
        tuple(precisions),
        _mean([areas[k] for k in counted]),
        _mean_interval([areas[k] for k in counted], [spans[k] for k in counted], truth[:, counted], scores[:, counted]),
        _mean([p for p in precisions if np.isfinite(p)]),
    )


def roc_curves(truth: Mask, scores: NDArray[np.floating], names: Sequence[str]) -> tuple[Curve, ...]:
    """True positive rate against false positive rate for each class that has positives and negatives; of several the
    macro average comes first: the mean height of the curves [Fawcett 2006].
    """
    from sklearn.metrics import roc_curve

    found = []
    for name, t, s in zip(names, truth.T, scores.T, strict=True) if len(names) <= MOST else ():
        if t.any() and not t.all():
            x, y, _ = roc_curve(t, s)
            found.append(Curve(name, x, y, float(np.trapezoid(y, x))))
    return _with_macro(found, lambda curve, at: np.interp(at, curve.x, curve.y))


def precision_recall_curves(truth: Mask, scores: NDArray[np.floating], names: Sequence[str]) -> tuple[Curve, ...]:
    """Precision against recall for each class that has positives, as steps; of several the macro average
    comes first.
    """
    from sklearn.metrics import precision_recall_curve

    found = []
    for name, t, s in zip(names, truth.T, scores.T, strict=True) if len(names) <= MOST else ():
        if t.any():
            y, x, _ = precision_recall_curve(t, s)
            y, x = y[::-1], x[::-1]  # from no recall on
            whole = int(np.argmax(x >= 1)) + 1  # lower thresholds find nothing more
            y, x = y[:whole], x[:whole]
            found.append(Curve(name, x, y, float(np.diff(x) @ y[1:])))  # the average precision
    # a recall in between is reached by the next threshold
    return _with_macro(found, lambda curve, at: curve.y[np.searchsorted(curve.x, at - 1e-12, "left")])


def _with_macro(curves: list[Curve], height: object) -> tuple[Curve, ...]:
    assert callable(height)
    if len(curves) < 2:
        return tuple(curves)
    at = np.linspace(0, 1, POINTS)
    mean = np.mean([height(curve, at) for curve in curves], axis=0)
    macro = Curve("macro average", at, mean, float(np.mean([curve.area for curve in curves])))
    return macro, *curves


def _mean_interval(
    areas: Sequence[float], spans: Sequence[tuple[float, float]], truth: Mask, scores: NDArray[np.floating]
) -> tuple[float, float]:
    """Interval of the mean of some areas (J,), from their own intervals: theta - sqrt(d' R d) / J with distances d to
    their lower ends and correlations R, and likewise above.
    """
    if not areas:
        return 0.0, 1.0
    theta = float(np.mean(areas))
    parts = np.stack([_components(t, s) for t, s in zip(truth.T, scores.T, strict=True)], 1)
    norms = np.linalg.norm(parts, axis=0)
    scaled = parts / np.where(norms > 0, norms, 1)
    correlation = scaled.T @ scaled
    correlation[norms == 0] = correlation[:, norms == 0] = (
        1  # all images ranked correctly: the correlation is unknown, so the widest
    )
    np.fill_diagonal(correlation, 1)
    ends = []
    for side in (0, 1):
        d = np.abs(np.array(areas) - np.array([span[side] for span in spans]))
        ends.append(np.sqrt(max(0.0, float(d @ correlation @ d))) / len(areas))
    return max(0.0, theta - ends[0]), min(1.0, theta + ends[1])


def _components(truth: Mask, scores: NDArray[np.floating]) -> Floats:
    """What each image contributes to the deviation of the area from its mean (N,) [DeLong 1988, equations 4 and 5]:
    its share of images of the other kind that are ranked rightly, centred, over the number of images of its kind.
    """
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    found = np.empty(len(scores))
    for kind, other in ((truth, ~truth), (~truth, truth)):
        beyond = (ranks[kind] - rankdata(scores[kind])) / other.sum()  # the share of the other kind below
        share = beyond if kind is truth else 1 - beyond
        found[kind] = (share - share.mean()) / kind.sum()
    return found


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
