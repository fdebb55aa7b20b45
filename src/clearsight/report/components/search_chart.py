"""The chart of a search for a head: accuracy over the setting of the chosen head, for each set of features."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from markupsafe import Markup

from clearsight.report.components.charts import WIDTH, percent0
from clearsight.report.components.svg import Frame, chart, element, label, line, polyline, ticks
from clearsight.train.head_search import Candidate
from clearsight.wording import count, percent


def search_curve(ident: str, candidates: Sequence[Candidate]) -> Markup | None:
    """Accuracy of candidates over the first setting of the best one, on a logarithmic axis. None where fewer than three
    values were tried.

    The blue line shows the features of the best candidate, gray lines show others with the same head. Of candidates
    that differ in their other settings, the best one counts.
    """
    best = max(candidates, key=lambda c: (c.accuracy, -c.log_loss), default=None)
    name = next((key for key, value in best.setting.items() if value > 0), None) if best else None
    if best is None or name is None:
        return None
    lines: dict[str, dict[float, float]] = defaultdict(dict)
    for c in candidates:
        if c.head == best.head and c.setting.get(name, 0) > 0:
            value = math.log10(c.setting[name])
            lines[c.features][value] = max(c.accuracy, lines[c.features].get(value, 0.0))
    values = sorted({value for found in lines.values() for value in found})
    if len(lines[best.features]) < 3:
        return None
    known = [accuracy for found in lines.values() for accuracy in found.values()]
    y_ticks = ticks(min(known), max(max(known), min(known) + 0.01))
    low, high = math.floor(values[0] + 1e-9), math.ceil(values[-1] - 1e-9)
    frame = Frame(56, 14, WIDTH - 72, 212, (low, max(high, low + 1)), (y_ticks[0], y_ticks[-1]))
    fine = y_ticks[1] - y_ticks[0] < 0.0099
    drawn = frame.axes(
        list(range(low, max(high, low + 1) + 1)), y_ticks, lambda v: f"1e{v:g}", percent if fine else percent0
    )
    x_best = frame.x(math.log10(best.setting[name]))
    drawn.append(line(x_best, frame.top, x_best, frame.bottom, "best"))
    for features, found in sorted(lines.items(), key=lambda item: item[0] == best.features):
        points = [(frame.x(v), frame.y(found[v])) for v in sorted(found)]
        style = "val" if features == best.features else "each"
        drawn.append(element("g", element("title", features), polyline(points, f"curve {style}")))
    drawn.append(element("circle", cx=x_best, cy=frame.y(best.accuracy), r=4, class_="dot val"))
    drawn.append(label(name, frame.left, frame.bottom + 36, "start", "name"))
    drawn.append(label(f"chosen: {best.setting[name]:.3g}", frame.right, frame.bottom + 36, "end", "mark"))
    words = (
        f"{best.head}: {count(len(values), 'value')} of {name} with {count(len(lines), 'set')} of features. Best: "
        f"{percent(best.accuracy)} with {name} {best.setting[name]:.3g} on {best.features}."
    )
    return chart(ident, WIDTH, frame.bottom + 44, "Head search", words, *drawn)
