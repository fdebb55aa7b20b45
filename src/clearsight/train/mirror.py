"""Whether a network that learns from random weights should see mirror images too: two short trainings tell.

Left and right exchanged, a shirt stays a shirt and a 2 becomes no digit at all. Which of them a class is like shows on
validation images that are not mirrored: where mirror images harm, answers on them get worse.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from clearsight.train.job import Job, less_work
from clearsight.train.loop import Training, logits_of, train_network

TRIAL_IMAGES = 12_000
"""Training images of each of the two trainings, at most; as many validation images judge them."""

TRIAL_EPOCHS = 4
"""Epochs of each."""

CLEARLY = 2.0
"""Standard errors of the difference by which answers must get worse for mirror images to be left out."""


@dataclass(frozen=True)
class MirrorTrial:
    """Whether each answer on the same validation images was right (n,), without and with mirror images in training."""

    plain: NDArray[np.bool_]
    mirrored: NDArray[np.bool_]

    @property
    def harm(self) -> float:
        """How much less often the answers are right with mirror images."""
        return float(self.plain.mean() - self.mirrored.mean())

    @property
    def error(self) -> float:
        """The standard error of `harm`, image by image."""
        return float((self.plain.astype(float) - self.mirrored).std() / len(self.plain) ** 0.5)

    @property
    def advised(self) -> bool:
        """Mirror images, unless they clearly harm: what they gain shows in longer trainings only."""
        return self.harm <= CLEARLY * self.error


def mirror_trial(job: Job, network: nn.Module, how: Training, rate: float) -> MirrorTrial:
    """Train copies of a network for a short while, without and with mirror images."""
    everything, order = job.examples, np.random.default_rng(job.config.run.seed)
    few = replace(
        everything,
        train=order.permutation(everything.train)[:TRIAL_IMAGES],
        val=order.permutation(everything.val)[:TRIAL_IMAGES],
    )
    right: list[NDArray[np.bool_]] = []
    for augment in ("none", "mirror"):
        trial = copy.deepcopy(network)
        short = replace(how, epochs=TRIAL_EPOCHS, augment=augment, max_steps=None, val_every=None, compile=False)
        groups = [{"params": list(trial.parameters()), "lr": rate}]
        with less_work(trial, short, few, job.device):
            train_network(
                trial, few, short, groups, seed=job.config.run.seed, device=job.device,
                on_step=job.console.stage(f"a short training, {'mirrored' if right else 'as it is'}", "steps"),
            )  # fmt: skip
        logits = logits_of(trial, few.pixels, few.val, how.batch_size, "cpu").numpy()
        right.append(logits.argmax(1) == few.labels[few.val])
    return MirrorTrial(*right)
