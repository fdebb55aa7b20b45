"""Measure how robust predictions are to changes of the image, and write the page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clearsight.api.results import evaluation_images, result_folder
from clearsight.console import Console, Silent
from clearsight.disk import disk_errors, write_json
from clearsight.predictor import Predictor
from clearsight.robustness import RobustnessReport
from clearsight.runs.load import ModelSource


def audit(
    model: ModelSource,
    data: Any = None,
    *,
    changes: Sequence[str] | None = None,
    turns: Sequence[tuple[str | int, float, str | int]] = (),
    images: int = 500,
    seed: int = 0,
    out: str | Path | None = None,
    data_dir: str | None = None,
    console: Console | None = None,
) -> tuple[RobustnessReport, Path]:
    """Make a model's invariance card on its test split, or on other data: `cs.audit("runs/photos")`.

    changes: as `robustness.audit` takes them. turns: (class, degrees, class), what a class becomes when turned. At most
    so many images, drawn at random by seed. out: the folder of the page, RUN/audit unless given. The run's report
    gets the card's verdicts, if the model is judged on its own test split.
    """
    from clearsight.report.robustness_page import add_to_report, write_card_page
    from clearsight.robustness import audit as audited

    console = console or Silent()
    held = evaluation_images(model, data, images, seed, console, data_dir)
    predictor = held.predictor
    predictor.classifies("the audit")
    turned = [
        (predictor.bundle.task.index_of(a), degrees, predictor.bundle.task.index_of(b)) for a, degrees, b in turns
    ]
    card = audited(
        predictor, held.images, held.labels, names=held.names, changes=changes, turns=turned, seed=seed,
        console=console,
    )  # fmt: skip
    folder = result_folder(model, "audit", out)
    with disk_errors(folder, "the card", "free some space or choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / "card.html"
        write_card_page(page, card, str(predictor.bundle.data.get("name", "a model")))
        write_json(folder / "robustness.json", card.to_dict())
        report = None if isinstance(model, Predictor) else Path(model).expanduser() / "report.html"
        if held.own and report is not None and report.is_file():
            add_to_report(report, card, os.path.relpath(page, report.parent))
    return card, page
