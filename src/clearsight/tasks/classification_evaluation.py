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
    macro_f1,
    macro_f1_interval,
    precision_recall_f1,
    reliability_bins,
    top_k_accuracy,
    wilson_interval,
)
from clearsight.metrics.calibration import ReliabilityBin
from clearsight.metrics.curves import Curve, RankingScores, precision_recall_curves, ranking_scores, roc_curves
from clearsight.tasks.calibration_scores import CalibrationScores
from clearsight.tasks.classification_report import class_report
from clearsight.tasks.evaluation import Evaluation, Mistake
from clearsight.tasks.panel import PanelEntry, accuracy_entry, calibration_entry
from clearsight.tasks.sections import ReportParts
from clearsight.wording import count, percent, points, probability


@dataclass(frozen=True)
class ClassScore:
    """One class: how many images it has, how often it is found (recall) and how often its name is right (precision).
    auroc, average_precision: of its probability, against all other classes; None if undefined on these images.
    """

    name: str
    images: int
    precision: float
    recall: float
    recall_interval: tuple[float, float]
    f1: float
    auroc: float | None = None
    auroc_interval: tuple[float, float] | None = None
    average_precision: float | None = None


@dataclass(frozen=True)
class ClassMistake(Mistake):
    """An image whose predicted class is not its label."""

    label: str
    predicted: str
    probability: float
    label_probability: float


