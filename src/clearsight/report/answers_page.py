"""The page about a run that gives several labels per image, numbers or anomalies: verdict, scores, what is far off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from clearsight.bundle import versions
from clearsight.diagnosis.command import train_command
from clearsight.disk import whole_file
from clearsight.evaluation import AnomalyEvaluation, AnswersEvaluation, LabelsEvaluation, NumbersEvaluation
from clearsight.report.anomaly_section import anomaly_section
from clearsight.report.answer_pieces import SHOWN, SIDE, Card, Table, Tile
from clearsight.report.charts import interval_bar, parity
from clearsight.report.command import option_words, run_commands
from clearsight.report.data_section import DataSection, data_section
from clearsight.report.page import code
from clearsight.report.pictures import picture
from clearsight.report.recipe_section import RecipeSection, recipe_section
from clearsight.report.render import environment
from clearsight.report.verdict import sentence
from clearsight.train.config import TrainConfig
from clearsight.train.fit import Fitted
from clearsight.wording import count, duration, large, listed, percent, points

DOTS = 800
"""Dots of a parity plot at most."""


@dataclass(frozen=True)
class Page:
    """Everything on the page."""

    name: str
    n_classes: str
    verdict: str
    tiles: tuple[Tile, ...]
    caveats: tuple[tuple[str, str], ...]
    data: DataSection
    recipe: RecipeSection
    table: Table
    charts: tuple[tuple[str, Markup], ...]
    charts_words: str
    cards_title: str
    cards: tuple[Card, ...]
    strange_words: str
    speed: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    command: str
    options: tuple[tuple[str, str, str], ...]
    uses: tuple[tuple[str, str], ...]


def write_answers_report(
    path: Path,
    *,
    fitted: Fitted,
    evaluation: AnswersEvaluation,
    false_alarms: float | None,
    config: TrainConfig,
) -> None:
    """Write the report of a run, whole or not at all; OSError when the disk refuses. false_alarms: the share of the
    test images that are called unlike the training data, None where the model does not know its limits.
    """
    alarms = "This model does not know its limits."
    if isinstance(evaluation, LabelsEvaluation):
        about = _labels(fitted, evaluation)
    elif isinstance(evaluation, AnomalyEvaluation):
        about = anomaly_section(fitted, evaluation)
        alarms = f"What is unlike the normal {fitted.bundle.thing}s is what this model answers."
    else:
        about = _numbers(fitted, evaluation)
    audit, words = fitted.prepared.audit, option_words()
    if false_alarms is not None:
        alarms = (
            "An image stranger than all but 5% of the validation images is called “none of these”: its features or its "
            "pixels are unlike all the model learned from. Of the test images, which all belong, "
            f"{percent(false_alarms)} were."
        )
    page = Page(
        name=audit.name,
        n_classes=count(len(audit.classes), "group"),
        caveats=tuple((sentence(f.message), sentence(f.fix)) for f in audit.findings if f.severity == "warning"),
        data=data_section(fitted.prepared),
        recipe=recipe_section(fitted, config.run.seed),
        strange_words=alarms,
        speed=(
            ("From images to model", duration(fitted.seconds)),
            ("Size of the network", f"{large(sum(p.numel() for p in fitted.bundle.network.parameters()))} weights"),
        ),
        versions=tuple(versions().items()),
        command=train_command(audit.origin, config.changed()),
        options=tuple((f"--{k.replace('_', '-')}", str(v), words[k]) for k, v in config.changed().items()),
        uses=tuple(run_commands(path.parent).items()),
        **about,
    )
    html = environment(trim_blocks=True, lstrip_blocks=True)
    html.filters["code"] = code
    with whole_file(path) as stream:
        stream.write(html.get_template("answers.html").render(page=page).encode(errors="replace"))


def _labels(fitted: Fitted, test: LabelsEvaluation) -> dict[str, Any]:
    weakest = min((s for s in test.per_label if s.images), key=lambda s: s.f1, default=None)
    tiles = [
        Tile(
            "Ranking",
            f"{test.mean_average_precision:.3f}",
            "mean average precision: 1 where, label by label, every image that has it is believed more than every one "
            "that has not",
        ),
        Tile(
            "F1 of the labels given",
            f"{test.macro_f1:.3f}",
            "the mean over labels of how well finding and being right go together; with a threshold of 1/2 for all it "
            f"would be {test.macro_f1_at_half:.3f}",
        ),
        Tile("Gap between belief and truth", points(test.ece), f"before calibration {points(test.ece_uncalibrated)}"),
    ]
    if weakest:
        tiles.append(
            Tile("Weakest label", weakest.name, f"F1 {weakest.f1:.3f} on {count(weakest.images, 'test image')}")
        )
    rows = tuple(
        (
            s.name, f"{s.images:,}", f"{s.average_precision:.3f}" if s.images else "–", f"{s.threshold:.2f}",
            percent(s.recall), percent(s.precision), f"{s.f1:.3f}", f"{s.f1_at_half:.3f}",
        )
        for s in test.per_label
    )  # fmt: skip
    return {
        "verdict": f"Given exactly its labels: {percent(test.exact)} of {count(test.n, 'test image')} it had never "
        f"seen. Of all yes-or-no questions {percent(1 - test.hamming)} were answered rightly.",
        "tiles": tuple(tiles),
        "table": Table(
            ("Label", "Images", "Average precision", "Threshold", "Found", "Right when given", "F1", "F1 at 1/2"),
            rows,
            "Each label is an own yes-or-no question with an own belief; they do not sum to 1. It is given from its "
            "threshold on, which was chosen on validation images for the highest F1.",
        ),
        "charts": (),
        "charts_words": "",
        "cards_title": "The most surprising mistakes",
        "cards": tuple(
            Card(
                picture(fitted.prepared, m.index, SIDE, m.image),
                m.image,
                f"missing {listed(list(m.missing))}" if m.missing else "nothing missing",
                f"not there: {listed(list(m.wrong))}" if m.wrong else "nothing too much",
            )
            for m in test.mistakes[:SHOWN]
        ),
    }


def _numbers(fitted: Fitted, test: NumbersEvaluation) -> dict[str, Any]:
    unit = {"degrees": "°", "radians": " rad", "": ""}[test.unit]
    first = test.per_number[0]
    tiles = []
    for s in test.per_number[:4]:
        tiles.append(
            Tile(
                s.name,
                f"{s.median_error:.3g}{unit}",
                f"median error; always saying the same would be off by {s.usual_error:.3g}{unit}"
                + (f". It explains {percent(s.explained)} of what varies" if s.explained is not None else ""),
            )
        )
    held = float(np.mean([s.covered for s in test.per_number]))
    tiles.append(
        Tile(
            "Intervals that hold",
            percent(held),
            f"of the test images; {percent(test.coverage)} were promised. Half the width: {first.width:.3g}{unit}"
            + ("" if len(test.per_number) == 1 else f" for {first.name}"),
            interval_bar(first.covered, first.covered_interval, test.coverage),
        )
    )
    rows = tuple(
        (
            s.name, f"{s.median_error:.4g}", f"{s.mean_error:.4g}", f"{s.root_mean_square:.4g}",
            percent(s.explained) if s.explained is not None else "–", f"{s.usual_error:.4g}", percent(s.covered),
            f"± {s.width:.4g}",
        )
        for s in test.per_number
    )  # fmt: skip
    return {
        "verdict": f"Off by {first.median_error:.3g}{unit} in the median of {count(test.n, 'test image')} it had never "
        "seen"
        + (f", for {first.name}" if len(test.per_number) > 1 else "")
        + f". Its {percent(test.coverage)} intervals held the truth in {percent(held)}.",
        "tiles": tuple(tiles),
        "table": Table(
            (
                "Number", "Median error", "Mean error", "Root mean square", "Explained", "Saying the same",
                "Intervals hold", "Width",
            ),
            rows,
            "Errors are in the unit of the data" + (f", {test.unit}, the short way round" if test.unit else "") + ".",
        ),
        "charts": tuple(_charts(test)),
        "charts_words": "Each dot is a test image: on the dashed line the answer is the truth. Below, how far off the "
        "answers are, and in gray the span that the intervals allow.",
        "cards_title": "The furthest off",
        "cards": tuple(
            Card(
                picture(fitted.prepared, m.index, SIDE, m.image),
                m.image,
                f"said {', '.join(f'{v:.4g}' for v in m.said)}",
                f"is {', '.join(f'{v:.4g}' for v in m.truth)}",
            )
            for m in test.mistakes[:SHOWN]
        ),
    }  # fmt: skip


def _charts(test: NumbersEvaluation) -> Iterator[tuple[str, Markup]]:
    """Answers against the truth, a chart for each number; of a direction, its angle."""
    said, truth, names = test.said, test.truth, list(test.names)
    if len(names) != test.errors.shape[1]:
        said, truth = (np.degrees(np.arctan2(x[:, 1], x[:, 0]))[:, None] for x in (said, truth))
        names = ["direction in degrees"]
    some = np.linspace(0, len(said) - 1, min(DOTS, len(said))).round().astype(int)
    for k, name in enumerate(names):
        width = float(np.median(test.widths[:, k]))
        yield name, parity(f"parity-{k}", name, truth[some, k], said[some, k], test.errors[:, k], width)
