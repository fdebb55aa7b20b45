"""The charts of the page: learning curves, reliability, scores, intervals and shares. They draw what they are given."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from clearsight.metrics import wilson_interval
from clearsight.metrics.calibration import ReliabilityBin
from clearsight.metrics.curves import Curve as ThresholdCurve
from clearsight.report.components.svg import Frame, chart, coordinate, element, label, line, polyline, ticks
from clearsight.wording import count, percent

WIDTH = 340
"""Width of a chart in its own units: close to a phone's, so that 12-unit letters never shrink below 11 pixels."""

RELIABILITY = Frame(left=50, top=14, width=270, height=270)
"""Where confidence (x) and accuracy (y), both from 0 to 1, stand in a reliability diagram."""


BINS = 30
"""Bars of a histogram of anomaly scores."""


@dataclass(frozen=True)
class Curve:
    """One line of a learning curve: its name, its class in the style sheet, a value per epoch."""

    name: str
    style: str
    values: Sequence[float]


def learning_curve(
    ident: str, title: str, epochs: Sequence[int], curves: Sequence[Curve], best: int, *, shares: bool
) -> Markup:
    """Values over epochs, the best epoch marked. shares: the values are shares of 1, shown in percent."""
    known = [v for c in curves for v in c.values if math.isfinite(v)]
    low = min(*known, 0.9) if shares and known else 0.0  # shares reach up to 1, from 0.9 at most
    y_ticks = ticks(low, max(1.0 if shares else 0.0, max(known)) if known else 1.0)
    y_words = _percent_words(y_ticks) if shares else _plain
    x_low, x_high = (epochs[0], epochs[-1]) if len(epochs) > 1 else (epochs[0] - 1, epochs[0] + 1)
    frame = Frame(46, 30, WIDTH - 62, 196, (x_low, x_high), (y_ticks[0], y_ticks[-1]))
    x_ticks = (
        [v for v in ticks(x_low, x_high) if x_low <= v <= x_high and v == int(v)] if len(epochs) > 1 else [epochs[0]]
    )
    drawn = frame.axes(x_ticks, y_ticks, _plain, y_words)
    drawn.append(label("epoch", frame.left + frame.width / 2, frame.bottom + 36, class_="name"))

    x_best = frame.x(best)
    drawn.append(line(x_best, frame.top, x_best, frame.bottom, "best"))
    drawn.append(label(f"best: epoch {best}", frame.left + frame.width, frame.bottom + 36, "end", "mark"))

    for place, curve in enumerate(curves):
        points = [(frame.x(e), frame.y(v)) for e, v in zip(epochs, curve.values, strict=True) if math.isfinite(v)]
        if len(points) > 1:
            drawn.append(polyline(points, f"curve {curve.style}"))
        else:
            drawn += [element("circle", cx=x, cy=y, r=4, class_=f"dot {curve.style}") for x, y in points]
        if best in epochs and math.isfinite(at_best := curve.values[list(epochs).index(best)]):
            drawn.append(element("circle", cx=x_best, cy=frame.y(at_best), r=3.5, class_=f"dot {curve.style}"))
        drawn += frame.key(place, curve.name, curve.style)
    changes = "; ".join(
        f"{c.name} from {_value(c.values[0], shares)} to {_value(c.values[-1], shares)}" for c in curves
    )
    description = f"{count(len(epochs), 'epoch')}: {changes}. Best epoch: {best}."
    return chart(ident, WIDTH, frame.bottom + 44, title, description, *drawn)


def range_curve(
    ident: str, title: str, rates: Sequence[float], losses: Sequence[float], chosen: float
) -> Markup | None:
    """Losses of a range test over the learning rate, which is on a logarithmic axis; the chosen rate is marked. None
    for fewer than two rates. Losses above the first by more than half of what is gained are drawn at the top.
    """
    if len(rates) < 2:
        return None
    first, least = losses[0], min(losses)
    y_ticks = ticks(min(0.0, least), max(first, least) + 0.5 * abs(first - least) + 1e-9)
    exponents = [math.log10(rate) for rate in rates]
    low, high = math.floor(exponents[0]), math.ceil(exponents[-1])
    frame = Frame(46, 30, WIDTH - 62, 196, (low, high), (y_ticks[0], y_ticks[-1]))
    drawn = frame.axes(list(range(low, high + 1)), y_ticks, lambda v: f"1e{v:g}", _plain)
    drawn.append(label("learning rate", frame.left, frame.bottom + 36, "start", "name"))
    x_chosen = frame.x(math.log10(chosen))
    drawn.append(line(x_chosen, frame.top, x_chosen, frame.bottom, "best"))
    drawn.append(label(f"chosen: {chosen:.2g}", frame.left + frame.width, frame.bottom + 36, "end", "mark"))
    points = [(frame.x(x), frame.y(min(y, y_ticks[-1]))) for x, y in zip(exponents, losses, strict=True)]
    drawn.append(polyline(points, "curve val"))
    words = (
        f"{count(len(rates), 'rate')} from {rates[0]:.2g} to {rates[-1]:.2g}; the loss goes from {first:.3g} to "
        f"{least:.3g} at its lowest. Chosen: {chosen:.2g}."
    )
    return chart(ident, WIDTH, frame.bottom + 44, title, words, *drawn)


