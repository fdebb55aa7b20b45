"""The chart of how scores of normal images and of anomalies lie, and where alarms begin."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from clearsight.report.charts import WIDTH
from clearsight.report.svg import Frame, chart, element, label, line
from clearsight.wording import count

BINS = 30


def score_heaps(
    ident: str, title: str, normal: NDArray[np.floating], strange: NDArray[np.floating], threshold: float
) -> Markup:
    """Shares of normal images (above) and of anomalies (below) by score, and a line at the threshold. Either may be
    empty. The highest hundredth of the scores is drawn together.
    """
    both = np.concatenate([normal, strange])
    low, high = float(both.min()), float(np.quantile(both, 0.99))
    high = max(high, threshold) if np.isfinite(threshold) else high
    high = high if high > low else low + 1.0
    drawn, top = [], 14.0
    for name, style, scores in (("normal images", "val", normal), ("anomalies", "test", strange)):
        if not len(scores):
            continue
        counts, edges = np.histogram(np.clip(scores, low, high), bins=BINS, range=(low, high))
        heap = Frame(14, top, WIDTH - 28, 90, (low, high), (0, float(counts.max())))
        for n, a, b in zip(counts, edges[:-1], edges[1:], strict=True):
            y = heap.y(float(n))
            drawn.append(
                element("rect", x=heap.x(a) + 0.5, y=y, width=heap.x(b) - heap.x(a) - 1, height=heap.bottom - y,
                        class_=f"bar {style}")
            )  # fmt: skip
        drawn.append(line(heap.left, heap.bottom, heap.right, heap.bottom, "axis"))
        drawn.append(label(f"{len(scores):,} {name}", heap.left + heap.width / 2, heap.bottom + 16, class_="name"))
        if np.isfinite(threshold) and low <= threshold <= high:
            drawn.append(line(heap.x(threshold), heap.top, heap.x(threshold), heap.bottom, "diagonal"))
        top = heap.bottom + 30
    above = [int((scores > threshold).sum()) for scores in (normal, strange)]
    words = f"{count(above[0], 'normal image')} and {count(above[1], 'anomaly', 'anomalies')} lie above the line."
    return chart(ident, WIDTH, top, title, words, *drawn)
