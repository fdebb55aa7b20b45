"""The page of an attack: robust accuracy against epsilon, the images that turned, and images that fool the model."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from clearsight.attacks import AttackCurve, Fooling
from clearsight.report.charts import percent0
from clearsight.report.pictures import data_uri
from clearsight.report.render import write_page
from clearsight.report.svg import Frame, chart, element, label, line, polyline, ticks
from clearsight.wording import percent

WIDTH = 640
MAGNIFIED = 10
"""Changes are drawn this many times as large, around gray."""


def write_attack_page(path: Path, found: AttackCurve, fooling: Fooling | None) -> None:
    """Write the page; it opens from disk and loads nothing."""
    examples = [
        {
            "before": f"{e.before} {percent(e.belief_before)}",
            "after": f"{e.after} {percent(e.belief_after)}",
            "epsilon": f"{e.epsilon:g}",
            "image": e.image,
            "pictures": [data_uri(e.pixels), data_uri(0.5 + MAGNIFIED * (e.attacked - e.pixels)), data_uri(e.attacked)],
        }
        for e in found.examples
    ]
    write_page(
        path,
        "attack.html",
        found=found,
        measure="the largest change of any pixel" if found.norm == "linf" else "the Euclidean length of all changes",
        plot=robust_chart(found),
        rows=[
            {
                "epsilon": f"{p.epsilon:g}",
                "accuracy": percent(p.accuracy),
                "interval": f"{percent(p.interval[0])} to {percent(p.interval[1])}",
                "reached": "" if p.reached is None else percent(p.reached),
            }
            for p in found.points
        ],
        examples=examples,
        magnified=MAGNIFIED,
        fooling=[
            {
                "name": name,
                "belief": percent(float(belief)),
                "uri": data_uri(pixels),
                "caught": fooling.strange is not None and bool(fooling.strange[k]),
            }
            for k, (name, belief, pixels) in enumerate(
                zip(fooling.classes, fooling.beliefs, fooling.pixels, strict=True)
            )
        ]
        if fooling
        else [],
        caught=""
        if fooling is None or fooling.strange is None
        else f"{int(fooling.strange[fooling.fooled].sum())} of the {int(fooling.fooled.sum())} that fool it",
    )


def robust_chart(found: AttackCurve) -> Markup:
    """Accuracy, with its interval, against epsilon; points stand at equal distances, as epsilons grow by factors."""
    y_ticks = ticks(0.0, 1.0)
    places = list(range(len(found.points)))
    frame = Frame(52, 14, WIDTH - 80, 240, (0, max(1, len(places) - 1)), (0.0, 1.0))
    drawn = frame.axes(places, y_ticks, lambda v: f"{found.points[round(v)].epsilon:g}", percent0)
    drawn.append(label("epsilon (steps drawn evenly)", frame.left + frame.width / 2, frame.bottom + 36, class_="name"))
    for place, p in zip(places, found.points, strict=True):
        x = frame.x(place)
        low, high = frame.y(p.interval[0]), frame.y(p.interval[1])
        drawn.append(line(x, low, x, high, "whisker"))
        words = f"epsilon {p.epsilon:g}: {percent(p.accuracy)} right"
        drawn.append(element("circle", element("title", words), cx=x, cy=frame.y(p.accuracy), r=4, class_="dot val"))
    drawn.append(
        polyline([(frame.x(i), frame.y(p.accuracy)) for i, p in zip(places, found.points, strict=True)], "curve val")
    )
    said = "; ".join(f"{p.epsilon:g}: {percent(p.accuracy)}" for p in found.points)
    return chart("robust", WIDTH, frame.bottom + 46, "Robust accuracy against epsilon", said, *drawn)
