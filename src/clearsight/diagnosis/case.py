"""What a rule is given, and what it returns.

A `Case` joins the measurements of a run with the facts of its data and options, and holds the few derived numbers that
several rules share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.data.audit import Finding
from clearsight.diagnosis.step_stats import StepStats
from clearsight.diagnosis.vitals import Vitals
from clearsight.models.zoo import entry, model_names
from clearsight.tasks.losses import LOSSES, one_hot_targets
from clearsight.train.augmentation_config import AugmentationConfig
from clearsight.train.config import RegularizationConfig, TrainConfig
from clearsight.train.context import FINE_TUNING
from clearsight.train.optimisers import default_lr
from clearsight.train.optimization_config import OptimizationConfig

LEARNED = 0.5
"""Skill from which a run counts as one that learns: half the way from always naming the commonest class to perfect."""

ENOUGH = 30
"""Steps below which it is too early to say that a run is healthy, or that it learned nothing."""

MIN_VALIDATION_IMAGES = 20
"""Validation images below which an accuracy at chance proves nothing."""

HEALTHY_RATIO = 3e-3
"""Length of an update as a share of the weight's that a cure aims at. Around 1e-3 is the usual advice [Karpathy 2015,
CS231n notes, "Ratio of weights:updates"]; at the peak of a schedule it may be a few times that."""

ONE_RATE = ("gd", "sgd", "momentum", "nesterov", "adagrad")
"""Optimisers to exchange for Adam where they are too slow: one rate for all weights, or rates that only shrink."""

Severity = Literal["fault", "warning"]


@dataclass(frozen=True)
class Verdict:
    """What is wrong, in plain words, with the numbers behind it and the cure.

    name: the verdict's, such as rate-too-high. severity: a fault keeps the run from learning, a warning makes it worse
    than it could be. fix: what to do. options: those of `clearsight train` that cure it, empty where the data or the
    network must be mended. command: the whole command, set by `doctor.diagnose`.
    """

    name: str
    severity: Severity
    words: str
    evidence: dict[str, float]
    fix: str
    options: dict[str, Any] = field(default_factory=dict)
    command: str = ""


@dataclass(frozen=True)
class Case:
    """A run as the rules see it.

    counts, val_counts (K,): training and validation images per class. model: the network's name in the registry, empty
    where it has none. model_args: options the network was built with.
    """

    vitals: Vitals
    config: TrainConfig
    counts: NDArray[np.int64]
    val_counts: NDArray[np.int64]
    findings: tuple[Finding, ...] = ()
    model: str = ""
    model_args: dict[str, Any] = field(default_factory=dict)

    @property
    def optimization(self) -> OptimizationConfig:
        return self.config.optimization

    @property
    def regularization(self) -> RegularizationConfig:
        return self.config.regularization

    @property
    def augmentation(self) -> AugmentationConfig:
        return self.config.augmentation

    # the course of the loss

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """The loss of every step (T,)."""
        return np.array(self.vitals.losses)

    @property
    def steps(self) -> int:
        return len(self.losses)

    @property
    def broke(self) -> bool:
        """Whether the loss stopped being a number."""
        return self.vitals.broken is not None

    @cached_property
    def relapse(self) -> float:
        """How far the loss ended above its least, smoothed, less three standard errors: 0 where it did not rise."""
        smooth = self.smooth_losses()
        if self.broke or not len(smooth) or not self.late:
            return 0.0
        widest = max(stats.spread for stats in self.late)
        seen = max(5, self.steps // 10) * self.optimization.images_per_step(int(self.counts.sum()))
        return max(0.0, self.end_loss - float(smooth.min()) - 3 * widest / math.sqrt(seen))

    def smooth_losses(self) -> NDArray[np.float64]:
        """Means of finite losses over windows that hold some 128 images, 4 steps at least (W,)."""
        known = self.losses[np.isfinite(self.losses)]
        if not len(known):
            return known
        width = max(4, math.ceil(128 / max(1, self.vitals.batch)))
        return np.array([part.mean() for part in np.array_split(known, max(1, len(known) // width))])

    @cached_property
    def end_loss(self) -> float:
        """Mean over the last tenth of the steps, 5 at least; inf where the loss broke."""
        return math.inf if self.broke else float(self.losses[-max(5, self.steps // 10) :].mean())

    @cached_property
    def chance_loss(self) -> float:
        """Loss of the best answer that does not look at the image, but for hinge, where it is the answer 0."""
        prior = self.shares
        if self.regularization.class_weight == "balanced":
            prior = np.where(prior > 0, 1 / np.count_nonzero(prior), 0)
        expected = one_hot_targets(torch.arange(len(prior)), len(prior), self.regularization.label_smoothing).double()
        expected_output = torch.from_numpy(prior) @ expected
        logits = {
            "mse": expected_output,
            "bce": expected_output.clamp(1e-9, 1 - 1e-9).logit(),
            "hinge": torch.zeros(len(prior)),
        }.get(self.optimization.loss, expected_output.clamp_min(1e-9).log())
        each = LOSSES[self.optimization.loss](logits.double().expand(len(prior), -1), expected)
        return float(each @ torch.from_numpy(prior).double())

    @property
    def scale(self) -> float:
        """What changes of the loss are measured by: log K, the loss of knowing nothing, or the chance loss of other
        kinds. The chance loss of rare classes is small, and a few images of theirs move it much.
        """
        return math.log(len(self.counts)) if self.optimization.loss in ("cross-entropy", "kl") else self.chance_loss

    # accuracy against chance

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """Share of each class in the training images (K,)."""
        return np.asarray(self.counts / max(1, self.counts.sum()), np.float64)

    @property
    def majority(self) -> float:
        """Accuracy of always naming the commonest class."""
        return float(self.shares.max())

    @property
    def val_images(self) -> int:
        return int(self.val_counts.sum())

    @property
    def drawn(self) -> float:
        """Validation accuracy of answers drawn at random as often as training labels occur: what labels without meaning
        leave of a network that knows its training images by heart."""
        return float(self.shares @ self.val_counts) / max(1, self.val_images)

    @property
    def val_majority(self) -> float:
        """Validation accuracy of always naming the class that is commonest in training."""
        return float(self.val_counts[self.counts.argmax()]) / max(1, self.val_images)

    @cached_property
    def train_accuracy(self) -> float:
        """Of the last line of the history; of the last looks where there is none."""
        if self.vitals.epochs:
            return self.vitals.epochs[-1].train_accuracy
        return float(np.mean([stats.right for stats in self.vitals.step_stats[-3:]])) if self.vitals.step_stats else 0.0

    @cached_property
    def val_accuracy(self) -> float:
        """Median over the later half of the history; nan where there is none."""
        lines = self.vitals.epochs[len(self.vitals.epochs) // 2 :]
        return float(np.median([line.val_accuracy for line in lines])) if lines else math.nan

    def skill(self, accuracy: float) -> float:
        """Share of the way from the commonest class's share (0) to perfect (1); below 0 it does worse."""
        return (accuracy - self.majority) / max(1e-9, 1 - self.majority)

    @cached_property
    def best_skill(self) -> float:
        """The better of training and validation at the end: augmentation and dropout handicap the one, overfitting the
        other."""
        lines = self.vitals.epochs[2 * len(self.vitals.epochs) // 3 :]
        return self.skill(max(self.train_accuracy, *(line.val_accuracy for line in lines), 0.0))

    @property
    def learns(self) -> bool:
        """Whether it is well above chance and stayed so: a loss that ended above that of chance has lost it again."""
        return not self.broke and self.best_skill >= LEARNED and self.end_loss <= self.chance_loss

    @property
    def severity(self) -> Severity:
        """Of a fault of construction: a warning where the run learns in spite of it."""
        return "warning" if self.learns else "fault"

    def noise(self, accuracy: float) -> float:
        """Standard error of a validation accuracy, had it this true value."""
        return math.sqrt(accuracy * (1 - accuracy) / max(1, self.val_images))

    # looks

    @property
    def step_stats(self) -> list[StepStats]:
        return self.vitals.step_stats

    @property
    def late(self) -> list[StepStats]:
        """The looks of the second half of the steps."""
        middle = (
            self.step_stats[0].step + (self.step_stats[-1].step - self.step_stats[0].step) / 2 if self.step_stats else 0
        )
        return [stats for stats in self.step_stats if stats.step >= middle]

    @property
    def from_start(self) -> bool:
        """Whether the first look saw the network before any update, which a resumed run's does not."""
        return bool(self.step_stats) and self.step_stats[0].step == 1

    @cached_property
    def ratios(self) -> NDArray[np.float64]:
        """Per look the median over layers of update to weight (looks,)."""
        return np.array([float(np.median(r)) if len(r := stats.ratios()) else 0.0 for stats in self.step_stats])

    @cached_property
    def travel(self) -> float:
        """How many times their own length the weights would have moved, had all updates pointed one way."""
        if not self.step_stats:
            return math.nan
        at = np.array([stats.step for stats in self.step_stats], np.float64)
        every = np.arange(at[0], at[0] + self.steps)
        return float(np.interp(every, at, self.ratios).sum())

    def gradient_slope(self, stats: StepStats) -> float:
        """Gradient as a share of the weight: first third of the layers over the last, medians; nan below 4 layers."""
        known = (stats.weight > 0) & np.isfinite(stats.gradient)
        relative = stats.gradient[known] / stats.weight[known]
        third = len(relative) // 3
        if len(relative) < 4 or not (last := np.median(relative[-third:])) > 0:
            return math.nan
        return float(np.median(relative[:third]) / last)

    # cures

    def sensible_rate(self) -> float:
        """The rate at which the first update would have moved the median layer by `HEALTHY_RATIO`, to one digit.

        Without a usable look: a tenth of the rate.
        """
        stats = self.step_stats[0] if self.step_stats else None
        if stats is None or not stats.lr or not self.ratios[0] > 0 or not math.isfinite(self.ratios[0]):
            return rounded(self.vitals.rate / 10)
        rate = HEALTHY_RATIO * stats.lr / self.ratios[0]
        if self.optimization.opt in ("momentum", "nesterov", "lars") and stats.step == 1:
            rate *= 1 - self.optimization.momentum  # the velocity is still one gradient; it grows to 1 / (1 - momentum)
        return rounded(rate)

    @property
    def own_rate(self) -> float:
        """What the optimiser is given when no rate is asked for."""
        return default_lr(self.optimization.opt) * (FINE_TUNING if self.optimization.freeze_bn else 1)

    def slower(self) -> float:
        """A rate well below the present one: the optimiser's own if it is, else one from the length of the updates."""
        rate = self.vitals.rate
        return self.own_rate if self.own_rate <= rate / 3 else rounded(min(self.sensible_rate(), rate / 3))

    def faster(self) -> float:
        """A rate well above the present one, chosen likewise."""
        rate = self.vitals.rate
        return self.own_rate if self.own_rate >= 3 * rate else rounded(max(self.sensible_rate(), 3 * rate))

    def longer(self) -> dict[str, Any]:
        """Three times as many epochs, and steps where these are limited."""
        more = {"epochs": 3 * self.optimization.epochs}
        return {**more, "max_steps": 3 * self.optimization.max_steps} if self.optimization.max_steps else more

    def model_arg(self, **options: Any) -> dict[str, Any]:
        """As `model_arg`, those of these options that the network has and that differ from what it was built with."""
        if self.model not in model_names():
            return {}
        known = entry(self.model).model_args
        taken = {k: v for k, v in options.items() if k in known and self.model_args.get(k, known[k]) != v}
        return {"model_arg": taken} if taken else {}

    def initial_weights(self, *, same_layers: bool = False) -> dict[str, Any]:
        """`init=he`, where the weights are drawn by our own rule. Where He's rule drew them already and the layers stay
        the same, with the gain at which signals keep their size: 1 over their growth from layer to layer.
        """
        if self.model not in model_names():
            return {}
        if self.config.model.init != "he" or not same_layers:
            return {"init": "he"}
        return {"init": f"he:{float(f'{1 / self.growth:.2g}'):g}"} if math.isfinite(self.growth) else {}

    @property
    def growth(self) -> float:
        """Factor by which the deviation of the outputs grows from one nonlinearity to the next before any update,
        geometric mean; nan where it is not known.
        """
        std = self.step_stats[0].std if self.from_start else np.empty(0)
        std = std[np.isfinite(std) & (std > 0)]
        return float((std[-1] / std[0]) ** (1 / (len(std) - 1))) if len(std) > 1 else math.nan

    def adaptive(self) -> dict[str, Any]:
        """`opt=adam`, where one rate served all weights, or rates only ever shrank."""
        return {"opt": "adam"} if self.optimization.opt in ONE_RATE else {}


def rounded(value: float) -> float:
    """To one significant digit."""
    return float(f"{value:.0e}") if math.isfinite(value) else value
