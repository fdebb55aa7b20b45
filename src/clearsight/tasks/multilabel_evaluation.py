"""Evaluation of any number of labels per image: ranking, F1 at the thresholds, calibration, mistakes.

Shapes: N images, K labels; outputs (N, K), targets (N, K) of 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from clearsight.metrics import debiased_ece, debiased_ece_interval, expected_calibration_error
from clearsight.metrics.curves import Curve, RankingScores, precision_recall_curves, ranking_scores, roc_curves
from clearsight.metrics.ranking import f1_of
from clearsight.tasks.evaluation import Evaluation, Mistake
from clearsight.tasks.panel import PanelEntry, calibration_entry, chance_entry
from clearsight.tasks.sections import Card, Cards, ReportParts, Section, Table, Tile
from clearsight.wording import count, listed, percent, points

SHOWN = 24
"""Mistakes in the report at most."""


@dataclass(frozen=True)
class LabelScore:
    """One label. images: how many have it. f1_at_half: what a threshold of 1/2 would give."""

    name: str
    images: int
    average_precision: float
    threshold: float
    precision: float
    recall: float
    f1: float
    f1_at_half: float
    auroc: float | None = None
    auroc_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class LabelMistake(Mistake):
    """An image whose predicted labels are not exactly right. surprise: the sum over labels of -log probability of the
    truth."""

    missing: tuple[str, ...]
    wrong: tuple[str, ...]
    surprise: float


@dataclass(frozen=True, repr=False)
class LabelsEvaluation(Evaluation):
    """Scores of N images. mean_average_precision: over the labels that occur. macro: mean over labels; micro: over all
    questions. exact: share of images given exactly their labels. hamming: share of all questions answered wrongly.
    auroc: mean over labels. debiased_ece, log_loss: of all questions together, before calibration where so named;
    log_loss_frequencies: of always predicting how common each label is. Intervals hold with 95 % confidence. rule: what
    decided which labels are given, if not the highest F1.
    """

    task: ClassVar[str] = "multilabel"
    n: int
    mean_average_precision: float
    macro_f1: float
    macro_f1_at_half: float
    micro_f1: float
    exact: float
    hamming: float
    log_loss: float
    ece: float
    ece_uncalibrated: float
    log_loss_uncalibrated: float
    log_loss_frequencies: float
    debiased_ece: float
    debiased_ece_interval: tuple[float, float]
    debiased_ece_uncalibrated: float
    auroc: float | None
    auroc_interval: tuple[float, float] | None
    per_label: tuple[LabelScore, ...]
    mistakes: tuple[LabelMistake, ...]
    names: tuple[str, ...]
    roc: tuple[Curve, ...] = ()
    precision_recall: tuple[Curve, ...] = ()
    rule: str = ""

    def summary(self) -> dict[str, Any]:
        """The numbers that go into metrics.json."""
        about = (
            "n", "mean_average_precision", "macro_f1", "macro_f1_at_half", "micro_f1", "exact", "hamming", "log_loss",
            "ece", "ece_uncalibrated", "log_loss_uncalibrated", "log_loss_frequencies", "debiased_ece",
            "debiased_ece_interval", "debiased_ece_uncalibrated", "auroc", "auroc_interval",
            *(("rule",) if self.rule else ()),
        )  # fmt: skip
        each = {s.name: {k: v for k, v in vars(s).items() if k != "name"} for s in self.per_label}
        for score in each.values():
            score["average_precision"] = score["average_precision"] if score["images"] else None
        return {**{name: getattr(self, name) for name in about}, "per_label": each}

    def promises(self) -> tuple[PanelEntry, ...]:
        """Labels are ranked better than by chance, and calibration."""
        return (
            chance_entry(self.auroc, self.auroc_interval, "AUROC", 0.5, "the value for random scores", self.n),
            calibration_entry(
                self.debiased_ece, self.debiased_ece_interval, self.log_loss, self.log_loss_frequencies, self.n
            ),
        )

    @staticmethod
    def headline(summary: dict[str, Any], thing: str = "image", new: str = "") -> str:
        """Ranking, F1, and how many images get exactly their labels."""
        return (
            f"mean average precision {summary['mean_average_precision']:.3f} on {count(summary['n'], thing)}{new}\n"
            f"macro F1 {summary['macro_f1']:.3f} with one threshold per label, {summary['macro_f1_at_half']:.3f} with "
            f"a threshold of 0.5 for every label; all labels correct for {percent(summary['exact'])} of the {thing}s"
        )

    def details(self, thing: str) -> list[str]:
        """A line for each label."""
        width = max(len("label"), *(len(s.name) for s in self.per_label))
        lines = [f"\n{'label':<{width}}  {thing}s  average precision  threshold  precision  recall    F1"]
        for s in self.per_label:
            average = f"{s.average_precision:.3f}" if s.images else "-"
            lines.append(
                f"{s.name:<{width}}  {s.images:6d}  {average:>17}  {s.threshold:9.2f}  {percent(s.precision):>10}  "
                f"{percent(s.recall):>7}  {s.f1:.3f}"
            )
        return [*lines, ""]

    def mistake_line(self, mistake: LabelMistake) -> str:
        """The missing labels and the wrong ones."""
        parts = [("lacks", mistake.missing), ("should not have", mistake.wrong)]
        return f"wrong: {mistake.image} " + ", ".join(f"{word} {', '.join(names)}" for word, names in parts if names)

    def report(self, thing: str = "image", validation: Self | None = None) -> ReportParts:
        """Ranking, F1, calibration, a row for each label, and the most surprising mistakes."""
        weakest = min((s for s in self.per_label if s.images), key=lambda s: s.f1, default=None)
        tiles = [
            Tile(
                "Mean average precision",
                f"{self.mean_average_precision:.3f}",
                f"1 if, for every label, all {thing}s with the label are ranked above all those without it",
            ),
            Tile(
                "Macro F1",
                f"{self.macro_f1:.3f}",
                "F1 averaged over labels; with a threshold of 0.5 for every label, it would be "
                f"{self.macro_f1_at_half:.3f}",
            ),
            Tile(
                "Calibration error",
                points(self.debiased_ece),
                f"95 % interval {100 * self.debiased_ece_interval[0]:.1f} to "
                f"{100 * self.debiased_ece_interval[1]:.1f}; before calibration "
                f"{points(self.debiased_ece_uncalibrated)}",
            ),
        ]
        if weakest:
            tiles.append(
                Tile(
                    "Weakest label",
                    weakest.name,
                    f"F1 {weakest.f1:.3f}; {count(weakest.images, f'test {thing}')} with this label",
                )
            )
        rows = tuple(
            (
                s.name, f"{s.images:,}", f"{s.average_precision:.3f}" if s.images else "–", f"{s.threshold:.2f}",
                percent(s.recall), percent(s.precision), f"{s.f1:.3f}", f"{s.f1_at_half:.3f}",
            )
            for s in self.per_label
        )  # fmt: skip
        cards = Cards(tuple(map(_card, self.mistakes[:SHOWN])), none=f"There are no mistakes on the test {thing}s.")
        return ReportParts(
            verdict=f"All labels are correct for **{percent(self.exact)}** of **{count(self.n, f'test {thing}')}** "
            f"that were not used in training. Counted individually, **{percent(1 - self.hamming)}** of the labels are "
            "correct.",
            tiles=tuple(tiles),
            table=Table(
                (
                    "Label",
                    f"{thing.capitalize()}s",
                    "Average precision",
                    "Threshold",
                    "Recall",
                    "Precision",
                    "F1",
                    "F1 at threshold 0.5",
                ),
                rows,
                "Each label is an independent binary prediction; probabilities do not sum to 1. A label is predicted "
                "if its probability reaches its threshold, which was chosen on validation images for the highest F1.",
            ),
            sections=(Section("mistakes", "The most surprising mistakes", (cards,), link="Mistakes"),),
        )


def _card(mistake: LabelMistake) -> Card:
    lines = [("missing", mistake.missing), ("predicted but absent", mistake.wrong)]
    words = tuple((word, listed(list(names))) for word, names in lines if names)
    return Card(mistake.index, mistake.image, words, explained=True)


def evaluate_labels(
    probabilities: NDArray[np.float64],
    raw: NDArray[np.float64],
    targets: NDArray[np.float32],
    names: Sequence[str],
    thresholds: Sequence[float],
    *,
    indices: NDArray[np.integer] | None = None,
    images: Sequence[str] | None = None,
    rule: str = "",
) -> LabelsEvaluation:
    """Metrics of calibrated probabilities, and of those before calibration.

    Args:
        probabilities: calibrated probabilities (N, K).
        raw: probabilities before calibration (N, K).
        targets: true labels (N, K), 0 or 1.
        names: the K labels.
        thresholds: probability from which each label is predicted (K,).
        indices: positions of the images in the data set (N,); None counts from 0.
        images: names of the N images, for the list of mistakes, least probable truth first.
        rule: what chose the thresholds, if not the highest F1.

    Returns:
        The evaluation.
    """
    truth = targets > 0
    given = probabilities >= np.array(thresholds)
    right = np.clip(np.where(truth, probabilities, 1 - probabilities), 1e-15, 1)
    ranking = ranking_scores(truth, probabilities)
    known = np.isfinite(ranking.macro_auroc)
    (confidence, correct), (raw_confidence, raw_correct) = _questions(truth, probabilities), _questions(truth, raw)
    labels = _per_label(truth, given, probabilities >= 0.5, names, thresholds, ranking)
    present = [s for s in labels if s.images]
    return LabelsEvaluation(
        n=len(truth),
        mean_average_precision=_mean([s.average_precision for s in present]),
        macro_f1=_mean([s.f1 for s in present]),
        macro_f1_at_half=_mean([s.f1_at_half for s in present]),
        micro_f1=f1_of(truth.ravel(), given.ravel()),
        exact=float((truth == given).all(1).mean()),
        hamming=float((truth != given).mean()),
        log_loss=float(-np.log(right).mean()),
        ece=_gap(truth, probabilities),
        ece_uncalibrated=_gap(truth, raw),
        log_loss_uncalibrated=_log_loss(truth, raw),
        log_loss_frequencies=_log_loss(truth, np.tile(truth.mean(0), (len(truth), 1))),
        debiased_ece=debiased_ece(confidence, correct),
        debiased_ece_interval=debiased_ece_interval(confidence, correct),
        debiased_ece_uncalibrated=debiased_ece(raw_confidence, raw_correct),
        auroc=ranking.macro_auroc if known else None,
        auroc_interval=ranking.macro_auroc_interval if known else None,
        per_label=labels,
        mistakes=_mistakes(truth, given, -np.log(right).sum(1), names, indices, images),
        names=tuple(names),
        roc=roc_curves(truth, probabilities, names),
        precision_recall=precision_recall_curves(truth, probabilities, names),
        rule=rule,
    )


def _per_label(
    truth: NDArray[np.bool_],
    given: NDArray[np.bool_],
    half: NDArray[np.bool_],
    names: Sequence[str],
    thresholds: Sequence[float],
    ranking: RankingScores,
) -> tuple[LabelScore, ...]:
    """Scores of each label. given, half (N, K): predicted with its threshold, and with 1/2."""
    return tuple(
        LabelScore(
            name,
            int(t.sum()),
            ranking.average_precision[k],
            thresholds[k],
            _share(t & g, g),
            _share(t & g, t),
            f1_of(t, g),
            f1_of(t, h),
            ranking.auroc[k] if np.isfinite(ranking.auroc[k]) else None,
            ranking.auroc_intervals[k] if np.isfinite(ranking.auroc[k]) else None,
        )
        for k, (name, t, g, h) in enumerate(zip(names, truth.T, given.T, half.T, strict=True))
    )


def _mistakes(
    truth: NDArray[np.bool_],
    given: NDArray[np.bool_],
    surprise: NDArray[np.float64],
    names: Sequence[str],
    indices: NDArray[np.integer] | None,
    images: Sequence[str] | None,
) -> tuple[LabelMistake, ...]:
    """The images whose labels are not exactly right, most surprising first. surprise (N,): as in LabelMistake."""
    where = np.arange(len(truth)) if indices is None else indices
    wrong = np.flatnonzero((truth != given).any(1))
    return tuple(
        LabelMistake(
            int(where[i]),
            images[i] if images is not None else f"#{where[i]}",
            tuple(names[k] for k in np.flatnonzero(truth[i] & ~given[i]).tolist()),
            tuple(names[k] for k in np.flatnonzero(given[i] & ~truth[i]).tolist()),
            float(surprise[i]),
        )
        for i in wrong[np.argsort(-surprise[wrong], kind="stable")].tolist()
    )


def _questions(
    truth: NDArray[np.bool_], probabilities: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Confidence in the likelier answer to every question (N K,), and whether it is right."""
    p = probabilities.ravel()
    return np.maximum(p, 1 - p), (p >= 0.5) == truth.ravel()


def _log_loss(truth: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> float:
    return float(-np.log(np.clip(np.where(truth, probabilities, 1 - probabilities), 1e-15, 1)).mean())


def _gap(truth: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> float:
    """Expected calibration error of all yes-or-no questions together."""
    both = np.stack([1 - probabilities.ravel(), probabilities.ravel()], axis=1)
    return expected_calibration_error(truth.ravel().astype(np.int64), both)


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else 0.0


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
