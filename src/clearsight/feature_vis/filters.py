"""The weights that meet the pixels: filters of a first convolution, or one template per unit of a dense first layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearsight.errors import ModelError
from clearsight.models.base import forward_hooks
from clearsight.models.layer_probe import short_name
from clearsight.predictor import Predictor


@dataclass(frozen=True)
class Filters:
    """weights (K, C, h, w): of a convolution h x w is the filter's size, of a dense layer the image's. classes: their
    names where the layer gives the logits, as a linear classifier's does; its weights are then a template per class.
    Channels are those the layer sees: three where gray was repeated. They meet normalised pixels.
    """

    layer: str
    weights: NDArray[np.float32]
    classes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the weights."""
        norms = np.sqrt((self.weights.astype(np.float64) ** 2).sum((1, 2, 3)))
        return {
            "layer": self.layer, "shape": list(self.weights.shape), "classes": list(self.classes),
            "norms": norms.tolist(),
        }  # fmt: skip


def first_filters(predictor: Predictor) -> Filters:
    """The filters of the first layer with weights that runs. Raises ModelError where they are no pictures: the first
    layer is neither a convolution nor dense over all pixels.
    """
    name, module = _first(predictor)
    weight = module.weight.detach().cpu()
    channels, height, width = predictor.shape
    if weight.ndim == 2:
        channels = weight.shape[1] // (height * width)
        if weight.shape[1] not in (height * width, 3 * height * width):
            raise ModelError(
                "the weights of the first layer cannot be shown as images",
                found=f"{weight.shape[1]} weights per unit in {short_name(name)}",
                expected=f"one weight per pixel and channel of a {height}x{width} image",
            )
        weight = weight.reshape(-1, channels, height, width)
    weighing = [m for m in predictor.network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    is_output = len(weight) == len(predictor.classes) and weighing == [module]
    return Filters(short_name(name), weight.numpy().copy(), predictor.classes if is_output else ())


def _first(predictor: Predictor) -> tuple[str, nn.Conv2d | nn.Linear]:
    found: list[tuple[str, nn.Conv2d | nn.Linear]] = []
    weighing = [(n, m) for n, m in predictor.network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with (
        forward_hooks(weighing, lambda name, module, _inputs, _output: found.append((name, module))),
        torch.no_grad(),
    ):
        predictor.network(torch.zeros(1, *predictor.shape))
    if not found:
        raise ModelError("this model has no convolutional or dense layer")
    return found[0]
