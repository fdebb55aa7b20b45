"""How a run and a model are shown: by the report's own pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, singledispatch
from typing import Any

from clearsight.api.model import Model
from clearsight.api.run import Run
from clearsight.report.comparison_section import comparison_section
from clearsight.report.components.pictures import Thumbnail
from clearsight.report.evaluation_page import EvaluationRenderer
from clearsight.report.renderer import Renderer, SectionsRenderer
from clearsight.runs.folder import run_recipe
from clearsight.tasks.panel import TrustPanel
from clearsight.tasks.sections import (
    Card,
    Cards,
    Cell,
    Charts,
    Column,
    Confusion,
    Piece,
    ReportParts,
    Section,
    Table,
    Text,
    Tile,
)
from clearsight.wording import count, duration, large, sentence

CLASSES = 100
"""Names that a model lists at most."""


@singledispatch
def renderer(result: Any) -> Renderer[Any]:
    """How a run or a model is shown."""
    raise TypeError(type(result).__name__)


class RunRenderer(SectionsRenderer[Run]):
    """Scores, the confusion matrix, the worst mistakes, and how the model was trained."""

    @property
    def title(self) -> str:  # type: ignore[override]
        return f"Run: {self.result.predictor.bundle.data.get('name', self.result.folder.name)}"

    @cached_property
    def _parts(self) -> ReportParts | None:
        test = self.result.test
        return None if test is None else test.report(self.result.predictor.bundle.thing)

    def thumbnail(self, card: Card) -> Thumbnail | None:
        return None if self.result.test is None else self.result.test.pictures.get(card.index)

    def verdict(self) -> str:
        if self._parts is not None:
            return self._parts.verdict
        bundle = self.result.predictor.bundle
        return sentence(bundle.task.evaluation.headline(self.result.metrics["test"], bundle.thing).splitlines()[0])

    def tiles(self) -> Sequence[Tile]:
        metrics = self.result.metrics
        trained = Tile("Trained in", duration(self.result.seconds), f"model {metrics['model']}")
        return (*(self._parts.tiles if self._parts else ()), trained)

    def caveats(self) -> Sequence[Any]:
        return self._parts.caveats if self._parts else ()

    def panel(self) -> TrustPanel | None:
        return self.result.panel

    def sections(self) -> Sequence[Section]:
        return list(self._sections())

    def _sections(self) -> Iterator[Section]:
        for section in self._parts.sections if self._parts else ():
            if pieces := tuple(piece for piece in section.pieces if in_summary(piece)):
                yield Section(section.ident, section.title, pieces)
        if self.result.compared is not None:
            yield comparison_section(self.result.compared)
        yield decisions_section(self.result.metrics["recipe"])
        if text := list(self._remarks()):
            yield Section("remarks", "Results", tuple(Text(words) for words in text))

    def _remarks(self) -> Iterator[str]:
        for verdict in self.result.diagnosis.verdicts if self.result.diagnosis else ():
            yield f"**{verdict.severity}**: {sentence(verdict.words)} {sentence(verdict.fix)}"
        if self.result.label_issues is not None:
            yield f"{self.result.label_issues.summary()} See `run.label_issues`."
        kept = (
            ""
            if self.result.temporary is None
            else " It is temporary and deleted with the run; `run.save(folder)` keeps both."
        )
        yield f"The full report is at `{self.result.report}`.{kept}"

    def figure(self) -> Any:
        """Charts of the test scores and the confusion matrix."""
        test = self.result.test
        if test is None:
            raise ValueError("this run was loaded without its evaluation: use `cs.evaluate(run).plot()`")
        return EvaluationRenderer(test).figure()


@singledispatch
def in_summary(piece: Piece) -> bool:
    """Whether the summary of a run shows a piece of the report."""
    return False


@in_summary.register
def _(piece: Charts | Confusion | Cards) -> bool:
    return True


def decisions_section(decisions: Sequence[dict[str, str]]) -> Section:
    """The decisions of the training, with reasons."""
    rows = tuple((d["what"], Cell(d["choice"]), Cell(sentence(d["why"]))) for d in decisions)
    columns = ("Decision", Column("Choice", "words"), Column("Reason", "words"))
    return Section("training", "Training", (Table(columns, rows, sortable=False),))


class ModelRenderer(SectionsRenderer[Any]):
    """The task, the input images, the scores and the training of a model."""

    result: Model

    def __init__(self, model: Model) -> None:
        super().__init__(model)

    @property
    def title(self) -> str:  # type: ignore[override]
        return f"Model: {self.result.predictor.bundle.data.get('name', 'unnamed')}"

    def verdict(self) -> str:
        bundle = self.result.predictor.bundle
        test = bundle.scores.get("test")
        return sentence(bundle.task.evaluation.headline(test, bundle.thing).splitlines()[0]) if test else ""

    def tiles(self) -> Sequence[Tile]:
        bundle, (_, height, width) = self.result.predictor.bundle, self.result.shape
        names = bundle.task.words_used.names
        spec, weights = bundle.network.spec, sum(p.numel() for p in bundle.network.parameters())
        return (
            Tile("Predicts", count(len(bundle.classes), *names), f"task: {bundle.task.name} ({bundle.thing}s)"),
            Tile("Network", str(spec.get("name", spec.get("kind"))), f"{large(weights)} weights"),
            Tile(
                "Input",
                f"{width}\u00a0×\u00a0{height}",
                f"pixels, {bundle.form.colours}, {bundle.form.bits} bits per channel",
            ),
        )

    def sections(self) -> Sequence[Section]:
        return list(self._sections())

    def _sections(self) -> Iterator[Section]:
        bundle, folder = self.result.predictor.bundle, self.result.folder
        more = len(bundle.classes) - CLASSES
        words = ", ".join(bundle.classes[:CLASSES]) + (f" and {more:,} more" if more > 0 else "")
        yield Section("classes", bundle.task.words_used.names[1].capitalize(), (Text(words),))
        decisions = run_recipe(folder).get("decisions", ()) if folder is not None else ()
        if decisions:
            yield decisions_section(decisions)

    def figure(self) -> Any:
        raise NotImplementedError("a model cannot be plotted")


renderer.register(Run, RunRenderer)
renderer.register(Model, ModelRenderer)
