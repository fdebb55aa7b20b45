"""A network from random weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.calibration.temperature import fit_temperature
from clearsight.data.channel_statistics import channel_statistics
from clearsight.data.loader import batches
from clearsight.data.prepare import Prepared
from clearsight.metrics import accuracy, log_loss, softmax
from clearsight.models.execution import operations
from clearsight.models.initialization import BEST_OF, initialise
from clearsight.models.network import AS_IT_IS, Network
from clearsight.train.config import TrainConfig
from clearsight.train.context import TrainContext, TrainResult
from clearsight.train.flip_symmetry import TOO_MUCH, mirror_trial
from clearsight.train.recipe import MANY_SMALL, Recipe
from clearsight.wording import count, large, percent

WORK = 4e12
"""Operations that training from scratch may cost before epochs are cut, about two minutes on two cores."""

FURTHER = 0.3
"""Peak rate of a network that goes on from the weights of a run, as a share of that of random weights."""

OFTEN = 30
"""Epochs from which images are shifted, turned and zoomed a little however many there are."""


def from_scratch(context: TrainContext) -> TrainResult:
    """Train the recipe's network from random weights, or from those of the run that is continued; how long follows from
    the work and the budget.
    """
    data, asked = context.data, context.config.optimization
    split, shape = data.split, data.pixels.array.shape[1:]
    before, seed = context.previous, context.config.run.seed
    known = None if before is None else before.whole_network(context.task, seed)
    network = drawn_network(context) if known is None else known
    size = 256 if context.optimiser == "muon" else 64 if len(split.train) < 5000 else 128
    config = context.resolved(network, batch=size, fine_tuning=False, shape=shape)
    rate = context.rate(fine_tuning=False) * (1.0 if known is None else FURTHER)
    groups = [{"params": list(network.parameters()), "lr": rate}]
    flips = context.config.augmentation.augment is None and context.task.training.flips_checked
    if flips:
        planned, _ = _epochs(context, network, config, groups, context.left("a plan"))
        config = config.with_options(augment=_augmentation(context, planned))
    epochs, why = _epochs(context, network, config, groups, context.left("training"))
    if known is not None and before is not None and asked.epochs is None and context.budget is None:
        epochs, why = (
            before.epochs,
            "a quarter of the epochs of the continued run, whose weights are the starting point",
        )
    if asked.epochs is None:
        context.note("epochs", str(epochs), why)
    elif context.budget is not None:
        context.note("without effect", "--budget", "--epochs sets the length of training")
    config = config.with_options(epochs=epochs)
    stopping, unseen = context.validation_halves
    trained = context.train(network, config, groups, "training", replace(context.examples, val=stopping))
    if trained.stopped_early:
        why = f"no improvement in the validation loss for {count(asked.patience, 'epoch')}"
        context.note("stop", f"after epoch {trained.history[-1].epoch}", why)
    logits = context.logits(network, split.val, config.optimization.batch_size)
    if config.augmentation.augment == "mirror" and flips:
        logits = _with_mirror_image(context, network, logits)
    return TrainResult(
        network=network,
        task=context.task.calibrated(logits[np.isin(split.val, unseen)], context.task.truth(data.dataset)[unseen]),
        validation_indices=split.val,
        logits=logits,
        unseen=unseen,
        unseen_logits=logits[np.isin(split.val, unseen)],
        history=trained.history,
        candidates=(),
        images_per_second=trained.images_per_second,
        training=config,
    )


def _epochs(
    context: TrainContext, network: Network, config: TrainConfig, groups: list[dict[str, Any]], left: float | None
) -> tuple[int, str]:
    """How many epochs: those asked for, or those that `left` seconds or else `WORK` allow; and why."""
    if context.config.optimization.epochs is not None:
        return context.config.optimization.epochs, "as specified"
    if left is not None:
        per_epoch = context.decided("epoch seconds", lambda: context.epoch_seconds(network, config, groups))
        epochs = int(np.clip(left // per_epoch, 1, 60))
        if left < per_epoch:
            return epochs, f"the minimum: {context.used_up(left, per_epoch)}"
        return (
            epochs,
            f"one epoch takes {per_epoch:.1f} s on this machine, and --budget {context.config.run.budget} leaves "
            f"{left:.0f} s",
        )
    images = len(context.data.split.train)
    cost = (
        3 * operations(network, context.data.pixels.array.shape[1:]) * images
    )  # backward costs twice as much as forward
    return int(np.clip(WORK // cost, 8, 40)), f"one pass over {images:,} images costs {large(cost)} operations"


def _with_mirror_image(context: TrainContext, network: Network, logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Let the network look at every image's mirror image too, if that makes validation better; its logits then."""
    rows, labels = context.data.split.val, context.data.labels[context.data.split.val]
    network.set_views(("as it is", "left-right"))
    both = context.logits(network, rows, 256)
    losses = [log_loss(labels, softmax(z, fit_temperature(z, labels))) for z in (logits, both)]
    words = (
        f"the validation log loss is {losses[1]:.3f} (accuracy {percent(accuracy(labels, both.argmax(1)))}) with "
        f"predictions averaged over an image and its mirror image, and {losses[0]:.3f} "
        f"({percent(accuracy(labels, logits.argmax(1)))}) without averaging; averaging doubles the prediction time"
    )
    if losses[1] < losses[0]:
        context.note("views", "as it is, left-right", words)
        return both
    network.set_views(AS_IT_IS)
    context.note("views", "as it is", words)
    return logits


