"""What a model predicts of each test image beside what is true: the rows of the predictions that a run keeps, the
captions of its pictures, and the counts behind the threshold slider of its report.

Shapes: N images, K names, T thresholds. A task that is not registered here has its decoded outputs as columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clearsight.tasks.anomaly import Anomaly
from clearsight.tasks.classification import Classification
from clearsight.tasks.multilabel import Multilabel
from clearsight.tasks.ordinal import Ordinal
from clearsight.tasks.regression import Regression
from clearsight.tasks.task import Floats, Outputs, Task
from clearsight.wording import listed, probability

STEPS = 101
"""Thresholds of a slider, the one in use not counted."""

SHARES = 3
"""Most probable names that a picture's caption lists."""


@dataclass(frozen=True)
class ThresholdCounts:
    """Images whose score reaches a threshold. thresholds (T,), rising. positives, negatives (T,): how many of each kind
    reach it; totals: how many there are. used: the threshold of the model; None for none.
    """

    name: str
    thresholds: Floats
    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]
    totals: tuple[int, int]
    used: float | None = None


@dataclass(frozen=True)
class Thresholds:
    """Counts of each name over all thresholds. kind: what reaching a threshold means. "kept": the prediction is used;
    positives are correct predictions. "found": the name is predicted; positives are images with it. "within": the error
    is at most the threshold. score: what is compared with the threshold.
    """

    kind: Literal["kept", "found", "within"]
    score: str
    counts: tuple[ThresholdCounts, ...]


@dataclass(frozen=True)
class Outcomes:
    """Predictions and truth of N images.

    columns: the table's, by name, (N,) each. labels, predicted: in words. wrong (N,): whether it counts as a mistake.
    order (N,): larger for a worse mistake, or a more uncertain one. notes: a line on each prediction. shares: the
    most probable names of each. classes: names that labels and predictions are of, where each image has one; codes
    (N, 2): the label and the prediction among these. truth_word, kinds: what the truth, and wrong and other predictions
    are called.
    """

    columns: dict[str, NDArray[Any]]
    labels: tuple[str, ...] = ()
    predicted: tuple[str, ...] = ()
    wrong: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    order: Floats = field(default_factory=lambda: np.zeros(0))
    notes: tuple[str, ...] = ()
    shares: tuple[tuple[tuple[str, float], ...], ...] = ()
    classes: tuple[str, ...] = ()
    codes: NDArray[np.int64] | None = None
    confidence: Floats | None = None
    thresholds: tuple[Thresholds, ...] = ()
    truth_word: str = "label"
    kinds: tuple[str, str] = ("mistakes", "correct predictions")


@singledispatch
def outcomes(task: Task, outputs: Outputs, truth: NDArray[Any]) -> Outcomes:
    """Predictions and truth of some images.

    Args:
        task: what is predicted.
        outputs: of the network (N, O).
        truth: as the task evaluates it (N,) or (N, T).

    Returns:
        The outcomes, in the order of the images.
    """
    found = task.decode(outputs)
    return Outcomes(_each("true", truth.reshape(len(truth), -1), task.names) | _each("predicted", found, task.names))


@outcomes.register
def _(task: Classification, outputs: Outputs, truth: NDArray[Any]) -> Outcomes:
    probabilities, raw = task.decode(outputs), Classification(task.names).decode(outputs)
    return _of_classes(task, probabilities, truth, _each("uncalibrated", raw, task.names))


@outcomes.register
def _(task: Ordinal, outputs: Outputs, truth: NDArray[Any]) -> Outcomes:
    return _of_classes(task, task.decode(outputs), truth, {}, distance=True)


def _of_classes(
    task: Task, probabilities: Floats, truth: NDArray[Any], more: dict[str, NDArray[Any]], *, distance: bool = False
) -> Outcomes:
    """One name per image. distance: a mistake is worse the further off it is."""
    names, predicted = np.array(task.names), task.decided(probabilities)
    rows = np.arange(len(truth))
    confidence, wrong = probabilities[rows, predicted], predicted != truth
    order = np.where(wrong, confidence + distance * np.abs(predicted - truth), -confidence)
    columns = {
        "label": names[truth], "predicted": names[predicted], "confidence": confidence, "correct": ~wrong,
        **_each("probability", probabilities, task.names), **more,
    }  # fmt: skip
    each = tuple(
        _counts(name, probabilities[:, k], truth == k) for k, name in enumerate(task.names) if (truth == k).any()
    )
    kept = Thresholds("kept", "confidence", (_counts("all predictions", confidence, ~wrong),))
    return Outcomes(
        columns, tuple(names[truth]), tuple(names[predicted]), wrong, order,
        tuple(f"confidence {probability(c)}" for c in confidence),
        tuple(_with_truth(row, label, task.names) for row, label in zip(probabilities, truth.tolist(), strict=True)),
        task.names, np.stack([truth, predicted], axis=1).astype(np.int64), confidence,
        (kept, Thresholds("found", "probability", each)),
    )  # fmt: skip


@outcomes.register
def _(task: Multilabel, outputs: Outputs, truth: NDArray[Any]) -> Outcomes:
    probabilities, raw = task.decode(outputs), Multilabel.unfitted(task.names).decode(outputs)
    given, present = task.given(probabilities), truth > 0
    right = np.clip(np.where(present, probabilities, 1 - probabilities), 1e-15, 1)
    columns = {
        **_each("label", present, task.names), **_each("predicted", given, task.names),
        **_each("probability", probabilities, task.names), **_each("uncalibrated", raw, task.names),
    }  # fmt: skip
    counts = tuple(
        _counts(name, probabilities[:, k], present[:, k], task.thresholds[k]) for k, name in enumerate(task.names)
    )
    return Outcomes(
        columns, _lists(present, task.names), _lists(given, task.names), np.asarray((given != present).any(1)),
        -np.log(right).sum(1), tuple(_differences(p, g, task.names) for p, g in zip(present, given, strict=True)),
        tuple(_likeliest(row, task.names) for row in probabilities),
        thresholds=(Thresholds("found", "probability", counts),),
    )  # fmt: skip


