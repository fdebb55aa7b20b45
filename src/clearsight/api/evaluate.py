"""Evaluate a model on images it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clearsight.console import Console, Silent
from clearsight.predictor import Predictor
from clearsight.runs.images import held_out
from clearsight.tasks.evaluation import Evaluation


def evaluate(
    model: str | Path | Predictor,
    data: Any = None,
    *,
    console: Console | None = None,
    data_dir: str | None = None,
) -> Evaluation:
    """Evaluate a model on data it was not trained on.

    Without data, or with the data it was trained on, the test split of its own run is used again. Other data is judged
    on its test split where it states one, else on all of it; its classes must be among the model's.
    """
    console = console or Silent()
    held = held_out(model, data, console=console, data_dir=data_dir)
    logits = held.predictor.logits(held.images, console.stage("judging on the test split" if held.own else "judging"))
    return held.predictor.bundle.task.evaluate(
        logits, held.truth, indices=held.rows, images=held.names, groups=held.groups
    )
