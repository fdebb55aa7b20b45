"""Compare finished runs on the test images that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.api.ensembles import unseen_by_all
from clearsight.api.results import model_name, saved
from clearsight.arguments import known_arguments
from clearsight.console import Console, usual_console
from clearsight.data.cached_pixels import PixelView
from clearsight.data.displayed import displayed
from clearsight.disk import object_within
from clearsight.errors import ConfigError, DataError
from clearsight.evaluation.run_comparison import compare_runs as compare_outputs
from clearsight.evaluation.several_runs import ChangedImage, ComparedRun, RunsComparison
from clearsight.predictor import ModelOutput, Predictor
from clearsight.report.components.pictures import eight_bits, thumbnail
from clearsight.report.components.pieces import SIDE
from clearsight.result import refuse_existing
from clearsight.runs.folder import run_options
from clearsight.runs.images import HeldOut, held_out
from clearsight.runs.load import ModelSource, folder_of, predictor_of
from clearsight.tasks.image_scores import comparable_targets, own_scores
from clearsight.tasks.outcomes import Outcomes, outcomes
from clearsight.train.config import TrainConfig

NOT_COMPARED = ("out", "resume", "device", "model")
"""Options that do not make a difference, or that the network shows."""

UNKNOWN = "unknown"
"""Network and options of a model without the folder of its run."""

LONGEST = 1e9
"""Seconds of a training, about 30 years: what is longer is no time."""

KEPT = 1000
"""Images with changed predictions that a result keeps at most."""


@known_arguments
def compare_runs(
    runs: Sequence[ModelSource],
    data: Any = None,
    *,
    out: str | Path | None = None,
    data_dir: str | None = None,
    console: Console | None = None,
) -> RunsComparison:
    """Compare runs of one task with the first of them, image by image: `cs.compare_runs(["runs/a", "runs/b"])`.

    Args:
        runs: two runs or more, their folders, or loaded models.
        data: labelled images; None compares on the test split of the first run. Images that any of the runs was trained
            on are left out.
        out: folder to save the result to, as `save` does; None writes nothing.
        data_dir: folder that holds the files of a built-in data set.
        console: where progress is shown; by default below the cell of a notebook, nowhere elsewhere.

    Returns:
        The scores of each run, paired differences with intervals, and the images whose prediction changed.

    Raises:
        ConfigError: fewer than two runs are given.
        DataError: the runs predict different things, or no image is left.
        OutputError: `out` holds an earlier result.

    Example:
        >>> a = cs.fit("digits", model="linear", epochs=1)
        >>> b = cs.fit("digits", model="linear", epochs=4)
        >>> cs.compare_runs([a, b]).runs[1].change.n
        450
    """
    if len(runs) < 2:
        raise ConfigError(
            "fewer than two runs to compare", found=f"{len(runs)}", fix="name two runs: clearsight compare RUN RUN"
        )
    if out is not None:
        refuse_existing(out, ("comparison.html", "comparison.json"))
    console = console or usual_console()
    held = held_out(runs[0], data, console=console, data_dir=data_dir)
    predictors = [held.predictor, *(predictor_of(run) for run in runs[1:])]
    names = [model_name(run) for run in runs]
    names = [
        name if names.count(name) == 1 else str(folder_of(run) or name) for name, run in zip(names, runs, strict=True)
    ]
    _require_one_task(names, predictors)
    held, views, _ = unseen_by_all(held, predictors, False, console)
    outputs = [
        predictor.forward(view, console.stage(f"evaluating {name}"))
        for name, predictor, view in zip(names, predictors, views, strict=True)
    ]
    found = _compared(held, names, predictors, outputs, [folder_of(run) for run in runs])
    pictures = {index: _picture(held, views[0], index) for index in found.examples()}
    return saved(replace(found, pictures=pictures), out)


def _require_one_task(names: Sequence[str], predictors: Sequence[Predictor]) -> None:
    """DataError if the runs predict different things."""
    first = predictors[0].bundle.task
    for name, predictor in zip(names[1:], predictors[1:], strict=True):
        task = predictor.bundle.task
        if type(task) is not type(first) or set(task.names) != set(first.names):
            raise DataError(
                f"{name} and {names[0]} predict different things",
                found=f"{task.name} of {', '.join(task.names[:8])}",
                expected=f"{first.name} of {', '.join(first.names[:8])}",
                fix="compare runs of the same task and names, or evaluate each run: `clearsight evaluate RUN DATA`",
            )


def _compared(
    held: HeldOut,
    names: Sequence[str],
    predictors: Sequence[Predictor],
    outputs: Sequence[ModelOutput],
    folders: Sequence[Path | None],
) -> RunsComparison:
    dataset, rows = held.dataset, held.rows
    tasks = [predictor.bundle.task for predictor in predictors]
    shown = np.array([dataset.words(int(i)) for i in rows])
    truths = [task.aligned(dataset)[rows] for task in tasks]
    first = tasks[0]
    results = [outcomes(task, o.logits, truth) for task, o, truth in zip(tasks, outputs, truths, strict=True)]
    runs, changed, score, share = [], [], "", True
    for number, (name, task, output, truth) in enumerate(zip(names, tasks, outputs, truths, strict=True)):
        facts = _facts(folders[number])
        evaluation = task.evaluate(output.logits, truth, groups=held.groups, indices=rows, images=held.names)
        run = ComparedRun(
            name, str(facts.get("model", UNKNOWN)), _seconds(facts), evaluation, _options(folders[number])
        )
        if number:
            pair, columns = comparable_targets(first, task, dataset)
            both = pair[0][rows], pair[1][rows]
            found = compare_outputs(
                first, task, outputs[0], output, shown=shown, truth=both,
                renamed={n: n for n in first.names}, run=names[0], changes={}, tested=len(rows), columns=columns,
            )  # fmt: skip
            run, score, share = replace(run, change=found.overall, classes=found.classes), found.score, found.share
            gains = own_scores(task, output.logits, shown, truth) - own_scores(
                first, outputs[0].logits, shown, truths[0]
            )
            changed += _changed(held, number, results[0], results[number], gains)
        runs.append(run)
    ordered = sorted(changed, key=lambda image: -abs(image.gain))
    return RunsComparison(
        len(rows), score, share, tuple(runs), _differences(runs, folders), tuple(ordered[:KEPT]),
        held.predictor.bundle.thing,
    )  # fmt: skip


def _changed(held: HeldOut, number: int, before: Outcomes, after: Outcomes, gains: Any) -> list[ChangedImage]:
    """The images whose prediction differs between two runs."""
    return [
        ChangedImage(
            int(held.rows[i]),
            held.names[i],
            number,
            before.labels[i],
            before.predicted[i],
            after.predicted[i],
            (before.notes[i], after.notes[i]),
            float(gains[i]),
        )
        for i in range(len(before.predicted))
        if before.predicted[i] != after.predicted[i]
    ]


def _facts(folder: Path | None) -> dict[str, Any]:
    """What metrics.json says of the training; empty for a model without a run."""
    return {} if folder is None or not (folder / "metrics.json").is_file() else object_within(folder, "metrics.json")


def _seconds(facts: Mapping[str, Any]) -> float | None:
    """How long the training took; None where the facts do not say, or what they say is no time."""
    seconds = facts.get("train_seconds")
    return seconds if isinstance(seconds, int | float) and 0 <= seconds < LONGEST else None


def _options(folder: Path | None) -> dict[str, Any]:
    """The options of a run that are not the defaults; empty for a model without a run."""
    if folder is None:
        return {}
    usual = TrainConfig().options()
    unlike = {name: value for name, value in run_options(folder).items() if usual.get(name) != value}
    return {name: value for name, value in unlike.items() if name not in NOT_COMPARED}


def _differences(runs: Sequence[ComparedRun], folders: Sequence[Path | None]) -> dict[str, tuple[str, ...]]:
    """What is not the same for all runs, by the name of the option."""
    values = {"network": tuple(run.model for run in runs)}
    usual = ["default" if folder and (folder / "config.json").is_file() else UNKNOWN for folder in folders]
    for name in sorted({name for run in runs for name in run.options}):
        values[name] = tuple(str(run.options.get(name, word)) for run, word in zip(runs, usual, strict=True))
    return {name: each for name, each in values.items() if len(set(each)) > 1}


def _picture(held: HeldOut, view: PixelView, index: int) -> Any:
    """A small picture of an image."""
    place = int(np.flatnonzero(held.rows == index)[0])
    pixels = displayed(view[place : place + 1][0], held.predictor.bundle.form.shown)
    return thumbnail(eight_bits(pixels), SIDE)
