"""Rank models from classical to deep on one data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from clearsight.console import Console, usual_console
from clearsight.data.temporary import TemporaryFolder
from clearsight.evaluation.leaderboard import Leaderboard


def compare(
    data: Any,
    *,
    candidates: Sequence[str] | None = None,
    images: int | None = None,
    console: Console | None = None,
    **options: Any,
) -> Leaderboard:
    """Train models on one data set and rank them: `cs.compare("photos/", candidates=["hog+svm", "resnet8"])`.

    Args:
        data: labelled images, as `fit` takes them.
        candidates: models to compare, by the names of `train --model`; None is
            `evaluation.leaderboard.default_candidates`.
        images: number of the data's images to compare on, approximately; None uses all.
        console: where progress is shown; by default below the cell of a notebook, nowhere elsewhere.
        **options: options of `fit`: seed, out, test_fraction, folds, resize_mode, class_weight, data_dir, device. With
            `out`, the folder gets every model in candidates/NAME and the page, and the same comparison can be resumed
            there; without it, the models lie in the cache as long as the result is used.

    Returns:
        The ranking on the validation images, with test accuracies, times and sizes.

    Raises:
        ConfigError: no model could be trained on these images.
        CheckpointError: `out` was started with other data or options.
        OutputError: `out` is in use.
    """
    from clearsight.evaluation.leaderboard import rank_models

    console = console or usual_console()
    if options.get("out"):
        found = rank_models(data, candidates=candidates, images=images, console=console, **options)
        found.save(found.folder, overwrite=True)
        return found
    temporary = TemporaryFolder()
    try:
        place = {**options, "out": str(temporary.path)}
        found = rank_models(data, candidates=candidates, images=images, console=console, **place)
    except BaseException:
        temporary.remove()
        raise
    return replace(found, temporary=temporary)
