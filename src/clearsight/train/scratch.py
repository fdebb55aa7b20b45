"""A network from random weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from clearsight.belief.temperature import fit_temperature
from clearsight.config import seconds
from clearsight.data.loader import batches
from clearsight.data.prepare import Prepared
from clearsight.engines import operations
from clearsight.models.initialise import BEST_OF, initialise
from clearsight.models.network import Network
from clearsight.train.job import Job, Outcome
from clearsight.train.loop import logits_of
from clearsight.train.recipe import Recipe

WORK = 4e12
"""Operations that training from scratch may cost before epochs are cut, about two minutes on two cores."""


def from_scratch(job: Job) -> Outcome:
    """Train the recipe's network from random weights; how long follows from the work and the budget."""
    data, options = job.data, job.config.train
    split, shape = data.split, data.pixels.array.shape[1:]
    network = new_network(job.recipe, data, job.config.run.seed)
    _initialise(network, job)
    how = job.training(network, batch=64 if len(split.train) < 5000 else 128, fine_tuning=False, shape=shape)
    groups = [{"params": list(network.parameters()), "lr": job.rate(fine_tuning=False)}]
    epochs = options.epochs
    if epochs is None and job.config.run.budget is not None:
        per_epoch = job.decided("epoch seconds", lambda: job.epoch_seconds(network, how, groups))
        epochs = int(np.clip(seconds(job.config.run.budget) // per_epoch, 1, 60))
        job.note("epochs", str(epochs), f"one takes {per_epoch:.1f} s here and the budget is {job.config.run.budget}")
    elif epochs is None:
        cost = 3 * operations(network, shape) * len(split.train)  # the backward pass costs twice the forward one
        epochs = int(np.clip(WORK // cost, 8, 40))
        job.note(
            "epochs", str(epochs), f"a pass over {len(split.train):,} images costs {cost / 1e9:,.0f} billion operations"
        )
    elif job.config.run.budget is not None:
        job.note("without effect", "--budget", "--epochs says how long training takes")
    how = replace(how, epochs=epochs)
    trained = job.train(network, how, groups, "training")
    if trained.stopped_early:
        why = f"no better validation loss in {options.patience} epochs"
        job.note("stop", f"after epoch {len(trained.history)}", why)
    logits = logits_of(network, data.pixels.array, split.val, how.batch_size, "cpu").double().numpy()
    return Outcome(
        network=network,
        temperature=fit_temperature(logits, data.labels[split.val]),
        judged=split.val,
        logits=logits,
        history=trained.history,
        candidates=(),
        decisions=tuple(job.notes),
        images_per_second=trained.images_per_second,
        training=how,
    )


def new_network(recipe: Recipe, data: Prepared, seed: int, classes: int | None = None) -> Network:
    """A network with random weights whose input layer has the training split's mean and deviation.

    classes: how many it tells apart, those of the data unless given.
    """
    mean, std = channel_statistics(data)
    torch.manual_seed(seed)
    return Network(
        {
            "kind": "network",
            "name": recipe.model,
            "classes": classes or len(data.dataset.classes),
            "img_size": recipe.img_size,
            "knobs": recipe.knobs,
            "input": {"mean": mean, "std": std, "mode": "fixed"},
        }
    )


def _initialise(network: Network, job: Job) -> None:
    """Draw the weights as --init says."""
    how = job.config.model.init
    if how is None:
        return
    torch.manual_seed(job.config.run.seed)
    chosen = initialise(network, how, batches=_first_batches(job))
    if how.startswith(BEST_OF):
        losses = ", ".join(f"{name} {loss:.3f}" for name, loss in chosen.losses.items())
        job.note("initialisation", chosen.method, f"lowest loss after five steps each: {losses}")


def _first_batches(job: Job, count: int = 5, size: int = 64) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Some batches of the training split with their class indices."""
    data = job.data
    rows = np.random.default_rng(job.config.run.seed).permutation(data.split.train)[: count * size]
    for images, chosen in batches(data.pixels.array, rows, size):
        yield images, torch.from_numpy(data.labels[chosen])


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
