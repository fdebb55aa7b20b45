"""How good is a classifier, how far can that number be off, and does its belief hold?

Shapes: N images, K classes; logits (N, K), targets (N,).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.metrics import (
    accuracy,
    balanced_accuracy,
    brier_score,
    confusion_matrix,
    entropy,
    expected_calibration_error,
    log_loss,
    precision_recall_f1,
    reliability_bins,
    softmax,
    top_k_accuracy,
    wilson_interval,
)
from clearsight.metrics.calibration import ReliabilityBin


@dataclass(frozen=True)
class ClassScore:
    """One class: how many images it has, how often it is found (recall) and how often its name is right (precision)."""

    name: str
    images: int
    precision: float
    recall: float
    recall_interval: tuple[float, float]
    f1: float


@dataclass(frozen=True)
class Mistake:
    """An image whose predicted class is not its label. index: its position in the data set."""

    index: int
    image: str
    label: str
    predicted: str
    probability: float
    label_probability: float


@dataclass(frozen=True)
class Evaluation:
    """Scores of N images. Intervals hold with 95 % confidence; losses are in nats."""

    n: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    balanced_accuracy: float
    top5: float | None
    log_loss: float
    brier: float
    ece: float
    ece_uncalibrated: float
    mean_confidence: float
    mean_doubt: float
    per_class: tuple[ClassScore, ...]
    confusion: NDArray[np.int64]
    reliability: tuple[ReliabilityBin, ...]
    reliability_uncalibrated: tuple[ReliabilityBin, ...]
    mistakes: tuple[Mistake, ...]
    classes: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """The numbers that go into metrics.json."""
        scores: dict[str, Any] = {
            "n": self.n,
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.accuracy_interval),
            "balanced_accuracy": self.balanced_accuracy,
            "log_loss": self.log_loss,
            "brier": self.brier,
            "ece": self.ece,
            "ece_uncalibrated": self.ece_uncalibrated,
            "mean_confidence": self.mean_confidence,
        }
        if self.top5 is not None:
            scores["top5"] = self.top5
        return scores


def evaluate(
    logits: NDArray[np.floating],
    targets: NDArray[np.integer],
    classes: Sequence[str],
    temperature: float,
    *,
    indices: NDArray[np.integer] | None = None,
    names: Sequence[str] | None = None,
) -> Evaluation:
    """Judge logits (N, K) against targets (N,) at a temperature.

    indices, names: positions in the data set and names of the N images, for the list of mistakes, surest first.
    """
    n = len(targets)
    belief, raw = softmax(logits, temperature), softmax(logits)
    predicted = belief.argmax(axis=1)
    confusion = confusion_matrix(targets, predicted, len(classes))
    precision, recall, f1 = precision_recall_f1(targets, predicted, len(classes))
    present = confusion.sum(axis=1)
    wrong = np.flatnonzero(predicted != targets)
    wrong = wrong[np.argsort(-belief[wrong, predicted[wrong]], kind="stable")]
    where = np.arange(n) if indices is None else indices
    return Evaluation(
        n=n,
        accuracy=accuracy(targets, predicted),
        accuracy_interval=wilson_interval(int((predicted == targets).sum()), n),
        balanced_accuracy=balanced_accuracy(targets, predicted),
        top5=top_k_accuracy(targets, belief, 5) if len(classes) >= 6 else None,
        log_loss=log_loss(targets, belief),
        brier=brier_score(targets, belief),
        ece=expected_calibration_error(targets, belief),
        ece_uncalibrated=expected_calibration_error(targets, raw),
        mean_confidence=float(belief.max(axis=1).mean()),
        mean_doubt=float(entropy(belief).mean() / np.log(max(2, len(classes)))),
        per_class=tuple(
            ClassScore(
                name,
                int(present[k]),
                float(precision[k]),
                float(recall[k]),
                wilson_interval(int(confusion[k, k]), int(present[k])),
                float(f1[k]),
            )
            for k, name in enumerate(classes)
        ),
        confusion=confusion,
        reliability=tuple(reliability_bins(targets, belief)),
        reliability_uncalibrated=tuple(reliability_bins(targets, raw)),
        mistakes=tuple(
            Mistake(
                int(where[i]),
                names[int(i)] if names is not None else f"#{where[i]}",
                classes[int(targets[i])],
                classes[int(predicted[i])],
                float(belief[i, predicted[i]]),
                float(belief[i, targets[i]]),
            )
            for i in wrong
        ),
        classes=tuple(classes),
    )
