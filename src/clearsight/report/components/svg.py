"""SVG elements as escaped text, and the frame that maps a chart's values to its coordinates.

Charts carry classes instead of colours; the page's style sheet knows the colours of light, dark and print.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray


def element(tag: str, /, *inside: str, **attributes: str | float) -> Markup:
    """One element: `element("text", "a < b", x=3, text_anchor="end")`; `class_` and underscores are spelled as in SVG.

    Plain strings inside are escaped, elements are not escaped again.
    """
    words = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(value if isinstance(value, str) else coordinate(value))}"'
        for name, value in attributes.items()
    )
    content = Markup("").join(inside)
    return Markup(f"<{tag}{words}>{content}</{tag}>") if content else Markup(f"<{tag}{words}/>")


def coordinate(value: float) -> str:
    """A number with at most two decimals."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def chart(ident: str, width: float, height: float, title: str, description: str, *inside: Markup) -> Markup:
    """A whole picture, named and described for those who hear it. ident: unique on the page."""
    return element(
        "svg",
        element("title", title, id=f"{ident}-title"),
        element("desc", description, id=f"{ident}-desc"),
        *inside,
        class_="chart",
        viewBox=f"0 0 {coordinate(width)} {coordinate(height)}",
        role="img",
        aria_labelledby=f"{ident}-title {ident}-desc",
    )


def polyline(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """A line through points."""
    return element("polyline", points=" ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in points), class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def label(text: str, x: float, y: float, anchor: str = "middle", class_: str = "tick") -> Markup:
    """A line of text."""
    return element("text", text, x=x, y=y, text_anchor=anchor, class_=class_)


@dataclass(frozen=True)
class Frame:
    """A rectangle on the page and the range of values it shows; y values grow upwards, y coordinates downwards."""

    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float] = (0.0, 1.0)
    y_range: tuple[float, float] = (0.0, 1.0)

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def x(self, value: float) -> float:
        """Coordinate of a value on the x axis."""
        low, high = self.x_range
        return self.left + self.width * (value - low) / (high - low)

    def y(self, value: float) -> float:
        """Coordinate of a value on the y axis."""
        low, high = self.y_range
        return self.bottom - self.height * (value - low) / (high - low)

    def axes(
        self,
        x_ticks: Sequence[float],
        y_ticks: Sequence[float],
        x_words: Callable[[float], str],
        y_words: Callable[[float], str],
    ) -> list[Markup]:
        """Grid lines with their values, and the base line."""
        drawn = [line(self.left, self.y(v), self.right, self.y(v), "grid") for v in y_ticks]
        drawn += [label(y_words(v), self.left - 7, self.y(v) + 4, "end") for v in y_ticks]
        drawn += [line(self.x(v), self.bottom, self.x(v), self.bottom + 4, "axis") for v in x_ticks]
        drawn += [label(x_words(v), self.x(v), self.bottom + 17) for v in x_ticks]
        drawn.append(line(self.left, self.bottom, self.right, self.bottom, "axis"))
        return drawn

    def key(self, place: int, name: str, style: str) -> list[Markup]:
        """The name of a curve above the chart, beside a piece of its line. place: 0, 1, ... from the left."""
        x = self.left + 110 * place
        return [polyline([(x, 12), (x + 22, 12)], f"curve {style}"), label(name, x + 28, 16, "start", "name")]

    def bars(self, counts: NDArray[np.integer], edges: NDArray[np.floating], style: str) -> list[Markup]:
        """A histogram: counts (B,) between edges (B + 1,)."""
        sides = zip(counts, edges[:-1], edges[1:], strict=True)
        places = [(self.x(a) + 0.5, self.y(float(n)), self.x(b) - self.x(a) - 1) for n, a, b in sides]
        return [
            element("rect", x=x, y=y, width=width, height=self.bottom - y, class_=f"bar {style}")
            for x, y, width in places
        ]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values, 1, 2 or 5 times a power of ten apart, that enclose `low` and `high`."""
    if not high > low:
        high = low + 1
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]
