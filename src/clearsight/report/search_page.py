"""The page of a hyper-parameter search: the best setting, what mattered, every trial."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from clearsight.arguments import program
from clearsight.diagnosis.command import option_flags
from clearsight.report.components.charts import share_bar
from clearsight.report.render import write_page
from clearsight.train.search import Search, Trial
from clearsight.wording import count, percent, points


def best_command(search: Search, origin: str) -> str:
    """`clearsight train DATA ...` with what all trials shared, the best trial's own options, and its network."""
    options = {**search.base, **_rounded(search.best.options), **search.network}
    return f"{program()} {shlex.join(['train', origin, *option_flags(options)])}"


def scores_words(trial: Trial) -> tuple[str, str]:
    """A trial's two measures, with their deviations over several folds; empty where it was cut short."""
    if trial.log_loss is None or trial.accuracy is None:
        return "", ""
    loss, right = f"{trial.log_loss:.4f}", percent(trial.accuracy)
    spread = trial.deviations()
    return (loss, right) if spread is None else (f"{loss} ± {spread[0]:.4f}", f"{right} ± {points(spread[1])}")


def write_search_page(path: Path, search: Search, *, name: str, origin: str) -> None:
    """Write the page; it opens from disk and loads nothing."""
    best, (loss, right) = search.best, scores_words(search.best)
    cut = sum(t.state == "cut short" for t in search.trials)
    scored_on = "the validation images" if search.folds == 1 else f"{search.folds} folds"
    columns = sorted({option for t in search.trials for option in t.options})
    ranked = sorted(search.trials, key=lambda t: (t.log_loss is None, t.log_loss or 0))
    rows = [
        {
            "number": t.number,
            "loss": scores_words(t)[0],
            "accuracy": scores_words(t)[1],
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
        summary=f"{count(len(search.trials), 'trial')} ({cut} pruned), scored on {scored_on}; the test images were not "
        f"used. Trial {best.number} is the best, with {search.measures[0]} {loss} and {search.measures[1]} {right}"
        + (" (mean and standard deviation over the folds)." if best.deviations() else "."),
        command=best_command(search, origin),
        importance=[(option, percent(share, 0), share_bar([("right", share)])) for option, share in shares],
        measures=search.measures,
        columns=columns,
        rows=rows,
    )


def _rounded(options: dict[str, Any]) -> dict[str, Any]:
    return {k: float(f"{v:.3g}") if isinstance(v, float) else v for k, v in options.items()}


def _words(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2g}"
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
