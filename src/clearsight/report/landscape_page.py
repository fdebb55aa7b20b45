"""The page of loss landscapes: slices along a line and over a plane, several models on one scale, and the curvature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from clearsight.derivatives import Landscape, Landscapes
from clearsight.report.components.pictures import image_uri
from clearsight.report.components.svg import Frame, chart, element, label, line, polyline
from clearsight.report.figures import new_figure
from clearsight.report.renderer import Renderer
from clearsight.wording import count, percent

Floats = NDArray[np.float64]

BANDS = 14
"""Colours between the lowest and the highest loss."""

FLOOR = 1e-3
"""Losses below are drawn as this one: their differences mean nothing."""

SIDE = 288
"""Pixels along each side of a plane's picture."""


class LandscapesRenderer(Renderer[Landscapes]):
    """Slices of each model on one scale, and the curvature."""

    template, page, numbers = "landscape.html", "landscape.html", "landscape.json"

    def values(self) -> dict[str, Any]:
        found = self.result.landscapes
        grids = [p.plane_loss for one in found for p in (one.train, one.val)]
        lines = [p.line_loss for one in found for p in (one.train, one.val)]
        levels, decades = plane_levels(grids), decades_of([*lines, *grids])
        return {
            "title": " and ".join(one.name for one in found),
            "several": len(found) > 1,
            "scale": scale_bar(levels),
            "models": [_model(number, one, levels, decades) for number, one in enumerate(found)],
        }

    def figure(self) -> Any:
        """The loss over the plane, of training and of validation images, on one scale."""
        found = self.result.landscapes
        levels = plane_levels([p.plane_loss for one in found for p in (one.train, one.val)])
        figure, grid = new_figure(2, len(found), width=4.2, height=3.6)
        parts = [(one, word, p) for one in found for word, p in (("training", one.train), ("validation", one.val))]
        for axes, (one, word, part) in zip(grid, parts, strict=True):
            logs = np.log10(np.maximum(np.nan_to_num(part.plane_loss, nan=np.inf, posinf=10 ** levels[-1]), FLOOR))
            drawn = axes.contourf(one.steps, one.steps, np.clip(logs, levels[0], levels[-1]), levels)
            axes.plot(0, 0, "o", markerfacecolor="none", color="white")
            axes.set_title(f"{one.name}, {word}")
        figure.colorbar(drawn, ax=grid, label="log10 of the loss")
        return figure


def _model(number: int, one: Landscape, levels: Floats, decades: tuple[int, int]) -> dict[str, Any]:
    """What the page shows of one model."""
    return {
        "name": one.name,
        "which": "the weights of the head; the features are frozen"
        if one.weights == "head"
        else "all weights of the model",
        "seen": one.weights == "head" and one.rates is None,
        "parameters": f"{one.parameters:,}",
        "loss": one.loss
        + (f", with the logits divided by a temperature of {one.temperature:.2g}" if one.temperature != 1 else ""),
        "cosine": f"{one.cosine:.3f}",
        "line": line_chart(f"line-{number}", one, decades),
        "planes": [
            (
                f"{word}, {count(part.images, 'image')}",
                plane_chart(f"plane-{number}-{word}", one.steps, part.plane_loss, levels, word),
            )
            for word, part in (("training", one.train), ("validation", one.val))
        ],
        "edge": one.curvature_words(),
        "parts": [
            {
                "word": word,
                "loss": f"{part.loss:.4g}",
                "accuracy": percent(part.accuracy),
                "rises": [_short(part.rise(one.steps, d)) for d in (0.5, 1.0)],
            }
            for word, part in (("training", one.train), ("validation", one.val))
        ],
        "curvature": _short(one.curvature.largest) + ("" if one.curvature.converged else " (not converged)"),
        "least": _short(one.curvature.least),
        "stable": _short(one.largest_rate) if one.largest_rate else "any",
        "kept": f"{one.rates.kept:.3g}" if one.rates else "none",
    }


def decades_of(curves: Sequence[Floats]) -> tuple[int, int]:
    """Powers of ten that enclose all finite losses."""
    logs = np.concatenate([_logs(values).ravel() for values in curves])
    low, high = math.floor(logs.min() + 1e-9), math.ceil(logs.max() - 1e-9)
    return low, max(high, low + 1)


def plane_levels(grids: Sequence[Floats]) -> Floats:
    """BANDS + 1 logarithms of losses, evenly apart, that enclose all finite values."""
    logs = np.concatenate([_logs(grid).ravel() for grid in grids])
    return np.linspace(logs.min(), max(logs.max(), logs.min() + 0.1), BANDS + 1)


def _logs(values: Floats) -> Floats:
    """Logarithms of the finite ones; of none, that of 1."""
    finite = values[np.isfinite(values)]
    return np.log10(np.maximum(finite, FLOOR)) if finite.size else np.zeros(1)


