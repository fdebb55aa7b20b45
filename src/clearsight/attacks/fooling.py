"""Fooling images: noise that a model takes for a class with great confidence [Nguyen, Yosinski, Clune 2015]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from clearsight.console import Console, Silent
from clearsight.errors import ModelError
from clearsight.models.network import frozen
from clearsight.predictor import Predictor


@dataclass(frozen=True)
class Fooling:
    """One image per class: pixels (K, C, H, W) float32 in [0, 1], and the calibrated probability of that class (K,).

    is_ood (K,): whether the OOD detector flags the image; None without a detector.
    confidence: probability from which an image counts as fooling.
    shown: positions of the channels that pages show; empty for the first three.
    """

    classes: tuple[str, ...]
    pixels: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    is_ood: NDArray[np.bool_] | None = None
    confidence: float = 0.99
    shown: tuple[int, ...] = ()

    @property
    def fooled(self) -> NDArray[np.bool_]:
        """Which of the images reach the confidence (K,)."""
        return self.probabilities >= self.confidence


def fool(
    predictor: Predictor,
    *,
    confidence: float = 0.99,
    rounds: int = 1000,
    rate: float = 0.1,
    seed: int = 0,
    batch: int = 64,
    console: Console | None = None,
) -> Fooling:
    """Optimise uniform noise with Adam until each class reaches the confidence, or the rounds are over.

    The image is a sigmoid of what is optimised, so that it stays in [0, 1].

    Args:
        predictor: the model.
        confidence: probability to reach, in (0, 1).
        rounds: maximum number of optimisation steps.
        rate: learning rate of Adam.
        seed: random seed.
        batch: images in memory at once.
        console: where progress is shown.

    Returns:
        One image per class, with its probability.

    Raises:
        ModelError: without gradients or classes.
    """
    predictor.classifies("making fooling images")
    if not predictor.has_gradients:
        raise ModelError("fooling images need gradients, which this model does not have")
    network, classes, device = predictor.differentiable, len(predictor.classes), predictor.device
    advance = (console or Silent()).stage("making fooling images", "rounds")
    generator = torch.Generator().manual_seed(seed)
    start = torch.rand((classes, *predictor.shape), generator=generator)
    parts = list(zip(torch.split(start, batch), torch.split(torch.arange(classes), batch), strict=True))
    activation = predictor.bundle.task.activation().float().to(device)
    enough = min(confidence + (1 - confidence) / 2, predictor.bundle.task.largest_probability - 1e-4)
    made = []
    with frozen(network):
        for number, (noise, goal) in enumerate(parts):
            free, goal = torch.logit(0.02 + 0.96 * noise).to(device).requires_grad_(), goal.to(device)
            optimiser = torch.optim.Adam([free], lr=rate)
            for round_ in range(rounds):
                logits = network(free.sigmoid())
                sure = activation(logits)[0].gather(1, goal[:, None])[:, 0]
                advance(number * rounds + round_, len(parts) * rounds)
                if bool((sure > enough).all()):
                    break
                optimiser.zero_grad()
                F.cross_entropy(logits, goal, reduction="sum").backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            made.append(free.detach().sigmoid().cpu().numpy())
    advance(len(parts) * rounds, len(parts) * rounds)
    pixels = np.concatenate(made)
    probabilities = predictor.predict_proba(pixels)[np.arange(classes), np.arange(classes)]
    is_ood = predictor.detect_ood(pixels)[1] if predictor.bundle.ood_detector else None
    return Fooling(predictor.classes, pixels, probabilities, is_ood, confidence, predictor.bundle.form.shown)
