"""The page that compares runs: which is better and by how much, what differs, and the images on which they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from clearsight.evaluation.run_comparison import ScoreChange
from clearsight.evaluation.several_runs import EXAMPLES, ChangedImage, ComparedRun, RunsComparison
from clearsight.report.comparison_section import change_row
from clearsight.report.components.pictures import Thumbnail
from clearsight.report.figures import interval_bars
from clearsight.report.renderer import SectionsRenderer
from clearsight.tasks.sections import Card, Cards, Cell, Column, Piece, Section, Table, Tile
from clearsight.wording import count, duration, percent

GROUPS = ((1, "Better"), (-1, "Worse"), (0, "Different, and equally good or bad"))
"""Images whose prediction changed, by the sign of the gain."""

SCORES = {
    "n": "images", "ece": "calibration error (ECE)", "auroc": "AUROC", "brier": "Brier score", "f1": "F1",
    "top5": "top-5 accuracy", "frequencies": "of the class frequencies", "uncalibrated": "before calibration",
}  # fmt: skip
"""Words of the names of scores, where they are abbreviated."""


class RunsComparisonRenderer(SectionsRenderer[RunsComparison]):
    """Each run against the first."""

    page, numbers, title = "comparison.html", "comparison.json", "Comparison of runs"

    def thumbnail(self, card: Card) -> Thumbnail | None:
        return self.result.pictures.get(card.index)

    def verdict(self) -> str:
        return " ".join(map(self._sentence, self.result.runs[1:]))

    def _sentence(self, run: ComparedRun) -> str:
        """Whether a run is better than the first, in words."""
        change, first = run.change, self.result.runs[0].name
        assert change is not None
        low, high = change.interval
        word = "is better than" if low > 0 else "is worse than" if high < 0 else "does not differ clearly from"
        return (
            f"**{run.name}** {word} **{first}**: {self.result.score} {self._difference(change)}, "
            f"p = {change.p_value:.2g}, on {count(change.n, f'test {self.result.thing}')} that no run was trained on."
        )

    def _difference(self, change: ScoreChange) -> str:
        low, high = change.interval
        if not self.result.share:
            return f"{change.difference:+.3g} (95 % interval {low:+.3g} to {high:+.3g})"
        return f"{100 * change.difference:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f})"

    def tiles(self) -> Sequence[Tile]:
        return [self._tile(run) for run in self.result.runs]

    def _tile(self, run: ComparedRun) -> Tile:
        value = self._value(run)
        shown = percent(value) if self.result.share else f"{value:.4g}"
        trained = "" if run.seconds is None else f", trained in {duration(run.seconds)}"
        better = "the run that the others are compared with"
        if run.change is not None:
            gained, lost = f"{run.change.gained:,} better", f"{run.change.lost:,} worse"
            better = f"{gained} and {lost} predictions than {self.result.runs[0].name}"
        return Tile(run.name, shown, f"{self.result.score}; {better}. Model {run.model}{trained}")

    def _value(self, run: ComparedRun) -> float:
        change = run.change or self.result.runs[1].change
        assert change is not None
        return change.after if run.change is not None else change.before

    def sections(self) -> Sequence[Section]:
        return list(self._sections())

    def _sections(self) -> Iterator[Section]:
        names = [run.name for run in self.result.runs]
        if self.result.differences:
            columns: tuple[str | Column, ...] = ("What differs", *(Column(name, "words") for name in names))
            rows: tuple[tuple[str | Cell, ...], ...] = tuple(
                (name, *map(Cell, values)) for name, values in self.result.differences.items()
            )
            yield Section("differences", "What differs", (Table(columns, rows, sortable=False),))
        yield Section("changed", "Images whose prediction changed", tuple(self._changed()), link="Changed images")
        yield Section("scores", "All scores", tuple(self._scores(names)))
        for number, run in enumerate(self.result.runs[1:], 1):
            if run.classes:
                title = f"Class by class: {run.name} against {names[0]}"
                yield Section(f"classes-{number}", title, (_classes(run, names[0]),))
        for number, run in enumerate(self.result.runs):
            for place, (title, piece) in enumerate(run.evaluation.report(self.result.thing).charted()):
                yield Section(f"charts-{number}-{place}", f"{title}: {run.name}", (piece,))

    def _changed(self) -> Iterator[Piece]:
        for number, run in enumerate(self.result.runs[1:], 1):
            of_run = [image for image in self.result.changed if image.run == number]
            for sign, word in GROUPS:
                some = [image for image in of_run if image.sign == sign]
                if some:
                    shown = [image for image in some if image.index in self.result.pictures][:EXAMPLES]
                    words = f"**{word} with {run.name}**: {count(len(some), 'prediction')}"
                    words += f", of which {len(shown)} are shown." if len(shown) < len(some) else "."
                    yield Cards(tuple(self._card(image) for image in shown), words, wrong=False)
            if not of_run:
                yield Cards((), none=f"All predictions of {run.name} are those of {self.result.runs[0].name}.")

    def _card(self, image: ChangedImage) -> Card:
        first, second = self.result.runs[0].name, self.result.runs[image.run].name
        before, after = image.notes
        lines = (("label", image.label), (first, image.before), (before, ""), (second, image.after), (after, ""))
        return Card(image.index, image.image, lines)

    def _scores(self, names: Sequence[str]) -> Iterator[Table]:
        """Every number that all evaluations have."""
        found = [run.evaluation.summary() for run in self.result.runs]
        common = [
            name
            for name, value in found[0].items()
            if all(_number(each.get(name)) for each in found) and _number(value)
        ]
        rows = tuple((_title(name), *(_shown(each[name]) for each in found)) for name in common)
        yield Table(("Score", *names), rows, "All runs are evaluated on the same images.", sortable=False)

    def figure(self) -> Any:
        """The difference of each run to the first, with its interval."""
        changes = [run.change for run in self.result.runs[1:] if run.change is not None]
        return interval_bars(
            [run.name for run in self.result.runs[1:]], [c.difference for c in changes], [c.interval for c in changes],
            f"{self.result.score} less that of {self.result.runs[0].name}, 95 % interval",
        )  # fmt: skip


def _classes(run: ComparedRun, first: str) -> Table:
    columns = ("Class", "Images", first, run.name, "Change", Column("95 % interval", "words"), "Better", "Worse", "p")
    rows = tuple(change_row(row.name, row, True) for row in run.classes)
    return Table(columns, rows, "The p-values are corrected for the number of classes [Holm 1979].")


def _title(name: str) -> str:
    """The name of a score in words."""
    words = " ".join(SCORES.get(word, word) for word in name.split("_"))
    return words[:1].upper() + words[1:]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
