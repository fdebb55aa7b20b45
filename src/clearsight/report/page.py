"""One self-contained HTML page about a run: it opens from disk, loads nothing and needs no script to be whole."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clearsight.arguments import flag
from clearsight.bundle import versions
from clearsight.diagnosis import Diagnosis
from clearsight.diagnosis.command import train_command
from clearsight.disk import whole_file
from clearsight.evaluation import OODCheck
from clearsight.evaluation.run_comparison import RunComparison
from clearsight.report.command import option_words, run_commands
from clearsight.report.comparison_section import comparison_section
from clearsight.report.components.pieces import PieceFilters, run_thumbnail
from clearsight.report.data_section import DataSection, data_section
from clearsight.report.doctor_section import DoctorSection, doctor_section
from clearsight.report.label_issues_section import LabelIssuesSection, label_issues_section
from clearsight.report.ood_section import OODSection, ood_section
from clearsight.report.recipe_section import RecipeSection, recipe_section
from clearsight.report.render import environment
from clearsight.tasks.evaluation import Evaluation
from clearsight.tasks.panel import TrustPanel
from clearsight.tasks.sections import Caveat, Piece, ReportParts, Section, Tile
from clearsight.train.config import TrainConfig
from clearsight.train.fit import Fitted
from clearsight.wording import count, duration, large, sentence


@dataclass(frozen=True)
class Content:
    """Everything on the page. sections: those of the task. robustness: whether it can be measured for the task."""

    name: str
    panel: TrustPanel | None
    verdict: str
    tiles: tuple[Tile, ...]
    caveats: tuple[Caveat, ...]
    data: DataSection
    recipe: RecipeSection
    doctor: DoctorSection | None
    sections: tuple[Section, ...]
    label_issues: LabelIssuesSection | None
    ood: OODSection
    robustness: bool
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
) -> None:
    """Write the report of a run, whole or not at all.

    evaluation: of the test split, its mistakes with positions in the data set. validation: of the validation images.
    diagnosis: what the doctor says of the training, None where there was none. ood_check: false alarms of the OOD
    detector and prediction sets on the test split. panel: what the model promises, and whether it is kept. compared:
    the run that was continued against this one, if one was. Raises OSError when the disk refuses.
    """
    audit, task, words = fitted.prepared.audit, fitted.bundle.task, option_words()
    parts = evaluation.report(fitted.bundle.thing, validation)
    warnings = (Caveat(sentence(f.message), sentence(f.fix)) for f in audit.findings if f.severity != "note")
    content = Content(
        name=audit.name,
        panel=panel,
        verdict=parts.verdict,
        tiles=(*parts.tiles, _made_in(fitted)),
        caveats=(*parts.caveats, *warnings),
        data=data_section(fitted.prepared),
        recipe=recipe_section(fitted, config.run.seed),
        doctor=doctor_section(diagnosis),
        sections=(*([] if compared is None else [comparison_section(compared)]), *_sections(parts)),
        label_issues=label_issues_section(fitted),
        ood=ood_section(fitted, ood_check, parts.ood_words),
        robustness=task.needs_classes,
        robustness_command=f"clearsight robustness {shlex.quote(str(path.parent))}",
        speed=tuple(_speed(fitted)),
        versions=tuple(versions().items()),
        command=train_command(audit.origin, config.changed()),
        options=tuple((flag(k), str(v), words[k]) for k, v in config.changed().items()),
        uses=tuple(run_commands(path.parent).items()),
    )
    templates = environment(trim_blocks=True, lstrip_blocks=True)
    templates.filters.update(PieceFilters(lambda card: run_thumbnail(fitted, card)).filters())
    with whole_file(path) as stream:
        stream.write(templates.get_template("report.html").render(page=content).encode(errors="replace"))


def _sections(parts: ReportParts) -> Iterator[Section]:
    """The scores, then what else the task says."""
    scores: tuple[Piece, ...] = (parts.table,) if parts.charts is None else (parts.table, parts.charts)
    yield Section("scores", "Scores", scores)
    yield from parts.sections


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
