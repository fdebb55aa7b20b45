"""What every way of training shares: the data and options of a run, and how a network is trained with them."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearsight.console import Console
from clearsight.data.augment import augment
from clearsight.data.loader import Images, to_float
from clearsight.data.prepare import Prepared
from clearsight.data.ranks import alone
from clearsight.disk import object_within
from clearsight.distributed import ALONE, World
from clearsight.errors import ConfigError
from clearsight.models.base import ModelNetwork
from clearsight.preemption import deferred
from clearsight.tasks import Task, task_named
from clearsight.train.allowance import Work
from clearsight.train.batch_norm import folded_norms, freeze_bn, has_batch_norm
from clearsight.train.checkpoint import Checkpoint
from clearsight.train.config import TrainConfig
from clearsight.train.halving import Trial
from clearsight.train.hardware import automatic_precision, free_memory, kept_memory
from clearsight.train.head_search import Candidate
from clearsight.train.label_issues import LabelIssues
from clearsight.train.loop import Examples, Trained, autocast, logits_of, train_network
from clearsight.train.observer import UNOBSERVED, Epoch, Observer
from clearsight.train.optimisers import build_optimiser, default_lr
from clearsight.train.option_field import seconds
from clearsight.train.previous import Previous
from clearsight.train.range_test import RangeTest, range_test
from clearsight.train.recipe import Decision, Recipe, many_small
from clearsight.train.regularisers import limit_gradient
from clearsight.train.resolve import resolve
from clearsight.train.step_memory import planned_batch, step_memory
from clearsight.train.task_options import task_options
from clearsight.wording import count, percent, points

FINE_TUNING = 0.06
"""Rate of weights that start from published ones, as a share of the optimiser's own for random ones."""

FEW_TO_HALVE = 100
"""Validation images below which the best epoch is chosen on those that calibration uses too."""

Watch = Callable[[nn.Module, TrainConfig, Examples], Observer]
"""Gives each training, of a network in some way on some images, its observer."""


