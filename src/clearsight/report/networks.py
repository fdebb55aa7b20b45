"""Charts of the field: accuracy against cost, and the errors of the ImageNet challenge over the years."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from clearsight.disk import disk_errors
from clearsight.errors import OutputError
from clearsight.models.imagenet_history import CHALLENGE, HUMAN_TOP5_ERROR

SUFFIXES = (".svg", ".png", ".pdf")


class Point(Protocol):
    """What is drawn of a network: multiply_adds of one image; top1 in percent, None where there is none."""

    @property
    def name(self) -> str: ...
    @property
    def parameters(self) -> int: ...
    @property
    def multiply_adds(self) -> int: ...
    @property
    def top1(self) -> float | None: ...


def plot_networks(rows: Sequence[Point], path: Path) -> Path:
    """Draw top-1 accuracy (%) against multiply-adds (logarithmic), where a disc's area grows with the parameters; and
    below it the top-5 error (%) of entries of the ImageNet challenge by year, with their layers, beside a person's.

    rows: each with its top1. The line joins the networks that none beats at their cost. Raises OutputError when the
    file's name ends in none of .svg, .png, .pdf, or when it cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(
            f"the plot cannot be saved as {path.name}", expected=f"a file name ending in {' or '.join(SUFFIXES)}"
        )
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 10.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes, years = cast(Any, figure.subplots(2, height_ratios=(6.5, 4)))
    _draw_challenge(years)
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
        xlabel="multiply-adds per image, billions",
        ylabel="published ImageNet top-1 accuracy, %",
        title="Accuracy against cost (disc area: number of parameters; dotted line: Pareto front)",
    )
    axes.title.set_fontsize(10)
    axes.grid(alpha=0.2, which="both")
    axes.margins(x=0.12, y=0.08)
    figure.canvas.draw()
    _label(axes, rows, colours)
    legend = axes.legend(loc="lower right", frameon=False, fontsize=8)
    for handle in legend.legend_handles:
        handle.set_sizes([40])
    with disk_errors(path, "the plot", "choose another file name or free some space"):
        figure.savefig(path, dpi=150)
    return path


def frontier(rows: Sequence[Point]) -> list[Point]:
    """Of networks with an accuracy, those that no network of the same or lower cost reaches, cheapest first."""
    best, found = -math.inf, []
    for row in sorted(rows, key=lambda r: (r.multiply_adds, -(r.top1 or 0))):
        if (row.top1 or 0) > best:
            best = row.top1 or 0
            found.append(row)
    return found


def _draw_challenge(axes: Any) -> None:
    """Bars of the error by year, with the layers of each network, and a line for people."""
    names = [f"{entry.year}\n{entry.name}" for entry in CHALLENGE]
    colours = ["C0" if entry.layers else "0.6" for entry in CHALLENGE]
    axes.bar(names, [entry.top5_error for entry in CHALLENGE], color=colours, alpha=0.7, width=0.6)
    for place, entry in enumerate(CHALLENGE):
        words = f"{entry.top5_error:g} %" + (f"\n{entry.layers} layers" if entry.layers else "\nno network")
        top, plate = (place, entry.top5_error), {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        axes.annotate(words, top, (0, 5), textcoords="offset points", ha="center", fontsize=8, bbox=plate)
    axes.axhline(HUMAN_TOP5_ERROR, color="C3", linestyle="--", linewidth=1)
    axes.set_xlim(-0.6, len(CHALLENGE) + 0.6)
    axes.annotate(
        f"human annotator, {HUMAN_TOP5_ERROR:g} %", (len(CHALLENGE) - 0.55, HUMAN_TOP5_ERROR), (0, 3), color="C3",
        textcoords="offset points", fontsize=8,
    )  # fmt: skip
    axes.set_ylabel("top-5 error of the submitted ensemble, %")
    axes.set_title(
        "The ImageNet challenge: the error decreases with depth (AlexNet's 9 layers include the softmax)",
        fontsize=10,
    )
    axes.margins(y=0.18)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.2, axis="y")


def _families(rows: Sequence[Point]) -> dict[str, list[Point]]:
    """By the letters a name begins with: resnet50 is one of the resnets, vgg16_bn one of the vggs."""
    found: dict[str, list[Point]] = {}
    for row in rows:
        found.setdefault(re.match(r"[a-z]+", row.name)[0], []).append(row)  # type: ignore[index]
    return found


def _label(axes: Any, rows: Sequence[Point], colours: dict[str, str]) -> None:
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
