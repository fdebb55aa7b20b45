"""Class-activation maps, laid on the image where their units look, and boxes around what they show.

Of a network that ends in global pooling and a dense layer, Grad-CAM is the class-activation map of Zhou et al. [2016]
up to a constant; it is there for any other network too [Selvaraju et al. 2017]. A unit stands at the middle of what it
sees of the image. That is not where dividing the image evenly puts it: a stride of 8 in steps of two moves the units
by up to 3 pixels.

Shapes: x (N, C, H, W) in [0, 1], as the network sees it; maps (N, h, w); heat (N, rows, columns).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearsight.explanation.gradients import grad_cam, last_maps
from clearsight.localisation.detections import Box
from clearsight.models.anatomy import views
from clearsight.models.base import ModelNetwork
from clearsight.models.layer_probe import layer_name
from clearsight.models.shape_tracing import View

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """A network's layer that gives maps, and where its units stand; view None where each sees the whole image."""

    network: nn.Module
    layer: str
    view: View | None

    def places(self, units: tuple[int, int], size: tuple[int, int]) -> list[NDArray[np.float64]]:
        """Centres of the units of a layer.

        Args:
            units: number of units (height, width).
            size: size (H, W) of the input, in pixels.

        Returns:
            Positions along height and along width, in pixels.
        """
        if self.view is None:
            return [
                (np.arange(n, dtype=np.float64) + 0.5) * side / n - 0.5 for n, side in zip(units, size, strict=True)
            ]
        fields = self.view.height, self.view.width
        return [
            f.start + (f.side - 1) / 2 + f.jump * np.arange(n, dtype=np.float64)
            for f, n in zip(fields, units, strict=True)
        ]


def noise(shape: tuple[int, int, int]) -> torch.Tensor:
    """A random image that activates the ReLUs of a network, for finding its layers.

    Args:
        shape: (C, H, W).

    Returns:
        An image (1, C, H, W) in [0, 1]; always the same.
    """
    return torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))


def sources(network: ModelNetwork, shape: tuple[int, int, int], layer: str = "") -> list[Source]:
    """The layers from which the maps of a network are taken.

    Args:
        network: the network.
        shape: (C, H, W) of its input.
        layer: name of the layer; "" for the last with maps.

    Returns:
        One source; for an ensemble one per member.

    Raises:
        ModelError: the network has no maps, or no such layer.
    """
    found = []
    for member in network.member_networks or (network,):
        plain = member.without_tta()
        name = layer_name(plain, layer) if layer else last_maps(plain, noise(shape))
        seen = views(plain, shape).get(name)
        local = seen is not None and not seen.pooled and seen.height.jump > 0 and seen.width.jump > 0
        found.append(Source(plain, name, seen if local else None))
    return found


def class_heat(
    found: Sequence[Source],
    x: torch.Tensor,
    classes: torch.Tensor,
    rows: NDArray[np.float64] | None = None,
    columns: NDArray[np.float64] | None = None,
    *,
    batch: int = 16,
) -> Floats:
    """How strongly each place supports a class.

    Args:
        found: sources of maps; an ensemble has several, and their maps are averaged.
        x: images (N, C, H, W) in [0, 1].
        classes: class indices (N,).
        rows: vertical positions in pixels of the input; None for every pixel.
        columns: horizontal positions in pixels of the input; None for every pixel.
        batch: images per pass.

    Returns:
        Heatmaps (N, rows, columns), scaled to a maximum of 1; all zero if no place supports the class.
    """
    size = x.shape[2], x.shape[3]
    at = [
        np.arange(n, dtype=np.float64) if given is None else given
        for n, given in zip(size, (rows, columns), strict=True)
    ]
    total: Floats = np.zeros((len(x), len(at[0]), len(at[1])), np.float32)
    for source in found:
        maps = grad_cam(source.network, x, classes, layer=source.layer, batch=batch).numpy()
        middles = source.places((maps.shape[1], maps.shape[2]), size)
        down, across = (_between(m, p) for m, p in zip(middles, at, strict=True))
        heat = down @ maps @ across.T
        total += heat / np.maximum(heat.max((1, 2), keepdims=True), 1e-12)
    return np.asarray(total / np.maximum(total.max((1, 2), keepdims=True), 1e-12), np.float32)


def _between(middles: NDArray[np.float64], places: NDArray[np.float64]) -> Floats:
    """Weights (places, middles) of linear interpolation; beyond the first and last middle their values hold on."""
    eye = np.eye(len(middles))
    return np.stack([np.interp(places, middles, row) for row in eye], axis=1).astype(np.float32)


def regions(heat: Floats, share: float) -> list[tuple[Box, float]]:
    """Boxes around the connected regions of a heatmap.

    Args:
        heat: heatmap (H, W) with maximum 1.
        share: threshold, as a share of the maximum; pixels that touch at corners are connected.

    Returns:
        Boxes with the mean of the heatmap inside the region.
    """
    from scipy import ndimage

    numbered, count = ndimage.label(heat >= share, np.ones((3, 3)))
    if not count or heat.max() <= 0:
        return []
    numbers = np.arange(1, count + 1)
    means = ndimage.mean(heat, numbered, numbers)
    return [
        ((float(across.start), float(down.start), float(across.stop), float(down.stop)), float(mean))
        for (down, across), mean in zip(ndimage.find_objects(numbered), means, strict=True)
    ]
