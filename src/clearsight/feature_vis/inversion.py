"""What a layer still knows of an image: another image, made from noise, with the same features.

    min over x of  |f(x) - f(x0)|² / |f(x0)|²  +  prior(x)      [Mahendran and Vedaldi 2015, arXiv:1412.0035]

The prior is their total variation (beta 2) and alpha-norm (alpha 6). What the rebuilt image has lost, the layer
has lost, or the prior could not guess.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.errors import ConfigError, ModelError
from clearsight.feature_vis.priors import alpha_norm, middle, total_variation
from clearsight.models.feature_maps import output_at
from clearsight.models.layer_probe import layer_name, short_name
from clearsight.models.network import frozen
from clearsight.predictor import Predictor

Floats = NDArray[np.float32]

SMOOTHNESS = 0.05
"""Weight of the total variation."""

SLOPE = 22.4
"""The total variation's unit, in the pixels' range per side of the image: a tenth of the range from pixel to pixel in
224, more where pixels are larger. On a photograph in EfficientNet-Lite0, 0.05 recovers more than 0.001 and 0.01 do.
"""

BOUND = 0.001
"""Weight of the alpha-norm, whose unit is half the pixels' range."""

NOISE = 0.1
"""Deviation of the noise that the image is made from."""


@dataclass(frozen=True)
class Inversion:
    """An image (C, H, W) in [0, 1] rebuilt from a layer's features.

    error: |f(x) - f(x0)| / |f(x0)|, and error_before that of the start. correlation: Pearson's, of its pixels with the
    original's; None for an image of one colour. features: how many numbers it was rebuilt from.
    """

    layer: str
    features: int
    pixels: Floats
    error: float
    error_before: float
    correlation: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without pixels."""
        return {
            "layer": self.layer, "features": self.features, "error": self.error, "error_before": self.error_before,
            "correlation": self.correlation,
        }  # fmt: skip


def invert(
    predictor: Predictor,
    pixels: Floats,
    layers: Sequence[str],
    *,
    steps: int = 150,
    rate: float = 0.05,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Inversion]:
    """Rebuild an image (C, H, W) in [0, 1] from each of these layers' features, by so many steps of Adam.

    rate: at the start; it falls along a cosine. The start is the same noise for every layer. Raises ModelError for a
    layer that does not exist or gives nothing to follow, and ConfigError for fewer than 1 step.
    """
    if steps < 1:
        raise ConfigError(f"the number of steps is {steps}", expected="1 or more")
    network, original = predictor.network, torch.from_numpy(pixels[None])
    centre, unit = middle(network, pixels.shape[0]), SLOPE / min(pixels.shape[1:])
    noise = np.random.default_rng(seed).standard_normal(original.shape, np.float32)
    start = (centre + NOISE * torch.from_numpy(noise)).clamp(0, 1)
    found = []
    for number, layer in enumerate(layers):
        name = layer_name(network, layer)
        with frozen(network):
            with torch.no_grad():
                goal = output_at(network, name, original)
            size = goal.square().sum()
            if not size:
                raise ModelError(
                    f"the layer {short_name(name)!r} outputs only zeros for this image", fix="choose another layer"
                )

            def error(x: torch.Tensor, name: str = name, goal: torch.Tensor = goal, size: torch.Tensor = size) -> Any:
                return (output_at(network, name, x) - goal).square().sum() / size

            x = start.clone().requires_grad_()
            optimiser = torch.optim.Adam([x], lr=rate)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
            for step in range(steps):
                with torch.enable_grad():
                    prior = SMOOTHNESS * total_variation(x, unit) + BOUND * alpha_norm(x, centre, 0.5)
                    loss = error(x) + prior.sum()
                    optimiser.zero_grad()
                    loss.backward()
                optimiser.step()
                schedule.step()
                with torch.no_grad():
                    x.clamp_(0, 1)
                if progress:
                    progress(number * steps + step + 1, len(layers) * steps)
            with torch.no_grad():
                errors = float(error(x)) ** 0.5, float(error(start)) ** 0.5
        rebuilt = x.detach()[0].numpy()
        found.append(Inversion(short_name(name), goal[0].numel(), rebuilt, *errors, _correlation(rebuilt, pixels)))
    return found


def _correlation(a: Floats, b: Floats) -> float | None:
    if not a.std() or not b.std():
        return None
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
