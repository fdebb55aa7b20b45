"""Measure how robust predictions are to changes of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from clearsight.api.results import evaluation_images, saved
from clearsight.arguments import known_arguments
from clearsight.console import Console, usual_console
from clearsight.evaluation.robustness import RobustnessReport
from clearsight.result import refuse_existing
from clearsight.runs.load import ModelSource, folder_of

SHORT = 100
"""Images of the short version."""


@known_arguments
def robustness(
    model: ModelSource,
    data: Any = None,
    *,
    changes: Sequence[str] | None = None,
    turns: Sequence[tuple[str | int, float, str | int]] = (),
    short: bool = False,
    images: int = 500,
    seed: int = 0,
    out: str | Path | None = None,
    data_dir: str | None = None,
    console: Console | None = None,
) -> RobustnessReport:
    """Measure how robust a model's predictions are on its test split, or on other data: `cs.robustness("runs/photos")`.

    Args:
        model: a run, its folder, or a loaded model.
        data: labelled images; None measures on the test split of the model's own run.
        changes: names of `evaluation.image_changes.CHANGES` or of `evaluation.corruptions.CORRUPTIONS`, several at once
            joined by +; "corruptions" makes all of the latter, None all of the former.
        turns: (class, degrees, class): what a class becomes when turned counter-clockwise. Where a change rotates by so
            much, images of the first class do not count.
        short: at most 100 images, and each change only up to the first step at which the model fails.
        images: maximum number of images to change, drawn at random by `seed`.
        seed: random seed.
        out: folder to save the result to, as `save` does; None writes nothing.
        data_dir: folder that holds the files of a built-in data set.
        console: where progress is shown; by default below the cell of a notebook, nowhere elsewhere.

    Returns:
        The accuracy under each change. Where the run's own test split was measured, `save` also puts the verdicts into
        the run's report.

    Raises:
        ModelError: the model does not predict classes.
        ConfigError: there is no such change.
        OutputError: `out` holds an earlier result.
    """
    from clearsight.evaluation.robustness import measure_robustness

    if out is not None:
        refuse_existing(out, ("robustness.html", "robustness.json"))
    console = console or usual_console()
    held = evaluation_images(
        model,
        data,
        min(images, SHORT) if short else images,
        seed,
        console,
        data_dir,
        check=lambda one: one.classifies("the robustness report"),
    )
    predictor = held.predictor
    turned = [
        (predictor.bundle.task.index_of(a), degrees, predictor.bundle.task.index_of(b)) for a, degrees, b in turns
    ]
    report = measure_robustness(
        predictor, held.images, held.labels, names=held.names, changes=changes, turns=turned,
        short=short, seed=seed, console=console,
    )  # fmt: skip
    name = str(predictor.bundle.data.get("name", "a model"))
    own = folder_of(model) if held.own else None
    return saved(replace(report, name=name, run=own), out)