def depth_curve(ident: str, title: str, layers: Sequence[str], gradients: Sequence[Sequence[float]]) -> Markup | None:
    """Gradient norms (first and last step looked at) over the depth, on a logarithmic axis; None without numbers."""
    known = [math.log10(g) for row in gradients for g in row if math.isfinite(g) and g > 0]
    if not known:
        return None
    low, high = math.floor(min(known)), math.ceil(max(known))
    low, high = (low - 1, high) if low == high else (low, high)
    frame = Frame(46, 30, WIDTH - 62, 196, (0, len(layers) - 1), (low, high))
    step = max(1, math.ceil((high - low) / 6))
    x_ticks = [v for v in ticks(0, len(layers) - 1) if v == int(v) and v <= len(layers) - 1]
    drawn = frame.axes(x_ticks, list(range(low, high + 1, step)), lambda v: f"{v + 1:g}", lambda v: f"1e{v:g}")
    drawn.append(label("layer, counted from the input", frame.left + frame.width / 2, frame.bottom + 36, class_="name"))
    layers = []
    curves = zip(("first step", "last step examined"), ("val", "train"), gradients, strict=True)
    for place, (name, style, row) in enumerate(curves):
        points = [(frame.x(i), frame.y(math.log10(g))) for i, g in enumerate(row) if math.isfinite(g) and g > 0]
        if points:
            drawn.append(polyline(points, f"curve {style}"))
            layers.append(f"{name}: {row[0]:.2g} in the first layer, {row[-1]:.2g} in the last")
        drawn += frame.key(place, name, style)
    return chart(ident, WIDTH, frame.bottom + 44, title, "; ".join(layers) + ".", *drawn)


def reliability(ident: str, title: str, bins: Sequence[ReliabilityBin]) -> Markup:
    """Confidence (x) against accuracy (y) with its 95 % interval, and below it how many images have each confidence."""
    frame = RELIABILITY
    fifths = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    drawn = frame.axes(fifths, fifths, percent0, percent0)
    drawn.append(line(frame.x(0), frame.y(0), frame.x(1), frame.y(1), "diagonal"))
    drawn.append(label("underconfident", frame.x(0.03), frame.y(0.93), "start", "note"))
    drawn.append(label("overconfident", frame.x(0.97), frame.y(0.05), "end", "note"))
    most = max((b.count for b in bins), default=1)
    for b in bins:
        x, y = frame.x(b.confidence), frame.y(b.accuracy)
        low, high = wilson_interval(round(b.accuracy * b.count), b.count)
        weight = math.sqrt(b.count / most)
        words = f"{count(b.count, 'image')}: confidence {percent(b.confidence)}, accuracy {percent(b.accuracy)}"
        drawn.append(
            element(
                "g",
                element("title", words),
                line(x, frame.y(low), x, frame.y(high), "whisker"),
                element("line", x1=x, y1=frame.y(b.confidence), x2=x, y2=y, class_="gap", stroke_width=1 + 4 * weight),
                element("circle", cx=x, cy=y, r=3 + 5 * weight, class_="dot val"),
            )
        )
    below = Frame(frame.left, frame.bottom + 44, frame.width, 44, y_range=(0, most))
    drawn += _histogram(below, bins)
    drawn.append(label("confidence", below.left + below.width / 2, below.bottom + 20, class_="name"))
    description = "; ".join(
        f"confidence {percent0(b.confidence)}, accuracy {percent0(b.accuracy)}, {count(b.count, 'image')}" for b in bins
    )
    return chart(ident, WIDTH, below.bottom + 28, title, description, *drawn)


