"""What the page of a run that continues another says about both: gains and losses of each class."""

from __future__ import annotations

from clearsight.evaluation.run_comparison import RunComparison, ScoreChange
from clearsight.tasks.sections import Column, Section, Table, Text
from clearsight.wording import count, percent

TITLE = "Comparison with the earlier run"


def comparison_section(found: RunComparison) -> Section:
    """The section: the change on all images, and a row for each class that the older run knew."""
    ident = "from"
    changes = found.changes
    data = (
        f"This run continues `{found.run}`. Changes to the data since that run: {count(changes['new'], 'new image')}, "
        f"{changes['relabelled']:,} relabelled and {changes['gone']:,} removed."
    )
    moved = [f"{old} -> {new}" for old, new in changes["names_renamed"].items()]
    for word, names in (
        ("New", changes["names_added"]), ("Renamed or merged", moved), ("Removed", changes["names_removed"]),
    ):  # fmt: skip
        if names:
            data += f" {word}: {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}."
    if found.overall is None:
        return Section(ident, TITLE, (Text(data), Text(f"{found.scope[0].upper()}{found.scope[1:]}.")))
    words = f"{found.scope[0].upper()}{found.scope[1:]}: **{found.overall.words(found.share)}**. "
    words += "The range in parentheses is the 95 % interval."
    pieces: tuple[Text | Table, ...] = (Text(data), Text(words))
    if found.classes:
        columns = (
            "Class",
            "Images",
            "Before",
            "Now",
            "Change",
            Column("95 % interval", "words"),
            "Gained",
            "Lost",
            "p",
        )
        rows = tuple(change_row(found.title_of(row.name), row, found.share) for row in found.classes)
        caption = (
            "Both models are evaluated on the same images with their current labels. Gained: images that only the new "
            "model predicts correctly. Lost: images that only the old model predicts correctly. The p-values are "
            "corrected for the number of classes [Holm 1979]."
        )
        pieces = (*pieces, Table(columns, rows, caption))
    return Section(ident, TITLE, pieces)


def change_row(title: str, row: ScoreChange, share: bool) -> tuple[str, ...]:
    """A class: its images, both scores, the change with its interval, images gained and lost, and the p-value."""
    shown = percent if share else "{:.4g}".format
    low, high = row.interval
    return (
        title, f"{row.n:,}", shown(row.before), shown(row.after), f"{100 * row.difference:+.1f} points",
        f"{100 * low:+.1f} to {100 * high:+.1f} points", str(row.gained), str(row.lost), f"{row.p_value:.2g}",
    )  # fmt: skip
