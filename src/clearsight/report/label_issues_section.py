"""What the page says of label issues, their table, and the contact sheet beside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clearsight.data.displayed import displayed
from clearsight.data.prepare import Prepared
from clearsight.disk import write_table
from clearsight.report.components.label_issues import issue_cards
from clearsight.report.components.pictures import eight_bits, picture
from clearsight.report.drawings import save_picture
from clearsight.report.tiles import Row, Tile, tile_sheet
from clearsight.tasks.sections import Cards
from clearsight.train.fit import Fitted
from clearsight.train.label_issues import LabelIssue, LabelIssues
from clearsight.wording import count, percent, probability

SHOWN = 24
"""Pictures of label issues on the page, at most."""

ON_SHEET = 120
"""Pictures of label issues on the contact sheet, and pairs of duplicates, at most."""

SIDE = 120
"""Longest side of a picture in pixels."""

TABLE, SHEET = "label_issues.csv", "label_issues.png"


@dataclass(frozen=True)
class LabelIssuesSection:
    """Labels that are probably wrong. more: those not shown. confused: pairs of classes, in words. conflicts: pairs of
    duplicates with different labels; sheet: the name of the contact sheet, "" without one.
    """

    words: str
    meaning: str
    cards: Cards
    more: int
    confused: tuple[str, ...]
    conflicts: tuple[dict[str, Any], ...]
    sheet: str


def label_issues_section(fitted: Fitted) -> LabelIssuesSection | None:
    """Collect the section; None where labels were not examined."""
    issues = fitted.label_issues
    if issues is None:
        return None
    cards = issue_cards(issues)
    conflicts = tuple(
        {
            "pictures": [picture(fitted.prepared, i, SIDE, name) for i, name in zip(c.indices, c.images, strict=True)],
            "words": f"{c.images[0]}: {c.labels[0]}; {c.images[1]}: {c.labels[1]}"
            + (" (identical pixels)" if c.exact else " (near duplicates)"),
        }
        for c in issues.conflicts[:SHOWN]
    )
    confused = tuple(
        f"{a} and {b}: {pair.confused:,} of {count(pair.images, 'image')} ({percent(pair.confused / pair.images)})"
        for pair in issues.confused
        for a, b in [pair.classes]
    )
    sheet = SHEET if issues.found or issues.conflicts else ""
    meaning = fitted.bundle.task.words_used.issues_meaning if issues.found else ""
    more = len(issues.found) - len(cards.cards)
    return LabelIssuesSection(issues.summary(), meaning, cards, more, confused, conflicts, sheet)


def write_label_issues(folder: Path, prepared: Prepared, issues: LabelIssues) -> None:
    """The table of label issues, and the contact sheet if there is something to show."""
    write_table(folder / TABLE, [asdict(s) for s in issues.found], [f.name for f in fields(LabelIssue)])
    if issues.found or issues.conflicts:
        save_picture(label_issues_sheet(prepared, issues), folder / SHEET)


def label_issues_sheet(prepared: Prepared, issues: LabelIssues) -> NDArray[np.float64]:
    """The images whose labels may be wrong, and duplicates with different labels, as one picture (H, W, 3)."""
    rows = []
    if issues.found:
        some = issues.found[:ON_SHEET]
        rows.append(
            Row(
                f"{count(len(issues.found), 'label')} that may be wrong"
                + (f" (first {len(some)} shown)" if len(some) < len(issues.found) else ""),
                [
                    Tile(
                        _colours(prepared, s.index), (s.label, f"suggested: {s.suggested}" + _wrong(s, ", {}"), s.image)
                    )
                    for s in some
                ],
                "below each image: label; suggested class and probability that the label is wrong; file name",
            )
        )
    if issues.conflicts:
        tiles = [
            Tile(_colours(prepared, i), (label, name))
            for c in issues.conflicts[: ON_SHEET // 2]
            for i, label, name in zip(c.indices, c.labels, c.images, strict=True)
        ]
        rows.append(Row("Duplicates with different labels", tiles, "each pair is shown side by side"))
    return tile_sheet(rows, side=SIDE)


def _wrong(issue: LabelIssue, words: str) -> str:
    """How probably the label is wrong, in words with a place for it; "" where that is not known."""
    return "" if issue.probability_wrong is None else words.format(probability(issue.probability_wrong))


def _colours(prepared: Prepared, index: int) -> NDArray[np.float64]:
    """An image of the data (H, W, 3) in [0, 1], no larger than a tile."""
    image = Image.fromarray(eight_bits(displayed(prepared.pixels.array[index], prepared.form.shown))).convert("RGB")
    image.thumbnail((2 * SIDE, 2 * SIDE))
    return np.asarray(image) / 255