def threshold_curves(
    ident: str, title: str, curves: Sequence[ThresholdCurve], x_name: str, y_name: str, *, chance: bool
) -> Markup:
    """Curves over all thresholds, such as ROC curves, both axes from 0 to 1. The first of several is their mean and
    stands out; of two classes, whose curves are alike, and of one it is the only one that does. chance: draw the
    diagonal.
    """
    frame = replace(RELIABILITY, top=RELIABILITY.top + 18)
    fifths = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    drawn = [label(y_name, 4, 16, "start", "name"), *frame.axes(fifths, fifths, percent0, percent0)]
    if chance:
        drawn.append(line(frame.x(0), frame.y(0), frame.x(1), frame.y(1), "diagonal"))
    for place, curve in reversed(list(enumerate(curves))):
        points = [(frame.x(x), frame.y(y)) for x, y in _thinned(curve.x, curve.y)]
        words = element("title", f"{curve.name}: area {curve.area:.3f}")
        drawn.append(element("g", words, polyline(points, "curve val" if place == 0 else "curve each")))
    drawn.append(label(x_name, frame.left + frame.width / 2, frame.bottom + 36, class_="name"))
    if curves:
        area = f"{curves[0].name}: area {curves[0].area:.3f}"
        drawn.append(label(area, frame.x(0.97), frame.y(0.05), "end", "name"))
    description = f"{y_name} over {x_name}. " + "; ".join(f"{c.name}: area {c.area:.3f}" for c in curves)
    return chart(ident, WIDTH, frame.bottom + 44, title, description, *drawn)


def _thinned(x: NDArray[np.floating], y: NDArray[np.floating], least: float = 0.004) -> list[tuple[float, float]]:
    """The corners of a curve that lie some distance apart, its ends included."""
    found: list[tuple[float, float]] = []
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        if not found or abs(a - found[-1][0]) + abs(b - found[-1][1]) >= least:
            found.append((a, b))
    return [*found, (float(x[-1]), float(y[-1]))]


def _histogram(frame: Frame, bins: Sequence[ReliabilityBin]) -> list[Markup]:
    """A bar per bin; numbers wherever they do not run into that of a larger bar."""
    drawn = [line(frame.left, frame.bottom, frame.right, frame.bottom, "axis")]
    taken: list[tuple[float, float]] = []
    for b in sorted(bins, key=lambda b: -b.count):
        left, right, top = frame.x(b.lower) + 1, frame.x(b.upper) - 1, min(frame.y(b.count), frame.bottom - 1.5)
        drawn.append(element("rect", x=left, y=top, width=right - left, height=frame.bottom - top, class_="bar val"))
        words = f"{b.count:,}"
        half = 3.6 * len(words)
        middle = min((left + right) / 2, frame.right - half + 4)
        if all(middle + half <= a or middle - half >= z for a, z in taken):
            taken.append((middle - half, middle + half))
            drawn.append(label(words, middle, top - 4, class_="tick"))
    drawn.append(label("images", frame.left - 5, frame.bottom, "end"))
    return drawn


def parity(
    ident: str, title: str, truth: NDArray[np.floating], predicted: NDArray[np.floating], errors: NDArray[np.floating],
    width: float,
) -> Markup:  # fmt: skip
    """Predictions (y) against the truth (x), a dot for each image, and below the errors with their sign, and the span
    from -width to width that an interval allows.
    """
    both = np.concatenate([truth, predicted])
    low, high = float(both.min()), float(both.max())
    marks = ticks(low, high)
    frame = Frame(54, 14, WIDTH - 70, 260, (marks[0], marks[-1]), (marks[0], marks[-1]))
    drawn = frame.axes(marks, marks, _plain, _plain)
    drawn.append(line(frame.x(marks[0]), frame.y(marks[0]), frame.x(marks[-1]), frame.y(marks[-1]), "diagonal"))
    drawn += [
        element("circle", cx=frame.x(float(t)), cy=frame.y(float(p)), r=2, class_="dot val faint")
        for t, p in zip(truth, predicted, strict=True)
    ]
    drawn.append(label("predicted against true values", frame.left + frame.width / 2, frame.bottom + 36, class_="name"))
    far = float(np.quantile(np.abs(errors), 0.99)) or 1.0
    far = max(far, min(width, 3 * far)) if math.isfinite(width) else far
    counts, edges = np.histogram(np.clip(errors, -far, far), bins=31, range=(-far, far))
    below = Frame(frame.left, frame.bottom + 58, frame.width, 60, (-far, far), (0, float(counts.max()) or 1.0))
    if math.isfinite(width) and width < far:
        left, right = below.x(-width), below.x(width)
        drawn.append(element("rect", x=left, y=below.top, width=right - left, height=below.height, class_="allowed"))
    drawn += below.bars(counts, edges, "val")
    drawn.append(line(below.left, below.bottom, below.right, below.bottom, "axis"))
    for mark in (-far, 0.0, far):
        drawn.append(label(f"{mark:.3g}", below.x(mark), below.bottom + 16))
    drawn.append(label("predicted minus true", below.left + below.width / 2, below.bottom + 34, class_="name"))
    words = f"{count(len(errors), 'image')}; median absolute error {np.median(np.abs(errors)):.3g}."
    return chart(ident, WIDTH, below.bottom + 42, title, words, *drawn)


