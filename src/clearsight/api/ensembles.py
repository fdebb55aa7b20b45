"""Test-time augmentation and ensembles, compared with the single model image by image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.arguments import known_arguments
from clearsight.console import Console, usual_console
from clearsight.data.cached_pixels import PixelView
from clearsight.errors import DataError
from clearsight.evaluation import (
    ModelComparison,
    Paired,
    compare_paired,
    mean_of,
    tta_functions,
)
from clearsight.predictor import Predictor
from clearsight.runs.images import HeldOut, held_out, seen_by
from clearsight.runs.load import ModelSource, folder_of, predictor_of
from clearsight.wording import count

Floats = NDArray[np.float64]


@known_arguments
def compare_models(
    model: ModelSource,
    data: Any = None,
    *,
    tta: str | None = None,
    others: Sequence[ModelSource] = (),
    include_training: bool = False,
    console: Console | None = None,
    data_dir: str | None = None,
) -> ModelComparison:
    """Compare a model with test-time augmentation, other models and their ensemble, image by image:
    `cs.compare_models("runs/a", others=["runs/b"])`.

    Args:
        model: a run, its folder, or a loaded model.
        data: labelled images; None compares on the test split of the model's own run.
        tta: kind of test-time augmentation, a name of `evaluation.AUGMENTATIONS`; it applies to every model.
        others: models of the same classes.
        include_training: also compare on images that a model was trained on.
        console: where progress is shown; by default below the cell of a notebook, nowhere elsewhere.
        data_dir: folder that holds the files of a built-in data set.

    Returns:
        A sequence of `Paired`: the model itself, then its augmented prediction, each other model, and the ensemble of
        all, each compared with the model alone on the images that none of them was trained on.

    Raises:
        DataError: the models have different classes, or no image is left.
    """
    console = console or usual_console()
    functions = tta_functions(tta) if tta is not None else []
    held = held_out(
        model, data, include_training=include_training, console=console, data_dir=data_dir,
        check=lambda one: one.classifies("model comparison"),
    )  # fmt: skip
    predictors = {_short(model): held.predictor}
    for other in others:
        name = _short(other)
        while name in predictors:
            name += "'"
        predictors[name] = predictor_of(other)
        if predictors[name].classes != held.predictor.classes:
            raise DataError(
                f"the classes of {name} differ from those of {_short(model)}",
                found=", ".join(predictors[name].classes[:8]),
                expected=", ".join(held.predictor.classes[:8]),
            )
    held, views_by_model, known = unseen_by_all(held, list(predictors.values()), include_training, console)
    alone = held.predictor.predict_proba(held.images, console.stage("evaluating"))

    def compared(name: str, second: Floats, knows: bool, decides: Predictor = held.predictor) -> Paired:
        """A second prediction against the model alone, at the operating points of the models."""
        predicted = held.predictor.bundle.task.decided(alone), decides.bundle.task.decided(second)
        return compare_paired(name, alone, second, held.labels, knows, predicted)

    rows = [compared(_short(model), alone, False)]
    probabilities = []
    for number, (name, predictor) in enumerate(predictors.items()):
        images = views_by_model[number]
        own = alone if not number else predictor.predict_proba(images, console.stage(f"evaluating {name}"))
        if tta is None:
            probabilities.append(own)
        else:
            advance = console.stage(f"{tta} of {name}", "views")
            seen = [own]
            for k, view in enumerate(functions[1:], 1):
                advance(k, len(functions))
                seen.append(predictor.viewed(images, view))
            advance(len(functions), len(functions))
            probabilities.append(mean_of(seen))
            rows.append(compared(f"{name}, {tta}", probabilities[-1], known[number], predictor))
        if number and tta is None:
            rows.append(compared(name, own, known[number], predictor))
    if len(probabilities) > 1:
        rows.append(compared("together", mean_of(probabilities), any(known)))
    return ModelComparison(tuple(rows))


def unseen_by_all(
    held: HeldOut, predictors: Sequence[Predictor], include_training: bool, console: Console
) -> tuple[HeldOut, list[PixelView], list[bool]]:
    """The images that no model was trained on, as each model sees them.

    Args:
        held: images to evaluate the first model on.
        predictors: the models.
        include_training: keep images that a model was trained on.
        console: where progress is shown.

    Returns:
        The images; the same in the input format of each model; and for each model whether it was trained on some of
        them, which is only possible if training images are included.

    Raises:
        DataError: no image is left.
    """
    found = [(held.images, np.zeros(len(held.rows), bool))]
    found += [seen_by(predictor, held, console) for predictor in predictors[1:]]
    known = np.any([mask for _, mask in found], axis=0)
    if include_training or not known.any():
        return held, [view for view, _ in found], [bool(mask.any()) for _, mask in found]
    if known.all():
        raise DataError(
            "every image was used to train at least one of the models", found=count(len(known), "image"),
            fix="pass different data, compare runs trained with the same --seed, or add --include-training",
        )  # fmt: skip
    console.say(f"data: excluded {count(int(known.sum()), 'image')} used to train at least one of the other models")
    kept = np.flatnonzero(~known)
    return held.at(kept), [PixelView(view.array, view.indices[kept]) for view, _ in found], [False] * len(found)


def _short(model: ModelSource) -> str:
    if isinstance(model, str):
        return Path(model).name  # of a network with published weights too
    folder = folder_of(model)
    return "the model" if folder is None else folder.name
