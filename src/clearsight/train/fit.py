"""`fit`: from a data set to a bundle, the test split untouched.

read -> scan -> plan -> prepare -> probe (and fine-tune, if the budget allows and validation agrees) | scratch -> bundle
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.belief.temperature import fit_temperature
from clearsight.bundle import Bundle
from clearsight.config import Config, TrainConfig, seconds
from clearsight.console import Console, Silent
from clearsight.data.dataset import Dataset
from clearsight.data.geometry import Fit, Geometry
from clearsight.data.prepare import Prepared, prepare
from clearsight.data.scan import Scan, scan
from clearsight.engines import operations
from clearsight.errors import ConfigError
from clearsight.metrics import accuracy, log_loss, softmax
from clearsight.models.network import Network, Probe, headless, tap_points
from clearsight.models.pretrained import load_backbone, weight_facts
from clearsight.train.features import extract
from clearsight.train.loop import Epoch, Trained, logits_of, train_network
from clearsight.train.probe import Candidate, ProbeResult, choose_head, fit_softmax
from clearsight.train.recipe import Decision, Recipe, check_names, plan

SCRATCH_WORK = 4e12
"""Operations that training from scratch may cost before epochs are cut, about two minutes on two cores."""


@dataclass(frozen=True)
class Fitted:
    """What `fit` gives: the bundle, the prepared data, and the evidence for every choice.

    judged (M,): positions of the validation images; val_logits (M, K): their logits by weights that had not seen them.
    history is empty where no network was trained by gradient descent. tuned: a pretrained network was trained further
    and kept. images_per_second: of training or of features.
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
    images_per_second: float


def fit(
    dataset: Dataset,
    config: Config,
    *,
    console: Console | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    hold_out_test: bool = True,
) -> Fitted:
    """Train the classifier the options ask for, or the one that suits the data.

    hold_out_test: carve a test split where the data states none; off where the caller holds one out already.
    Raises DataError, ConfigError, ModelError, OutputError or TrainingError, each with what to do.
    """
    console = console or Silent()
    began = time.perf_counter()
    check_names(config)
    device = _device(config.run.device)
    test_fraction = config.data.test_fraction if hold_out_test else None
    scanned = scan(dataset, console.stage("looking at the files"))
    recipe = plan(config, scanned)
    geometry, why_fit = _geometry(dataset, scanned, recipe, config, test_fraction, device, console)
    prepared = _prepare(dataset, scanned, geometry, config, test_fraction, console)
    decisions = [*recipe.decisions, *why_fit]
    for decision in decisions:
        console.say(f"{decision.what}: {decision.choice} ({decision.why})")
    for finding in prepared.audit.findings:
        if finding.severity == "warning":
            console.say(f"data: {finding.message}" + (f" -> {finding.fix}" if finding.fix else ""))
    work = _Work(prepared, recipe, config, device, console, on_epoch)
    outcome = work.probe() if recipe.kind == "probe" else work.scratch()
    for decision in outcome.decisions:
        console.say(f"{decision.what}: {decision.choice} ({decision.why})")
    bundle = Bundle(
        network=outcome.network.eval(),
        classes=dataset.classes,
        form=prepared.form,
        geometry=geometry,
        temperature=outcome.temperature,
        data={
            "name": dataset.name,
            "origin": dataset.origin,
            "images": len(dataset),
            "fingerprint": prepared.pixels.key,
        },
    )
    return Fitted(
        bundle=bundle,
        prepared=prepared,
        recipe=recipe,
        decisions=(*decisions, *outcome.decisions),
        judged=outcome.judged,
        val_logits=outcome.logits,
        history=outcome.history,
        candidates=outcome.candidates,
        tuned=outcome.tuned,
        seconds=time.perf_counter() - began,
        images_per_second=outcome.images_per_second,
    )


@dataclass(frozen=True)
class _Outcome:
    network: Network | Probe
    temperature: float
    judged: NDArray[np.int64]
    logits: NDArray[np.float64]
    history: tuple[Epoch, ...]
    candidates: tuple[Candidate, ...]
    decisions: tuple[Decision, ...]
    images_per_second: float
    tuned: bool = False


