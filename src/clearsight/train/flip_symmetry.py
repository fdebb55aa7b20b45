"""Whether a network that is trained from random weights should see mirror images too, by a fast classifier on
gradients.

Left and right exchanged, a shirt stays a shirt and a 2 becomes no digit at all. Which it is shows on validation images
that are not mirrored: a machine that learned from mirror images as well knows digits worse, and clothes as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearsight.classical.hog import hog
from clearsight.data.loader import to_float
from clearsight.data.prepare import Prepared
from clearsight.ood.scores import pooled

IMAGES = 2000
"""Training images at most; twice as many validation images."""

TOO_MUCH = 0.005
"""Loss of accuracy from which mirror images harm: less may be the machine's, which has to learn twice as much.
Measured: clothes gain 0.005 to 0.010, digits lose 0.015.
"""

CLEARLY = 2.0
"""Standard errors that the loss must be worth as well."""

RIDGE, WIDTH = 0.1, 0.5
"""Penalty of the machine, and the width of its kernel, exp(-WIDTH |a - b|^2 / D)."""


@dataclass(frozen=True)
class MirrorTrial:
    """Whether each validation image is named rightly (n,), without and with mirror images in training."""

    plain: NDArray[np.bool_]
    mirrored: NDArray[np.bool_]

    @property
    def loss(self) -> float:
        """By how much the accuracy is lower with mirror images."""
        return float(self.plain.mean() - self.mirrored.mean())

    @property
    def error(self) -> float:
        """The standard error of `loss`, image by image."""
        return float((self.plain.astype(float) - self.mirrored).std() / len(self.plain) ** 0.5)

    @property
    def advised(self) -> bool:
        """Mirror images, unless they clearly harm."""
        return self.loss <= max(TOO_MUCH, CLEARLY * self.error)


def mirror_trial(data: Prepared, seed: int) -> MirrorTrial:
    """Learn from some images, without and with their mirror images, and name others.

    The machine is kernel ridge regression on histograms of gradients and coarse pixels, one against the rest.
    """
    order = np.random.default_rng(seed)
    train, val = order.permutation(data.split.train)[:IMAGES], order.permutation(data.split.val)[: 2 * IMAGES]
    known, turned, asked = _seen(data, train), _seen(data, train, turned=True), _seen(data, val)
    mean, std = known.mean(0), known.std(0)
    known, turned, asked = ((x - mean) / np.where(std > 0, std, 1) for x in (known, turned, asked))
    labels, truth = data.labels[train], data.labels[val]
    both = np.concatenate([known, turned])
    return MirrorTrial(_named(known, labels, asked) == truth, _named(both, np.tile(labels, 2), asked) == truth)


def _seen(data: Prepared, rows: NDArray[np.int64], turned: bool = False) -> NDArray[np.float32]:
    """Images, or their mirror images, as histograms of gradients in seven cells a side and coarse pixels (N, D)."""
    pixels, found = data.pixels.array, []
    cell = max(2, min(pixels.shape[2:]) // 7)
    for start in range(0, len(rows), 128):
        images = to_float(pixels[rows[start : start + 128]])
        images = images.flip(3) if turned else images
        found.append(np.concatenate([hog(images, cell=cell).flatten(1).numpy(), pooled(images.numpy())], axis=1))
    return np.concatenate(found)


def _named(known: NDArray[np.float32], labels: NDArray[np.int64], asked: NDArray[np.float32]) -> NDArray[np.int64]:
    """Classes (M,) of vectors (M, D), learned from others (N, D) with their labels (N,)."""
    from sklearn.kernel_ridge import KernelRidge  # here, not above: it loads as slowly as PyTorch

    targets = 2.0 * (labels[:, None] == np.arange(labels.max() + 1)) - 1
    machine = KernelRidge(alpha=RIDGE, kernel="rbf", gamma=WIDTH / known.shape[1]).fit(known, targets)
    parts = np.array_split(asked, 1 + len(asked) // 512)
    return np.concatenate([machine.predict(part).argmax(1) for part in parts])
