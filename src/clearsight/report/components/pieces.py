"""How pieces of a task's sections are drawn: what the templates `piece_*.html`, one for each kind of piece, call."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from markupsafe import Markup, escape
from numpy.typing import NDArray

from clearsight.data.displayed import displayed
from clearsight.data.loader import to_float
from clearsight.models.base import ModelNetwork
from clearsight.report.components.charts import (
    interval_bar,
    parity,
    reliability,
    scatter,
    score_heaps,
    threshold_curves,
)
from clearsight.report.components.confusion import Matrix, matrix
from clearsight.report.components.map_colours import overlay
from clearsight.report.components.pictures import Picture, Thumbnail, data_thumbnail, encoded
from clearsight.tasks.sections import (
    Bar,
    Card,
    Cards,
    Cell,
    Chart,
    Column,
    Confusion,
    CurveChart,
    ParityChart,
    Piece,
    ReliabilityChart,
    ScatterChart,
    ScoreChart,
    Section,
)
from clearsight.train.fit import Fitted
from clearsight.wording import probability

LEAST = -1e9
"""What a cell without a number sorts by."""

SIDE = 160
"""Longest side in pixels of a card's picture."""

CARDS = 24
"""Pictures of cards that a result keeps at most."""


@dataclass(frozen=True)
class PieceFilters:
    """What the templates call on pieces. thumbnail: of the image of a card; None where it cannot be shown. details:
    what stands beside that image; None for nothing.
    """

    thumbnail: Callable[[Card], Thumbnail | None]
    details: Callable[[Card], Any] = lambda card: None

    def filters(self) -> dict[str, Callable[..., Any]]:
        """By their names in templates."""
        return {
            "template": template, "column": column, "cell": cell, "sort_key": sort_key, "bar": bar, "drawn": drawn,
            "matrix": confusion_matrix, "shown": self.shown, "details": self.details, "marked": marked,
            "probability": probability,
        }  # fmt: skip

    def shown(self, card: Card) -> Picture | None:
        """The picture of a card; None where there is none."""
        found = self.thumbnail(card)
        if found is None:
            return None
        alt = ", ".join(" ".join(filter(None, line)) for line in card.lines)
        return encoded(found, f"{card.image}: {alt}")


def run_thumbnail(fitted: Fitted, card: Card) -> Thumbnail:
    """The image of a card among those of a training."""
    prepared = fitted.prepared
    pixels = prepared.pixels.array[card.index]
    mapped = under_map(fitted.bundle.network, pixels, prepared.form.shown) if card.mapped else None
    return data_thumbnail(prepared, card.index, SIDE, pixels=mapped)


def under_map(network: ModelNetwork, pixels: NDArray[Any], shown: Sequence[int]) -> NDArray[np.uint8] | None:
    """The channels `shown` of an image (C, H, W) under the model's anomaly map (3, H, W); None for a model
    without one.
    """
    if not network.localises:
        return None
    image = to_float(pixels[None])
    with torch.inference_mode():
        heat = network.cpu().anomaly_map(image)[0].numpy()
    drawn = overlay(displayed(image[0].numpy(), shown), heat)
    return np.asarray(np.rint(255 * np.clip(drawn, 0, 1)).transpose(2, 0, 1), np.uint8)


def cards_of(sections: Sequence[Section]) -> list[Card]:
    """The images that sections show, at most so many that a result keeps."""
    pieces = [piece for section in sections for piece in section.pieces]
    return [card for piece in pieces for card in _cards(piece)][:CARDS]


@singledispatch
def _cards(piece: Piece) -> Sequence[Card]:
    return ()


@_cards.register
def _(piece: Cards) -> Sequence[Card]:
    return piece.cards


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
def _(chart: ScatterChart, ident: str) -> Markup:
    return scatter(ident, chart.name, chart.x, chart.y, chart.x_name, chart.y_name)


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
