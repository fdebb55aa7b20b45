"""The data of the page, gathered from a run: numbers, words, pictures and charts, ready for the template."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from clearsight.bundle import versions
from clearsight.diagnosis import Diagnosis
from clearsight.diagnosis.command import train_command
from clearsight.evaluation import Evaluation, OODCheck
from clearsight.metrics import wilson_interval
from clearsight.metrics.calibration import ReliabilityBin
from clearsight.report.charts import Point, interval_bar, reliability
from clearsight.report.command import option_words, run_commands
from clearsight.report.confusion import Matrix, matrix
from clearsight.report.data_section import DataSection, data_section
from clearsight.report.doctor_section import DoctorSection, doctor_section
from clearsight.report.ood_section import LimitsSection, SuspectsSection, limits_section, suspects_section
from clearsight.report.pictures import Picture, picture
from clearsight.report.recipe_section import RecipeSection, recipe_section
from clearsight.report.verdict import Verdict, judge
from clearsight.train.config import TrainConfig
from clearsight.train.fit import Fitted
from clearsight.wording import count, duration, large, percent, points

MISTAKES = 24
"""Mistakes shown as pictures at most, surest first."""

MISTAKE_SIDE = 160
"""Longest side in pixels of a mistake's picture."""


@dataclass(frozen=True)
class ClassRow:
    """One class of the per-class table; numbers twice, once to read and once to sort by."""

    name: str
    images: int
    recall: str
    recall_interval: str
    recall_bar: Markup | None
    precision: str
    f1: str
    sort: tuple[float, float, float]


@dataclass(frozen=True)
class ScoreRow:
    """One score on both splits and how to read it."""

    name: str
    test: str
    val: str
    words: str


@dataclass(frozen=True)
class BinRow:
    """One bin of the reliability diagram as text."""

    claimed: str
    right: str
    interval: str
    images: int


@dataclass(frozen=True)
class MistakeCard:
    """A mistake with its picture."""

    picture: Picture
    image: str
    label: str
    predicted: str
    belief: str
    label_belief: str


@dataclass(frozen=True)
class Content:
    """Everything on the page."""

    name: str
    n_images: str
    n_classes: str
    n_test: str
    accuracy: str
    accuracy_interval: tuple[str, str]
    accuracy_bar: Markup
    mean_confidence: str
    ece: str
    ece_uncalibrated: str
    temperature: str
    chance_gap: str
    calibration_widened: bool
    verdict: Verdict
    commonest_share: str
    weakest_recall: str
    model: str
    train_seconds: str
    data: DataSection
    recipe: RecipeSection
    doctor: DoctorSection | None
    limits: LimitsSection | None
    suspects: SuspectsSection | None
    confusion: Matrix
    classes: tuple[ClassRow, ...]
    scores: tuple[ScoreRow, ...]
    validation_words: str
    reliability_before: Markup
    reliability_after: Markup
    bins_before: tuple[BinRow, ...]
    bins_after: tuple[BinRow, ...]
    mistakes: tuple[MistakeCard, ...]
    mistakes_in_all: int
    error_at_most: str
    speed: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    command: str
    options: tuple[tuple[str, str, str], ...]
    uses: tuple[tuple[str, str], ...]
    audit_command: str


def gather(
    *,
    fitted: Fitted,
    test: Evaluation,
    val: Evaluation,
    config: TrainConfig,
    run: Path,
    diagnosis: Diagnosis | None = None,
    limits: OODCheck | None = None,
) -> Content:
    """Collect the page's content. run: the folder the page is written to. diagnosis: of the training, if any."""
    prepared, audit = fitted.prepared, fitted.prepared.audit
    verdict = judge(test, audit.findings)
    before, after = _points(test.reliability_uncalibrated), _points(test.reliability)
    words = option_words()
    weakest = next((s for s in test.per_class if s.name == verdict.weakest), None)
    return Content(
        name=audit.name,
        n_images=count(audit.images, "image"),
        n_classes=count(len(audit.classes), "class", "classes"),
        n_test=count(test.n, "test image"),
        accuracy=percent(test.accuracy),
        accuracy_interval=(percent(test.accuracy_interval[0]), percent(test.accuracy_interval[1])),
        accuracy_bar=interval_bar(test.accuracy, test.accuracy_interval, verdict.commonest_share),
        mean_confidence=percent(test.mean_confidence),
        ece=points(test.ece),
        ece_uncalibrated=points(test.ece_uncalibrated),
        temperature=f"{fitted.bundle.temperature:.2f}",
        chance_gap=points(verdict.chance_gap),
        calibration_widened=test.ece_uncalibrated < test.ece < test.ece_uncalibrated + verdict.chance_gap,
        verdict=verdict,
        commonest_share=percent(verdict.commonest_share),
        weakest_recall=percent(weakest.recall) if weakest else "",
        model=fitted.recipe.model,
        train_seconds=duration(fitted.seconds),
        data=data_section(prepared),
        recipe=recipe_section(fitted, config.run.seed),
        doctor=doctor_section(diagnosis),
        limits=limits_section(fitted, limits, test),
        suspects=suspects_section(fitted),
        confusion=matrix(test.confusion, test.classes),
        classes=tuple(_class_rows(test)),
        scores=tuple(_scores(test, val)),
        validation_words=_validation_words(fitted),
        reliability_before=reliability("before", "Belief and truth before calibration", before),
        reliability_after=reliability("after", "Belief and truth after calibration", after),
        bins_before=tuple(map(_bin_row, before)),
        bins_after=tuple(map(_bin_row, after)),
        mistakes=tuple(
            MistakeCard(
                picture(prepared, m.index, MISTAKE_SIDE, f"{m.image}: labelled {m.label}, called {m.predicted}"),
                m.image,
                m.label,
                m.predicted,
                percent(m.probability),
                percent(m.label_probability),
            )
            for m in test.mistakes[:MISTAKES]
        ),
        mistakes_in_all=len(test.mistakes),
        error_at_most=percent(1 - test.accuracy_interval[0]),
        speed=tuple(_speed(fitted)),
        versions=tuple(versions().items()),
        command=train_command(audit.origin, config.changed()),
        options=tuple((f"--{k.replace('_', '-')}", str(v), words[k]) for k, v in config.changed().items()),
        uses=tuple(run_commands(run).items()),
        audit_command=f"clearsight audit {shlex.quote(str(run))}",
    )


