"""One self-contained HTML page about a run."""

from __future__ import annotations

from pathlib import Path

from clearsight.config import Config
from clearsight.evaluation import Evaluation
from clearsight.train.fit import Fitted


def write_report(path: Path, *, fitted: Fitted, evaluation: Evaluation, validation: Evaluation, config: Config) -> None:
    """Write the report of a run."""
    path.write_text("<!doctype html>")
