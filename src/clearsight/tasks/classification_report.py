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
    Folded,
    ReliabilityChart,
    ReportParts,
    Section,
    Table,
    Text,
    Tile,
)
from clearsight.wording import count, percent, points

if TYPE_CHECKING:
    from clearsight.tasks.classification_evaluation import ClassEvaluation, ClassMistake

SHOWN = 24
"""Mistakes in the report at most."""


def class_report(test: ClassEvaluation, thing: str, validation: ClassEvaluation | None) -> ReportParts:
    """What the report says of an evaluation of the test split, beside that of validation images."""
    found = verdict(test, thing)
    return ReportParts(
        verdict=(
            f"Accuracy **{percent(test.accuracy)}** on **{count(test.n, f'test {thing}')}** that training did not use "
            f"(95% interval {_span(test.accuracy_interval)}). Its mean confidence is {percent(test.mean_confidence)}, "
            f"and {found.calibration_words}: the calibration error is **{points(test.ece)}** "
            f"({points(test.ece_uncalibrated)} before calibration)."
        ),
        tiles=_tiles(test, found, thing),
        table=_scores(test, validation),
        sections=(
            Section("confusion", "Confusion matrix", (Confusion(test.confusion, test.classes, thing),)),
            Section("classes", "Class by class", (_classes(test, thing),)),
            _calibration(test, found, thing),
            Section("mistakes", "The most confident mistakes", (_mistakes(test, thing),), link="Mistakes"),
        ),
        caveats=found.caveats,
    )


def _tiles(test: ClassEvaluation, found: Verdict, thing: str) -> tuple[Tile, ...]:
    tiles = [
        Tile(
            "Accuracy",
            percent(test.accuracy),
            f"The bar is the 95% interval. The triangle is the accuracy of always predicting ‘{found.commonest}’: "
            f"{percent(found.commonest_share)}",
            Bar(test.accuracy, test.accuracy_interval, found.commonest_share),
        ),
        Tile(
            "Calibration error",
            points(test.ece),
            f"Mean confidence {percent(test.mean_confidence)}, accuracy {percent(test.accuracy)}. A perfectly "
            f"calibrated model would have an error of about {points(found.chance_ece)} on so many {thing}s, by chance",
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
        ("Images", lambda e: f"{e.n:,}", "how many were evaluated"),
        ("Accuracy", lambda e: percent(e.accuracy), "share of predictions that are right"),
        ("95% interval", lambda e: _span(e.accuracy_interval), "holds the true accuracy in 19 of 20 such tests"),
        (
            "Balanced accuracy",
            lambda e: percent(e.balanced_accuracy),
            "mean recall over classes: rare classes count as much as common ones",
        ),
        ("Mean confidence", lambda e: percent(e.mean_confidence), "mean probability of the predicted class"),
        ("Calibration error", lambda e: points(e.ece), "ECE after calibration, in percentage points; 0 is best"),
        ("Before calibration", lambda e: points(e.ece_uncalibrated), "ECE of the raw outputs"),
        ("Log loss", lambda e: f"{e.log_loss:.3f}", "in nats; confident mistakes cost most; 0 is best"),
        ("Brier score", lambda e: f"{e.brier:.3f}", "squared error of the probabilities; 0 is best, 2 is worst"),
    ]
    if test.top5 is not None:
        top = "share of labels among the five most probable classes"
        rows.insert(4, ("Top-5 accuracy", lambda e: "–" if e.top5 is None else percent(e.top5), top))
    both = [test] if validation is None else [test, validation]
    return Table(
        ("Score", *("Test", "Validation")[: len(both)], Column("How to read it", "words")),
        tuple((name, *(of(e) for e in both), words) for name, of, words in rows),
        "Quote the test scores. Validation images helped to choose and calibrate the model, so their scores are "
        "slightly optimistic; in cross-validation each is scored by weights fitted without it.",
        sortable=False,
    )


def _classes(test: ClassEvaluation, thing: str) -> Table:
    predicted = test.confusion.sum(axis=0)
    return Table(
        ("Class", f"{thing.capitalize()}s", "Recall", Column("95% interval", "interval"), "Precision", "F1"),
        tuple(
            (
                s.name,
                f"{s.images:,}",
                percent(s.recall) if s.images else "–",
                Cell(_span(s.recall_interval), Bar(s.recall, s.recall_interval))
                if s.images
                else Cell(f"no test {thing}"),
                percent(s.precision) if predicted[k] else "–",
                percent(s.f1) if s.images else "–",
            )
            for k, s in enumerate(test.per_class)
        ),
        f"**Recall**: the share of the test {thing}s of a class that are predicted as that class; its bar is the 95% "
        f"interval, wide where {thing}s are few. **Precision**: the share of the {thing}s predicted as a class that "
        "belong to it. **F1**: their harmonic mean.",
    )


def _calibration(test: ClassEvaluation, found: Verdict, thing: str) -> Section:
    both = [("Before calibration", test.ece_uncalibrated, test.reliability_uncalibrated)]
    both.append(("After calibration", test.ece, test.reliability))
    widened = test.ece_uncalibrated < test.ece < test.ece_uncalibrated + found.chance_ece
    return Section(
        "calibration",
        "Calibration",
        (
            Charts(
                tuple(ReliabilityChart(f"{name}: error {points(ece)}", bins) for name, ece, bins in both),
                f"Are predictions made with a confidence of 80% right 8 times in 10? Each dot gathers test {thing}s of "
                "similar confidence: on the dashed line confidence equals accuracy, below it the model is "
                f"overconfident, above it underconfident. Coloured lines are the gaps, the thicker the more {thing}s; "
                f"gray ones are 95% intervals; the bars count the {thing}s.",
            ),
            Text(
                "The calibration error (expected calibration error, ECE) is the mean distance of the dots from the "
                f"line, weighted by their {thing}s. Of several ways to calibrate, the one with the lowest log loss on "
                f"validation {thing}s is used, if it is clearly better than none; here: {test.calibration}. A "
                "perfectly calibrated model would have an error of about "
                f"{points(found.chance_ece)} on so many {thing}s, by chance"
                + ("; calibration raised it by less than that, so the test cannot tell whether it helped" * widened)
                + "."
            ),
            Folded("The dots as numbers", tuple(_bins(name, bins, thing) for name, _, bins in both)),
        ),
    )


def _bins(title: str, bins: tuple[ReliabilityBin, ...], thing: str) -> Table:
    return Table(
        ("Mean confidence", "Accuracy", "95% interval", f"{thing.capitalize()}s"),
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
        which = f"The {len(shown)} most confident of {total:,} mistakes"
    else:
        which = "The only mistake" if total == 1 else f"All {total} mistakes"
    return Cards(
        tuple(map(_card, shown)),
        f"{which} on the test {thing}s, most confident first; below each the probability of the predicted class, and "
        "of the label. A confident mistake is often a wrong label, two objects in one picture, or something that "
        "training never showed.",
        f"None: all of {count(test.n, f'test {thing}')} are predicted rightly. The true share of mistakes may still be "
        f"as high as {percent(1 - test.accuracy_interval[0])}.",
    )


def _card(mistake: ClassMistake) -> Card:
    return Card(
        mistake.index,
        mistake.image,
        (
            ("predicted", mistake.predicted),
            ("label", mistake.label),
            (f"{percent(mistake.probability)} against {percent(mistake.label_probability)}", ""),
        ),
    )


def _span(interval: tuple[float, float]) -> str:
    return " to ".join(map(percent, interval))
