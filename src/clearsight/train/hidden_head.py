"""Heads with hidden dense layers on frozen features, which gradient descent trains where linear heads are solved.

The features are those of the best linear head. Of a few strengths of L2 the one that validates best on the folds is
kept; the head is then fitted on all development images, as linear heads are.

Shapes: N images, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from clearsight.calibration.temperature import fit_temperature
from clearsight.metrics import accuracy, log_loss, softmax
from clearsight.models.heads import hidden_layers
from clearsight.models.initialization import initialise
from clearsight.train.head_search import (
    SELECT_LIMIT,
    Candidate,
    FittedHead,
    Fold,
    ProbeResult,
    Rows,
    StandardFeatures,
    Targets,
)

STRENGTHS = (1e-4, 1e-3, 1e-2)
"""L2 of all weights, per image, on standardised features."""

EPOCHS, STEPS, BATCH, RATE = 30, 500, 64, 3e-3
"""Passes over the images, the fewest steps, images per step, and Adam's rate, which falls to zero along half a cosine.
"""


def with_hidden_layers(
    result: ProbeResult,
    parts: Sequence[Rows],
    widths: Sequence[int],
    targets: Targets,
    folds: Sequence[Fold],
    everything: NDArray[np.int64],
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> ProbeResult:
    """The result of a search for linear heads, with a head of hidden layers in the place of the chosen one.

    parts: arrays (N, D_i) of the features of the chosen views. widths: units of each hidden layer. folds, everything:
    positions into the N images.
    """
    trial = folds if len(everything) <= SELECT_LIMIT else folds[:1]
    chosen = [parts[i] for i in result.chosen.parts]
    features = StandardFeatures(chosen, everything)
    rows = np.concatenate([val_rows for _, val_rows in trial])
    found: list[tuple[Candidate, NDArray[np.float64]]] = []
    for strength in STRENGTHS:
        heads = [(fitted_layers(features, fit, targets, widths, strength, seed), val_rows) for fit, val_rows in trial]
        z = np.concatenate([head.outputs(features, val_rows) for head, val_rows in heads])
        probabilities = softmax(z, fit_temperature(z, targets.labels[rows]))
        scores = accuracy(targets.labels[rows], z.argmax(1)), log_loss(targets.labels[rows], probabilities)
        name = "hidden layers " + ",".join(map(str, widths))
        linear = result.chosen
        found.append((replace(linear, head=name, setting={"L2": strength}, accuracy=scores[0], log_loss=scores[1]), z))
        if progress:
            progress(len(found), len(STRENGTHS))
    best, logits = min(found, key=lambda pair: (-pair[0].accuracy, pair[0].log_loss))
    fitted = fitted_layers(features, everything, targets, widths, best.setting["L2"], seed)
    spec, head = fitted.module(features)
    candidates = (*result.candidates, *(candidate for candidate, _ in found))
    return ProbeResult(candidates, best, spec, head, rows, logits)


def fit_hidden(
    parts: Sequence[Rows],
    chosen: NDArray[np.int64],
    targets: Targets,
    widths: Sequence[int],
    strength: float,
    seed: int,
) -> tuple[dict[str, Any], nn.Module]:
    """A head with hidden layers on some images, and its spec: the point from which fine-tuning starts."""
    features = StandardFeatures(parts, chosen)
    return fitted_layers(features, chosen, targets, widths, strength, seed).module(features)


def fitted_layers(
    features: StandardFeatures,
    fit: NDArray[np.int64],
    targets: Targets,
    widths: Sequence[int],
    strength: float,
    seed: int,
) -> FittedHead:
    """Minimise the mean weighted cross-entropy + strength/2 |W|² over the rows `fit` by Adam.

    It starts from He's initial weights. The order of images and the initial weights follow from the seed.
    """
    layers = hidden_layers(features.width, targets.classes, widths)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        initialise(layers, "he")
    mine = targets.of(fit)
    x = torch.from_numpy(np.concatenate(list(features.chunks(fit))))
    labels, weights = torch.from_numpy(mine.labels), torch.from_numpy(mine.weights)
    optimiser = torch.optim.Adam(layers.parameters(), lr=RATE)
    steps = -(-len(fit) // BATCH)
    epochs = max(EPOCHS, -(-STEPS // steps))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * steps)
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(fit))
        for rows in np.array_split(order, steps):
            batch = torch.from_numpy(rows)
            optimiser.zero_grad(set_to_none=True)
            each = F.cross_entropy(layers(x[batch]), labels[batch], reduction="none")
            penalty = sum((p.square().sum() for p in layers.parameters() if p.ndim > 1), torch.zeros(()))
            cost = (each * weights[batch]).sum() / weights[batch].sum() + strength / 2 * penalty
            cost.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return FittedHead(np.zeros(targets.classes), layers=layers.eval())
