"""The page of a hyper-parameter search: the best setting, what mattered, every trial."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from clearsight.diagnose.command import option_flags
from clearsight.report.charts import share_bar
from clearsight.report.render import write_page
from clearsight.train.search import Search


def best_command(search: Search, origin: str) -> str:
    """`clearsight train DATA ...` with what all trials shared and the best trial's own options."""
    return shlex.join(["clearsight", "train", origin, *option_flags({**search.base, **_rounded(search.best.options)})])


def write_search_page(path: Path, search: Search, *, name: str, origin: str) -> None:
    """Write the page; it opens from disk and loads nothing."""
    best = search.best
    cut = sum(t.state == "cut short" for t in search.trials)
    judged = "the validation images" if search.folds == 1 else f"{search.folds} folds in turn"
    columns = sorted({option for t in search.trials for option in t.options})
    ranked = sorted(search.trials, key=lambda t: (t.log_loss is None, t.log_loss or 0))
    rows = [
        {
            "number": t.number,
            "loss": "" if t.log_loss is None else f"{t.log_loss:.4f}",
            "accuracy": "" if t.accuracy is None else f"{t.accuracy:.1%}",
            "seconds": f"{t.seconds:.0f}",
            "state": t.state,
            "cells": [_words(t.options.get(option, "")) for option in columns],
        }
        for t in ranked
    ]
    shares = sorted(search.importance.items(), key=lambda item: -item[1])
    write_page(
        path,
        "search.html",
        name=name,
        summary=f"{len(search.trials)} trials, {cut} of them cut short, scored on {judged}; the test images were not "
        f"touched. Trial {best.number} has the lowest log loss, {best.log_loss:.4f}, at an accuracy of "
        f"{best.accuracy:.1%}.",
        command=best_command(search, origin),
        importance=[(option, f"{share:.0%}", share_bar([("right", share)])) for option, share in shares],
        columns=columns,
        rows=rows,
    )


def _rounded(options: dict[str, Any]) -> dict[str, Any]:
    return {k: float(f"{v:.3g}") if isinstance(v, float) else v for k, v in options.items()}


def _words(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2g}"
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
