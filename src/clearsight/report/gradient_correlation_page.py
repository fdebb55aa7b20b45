"""The page of shattered gradients: autocorrelation against the lag, and the gradients themselves along the line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from clearsight.derivatives.gradient_correlation import KINDS, GradientCorrelation, Row
from clearsight.report.components.svg import Frame, chart, element, label, polyline
from clearsight.report.figures import GRAY, new_figure
from clearsight.report.renderer import Renderer
from clearsight.wording import count

SHOWN = 4
"""Curves with a colour of their own in one chart."""


class GradientCorrelationRenderer(Renderer[GradientCorrelation]):
    """Autocorrelation against the lag, and the gradients along the line."""

    template, page, numbers = "gradient_correlation.html", "gradient_correlation.html", "gradient_correlation.json"

    def values(self) -> dict[str, Any]:
        found = self.result
        groups = [(kind, list(rows)) for kind, rows in groupby(found.rows, lambda row: row.kind)]
        if all(len(rows) == 1 for _, rows in groups):  # named networks: one chart for four of them
            parts = [found.rows[i : i + SHOWN] for i in range(0, len(found.rows), SHOWN)]
            charts = [("", _correlations(f"acf-{i}", part, found)) for i, part in enumerate(parts)]
        else:
            charts = [
                (f"{kind}: {KINDS.get(kind, '')}", _correlations(f"acf-{kind}", rows, found)) for kind, rows in groups
            ]
        lags = [k for k in (1, 2, 5, 10, 15) if k < len(found.white)]
        return {
            "inputs": found.inputs,
            "points": found.points,
            "charts": charts,
            "paths": [
                (f"{row.kind}, {count(row.depth, 'layer')}", _path(f"path-{i}", row))
                for i, row in enumerate(found.rows)
            ],
            "dense": found.rows[0].kind in KINDS,
            "lags": lags,
            "rows": [
                {
                    "kind": row.kind,
                    "depth": row.depth,
                    "networks": row.networks,
                    "values": [_with_error(row.autocorrelation[k], row.error[k]) for k in lags],
                }
                for row in found.rows
            ],
            "noises": [
                {"kind": name, "values": [f"{values[k]:z.2f}" for k in lags]}
                for name, values in (("white noise", found.white), ("Brownian path", found.brownian))
            ],
        }

    def figure(self) -> Any:
        """Autocorrelation against the lag, of each network and of noise."""
        found = self.result
        figure, (axes,) = new_figure(width=6.4, height=4.4)
        for name, noise in (("white noise", found.white), ("Brownian path", found.brownian)):
            axes.plot(noise, "--", color=GRAY, label=name)
        for row in found.rows:
            axes.plot(row.autocorrelation, label=f"{row.kind}, {count(row.depth, 'layer')}")
        axes.set(xlabel="lag, in points along the line", ylabel="autocorrelation of gradients")
        axes.legend(fontsize="small")
        return figure


def _correlations(ident: str, rows: Sequence[Row], found: GradientCorrelation) -> Markup:
    """Autocorrelation against the lag, a curve for each row, between those of the two noises."""
    lags = len(found.white) - 1
    frame = Frame(40, 52, 294, 220, (0, lags), (-0.25, 1.0))
    x_ticks = list(range(0, lags + 1, max(1, lags // 5)))
    drawn = frame.axes(x_ticks, [-0.25, 0, 0.25, 0.5, 0.75, 1], lambda v: f"{v:g}", lambda v: f"{v:g}")
    drawn.append(label("lag, in points along the line", frame.left + frame.width / 2, frame.bottom + 36, class_="name"))
    for name, values in (("white noise", found.white), ("Brownian", found.brownian)):
        drawn.append(polyline(_points(frame, values), "diagonal noise"))
        drawn.append(label(name, frame.right, frame.y(float(values[-1])) - 6, "end", "note"))
    same = len({row.kind for row in rows}) == 1
    for place, row in enumerate(rows):
        style = f"curve c{place % SHOWN}"
        words = count(row.depth, "layer") if same else row.kind
        drawn.append(element("g", element("title", words), polyline(_points(frame, row.autocorrelation), style)))
        x, y = frame.left + 150 * (place % 2), 12 + 18 * (place // 2 % 2)
        drawn.append(polyline([(x, y), (x + 22, y)], style))
        drawn.append(label(words, x + 28, y + 4, "start", "name"))
    description = "; ".join(
        f"{row.kind}, {count(row.depth, 'layer')}: {row.autocorrelation[1]:.2f} at lag 1" for row in rows
    )
    return chart(ident, 350, frame.bottom + 44, "Autocorrelation of gradients", description, *drawn)


def _points(frame: Frame, values: NDArray[np.float64]) -> list[tuple[float, float]]:
    return [(frame.x(k), frame.y(max(-0.25, float(v)))) for k, v in enumerate(values) if np.isfinite(v)]


def _path(ident: str, row: Row) -> Markup:
    """The gradients of the first network along the line, as they come."""
    top = max(3.0, float(np.abs(row.gradients).max()))
    frame = Frame(2, 4, 236, 92, (0, len(row.gradients) - 1), (-top, top))
    drawn = [polyline([(frame.left, frame.y(0)), (frame.right, frame.y(0))], "axis")]
    drawn.append(polyline([(frame.x(i), frame.y(float(g))) for i, g in enumerate(row.gradients)], "curve path"))
    return chart(ident, 240, 100, f"Gradients along the line, {row.kind}, {count(row.depth, 'layer')}", "", *drawn)


def _with_error(value: float, error: float) -> str:
    if not np.isfinite(value):
        return "no change"
    return f"{value:z.2f}" + (f" ± {error:.2f}" if np.isfinite(error) else "")
