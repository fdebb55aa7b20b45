"""A classifier run over a larger picture: its answer for every window, from one pass where the network allows it.

Where logits follow from maps pooled over the whole image, those of a window follow from the same maps pooled over the
window's part of them, and one pass over the picture serves all windows [Sermanet et al. 2014, section 3.3; Lin, Chen,
Yan 2014]. The borders differ: at a window's edge the pass sees the picture, where a crop sees padding.

Shapes: picture (C, H, W) in [0, 1]; windows (h, w), the network's own input; logits (rows, columns, K).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from clearsight.errors import ModelError
from clearsight.explanation.gradients import last_maps
from clearsight.localisation.maps import noise
from clearsight.models.anatomy import views
from clearsight.models.base import ModelNetwork, capture
from clearsight.models.layers import last_dense

Floats = NDArray[np.float32]

Finish = Callable[[list[torch.Tensor]], torch.Tensor]

MOST = 16_000_000
"""Pixels of a picture that one pass takes in at most, for the memory its maps need; larger ones are cut into crops."""


@dataclass(frozen=True)
class Pooled:
    """A layer whose maps are pooled over the image: size (h, w) of the maps for one window, jump (down, across) from
    unit to unit in pixels, and whether the mean alone or mean, maximum and deviation are taken (`models.network.pool`).
    """

    layer: str
    size: tuple[int, int]
    jump: tuple[int, int]
    alone: bool

    def parts(self, maps: torch.Tensor, step: tuple[int, int]) -> torch.Tensor:
        """Pooled features of every window (rows, columns, D) from the maps (1, D, h', w') of a picture."""
        stride = step[0] // self.jump[0], step[1] // self.jump[1]
        mean = F.avg_pool2d(maps, self.size, stride)
        if self.alone:
            return mean[0].movedim(0, -1)
        # the mean first, so that little is lost where squares nearly cancel
        centre = maps.mean((2, 3), keepdim=True)
        spread = F.avg_pool2d((maps - centre) ** 2, self.size, stride) - (mean - centre) ** 2
        deviation = (spread.clamp_min(0) + 1e-6).sqrt()
        return torch.cat([mean, F.max_pool2d(maps, self.size, stride), deviation], dim=1)[0].movedim(0, -1)


@dataclass(frozen=True)
class Trunk:
    """A network whose logits follow from pooled maps. finish: pooled features of each layer, (N, D_i), to logits."""

    network: nn.Module
    layers: tuple[Pooled, ...]
    finish: Finish

    @property
    def jump(self) -> tuple[int, int]:
        """The finest step from window to window, down and across, in pixels."""
        down, across = ([layer.jump[axis] for layer in self.layers] for axis in (0, 1))
        return int(np.lcm.reduce(down)), int(np.lcm.reduce(across))

    def logits(self, picture: Floats, window: tuple[int, int], step: tuple[int, int]) -> Floats | None:
        """Of windows `step` apart; None where the maps of the picture do not line up with those of its windows."""
        rows, columns = ((n - w) // s + 1 for n, w, s in zip(picture.shape[1:], window, step, strict=True))
        with torch.inference_mode(), capture(self.network, [layer.layer for layer in self.layers]) as seen:
            self.network(torch.from_numpy(picture[None]))
            parts = [layer.parts(seen[layer.layer], step) for layer in self.layers]
            if any(part.shape[:2] != (rows, columns) for part in parts):
                return None
            found: Floats = self.finish([part.reshape(rows * columns, -1) for part in parts]).numpy()
        return found.reshape(rows, columns, -1)


def trunk_of(network: ModelNetwork, shape: tuple[int, int, int]) -> Trunk | None:
    """The network as a trunk for windows of a shape (C, h, w), or None where its logits follow from more than pooled
    maps, which is tested on an image of noise: dense layers that know places, tokens, mirror images, several
    networks.
    """
    if network.uses_tta:
        return None
    x = noise(shape)
    try:
        layers, finish = _pooled_layers(network, x)
    except ModelError:  # no layer of maps, or no dense one
        return None
    seen_by = views(network, shape)
    with torch.inference_mode(), capture(network, [name for name, _ in layers]) as seen:
        whole = network(x)
        pooled = []
        for name, alone in layers:
            view, maps = seen_by.get(name), seen.get(name)
            if view is None or view.pooled or not isinstance(maps, torch.Tensor) or maps.ndim != 4:
                return None
            jump = view.height.jump, view.width.jump
            if not min(jump):
                return None
            pooled.append(Pooled(name, (maps.shape[2], maps.shape[3]), jump, alone))
        trunk = Trunk(network, tuple(pooled), finish)
        parts = [layer.parts(seen[layer.layer], trunk.jump)[0, 0][None] for layer in pooled]
        try:
            again = finish(parts)
        except RuntimeError:  # the dense layer wants another number of features than there are channels
            return None
        close = again.shape == whole.shape and torch.allclose(again, whole, rtol=1e-3, atol=1e-3)
    return trunk if close else None


def _pooled_layers(network: ModelNetwork, x: torch.Tensor) -> tuple[list[tuple[str, bool]], Finish]:
    """Names of the layers that are pooled, if the network is a trunk, each with whether by the mean alone; and how
    pooled features become logits. ModelError for a network without such layers.
    """
    levels, path = network.feature_levels, network.backbone_path
    if levels is None:
        head = last_dense(network)[1]
        return [(last_maps(network, x, enough=2), True)], lambda parts: head(parts[0])
    last = last_maps(levels.backbone, levels.input(x), enough=2)
    deeper = [(f"{path}.{layer}", False) for layer in levels.layers]
    return [*deeper, (f"{path}.{last}", True)], lambda parts: network.finish(parts)[0]


def crops(picture: Floats, window: tuple[int, int], step: tuple[int, int]) -> NDArray[np.float32]:
    """Every window of a picture as a view on it (rows, columns, C, h, w)."""
    every = np.lib.stride_tricks.sliding_window_view(picture, window, axis=(1, 2))
    return every[:, :: step[0], :: step[1]].transpose(1, 2, 0, 3, 4)
