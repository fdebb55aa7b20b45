"""The layers of a pretrained network, trained further from the head that was fitted on its frozen features.

    upper    the lower blocks stay frozen and run once per image and view; the blocks above are trained on their outputs
    all      every layer is trained, deeper ones at smaller rates

Where the budget allows, the upper blocks are trained once per fold. Then every development image is validated by a
network that had not seen it, which resolves small differences, and the networks of all folds form an ensemble. Half of
the validation split is kept from all of them, and their joint probabilities are calibrated on it: those of single
networks say little of them.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.metrics import softmax
from clearsight.models.backbone_split import Upper, cut, up_to
from clearsight.models.network import AS_IT_IS, Ensemble, Probe
from clearsight.train.config import TrainConfig
from clearsight.train.context import TrainContext, TrainResult
from clearsight.train.features import Stacked, outputs
from clearsight.train.halving import trial_of
from clearsight.train.head_search import Candidate, choose_head, fit_softmax
from clearsight.train.hidden_head import fit_hidden
from clearsight.train.loop import Examples, Trained
from clearsight.train.strategies.probe import MIRRORED, Frozen, say_idle
from clearsight.wording import percent

LAYER_DECAY = 0.6
"""Rate of a stage as a share of the next deeper one's, when every layer is trained."""

MOST_EPOCHS = 30
"""Epochs that a budget is spent on at most."""

FEWEST_EPOCHS = 3
"""Epochs that every fold's network must get for the budget to be shared among the folds."""

FOLDS = "networks of the folds"
"""What is decided where every fold's network answers."""

ENOUGH_EPOCHS, ENOUGH_STEPS = 4, 400
"""The larger of the two is what the upper blocks are trained for at most: their outputs are the same in each epoch, and
on the solar cells the validation loss rises from the third of four epochs of 99 steps on."""


@dataclass(frozen=True)
class _Plan:
    """How long to train, for how many folds, and the seconds there are for it, None for no limit."""

    epochs: int
    folds: int
    left: float | None = None


def train_upper(
    context: TrainContext,
    frozen: Frozen,
    *,
    place: int | None = None,
    views: Sequence[str] | None = None,
    epochs: int | None = None,
) -> TrainResult | None:
    """Train the blocks above the cut on cached outputs of those below; None where the budget allows no epoch.

    place: number of the tap behind which training begins, from which on the head sees all depths; None for the one
    whose features do best, where the head sees those that it saw. views: of the images; None for the usual ones.
    epochs: how long to train without a budget, where no option says.
    """
    split, title = context.data.split, "training the upper blocks"
    left = context.left("the upper blocks")
    if left == 0 and context.config.optimization.epochs is None:  # their inputs would cost time for nothing
        context.note(title, "left out", context.used_up(left))
        return None
    maps = Maps.of(context, frozen, place, views)
    _, upper, _, groups = maps.new(split.train)
    config = maps.config(32)
    folds = split.folds if split.carved_validation else split.folds[:1]
    first = maps.examples(split.train, split.val)
    enough = usual_epochs(len(first.train), config.optimization.images_per_step(len(first.train)))
    plan = _plan(context, upper, config, groups, title, first, enough, len(folds), epochs)
    if plan is None:
        return None
    why = "the upper blocks are trained on cached outputs of the lower blocks for each image and its mirror image"
    say_idle(context, why, ("augment", "mixup", "cutmix"))
    config = config.with_options(epochs=plan.epochs)
    unseen = context.validation_halves[1]
    if plan.folds > 1 and len(unseen) == len(split.val):  # the other folds learn from what is left of it
        unseen = split.val[::2]
    found = []
    for number in range(plan.folds):
        if number and not _affordable(context, plan, number, title):
            break
        of = f", fold {number + 1} of {plan.folds}" if plan.folds > 1 else ""
        found.append(maps.train(folds[number], number, config, title + of, unseen))
    why = "have the best validation score" if place is None else "are those above which short trainings do best"
    depth = f"the features at depth {maps.place + 1} of {len(frozen.probe.taps)}"
    context.note("frozen", f"up to {maps.at}", f"{depth} {why}")
    if len(found) > 1 and place is not None and not _gains(context, found, unseen):
        found = found[:1]
    validation_indices, logits = np.concatenate([f.rows for f in found]), np.concatenate([f.logits for f in found])
    fitted = tuned_result(
        context, frozen.trained.candidates, found[0].network, validation_indices, logits, found[0].trained, config
    )
    if len(found) == 1:
        return fitted
    return _jointly(context, fitted, [f.network for f in found], unseen, [f.of_unseen for f in found])