@outcomes.register
def _(task: Regression, outputs: Outputs, truth: NDArray[Any]) -> Outcomes:
    predicted, exact = task.decode(outputs), truth.astype(np.float64)
    errors, widths = task.differences(predicted, exact), task.widths(outputs, 0.9)
    of_errors = task.names if errors.shape[1] == len(task.names) else ("direction",)
    off = np.abs(errors)
    columns = {
        **_each("true", exact, task.names), **_each("predicted", predicted, task.names),
        **_each("error", errors, of_errors), **_each("half_width_90", widths, of_errors),
    }  # fmt: skip
    counts = tuple(_within(name, off[:, k]) for k, name in enumerate(of_errors))
    return Outcomes(
        columns, tuple(map(_numbers, exact)), tuple(map(_numbers, predicted)), np.asarray((off > widths).any(1)),
        off.max(1),
        tuple(f"error {e:.3g}, 90 % interval ± {w:.3g}" for e, w in zip(off.max(1), widths.max(1), strict=True)),
        thresholds=(Thresholds("within", "absolute error", counts),), truth_word="true",
        kinds=("outside the 90 % interval", "inside the 90 % interval"),
    )  # fmt: skip


@outcomes.register
def _(task: Anomaly, outputs: Outputs, truth: NDArray[Any]) -> Outcomes:
    scores, flagged = np.asarray(outputs, np.float64)[:, 0], task.given(outputs)
    p_values, anomalous, chances = task.p_values(outputs), truth[:, 0] > 0, task.decode(outputs)[:, 0]
    words = np.array(["normal", "anomaly"])
    columns = {
        "label": words[anomalous.astype(int)], "predicted": words[flagged.astype(int)], "score": scores,
        "p_value": p_values, "probability": chances, "correct": flagged == anomalous,
    }  # fmt: skip
    counts = _counts("anomaly", scores, anomalous, task.threshold, np.quantile(scores, np.linspace(0, 1, STEPS)))
    return Outcomes(
        columns, tuple(columns["label"]), tuple(columns["predicted"]), flagged != anomalous,
        np.where(anomalous, p_values, chances),
        tuple(f"score {s:.3g}; p-value {p:.2g}" for s, p in zip(scores, p_values, strict=True)),
        classes=("normal", "anomaly"), codes=np.stack([anomalous, flagged], axis=1).astype(np.int64),
        thresholds=(Thresholds("found", "score", (counts,)),),
    )  # fmt: skip


def _each(word: str, values: NDArray[Any], names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """A column for each name, or for each number of the outputs where these have no names."""
    given = names if values.shape[1] == len(names) else [str(k) for k in range(values.shape[1])]
    return {f"{word}:{name}": values[:, k] for k, name in enumerate(given)}


def _counts(
    name: str, scores: Floats, positive: NDArray[np.bool_], used: float | None = None, grid: Floats | None = None
) -> ThresholdCounts:
    """How many of each kind reach each threshold: exactly, so that a page that shows them needs no scores."""
    grid = np.linspace(0, 1, STEPS) if grid is None else grid
    thresholds = np.unique(grid if used is None else np.append(grid, used))
    reach = [
        np.asarray(kind.sum() - np.searchsorted(np.sort(scores[kind]), thresholds, "left"), np.int64)
        for kind in (positive, ~positive)
    ]
    return ThresholdCounts(name, thresholds, reach[0], reach[1], (int(positive.sum()), int((~positive).sum())), used)


def _within(name: str, errors: Floats) -> ThresholdCounts:
    """How many absolute errors are at most each threshold."""
    thresholds = np.linspace(0, float(errors.max()) or 1.0, STEPS)
    found = np.asarray(np.searchsorted(np.sort(errors), thresholds, "right"), np.int64)
    return ThresholdCounts(
        name, thresholds, found, np.zeros(STEPS, np.int64), (len(errors), 0), float(np.median(errors))
    )


def _lists(given: NDArray[np.bool_], names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(", ".join(name for name, there in zip(names, row, strict=True) if there) or "none" for row in given)


def _differences(present: NDArray[np.bool_], given: NDArray[np.bool_], names: tuple[str, ...]) -> str:
    """Which labels are missing and which are too many."""
    missing = [n for n, p, g in zip(names, present, given, strict=True) if p and not g]
    extra = [n for n, p, g in zip(names, present, given, strict=True) if g and not p]
    words = [f"{word} {listed(some)}" for word, some in (("missing", missing), ("predicted but absent", extra)) if some]
    return "; ".join(words) or "all labels correct"


def _with_truth(row: Floats, label: int, names: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    """The most probable names, and the label where it is not among them."""
    found = _likeliest(row, names)
    return found if names[label] in dict(found) else (*found, (names[label], float(row[label])))


def _likeliest(row: Floats, names: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    return tuple((names[k], float(row[k])) for k in np.argsort(-row, kind="stable")[:SHARES].tolist())


def _numbers(row: Floats) -> str:
    return ", ".join(f"{value:.4g}" for value in row)