def _class_rows(test: Evaluation) -> Iterator[ClassRow]:
    called = test.confusion.sum(axis=0)
    for k, s in enumerate(test.per_class):
        low, high = s.recall_interval
        yield ClassRow(
            name=s.name,
            images=s.images,
            recall=percent(s.recall) if s.images else "–",
            recall_interval=f"{percent(low)} to {percent(high)}" if s.images else "no test image",
            recall_bar=interval_bar(s.recall, s.recall_interval) if s.images else None,
            precision=percent(s.precision) if called[k] else "–",
            f1=percent(s.f1) if s.images else "–",
            sort=(s.recall if s.images else -1.0, s.precision if called[k] else -1.0, s.f1 if s.images else -1.0),
        )


def _scores(test: Evaluation, val: Evaluation) -> Iterator[ScoreRow]:
    def row(name: str, a: str, b: str, words: str) -> ScoreRow:
        return ScoreRow(name, a, b, words)

    def span(e: Evaluation) -> str:
        return f"{percent(e.accuracy_interval[0])} to {percent(e.accuracy_interval[1])}"

    yield row("Images", f"{test.n:,}", f"{val.n:,}", "how many were judged")
    yield row("Accuracy", percent(test.accuracy), percent(val.accuracy), "share of images named rightly")
    yield row("95% interval", span(test), span(val), "holds the true accuracy in 19 of 20 such tests")
    yield row(
        "Balanced accuracy",
        percent(test.balanced_accuracy),
        percent(val.balanced_accuracy),
        "the mean over classes, so that rare classes count as much as common ones",
    )
    if test.top5 is not None and val.top5 is not None:
        yield row(
            "Top 5",
            percent(test.top5),
            percent(val.top5),
            "share of images whose label is among the five likeliest classes",
        )
    yield row(
        "Mean belief", percent(test.mean_confidence), percent(val.mean_confidence), "how sure it says it is, on average"
    )
    yield row(
        "Gap between belief and truth",
        points(test.ece),
        points(val.ece),
        "after calibration, in percentage points (ECE); 0 is best",
    )
    yield row(
        "The gap before calibration",
        points(test.ece_uncalibrated),
        points(val.ece_uncalibrated),
        "the same with the model's raw outputs",
    )
    yield row(
        "Log loss", f"{test.log_loss:.3f}", f"{val.log_loss:.3f}", "punishes sure mistakes hardest; 0 is best, in nats"
    )
    yield row(
        "Brier score",
        f"{test.brier:.3f}",
        f"{val.brier:.3f}",
        "squared distance from the perfect answer; 0 is best, 2 is worst",
    )


def _validation_words(fitted: Fitted) -> str:
    if len(fitted.judged) <= len(fitted.prepared.split.val):
        return "Validation helped to choose and to calibrate, so it flatters a little."
    return (
        f"Validation here is cross-validation: each of {len(fitted.judged):,} images was judged by weights fitted "
        "without it. It helped to choose and to calibrate, so it flatters a little."
    )


def _points(bins: tuple[ReliabilityBin, ...]) -> list[Point]:
    return [
        Point(
            b.lower, b.upper, b.count, b.confidence, b.accuracy, wilson_interval(round(b.accuracy * b.count), b.count)
        )
        for b in bins
    ]


def _bin_row(p: Point) -> BinRow:
    return BinRow(
        percent(p.belief), percent(p.right), f"{percent(p.interval[0])} to {percent(p.interval[1])}", p.images
    )


def _speed(fitted: Fitted) -> Iterator[tuple[str, str]]:
    works = {"classical": "descriptors of", "scratch": "training on", "probe": "features of"}
    work = "training on" if fitted.tuned else works[fitted.recipe.kind]
    yield "From images to classifier", duration(fitted.seconds)
    yield "Rate", f"{work} {fitted.images_per_second:,.0f} images per second"
    if fitted.recipe.kind == "classical":
        numbers = sum(t.numel() for t in fitted.bundle.network.state_dict().values())
        yield "Size of the model", f"{large(numbers)} numbers"
    else:
        weights = sum(p.numel() for p in fitted.bundle.network.parameters())
        yield "Size of the network", f"{large(weights)} weights"
    cores = os.cpu_count() or 1
    yield "Machine", f"{platform.system()} {platform.machine()}, {count(cores, 'processor core')}"
