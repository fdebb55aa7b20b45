"""`fit`: from a data set to a bundle, the test split untouched.

read -> scan -> plan -> prepare -> transfer from a pretrained network | from scratch -> bundle
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from clearsight.arguments import flag
from clearsight.bundle import Bundle
from clearsight.console import Console, Silent
from clearsight.data.content_order import by_content
from clearsight.data.dataset import Dataset
from clearsight.data.exclusion import other_class
from clearsight.data.geometry import Geometry, ResizeMode
from clearsight.data.prepare import Prepared, prepare
from clearsight.data.ranks import alone
from clearsight.data.scan import Scan, scan
from clearsight.data.sound import FACTS
from clearsight.data.split_record import SplitRecord
from clearsight.distributed import ALONE, World
from clearsight.errors import ConfigError, DataError
from clearsight.models.execution import device_of
from clearsight.tasks import registered_tasks
from clearsight.train.allowance import Work, searches, work_of
from clearsight.train.class_weight import check_class_weight
from clearsight.train.confident_learning import find_label_issues
from clearsight.train.config import TrainConfig
from clearsight.train.context import TrainContext, TrainResult, Watch
from clearsight.train.drift import drift_reference
from clearsight.train.halving import Trial
from clearsight.train.head_search import Candidate
from clearsight.train.label_issues import LabelIssues
from clearsight.train.network_selection import NetworkSelection
from clearsight.train.observer import Epoch
from clearsight.train.ood import fit_ood_detector
from clearsight.train.operating import check_wishes, wishes_of, with_operating_point
from clearsight.train.previous import Previous
from clearsight.train.range_test import RangeTest
from clearsight.train.recipe import (
    Decision,
    Recipe,
    check_names,
    check_task,
    checked,
    first_geometry,
    kept,
    larger_size,
    plan,
)
from clearsight.train.ridge import ridge_head
from clearsight.train.strategies.classical import classical
from clearsight.train.strategies.from_scratch import from_scratch
from clearsight.train.strategies.one_class import train_one_class
from clearsight.train.strategies.transfer import transfer
from clearsight.wording import percent

Strategy = Callable[[TrainContext], TrainResult]

STRATEGIES: dict[str, dict[str, Strategy]] = {
    "classifier": {"probe": transfer, "scratch": from_scratch, "classical": classical},
    "regression": {"probe": ridge_head, "scratch": from_scratch},
    "one-class": {"probe": train_one_class, "scratch": train_one_class},
}
"""What carries out each kind of recipe, by how the task fits a head (`tasks.task.Training.head`)."""


@dataclass(frozen=True)
class Fitted:
    """What `fit` gives: the bundle, the prepared data, and the evidence for every choice.

    validation_indices (M,): positions of the validation images; val_logits (M, K): their logits by weights that had not
    seen them. history is empty where no network was trained by gradient descent. tuned: a pretrained network was
    trained further and kept. seconds: of training; ood_seconds: of fitting the OOD detector and finding label issues.
    images_per_second: of training or of features, 0 if these were in the cache. training: the resolved config, where a
    network was trained by gradient descent. label_issues: labels that are probably wrong. trials: networks, sizes and
    ways of training that were compared. range_test: the last one of --lr-find.
    """

    bundle: Bundle
    prepared: Prepared
    recipe: Recipe
    decisions: tuple[Decision, ...]
    validation_indices: NDArray[np.int64]
    val_logits: NDArray[np.float64]
    history: tuple[Epoch, ...]
    candidates: tuple[Candidate, ...]
    tuned: bool
    seconds: float
    ood_seconds: float
    images_per_second: float
    training: TrainConfig | None = None
    label_issues: LabelIssues | None = None
    trials: tuple[Trial, ...] = ()
    range_test: RangeTest | None = None

    @property
    def whole_seconds(self) -> float:
        """From images to a model that knows unknown images, label issues included."""
        return self.seconds + self.ood_seconds


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
    previous: Previous | None = None,
) -> Fitted:
    """Train the classifier the options ask for, or the one that suits the data.

    on_epoch, watch: look on while a network is trained by gradient descent. checkpoints: a folder for its state, from
    which training goes on if something lies there. hold_out_test: carve a test split where the data states none; off
    where the caller holds one out already. find_issues: look for labels that are probably wrong. previous: a run that
    is continued on this data, by its recipe and from its weights. Raises DataError, ConfigError, ModelError,
    OutputError, CheckpointError or TrainingError, each with what to do.
    """
    console = console or Silent()
    began = time.perf_counter()
    check_names(config)
    wishes = wishes_of(config)  # a file that cannot be read is refused before training
    device = device_of(config.run.device)
    dataset, other = other_class(dataset, config.data.other) if config.data.other else (dataset, None)
    check_wishes(wishes, dataset)
    test_fraction = config.data.test_fraction if hold_out_test else None
    scanned = scan(dataset, console.stage("inspecting the files"))
    recipe = plan(config, scanned, dataset.task) if previous is None else checked(previous.recipe, config)
    _check_task(dataset, config, recipe)
    geometry = first_geometry(recipe, config) if previous is None else previous.geometry
    dataset, other, scanned = _in_order(dataset, other, scanned, geometry, previous, config, console)
    trials = Trials(dataset, scanned, config, test_fraction, device, console, previous)
    work = work_of(config)
    recipe, geometry, why_so, tried = trials.geometry(recipe, work)
    decisions = [*recipe.decisions, *(Decision(*note) for note in dataset.task.notes(dataset, config)), *why_so]
    _say(console, decisions)
    prepared, left_out = trials.prepared(geometry, console)
    if test_fraction is not None:
        _require_test(prepared)
    _say(console, left_out)
    _say_findings(console, prepared)
    context = TrainContext(
        prepared, recipe, config, device, console, on_epoch, watch, checkpoints, world, began, previous=previous,
        work=work, trials=[*tried],
    )  # fmt: skip
    result = _train(context)
    task, decided = with_operating_point(
        result.task, result.logits, result.task.truth(dataset)[result.validation_indices], wishes
    )  # fmt: skip
    for decision in decided:
        console.say(f"{decision.what}: {decision.choice}")
    calibrated_on = result.for_calibration[0]
    task = task.with_groups({name: column[calibrated_on] for name, column in dataset.metadata.items()})
    result = replace(result, task=task)
    trained = time.perf_counter()
    bundle = _bundle(result, prepared, geometry, scanned, previous)
    label_issues = None
    if world.rank == 0:
        bundle, label_issues = _examined(replace(context, world=ALONE), result, bundle, other, find_issues)
    return Fitted(
        bundle=bundle,
        prepared=prepared,
        recipe=recipe,
        decisions=(*decisions, *left_out, *context.notes, *decided),
        validation_indices=result.validation_indices,
        val_logits=result.logits,
        history=result.history,
        candidates=result.candidates,
        tuned=result.tuned,
        seconds=trained - began,
        ood_seconds=time.perf_counter() - trained,
        images_per_second=result.images_per_second,
        training=result.training,
        label_issues=label_issues,
        trials=tuple(context.trials),
        range_test=context.range_tests[-1] if context.range_tests else None,
    )


def _examined(
    context: TrainContext, result: TrainResult, bundle: Bundle, other: Dataset | None, find_issues: bool
) -> tuple[Bundle, LabelIssues | None]:
    """The bundle with its OOD detector, and the label issues; both are found by one process alone."""
    with alone():
        bundle = replace(bundle, ood_detector=fit_ood_detector(context, result, bundle, other))
        monitor = drift_reference(context, result, bundle.ood_detector).to_dict()
        bundle = replace(bundle, data={**bundle.data, "monitor": monitor})
        if result.task.training.label_issues and find_issues:
            return bundle, find_label_issues(context)
    return bundle, result.label_issues


def _in_order(
    dataset: Dataset, other: Dataset | None, scanned: Scan, geometry: Geometry, previous: Previous | None,
    config: TrainConfig, console: Console,
) -> tuple[Dataset, Dataset | None, Scan]:  # fmt: skip
    """The data, and the images of no class, in the order that the configuration names."""
    if config.data.order == "listed":
        return dataset, other, scanned
    form = scanned.form if previous is None else previous.form
    dataset, scanned = by_content(dataset, scanned, geometry, form=form, progress=console.stage("reading pixels"))
    if other is not None:
        other, _ = by_content(other, scan(other), geometry, form=form)
    return dataset, other, scanned


def _say(console: Console, decisions: Sequence[Decision]) -> None:
    for decision in decisions:
        console.say(f"{decision.what}: {decision.choice} ({decision.why})")


def _say_findings(console: Console, prepared: Prepared) -> None:
    for finding in prepared.audit.findings:
        if finding.severity == "error":
            console.say(f"error: {finding.message} -> {finding.fix}", "error")
        elif finding.severity == "warning" or finding.code == "source":
            level = "warning" if finding.severity == "warning" else "info"
            console.say(f"data: {finding.message}" + (f" -> {finding.fix}" if finding.fix else ""), level)


def _require_test(prepared: Prepared) -> None:
    if not len(prepared.split.test):
        raise DataError(
            "every test image is also a training or validation image",
            found=prepared.split.rule.rpartition("; ")[2],
            expected="test images that are not used for training",
            fix="correct the `split` column or the split folders, or remove them to split the images at random",
        )


def _bundle(
    result: TrainResult, prepared: Prepared, geometry: Geometry, scanned: Scan, previous: Previous | None
) -> Bundle:
    """The trained model with the facts of its data; how unusual an image may be is not known yet."""
    dataset, record = prepared.dataset, SplitRecord.of(prepared)
    if previous is not None:
        record = record.after(previous.record)
    return Bundle(
        network=result.network.eval(),
        task=result.task,
        form=prepared.form,
        geometry=geometry,
        data={
            "name": dataset.name,
            "origin": dataset.origin,
            **({"added_to": list(dataset.added_to)} if dataset.added_to else {}),
            "images": len(dataset),
            "fingerprint": prepared.pixels.key,
            "split": record.digest,
            "media": scanned.media,
            **({"sound": {**FACTS, "columns": scanned.columns}} if scanned.sounds else {}),
            **({"detection": dataset.boxed.record().to_dict()} if dataset.boxed else {}),
        },
        split=record,
    )


def _check_task(dataset: Dataset, config: TrainConfig, recipe: Recipe) -> None:
    """Refuse options that mean nothing for what is to be predicted, all at once."""
    task, loss, changed = dataset.task, config.optimization.loss, config.changed()
    if loss is not None and loss not in task.training.losses:
        raise ConfigError(
            f"--loss {loss} is not available for the task {task.name}", expected=", ".join(task.training.losses)
        )
    for other in registered_tasks():
        given = [flag(name) for name in other.own_options if name in changed]
        if given and other.name != task.name:
            raise ConfigError(
                f"only the task {other.name} supports {', '.join(given)}",
                found=f"{dataset.name} with the task {task.name}",
            )
    check_task(dataset, config)
    task.check(dataset, config.with_options(pretrained=False) if recipe.kind == "scratch" else config)
    if recipe.kind not in STRATEGIES[task.training.head]:
        raise ConfigError(
            f"the classical model {recipe.model} supports only classification",
            found=task.name,
            fix="omit --model, or choose a network",
        )
    wrong = {
        "class_weight": ("--class-weight", config.regularization.class_weight != "none"),
        "adversarial": ("--adversarial", config.augmentation.adversarial != "none"),
        "label_smoothing": ("--label-smoothing", bool(config.regularization.label_smoothing)),
        "freeze": (
            ", ".join(config.transfer.given()) or "--freeze none, lower or recipe",
            bool(config.transfer.given()) or (config.model.freeze in MOVES and recipe.kind == "probe"),
        ),
        "auto_fix": ("--auto-fix", config.run.auto_fix),
        "resize_mode": ("--resize-mode auto", config.data.resize_mode == "auto"),
    }
    if given := [option for name, (option, asked) in wrong.items() if asked and name in task.training.unsupported]:
        raise ConfigError(
            f"only classification supports {', '.join(given)}",
            found=f"{dataset.name} with the task {task.name}",
            fix=f"drop {', '.join(given)}",
        )
    check_class_weight(config.regularization.class_weight, dataset)


MOVES = ("none", "lower", "recipe")
"""Values of --freeze under which layers of a pretrained network are trained."""


@dataclass(frozen=True)
class Trials:
    """Short trainings that find the geometry that validates best."""

    dataset: Dataset
    scanned: Scan
    config: TrainConfig
    test_fraction: float | None
    device: str
    console: Console
    previous: Previous | None = None

    def geometry(self, recipe: Recipe, work: Work) -> tuple[Recipe, Geometry, list[Decision], tuple[Trial, ...]]:
        """The network, size and fit asked for. Of what options leave open, what validates best; and trials of networks
        and sizes.
        """
        if self.previous is not None:
            return recipe, self.previous.geometry, [], ()
        side, mode = recipe.img_size, self.config.data.resize_mode
        decisions = []
        if mode != "auto":
            geometry = first_geometry(recipe, self.config)
        elif self.scanned.all_square:
            geometry = Geometry(side, side)
            decisions.append(
                Decision("resize mode", "squash", "all images are square, so squash, pad and crop give the same result")
            )
        else:
            modes = {name: Geometry(side, side, name) for name in get_args(ResizeMode)}
            geometry, decision = self._best("resize mode", recipe, modes)
            decisions.append(decision)
        if self._compares_networks(recipe):
            selection = NetworkSelection(
                self.dataset, self.scanned, self.scanned.form, self.config, self.test_fraction, self.device,
                self.console, recipe, geometry, work,
            )  # fmt: skip
            recipe, geometry, why, tried = selection.choose()
            return recipe, geometry, [*decisions, *why], tried
        larger = larger_size(recipe, self.config, self.scanned, self.dataset.task)
        if larger is not None:
            sizes = {str(n): replace(geometry, height=n, width=n) for n in (side, larger)}
            geometry, decision = self._best("size", recipe, sizes)
            decisions.append(decision)
        return replace(recipe, img_size=geometry.height), geometry, decisions, ()

    def _compares_networks(self, recipe: Recipe) -> bool:
        """Whether networks and sizes are compared by the heads on their features."""
        usual = self.dataset.boxed is None and not self.scanned.sounds
        classifies = self.dataset.task.training.head == "classifier"
        return usual and classifies and recipe.kind == "probe" and searches(self.config)

    def prepared(self, geometry: Geometry, console: Console) -> tuple[Prepared, list[Decision]]:
        """The images as the geometry has them, and their splits; and which images are left out of them."""
        data = prepare(
            self.dataset,
            self.scanned,
            geometry,
            seed=self.config.run.seed,
            test_fraction=self.test_fraction,
            folds=self.config.data.folds,
            form=None if self.previous is None else self.previous.form,
            progress=console.stage("reading pixels"),
        )
        return kept(data, self.config)

    def _best(self, what: str, recipe: Recipe, tried: dict[str, Geometry]) -> tuple[Geometry, Decision]:
        """The geometry that validates best after a training without a budget, and the decision for it."""
        config = self.config
        scores: dict[str, tuple[float, float]] = {}
        for name, geometry in tried.items():
            short = config.with_options(epochs=config.optimization.epochs or 8, budget=None, freeze="all")
            own = replace(recipe, img_size=geometry.height)
            data, _ = self.prepared(geometry, self.console)
            context = TrainContext(data, own, short, self.device, Silent())
            scores[name] = _score(context, _train(context))
        best = max(scores, key=lambda name: scores[name])
        words = ", ".join(f"{name} {percent(score[0])}" for name, score in scores.items())
        of = "validation accuracy" if self.dataset.task.needs_classes else "validation score"
        return tried[best], Decision(what, best, f"{of}: {words}")


def _train(context: TrainContext) -> TrainResult:
    return STRATEGIES[context.task.training.head][context.recipe.kind](context)


def _score(context: TrainContext, result: TrainResult) -> tuple[float, float]:
    """What validation says of a training: of two, the larger is better."""
    loss = result.training.optimization.loss if result.training else ""
    return result.task.validation_score(
        result.logits, context.examples.targets_of(result.validation_indices), loss or ""
    )
