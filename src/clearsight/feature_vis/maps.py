"""What a network's layers make of one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.errors import ConfigError
from clearsight.models.feature_maps import MapLayer, Take, as_units, each_layer
from clearsight.models.network import frozen
from clearsight.predictor import Predictor

Floats = NDArray[np.float32]


VECTOR = 4096
"""Units of a dense layer that are shown at most."""


@dataclass(frozen=True)
class FeatureMaps:
    """Maps of one layer for one image. values (U, h, w) of the units numbered in `units` (U,), out of `total`.

    silent: how many of all units are the same at every place; of a dense layer, zero. below_zero: whether any unit is
    negative anywhere. names (U,): what the units stand for, of the output; else empty.
    """

    layer: MapLayer
    units: NDArray[np.int64]
    values: Floats
    total: int
    silent: int
    below_zero: bool
    names: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the maps."""
        return {
            "layer": self.layer.short, "kind": self.layer.kind, "units": self.total, "silent": self.silent,
            "size": [self.layer.height, self.layer.width], "shown": self.units.tolist(),
            "largest": self.values.max((1, 2)).tolist() if len(self.units) else [],
            **({"names": list(self.names)} if self.names else {}),
        }  # fmt: skip


def feature_maps(
    predictor: Predictor,
    pixels: Floats,
    layers: Sequence[MapLayer],
    *,
    most: int = 16,
    dense: int = VECTOR,
    units: Sequence[int] = (),
) -> list[FeatureMaps]:
    """Maps of one image (C, H, W) in [0, 1], in one pass of the network. Of each layer at most so many units, those
    that vary most over the image, in their order in the network; or the units asked for. Units of a dense layer are
    at one place; at most `dense` of them are kept, the largest.

    Raises ConfigError for a unit a layer does not have.
    """
    chosen = {layer.name: checked_units(layer, units) for layer in layers} if units else {}
    found: dict[str, FeatureMaps] = {}

    def keep(layer: MapLayer) -> Take:
        def take(_: torch.Tensor, output: torch.Tensor) -> None:
            maps = as_units(output)[0].cpu().numpy()
            spread = maps.std((1, 2)) if maps[0].size > 1 else np.abs(maps[:, 0, 0])
            own = (
                chosen[layer.name]
                if units
                else np.sort(np.argsort(-spread, kind="stable")[: most if maps[0].size > 1 else dense])
            )
            silent = int((spread == 0).sum())
            found[layer.name] = FeatureMaps(layer, own, maps[own].copy(), len(maps), silent, bool((maps < 0).any()))

        return take

    with frozen(predictor.network), torch.no_grad():
        each_layer(predictor.network, torch.from_numpy(pixels[None]), {layer.name: keep(layer) for layer in layers})
    return [found[layer.name] for layer in layers if layer.name in found]


def checked_units(layer: MapLayer, units: Sequence[int]) -> NDArray[np.int64]:
    """Numbers of units as an array; ConfigError for one the layer does not have."""
    for unit in units:
        if not 0 <= unit < layer.units:
            raise ConfigError(f"unknown unit {unit} in {layer.short}", expected=f"a number from 0 to {layer.units - 1}")
    return np.array(units, np.int64)
