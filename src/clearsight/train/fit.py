"""`fit`: from a data set to a bundle, the test split untouched.

read -> scan -> plan -> prepare -> transfer from a pretrained network | from scratch -> bundle
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.bundle import Bundle
from clearsight.console import Console, Silent
from clearsight.data.dataset import Dataset
from clearsight.data.geometry import Fit, Geometry
from clearsight.data.normal import require_normal
from clearsight.data.prepare import Prepared, prepare
from clearsight.data.scan import Scan, scan
from clearsight.data.sound import FACTS
from clearsight.data.targets import Task, is_direction, like_counts, require_variety
from clearsight.errors import ConfigError
from clearsight.metrics import accuracy, log_loss, softmax
from clearsight.models.execution import device_of
from clearsight.scale.distributed import ALONE, World
from clearsight.tasks.regression import like_angles
from clearsight.train.confident_learning import find_label_issues
from clearsight.train.config import TrainConfig
from clearsight.train.context import TrainContext, TrainResult, Watch
from clearsight.train.decision import Decision
from clearsight.train.head_search import Candidate
from clearsight.train.label_issues import LabelIssues
from clearsight.train.loop import score_of
from clearsight.train.losses import loss_for
from clearsight.train.observer import Epoch
from clearsight.train.ood import fit_ood_detector
from clearsight.train.recipe import Recipe, check_names, check_task, kept, larger_size, plan
from clearsight.train.ridge import ridge_head
from clearsight.train.strategies.classical import classical
from clearsight.train.strategies.from_scratch import from_scratch
from clearsight.train.strategies.one_class import train_one_class
from clearsight.train.strategies.transfer import transfer

TRAIN: dict[str, Callable[[TrainContext], TrainResult]] = {
    "probe": transfer,
    "scratch": from_scratch,
    "classical": classical,
}
"""What carries out each kind of recipe for classes."""

ANSWER: dict[str, Callable[[TrainContext], TrainResult]] = {"probe": ridge_head, "scratch": from_scratch}
"""The same for several labels and for numbers."""

WAYS: dict[Task, dict[str, Callable[[TrainContext], TrainResult]]] = {
    "classification": TRAIN,
    "multilabel": ANSWER,
    "regression": ANSWER,
    "anomaly": {"probe": train_one_class, "scratch": train_one_class},
}


@dataclass(frozen=True)
class Fitted:
    """What `fit` gives: the bundle, the prepared data, and the evidence for every choice.

    judged (M,): positions of the validation images; val_logits (M, K): their logits by weights that had not seen them.
    history is empty where no network was trained by gradient descent. tuned: a pretrained network was trained further
    and kept. seconds: of training; limits_seconds: of finding out what the model does not know and which labels to
    doubt. images_per_second: of training or of features. training: the
    resolved config, where a network was trained by gradient descent. suspects: labels that
    are probably wrong.
    """

    bundle: Bundle
    prepared: Prepared
    recipe: Recipe
    decisions: tuple[Decision, ...]
    judged: NDArray[np.int64]
    val_logits: NDArray[np.float64]
    history: tuple[Epoch, ...]
    candidates: tuple[Candidate, ...]
    tuned: bool
    seconds: float
    limits_seconds: float
    images_per_second: float
    training: TrainConfig | None = None
    suspects: LabelIssues | None = None


def fit(
    dataset: Dataset,
    config: TrainConfig,
    *,
    console: Console | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    watch: Watch | None = None,
    checkpoints: Path | None = None,
    world: World = ALONE,
    hold_out_test: bool = True,
    find_issues: bool = True,
) -> Fitted:
    """Train the classifier the options ask for, or the one that suits the data.

    on_epoch, watch: look on while a network is trained by gradient descent. checkpoints: a folder for its state,
    from which training goes on if something lies there. hold_out_test: carve a test split where the data states none;
    off where the caller holds one out already. doubt_labels: look for labels that are probably wrong. Raises DataError,
    ConfigError, ModelError, OutputError, CheckpointError or TrainingError, each with what to do.
    """
    console = console or Silent()
    began = time.perf_counter()
    check_names(config)
    device = device_of(config.run.device)
    test_fraction = config.data.test_fraction if hold_out_test else None
    scanned = scan(dataset, console.stage("looking at the files"))
    recipe = plan(config, scanned)
    _check_task(dataset, config, recipe)
    trials = Trials(dataset, scanned, config, test_fraction, device, console)
    recipe, geometry, why_so = trials.geometry(recipe)
    decisions = [*recipe.decisions, *_whole_numbers(dataset, config), *why_so]
    for decision in decisions:
        console.say(f"{decision.what}: {decision.choice} ({decision.why})")
    prepared, left_out = trials.prepared(geometry, console)
    for decision in left_out:
        console.say(f"{decision.what}: {decision.choice} ({decision.why})")
    for finding in prepared.audit.findings:
        if finding.severity == "warning":
            console.say(f"data: {finding.message}" + (f" -> {finding.fix}" if finding.fix else ""))
    job = TrainContext(prepared, recipe, config, device, console, on_epoch, watch, checkpoints, world, began)
    _note_angles(job)
    outcome = _train(job)
    trained = time.perf_counter()
    bundle = _bundle(outcome, prepared, geometry, scanned)
    suspects = None
    if world.rank == 0:
        alone = replace(job, world=ALONE)
        bundle = replace(bundle, limits=fit_ood_detector(alone, outcome, bundle))
        suspects = outcome.suspects
        if outcome.answer is None and find_issues:
            suspects = find_label_issues(alone)
    return Fitted(
        bundle=bundle,
        prepared=prepared,
        recipe=recipe,
        decisions=(*decisions, *left_out, *job.notes),
        judged=outcome.judged,
        val_logits=outcome.logits,
        history=outcome.history,
        candidates=outcome.candidates,
        tuned=outcome.tuned,
        seconds=trained - began,
        limits_seconds=time.perf_counter() - trained,
        images_per_second=outcome.images_per_second,
        training=outcome.training,
        suspects=suspects,
    )


def _bundle(outcome: TrainResult, prepared: Prepared, geometry: Geometry, scanned: Scan) -> Bundle:
    """The trained model with the facts of its data; how unusual an image may be is not known yet."""
    dataset = prepared.dataset
    return Bundle(
        network=outcome.network.eval(),
        classes=dataset.answers,
        answer=outcome.answer,
        form=prepared.form,
        geometry=geometry,
        temperature=outcome.temperature,
        data={
            "name": dataset.name,
            "origin": dataset.origin,
            "images": len(dataset),
            "fingerprint": prepared.pixels.key,
            "split": hashlib.blake2b(prepared.split.test.tobytes(), digest_size=8).hexdigest(),
            "media": scanned.media,
            **({"sound": {**FACTS, "columns": scanned.columns}} if scanned.sounds else {}),
        },
    )


def _whole_numbers(dataset: Dataset, config: TrainConfig) -> list[Decision]:
    """Say that whole numbers are taken for names of classes, where nobody said so and they may be counts; names of
    folders are none.
    """
    open_what = dataset.targets is None and config.data.task == "auto" and not Path(dataset.origin).is_dir()
    if not open_what or not like_counts(dataset.classes):
        return []
    why = "the labels are whole numbers, taken for names: --task regression if they are counts"
    return [Decision("labels", f"{len(dataset.classes)} classes", why)]


def _note_angles(job: TrainContext) -> None:
    """Say that numbers that fill a full turn are taken for plain ones, where the user did not say what they are."""
    table = job.data.dataset.targets
    if table and job.config.data.angle is None and (found := like_angles(table)):
        name, unit = found
        job.note("numbers", "plain", f"{name!r} fills a full turn: if it is an angle, say --angle {unit}")


def _check_task(dataset: Dataset, config: TrainConfig, recipe: Recipe) -> None:
    """Refuse options that mean nothing for what is to be predicted, all at once."""
    task, data, model, loss = dataset.task, config.data, config.model, config.optimization.loss
    loss_for(task, loss)
    numbers = [flag for flag, given in (("--angle", data.angle), ("--within", data.within)) if given]
    if task != "regression" and numbers:
        raise ConfigError(f"{', '.join(numbers)} is about numbers to predict", found=f"{dataset.name} has none")
    check_task(dataset, config)
    if dataset.targets is None:
        return
    if task == "regression" and is_direction(dataset.targets.values):
        plain = [*numbers, *(["--loss gaussian-nll"] if loss == "gaussian-nll" else [])]
        if plain:
            raise ConfigError(
                f"{', '.join(plain)}: not for a direction in the plane",
                found=f"unit vectors in {' and '.join(dataset.targets.names)}",
                fix="leave that out",
            )
    if task == "anomaly":
        require_normal(dataset)
        if recipe.kind == "scratch" and model.model != "auto" and len(dataset.targets.normal) == 1:
            raise ConfigError(
                f"{recipe.model} would start from random weights and learn to tell normal classes apart",
                found=f"one normal class, {dataset.targets.normal[0]}",
                fix="leave out --model, or name a network with published weights",
            )
    else:
        require_variety(dataset.targets, dataset.name)
    if recipe.kind == "classical":
        raise ConfigError(
            f"the classical model {recipe.model} tells classes apart",
            found=task,
            fix="leave out --model, or name a network",
        )
    wrong = {
        "--class-weights": config.regularization.class_weights != "none",
        "--adversarial": config.augmentation.adversarial != "none",
        "--label-smoothing": bool(config.regularization.label_smoothing) and task == "regression",
        "--freeze none or lower": model.freeze in ("none", "lower") and recipe.kind == "probe",
        "--heal": config.run.heal,
        "--fit auto": data.fit == "auto" and task == "anomaly",
    }
    if given := [flag for flag, asked in wrong.items() if asked]:
        raise ConfigError(
            f"{', '.join(given)}: for classes alone", found=f"{dataset.name} is {task}", fix="leave that out"
        )


@dataclass(frozen=True)
class Trials:
    """Short trainings that tell which geometry validates best, and what they are made with."""

    dataset: Dataset
    scanned: Scan
    config: TrainConfig
    test_fraction: float | None
    device: str
    console: Console

    def geometry(self, recipe: Recipe) -> tuple[Recipe, Geometry, list[Decision]]:
        """The size and the fit asked for. Of what --fit auto and a budget leave open, what validates best."""
        side, fit = recipe.img_size, self.config.data.fit
        decisions = []
        if fit != "auto":
            geometry = Geometry(side, side, cast(Fit, fit))
        elif self.scanned.all_square:
            geometry = Geometry(side, side)
            decisions.append(Decision("fit", "squash", "every image is square, so squash, pad and crop are one"))
        else:
            fits = {name: Geometry(side, side, name) for name in get_args(Fit)}
            geometry, decision = self._best("fit", recipe, fits)
            decisions.append(decision)
        larger = larger_size(recipe, self.config, self.scanned)
        if larger is not None:
            sizes = {str(n): replace(geometry, height=n, width=n) for n in (side, larger)}
            geometry, decision = self._best("size", recipe, sizes)
            decisions.append(decision)
        return replace(recipe, img_size=geometry.height), geometry, decisions

    def prepared(self, geometry: Geometry, console: Console) -> tuple[Prepared, list[Decision]]:
        """The images as the geometry has them, and their splits; and which images are left out of them."""
        data = prepare(
            self.dataset,
            self.scanned,
            geometry,
            seed=self.config.run.seed,
            test_fraction=self.test_fraction,
            folds=self.config.data.folds,
            progress=console.stage("reading pixels"),
        )
        return kept(data, self.config)

    def _best(self, what: str, recipe: Recipe, tried: dict[str, Geometry]) -> tuple[Geometry, Decision]:
        """The geometry that validates best after a training without a budget, and the decision for it."""
        config = self.config
        scores: dict[str, tuple[float, float]] = {}
        for name, geometry in tried.items():
            short = config.with_options(epochs=config.optimization.epochs or 8, budget=None, freeze="auto")
            own = replace(recipe, img_size=geometry.height)
            data, _ = self.prepared(geometry, self.console)
            job = TrainContext(data, own, short, self.device, Silent())
            scores[name] = _score(job, _train(job))
        best = max(scores, key=lambda name: scores[name])
        words = ", ".join(f"{name} {score[0]:.1%}" for name, score in scores.items())
        of = "validation accuracy" if self.dataset.targets is None else "how right it is in validation"
        return tried[best], Decision(what, best, f"{of}: {words}")


def _train(job: TrainContext) -> TrainResult:
    return WAYS[job.data.dataset.task][job.recipe.kind](job)


def _score(job: TrainContext, outcome: TrainResult) -> tuple[float, float]:
    """What validation says of a training: of two, the larger is better."""
    if outcome.answer is None:
        target = job.data.labels[outcome.judged]
        belief = softmax(outcome.logits, outcome.temperature)
        return accuracy(target, outcome.logits.argmax(1)), -log_loss(target, belief)
    outputs = torch.from_numpy(outcome.logits).float()
    loss = outcome.training.optimization.loss if outcome.training else ""
    score = float(score_of(outputs, job.examples.targets_of(outcome.judged), outcome.answer.task, loss).mean())
    return score, score
