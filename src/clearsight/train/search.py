"""Hyper-parameter search by Optuna: trials that learn from one another, the hopeless ones cut short.

A trial trains on the training split and is scored on validation, or on every fold in turn; the test split stays shut.
The study is kept in SQLite, so a search that was stopped goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clearsight.console import Console, Silent
from clearsight.data.dataset import Dataset
from clearsight.data.prepare import Prepared
from clearsight.errors import CheckpointError, ConfigError, TrainingError
from clearsight.metrics import accuracy, log_loss
from clearsight.models.execution import device_of
from clearsight.models.zoo import entry
from clearsight.train.config import TrainConfig
from clearsight.train.context import TrainContext, TrainResult
from clearsight.train.observer import Epoch
from clearsight.train.optimisers import default_lr
from clearsight.train.recipe import Recipe, many_small, network_options, planned, say_errors
from clearsight.train.strategies.from_scratch import from_scratch
from clearsight.train.strategies.transfer import transfer
from clearsight.wording import count

CLASSES, OTHERS = ("log loss", "accuracy"), ("validation loss", "validation score")
"""What trials are scored by: for one class per image, and for every other task."""


@dataclass(frozen=True)
class Trial:
    """One setting and its score: mean calibrated log loss and accuracy over the validation folds, None if pruned.

    log_losses, accuracies: those of each fold.
    """

    number: int
    options: dict[str, Any]
    log_loss: float | None
    accuracy: float | None
    state: str
    seconds: float
    log_losses: tuple[float, ...] = ()
    accuracies: tuple[float, ...] = ()

    def deviations(self) -> tuple[float, float] | None:
        """Standard deviations of log loss and accuracy over the folds, where there are several."""
        if len(self.log_losses) < 2:
            return None
        return float(np.std(self.log_losses, ddof=1)), float(np.std(self.accuracies, ddof=1))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        spread = dict(zip(("log_loss_deviation", "accuracy_deviation"), self.deviations() or (), strict=False))
        return {**asdict(self), **spread}


@dataclass(frozen=True)
class Search:
    """What a search found. best: options for `train`; importance: share of the log loss's variation by option; base:
    options that all trials shared; network: those that name the best trial's network, where it starts at random.
    measures: what a trial's `log_loss` and `accuracy` are, which for tasks other than classes are the task's loss and
    its score (of numbers the share of the variance explained).
    """

    trials: tuple[Trial, ...]
    best: Trial
    importance: dict[str, float]
    folds: int
    base: dict[str, Any]
    network: dict[str, Any] = field(default_factory=dict)
    measures: tuple[str, str] = CLASSES

    def to_dict(self) -> dict[str, Any]:
        return {
            "measures": list(self.measures),
            "best": self.best.to_dict(),
            "importance": self.importance,
            "folds": self.folds,
            "trials": [t.to_dict() for t in self.trials],
        }


def search(
    dataset: Dataset,
    config: TrainConfig,
    given: Mapping[str, Any],
    *,
    trials: int,
    seconds: float | None,
    storage: Path,
    folds: int = 1,
    console: Console | None = None,
) -> Search:
    """Try settings until there are `trials` of them in the study, or `seconds` are over.

    config: the options all trials share; given: those the user named, which are not searched. storage: the SQLite file.
    folds: how many folds score a trial. Raises ConfigError where nothing is left to search, TrainingError when no trial
    finished.
    """
    import optuna

    console = console or Silent()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if config.run.resume or config.run.auto_fix:
        raise ConfigError(
            "a search supports neither --resume nor --auto-fix",
            found="--resume" if config.run.resume else "--auto-fix",
            fix="omit it; repeating the command resumes a search",
        )
    training = dataset.task.training
    if training.head == "one-class":
        raise ConfigError(
            "there is nothing to search: an anomaly model is trained only on normal images and has no validation score",
            found=f"the task {dataset.task.name}",
            fix="use `clearsight train`, which compares the methods itself",
        )  # fmt: skip
    data, recipe = planned(dataset, config, console)
    say_errors(console, data)
    folds = min(folds, len(data.split.folds))
    meaningless = training.unsupported | (set() if training.light_augmentation else {"augment"})
    taken = {**dict.fromkeys(meaningless), **given}  # what means nothing for the task is not tried
    suggest = space(config, recipe, taken, len(data.split.train), len(data.dataset))
    fixed = {name: value for name, value in given.items() if name not in ("out", "budget")}
    network = f"{recipe.model} {sorted(recipe.model_args.items())} {recipe.img_size}"
    file, name = f"sqlite:///{storage}", f"{data.pixels.key[:12]} {network} {sorted(fixed.items())} {folds}"
    if storage.is_file() and (others := optuna.get_all_study_names(file)) and name not in others:
        raise CheckpointError(
            f"{storage.parent} contains a search with different images or options",
            fix="choose a different folder with --out, or use the same options to continue that search",
        )
    study = optuna.create_study(
        storage=file,
        study_name=name,
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=3),
    )
    drawn = (config.run.seed + len(study.trials)) % 2**32  # a search that goes on draws no trial again
    study.sampler = optuna.samplers.TPESampler(seed=drawn)
    began = time.monotonic()
    advance = console.stage("searching", "trials")

    def objective(trial: Any) -> float:
        options = suggest(trial)
        scores: list[tuple[float, float]] = []
        for k in range(folds):
            try:
                result = _result(data, recipe, config, options, k, trial if k == 0 else None)
            except TrainingError:
                raise optuna.TrialPruned from None  # a loss that is not a number: no setting to keep
            scores.append(_score(data, result, config))
        trial.set_user_attr("scores", scores)
        return float(np.mean([s[0] for s in scores]))

    def over(study: Any, trial: Any) -> None:
        advance(len(study.trials), trials)
        if len(study.trials) >= trials or (seconds is not None and time.monotonic() - began > seconds):
            study.stop()

    if len(study.trials) < trials:  # a trial that was running when a search was killed counts as failed
        study.optimize(objective, n_trials=trials - len(study.trials), callbacks=[over], catch=())
    measures = CLASSES if dataset.task.needs_classes else OTHERS
    return replace(_summary(study, recipe, folds, dict(fixed)), measures=measures)


def space(
    config: TrainConfig, recipe: Recipe, given: Mapping[str, Any], images: int, all_images: int
) -> Callable[[Any], dict[str, Any]]:
    """What a trial may choose: rate, batch, decay, smoothing, optimiser, augmentation, and the network's width and
    depth, each unless the user named it. What training would take by itself is among the choices.

    images, all_images: in the training split, and in the data.
    """
    scratch, opt = recipe.kind == "scratch", config.optimization.opt
    known = (
        entry(recipe.model).model_args if scratch and recipe.model.startswith(("resnet", "seresnet", "plain")) else {}
    )
    widths = sorted({8, 16, 32, recipe.model_args.get("width", known["width"])}) if "width" in known else []
    scale = default_lr(opt) / default_lr("adamw") if opt else 1.0
    low, high = (1e-4 * scale, 1e-1 * scale) if scratch else (1e-5 * scale, 1e-2 * scale)
    optimisers = ["adamw", "nesterov"] + ["muon"] * (scratch and many_small(recipe.img_size, all_images))
    if recipe.kind == "probe" and config.model.freeze in ("auto", "all"):
        raise ConfigError(
            "there is nothing to search: cross-validation already chooses the head on frozen features",
            fix="add --freeze lower or --freeze none to train pretrained layers, or choose a network with --model",
        )
    if recipe.kind == "classical":
        raise ConfigError(
            "there is nothing to search: the settings of a classical model are already chosen on the validation images",
            fix="choose a network with --model",
        )
    batches = [b for b in (16, 32, 64, 128, 256) if b <= images // 4] or [max(1, images // 4)]

    def suggest(trial: Any) -> dict[str, Any]:
        chosen: dict[str, Any] = {}
        if "opt" not in given:
            chosen["opt"] = trial.suggest_categorical("opt", optimisers)
        if "lr" not in given and not config.optimization.lr_find:
            chosen["lr"] = trial.suggest_float("lr", low, high, log=True)
        if "batch_size" not in given:
            chosen["batch_size"] = trial.suggest_categorical("batch_size", batches)
        if "weight_decay" not in given and opt != "lbfgs":  # which has none
            chosen["weight_decay"] = trial.suggest_float("weight_decay", 1e-5, 1e-1, log=True)
        if "label_smoothing" not in given:
            chosen["label_smoothing"] = trial.suggest_categorical("label_smoothing", [0.0, 0.1])
        if "augment" not in given:
            chosen["augment"] = trial.suggest_categorical("augment", ["none", "mirror", "light", "strong"])
        if scratch and "model" not in given:
            chosen["model"] = trial.suggest_categorical("model", ["resnet8", "resnet20", "resnet32"])
        if widths and "model_arg" not in given:
            chosen["model_arg"] = {"width": trial.suggest_categorical("width", widths)}
        return chosen

    return suggest


def _result(
    data: Prepared, recipe: Recipe, config: TrainConfig, options: Mapping[str, Any], fold: int, trial: Any
) -> TrainResult:
    """Train one setting on one fold; a trial that looks worse than the others is cut short."""
    import optuna

    fit, val_rows = data.split.folds[fold]
    here = replace(data, split=replace(data.split, train=fit, val=val_rows))
    mine = {name: value for name, value in options.items() if name not in ("model", "model_arg")}  # are the recipe's
    chosen = config.with_options(**mine, budget=None)
    changed = _changed(recipe, options)

    def on_epoch(epoch: Epoch) -> None:
        if trial is not None:
            trial.report(epoch.val_loss, epoch.epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

    context = TrainContext(here, changed, chosen, device_of(config.run.device), Silent(), on_epoch=on_epoch)
    return transfer(context) if recipe.kind == "probe" else from_scratch(context)


def _changed(recipe: Recipe, options: Mapping[str, Any]) -> Recipe:
    """The recipe with a trial's network."""
    model_args = {**recipe.model_args, **options.get("model_arg", {})}
    return replace(recipe, model=options.get("model", recipe.model), model_args=model_args)


