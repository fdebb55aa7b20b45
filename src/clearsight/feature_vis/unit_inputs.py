"""One unit of a network and what feeds it, for one image: the sum that its value is, term by term.

    seen = unit_inputs(predictor, pixels, wiring(predictor.network, predictor.shape), node=7, unit=3)
    seen.feeders[0].amount + ... + seen.rest + seen.bias == seen.activation

The terms are those of the layer itself, at the place where the unit is strongest: of a convolution or dense layer each
input channel's weights times its values, summed over the window. They say what made this number, not why the network
answers as it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from clearsight.errors import ConfigError
from clearsight.feature_vis.maps import checked_units
from clearsight.feature_vis.patches import Box, looked_at, window_of
from clearsight.models.anatomy import views
from clearsight.models.feature_maps import Take, as_units, each_layer
from clearsight.models.layer_graph import Node
from clearsight.models.layer_probe import short_name
from clearsight.models.network import frozen
from clearsight.models.shape_tracing import View, pair
from clearsight.predictor import Predictor
from clearsight.wording import count

Floats = NDArray[np.float32]

AGREE = 1e-3
"""How far, relative to the sizes of the terms, their sum may lie from the unit's value to count as equal."""


@dataclass(frozen=True)
class Feeder:
    """An input of a unit. node, unit: whose output it is, None where that is not known. amount: what it adds, None
    where the layer is no sum. value: the input's own, at the place. weights (h, w): of a filter.
    """

    node: int | None
    unit: int
    amount: float | None
    value: float | None = None
    weights: Floats | None = None


@dataclass(frozen=True)
class UnitInputs:
    """A unit's map (h, w) of an image, the place where it is strongest, and what it sees from there.

    place: row and column of the largest absolute value. view: what the units at other places see, None where it is not
    known. looked_at: the middle 90 % of the unit's gradient, None without gradients. feeders: the `most` with the
    largest amounts, `inputs` in all; rest: the sum of the others; operation: what the layer does, in words.
    """

    node: Node
    unit: int
    values: Floats
    place: tuple[int, int]
    window: Box
    looked_at: Box | None
    view: View | None
    feeders: tuple[Feeder, ...]
    inputs: int
    rest: float | None
    bias: float | None
    operation: str

    @property
    def activation(self) -> float:
        return float(self.values[self.place])


def unit_inputs(
    predictor: Predictor, pixels: Floats, nodes: Sequence[Node], node: int, unit: int, *, most: int = 8
) -> UnitInputs:
    """Look at one unit of a node for an image (C, H, W) in [0, 1]. ConfigError for a node that gives out nothing to
    look at, or a unit it does not have.
    """
    chosen = checked_node(nodes, node)
    layer = chosen.layer()
    checked_units(layer, [unit])
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def keep(name: str) -> Take:
        def take(given: torch.Tensor, output: torch.Tensor) -> None:
            seen[name] = given.detach().clone(), output.detach().clone()

        return take

    sources = [nodes[i] for i in chosen.inputs]
    names = {chosen.name, *(s.name for s in sources if s.visible)}
    with frozen(predictor.network), torch.no_grad():
        each_layer(predictor.network, torch.from_numpy(pixels[None]), {name: keep(name) for name in names})
    given, output = seen[chosen.name]
    values = as_units(output)[0, unit].numpy()
    row, column = np.unravel_index(int(np.abs(values).argmax()), values.shape)
    place = int(row), int(column)
    if chosen.inputs and chosen.kind in ("add", "multiply", "concat", "join"):
        outputs = [as_units(seen[s.name][1])[0] if s.name in seen else None for s in sources]
        feeders, bias, operation = _met(chosen, sources, outputs, unit, place)
    else:
        module = predictor.network.get_submodule(chosen.name)
        with torch.no_grad():
            feeders, bias, operation = _fed(module, chosen, sources, given[0], unit, place)
    total = sum(f.amount for f in feeders if f.amount is not None) + (bias or 0.0)
    size = sum(abs(f.amount) for f in feeders if f.amount is not None) + abs(float(values[place])) + 1e-6
    if bias is not None and abs(total - float(values[place])) > AGREE * size:
        bias, operation = None, f"{operation}, followed by other operations"
    view = views(predictor.network, predictor.shape).get(chosen.name)
    window = window_of(view, *place, predictor.shape)
    order = sorted(feeders, key=lambda f: -abs(f.amount if f.amount is not None else f.value or 0.0))
    left = [f.amount for f in order[most:] if f.amount is not None]
    return UnitInputs(
        node=chosen, unit=unit, values=values, place=place, window=window,
        looked_at=looked_at(predictor, layer, pixels, unit, place, window) if predictor.has_gradients else None,
        view=view if view and view.height.jump and not view.pooled else None, feeders=tuple(order[:most]),
        inputs=len(order), rest=sum(left) if left else None, bias=bias, operation=operation,
    )  # fmt: skip


def checked_node(nodes: Sequence[Node], node: int) -> Node:
    """The node of a number; ConfigError for one that does not exist or cannot be looked at."""
    if not 0 <= node < len(nodes):
        raise ConfigError(f"unknown layer number {node}", expected=f"a number from 0 to {len(nodes) - 1}")
    chosen = nodes[node]
    if not chosen.visible:
        raise ConfigError(
            f"layer number {node} cannot be visualised",
            found="the image" if chosen.kind == "image" else f"{chosen.kind} {short_name(chosen.name)}".strip(),
            expected="a layer that runs once per image and outputs feature maps or a vector",
        )
    return chosen


Fed = tuple[list[Feeder], float | None, str]
"""The inputs, what is added to their sum (None where the layer is no sum), and what the layer does."""


