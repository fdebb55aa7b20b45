"""One self-contained HTML page about a run: it opens from disk, loads nothing and needs no script to be whole."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from clearsight.arguments import flag
from clearsight.bundle import versions
from clearsight.diagnosis import Diagnosis
from clearsight.diagnosis.command import train_command
from clearsight.disk import whole_file
from clearsight.evaluation import OODCheck
from clearsight.evaluation.robustness import KNOWN, Retained
from clearsight.evaluation.run_comparison import RunComparison
from clearsight.metrics import wilson_interval
from clearsight.report.command import option_words, run_commands
from clearsight.report.comparison_section import comparison_section
from clearsight.report.components.pieces import PieceFilters, run_thumbnail
from clearsight.report.data_section import DataSection, data_section
from clearsight.report.doctor_section import DoctorSection, doctor_section
from clearsight.report.label_issues_section import LabelIssuesSection, label_issues_section
from clearsight.report.mistake_details import MistakeDetails
from clearsight.report.ood_section import OODSection, ood_section
from clearsight.report.recipe_section import RecipeSection, recipe_section
from clearsight.report.render import environment
from clearsight.report.test_images import TestImages, test_images
from clearsight.report.threshold_section import Slider, sliders
from clearsight.tasks.evaluation import Evaluation
from clearsight.tasks.outcomes import Outcomes
from clearsight.tasks.panel import TrustPanel
from clearsight.tasks.sections import Caveat, Piece, ReportParts, Section, Tile
from clearsight.train.config import TrainConfig
from clearsight.train.fit import Fitted
from clearsight.wording import count, duration, large, percent, sentence


@dataclass(frozen=True)
class Content:
    """Everything on the page. written: when. sections: those of the task. predictions: files that hold those of the
    test images. robustness: whether it can be measured for the task; robustness_rows: what a short measurement found.
    """

    name: str
    written: str
    panel: TrustPanel | None
    verdict: str
    tiles: tuple[Tile, ...]
    caveats: tuple[Caveat, ...]
    data: DataSection
    recipe: RecipeSection
    doctor: DoctorSection | None
    sections: tuple[Section, ...]
    sliders: tuple[Slider, ...]
    images: TestImages | None
    predictions: tuple[str, ...]
    label_issues: LabelIssuesSection | None
    ood: OODSection
    robustness: bool
    robustness_rows: tuple[tuple[str, ...], ...]
    robustness_images: int
    robustness_command: str
    speed: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    command: str
    options: tuple[tuple[str, str, str], ...]
    uses: tuple[tuple[str, str], ...]


def write_report(
    path: Path,
    *,
    fitted: Fitted,
    evaluation: Evaluation,
    validation: Evaluation,
    config: TrainConfig,
    diagnosis: Diagnosis | None = None,
    ood_check: OODCheck | None = None,
    panel: TrustPanel | None = None,
    compared: RunComparison | None = None,
    outcomes: Outcomes | None = None,
    details: MistakeDetails | None = None,
    retained: Retained | None = None,
    predictions: Sequence[str] = (),
) -> None:
    """Write the report of a run, whole or not at all.

    evaluation: of the test split, its mistakes with positions in the data set. validation: of the validation images.
    diagnosis: what the doctor says of the training, None where there was none. ood_check: false alarms of the OOD
    detector and prediction sets on the test split. panel: what the model promises, and whether it is kept. compared:
    the run that was continued against this one, if one was. outcomes: predictions for the test images, for the pictures
    and threshold sliders. details: of mistakes. retained: what mild changes leave of the accuracy. predictions: files
    in the folder that hold those of the test images. Raises OSError when the disk refuses.
    """
    audit, task, words = fitted.prepared.audit, fitted.bundle.task, option_words()
    parts, now = evaluation.report(fitted.bundle.thing, validation), datetime.now()
    warnings = (Caveat(sentence(f.message), sentence(f.fix)) for f in audit.findings if f.severity != "note")
    content = Content(
        name=audit.name,
        written=f"{now.day} {now:%B %Y, %H:%M}",
        panel=panel,
        verdict=parts.verdict,
        tiles=(*parts.tiles, _made_in(fitted)),
        caveats=(*parts.caveats, *warnings),
        data=data_section(fitted.prepared),
        recipe=recipe_section(fitted, config.run.seed),
        doctor=doctor_section(diagnosis),
        sections=(*([] if compared is None else [comparison_section(compared)]), *_sections(parts)),
        sliders=() if outcomes is None else sliders(outcomes),
        images=None if outcomes is None else test_images(fitted.prepared, fitted.prepared.split.test, outcomes),
        predictions=tuple(predictions),
        label_issues=label_issues_section(fitted),
        ood=ood_section(fitted, ood_check, parts.ood_words),
        robustness=task.needs_classes,
        robustness_rows=() if retained is None else tuple(_retained(retained)),
        robustness_images=0 if retained is None else retained.right_before,
        robustness_command=f"clearsight robustness {shlex.quote(str(path.parent))}",
        speed=tuple(_speed(fitted)),
        versions=tuple(versions().items()),
        command=train_command(audit.origin, config.changed()),
        options=tuple((flag(k), str(v), words[k]) for k, v in config.changed().items()),
        uses=tuple(run_commands(path.parent).items()),
    )
    templates = environment(trim_blocks=True, lstrip_blocks=True)
    beside = (details or MistakeDetails(fitted)).of if outcomes is not None else lambda card: None
    templates.filters.update(PieceFilters(lambda card: run_thumbnail(fitted, card), beside).filters())
    with whole_file(path) as stream:
        stream.write(templates.get_template("report.html").render(page=content).encode(errors="replace"))


def _sections(parts: ReportParts) -> Iterator[Section]:
    """The mistakes and what else the task says, then all scores; these come second if the task has charts."""
    scores: tuple[Piece, ...] = (parts.table,) if parts.charts is None else (parts.charts, parts.table)
    early = len(parts.sections) if parts.charts is None else 1
    yield from parts.sections[:early]
    yield Section("scores", "Scores", scores)
    yield from parts.sections[early:]


def _retained(measured: Retained) -> Iterator[tuple[str, ...]]:
    """A row for each mild change: its name, what it does, the share of correct predictions that it leaves, interval."""
    for name, kept in measured.each:
        low, high = wilson_interval(kept, max(1, measured.right_before))
        share = percent(kept / max(1, measured.right_before))
        yield name, KNOWN[name].words, share, f"{percent(low)} to {percent(high)}"


def _made_in(fitted: Fitted) -> Tile:
    images = count(fitted.prepared.audit.images, fitted.bundle.thing)
    return Tile("Training time", duration(fitted.whole_seconds), f"model {fitted.recipe.model}, {images}")


def _speed(fitted: Fitted) -> Iterator[tuple[str, str]]:
    works = {"classical": "computing descriptors", "scratch": "training", "probe": "computing features"}
    work = "training" if fitted.tuned else works[fitted.recipe.kind]
    yield "Training time", duration(fitted.whole_seconds)
    rate = f"{fitted.images_per_second:,.0f} images per second ({work})"
    yield "Throughput", rate if fitted.images_per_second else "not measured: the features were in the cache"
    if fitted.recipe.kind == "classical":
        numbers = sum(t.numel() for t in fitted.bundle.network.state_dict().values())
        yield "Model size", f"{large(numbers)} stored values"
    else:
        weights = sum(p.numel() for p in fitted.bundle.network.parameters())
        yield "Network size", f"{large(weights)} parameters"
    cores = os.cpu_count() or 1
    yield "Machine", f"{platform.system()} {platform.machine()}, {count(cores, 'CPU core')}"