def _score(data: Prepared, result: TrainResult, config: TrainConfig) -> tuple[float, float]:
    """Calibrated log loss and accuracy on the validation images; of other tasks than classes the loss that all trials
    share, and the task's score.
    """
    rows, task = result.validation_indices, result.task
    encoded = None if task.needs_classes else task.encode(data.dataset)
    if encoded is None:
        truth = data.labels[rows]
        return log_loss(truth, task.decode(result.logits)), accuracy(truth, result.logits.argmax(1))
    name = config.optimization.loss or next(iter(task.training.losses))
    outputs, targets = torch.from_numpy(result.logits).float(), torch.from_numpy(encoded[rows])
    loss = float(task.training.losses[name](outputs, targets).mean())
    return loss, task.validation_score(result.logits, targets, name)[0]


def _summary(study: Any, recipe: Recipe, folds: int, base: dict[str, Any]) -> Search:
    import optuna

    found = []
    for t in study.trials:
        options = dict(t.params)
        if "width" in options:
            options["model_arg"] = {"width": options.pop("width")}
        finished = t.state == optuna.trial.TrialState.COMPLETE
        seconds = (t.datetime_complete - t.datetime_start).total_seconds() if t.datetime_complete else 0.0
        state = {"COMPLETE": "finished", "PRUNED": "cut short"}.get(t.state.name, "failed")
        scores = t.user_attrs["scores"] if finished else []
        losses, right = tuple(s[0] for s in scores), tuple(s[1] for s in scores)
        mean = float(np.mean(right)) if finished else None
        found.append(Trial(t.number, options, t.value if finished else None, mean, state, seconds, losses, right))
    complete = [t for t in found if t.log_loss is not None]
    if not complete:
        raise TrainingError(
            "no trial finished",
            found=f"{count(len(found), 'trial')} that stopped early or failed",
            fix="increase --trials",
        )
    importance: dict[str, float] = {}
    if len(complete) >= 4:
        try:
            importance = dict(optuna.importance.get_param_importances(study))
        except (ValueError, RuntimeError):  # too few different values
            importance = {}
    best = min(complete, key=lambda t: t.log_loss or 0)
    network = network_options(_changed(recipe, best.options)) if recipe.kind == "scratch" else {}
    return Search(tuple(found), best, importance, folds, base, network)
