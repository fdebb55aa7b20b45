"""The page of an attack: robust accuracy against epsilon, the images that turned, and images that fool the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from clearsight.attacks import AttackCurve, AttackReport
from clearsight.data.displayed import displayed
from clearsight.report.components.charts import percent0
from clearsight.report.components.pictures import data_uri
from clearsight.report.components.svg import Frame, chart, element, label, line, polyline, ticks
from clearsight.report.figures import new_figure, whiskers
from clearsight.report.renderer import Renderer
from clearsight.wording import count, percent, probability

WIDTH = 640
MAGNIFIED = 10
"""Changes are drawn this many times as large, around gray."""


class AttackRenderer(Renderer[AttackReport]):
    """The curve, images whose prediction changed, and fooling images."""

    template, page, numbers = "attack.html", "attack.html", "attack.json"

    def files(self) -> tuple[str, ...]:
        return (*super().files(), *(["fooling.npz"] if self.result.fooling else []))

    def write(self, folder: Path) -> Path:
        if fooling := self.result.fooling:
            np.savez_compressed(folder / "fooling.npz", pixels=fooling.pixels, probabilities=fooling.probabilities)
        return super().write(folder)

    def values(self) -> dict[str, Any]:
        found, fooling = self.result.curve, self.result.fooling
        return {
            "found": found,
            "single": _single(self.result),
            "measure": "the maximum change in any pixel value"
            if found.norm == "linf"
            else "the maximum Euclidean norm of the change",
            "plot": robust_chart(found),
            "rows": [
                {
                    "epsilon": f"{p.epsilon:g}",
                    "accuracy": percent(p.accuracy),
                    "interval": f"{percent(p.interval[0])} to {percent(p.interval[1])}",
                    "reached": "" if p.reached is None else percent(p.reached),
                }
                for p in found.points
            ],
            "examples": _examples(found),
            "magnified": MAGNIFIED,
            "fooling": [
                {
                    "name": name,
                    "probability": probability(float(confidence)),
                    "uri": data_uri(displayed(pixels, fooling.shown)),
                    "caught": fooling.is_ood is not None and bool(fooling.is_ood[k]),
                }
                for k, (name, confidence, pixels) in enumerate(
                    zip(fooling.classes, fooling.probabilities, fooling.pixels, strict=True)
                )
            ]
            if fooling
            else [],
            "caught": ""
            if fooling is None or fooling.is_ood is None
            else f"{int(fooling.is_ood[fooling.fooled].sum())} of {count(int(fooling.fooled.sum()), 'image')} "
            f"whose probability is at least {percent(fooling.confidence, 0)}",
        }

    def figure(self) -> Any:
        """Robust accuracy against epsilon; points stand at equal distances."""
        found = self.result.curve
        figure, (axes,) = new_figure()
        places = list(range(len(found.points)))
        whiskers(axes, places, [p.accuracy for p in found.points], [p.interval for p in found.points])
        axes.set_xticks(places, [f"{p.epsilon:g}" for p in found.points])
        axes.set(xlabel=f"epsilon ({found.norm})", ylabel="robust accuracy", ylim=(0, 1), title=found.method)
        return figure


def _single(found: AttackReport) -> list[dict[str, str]]:
    """What the model predicts of the only image, as it is and at each epsilon; nothing where there were several."""
    if not found.single:
        return []
    rows = [(0.0, found.single[0].before), *((one.epsilon, one.after) for one in found.single)]
    return [{"epsilon": f"{e:g}", "label": p.label, "probability": probability(p.probability)} for e, p in rows]


def _examples(found: AttackCurve) -> list[dict[str, Any]]:
    """Images before and after the attack."""
    return [
        {
            "before": f"{e.before} {probability(e.probability_before)}",
            "after": f"{e.after} {probability(e.probability_after)}",
            "epsilon": f"{e.epsilon:g}",
            "image": e.image,
            "pictures": [
                (data_uri(displayed(pixels, found.shown)), f"{e.image}, {what}")
                for pixels, what in (
                    (e.pixels, "before the attack"),
                    (0.5 + MAGNIFIED * (e.attacked - e.pixels), "the change caused by the attack"),
                    (e.attacked, "after the attack"),
                )
            ],
        }
        for e in found.examples
    ]


def robust_chart(found: AttackCurve) -> Markup:
    """Accuracy, with its interval, against epsilon; points stand at equal distances, as epsilons grow by factors."""
    y_ticks = ticks(0.0, 1.0)
    places = list(range(len(found.points)))
    frame = Frame(52, 14, WIDTH - 80, 240, (0, max(1, len(places) - 1)), (0.0, 1.0))
    drawn = frame.axes(places, y_ticks, lambda v: f"{found.points[round(v)].epsilon:g}", percent0)
    drawn.append(label("epsilon (not to scale)", frame.left + frame.width / 2, frame.bottom + 36, class_="name"))
    for place, p in zip(places, found.points, strict=True):
        x = frame.x(place)
        low, high = frame.y(p.interval[0]), frame.y(p.interval[1])
        drawn.append(line(x, low, x, high, "whisker"))
        words = f"epsilon {p.epsilon:g}: accuracy {percent(p.accuracy)}"
        drawn.append(element("circle", element("title", words), cx=x, cy=frame.y(p.accuracy), r=4, class_="dot val"))
    drawn.append(
        polyline([(frame.x(i), frame.y(p.accuracy)) for i, p in zip(places, found.points, strict=True)], "curve val")
    )
    description = "; ".join(f"{p.epsilon:g}: {percent(p.accuracy)}" for p in found.points)
    return chart("robust", WIDTH, frame.bottom + 46, "Robust accuracy against epsilon", description, *drawn)