@dataclass(frozen=True)
class TrainResult:
    """What a strategy leaves; see `fit.Fitted` for the fields. task: calibrated. label_issues: images that training
    itself took for anomalies. unseen (U,), unseen_logits (U, O): images that no weight was fitted to, and the network's
    outputs for them, if they differ from `validation_indices` and `logits`, as for networks of several folds.
    """

    network: ModelNetwork
    task: Task
    validation_indices: NDArray[np.int64]
    logits: NDArray[np.float64]
    history: tuple[Epoch, ...]
    candidates: tuple[Candidate, ...]
    images_per_second: float
    tuned: bool = False
    training: TrainConfig | None = None
    label_issues: LabelIssues | None = None
    unseen: NDArray[np.int64] | None = None
    unseen_logits: NDArray[np.float64] | None = None

    @property
    def for_calibration(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Images that no weight was fitted to, and the network's outputs of them."""
        if self.unseen is None or self.unseen_logits is None:
            return self.validation_indices, self.logits
        return self.unseen, self.unseen_logits


@dataclass(frozen=True)
class TrainContext:
    """The data and options of a run, and who looks on.

    folder: where checkpoints go, None for none; training goes on from them. world: the processes that train together.
    began: when the run did, by time.perf_counter, as its budget counts from then. previous: the run that is continued.
    work: operations that the run may cost. trials: candidates that were compared.
    """

    data: Prepared
    recipe: Recipe
    config: TrainConfig
    device: str
    console: Console
    on_epoch: Callable[[Epoch], None] | None = None
    watch: Watch | None = None
    folder: Path | None = None
    world: World = ALONE
    began: float = field(default_factory=time.perf_counter)
    notes: list[Decision] = field(default_factory=list)
    range_tests: list[RangeTest] = field(default_factory=list)
    previous: Previous | None = None
    work: Work = field(default_factory=Work)
    trials: list[Trial] = field(default_factory=list)

    @property
    def classes(self) -> int:
        return len(self.data.dataset.classes)

    @cached_property
    def task(self) -> Task:
        """What is to be predicted, nothing of it learned yet."""
        variances = self.config.optimization.loss == "gaussian-nll" and self.recipe.kind == "scratch"  # a head has none
        options = task_options(self.config, variances=variances)
        return task_named(self.data.dataset.task.name).of(self.data.dataset, self.data.split.train, options)

    @property
    def examples(self) -> Examples:
        """The images at their working size with the split's own train and validation parts."""
        data, targets, weights = self.data, self.task.encode(self.data.dataset), self.data.weights
        if targets is not None:  # which say themselves how far each class is trusted
            weights = np.ones_like(weights)
        return Examples(
            data.pixels.array, data.labels, weights, data.split.train, data.split.val, self.task, targets
        )  # fmt: skip

    @cached_property
    def validation_halves(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Validation images that the best epoch is chosen on, and those that calibration, prediction sets and intervals
        are fitted to, which choosing would bias; of fewer than `FEW_TO_HALVE` all are both.
        """
        val = self.data.split.val
        if len(val) < FEW_TO_HALVE:
            return val, val
        order = np.random.default_rng(self.config.run.seed).permutation(val)
        return np.sort(order[: len(val) // 2]), np.sort(order[len(val) // 2 :])

    def note(self, what: str, choice: str, why: str) -> None:
        """Record a decision and say it."""
        self.notes.append(Decision(what, choice, why))
        self.console.say(f"{what}: {choice} ({why})", "warning" if what == "warning" else "info")

    def note_folds(self, what: str, validation_indices: NDArray[np.int64], scores: NDArray[Any], of: str) -> None:
        """Record how far fits without different folds agree, if there are several.

        validation_indices (M,): images, each evaluated by the fit without its fold. scores (M,): 1 at best. of: name of
        the mean score.
        """
        parts = [np.isin(validation_indices, val_rows) for _, val_rows in self.data.split.folds]
        means = [float(scores[part].mean()) for part in parts if part.any()]
        if len(means) > 1:
            self.note(
                what,
                f"{percent(min(means))} to {percent(max(means))}, standard deviation "
                f"{points(float(np.std(means, ddof=1)))}",
                f"{of} of {len(means)} fits, each evaluated on its held-out fold; mean "
                f"{percent(float(np.mean(means)))}",
            )

    def resolved(self, network: nn.Module, *, batch: int, fine_tuning: bool, shape: Sequence[int]) -> TrainConfig:
        """How to train this network, but for the epochs: the options, and what they leave open decided.

        batch: images per batch where the user names none. shape: of one image (C, H, W).
        """
        asked, usual = self.config.optimization, self.task.training
        images, size, precision = len(self.data.split.train), asked.batch_size, asked.amp
        if size is not None and size > images and asked.opt != "gd":
            raise ConfigError(
                "the batch is larger than the training split",
                found=f"--batch-size {size} for {count(images, 'training image')}",
                fix="use a smaller --batch-size",
            )
        if precision == "auto":
            precision = automatic_precision(self.device, network)
        if precision == "fp16" and self.device == "cpu":
            raise ConfigError("--amp fp16 needs a GPU", fix="use --amp bf16 or --amp off")
        config = self.config
        if size is None:
            size, accumulate = self._batch(network, shape, min(batch, images), precision, fine_tuning)
            if accumulate > 1 and asked.accumulate == 1 and asked.opt != "gd":
                config = config.with_options(accumulate=accumulate)
        fixed = not usual.light_augmentation or self.data.scan.sounds  # what turns an image may turn the target
        return resolve(
            config,
            batch_size=size,
            loss=self.loss,
            opt=self.optimiser,
            amp=precision,
            freeze_bn=fine_tuning,
            label_smoothing=usual.smoothing if self.many_small else 0.0,
            augment="none" if fixed else "light",
        )

    def _batch(
        self, network: nn.Module, shape: Sequence[int], usual: int, precision: str, fine_tuning: bool
    ) -> tuple[int, int]:
        """Images per batch and batches per step, by the memory that a trial step takes; a resumed run repeats them."""

        def decide() -> list[Any]:
            memory = step_memory(
                network,
                shape,
                opt=self.optimiser,
                device=self.device,
                autocast=lambda: autocast(self.device, precision),
                copies=2 if self.config.regularization.ema else 1,
            )
            normalised = not fine_tuning and has_batch_norm(network)
            reason = (
                "usual for fine-tuning, which takes many small steps"
                if fine_tuning
                else f"usual with {self.optimiser} and {count(len(self.data.split.train), 'training image')}"
            )
            plan = planned_batch(memory, free_memory(self.device), usual, normalised=normalised, reason=reason)
            return [plan.batch, plan.accumulate, plan.why]

        parameters = sum(p.numel() for p in network.parameters())
        batch, accumulate, why = self.decided(f"batch of {usual} for {parameters} parameters, {tuple(shape)}", decide)
        self.note("batch", str(batch), why)
        return int(batch), int(accumulate)

    @property
    def many_small(self) -> bool:
        """Whether many small images are learned from random weights: each is seen a few times only."""
        return self.recipe.kind == "scratch" and many_small(self.recipe.img_size, len(self.data.dataset))

    @property
    def optimiser(self) -> str:
        """The optimiser asked for, or what learns soonest."""
        enough = self.task.training.muon_from
        many = self.recipe.kind == "scratch" and enough is not None and len(self.data.dataset) >= enough
        return self.config.optimization.opt or ("muon" if self.many_small or many else "adamw")

    @property
    def loss(self) -> str:
        """The loss asked for, or the task's usual one."""
        return self.config.optimization.loss or next(iter(self.task.training.losses))

    def rate(self, fine_tuning: bool) -> float:
        """The peak rate: the user's or the optimiser's own, smaller for weights that are already good."""
        return self.config.optimization.lr or default_lr(self.optimiser) * (FINE_TUNING if fine_tuning else 1)

    def train(
        self,
        network: nn.Module,
        config: TrainConfig,
        groups: list[dict[str, Any]],
        title: str,
        examples: Examples | None = None,
        fold: int = 1,
    ) -> Trained:
        """Run the loop, with a checkpoint if the run has a folder. fold: name of the fold for `on_epoch`."""
        examples = examples or self.examples
        if config.optimization.lr_find:
            groups = self.found_rates(network, config, groups, examples)
        checkpoint = None
        if self.folder is not None:
            path = self.folder / f"{title.replace(' ', '-')}.pt"
            every = self.config.run.checkpoint_every
            fingerprint = self._fingerprint(config, groups)
            checkpoint = Checkpoint(path, fingerprint, every=every, writes=self.world.rank == 0)
        watched = self.watch if self.task.training.diagnosed else None
        observer = watched(network, config, examples) if watched else UNOBSERVED

        def on_epoch(line: Epoch) -> None:
            if self.on_epoch:
                self.on_epoch(replace(line, fold=fold))

        with deferred(), self.world.sync_batchnorm(network), fast_gradients(network, config, examples):
            return train_network(
                network,
                examples,
                config,
                groups,
                checkpoint=checkpoint,
                observer=observer,
                on_epoch=on_epoch,
                on_step=self.console.stage(title, "steps"),
                world=self.world,
            )

    def logits(
        self, network: nn.Module, rows: NDArray[np.int64], batch_size: int, pixels: NDArray[Any] | None = None
    ) -> NDArray[np.float64]:
        """What a network answers (len(rows), K) to some images, those of the data unless others are given; in float32,
        whatever it was trained in.
        """
        images = Images(self.data.pixels.array if pixels is None else pixels, self.device)
        found = logits_of(network.to(self.device), images, rows, batch_size)
        network.to("cpu")
        return found.double().numpy()

    def decided(self, name: str, decide: Callable[[], Any]) -> Any:
        """A choice that rests on time measured, and so must be remembered for a resumed run to repeat it."""
        value = None
        if self.world.rank == 0:
            path = self.folder / "decided.json" if self.folder is not None else None
            known = object_within(path.parent, path.name) if path is not None and path.is_file() else {}
            if name not in known:
                with alone():
                    known[name] = decide()
                if path is not None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    partial = path.with_suffix(".partial")
                    partial.write_text(json.dumps(known))
                    partial.replace(path)
            value = known[name]
        return self.world.broadcast(value)

    @property
    def budget(self) -> float | None:
        """Seconds the run may take, None for no limit."""
        return seconds(self.config.run.budget) if self.config.run.budget else None

    def left(self, what: str) -> float | None:
        """Seconds of the budget left for a part of the run, None for no limit; a resumed run gets those of the first
        start.
        """
        total = self.budget
        if total is None:
            return None
        return float(
            self.decided(f"seconds left for {what}", lambda: max(0.0, total - (time.perf_counter() - self.began)))
        )

    def used_up(self, left: float, each: float | None = None) -> str:
        """That the budget was spent before training, and what to do. left: seconds of the budget. each: of an epoch, if
        that was measured.
        """
        spent = time.perf_counter() - self.began
        epoch = "" if each is None else f"one epoch takes {each:.1f} s on this machine, but "
        return (
            f"{epoch}--budget {self.config.run.budget} leaves only {left:.0f} s, because reading the images and "
            f"choosing the recipe took {spent:.0f} s; use --budget {math.ceil(spent + (each or 1.0))}s or more"
        )

    def epoch_seconds(
        self,
        network: nn.Module,
        config: TrainConfig,
        groups: Sequence[dict[str, Any]],
        examples: Examples | None = None,
    ) -> float:
        """Time of one epoch here, from two steps on a copy of the network after one to warm up."""
        examples = examples or self.examples
        size, trial = config.optimization.batch_size, copy.deepcopy(network)
        few = replace(examples, train=examples.train[: size * 3], val=examples.val[:size])
        short = config.with_options(epochs=1, accumulate=1, compile=False, val_every=None, max_steps=None, seed=0)
        trained = {id(p) for group in groups for p in group["params"]}
        mine = [
            theirs for own, theirs in zip(network.parameters(), trial.parameters(), strict=True) if id(own) in trained
        ]
        times: list[float] = []

        def tick(done: int, total: int) -> None:
            times.append(time.perf_counter())

        with fast_gradients(trial, short, few):
            train_network(trial, few, short, [{"params": mine, "lr": 1e-6}], on_step=tick)
        if len(times) < 2:
            return 1.0
        step = (times[-1] - times[0]) / (len(times) - 1)
        return step * (len(examples.train) + len(examples.val) / 3) / size

    def found_rates(
        self, network: nn.Module, config: TrainConfig, groups: list[dict[str, Any]], examples: Examples
    ) -> list[dict[str, Any]]:
        """The groups with rates from a range test on a copy of the network; their ratios stay. Rates from 1e-6 to 1 are
        tried with adamw, and with others as much larger or smaller as their own rate is.
        """

        def find() -> dict[str, Any]:
            trial = copy.deepcopy(network)
            step = single_steps(trial, examples, config)
            scale = default_lr(config.optimization.opt) / default_lr("adamw")
            return asdict(range_test(step, low=1e-6 * scale, high=scale))

        found = RangeTest(**self.decided("range test", find))
        self.range_tests.append(found)
        rate = found.suggestion
        self.note("learning rate", f"{rate:.2g}", "where the loss decreased fastest in a range test")
        top = max(g["lr"] for g in groups)
        return [{**g, "lr": g["lr"] * rate / top} for g in groups]

    def _fingerprint(self, config: TrainConfig, groups: Sequence[dict[str, Any]]) -> str:
        about = {
            "pixels": self.data.pixels.key,
            "train": hashlib.blake2b(self.data.split.train.tobytes(), digest_size=8).hexdigest(),
            "model": [self.recipe.model, self.recipe.model_args, self.recipe.img_size],
            "training": config.training(),
            "rates": [g["lr"] for g in groups],
            "seed": self.config.run.seed,
            "from": self.config.run.from_run,
        }
        return hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16).hexdigest()


@contextlib.contextmanager
def fast_gradients(network: nn.Module, config: TrainConfig, examples: Examples) -> Iterator[None]:
    """Inside the block a step costs less and does the same: memory is kept between steps, and normalisations that are
    held still are folded into the convolutions before them.
    """
    device, how = config.run.device, config.optimization
    with kept_memory(device), contextlib.ExitStack() as stack:
        if how.freeze_bn and not how.compile:
            network.to(device)
            stack.enter_context(folded_norms(network, to_float(examples.pixels[examples.train[:2]], device)))
        yield


def single_steps(network: nn.Module, data: Examples, config: TrainConfig) -> Callable[[float], float]:
    """A function that takes the next training step at a given rate and returns its loss: what a range test needs."""
    how, regularization, run = config.optimization, config.regularization, config.run
    network.to(run.device).train()
    if how.freeze_bn:
        freeze_bn(network)
    group = {"params": [p for p in network.parameters() if p.requires_grad], "lr": 0.0}
    optimiser = build_optimiser(how.opt, [group], momentum=how.momentum, weight_decay=regularization.weight_decay)
    order, noise = np.random.default_rng(run.seed), torch.Generator().manual_seed(run.seed)

    def step(rate: float) -> float:
        rows = order.choice(data.train, min(how.batch_size, len(data.train)), replace=False)
        images = augment(to_float(data.pixels[rows], run.device), config.augmentation.augment, noise)
        targets = data.targets_of(rows, regularization.label_smoothing).to(run.device)
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        loss = data.task.training.losses[how.loss](network(images), targets).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        limit_gradient(network, how.clip)
        optimiser.step()
        return float(loss.detach())

    return step
