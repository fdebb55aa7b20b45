"""The page of an evaluation: what the task says of its scores, as in the report of a run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from clearsight.report.components.pictures import Thumbnail
from clearsight.report.figures import evaluation_figure, interval_bars
from clearsight.report.renderer import SectionsRenderer
from clearsight.tasks.evaluation import Evaluation
from clearsight.tasks.panel import TrustPanel
from clearsight.tasks.sections import Card, Piece, ReportParts, Section, Table, Tile
from clearsight.tasks.subgroups import SubgroupTable, shown
from clearsight.wording import count


class EvaluationRenderer(SectionsRenderer[Evaluation]):
    """Verdict, scores and the task's own sections, with pictures of mistakes where the evaluation has them."""

    page, numbers, title = "evaluation.html", "evaluation.json", "Evaluation"

    @cached_property
    def _parts(self) -> ReportParts:
        return self.result.report()

    def panel(self) -> TrustPanel | None:
        return self.result.panel

    def thumbnail(self, card: Card) -> Thumbnail | None:
        return self.result.pictures.get(card.index)

    def verdict(self) -> str:
        return self._parts.verdict

    def tiles(self) -> Sequence[Tile]:
        return self._parts.tiles

    def caveats(self) -> Sequence[Any]:
        return self._parts.caveats

    def sections(self) -> Sequence[Section]:
        parts = self._parts
        scores: tuple[Piece, ...] = (parts.table,) if parts.charts is None else (parts.table, parts.charts)
        by = tuple(
            Section(f"by-{number}", f"By {table.by}", (_subgroups(table),))
            for number, table in enumerate(self.result.subgroups)
        )
        return (Section("scores", "Scores", scores), *by, *parts.sections)

    def figure(self) -> Any:
        """Charts of the scores and the confusion matrix."""
        return evaluation_figure(self._parts)


class SubgroupsRenderer(SectionsRenderer[SubgroupTable]):
    """The scores of each value of a column of metadata."""

    page, numbers, title = "subgroups.html", "subgroups.json", "Scores by subgroup"

    def sections(self) -> Sequence[Section]:
        return (Section("subgroups", f"By {self.result.by}", (_subgroups(self.result),)),)

    def figure(self) -> Any:
        """The first score of each value with its interval."""
        rows = [(r.value, r.score) for r in self.result.rows if r.score is not None]
        return interval_bars(
            [name for name, _ in rows], [score.value for _, score in rows], [score.interval for _, score in rows],
            f"{self.result.score_name.lower()}, 95 % interval",
        )  # fmt: skip


def _subgroups(table: SubgroupTable) -> Table:
    """A row for each value of a column of metadata."""
    worst = table.worst
    words = "Intervals are at the 95 % level." + (
        f" Not shown: {count(table.few, 'value')} with fewer than {table.least} images." if table.few else ""
    )
    if worst is not None and len(table.rows) > 1:
        words = f"Lowest {table.score_name.lower()}: **{worst.value}**, {shown(worst.score)}. {words}"
    return Table(
        (table.by, "Images", table.score_name, "Calibration error", "Coverage", "OOD false alarms"),
        tuple(
            (r.value, f"{r.n:,}", shown(r.score), shown(r.calibration, in_points=True), shown(r.coverage),
             shown(r.false_alarms))
            for r in table.rows
        ),
        words,
    )  # fmt: skip
