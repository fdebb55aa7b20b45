"""Whether a network that learns from random weights should see mirror images too: two short trainings tell.

Left and right exchanged, a shirt stays a shirt and a 2 becomes no digit at all. Which it is shows on validation
images that are not mirrored.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearsight.train.job import Job, less_work
from clearsight.train.loop import Training, logits_of, train_network

TRIAL_IMAGES = 8_000
"""Training images of each of the two trainings, at most; as many validation images judge them."""

TRIAL_EPOCHS = 4
"""Epochs of each."""

A_LITTLE = 0.1
"""Share by which mirror images may raise the validation loss and still be taken: there is more to learn, and what that
gains shows in longer trainings only. Where they change what is shown the loss is many times as high (measured: 1.04
times with clothes, 9 times with digits).
"""

CLEARLY = 2.0
"""Standard errors by which the loss must rise at least for mirror images to be left out."""


@dataclass(frozen=True)
class MirrorTrial:
    """Cross-entropy of the same validation images (n,), without and with mirror images in training."""

    plain: NDArray[np.float64]
    mirrored: NDArray[np.float64]

    @property
    def rise(self) -> float:
        """How much higher the mean loss is with mirror images."""
        return float((self.mirrored - self.plain).mean())

    @property
    def error(self) -> float:
        """The standard error of `rise`, image by image."""
        return float((self.mirrored - self.plain).std() / len(self.plain) ** 0.5)

    @property
    def advised(self) -> bool:
        """Mirror images, unless they clearly harm."""
        return self.rise <= max(A_LITTLE * float(self.plain.mean()), CLEARLY * self.error)


def mirror_trial(job: Job, network: nn.Module, how: Training, rate: float) -> MirrorTrial:
    """Train copies of a network for a short while, without and with mirror images."""
    everything, order = job.examples, np.random.default_rng(job.config.run.seed)
    few = replace(
        everything,
        train=order.permutation(everything.train)[:TRIAL_IMAGES],
        val=order.permutation(everything.val)[:TRIAL_IMAGES],
    )
    losses: list[NDArray[np.float64]] = []
    for augment in ("none", "mirror"):
        trial = copy.deepcopy(network)
        short = replace(how, epochs=TRIAL_EPOCHS, augment=augment, max_steps=None, val_every=None, compile=False)
        groups = [{"params": list(trial.parameters()), "lr": rate}]
        with less_work(trial, short, few, job.device):
            train_network(
                trial, few, short, groups, seed=job.config.run.seed, device=job.device,
                on_step=job.console.stage(f"a short training, {'mirrored' if losses else 'as it is'}", "steps"),
            )  # fmt: skip
        logits = logits_of(trial, few.pixels, few.val, how.batch_size, "cpu").double()
        truth = torch.from_numpy(few.labels[few.val])
        losses.append(nn.functional.cross_entropy(logits, truth, reduction="none").numpy())
    return MirrorTrial(*losses)