def scatter(
    ident: str, title: str, x: NDArray[np.floating], y: NDArray[np.floating], x_name: str, y_name: str
) -> Markup:
    """A dot for each image, both axes from zero."""
    x_ticks, y_ticks = ticks(0.0, float(x.max())), ticks(0.0, float(y.max()))
    frame = Frame(60, 14, WIDTH - 76, 250, (x_ticks[0], x_ticks[-1]), (y_ticks[0], y_ticks[-1]))
    drawn = frame.axes(x_ticks, y_ticks, _plain, _plain)
    drawn += [
        element("circle", cx=frame.x(a), cy=frame.y(b), r=2, class_="dot val faint")
        for a, b in zip(x.tolist(), y.tolist(), strict=True)
    ]
    drawn.append(
        label(f"{x_name} (across), {y_name} (up)", frame.left + frame.width / 2, frame.bottom + 36, class_="name")
    )
    words = (
        f"{count(len(x), 'image')}; median {x_name} {_plain(float(np.median(x)))}, "
        f"median {y_name} {_plain(float(np.median(y)))}."
    )
    return chart(ident, WIDTH, frame.bottom + 44, title, words, *drawn)


def score_heaps(
    ident: str, title: str, normal: NDArray[np.floating], anomalies: NDArray[np.floating], threshold: float
) -> Markup:
    """Shares of normal images (above) and of anomalies (below) by score, and a line at the threshold. Either may be
    empty. The highest hundredth of the scores is drawn together.
    """
    both = np.concatenate([normal, anomalies])
    low, high = float(both.min()), float(np.quantile(both, 0.99))
    high = max(high, threshold) if np.isfinite(threshold) else high
    high = high if high > low else low + 1.0
    drawn: list[Markup] = []
    top = 14.0
    for name, style, scores in (("normal images", "val", normal), ("anomalies", "test", anomalies)):
        if not len(scores):
            continue
        counts, edges = np.histogram(np.clip(scores, low, high), bins=BINS, range=(low, high))
        heap = Frame(14, top, WIDTH - 28, 90, (low, high), (0, float(counts.max())))
        drawn += heap.bars(counts, edges, style)
        drawn.append(line(heap.left, heap.bottom, heap.right, heap.bottom, "axis"))
        drawn.append(label(f"{len(scores):,} {name}", heap.left + heap.width / 2, heap.bottom + 16, class_="name"))
        if np.isfinite(threshold) and low <= threshold <= high:
            drawn.append(line(heap.x(threshold), heap.top, heap.x(threshold), heap.bottom, "diagonal"))
        top = heap.bottom + 30
    above = [int((scores > threshold).sum()) for scores in (normal, anomalies)]
    words = (
        f"{count(above[0], 'normal image')} and {count(above[1], 'anomaly', 'anomalies')} "
        f"have scores above the threshold."
    )
    return chart(ident, WIDTH, top, title, words, *drawn)


def interval_bar(value: float, interval: tuple[float, float], reference: float | None = None) -> Markup:
    """A share with its interval on a track from 0 to 1; reference: another share, marked by a triangle."""
    frame = Frame(4, 0, 132, 16)
    drawn = [line(frame.left, 8, frame.right, 8, "track")]
    left, right = frame.x(interval[0]), frame.x(interval[1])
    drawn.append(element("rect", x=left, y=4, width=max(2.0, right - left), height=8, rx=2, class_="range"))
    drawn.append(line(frame.x(value), 2, frame.x(value), 14, "value"))
    if reference is not None:
        drawn.append(element("path", d=f"M{coordinate(frame.x(reference))},8l-3.5,6h7z", class_="reference"))
    return element("svg", *drawn, class_="interval", viewBox="0 0 140 16", aria_hidden="true")


def share_bar(shares: Sequence[tuple[str, float]]) -> Markup:
    """Shares side by side, each with its class in the style sheet, on a bar whose whole length is 1."""
    drawn, x = [], 0.0
    for style, share in shares:
        drawn.append(element("rect", x=x, y=0, width=200 * share, height=10, class_=f"bar {style}"))
        x += 200 * share
    return element("svg", *drawn, class_="share", viewBox="0 0 200 10", preserveAspectRatio="none", aria_hidden="true")


def percent0(value: float) -> str:
    """A share in whole percent."""
    return percent(value, 0)


def _value(value: float, shares: bool) -> str:
    return percent(value) if shares else f"{value:.3g}"


def _percent_words(values: Sequence[float]) -> Callable[[float], str]:
    """Percent with as many decimals as the steps between these values need."""
    step = 100 * (values[1] - values[0])
    decimals = 0 if abs(step - round(step)) < 1e-6 else 1
    return lambda v: f"{100 * v:.{decimals}f} %"


def _plain(value: float) -> str:
    return f"{value:g}"
