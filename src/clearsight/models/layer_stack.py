"""The layer calculator: a stack of filters and poolings written in one line, with the arithmetic of each layer.

    stack = layer_stack("5x8,5x16,1x32", img_size=32)
    stack.layers[0].parameters  # (5*5*3 + 1)*8 = 608
    stack.operations_per_unit   # of all layers, for one place of their maps

`5x8` is a convolution of 8 filters of 5x5 pixels with biases, `max2` and `avg2` are 2x2 pooling; `/2` sets the stride
(1, for pooling the window's side) and `+1` the padding (0): `7x64/2+3,max3/2+1` begins a ResNet.

Counting rules are those of `anatomy`, with the operations of one place of a map beside them: what a unit of each filter
costs, whatever the size of the image. One multiply-add is two operations.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from clearsight.errors import ModelError
from clearsight.models.anatomy import layers_by_name
from clearsight.models.arithmetic import output_size

_LAYER = re.compile(
    r"(?:(?P<side>\d+)x(?P<filters>\d+)|(?P<pool>max|avg)(?P<window>\d+))(?:/(?P<stride>\d+))?(?:\+(?P<padding>\d+))?"
)
WRITTEN = (
    "5x8 (8 filters of 5x5), max2 or avg2 (pooling), optionally followed by /STRIDE and +PADDING, such as 7x64/2+3"
)


@dataclass(frozen=True)
class StackLayer:
    """One layer of a stack.

    text: as it was written. output: (maps, height, width). parameters: with biases. multiply_adds: for one image.
    operations_per_unit: two for each weight that one place of all its maps reads. receptive_field: side in pixels of
    the part of the image that one unit sees. arithmetic: the sums behind the numbers. unfit: why the stride does not
    fit and what would, empty where it does; the last, incomplete step is then left out, as PyTorch's layers do.
    """

    text: str
    output: tuple[int, int, int]
    parameters: int
    multiply_adds: int
    operations_per_unit: int
    receptive_field: int
    arithmetic: str
    unfit: str


@dataclass(frozen=True)
class LayerStack:
    """The layers in order, for images of `channels` x `img_size` x `img_size`, and the totals over them."""

    text: str
    img_size: int
    channels: int
    layers: tuple[StackLayer, ...]

    @property
    def parameters(self) -> int:
        """Weights and biases of all layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def operations(self) -> int:
        """Of all layers for one image; a multiply-add is two."""
        return 2 * sum(layer.multiply_adds for layer in self.layers)

    @property
    def operations_per_unit(self) -> int:
        """Of all layers for one place of each of their maps."""
        return sum(layer.operations_per_unit for layer in self.layers)

    @property
    def receptive_field(self) -> int:
        """Side in pixels of what one unit of the last layer sees."""
        return self.layers[-1].receptive_field

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, totals included."""
        totals = ("parameters", "operations", "operations_per_unit", "receptive_field")
        return asdict(self) | {name: getattr(self, name) for name in totals}


def layer_stack(text: str, *, img_size: int, channels: int = 3) -> LayerStack:
    """Work out every layer of a stack written as in this file's header, without running it on data.

    Args:
        text: the layers with commas between them.
        img_size: side of the square image in pixels.
        channels: of the image.

    Raises:
        ModelError: a layer that cannot be read, or a filter that is larger than its padded input.
    """
    for what, number in (("img_size", img_size), ("channels", channels)):
        if number < 1:
            raise ModelError(
                "the input size of a stack of layers is invalid",
                found=f"{what} {number}",
                expected="a positive integer",
            )
    written = [word.strip() for word in text.split(",")]
    modules: list[nn.Module] = []
    unfit, side, maps = [], img_size, channels
    for number, word in enumerate(written, 1):
        window, stride, padding, filters = _numbers(word, number)
        try:
            after = output_size(side, window, stride=stride, padding=padding, rounding="down")
        except ModelError as error:
            raise ModelError(f"layer {number}, {word}: {error.happened}", found=error.found, fix=error.fix) from None
        unfit.append(_unfit(side, window, stride, padding))
        if filters:
            modules.append(nn.Conv2d(maps, filters, window, stride, padding, device="meta"))
            maps = filters
        else:
            kind = nn.MaxPool2d if word.startswith("max") else nn.AvgPool2d
            modules.append(_pooling(kind, window, stride, padding, f"layer {number}, {word}"))
        side = after
    found = layers_by_name(nn.Sequential(*modules), (channels, img_size, img_size))
    layers = []
    for number, word in enumerate(written):
        layer = found[str(number)]
        units = layer.output[1] * layer.output[2]
        layers.append(
            StackLayer(
                text=word,
                output=(layer.output[0], layer.output[1], layer.output[2]),
                parameters=layer.parameters,
                multiply_adds=layer.multiply_adds,
                operations_per_unit=2 * layer.multiply_adds // units,
                receptive_field=layer.receptive_field or 0,
                arithmetic=layer.arithmetic,
                unfit=unfit[number],
            )
        )
    return LayerStack(text, img_size, channels, tuple(layers))


def _numbers(word: str, number: int) -> tuple[int, int, int, int]:
    """Side of the window, stride, padding and filters (0 for a pooling) of one layer as it was written."""
    found = _LAYER.fullmatch(word)
    values = {key: int(value) for key, value in found.groupdict().items() if value and key != "pool"} if found else {}
    if not values or any(values.get(key) == 0 for key in ("side", "filters", "window", "stride")):
        raise ModelError(f"layer {number} is invalid", found=repr(word), expected=WRITTEN)
    window = values.get("side") or values["window"]
    stride = values.get("stride", 1 if "filters" in values else window)
    return window, stride, values.get("padding", 0), values.get("filters", 0)


def _pooling(kind: Any, window: int, stride: int, padding: int, which: str) -> nn.Module:
    if 2 * padding > window:
        raise ModelError(
            f"{which}: a pooling window would contain only padding",
            found=f"padding {padding}",
            expected=f"padding of at most {window // 2} (half the window size, rounded down)",
        )
    module: nn.Module = kind(window, stride, padding)
    return module


def _unfit(side: int, window: int, stride: int, padding: int) -> str:
    """What `output_size` says of a stride that does not fit; empty where it does."""
    try:
        output_size(side, window, stride=stride, padding=padding)
    except ModelError as error:
        return str(error)
    return ""