def line_chart(ident: str, one: Landscape, decades: tuple[int, int]) -> Markup:
    """Loss along the first direction, of training and validation images, on a logarithmic axis."""
    frame = Frame(46, 30, 288, 260, (-1.0, 1.0), decades)
    step = max(1, math.ceil((decades[1] - decades[0]) / 6))
    y_ticks = [float(v) for v in range(decades[0], decades[1] + 1, step)]
    drawn = frame.axes([-1, -0.5, 0, 0.5, 1], y_ticks, lambda v: f"{v:g}", lambda v: f"{10**v:g}")
    chance = math.log10(math.log(one.classes))
    if decades[0] < chance < decades[1] and one.loss == "cross-entropy":
        drawn.append(line(frame.left, frame.y(chance), frame.right, frame.y(chance), "diagonal"))
        drawn.append(label("chance", frame.right, frame.y(chance) - 5, "end", "note"))
    drawn.append(line(frame.x(0), frame.top, frame.x(0), frame.bottom, "best"))
    description = []
    curves = (("training", "train", one.train), ("validation", "val", one.val))
    for place, (name, style, part) in enumerate(curves):
        points = [
            (frame.x(a), frame.y(math.log10(max(v, FLOOR))))
            for a, v in zip(one.along, part.line_loss, strict=True)
            if math.isfinite(v)
        ]
        drawn.append(polyline(points, f"curve {style}"))
        drawn += frame.key(place, name, style)
        description.append(
            f"{name}: {part.line_loss[0]:.3g} at -1, {part.loss:.3g} at the model's weights, "
            f"{part.line_loss[-1]:.3g} at 1"
        )
    drawn.append(label("distance, in filter norms", frame.left + 144, frame.bottom + 36, class_="name"))
    return chart(ident, 350, frame.bottom + 44, f"Loss along a line, {one.name}", "; ".join(description), *drawn)


def plane_chart(ident: str, steps: Floats, loss: Floats, levels: Floats, word: str) -> Markup:
    """Loss over the plane in bands of colour, the weights in the middle."""
    frame = Frame(34, 30, 288, 260 + 28, (-1.0, 1.0), (-1.0, 1.0))
    half = [-1.0, -0.5, 0.0, 0.5, 1.0]
    drawn = frame.axes(half, half, lambda v: f"{v:g}", lambda v: f"{v:g}")
    uri = image_uri(Image.fromarray(bands(loss, levels)), optimize=True)
    place = {"x": frame.left, "y": frame.top, "width": frame.width, "height": frame.height}
    drawn.append(element("image", href=uri, preserveAspectRatio="none", **place))
    drawn.append(element("circle", cx=frame.x(0), cy=frame.y(0), r=4, class_="here"))
    middle = len(steps) // 2
    description = f"{word}: {loss[middle, middle]:.3g} at the model's weights, maximum {np.nanmax(loss):.3g}"
    return chart(ident, 340, frame.bottom + 24, f"Loss over a plane, {word}", description, *drawn)


def bands(loss: Floats, levels: Floats) -> NDArray[np.uint8]:
    """A grid of losses (S, S) as a picture (SIDE, SIDE, 3): bands between levels, edges drawn darker, first row below.

    What is not finite is drawn as the highest.
    """
    logs = np.log10(np.maximum(np.where(np.isfinite(loss), loss, np.inf), FLOOR))
    logs = np.clip(logs, levels[0], levels[-1])
    fine = ndimage.zoom(logs, SIDE / len(logs), order=1, grid_mode=False)
    number = np.clip(np.searchsorted(levels, fine, side="right") - 1, 0, BANDS - 1)
    colours = _colours()[number]
    edge = np.zeros(number.shape, bool)
    edge[1:] |= number[1:] != number[:-1]
    edge[:, 1:] |= number[:, 1:] != number[:, :-1]
    colours[edge] *= 0.75
    return np.asarray(np.round(255 * colours[::-1]), np.uint8)


def scale_bar(levels: Floats) -> Markup:
    """The bands with the losses at their edges."""
    drawn = []
    for number, colour in enumerate(_colours()):
        red, green, blue = (round(255 * float(c)) for c in colour)
        fill = f"rgb({red}, {green}, {blue})"
        drawn.append(element("rect", x=20 + 40 * number, y=2, width=40.5, height=14, fill=fill))
    for number in range(0, BANDS + 1, 2):
        drawn.append(label(_short(10 ** float(levels[number])), 20 + 40 * number, 32))
    words = f"colours for losses from {10 ** levels[0]:.2g} to {10 ** levels[-1]:.2g}"
    return chart("scale", 40 + 40 * BANDS, 38, "Loss by colour", words, *drawn)


def _colours() -> Floats:
    return np.asarray(matplotlib.colormaps["viridis"](np.linspace(0, 1, BANDS)))[:, :3]


def _short(value: float) -> str:
    """Two significant digits, without an exponent where that is short."""
    if not math.isfinite(value):
        return "not finite"
    return f"{value:.2g}" if abs(value) < 100 else f"{value:,.0f}" if abs(value) < 1e6 else f"{value:.1e}"
