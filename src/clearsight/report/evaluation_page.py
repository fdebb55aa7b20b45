"""The page of an evaluation: what the task says of its scores, as in the report of a run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from clearsight.report.components.pictures import Thumbnail
from clearsight.report.figures import evaluation_figure
from clearsight.report.renderer import SectionsRenderer
from clearsight.tasks.evaluation import Evaluation
from clearsight.tasks.sections import Card, Piece, ReportParts, Section, Tile


class EvaluationRenderer(SectionsRenderer[Evaluation]):
    """Verdict, scores and the task's own sections, with pictures of mistakes where the evaluation has them."""

    page, numbers, title = "evaluation.html", "evaluation.json", "Evaluation"

    @cached_property
    def _parts(self) -> ReportParts:
        return self.result.report()

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
        return (Section("scores", "Scores", scores), *parts.sections)

    def figure(self) -> Any:
        """Charts of the scores and the confusion matrix."""
        return evaluation_figure(self._parts)
