"""Evaluation of one class per image: accuracy with its interval, calibration, per-class scores, mistakes.

Shapes: N images, K classes; probabilities (N, K), targets (N,).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

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
    top_k_accuracy,
    wilson_interval,
)
from clearsight.metrics.calibration import ReliabilityBin
from clearsight.tasks.classification_report import class_report
from clearsight.tasks.evaluation import Evaluation, Mistake
from clearsight.tasks.sections import ReportParts


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
class ClassMistake(Mistake):
    """An image whose predicted class is not its label."""

    label: str
    predicted: str
    probability: float
    label_probability: float


@dataclass(frozen=True, repr=False)
class ClassEvaluation(Evaluation):
    """Scores of N images. Intervals hold with 95 % confidence; losses are in nats."""

    task: ClassVar[str] = "classification"
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
    mistakes: tuple[ClassMistake, ...]
    classes: tuple[str, ...]
    calibration: str = ""

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy."""
        return self.accuracy_interval

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

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values for JSON."""
        return {
            **self.summary(),
            "classes": list(self.classes),
            "per_class": [asdict(c) for c in self.per_class],
            "confusion": self.confusion.tolist(),
            "mistakes": [asdict(m) for m in self.mistakes],
            **self.counted(),
        }

    @staticmethod
    def headline(summary: dict[str, Any], thing: str = "image", new: str = "") -> str:
        """Accuracy with its interval, and calibration."""
        low, high = summary["accuracy_interval"]
        return (
            f"right on {summary['accuracy']:.1%} of {summary['n']} {thing}s{new} "
            f"(95 % interval {low:.1%} to {high:.1%})\n"
            f"it says {summary['mean_confidence']:.1%} on average; its belief is off by {summary['ece']:.1%} "
            f"({summary['ece_uncalibrated']:.1%} before calibration)"
        )

    def text(self, thing: str = "image", new: str = "") -> str:
        """A table of scores, a line for each class, the surest mistakes."""
        low, high = self.accuracy_interval
        lines = [
            f"accuracy           {self.accuracy:.1%} of {self.n} {thing}s (95 % interval {low:.1%} to {high:.1%})",
            f"balanced accuracy  {self.balanced_accuracy:.1%}",
            *([f"top 5              {self.top5:.1%}"] if self.top5 is not None else []),
            f"log loss           {self.log_loss:.3f}",
            f"belief off by      {self.ece:.1%} ({self.ece_uncalibrated:.1%} before calibration)\n",
        ]
        width = max(len("class"), *(len(c.name) for c in self.per_class))
        lines.append(f"{'class':<{width}}  {thing}s  precision  recall    F1")
        lines += [
            f"{c.name:<{width}}  {c.images:6d}  {c.precision:9.1%}  {c.recall:6.1%}  {c.f1:.3f}" for c in self.per_class
        ]
        return "\n".join([*lines, "", *(self.mistake_line(m) for m in self.mistakes[:10])])

    def mistake_line(self, mistake: ClassMistake) -> str:
        """A mistake in a line."""
        how = "sure and wrong" if mistake.probability > 0.8 else "wrong"
        return f"{how}: {mistake.image} is {mistake.label}, called {mistake.predicted} with {mistake.probability:.1%}"

    def report(self, thing: str = "image", validation: Self | None = None) -> ReportParts:
        """Accuracy and calibration, every score beside that of validation, confusions, classes, mistakes."""
        return class_report(self, thing, validation)


def evaluate_classes(
    belief: NDArray[np.floating],
    raw: NDArray[np.floating],
    targets: NDArray[np.integer],
    classes: Sequence[str],
    *,
    calibration: str = "",
    indices: NDArray[np.integer] | None = None,
    images: Sequence[str] | None = None,
) -> ClassEvaluation:
    """Metrics of calibrated probabilities (N, K), and of those before calibration, against targets (N,).

    calibration: how, in words. indices, images: positions in the data set and names of the N images, for
    the list of mistakes, most confident first.
    """
    n = len(targets)
    predicted = belief.argmax(axis=1)
    confusion = confusion_matrix(targets, predicted, len(classes))
    precision, recall, f1 = precision_recall_f1(targets, predicted, len(classes))
    present = confusion.sum(axis=1)
    wrong = np.flatnonzero(predicted != targets)
    wrong = wrong[np.argsort(-belief[wrong, predicted[wrong]], kind="stable")]
    where = np.arange(n) if indices is None else indices
    return ClassEvaluation(
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
            ClassMistake(
                int(where[i]),
                images[int(i)] if images is not None else f"#{where[i]}",
                classes[int(targets[i])],
                classes[int(predicted[i])],
                float(belief[i, predicted[i]]),
                float(belief[i, targets[i]]),
            )
            for i in wrong
        ),
        classes=tuple(classes),
        calibration=calibration,
    )
