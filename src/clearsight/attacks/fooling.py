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
    """One image per class: pixels (K, C, H, W) float32 in [0, 1], and the calibrated belief in that class (K,).

    strange (K,): whether the model calls it "none of these" all the same; None where it does not know its limits.
    wanted: belief from which an image counts as one that fools.
    """

    classes: tuple[str, ...]
    pixels: NDArray[np.float32]
    beliefs: NDArray[np.float64]
    strange: NDArray[np.bool_] | None = None
    wanted: float = 0.99

    @property
    def fooled(self) -> NDArray[np.bool_]:
        """Which of them the model believes in (K,)."""
        return self.beliefs >= self.wanted


def fool(
    predictor: Predictor,
    *,
    belief: float = 0.99,
    rounds: int = 1000,
    rate: float = 0.1,
    seed: int = 0,
    batch: int = 64,
    console: Console | None = None,
) -> Fooling:
    """Begin with uniform noise and follow Adam until each class is believed as asked, or the rounds are over.

    The image is a sigmoid of what is optimised, so that it stays in [0, 1]. batch: images in memory at once. Raises
    ModelError without gradients or classes.
    """
    predictor.classifies("making fooling images")
    if not predictor.has_gradients:
        raise ModelError("fooling images need gradients, which this model does not have")
    network, classes, device = predictor.differentiable, len(predictor.classes), predictor.device
    advance = (console or Silent()).stage("making fooling images", "rounds")
    generator = torch.Generator().manual_seed(seed)
    start = torch.rand((classes, *predictor.shape), generator=generator)
    parts = list(zip(torch.split(start, batch), torch.split(torch.arange(classes), batch), strict=True))
    probabilities = predictor.bundle.task.activation().float().to(device)
    enough = min(belief + (1 - belief) / 2, predictor.bundle.task.largest_probability - 1e-4)
    made = []
    with frozen(network):
        for number, (noise, goal) in enumerate(parts):
            free, goal = torch.logit(0.02 + 0.96 * noise).to(device).requires_grad_(), goal.to(device)
            optimiser = torch.optim.Adam([free], lr=rate)
            for round_ in range(rounds):
                logits = network(free.sigmoid())
                sure = probabilities(logits)[0].gather(1, goal[:, None])[:, 0]
                advance(number * rounds + round_, len(parts) * rounds)
                if bool((sure > enough).all()):
                    break
                optimiser.zero_grad()
                F.cross_entropy(logits, goal, reduction="sum").backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            made.append(free.detach().sigmoid().cpu().numpy())
    advance(len(parts) * rounds, len(parts) * rounds)
    pixels = np.concatenate(made)
    beliefs = predictor.predict_proba(pixels)[np.arange(classes), np.arange(classes)]
    strange = predictor.strangeness(pixels)[1] if predictor.bundle.limits else None
    return Fooling(predictor.classes, pixels, beliefs, strange, belief)
