"""The page of a robustness report: accuracy against each change, one image under all, groups, sensitivity."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from markupsafe import Markup

from clearsight.disk import read_within, whole_file
from clearsight.evaluation.robustness import KNOWN, LOST, RobustnessReport
from clearsight.report.components.charts import percent0
from clearsight.report.components.pictures import data_uri
from clearsight.report.components.svg import Frame, chart, element, label, line, polyline, ticks
from clearsight.report.figures import new_figure, whiskers
from clearsight.report.render import environment
from clearsight.report.renderer import Renderer
from clearsight.wording import count, percent, points

CLUSTERS = 8


class RobustnessRenderer(Renderer[RobustnessReport]):
    """Accuracy under each change, with one image under all of them."""

    template, page, numbers = "robustness.html", "robustness.html", "robustness.json"

    def write(self, folder: Path) -> Path:
        page = super().write(folder)
        report = self.result.run and self.result.run / "report.html"
        if report and report.is_file():
            add_to_report(report, self.result, os.path.relpath(page, report.parent))
        return page

    def values(self) -> dict[str, Any]:
        card = self.result
        return {
            "name": card.name,
            **_facts(card),
            "rows": [_row(card, number, change) for number, change in enumerate(card.rows)],
            "clusters": [
                {
                    "label": c.label,
                    "images": c.images,
                    "accuracy": percent(c.accuracy),
                    "interval": f"{percent(c.interval[0])} to {percent(c.interval[1])}",
                    "names": ", ".join(c.names),
                }
                for c in card.clusters[:CLUSTERS]
            ],
            "more": max(0, len(card.clusters) - CLUSTERS),
        }

    def figure(self) -> Any:
        """Accuracy against each change, four charts a row."""
        card = self.result
        columns = min(4, len(card.rows))
        figure, grid = new_figure(columns, -(-len(card.rows) // columns), width=3.2, height=2.6)
        for axes, (change, steps) in zip(grid, card.rows.items(), strict=False):
            kind = KNOWN.get(change)
            amounts = [kind.none if kind else 0.0, *(s.amount for s in steps)]
            intervals = [card.interval, *(s.interval for s in steps)]
            whiskers(axes, amounts, [card.accuracy, *(s.accuracy for s in steps)], intervals)
            axes.set(title=change, ylim=(0, 1), ylabel="accuracy")
        for axes in grid[len(card.rows) :]:
            axes.set_axis_off()
        return figure


def _row(card: RobustnessReport, number: int, change: str) -> dict[str, Any]:
    """What the page shows of one change."""
    return {
        **_verdict(card, change),
        "plot": change_chart(f"change-{number}", card, change),
        "steps": [
            {
                "amount": f"{s.amount:g}",
                "accuracy": percent(s.accuracy),
                "interval": f"{percent(s.interval[0])} to {percent(s.interval[1])}",
                "consistency": percent(s.consistency),
                "flagged": "" if s.flagged is None else percent(s.flagged),
            }
            for s in card.rows[change]
        ],
        "strip": [
            {"uri": data_uri(pixels), "answer": answer, "alt": f"{change}, step {step}" if step else "unchanged"}
            for step, (pixels, answer) in enumerate(card.examples[change])
        ],
    }


def add_to_report(report: Path, card: RobustnessReport, link: str) -> bool:
    """Write the verdicts into a run's report, replacing earlier ones; False if the page has no section for them. link:
    to the whole robustness report. OSError when the disk refuses.
    """
    text = read_within(report.parent, report.name).decode()
    start, end = text.find(START), text.find(END)
    if start < 0 or end < start:
        return False
    rows = [_verdict(card, change) for change in card.rows]
    summary = environment().get_template("robustness_summary.html").render(**_facts(card), rows=rows, link=link)
    with whole_file(report) as stream:
        stream.write((text[: start + len(START)] + summary + text[end:]).encode(errors="replace"))
    return True


START, END = "<!-- card -->", "<!-- /card -->"
"""The comments around the section of the verdicts in a report."""


def _verdict(card: RobustnessReport, change: str) -> dict[str, Any]:
    """One row of the overview."""
    steps, fails = card.rows[change], card.fails[change]
    worst = steps[-1].confusion
    amount = f" ({steps[fails - 1].amount:g})" if fails and change in KNOWN else ""
    return {
        "name": change,
        "words": KNOWN[change].words if change in KNOWN else "these changes combined, each at the same step",
        "fails": f"fails at step {fails} of 5{amount}" if fails else "passes all steps",
        "failed": fails is not None,
        "confusion": f"at the last step: {worst[0]} predicted as {worst[1]} ({count(worst[2], 'image')})"
        if worst
        else "",
    }


def _facts(card: RobustnessReport) -> dict[str, Any]:
    """What page and summary both say."""
    return {
        "images": f"{card.images:,}",
        "accuracy": percent(card.accuracy),
        "interval": f"{percent(card.interval[0])} to {percent(card.interval[1])}",
        "lost": points(LOST),
        "corruption_error": None if card.mean_corruption_error is None else percent(card.mean_corruption_error),
        "sensitivity": [
            {
                "edit": s.edit,
                "images": s.images,
                "changed": percent(s.changed),
                "interval": f"{percent(s.interval[0])} to {percent(s.interval[1])}",
            }
            for s in card.sensitivity
        ],
    }


def change_chart(ident: str, card: RobustnessReport, change: str) -> Markup:
    """Accuracy with its interval, and consistency, without the change and at its five steps, which stand where their
    amounts do; of several changes at once, at equal distances.
    """
    steps, kind = card.rows[change], KNOWN.get(change)
    amounts = [kind.none if kind else 0.0, *(s.amount for s in steps)]
    frame = Frame(46, 12, 300, 130, (amounts[0], amounts[-1]), (0.0, 1.0))
    drawn = frame.axes(amounts, ticks(0.0, 1.0), lambda v: f"{v:g}", percent0)
    drawn.append(label(kind.words if kind else "step", frame.left + 150, frame.bottom + 35, class_="name"))
    accuracy = [(card.accuracy, card.interval), *((s.accuracy, s.interval) for s in steps)]
    for amount, (value, (low, high)) in zip(amounts, accuracy, strict=True):
        x = frame.x(amount)
        drawn.append(line(x, frame.y(low), x, frame.y(high), "whisker"))
        words = f"{amount:g}: accuracy {percent(value)}"
        drawn.append(element("circle", element("title", words), cx=x, cy=frame.y(value), r=3.5, class_="dot val"))
    places = [frame.x(amount) for amount in amounts]
    drawn.append(polyline([(x, frame.y(v)) for x, (v, _) in zip(places, accuracy, strict=True)], "curve val"))
    same = [1.0, *(s.consistency for s in steps)]
    drawn.append(polyline([(x, frame.y(v)) for x, v in zip(places, same, strict=True)], "curve train"))
    description = "; ".join(f"{s.amount:g}: accuracy {percent(s.accuracy)}" for s in steps)
    return chart(ident, 366, frame.bottom + 42, f"Accuracy under {change}", description, *drawn)
