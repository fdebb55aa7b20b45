"""Results that are a few numbers: tables and bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clearsight.evaluation import ModelComparison
from clearsight.report.figures import bars, interval_bars
from clearsight.report.renderer import SectionsRenderer
from clearsight.result import Result
from clearsight.retrieval import IndexResult
from clearsight.tasks.sections import Bar, Cell, Column, Section, Table, Tile
from clearsight.wording import percent, size_words


class TextRenderer(SectionsRenderer[Result]):
    """Any result: what it prints. Its figure shows the numbers at the top of its dictionary."""

    @property
    def title(self) -> str:  # type: ignore[override]
        return type(self.result).__name__

    @property
    def page(self) -> str:  # type: ignore[override]
        return f"{self.title.lower()}.html"

    @property
    def numbers(self) -> str:  # type: ignore[override]
        return f"{self.title.lower()}.json"

    def values(self) -> dict[str, Any]:
        return {**super().values(), "text": self.result.text()}

    def sections(self) -> Sequence[Section]:
        return ()

    def figure(self) -> Any:
        values = {k: v for k, v in self.result.to_dict().items() if isinstance(v, int | float) and v is not True}
        return bars(list(values), list(values.values()), "")


class ModelComparisonRenderer(SectionsRenderer[ModelComparison]):
    """Each model against the first."""

    page, numbers, title = "models.html", "models.json", "Model comparison"

    def sections(self) -> Sequence[Section]:
        rows = tuple(
            (
                row.name,
                Cell(_span(row.accuracy_interval), Bar(row.accuracy, row.accuracy_interval)),
                percent(row.accuracy),
                f"{row.log_loss:.3f}",
                Cell(row.words() if number else ""),
            )
            for number, row in enumerate(self.result)
        )
        columns = (
            "Model",
            Column("95 % interval", "interval"),
            "Accuracy",
            "Log loss",
            Column("Compared with the first model", "words"),
        )
        return (Section("models", "Scores on the same images", (Table(columns, rows),)),)

    def figure(self) -> Any:
        """Accuracy with its interval."""
        rows = self.result.rows
        return interval_bars(
            [row.name for row in rows], [row.accuracy for row in rows], [row.accuracy_interval for row in rows],
            "accuracy, 95 % interval",
        )  # fmt: skip


def _span(interval: tuple[float, float]) -> str:
    return f"{percent(interval[0])} to {percent(interval[1])}"


class IndexRenderer(SectionsRenderer[IndexResult]):
    """Size and scores of an index."""

    page, numbers, title = "retrieval.html", "retrieval.json", "Image index"

    def tiles(self) -> Sequence[Tile]:
        found, scores = self.result, self.result.scores
        size = Tile(
            "Images",
            f"{len(found.index):,}",
            f"{found.index.card.width}-dimensional vectors, {size_words(found.bytes)}",
        )
        if scores is None:
            return (size,)
        return (
            size,
            Tile(
                "Precision",
                percent(scores.precision),
                f"for {scores.queries:,} queries with {scores.k} neighbours each",
            ),
            Tile("Recall", percent(scores.recall), "of all images of the query's class are among the neighbours"),
            Tile("mAP", percent(scores.mean_average_precision), "mean average precision"),
        )

    def sections(self) -> Sequence[Section]:
        return ()

    def figure(self) -> Any:
        """The scores as bars."""
        s = self.result.scores
        return bars(
            ["precision", "recall", "mAP"] if s else [], [s.precision, s.recall, s.mean_average_precision] if s else [],
            f"at {s.k} neighbours" if s else "",
        )  # fmt: skip