@dataclass(frozen=True)
class _Work:
    """The data and options that the ways to a network share."""

    data: Prepared
    recipe: Recipe
    config: Config
    device: str
    console: Console
    on_epoch: Callable[[Epoch], None] | None

    @property
    def classes(self) -> int:
        return len(self.data.dataset.classes)

    def scratch(self) -> _Outcome:
        """Train a network from random weights."""
        split, options = self.data.split, self.config.train
        network = new_network(self.recipe, self.data, self.config.run.seed)
        batch = options.batch_size or (64 if len(split.train) < 5000 else 128)
        forward = operations(network, self.data.pixels.array.shape[1:])
        cost = 3 * forward * len(split.train)  # the backward pass costs twice the forward one
        epochs, decisions = options.epochs, []
        if epochs is None:
            budget = self.config.run.budget
            if budget is not None:
                per_epoch = self._epoch_seconds(network, batch)
                epochs = int(np.clip(seconds(budget) // per_epoch, 1, 60))
                why = f"an epoch takes {per_epoch:.1f} s here and the budget is {budget}"
            else:
                epochs = int(np.clip(SCRATCH_WORK // cost, 8, 40))
                why = f"a pass over {len(split.train):,} images costs {cost / 1e9:,.0f} billion operations"
            decisions.append(Decision("epochs", str(epochs), why))
        rate = options.lr or 5e-3
        trained = self._train(network, epochs, batch, [{"params": list(network.parameters()), "lr": rate}], "training")
        if trained.stopped_early:
            why = f"no better validation loss in {options.patience} epochs"
            decisions.append(Decision("stop", f"after epoch {len(trained.history)}", why))
        logits = logits_of(network, self.data.pixels.array, split.val, batch, "cpu").double().numpy()
        temperature = fit_temperature(logits, self.data.labels[split.val])
        return _Outcome(
            network,
            temperature,
            split.val,
            logits,
            trained.history,
            (),
            tuple(decisions),
            trained.images_per_second,
        )

    def probe(self) -> _Outcome:
        """Choose a head on frozen features, then fine-tune where that is asked for."""
        data, split = self.data, self.data.split
        probe = new_probe(self.recipe)
        rows = np.sort(np.concatenate([split.train, split.val]))
        began = time.perf_counter()
        parts = extract(probe, data.pixels, rows, device=self.device, progress=self.console.stage("features"))
        speed = len(rows) / (time.perf_counter() - began)
        place = {int(image): i for i, image in enumerate(rows)}

        def positions(images: NDArray[np.int64]) -> NDArray[np.int64]:
            return np.array([place[int(i)] for i in images], dtype=np.int64)

        result = choose_head(
            parts,
            feature_sets(probe),
            data.labels[rows],
            data.weights[rows],
            [(positions(a), positions(b)) for a, b in split.folds],
            positions(split.development),
            self.classes,
            seed=self.config.run.seed,
            progress=self.console.stage("choosing the head"),
        )
        probe.set_head(result.chosen.parts, result.head_spec, result.head)
        equals = sum(c.accuracy == result.chosen.accuracy for c in result.candidates)
        tie = f", and of the {equals} that share it the lowest log loss" if equals > 1 else ""
        why = (
            f"highest validation accuracy, {result.chosen.accuracy:.1%}, of {len(result.candidates)} candidates{tie}; "
            f"the best on the last features alone reached {_best(result, 'last features'):.1%}"
        )
        decisions = [Decision("head", result.chosen.words(), why)]
        outcome = _Outcome(
            probe,
            result.temperature,
            rows[result.judged],
            result.logits,
            (),
            result.candidates,
            tuple(decisions),
            speed,
        )
        if self.config.model.freeze == "none" or (self.config.run.budget and self.config.model.freeze == "auto"):
            return self._fine_tune(probe, result, parts, positions, outcome)
        idle = [name for name, value in vars(self.config.train).items() if value != getattr(TrainConfig(), name)]
        if idle:
            options = ", ".join("--" + name.replace("_", "-") for name in idle)
            why = "the network's weights stay as they are; --budget or --freeze none trains them"
            outcome = replace(outcome, decisions=(*decisions, Decision("without effect", options, why)))
        return outcome

    def _fine_tune(
        self,
        probe: Probe,
        result: ProbeResult,
        parts: list[NDArray[np.float32]],
        positions: Callable[[NDArray[np.int64]], NDArray[np.int64]],
        before: _Outcome,
    ) -> _Outcome:
        """Train all weights from the probe's head on; keep the result if it does better on the validation split."""
        data, split, options = self.data, self.data.split, self.config.train
        forced = self.config.model.freeze == "none"
        tuned = copy.deepcopy(probe)
        best_softmax = min(
            (c for c in result.candidates if c.head == "softmax" and c.features == result.chosen.features),
            key=lambda c: c.log_loss,
        )
        rows = np.sort(np.concatenate([split.train, split.val]))
        spec, head = fit_softmax(
            [parts[i] for i in result.chosen.parts],
            positions(split.train),
            data.labels[rows],
            data.weights[rows],
            self.classes,
            best_softmax.setting["L2"],
        )
        tuned.set_head(result.chosen.parts, spec, head)
        batch = options.batch_size or 32
        budget = self.config.run.budget
        epochs = options.epochs
        if epochs is None and budget is not None:
            per_epoch = self._epoch_seconds(tuned, batch)
            epochs = min(20, int(seconds(budget) // per_epoch))
            if epochs < 1:
                why = f"one epoch would take {per_epoch:.0f} s and the budget is {budget}"
                return replace(before, decisions=(*before.decisions, Decision("fine-tuning", "left out", why)))
        rate = options.lr or 3e-4
        groups = [
            {"params": list(tuned.backbone.parameters()), "lr": rate},
            {"params": list(tuned.head.parameters()), "lr": rate},
        ]
        trained = self._train(tuned, epochs or 5, batch, groups, "fine-tuning", frozen_norm=True)
        logits = logits_of(tuned, data.pixels.array, split.val, batch, "cpu").double().numpy()
        target = data.labels[split.val]
        temperature = fit_temperature(logits, target)
        new = accuracy(target, logits.argmax(1)), -log_loss(target, softmax(logits, temperature))
        row_of = {int(image): i for i, image in enumerate(before.judged)}
        old_logits = before.logits[[row_of[int(i)] for i in split.val]]
        old = (
            accuracy(target, old_logits.argmax(1)),
            -log_loss(target, softmax(old_logits, before.temperature)),
        )
        keep = new > old or forced
        numbers = (
            f"validation accuracy {new[0]:.1%} against {old[0]:.1%} of the frozen network, on {len(target)} images"
        )
        choice = "kept" if keep else "not kept"
        decision = Decision(
            "fine-tuning", choice, numbers + (", as --freeze none asks" if forced and not new > old else "")
        )
        if not keep:
            return replace(before, history=trained.history, decisions=(*before.decisions, decision))
        return _Outcome(
            tuned,
            temperature,
            split.val,
            logits,
            trained.history,
            before.candidates,
            (*before.decisions, decision),
            trained.images_per_second,
            tuned=True,
        )

    def _train(
        self,
        network: torch.nn.Module,
        epochs: int,
        batch: int,
        groups: list[dict[str, Any]],
        title: str,
        frozen_norm: bool = False,
    ) -> Trained:
        data, options = self.data, self.config.train
        if options.batch_size and options.batch_size > len(data.split.train):
            raise ConfigError(
                "the batch is larger than the training split",
                found=f"--batch-size {options.batch_size} for {len(data.split.train)} images",
                fix="use a smaller --batch-size",
            )
        advance = self.console.stage(title)
        return train_network(
            network,
            data.pixels.array,
            data.labels,
            data.weights,
            data.split.train,
            data.split.val,
            epochs=epochs,
            batch_size=batch,
            groups=groups,
            weight_decay=options.weight_decay,
            label_smoothing=options.label_smoothing,
            augmentation=options.augment,
            patience=options.patience,
            seed=self.config.run.seed,
            device=self.device,
            frozen_norm=frozen_norm,
            on_epoch=self.on_epoch,
            on_step=advance,
        )

    def _epoch_seconds(self, network: torch.nn.Module, batch: int) -> float:
        """Time of one epoch here, from two steps on a copy of the network after one to warm up."""
        data, trial = self.data, copy.deepcopy(network)
        few = data.split.train[: batch * 3]
        times: list[float] = []

        def tick(done: int, total: int) -> None:
            times.append(time.perf_counter())

        train_network(
            trial, data.pixels.array, data.labels, data.weights, few, data.split.val[:batch], epochs=1,
            batch_size=batch, groups=[{"params": list(trial.parameters()), "lr": 1e-6}], weight_decay=0,
            label_smoothing=0, augmentation=self.config.train.augment, patience=1, seed=0, device=self.device,
            on_step=tick,
        )  # fmt: skip
        if len(times) < 2:
            return 1.0
        step = (times[-1] - times[0]) / (len(times) - 1)
        return step * (len(data.split.train) + len(data.split.val) / 3) / batch


def new_network(recipe: Recipe, data: Prepared, seed: int) -> Network:
    """A network with random weights whose input layer has the training split's mean and deviation."""
    mean, std = channel_statistics(data)
    torch.manual_seed(seed)
    return Network(
        {
            "kind": "network",
            "name": recipe.model,
            "classes": len(data.dataset.classes),
            "img_size": recipe.img_size,
            "knobs": recipe.knobs,
            "input": {"mean": mean, "std": std, "mode": "fixed"},
        }
    )


def new_probe(recipe: Recipe) -> Probe:
    """The pretrained backbone, tapped at the ends of its stages, still without a head."""
    facts = weight_facts(recipe.model)
    body = headless(recipe.model, len(facts.mean), recipe.img_size, recipe.knobs)
    taps = tap_points(body)
    probe = Probe(
        {
            "kind": "probe",
            "name": recipe.model,
            "img_size": recipe.img_size,
            "knobs": recipe.knobs,
            "input": {"mean": list(facts.mean), "std": list(facts.std), "mode": "fixed"},
            "taps": taps,
            "parts": [len(taps)],
            "head": None,
        }
    )
    load_backbone(probe)
    return probe.eval()


def feature_sets(probe: Probe) -> dict[str, tuple[int, ...]]:
    """The joins of parts worth trying: the last features, all depths, the later stages without the last."""
    n = len(probe.taps)
    sets: dict[str, tuple[int, ...]] = {"last features": (n,)}
    if n >= 2:
        sets["all depths"] = tuple(range(n + 1))
        sets["later stages"] = tuple(range(n // 2 - 1 if n > 2 else 0, n))
    return sets


def channel_statistics(data: Prepared, sample: int = 5000) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel of the training split, of [0, 1] pixels, over at most `sample` images."""
    rows = data.split.train[:: max(1, len(data.split.train) // sample)]
    total, squares, count = np.zeros(data.form.channels), np.zeros(data.form.channels), 0
    scale = 255.0 if data.form.bits == 8 else 65535.0
    for start in range(0, len(rows), 64):
        x = data.pixels.array[rows[start : start + 64]] / scale
        total, squares = total + x.sum(axis=(0, 2, 3)), squares + (x**2).sum(axis=(0, 2, 3))
        count += x.size // x.shape[1]
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1e-8))
    return [float(m) for m in mean], [float(s) for s in std]


def _prepare(
    dataset: Dataset,
    scanned: Scan,
    geometry: Geometry,
    config: Config,
    test_fraction: float | None,
    console: Console,
) -> Prepared:
    return prepare(
        dataset,
        scanned,
        geometry,
        seed=config.run.seed,
        test_fraction=test_fraction,
        folds=config.data.folds,
        progress=console.stage("reading pixels"),
    )


def _geometry(
    dataset: Dataset,
    scanned: Scan,
    recipe: Recipe,
    config: Config,
    test_fraction: float | None,
    device: str,
    console: Console,
) -> tuple[Geometry, list[Decision]]:
    """The geometry asked for, or, for --fit auto, the one that validates best in a short trial."""
    side, fit = recipe.img_size, config.data.fit
    if fit != "auto":
        return Geometry(side, side, cast(Fit, fit)), []
    if scanned.all_square:
        return Geometry(side, side), [
            Decision("fit", "squash", "every image is square, so squash, pad and crop are one")
        ]
    scores: dict[str, tuple[float, float]] = {}
    for name in ("squash", "pad", "crop"):
        trial = Geometry(side, side, name)
        data = _prepare(dataset, scanned, trial, config, test_fraction, console)
        work = _Work(data, recipe, config, device, Silent(), None)
        if recipe.kind == "probe":
            outcome = replace(work, config=_without_budget(config)).probe()
        else:
            short = replace(config, train=replace(config.train, epochs=config.train.epochs or 8))
            outcome = replace(work, config=short).scratch()
        target = data.labels[outcome.judged]
        belief = softmax(outcome.logits, outcome.temperature)
        scores[name] = accuracy(target, outcome.logits.argmax(1)), -log_loss(target, belief)
    best = max(scores, key=lambda name: scores[name])
    words = ", ".join(f"{name} {score[0]:.1%}" for name, score in scores.items())
    return Geometry(side, side, cast(Fit, best)), [Decision("fit", best, f"validation accuracy: {words}")]


def _without_budget(config: Config) -> Config:
    return replace(config, run=replace(config.run, budget=None), model=replace(config.model, freeze="auto"))


def _best(result: ProbeResult, features: str) -> float:
    return max(c.accuracy for c in result.candidates if c.features == features)


def _device(name: str) -> str:
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError(
            "--device cuda finds no GPU",
            fix="use --device cpu, or check the driver and that this PyTorch is built for CUDA",
        )
    return "cuda" if name == "cuda" or (name == "auto" and available) else "cpu"