def _gains(context: TrainContext, found: Sequence[_OfFold], unseen: NDArray[np.int64]) -> bool:
    """Whether the mean probability of the folds' networks is better than the first network alone, on images that none
    of them has seen; noted where it is not.
    """
    mean = np.log(np.maximum(np.mean([softmax(one.of_unseen) for one in found], axis=0), 1e-30))
    truth = context.data.labels[unseen]
    both, alone = (trial_of("", 0.0, len(unseen), z, truth) for z in (mean, found[0].of_unseen))
    gain, error = both.gain_over(alone)
    if gain <= error:
        words = f"averaging lowers the log loss by {gain:.3f}, with a standard error of {error:.3f}"
        context.note(FOLDS, "only the first is kept", words)
    return gain > error


def usual_epochs(images: int, per_step: int = 32) -> int:
    """Epochs on the maps of so many images from which on the validation loss hardly falls."""
    return min(MOST_EPOCHS, max(ENOUGH_EPOCHS, math.ceil(ENOUGH_STEPS / math.ceil(images / per_step))))


def _affordable(context: TrainContext, plan: _Plan, number: int, title: str) -> bool:
    """Whether what is left of the budget is enough for one more fold, after `number` of them; a note where not."""
    if plan.left is None:
        return True
    left = context.left(f"fold {number + 1} of {title}") or 0.0
    each = (plan.left - left) / number
    if left < each:
        words = f"each fold takes {each:.0f} s, longer than expected, and the budget leaves only {left:.0f} s"
        context.note("folds", f"{number} of {plan.folds}", words)
    return left >= each


@dataclass(frozen=True)
class _OfFold:
    """The network of a fold, the images it is validated on, and its logits of them and of those that no fold
    has seen.
    """

    network: Probe
    trained: Trained
    rows: NDArray[np.int64]
    logits: NDArray[np.float64]
    of_unseen: NDArray[np.float64]


@dataclass(frozen=True)
class Maps:
    """What the blocks below the cut make of every image in every view, which the blocks above it are trained on.

    place, at: number and name of the tap behind which training begins. parts: of the features, those from there on that
    the head sees.
    """

    context: TrainContext
    frozen: Frozen
    place: int
    at: str
    parts: list[int]
    of_views: list[NDArray[np.float32]]

    @property
    def views(self) -> tuple[str, ...]:
        """Views that the trained network averages over: those of the head, if there are maps of them all."""
        own = self.frozen.probe.views
        return own if len(own) <= len(self.of_views) else AS_IT_IS

    @classmethod
    def of(
        cls, context: TrainContext, frozen: Frozen, place: int | None = None, views: Sequence[str] | None = None
    ) -> Maps:
        """The maps behind a tap, or behind that whose features do best; of some views, or of the usual ones."""
        taps = len(frozen.probe.taps)
        parts = list(range(place or 0, taps + 1))
        if place is None:
            place = _place_of_cut(context, frozen)
            parts = [i for i in frozen.result.chosen.parts if i >= place] or [taps]
        at = frozen.probe.taps[place]
        usual = training_views(context, frozen) if views is None else views
        return cls(context, frozen, place, at, parts, lower_maps(context, frozen.probe, at, frozen.rows, usual))

    def config(self, batch: int) -> TrainConfig:
        """How the blocks above the cut are trained, but for the epochs: what changes images does not change maps."""
        _, upper, _, _ = self.new(self.context.data.split.train[:64])
        config = self.context.resolved(upper, batch=batch, fine_tuning=True, shape=self.of_views[0].shape[1:])
        return config.with_options(augment="none", mixup=0.0, cutmix=0.0)

    def examples(self, fit: NDArray[np.int64], val_rows: NDArray[np.int64]) -> Examples:
        """The maps of all views of some images to learn from, and of others as they are to validate on."""
        return map_examples(self.context, self.of_views, self.frozen.rows, fit, val_rows)

    def new(self, fit: NDArray[np.int64]) -> tuple[Probe, Upper, dict[str, Any], list[dict[str, Any]]]:
        """A copy of the pretrained network, its upper blocks with the head they begin from, that head's spec, and the
        parameters to train.
        """
        probe = copy.deepcopy(self.frozen.probe)
        probe.set_views(self.views)
        upper = cut(probe, self.at)[1]
        spec, head = _starting_head(self.context, self.frozen, self.parts, fit)
        upper.chosen, upper.head = [i - self.place for i in self.parts], head
        parameters = [p for p in upper.parameters() if p.requires_grad]
        return probe, upper, spec, [{"params": parameters, "lr": self.context.rate(fine_tuning=True)}]

    def train(
        self,
        fold: tuple[NDArray[np.int64], NDArray[np.int64]],
        number: int,
        config: TrainConfig,
        title: str,
        unseen: NDArray[np.int64],
    ) -> _OfFold:
        """Train the upper blocks on a fold, but for the images that no fold may see."""
        fit, val_rows = np.setdiff1d(fold[0], unseen), fold[1]
        probe, upper, spec, groups = self.new(fit)
        seen = self.examples(fit, np.setdiff1d(val_rows, unseen) if len(unseen) < len(val_rows) else val_rows)
        unwatched = replace(self.context, watch=None)  # the doctor knows pixels and whole networks
        trained = unwatched.train(upper, config, groups, title, seen, fold=number + 1)
        probe.set_head(spec, upper.head, self.parts)
        rows = self.frozen.positions(np.concatenate([val_rows, unseen]))
        of_views = [rows + k * len(self.frozen.rows) for k in range(len(self.views))]
        found = view_logits(self.context, upper, of_views, config, seen.pixels)
        return _OfFold(probe.eval(), trained, val_rows, found[: len(val_rows)], found[len(val_rows) :])