def _fed(
    module: nn.Module, node: Node, sources: Sequence[Node], given: torch.Tensor, unit: int, place: tuple[int, int]
) -> Fed:
    """Of a layer with its input without the batch: maps (C, h, w), tokens (T, C) or a vector (C,)."""
    source = sources[0] if len(sources) == 1 else None
    if isinstance(module, nn.Conv2d) and given.ndim == 3:
        return _convolved(module, source, given, unit, place)
    if isinstance(module, nn.Linear) and given.ndim in (1, 2):
        return _weighed(module, node, source, given, unit, place)
    inputs = as_units(given[None])[0]
    if len(inputs) != node.places[0]:
        return [], None, "combines its inputs by an operation other than summation"
    value = _near(inputs[unit], node, place)
    number = source.number if source else None
    if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_var is not None:
        deviation = float((module.running_var[unit] + module.eps).sqrt())
        scale = (float(module.weight[unit]) if module.affine else 1.0) / deviation
        assert module.running_mean is not None
        shift = float(module.bias[unit]) if module.affine else 0.0
        shift -= scale * float(module.running_mean[unit])
        return (
            [Feeder(number, unit, scale * value, value)],
            shift,
            f"scales the same unit of its input by {scale:.3g} and shifts it",
        )
    spans = inputs.shape[1:] != torch.Size(node.places[1:])
    operation = (
        "combines the values of the same unit of its input over a window"
        if spans
        else "applies an element-wise function to the same unit of its input"
    )
    return [Feeder(number, unit, None, None if spans else value)], None, operation


def _convolved(module: nn.Conv2d, source: Node | None, given: torch.Tensor, unit: int, place: tuple[int, int]) -> Fed:
    if isinstance(module.padding, str) or module.padding_mode != "zeros":
        return [], None, "computes a weighted sum of its input channels with a filter"
    (sy, sx), (py, px), (dy, dx) = (pair(v) for v in (module.stride, module.padding, module.dilation))
    height, width = module.kernel_size
    inputs = module.in_channels // module.groups
    first = unit // (module.out_channels // module.groups) * inputs
    top, left = place[0] * sy, place[1] * sx
    padded = F.pad(given[first : first + inputs], (px, px, py, py))
    spans = top + (height - 1) * dy + 1, left + (width - 1) * dx + 1
    missing = max(0, spans[0] - padded.shape[1]), max(0, spans[1] - padded.shape[2])
    window = F.pad(padded, (0, missing[1], 0, missing[0]))[:, top : spans[0] : dy, left : spans[1] : dx]
    weights = module.weight[unit].detach()  # (inputs, height, width)
    amounts = (window * weights).sum((1, 2))
    known = source is not None and (source.kind == "image" or source.places[0] == module.in_channels)
    number = source.number if source and known else None
    feeders = [Feeder(number, first + i, float(amounts[i]), None, weights[i].numpy().copy()) for i in range(inputs)]
    bias = 0.0 if module.bias is None else float(module.bias[unit])
    return feeders, bias, f"computes a weighted sum of {count(inputs, 'input channel')} with a {height}x{width} filter"


def _weighed(
    module: nn.Linear, node: Node, source: Node | None, given: torch.Tensor, unit: int, place: tuple[int, int]
) -> Fed:
    if given.ndim == 2:  # tokens
        _, height, width = node.places
        given = given[len(given) - height * width + place[0] * width + place[1]]
    terms = given * module.weight[unit].detach()  # (inputs,)
    channels = source.places[0] if source else len(terms)
    if len(terms) % channels:
        channels, source = len(terms), None
    if source and len(terms) // channels not in (1, source.places[1] * source.places[2]):
        channels, source = len(terms), None
    amounts = terms.reshape(channels, -1).sum(1)
    number = source.number if source else None
    feeders = [Feeder(number, i, float(a)) for i, a in enumerate(amounts)]
    bias = 0.0 if module.bias is None else float(module.bias[unit])
    return feeders, bias, f"computes a weighted sum of its {count(len(terms), 'input')}"


def _met(
    node: Node, sources: Sequence[Node], outputs: Sequence[torch.Tensor | None], unit: int, place: tuple[int, int]
) -> Fed:
    """Of a place where ways meet."""
    counts = [s.places[0] for s in sources]
    if node.kind == "concat":
        if sum(counts) == node.places[0]:
            for source, output, count in zip(sources, outputs, counts, strict=True):
                if unit < count:
                    value = None if output is None else _near(output[unit], node, place)
                    return [Feeder(source.number, unit, value, value)], 0.0, "concatenates its inputs"
                unit -= count
        return [], None, "concatenates its inputs"
    feeders = []
    for source, output, count in zip(sources, outputs, counts, strict=True):
        value = None if output is None or unit >= count else _near(output[unit], node, place)
        amount = value if node.kind == "add" else None
        feeders.append(Feeder(source.number, min(unit, count - 1), amount, value))
    whole = node.kind == "add" and all(f.amount is not None for f in feeders)
    words = {
        "add": "adds the corresponding units of its inputs",
        "multiply": "multiplies the corresponding units of its inputs",
    }
    return feeders, 0.0 if whole else None, words.get(node.kind, "joins its inputs")


def _near(values: torch.Tensor, node: Node, place: tuple[int, int]) -> float:
    """The value of a map (h, w) at a place of the node's maps, or at the nearest there is."""
    _, height, width = node.places
    row = min(values.shape[0] - 1, place[0] * values.shape[0] // max(1, height))
    column = min(values.shape[1] - 1, place[1] * values.shape[1] // max(1, width))
    return float(values[row, column])
