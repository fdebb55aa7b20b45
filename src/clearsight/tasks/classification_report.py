"""The report's sections on classes: verdict, scores, confusions, recall by class, calibration, mistakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from clearsight.metrics import wilson_interval
from clearsight.metrics.calibration import ReliabilityBin
from clearsight.tasks.classification_verdict import Verdict, recalled, verdict
from clearsight.tasks.sections import (
    Bar,
    Card,
    Cards,
    Cell,
    Charts,
    Column,
    Confusion,
    CurveChart,
    Folded,
    ReliabilityChart,
    ReportParts,
    Section,
    Table,
    Text,
    Tile,
)
from clearsight.wording import count, percent, points, probability

if TYPE_CHECKING:
    from clearsight.tasks.classification_evaluation import ClassEvaluation, ClassMistake

SHOWN = 24
"""Mistakes in the report at most."""


def class_report(test: ClassEvaluation, thing: str, validation: ClassEvaluation | None) -> ReportParts:
    """What the report says of an evaluation of the test split, beside that of validation images."""
    found = verdict(test, thing)
    return ReportParts(
        verdict=(
            f"Accuracy **{percent(test.accuracy)}** on **{count(test.n, f'test {thing}')}** that were not used in "
            f"training (95 % interval {_span(test.accuracy_interval)}). The mean confidence is "
            f"{percent(test.mean_confidence)}, and {found.calibration_words}: the calibration error is "
            f"**{points(test.calibrated.debiased_ece)}** (95 % interval "
            f"{_points_span(test.calibrated.debiased_ece_interval)}; {points(test.uncalibrated.debiased_ece)} before "
            "calibration)." + (f" The predicted class is chosen by this rule: {test.rule}." if test.rule else "")
        ),
        tiles=_tiles(test, found, thing),
        table=_scores(test, validation),
        sections=(
            Section("mistakes", "The most confident mistakes", (_mistakes(test, thing),), link="Mistakes"),
            Section("confusion", "Confusion matrix", (Confusion(test.confusion, test.classes, thing),)),
            Section("classes", "Class by class", (_classes(test, thing),)),
            *_curves(test, thing),
            _calibration(test, thing),
        ),
        caveats=found.caveats,
    )


def _tiles(test: ClassEvaluation, found: Verdict, thing: str) -> tuple[Tile, ...]:
    tiles = [
        Tile(
            "Accuracy",
            percent(test.accuracy),
            f"The bar shows the 95 % interval, the triangle the accuracy of always predicting ‘{found.commonest}’ "
            f"({percent(found.commonest_share)})",
            Bar(test.accuracy, test.accuracy_interval, found.commonest_share),
        ),
        Tile(
            "Calibration error",
            points(test.calibrated.debiased_ece),
            f"95 % interval {_points_span(test.calibrated.debiased_ece_interval)}, "
            f"{points(test.uncalibrated.debiased_ece)} before calibration. Log loss {test.log_loss:.3f}; always "
            f"predicting the class frequencies gives {test.frequency_log_loss:.3f}",
            alarming=found.calibration == "poor",
        ),
    ]
    if found.weakest:
        words = f"Recall {percent(found.weakest.recall)}: {recalled(found.weakest, thing)}"
        tiles.append(Tile("Weakest class", found.weakest.name, words))
    return tuple(tiles)


def _scores(test: ClassEvaluation, validation: ClassEvaluation | None) -> Table:
    """Every score, of the test split and of validation."""
    rows: list[tuple[str, Callable[[ClassEvaluation], str], str]] = [
        ("Images", lambda e: f"{e.n:,}", "number of images evaluated"),
        ("Accuracy", lambda e: percent(e.accuracy), "share of predictions that are correct"),
        ("95 % interval", lambda e: _span(e.accuracy_interval), "contains the true accuracy in 19 of 20 such tests"),
        (
            "Balanced accuracy",
            lambda e: percent(e.balanced_accuracy),
            "mean recall over classes; rare classes count as much as common ones",
        ),
        ("Mean confidence", lambda e: percent(e.mean_confidence), "mean probability of the predicted class"),
        ("Macro F1", lambda e: f"{e.macro_f1:.3f}", "harmonic mean of precision and recall, averaged over classes"),
        ("Macro F1, 95 % interval", lambda e: _plain_span(e.macro_f1_interval), "by a smoothed bootstrap"),
        (
            "AUROC",
            lambda e: _or_dash(e.auroc),
            "probability that an image of a class ranks above images of other classes, averaged over classes",
        ),
        ("AUROC, 95 % interval", lambda e: _plain_span(e.auroc_interval), "by Newcombe's method"),
        (
            "Average precision",
            lambda e: _or_dash(e.average_precision),
            "area under the precision-recall curve, averaged over classes",
        ),
        (
            "Calibration error",
            lambda e: points(e.calibrated.debiased_ece),
            "debiased ECE after calibration, in percentage points; 0 is best",
        ),
        (
            "Calibration error, 95 % interval",
            lambda e: _points_span(e.calibrated.debiased_ece_interval),
            "range of errors consistent with this test",
        ),
        ("Before calibration", lambda e: points(e.uncalibrated.debiased_ece), "debiased ECE of the raw outputs"),
        ("Log loss", lambda e: f"{e.log_loss:.3f}", "in nats; penalises confident mistakes most; 0 is best"),
        ("Log loss before calibration", lambda e: f"{e.uncalibrated.log_loss:.3f}", "log loss of the raw outputs"),
        (
            "Log loss of the class frequencies",
            lambda e: f"{e.frequency_log_loss:.3f}",
            "log loss of always predicting the class frequencies; a useful model is below it",
        ),
        ("Brier score", lambda e: f"{e.brier:.3f}", "squared error of the probabilities; 0 is best, 2 is worst"),
        ("Brier score before calibration", lambda e: f"{e.uncalibrated.brier:.3f}", "Brier score of the raw outputs"),
        (
            "Brier score of the class frequencies",
            lambda e: f"{e.frequency_brier:.3f}",
            "Brier score of always predicting the class frequencies; a useful model is below it",
        ),
    ]
    if test.top5 is not None:
        top = "share of images whose label is among the five most probable classes"
        rows.insert(4, ("Top-5 accuracy", lambda e: "–" if e.top5 is None else percent(e.top5), top))
    both = [test] if validation is None else [test, validation]
    return Table(
        ("Score", *("Test", "Validation")[: len(both)], Column("Meaning", "words")),
        tuple((name, *(of(e) for e in both), words) for name, of, words in rows),
        "The test scores are the ones to report. Validation images were used to choose and calibrate the model, so "
        "their scores are slightly optimistic. In cross-validation, each image is scored by a model that was not "
        "fitted on it.",
        sortable=False,
    )


def _classes(test: ClassEvaluation, thing: str) -> Table:
    predicted = test.confusion.sum(axis=0)
    return Table(
        (
            "Class",
            f"{thing.capitalize()}s",
            "Recall",
            Column("95 % interval", "interval"),
            "Precision",
            "F1",
            "AUROC",
            "Average precision",
        ),
        tuple(
            (
                s.name,
                f"{s.images:,}",
                percent(s.recall) if s.images else "–",
                Cell(_span(s.recall_interval), Bar(s.recall, s.recall_interval))
                if s.images
                else Cell(f"no test {thing}"),
                percent(s.precision) if predicted[k] else "–",
                f"{s.f1:.3f}" if s.images else "–",
                _or_dash(s.auroc),
                _or_dash(s.average_precision),
            )
            for k, s in enumerate(test.per_class)
        ),
        f"**Recall**: share of the test {thing}s of a class that are predicted as that class. The bar shows its 95 % "
        f"interval, which is wide if there are few {thing}s. **Precision**: share of the {thing}s predicted as a class "
        "that belong to it. **F1**: harmonic mean of precision and recall. **AUROC** and **average precision** "
        "summarise all thresholds on the probability of the class.",
        quantities=("", "images", "recall", "interval", "precision", "f1", "", ""),
    )


def _curves(test: ClassEvaluation, thing: str) -> tuple[Section, ...]:
    """ROC and precision against recall; nothing where there is no curve."""
    if not test.roc and not test.precision_recall:
        return ()
    several = ". Thin lines show the individual classes, and the blue line shows their macro average"
    charts = (
        CurveChart("ROC", test.roc, "false positive rate", "true positive rate", chance=True),
        CurveChart("Precision and recall", test.precision_recall, "recall", "precision"),
    )
    words = (
        f"One-vs-rest curves on the test {thing}s, over all thresholds on the probability of each class"
        + several * (len(test.roc) > 1)
        + ". **ROC**: true positive rate (the share of images of the class that are predicted as that class) against "
        "false positive rate (the share of all other images that are predicted as that class). **Precision and "
        "recall**: precision (the share of predictions of the class that are correct) against recall (the share of "
        "images of the class that are predicted correctly). To change the operating point, train with "
        "`--min-precision`, `--min-recall` or `--costs`."
    )
    return (Section("curves-by-threshold", "ROC, precision and recall", (Charts(charts, words),), link="ROC"),)


def _calibration(test: ClassEvaluation, thing: str) -> Section:
    both = [("Before calibration", test.uncalibrated.debiased_ece, test.reliability_uncalibrated)]
    both.append(("After calibration", test.calibrated.debiased_ece, test.reliability))
    return Section(
        "calibration",
        "Calibration",
        (
            Charts(
                tuple(ReliabilityChart(f"{name}: error {points(ece)}", bins) for name, ece, bins in both),
                f"Are predictions with a confidence of 80 % correct 8 times out of 10? Each dot is a group of test "
                f"{thing}s with similar confidence. On the dashed line, confidence equals accuracy; below it, the "
                "model is overconfident, and above it underconfident. Coloured lines show the gaps and are thicker "
                f"for larger groups, gray lines show 95 % intervals, and bars show the number of {thing}s.",
            ),
            Text(
                "The calibration error (expected calibration error, ECE) is the mean distance of the dots from the "
                f"line, weighted by the number of {thing}s in each, minus the distance expected by chance for this "
                f"number of {thing}s (debiased). Of several calibration methods, the one with the lowest log loss on "
                f"validation {thing}s is used if it is clearly better than no calibration. Used here: "
                f"{test.calibration}."
            ),
            Folded("The dots as a table", tuple(_bins(name, bins, thing) for name, _, bins in both)),
        ),
    )


def _bins(title: str, bins: tuple[ReliabilityBin, ...], thing: str) -> Table:
    return Table(
        ("Mean confidence", "Accuracy", "95 % interval", f"{thing.capitalize()}s"),
        tuple(
            (
                percent(b.confidence),
                percent(b.accuracy),
                _span(wilson_interval(round(b.accuracy * b.count), b.count)),
                f"{b.count:,}",
            )
            for b in bins
        ),
        title=title,
        sortable=False,
    )


def _mistakes(test: ClassEvaluation, thing: str) -> Cards:
    shown, total = test.mistakes[:SHOWN], len(test.mistakes)
    if total > len(shown):
        which = f"The {len(shown)} most confident of {total:,} mistakes on the test {thing}s, most confident first"
    else:
        which = (
            f"The only mistake on the test {thing}s"
            if total == 1
            else f"All {total} mistakes on the test {thing}s, most confident first"
        )
    return Cards(
        tuple(map(_card, shown)),
        f"{which}. The captions give the probabilities of the predicted class and of the label. A confident mistake "
        f"often means that the label is wrong, that the {thing} shows two objects, or that nothing like it is in the "
        "training data.",
        f"None of the {count(test.n, f'test {thing}')} is misclassified. The true error rate may still be as high as "
        f"{percent(1 - test.accuracy_interval[0])}.",
    )


def _card(mistake: ClassMistake) -> Card:
    return Card(
        mistake.index,
        mistake.image,
        (
            ("predicted", mistake.predicted),
            ("label", mistake.label),
            (f"probabilities {probability(mistake.probability)} and {probability(mistake.label_probability)}", ""),
        ),
        explained=True,
    )


def _span(interval: tuple[float, float]) -> str:
    return " to ".join(map(percent, interval))


def _points_span(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def _plain_span(interval: tuple[float, float] | None) -> str:
    return "–" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
