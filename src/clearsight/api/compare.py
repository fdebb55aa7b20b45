"""Rank models from classical to deep on one data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clearsight.console import Console
from clearsight.evaluation.leaderboard import Comparison


def compare(
    data: Any,
    *,
    rungs: Sequence[str] | None = None,
    images: int | None = None,
    console: Console | None = None,
    **options: Any,
) -> Comparison:
    """Climb the ladder on one data set and write its page: `cs.compare("photos/", rungs=["hog+svm", "resnet8"])`.

    rungs: models to compare, by the names `train --model` knows (default: those of
    `evaluation.leaderboard.default_candidates`). images: compare on about so many of the data's images. options: seed,
    out, test_fraction, folds, data_dir, device. The folder holds ladder.html, comparison.json and every model in
    rungs/NAME.
    """
    from clearsight.evaluation.leaderboard import rank_models
    from clearsight.report.leaderboard_page import write_leaderboard_page

    found = rank_models(data, rungs=rungs, images=images, console=console, **options)
    write_leaderboard_page(found.folder / "ladder.html", found)
    return found
