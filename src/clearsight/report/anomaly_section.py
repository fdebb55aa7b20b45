"""What the page about a detector of anomalies says: verdict, scores by class, how scores lie, what went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from markupsafe import Markup
from numpy.typing import NDArray

from clearsight.data.loader import to_float
from clearsight.evaluation import AnomalyEvaluation
from clearsight.report.answer_pieces import SHOWN, SIDE, Card, Table, Tile
from clearsight.report.charts import interval_bar
from clearsight.report.heatmaps import overlay
from clearsight.report.pictures import picture
from clearsight.report.score_chart import score_heaps
from clearsight.tasks import Anomaly
from clearsight.train.fit import Fitted
from clearsight.wording import count, percent


def anomaly_section(fitted: Fitted, test: AnomalyEvaluation) -> dict[str, Any]:
    """The parts of `answers_page.Page` that are about anomalies."""
    answer = fitted.bundle.answer
    assert isinstance(answer, Anomaly)
    normal, thing = test.n - test.anomalies, fitted.bundle.thing
    said = []
    if test.false_alarms is not None:
        said.append(f"Of {count(normal, f'normal test {thing}')}, {percent(test.false_alarms)} were called anomalies.")
    if test.found is not None:
        said.append(f"Of {count(test.anomalies, 'anomaly', 'anomalies')}, {percent(test.found)} were.")
    return {
        "verdict": " ".join(said) or f"There were no test {thing}s.",
        "tiles": tuple(_tiles(test, thing)),
        "table": Table(
            ("Class", f"{thing.capitalize()}s", "AUROC", "Called anomalies", "Mean probability"),
            tuple(
                (
                    g.name + (" (normal)" if g.normal else ""), f"{g.images:,}",
                    "–" if g.auroc is None else f"{g.auroc:.3f}", percent(g.called), percent(g.belief),
                )
                for g in test.per_group
            ),
            "AUROC is how often one of the class is stranger than a normal one. The probability of an anomaly "
            f"supposes that {percent(answer.prior)} of all {thing}s are anomalies, told from normal ones with an AUROC "
            f"of {1 / (1 + answer.shape):.2f}: nobody has said what anomalies look like, so it is a scale, and the "
            "share of false alarms is the promise.",
        ),
        "charts": tuple(_charts(test, answer)),
        "charts_words": f"Scores of the test {thing}s, larger for stranger. To the right of the line one is "
        "called an anomaly.",
        "cards_title": "Missed anomalies and false alarms",
        "cards": tuple(_cards(fitted, test)),
    }  # fmt: skip


def _tiles(test: AnomalyEvaluation, thing: str) -> Iterator[Tile]:
    if test.auroc is not None and test.auroc_interval is not None:
        low, high = test.auroc_interval
        yield Tile(
            "Anomalies look stranger",
            f"{test.auroc:.3f}",
            f"AUROC: of an anomaly and a normal {thing}, how often the anomaly has the higher score, "
            f"{low:.3f} to {high:.3f} with 95 % confidence",
        )
    if test.false_alarms is not None and test.false_alarms_interval is not None:
        yield Tile(
            "False alarms",
            percent(test.false_alarms),
            f"of normal test {thing}s; {percent(test.promised)} were promised",
            interval_bar(test.false_alarms, test.false_alarms_interval, test.promised),
        )
    if test.found is not None:
        yield Tile("Anomalies found", percent(test.found), "of those in the test, at this share of false alarms")
    if test.anomalies == 0:
        yield Tile("Anomalies in the test", "none", "so nothing is known of how well they are found")


def _charts(test: AnomalyEvaluation, answer: Anomaly) -> Iterator[tuple[str, Markup]]:
    yield (
        "Scores",
        score_heaps("scores", "Scores", test.scores[~test.truth], test.scores[test.truth], answer.threshold),
    )


def _cards(fitted: Fitted, test: AnomalyEvaluation) -> Iterator[Card]:
    """Some missed anomalies and some false alarms, with the detector's map over them where it has one."""
    thing = fitted.bundle.thing
    halves = [[m for m in test.mistakes if m.kind == kind][: SHOWN // 2] for kind in ("missed", "false alarm")]
    for miss in [*halves[0], *halves[1]]:
        yield Card(
            picture(fitted.prepared, miss.index, SIDE, miss.image, pixels=_shown(fitted, miss.index)),
            miss.image,
            miss.kind,
            f"anomaly {percent(miss.probability)}; {percent(miss.p_value)} of normal {thing}s are as strange",
        )


def _shown(fitted: Fitted, index: int) -> NDArray[np.uint8] | None:
    """An image under the detector's map (3, H, W), or None where it has none."""
    network = fitted.bundle.network
    if not network.localises:
        return None
    pixels = to_float(fitted.prepared.pixels.array[index : index + 1])
    with torch.inference_mode():
        heat = network.cpu().anomaly_map(pixels)[0].numpy()
    drawn = overlay(pixels[0].numpy(), heat)
    return np.asarray(np.rint(255 * np.clip(drawn, 0, 1)).transpose(2, 0, 1), np.uint8)
