"""Results as matplotlib figures, made without pyplot: nothing stays open, and no window or cell shows them twice."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from clearsight.tasks.sections import (
    Chart,
    Charts,
    Confusion,
    CurveChart,
    ParityChart,
    Piece,
    ReliabilityChart,
    ReportParts,
    ScatterChart,
    ScoreChart,
)

BLUE, ORANGE, GRAY = "#0b62a4", "#a84a08", "#7a8490"

Interval = tuple[float, float]


class ResultFigure(Figure):
    """A figure that a notebook shows wherever pyplot was not set up."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def new_figure(columns: int = 1, rows: int = 1, *, width: float = 5.0, height: float = 3.8) -> tuple[Any, list[Any]]:
    """A figure and its axes, row by row."""
    figure = ResultFigure(figsize=(width * columns, height * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    return figure, [axes for row in grid for axes in row]


def sheet_image(pixels: NDArray[np.floating]) -> Image.Image:
    """Pixels (H, W, 3) in [0, 1] as an image."""
    return Image.fromarray(np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)).convert("RGB")


def stacked(images: Sequence[Image.Image]) -> Image.Image:
    """Images below each other."""
    width = max((image.width for image in images), default=1)
    whole = Image.new("RGB", (width, max(1, sum(image.height for image in images))), "white")
    top = 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height
    return whole


def whiskers(axes: Any, places: Sequence[float], values: Sequence[float], intervals: Sequence[Interval]) -> None:
    """A curve of values with their intervals."""
    pairs = list(zip(values, intervals, strict=True))
    sizes = [[max(0.0, v - low) for v, (low, _) in pairs], [max(0.0, high - v) for v, (_, high) in pairs]]
    axes.errorbar(places, values, yerr=sizes, color=BLUE, marker="o", markersize=4, capsize=2)


def interval_bars(names: Sequence[str], values: Sequence[float], intervals: Sequence[Interval], label: str) -> Any:
    """Rows of values with their intervals, the first on top."""
    figure, (axes,) = new_figure(width=6.4, height=max(2.4, 1.2 + 0.34 * len(names)))
    places = list(range(len(names)))
    pairs = list(zip(values, intervals, strict=True))
    sizes = [[max(0.0, v - low) for v, (low, _) in pairs], [max(0.0, high - v) for v, (_, high) in pairs]]
    axes.errorbar(values, places, xerr=sizes, fmt="o", color=BLUE, capsize=2)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.3)
    return figure


def bars(names: Sequence[str], values: Sequence[float], label: str) -> Any:
    """Horizontal bars, the first on top."""
    figure, (axes,) = new_figure(width=6.4, height=max(2.4, 1.2 + 0.34 * len(names)))
    axes.barh(list(range(len(names))), values, color=BLUE)
    axes.set_yticks(list(range(len(names))), names)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    return figure


def evaluation_figure(parts: ReportParts) -> Any:
    """The charts and the confusion matrix of a task's report; its figures with intervals where there are none."""
    pieces = [piece for section in parts.sections for piece in section.pieces]
    charts: list[Chart | Confusion] = list(parts.charts.charts) if parts.charts else []
    charts += [chart for piece in pieces for chart in charts_of(piece)]
    if not charts:
        shown = [(tile.title, tile.bar) for tile in parts.tiles if tile.bar]
        return interval_bars(
            [title for title, _ in shown], [bar.value for _, bar in shown], [bar.interval for _, bar in shown], ""
        )
    figure, grid = new_figure(len(charts))
    for axes, chart in zip(grid, charts, strict=True):
        draw(chart, axes)
    return figure


@singledispatch
def charts_of(piece: Piece) -> Sequence[Chart | Confusion]:
    """What a figure can show of a piece of a report; nothing of tables, texts and pictures."""
    return ()


@charts_of.register
def _(piece: Charts) -> Sequence[Chart | Confusion]:
    return piece.charts


@charts_of.register
def _(piece: Confusion) -> Sequence[Chart | Confusion]:
    return (piece,)


@singledispatch
def draw(chart: Chart | Confusion, axes: Any) -> None:
    """A chart of a task's report on its own axes."""
    raise TypeError(type(chart).__name__)


@draw.register
def _(chart: ParityChart, axes: Any) -> None:
    axes.plot(chart.truth, chart.predicted, ".", color=BLUE)
    ends = [float(np.min(chart.truth)), float(np.max(chart.truth))] if len(chart.truth) else [0.0, 1.0]
    axes.plot(ends, ends, "--", color=GRAY)
    axes.set(title=chart.name, xlabel="true", ylabel="predicted")


@draw.register
def _(chart: ScoreChart, axes: Any) -> None:
    both = np.concatenate([chart.normal, chart.anomalies])
    edges = np.histogram_bin_edges(both, 30)
    axes.hist(chart.normal, edges, color=BLUE, alpha=0.7, label="normal")
    axes.hist(chart.anomalies, edges, color=ORANGE, alpha=0.7, label="anomalies")
    axes.axvline(chart.threshold, color=GRAY, linestyle="--", label="threshold")
    axes.set(title=chart.name, xlabel="score", ylabel="images")
    axes.legend()


@draw.register
def _(chart: ReliabilityChart, axes: Any) -> None:
    shown = [b for b in chart.bins if b.count]
    axes.plot([0, 1], [0, 1], "--", color=GRAY)
    axes.plot([b.confidence for b in shown], [b.accuracy for b in shown], "o-", color=BLUE)
    axes.set(title=chart.name, xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))


@draw.register
def _(chart: ScatterChart, axes: Any) -> None:
    axes.plot(chart.x, chart.y, ".", color=BLUE, alpha=0.5)
    axes.set(title=chart.name, xlabel=chart.x_name, ylabel=chart.y_name)


@draw.register
def _(chart: CurveChart, axes: Any) -> None:
    if chart.chance:
        axes.plot([0, 1], [0, 1], "--", color=GRAY)
    for place, curve in reversed(list(enumerate(chart.curves))):
        area = f"{curve.name}: {curve.area:.3f}"
        axes.plot(curve.x, curve.y, color=BLUE if place == 0 else GRAY, alpha=1 if place == 0 else 0.5, label=area)
    axes.set(title=chart.name, xlabel=chart.x_name, ylabel=chart.y_name, xlim=(-0.01, 1.01), ylim=(0, 1.01))
    if 0 < len(chart.curves) <= 8:
        axes.legend(fontsize="small", loc="lower right" if chart.chance else "lower left")


@draw.register
def _(chart: Confusion, axes: Any) -> None:
    counts = np.asarray(chart.matrix, float)
    axes.imshow(counts / np.maximum(counts.sum(1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    axes.set(title="Confusion matrix", xlabel="predicted", ylabel="label")
    if len(chart.classes) <= 20:
        places = list(range(len(chart.classes)))
        axes.set_xticks(places, chart.classes, rotation=90)
        axes.set_yticks(places, chart.classes)
