"""How pieces of a task's sections are drawn: what the templates `piece_*.html`, one for each kind of piece, call."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from markupsafe import Markup, escape
from numpy.typing import NDArray

from clearsight.data.loader import to_float
from clearsight.report.charts import interval_bar, parity, reliability, score_heaps, threshold_curves
from clearsight.report.confusion import Matrix, matrix
from clearsight.report.heatmaps import overlay
from clearsight.report.pictures import Picture, picture
from clearsight.tasks.sections import (
    Bar,
    Card,
    Cell,
    Chart,
    Column,
    Confusion,
    CurveChart,
    ParityChart,
    Piece,
    ReliabilityChart,
    ScoreChart,
)
from clearsight.train.fit import Fitted

LEAST = -1e9
"""What a cell without a number sorts by."""

SIDE = 160
"""Longest side in pixels of a card's picture."""


@dataclass(frozen=True)
class PieceFilters:
    """What the templates call on pieces of a run."""

    fitted: Fitted | None
    """None where there are no images to show."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """By their names in templates."""
        return {
            "template": template, "column": column, "cell": cell, "sort_key": sort_key, "bar": bar, "drawn": drawn,
            "matrix": confusion_matrix, "shown": self.shown, "marked": marked,
        }  # fmt: skip

    def shown(self, card: Card) -> Picture | None:
        """The picture of a card, under the model's own map where the card asks for it and the model has one; None
        where there are no images.
        """
        if self.fitted is None:
            return None
        alt = ", ".join(" ".join(filter(None, line)) for line in card.lines)
        pixels = self._mapped(self.fitted, card.index) if card.mapped else None
        return picture(self.fitted.prepared, card.index, SIDE, f"{card.image}: {alt}", pixels=pixels)

    @staticmethod
    def _mapped(fitted: Fitted, index: int) -> NDArray[np.uint8] | None:
        network = fitted.bundle.network
        if not network.localises:
            return None
        pixels = to_float(fitted.prepared.pixels.array[index : index + 1])
        with torch.inference_mode():
            heat = network.cpu().anomaly_map(pixels)[0].numpy()
        drawn = overlay(pixels[0].numpy(), heat)
        return np.asarray(np.rint(255 * np.clip(drawn, 0, 1)).transpose(2, 0, 1), np.uint8)


def template(piece: Piece) -> str:
    """The template that draws a piece."""
    return f"piece_{type(piece).__name__.lower()}.html"


def column(given: str | Column, place: int) -> tuple[str, str]:
    """Title and kind of a column: name, number, interval or words."""
    if isinstance(given, str):
        return given, "number" if place else "name"
    return given.title, given.kind


def cell(given: str | Cell) -> Cell:
    """A cell, of text alone too."""
    return Cell(given) if isinstance(given, str) else given


def sort_key(text: str) -> float:
    """The number in a cell; below all others where it has none."""
    found = re.search(r"-?\d[\d,]*\.?\d*(?:e[+-]?\d+)?", text.replace("\N{MINUS SIGN}", "-"))
    return float(found.group().replace(",", "")) if found else LEAST


def bar(given: Bar | None) -> Markup:
    """A value with its interval; nothing for None."""
    return interval_bar(given.value, given.interval, given.mark) if given else Markup()


def confusion_matrix(piece: Confusion) -> Matrix:
    """The cells of a confusion matrix."""
    return matrix(piece.matrix, piece.classes)


@singledispatch
def drawn(chart: Chart, ident: str) -> Markup:
    """A chart as a picture. ident: unique on the page."""
    raise TypeError(type(chart).__name__)


@drawn.register
def _(chart: ParityChart, ident: str) -> Markup:
    return parity(ident, chart.name, chart.truth, chart.predicted, chart.errors, chart.width)


@drawn.register
def _(chart: ScoreChart, ident: str) -> Markup:
    return score_heaps(ident, chart.name, chart.normal, chart.anomalies, chart.threshold)


@drawn.register
def _(chart: ReliabilityChart, ident: str) -> Markup:
    return reliability(ident, chart.name, chart.bins)


@drawn.register
def _(chart: CurveChart, ident: str) -> Markup:
    return threshold_curves(ident, chart.name, chart.curves, chart.x_name, chart.y_name, chance=chart.chance)


def marked(text: str) -> Markup:
    """Words with `code` and **bold**, everything escaped; marks that are not closed stay as they are."""
    return _between(text, "`", "code", lambda rest: _between(rest, "**", "strong", escape))


def _between(text: str, mark: str, tag: str, outside: Callable[[str], Markup]) -> Markup:
    parts = text.split(mark)
    if len(parts) % 2 == 0:
        return outside(text)
    found = (Markup("<{0}>{1}</{0}>").format(tag, p) if i % 2 else outside(p) for i, p in enumerate(parts))
    return Markup("").join(found)
