"""Published accuracy of the networks against what an image costs them, as one picture."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clearsight.disk import disk_errors
from clearsight.errors import OutputError
from clearsight.models.catalogue import CatalogueRow

SUFFIXES = (".svg", ".png", ".pdf")


def plot_networks(rows: Sequence[CatalogueRow], path: Path) -> Path:
    """Draw top-1 accuracy (%) against multiply-adds (logarithmic); a disc's area grows with the parameters.

    rows: each with its top1. The line joins the networks that none beats at their cost. Raises OutputError when the
    file's name ends in none of .svg, .png, .pdf, or when it cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{path.name} cannot be drawn", expected=f"a name ending in {', '.join(SUFFIXES)}")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots()
    colours: dict[str, str] = {}
    for number, (family, members) in enumerate(_families(rows).items()):
        colours |= dict.fromkeys((row.name for row in members), f"C{number % 10}")
        axes.scatter(
            [row.multiply_adds / 1e9 for row in members],
            [row.top1 for row in members],
            s=[6e-6 * row.parameters + 12 for row in members],
            color=colours[members[0].name],
            alpha=0.55,
            label=family,
            linewidths=0,
        )
    front = frontier(rows)
    axes.plot(
        [row.multiply_adds / 1e9 for row in front],
        [row.top1 for row in front],
        color="0.4",
        linewidth=1,
        zorder=0,
        linestyle=":",
    )
    axes.set(
        xscale="log",
        xlabel="billion multiply-adds per image",
        ylabel="published ImageNet top-1 accuracy, %",
        title="Accuracy against cost: discs grow with the number of parameters, the line is the Pareto front",
    )
    axes.title.set_fontsize(10)
    axes.grid(alpha=0.2, which="both")
    axes.margins(x=0.12, y=0.08)
    figure.canvas.draw()
    _label(axes, rows, colours)
    legend = axes.legend(loc="lower right", frameon=False, fontsize=8)
    for handle in legend.legend_handles:
        handle.set_sizes([40])
    with disk_errors(path, "the plot", "choose another name or free some space"):
        figure.savefig(path, dpi=150)
    return path


def frontier(rows: Sequence[CatalogueRow]) -> list[CatalogueRow]:
    """Of networks with an accuracy, those that no network of the same or lower cost reaches, cheapest first."""
    best, found = -math.inf, []
    for row in sorted(rows, key=lambda r: (r.multiply_adds, -(r.top1 or 0))):
        if (row.top1 or 0) > best:
            best = row.top1 or 0
            found.append(row)
    return found


def _families(rows: Sequence[CatalogueRow]) -> dict[str, list[CatalogueRow]]:
    """By the letters a name begins with: resnet50 is one of the resnets, vgg16_bn one of the vggs."""
    found: dict[str, list[CatalogueRow]] = {}
    for row in rows:
        found.setdefault(re.match(r"[a-z]+", row.name)[0], []).append(row)  # type: ignore[index]
    return found


def _label(axes: Any, rows: Sequence[CatalogueRow], colours: dict[str, str]) -> None:
    """Write each name beside its disc, in its colour, at the first of some places where it covers no name or centre."""
    from matplotlib.colors import to_rgb

    scale = axes.figure.dpi / 72  # points to pixels
    centres = [axes.transData.transform((row.multiply_adds / 1e9, row.top1)) for row in rows]
    taken = [(x - 5, y - 5, 10.0, 10.0) for x, y in centres]
    places = [(side * across, up) for across in (7, 14, 24) for up in (-3, 5, -11, 13, -19, 21) for side in (1, -1)]
    for row, (x, y) in sorted(zip(rows, centres, strict=True), key=lambda pair: -(pair[0].top1 or 0)):
        width, height = 4.6 * len(row.name) * scale, 8 * scale
        boxes = [(x + dx * scale - (width if dx < 0 else 0), y + dy * scale, width, height) for dx, dy in places]
        at = next((i for i, box in enumerate(boxes) if not any(_overlap(box, other) for other in taken)), 0)
        taken.append(boxes[at])
        axes.annotate(
            row.name,
            (row.multiply_adds / 1e9, row.top1),
            places[at],
            textcoords="offset points",
            fontsize=7.5,
            ha="right" if places[at][0] < 0 else "left",
            color=[0.6 * part for part in to_rgb(colours[row.name])],
        )


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]