@dataclass(frozen=True, repr=False)
class ClassEvaluation(Evaluation):
    """Scores of N images. Intervals hold with 95 % confidence; losses are in nats.

    macro_f1, auroc, average_precision: means over classes. calibrated, uncalibrated: scores of the probabilities after
    and before calibration. frequency_log_loss, frequency_brier: of always predicting the class frequencies.
    roc, precision_recall: curves, of several classes their mean first. rule: what decided the predicted class, if not
    the largest probability.
    """

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
    mean_uncertainty: float
    macro_f1: float
    macro_f1_interval: tuple[float, float]
    auroc: float | None
    auroc_interval: tuple[float, float] | None
    average_precision: float | None
    calibrated: CalibrationScores
    uncalibrated: CalibrationScores
    frequency_log_loss: float
    frequency_brier: float
    per_class: tuple[ClassScore, ...]
    confusion: NDArray[np.int64]
    reliability: tuple[ReliabilityBin, ...]
    reliability_uncalibrated: tuple[ReliabilityBin, ...]
    mistakes: tuple[ClassMistake, ...]
    classes: tuple[str, ...]
    calibration: str = ""
    roc: tuple[Curve, ...] = ()
    precision_recall: tuple[Curve, ...] = ()
    rule: str = ""

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
            "macro_f1": self.macro_f1,
            "macro_f1_interval": list(self.macro_f1_interval),
            "auroc": self.auroc,
            "auroc_interval": None if self.auroc_interval is None else list(self.auroc_interval),
            "average_precision": self.average_precision,
            "debiased_ece": self.calibrated.debiased_ece,
            "debiased_ece_interval": list(self.calibrated.debiased_ece_interval),
            "debiased_ece_uncalibrated": self.uncalibrated.debiased_ece,
            "debiased_ece_uncalibrated_interval": list(self.uncalibrated.debiased_ece_interval),
            "log_loss_uncalibrated": self.uncalibrated.log_loss,
            "brier_uncalibrated": self.uncalibrated.brier,
            "log_loss_frequencies": self.frequency_log_loss,
            "brier_frequencies": self.frequency_brier,
        }
        if self.rule:
            scores["rule"] = self.rule
        if self.top5 is not None:
            scores["top5"] = self.top5
        return scores

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values for JSON."""
        curves = (("roc", self.roc), ("precision_recall", self.precision_recall))
        return {
            **self.summary(),
            "classes": list(self.classes),
            "per_class": [asdict(c) for c in self.per_class],
            "confusion": self.confusion.tolist(),
            "mistakes": [asdict(m) for m in self.mistakes],
            "curves": {name: [c.to_dict() for c in found] for name, found in curves},
            **self.counted(),
        }

    @staticmethod
    def headline(summary: dict[str, Any], thing: str = "image", new: str = "") -> str:
        """Accuracy with its interval, and calibration."""
        low, high = summary["accuracy_interval"]
        accuracy = (
            f"accuracy {percent(summary['accuracy'])} on {count(summary['n'], thing)}{new} "
            f"(95 % interval {percent(low)} to {percent(high)})"
        )
        if "debiased_ece" not in summary:  # of a run of an earlier version
            return accuracy
        least, most = summary["debiased_ece_interval"]
        return (
            f"{accuracy}\n"
            f"calibration error {points(summary['debiased_ece'])} (95 % interval {100 * least:.1f} to "
            f"{100 * most:.1f}; {100 * summary['debiased_ece_uncalibrated']:.1f} before calibration), log loss "
            f"{summary['log_loss']:.3f} ({summary['log_loss_frequencies']:.3f} for the class frequencies)"
        )

    def text(self, thing: str = "image", new: str = "") -> str:
        """A table of scores, a line for each class, the surest mistakes."""
        (low, high), (least, most) = self.accuracy_interval, self.macro_f1_interval
        before, after = self.uncalibrated, self.calibrated
        error = after.debiased_ece_interval
        area = "" if self.auroc_interval is None else f" ({_span(self.auroc_interval)})"
        lines = [
            *self.beside(),
            f"accuracy           {percent(self.accuracy)} on {count(self.n, thing)} (95 % interval {percent(low)} to "
            f"{percent(high)})",
            f"balanced accuracy  {percent(self.balanced_accuracy)}",
            *([f"top-5 accuracy     {percent(self.top5)}"] if self.top5 is not None else []),
            f"macro F1           {self.macro_f1:.3f} ({least:.3f} to {most:.3f})",
            *([f"AUROC              {self.auroc:.3f}{area}"] if self.auroc is not None else []),
            *([f"average precision  {self.average_precision:.3f}"] if self.average_precision is not None else []),
            f"calibration error  {points(after.debiased_ece)} ({100 * error[0]:.1f} to {100 * error[1]:.1f}; "
            f"{points(before.debiased_ece)} before calibration)",
            f"log loss           {self.log_loss:.3f} ({before.log_loss:.3f} before calibration, "
            f"{self.frequency_log_loss:.3f} for the class frequencies)",
            f"Brier score        {self.brier:.3f} ({before.brier:.3f} before calibration, "
            f"{self.frequency_brier:.3f} for the class frequencies)",
            *([f"decision rule      {self.rule}"] if self.rule else []),
            "",
        ]
        width = max(len("class"), *(len(c.name) for c in self.per_class))
        lines.append(f"{'class':<{width}}  {thing}s  precision  recall    F1  AUROC")
        lines += [
            f"{c.name:<{width}}  {c.images:6d}  {percent(c.precision):>10}  {percent(c.recall):>7}  {c.f1:.3f}  "
            + ("    -" if c.auroc is None else f"{c.auroc:.3f}")
            for c in self.per_class
        ]
        return "\n".join([*lines, "", *(self.mistake_line(m) for m in self.mistakes[:10])])

    def promises(self) -> tuple[PanelEntry, ...]:
        """Accuracy above the share of the most common class, and calibration."""
        images = [score.images for score in self.per_class]
        commonest = max(range(len(images)), key=images.__getitem__)
        scores = self.calibrated
        return (
            accuracy_entry(
                self.accuracy,
                self.accuracy_interval,
                images[commonest] / self.n,
                self.classes[commonest],
                images=self.n,
            ),
            calibration_entry(
                scores.debiased_ece, scores.debiased_ece_interval, scores.log_loss, self.frequency_log_loss, self.n
            ),
        )

    def mistake_line(self, mistake: ClassMistake) -> str:
        """A mistake in a line."""
        kind = "confident mistake" if mistake.probability > 0.8 else "wrong"
        sure = probability(mistake.probability)
        return f"{kind}: {mistake.image} is {mistake.label}, predicted as {mistake.predicted} ({sure})"

    def report(self, thing: str = "image", validation: Self | None = None) -> ReportParts:
        """Accuracy and calibration, every score beside that of validation, confusions, classes, mistakes."""
        return class_report(self, thing, validation)


def evaluate_classes(
    probabilities: NDArray[np.floating],
    raw: NDArray[np.floating],
    targets: NDArray[np.integer],
    classes: Sequence[str],
    *,
    calibration: str = "",
    indices: NDArray[np.integer] | None = None,
    images: Sequence[str] | None = None,
    frequencies: Sequence[float] | None = None,
    predicted: NDArray[np.integer] | None = None,
    rule: str = "",
) -> ClassEvaluation:
    """Metrics of calibrated probabilities, and of those before calibration.

    Args:
        probabilities: calibrated probabilities (N, K).
        raw: probabilities before calibration (N, K).
        targets: true class indices (N,).
        classes: the K class names.
        calibration: the calibration method in words.
        indices: positions of the images in the data set (N,); None counts from 0.
        images: names of the N images, for the list of mistakes, most confident first.
        frequencies: share of each class in the calibration images (K,); None takes the shares among the targets.
        predicted: class indices (N,) of an operating point; None takes the most probable classes.
        rule: the operating point in words.

    Returns:
        The evaluation.
    """
    n, k = len(targets), len(classes)
    predicted = probabilities.argmax(axis=1) if predicted is None else predicted
    present = np.eye(k, dtype=bool)[targets]
    ranking = ranking_scores(present, probabilities)
    constant = np.tile(present.mean(0) if frequencies is None else np.asarray(frequencies, float), (n, 1))
    calibrated = CalibrationScores.of(probabilities, targets)
    return ClassEvaluation(
        n=n,
        accuracy=accuracy(targets, predicted),
        accuracy_interval=wilson_interval(int((predicted == targets).sum()), n),
        balanced_accuracy=balanced_accuracy(targets, predicted),
        top5=top_k_accuracy(targets, probabilities, 5) if k >= 6 else None,
        log_loss=calibrated.log_loss,
        brier=calibrated.brier,
        ece=expected_calibration_error(targets, probabilities),
        ece_uncalibrated=expected_calibration_error(targets, raw),
        mean_confidence=float(probabilities.max(axis=1).mean()),
        mean_uncertainty=float(entropy(probabilities).mean() / np.log(max(2, k))),
        macro_f1=macro_f1(targets, predicted, k),
        macro_f1_interval=macro_f1_interval(targets, predicted, k),
        auroc=_known(ranking.macro_auroc),
        auroc_interval=ranking.macro_auroc_interval if np.isfinite(ranking.macro_auroc) else None,
        average_precision=_known(ranking.macro_average_precision),
        calibrated=calibrated,
        uncalibrated=CalibrationScores.of(raw, targets),
        frequency_log_loss=log_loss(targets, constant),
        frequency_brier=brier_score(targets, constant),
        per_class=_per_class(targets, predicted, classes, ranking),
        confusion=confusion_matrix(targets, predicted, k),
        reliability=tuple(reliability_bins(targets, probabilities)),
        reliability_uncalibrated=tuple(reliability_bins(targets, raw)),
        mistakes=_mistakes(probabilities, targets, predicted, classes, indices, images),
        classes=tuple(classes),
        calibration=calibration,
        roc=roc_curves(present, probabilities, classes),
        precision_recall=precision_recall_curves(present, probabilities, classes),
        rule=rule,
    )


def _per_class(
    targets: NDArray[np.integer], predicted: NDArray[np.integer], classes: Sequence[str], ranking: RankingScores
) -> tuple[ClassScore, ...]:
    confusion = confusion_matrix(targets, predicted, len(classes))
    present = confusion.sum(axis=1)
    precision, recall, f1 = precision_recall_f1(targets, predicted, len(classes))
    return tuple(
        ClassScore(
            name,
            int(present[k]),
            float(precision[k]),
            float(recall[k]),
            wilson_interval(int(confusion[k, k]), int(present[k])),
            float(f1[k]),
            _known(ranking.auroc[k]),
            ranking.auroc_intervals[k] if np.isfinite(ranking.auroc[k]) else None,
            _known(ranking.average_precision[k]),
        )
        for k, name in enumerate(classes)
    )


def _mistakes(
    probabilities: NDArray[np.floating],
    targets: NDArray[np.integer],
    predicted: NDArray[np.integer],
    classes: Sequence[str],
    indices: NDArray[np.integer] | None,
    images: Sequence[str] | None,
) -> tuple[ClassMistake, ...]:
    """The images whose predicted class is wrong, most confident first."""
    where = np.arange(len(targets)) if indices is None else indices
    wrong = np.flatnonzero(predicted != targets)
    return tuple(
        ClassMistake(
            int(where[i]),
            images[int(i)] if images is not None else f"#{where[i]}",
            classes[int(targets[i])],
            classes[int(predicted[i])],
            float(probabilities[i, predicted[i]]),
            float(probabilities[i, targets[i]]),
        )
        for i in wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")]
    )


def _known(value: float) -> float | None:
    """The value, None where it is not a number."""
    return value if np.isfinite(value) else None


def _span(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"
