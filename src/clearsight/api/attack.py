"""Attack a model: its robust accuracy against the size of the change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clearsight.api.results import evaluation_images, saved
from clearsight.arguments import at_least, known_arguments
from clearsight.attacks import AttackCurve, Attacked, AttackReport, attack_one
from clearsight.attacks.gradient import Norm
from clearsight.console import Console, usual_console
from clearsight.data.files import is_image_file
from clearsight.errors import ConfigError
from clearsight.predictor import Predictor
from clearsight.result import refuse_existing
from clearsight.runs.load import ModelSource, predictor_of


@known_arguments
def attack(
    model: ModelSource,
    data: Any = None,
    *,
    method: str = "pgd",
    norm: Norm = "linf",
    epsilons: Sequence[float] | None = None,
    steps: int | None = None,
    restarts: int = 1,
    target: str | int | None = None,
    images: int = 500,
    fool: bool = False,
    batch: int = 64,
    seed: int = 0,
    out: str | Path | None = None,
    data_dir: str | None = None,
    console: Console | None = None,
) -> AttackReport:
    """Attack a model on its test split, or on other data: `cs.attack("runs/photos", method="pgd", epsilons=[8/255])`.

    Args:
        model: a run, its folder, or a loaded model.
        data: labelled images; None attacks the test split of the model's own run. The file of one image is attacked
            itself, away from what the model predicts of it, or towards `target`.
        method: "fgsm", one step; "pgd", many; "apgd", many whose size follows the progress; "square", random search
            without gradients; or "autoattack", APGD, APGD towards each probable wrong class, and the square attack.
        norm: "linf", the largest change of a pixel in [0, 1], or "l2", the Euclidean length of all changes.
        epsilons: sizes of the change to try; None tries the usual ones of the norm.
        steps: number of steps, or of queries for "square"; None is 20 for "pgd", 100 for "apgd" and "autoattack", which
            adds 50 queries for each, and 1000 queries for "square".
        restarts: number of random starts of "pgd", "apgd" and "autoattack".
        target: class to reach, by name or number; None is any wrong one.
        images: maximum number of images to attack, drawn at random by `seed`.
        fool: also make an image from noise for each class that the model takes for it.
        batch: images in memory at once.
        seed: random seed.
        out: folder to save the result to, as `save` does; None writes nothing.
        data_dir: folder that holds the files of a built-in data set.
        console: where progress is shown; by default below the cell of a notebook, nowhere elsewhere.

    Returns:
        The robust accuracy at each epsilon, with examples, and the fooling images.

    Raises:
        ModelError: the model has no classes, or no gradients, which all but "square" need.
        ConfigError: an option is out of range.
        OutputError: `out` holds an earlier result.
    """
    from clearsight.attacks import attack as attacked
    from clearsight.attacks import fool as fooled
    from clearsight.attacks.curve import check

    if out is not None:
        refuse_existing(out, ("attack.html", "attack.json"))
    console = console or usual_console()
    at_least(1, batch_size=batch)
    if is_image_file(data):
        found, single = _one(
            predictor_of(model), data, method=method, norm=norm, epsilons=epsilons, steps=steps, restarts=restarts,
            target=target, seed=seed, console=console,
        )  # fmt: skip
        fooling = fooled(predictor_of(model), seed=seed, batch=batch, console=console) if fool else None
        return saved(AttackReport(found, fooling, single), out)
    held = evaluation_images(
        model, data, images, seed, console, data_dir, check=lambda predictor: check(predictor, method, norm)
    )
    goal = None if target is None else held.predictor.bundle.task.index_of(target)
    found = attacked(
        held.predictor, held.images, held.labels, names=held.names, method=method,
        norm=norm, epsilons=epsilons, steps=steps, restarts=restarts, target=goal,
        seed=seed, batch=batch, console=console,
    )  # fmt: skip
    fooling = fooled(held.predictor, seed=seed, batch=batch, console=console) if fool else None
    return saved(AttackReport(found, fooling), out)


def _one(
    predictor: Predictor,
    image: str | Path,
    *,
    method: str,
    norm: Norm,
    epsilons: Sequence[float] | None,
    steps: int | None,
    restarts: int,
    target: str | int | None,
    seed: int,
    console: Console,
) -> tuple[AttackCurve, tuple[Attacked, ...]]:
    """The curve of one image file, and its prediction at each epsilon."""
    from clearsight.attacks import attack as attacked
    from clearsight.attacks.curve import check

    check(predictor, method, norm)
    goal = None if target is None else predictor.bundle.task.index_of(target)
    one = predictor.inputs(image).single()
    pixels = next(iter(predictor.pixels(one)))
    predicted = predictor.predict_proba(pixels).argmax(1)
    if goal is not None and predicted[0] == goal:
        raise ConfigError(
            f"the image is already predicted as {predictor.classes[goal]}", found=f"--target {predictor.classes[goal]}",
            fix="choose a different class",
        )  # fmt: skip
    curve = attacked(
        predictor, pixels, predicted, names=one.names, method=method, norm=norm, epsilons=epsilons, steps=steps,
        restarts=restarts, target=goal, seed=seed, console=console,
    )  # fmt: skip
    each = tuple(
        attack_one(
            predictor,
            pixels[0],
            p.epsilon,
            method=method,
            norm=norm,
            steps=steps,
            restarts=restarts,
            target=goal,
            seed=seed,
        )
        for p in curve.points[1:]
    )
    return curve, each
