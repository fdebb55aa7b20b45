"""The page of a comparison: the models ranked, accuracy against time per image, and the recommendation."""

from __future__ import annotations

import math
from typing import Any

from markupsafe import Markup

from clearsight.evaluation.leaderboard import APART, Leaderboard, Standing
from clearsight.report.components.charts import interval_bar
from clearsight.report.components.svg import Frame, chart, element, label, ticks
from clearsight.report.figures import interval_bars
from clearsight.report.renderer import Renderer
from clearsight.wording import count, percent, short_duration, size_words

WIDTH = 720


class LeaderboardRenderer(Renderer[Leaderboard]):
    """The ranking, what accuracy costs, and what to use."""

    template, page, numbers = "leaderboard.html", "leaderboard.html", "comparison.json"

    def values(self) -> dict[str, Any]:
        found = self.result
        rows = [
            {
                "place": place,
                "name": s.name,
                "folder": s.folder,
                "used": s.name == found.advice,
                "val": percent(s.val_accuracy),
                "test": percent(s.test_accuracy),
                "interval": f"{percent(s.test_interval[0])} to {percent(s.test_interval[1])}",
                "bar": interval_bar(s.test_accuracy, s.test_interval),
                "apart": s.apart_words(found.standings[0]),
                "train": short_duration(s.train_seconds),
                "image": short_duration(s.image_seconds),
                "size": size_words(s.size),
            }
            for place, s in enumerate(found.standings, 1)
        ]
        images = ", ".join(f"{n:,} {part}" for part, n in found.images.items())
        return {
            "name": found.name,
            "summary": f"{count(len(rows), 'model')} trained on the same split ({images} images), ranked by "
            "validation accuracy. The test images were used once, after all models had been trained.",
            "advice": found.advice,
            "why": found.why,
            "plot": leaderboard_chart(found.standings, found.advice),
            "rows": rows,
            "failed": found.failed,
            "level": APART,
        }

    def figure(self) -> Any:
        """Test accuracy, with its interval, of each model in the order of the ranking."""
        ranked = self.result.standings
        return interval_bars(
            [s.name for s in ranked], [s.test_accuracy for s in ranked], [s.test_interval for s in ranked],
            "test accuracy, 95 % interval",
        )  # fmt: skip


def leaderboard_chart(standings: tuple[Standing, ...], advice: str) -> Markup:
    """Test accuracy, with its interval, against the time per image on a logarithmic axis."""
    times = [math.log10(max(s.image_seconds, 1e-7)) for s in standings]
    low, high = math.floor(min(times)), math.ceil(max(times))
    high = high if high > low else low + 1
    y_ticks = ticks(min(s.test_interval[0] for s in standings), max(s.test_interval[1] for s in standings))
    frame = Frame(52, 14, WIDTH - 220, 300, (low, high), (y_ticks[0], y_ticks[-1]))
    drawn = frame.axes(list(range(low, high + 1)), y_ticks, lambda v: short_duration(10**v), percent)
    drawn.append(label("time per image", frame.left + frame.width / 2, frame.bottom + 38, class_="name"))
    taken: list[float] = []
    for s, time in sorted(zip(standings, times, strict=True), key=lambda pair: -pair[0].test_accuracy):
        x, y = frame.x(time), frame.y(s.test_accuracy)
        bottom, top = frame.y(s.test_interval[0]), frame.y(s.test_interval[1])
        drawn.append(element("line", x1=x, y1=bottom, x2=x, y2=top, class_="grid"))
        style = "dot val" if s.name == advice else "dot train"
        words = f"{s.name}: {percent(s.test_accuracy)} at {short_duration(s.image_seconds)} per image"
        drawn.append(element("circle", element("title", words), cx=x, cy=y, r=5, class_=style))
        place = y + 4
        while any(abs(place - other) < 14 for other in taken):
            place += 2
        taken.append(place)
        drawn.append(element("line", x1=x + 6, y1=y, x2=frame.right + 8, y2=place - 4, class_="grid"))
        drawn.append(label(s.name, frame.right + 12, place, "start", "name" if s.name == advice else "tick"))
    described = "; ".join(f"{s.name} {percent(s.test_accuracy)}" for s in standings)
    height = max(frame.bottom + 46, max(taken) + 10)
    return chart("leaderboard", WIDTH, height, "Accuracy against time", described, *drawn)