def _augmentation(context: TrainContext, epochs: int) -> str:
    """Changes to training images where the user names none, noted where they are not the usual ones."""
    images = len(context.data.split.train)
    if images < MANY_SMALL or epochs >= OFTEN:
        return "light"

    trial = mirror_trial(context.data, context.config.run.seed)
    chosen = "mirror" if trial.advised else "none"
    context.note(
        "augmentation",
        chosen,
        f"shifts and rotations do not help in only {count(epochs, 'epoch')} over {images:,} images; mirror images "
        f"change the accuracy of a quick classifier by {-100 * trial.loss:+.1f} points (standard error "
        f"{100 * trial.error:.1f}) and are used unless they lower it by more than both {100 * TOO_MUCH:g} points and "
        "two standard errors",
    )
    return chosen


def new_network(recipe: Recipe, data: Prepared, seed: int, outputs: int | None = None) -> Network:
    """A network with random weights, its pixels scaled as the recipe says, or by the training split's mean and
    deviation.

    outputs: number of outputs, by default one per class.
    """
    torch.manual_seed(seed)
    return Network(
        {
            "kind": "network",
            "name": recipe.model,
            "classes": outputs or len(data.dataset.classes),
            "img_size": recipe.img_size,
            "model_args": recipe.model_args,
            "input": _input(recipe.normalize, data),
        }
    )


def _input(normalize: str, data: Prepared) -> dict[str, Any]:
    """Arguments of the input layer. A pretrained network that is also tried from scratch has no other scale to keep."""
    channels = data.form.channels
    known = {
        "unit": ([0.0] * channels, [1.0] * channels, "fixed"),
        "symmetric": ([0.5] * channels, [0.5] * channels, "fixed"),
        "per-image": ([0.0] * channels, [1.0] * channels, "image"),
    }
    mean, std, mode = known[normalize] if normalize in known else (*channel_statistics(data), "fixed")
    return {"mean": mean, "std": std, "mode": mode}


def drawn_network(context: TrainContext) -> Network:
    """The recipe's network with random weights, drawn as --init says."""
    network = new_network(context.recipe, context.data, context.config.run.seed, context.task.outputs)
    init = context.config.model.init
    if init is None:
        return network
    each = context.task.training.losses[context.loss]
    torch.manual_seed(context.config.run.seed)
    chosen = initialise(network, init, batches=_first_batches(context), loss=lambda z, targets: each(z, targets).mean())
    if init.startswith(BEST_OF):
        losses = ", ".join(f"{name} {loss:.3f}" for name, loss in chosen.losses.items())
        context.note("initialisation", chosen.method, f"lowest loss after five training steps: {losses}")
    return network


def _first_batches(
    context: TrainContext, count: int = 5, size: int = 64
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Some batches of the training split with what their outputs are compared with."""
    data, examples, smoothing = context.data, context.examples, context.config.regularization.label_smoothing or 0.0
    rows = np.random.default_rng(context.config.run.seed).permutation(data.split.train)[: count * size]
    for images, chosen in batches(data.pixels.array, rows, size):
        yield images, examples.targets_of(chosen, smoothing)