def lower_maps(
    context: TrainContext, probe: Probe, at: str, rows: NDArray[np.int64], views: Sequence[str]
) -> list[NDArray[np.float32]]:
    """What the blocks below a cut make of some images, for each view."""
    lower, _ = cut(probe, at)
    return [
        outputs(
            lower, f"maps at {at}", context.data.pixels, rows, device=context.device, view=view,
            progress=context.console.stage(f"lower blocks, {view}"),
        )[0]
        for view in views
    ]  # fmt: skip


def map_examples(
    context: TrainContext,
    maps: Sequence[NDArray[np.float32]],
    rows: NDArray[np.int64],
    fit: NDArray[np.int64],
    val_rows: NDArray[np.int64],
) -> Examples:
    """The maps of some images as examples: of all views to learn from, of the first to validate on.

    rows (N,): the images that the maps are of, sorted. fit, val_rows: some of them.
    """
    every, views = context.examples, len(maps)
    return Examples(
        pixels=Stacked(maps),  # type: ignore[arg-type]
        labels=np.tile(every.labels[rows], views),
        weights=np.tile(every.weights[rows], views),
        train=np.concatenate([np.searchsorted(rows, fit) + k * len(rows) for k in range(views)]),
        val=np.searchsorted(rows, val_rows),
        task=context.task,
        targets=None if every.targets is None else np.tile(every.targets[rows], (views, 1)),
    )


def train_all(context: TrainContext, frozen: Frozen) -> TrainResult | None:
    """Train every layer, or those above --freeze-to, deeper ones at smaller rates; None where the budget allows no
    epoch.
    """
    title, split = "fine-tuning", context.data.split
    probe = copy.deepcopy(frozen.probe)
    probe.set_views(AS_IT_IS)
    parts = list(frozen.result.chosen.parts)
    spec, head = _starting_head(context, frozen, parts, split.train)
    probe.set_head(spec, head, parts)
    config = context.resolved(probe, batch=32, fine_tuning=True, shape=context.data.pixels.array.shape[1:])
    with kept_fixed(context, probe):
        groups = layer_groups(probe, context.rate(fine_tuning=True))
        plan = _plan(context, probe, config, groups, title, context.examples, MOST_EPOCHS, folds=1)
        if plan is None:
            return None
        config = config.with_options(epochs=plan.epochs)
        examples = replace(context.examples, val=context.validation_halves[0])
        trained = context.train(probe, config, groups, title, examples)
    logits = context.logits(probe, split.val, config.optimization.batch_size)
    return tuned_result(context, frozen.trained.candidates, probe, split.val, logits, trained, config)


