"""Which layers to look at where none is named."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from clearsight.errors import ModelError
from clearsight.models.anatomy import views
from clearsight.models.feature_maps import MapLayer, map_layer, map_layers
from clearsight.predictor import Predictor

OVERVIEW = 6
"""Layers of an overview that give maps."""

DENSE = 3
"""Hidden dense layers of an overview, the last ones."""


def layers_of(predictor: Predictor) -> list[MapLayer]:
    """The layers of a model that give maps or vectors; ModelError for a network that has none."""
    found = map_layers(predictor.network, torch.zeros(1, *predictor.shape))
    if not found:
        raise ModelError(
            "this model has no layer whose output can be shown",
            fix="use --what filters or --what classes, which do not need such a layer",
        )
    return found


def named(predictor: Predictor, layer: str) -> MapLayer:
    """The layer of this name; ModelError names the near ones, and says so where it gives no tensor."""
    return map_layer(predictor.network, layer, torch.zeros(1, *predictor.shape))


def overview(layers: Sequence[MapLayer], most: int = OVERVIEW) -> list[MapLayer]:
    """A few layers over the depth: of those with maps the first, the last of every size of map, and some between them;
    then, where there are hidden dense layers or no maps, the last of these and the output.

    What blocks give out goes before what the layers inside them do, and activations before convolutions.
    """
    maps, dense = [layer for layer in layers if not layer.dense], [layer for layer in layers if layer.dense]
    first = next((i for i, layer in enumerate(dense) if layer.weighs), len(dense))  # before it features are pooled
    hidden = [layer for layer in dense[first:-1] if not layer.weighs]
    last = [*hidden[-DENSE:], dense[-1]] if hidden or (dense and not maps) else []
    return [*(_spread(maps, most) if maps else []), *last]


def _spread(layers: Sequence[MapLayer], most: int) -> list[MapLayer]:
    """At most so many of the layers with maps."""
    acted = _acted(layers)
    blocks = [layer for layer in acted if layer.block and not layer.weighs]
    ends = [acted[0], *(layer for layer in (blocks if len(blocks) >= most // 2 else acted) if layer != acted[0])]
    last_of_size = {(layer.height, layer.width): i for i, layer in enumerate(ends)}
    chosen = {0, *sorted(last_of_size.values())[-(most - 1) :]}
    while len(chosen) < min(most, len(ends)):
        places = [*sorted(chosen), len(ends)]
        left, right = max(pairwise(places), key=lambda gap: gap[1] - gap[0])
        chosen.add((left + right) // 2)
    return [ends[i] for i in sorted(chosen)]


def within_image(network: nn.Module, layers: Sequence[MapLayer], shape: tuple[int, int, int]) -> MapLayer:
    """The deepest layer with maps whose units see no more than the image (C, H, W); the first where all see more. Of a
    network of dense layers, whose units see the whole image, the last hidden one.
    """
    maps = [layer for layer in layers if not layer.dense]
    if not maps:
        shown = overview(layers)
        return shown[-2] if len(shown) > 1 else shown[-1]
    acted, seen = _acted(maps), views(network, shape)
    for layer in reversed(acted):
        view = seen.get(layer.name)
        if view and view.height.side <= shape[1] and view.width.side <= shape[2] and view.height.jump:
            return layer
    return acted[0]


def _acted(layers: Sequence[MapLayer]) -> list[MapLayer]:
    """What blocks and activations on the main way give out; of a network without them, every layer."""
    main = [layer for layer in layers if "downsample" not in layer.name]
    return [layer for layer in main if layer.block or not layer.weighs] or main
