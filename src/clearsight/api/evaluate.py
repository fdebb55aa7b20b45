"""Evaluate a model on images it was not trained on."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.api.detection import evaluate_detection
from clearsight.arguments import known_arguments
from clearsight.console import Console, usual_console
from clearsight.data.displayed import displayed
from clearsight.errors import ClearsightError
from clearsight.evaluation import check_ood
from clearsight.evaluation.averages import Averages, averages
from clearsight.evaluation.subgroups import column_of, subgroups
from clearsight.evaluation.trust_panel import trust_panel
from clearsight.report.components.pictures import Thumbnail, eight_bits, thumbnail
from clearsight.report.components.pieces import SIDE, cards_of, under_map
from clearsight.runs.folder import near_duplicates
from clearsight.runs.images import HeldOut, held_out
from clearsight.runs.load import ModelSource
from clearsight.tasks.evaluation import Evaluation
from clearsight.tasks.panel import TrustPanel
from clearsight.tasks.sections import Card


@known_arguments
def evaluate(
    model: ModelSource,
    data: Any = None,
    *,
    by: str | Sequence[str] = (),
    average_by: str | None = None,
    include_training: bool = False,
    console: Console | None = None,
    data_dir: str | None = None,
) -> Evaluation:
    """Evaluate a model on images that it was not trained on.

    Images are compared by content with those of the model's training: its training and validation images are left out
    and counted, whatever their path, name, order or label is now.

    Args:
        model: a run, its folder, or a loaded model.
        data: labelled images, whose classes must be among the model's. Where they state a test split, that is
            evaluated, else all of them. None evaluates the test split of the model's own run.
        by: columns of the table that names the images, such as "site"; the scores are also given for each of their
            values, with the worst.
        average_by: column of that table, such as "speaker": the images of each of its values get one prediction, from
            the mean of their outputs, and that is scored.
        include_training: also evaluate the images that the model was trained and validated on.
        console: where progress is shown; by default below the cell of a notebook, nowhere elsewhere.
        data_dir: folder that holds the files of a built-in data set.

    Returns:
        The scores, with `images`: the counts of images that were scored and left out; `panel`: what the model promises
        and whether these images show that it is kept; `subgroups`: the scores by metadata; `detection`: of a model
        trained on boxes, average precision by pycocotools in the images whose crops were scored. A notebook shows them
        with pictures of mistakes.

    Raises:
        DataError: no image is left to evaluate, the data has classes that the model does not know, or images to be
            averaged have different targets.
        ConfigError: the data has no such column to group by.
        BundleError: the images of the model's own test split are not recorded or gone.

    Example:
        >>> cs.evaluate("runs/digits").accuracy > 0.9
        True
    """
    console = console or usual_console()
    held = held_out(model, data, include_training=include_training, console=console, data_dir=data_dir)
    predictor = held.predictor
    columns = {name: column_of(held.dataset.metadata, name) for name in ([by] if isinstance(by, str) else by)}
    average = None if average_by is None else column_of(held.dataset.metadata, average_by)
    output = predictor.forward(held.images, console.stage("evaluating the test split" if held.own else "evaluating"))
    if average is not None and average_by is not None:
        values = average[held.rows]
        mean = averages(output.logits, held.truth, values, held.names, average_by)
        return _of_averages(held, mean, columns)
    task, ood = predictor.bundle.task, predictor.ood(output)
    found = task.evaluate(output.logits, held.truth, indices=held.rows, images=held.names, groups=held.groups)
    check = None if ood is None else check_ood(task, ood, output.logits, held.truth)
    alike = near_duplicates(model) if held.own else frozenset()
    others = np.flatnonzero([name not in alike for name in held.names])
    without = None
    if 0 < len(others) < found.n:
        without = task.evaluate(output.logits[others], held.truth[others], groups=[held.groups[i] for i in others])
    panel = trust_panel(predictor, found, images=held.images, truth=held.truth, check=check, without=without)
    tables = tuple(
        subgroups(task, output.logits, held.truth, column[held.rows], name, ood, held.groups)
        for name, column in columns.items()
    )
    cards = cards_of(found.report(predictor.bundle.thing).sections)
    pictures = {card.index: _picture(held, card) for card in cards}
    detection = evaluate_detection(held, console)
    return replace(found, images=held.counts, panel=panel, subgroups=tables, detection=detection, pictures=pictures)


def _of_averages(held: HeldOut, mean: Averages, columns: Mapping[str, NDArray[np.str_]]) -> Evaluation:
    """The evaluation of mean outputs, each over several images; a mistake is named by their common value."""
    task, rows = held.predictor.bundle.task.averaged(), held.rows[mean.first]
    truth, classes = held.truth[mean.first], [held.groups[i] for i in mean.first]
    found = task.evaluate(mean.outputs, truth, indices=rows, images=mean.names, groups=classes)
    tables = tuple(
        subgroups(task, mean.outputs, truth, column[rows], name, groups=classes) for name, column in columns.items()
    )
    cards = cards_of(found.report(held.predictor.bundle.thing).sections)
    pictures = {card.index: _picture(held, card) for card in cards}
    panel = TrustPanel(found.promises())
    return replace(found, images=held.counts, panel=panel, subgroups=tables, pictures=pictures)


def _picture(held: HeldOut, card: Card) -> Thumbnail:
    """A small image of a mistake, under the model's own map if it has one."""
    place, predictor = int(np.flatnonzero(held.rows == card.index)[0]), held.predictor
    pixels, chosen = held.images[place : place + 1][0], predictor.bundle.form.shown
    mapped = under_map(predictor.network, pixels, chosen) if card.mapped else None
    own = displayed(pixels, chosen)
    header = None
    if predictor.bundle.geometry.resize_mode == "squash":
        with contextlib.suppress(ClearsightError):  # gone since it was read
            header = held.dataset.source.inspect(card.index)[1]
    return thumbnail(eight_bits(own if mapped is None else mapped, like=own), SIDE, header)