@contextlib.contextmanager
def kept_fixed(context: TrainContext, probe: Probe) -> Iterator[None]:
    """Inside the block the layers up to --freeze-to, if that is given, take no gradient; noted."""
    layer = context.config.transfer.freeze_to
    if layer is None:
        yield
        return
    channels, (height, width) = probe.input.channels, context.data.pixels.array.shape[2:]
    fixed = set(up_to(probe.backbone, layer, (channels, height, width)))
    own = dict(probe.backbone.named_parameters())
    words = f"as requested by --freeze-to; {len(fixed)} of {len(own)} tensors of the network are frozen"
    context.note("frozen", f"up to {layer}", words)
    for name in fixed:
        own[name].requires_grad_(False)
    try:
        yield
    finally:
        for name in fixed:
            own[name].requires_grad_(True)


def _plan(
    context: TrainContext,
    network: torch.nn.Module,
    config: TrainConfig,
    groups: list[dict[str, Any]],
    title: str,
    examples: Examples,
    most: int,
    folds: int,
    usual: int | None = None,
) -> _Plan | None:
    """The epochs asked for, or those the budget allows, at most `most`, on as many folds as get enough; None where it
    allows none. usual: epochs without a budget.
    """
    asked = context.config.optimization.epochs
    if context.budget is None:
        return _Plan(asked or usual or 5, 1)
    each = context.decided(f"seconds of {title}", lambda: context.epoch_seconds(network, config, groups, examples))
    left = context.left(title) or 0.0
    words = f"one epoch takes {each:.1f} s on this machine, and the budget leaves {left:.0f} s"
    count = min(folds, int(left // (each * (asked or min(most, FEWEST_EPOCHS)))))
    if count > 1:
        epochs = asked or min(most, int(left // (each * count)))
        of = f"{count} of {folds}" if count < folds else str(folds)
        context.note(f"epochs of {title}", f"{epochs} per fold, for {of} folds", words)
        return _Plan(epochs, count, left)
    epochs = asked or min(most, int(left // each))
    if epochs < 1:
        context.note(title, "left out", context.used_up(left, each))
        return None
    if asked is None:
        context.note(f"epochs of {title}", str(epochs), words)
    return _Plan(epochs, 1)


def training_views(context: TrainContext, frozen: Frozen) -> tuple[str, ...]:
    """Views that the upper blocks are trained on: those of the head, which answers are averaged over, where mirror
    images were tried; else left and right exchanged as well, unless nothing is to be augmented.
    """
    tried = any(c.views != AS_IT_IS for c in frozen.result.candidates)
    if tried or context.config.augmentation.augment == "none":
        return frozen.probe.views
    return MIRRORED[0]


def tuned_result(
    context: TrainContext,
    candidates: Sequence[Candidate],
    network: Probe,
    validation_indices: NDArray[np.int64],
    logits: NDArray[np.float64],
    trained: Trained,
    config: TrainConfig,
) -> TrainResult:
    """A trained network, calibrated on images that neither its weights nor the choice of the epoch have seen."""
    unseen = context.validation_halves[1]
    places = np.flatnonzero(np.isin(validation_indices, unseen))
    return TrainResult(
        network=network,
        task=context.task.calibrated(logits[places], context.data.labels[validation_indices[places]]),
        unseen=validation_indices[places],
        unseen_logits=logits[places],
        validation_indices=validation_indices,
        logits=logits,
        history=trained.history,
        candidates=tuple(candidates),
        images_per_second=trained.images_per_second,
        tuned=True,
        training=config,
    )


def _jointly(
    context: TrainContext,
    fitted: TrainResult,
    members: Sequence[Probe],
    unseen: NDArray[np.int64],
    of_unseen: Sequence[NDArray[np.float64]],
) -> TrainResult:
    """The networks of all folds as one, calibrated on images that none of them has seen. Its score is that of its
    members, each on the fold it had not seen: together they are better than that says.

    of_unseen: for each member, logits (U, K) of those images.
    """
    right = fitted.logits.argmax(1) == context.data.labels[fitted.validation_indices]
    context.note(
        FOLDS,
        f"{len(members)}, with averaged probabilities",
        f"each network was trained without one fold and validated on it; {percent(right.mean())} of {len(right):,} "
        "validation images are classified correctly",
    )
    context.note_folds(f"scores of the {FOLDS}", fitted.validation_indices, right, "accuracy")
    joint = np.log(np.maximum(np.mean([softmax(z) for z in of_unseen], axis=0), 1e-30))
    return replace(
        fitted, network=Ensemble.of(members, [1.0] * len(members)),
        task=context.task.calibrated(joint, context.data.labels[unseen]), unseen=unseen, unseen_logits=joint,
    )  # fmt: skip


def view_logits(
    context: TrainContext,
    upper: Upper,
    rows_of_views: Sequence[NDArray[np.int64]],
    config: TrainConfig,
    pixels: NDArray[Any],
) -> NDArray[np.float64]:
    """What the head makes of features averaged over views: logits (R, K). rows_of_views: of the same images, each."""
    size = config.optimization.batch_size
    if isinstance(upper.head, torch.nn.Linear):  # of mean features: the mean of the logits
        return np.asarray(np.mean([context.logits(upper, rows, size, pixels) for rows in rows_of_views], axis=0))
    inner = upper.without_head.eval()
    features = np.mean([context.logits(inner, rows, size, pixels) for rows in rows_of_views], axis=0)
    with torch.inference_mode():
        return np.asarray(upper.head(torch.from_numpy(features).float()).double())


def _starting_head(
    context: TrainContext, frozen: Frozen, parts: list[int], fit: NDArray[np.int64]
) -> tuple[dict[str, Any], torch.nn.Module]:
    """A head on some parts of the features of some images, softmax or with the hidden layers asked for: where training
    layers starts from.
    """
    features, rows, targets = [frozen.parts[i] for i in parts], frozen.positions(fit), frozen.targets(context)
    if widths := context.config.transfer.widths:
        strength = frozen.result.chosen.setting["L2"]
        return fit_hidden(features, rows, targets, widths, strength, context.config.run.seed)
    softmaxes = [c for c in frozen.result.candidates if c.head == "softmax"]
    best = min(softmaxes, key=lambda c: (c.features != frozen.result.chosen.features, c.log_loss))
    return fit_softmax(features, rows, targets, best.setting["L2"])


def _place_of_cut(context: TrainContext, frozen: Frozen) -> int:
    """Number of the tap behind which training begins: the depth whose features do best on their own, the last left out.

    Below it the network's general features are as good as they get; above it they turn to what ImageNet asked.
    """
    taps = len(frozen.probe.taps)
    split = context.data.split
    result = choose_head(
        frozen.parts,
        {str(i): (i,) for i in range(taps)},
        frozen.targets(context),
        [(frozen.positions(split.folds[0][0]), frozen.positions(split.folds[0][1]))],
        frozen.positions(split.development),
        kernels=False,
        progress=context.console.stage("comparing depths at which training may start", "heads"),
    )
    best = [max(c.accuracy for c in result.candidates if c.features == str(i)) for i in range(taps)]
    return int(np.argmax(best[:-1])) if taps > 1 else 0


def layer_groups(probe: Probe, rate: float, decay: float = LAYER_DECAY) -> list[dict[str, Any]]:
    """Parameter groups from the input to the head: each stage learns `decay` times as fast as the next deeper one. What
    takes no gradient is in none.
    """
    stages: list[list[torch.nn.Parameter]] = [[]]
    remaining = list(probe.taps)
    in_block = False
    for name, parameter in probe.backbone.named_parameters():
        mine = bool(remaining) and name.startswith(remaining[0] + ".")
        if in_block and not mine:  # the tapped stage is over
            remaining.pop(0)
            stages.append([])
            mine = bool(remaining) and name.startswith(remaining[0] + ".")
        in_block = mine
        stages[-1].append(parameter)
    stages.append(list(probe.head.parameters()))
    filled = [trained for stage in stages if (trained := [p for p in stage if p.requires_grad])]
    return [{"params": stage, "lr": rate * decay ** (len(filled) - 1 - k)} for k, stage in enumerate(filled)]
