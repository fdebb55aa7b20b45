"""What a network is made of: its layers with their sizes, parameters, multiply-adds and receptive fields.

    anatomy("resnet50").layers[0].arithmetic
    anatomy("resnet18", img_size=32, classes=10, norm=False).multiply_adds
    anatomy(network, img_size=64)

Counting rules: parameters are what training may change (BatchNorm's running statistics are not).
Multiply-adds are those of convolutions, dense layers and products of matrices, for one image; biases,
normalisation, activations, pooling and additions are left out, as in the literature. One multiply-add is two
operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from clearsight.errors import ModelError
from clearsight.models.gateway import PREFIX, default_img_size
from clearsight.models.shape_tracing import Step, Trace, View, no_data, run_without_data
from clearsight.models.zoo import build_recorded, entry


@dataclass(frozen=True)
class Layer:
    """One layer of a network.

    name: its path in the network. kind: its class. output: shape without the batch, such as (64, 56, 56);
    empty for a layer that only active in training. parameters: its own. multiply_adds: for one image.
    receptive_field: side in pixels of the window of the image that one of its units sees; it may be larger
    than the image, whose border it then crosses. Gates of squeeze-and-excitation, which see everything, are
    left out of it. arithmetic: the sums behind the numbers.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int
    receptive_field: int | None
    arithmetic: str


@dataclass(frozen=True)
class Anatomy:
    """A network's layers in the order they run, and the totals.

    receptive_field: of the last maps, before global pooling, flattening or attention joins them; the side of
    the image for a network of dense layers or attention.
    """

    name: str
    img_size: int
    channels: int
    classes: int
    layers: tuple[Layer, ...]
    parameters: int
    multiply_adds: int
    receptive_field: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        Returns:
            A dictionary.
        """
        return asdict(self)


def anatomy(
    network: str | nn.Module,
    *,
    img_size: int | None = None,
    classes: int | None = None,
    channels: int | None = None,
    **model_args: Any,
) -> Anatomy:
    """Layers, parameters and multiply-adds of a network, without running it on data.

    The network is left as it was; its weights are neither copied nor changed.

    Args:
        network: name of a network, or a module.
        img_size: side of the images in pixels; None for the published size; a module needs it.
        classes: number of classes; None for the published number; not for a module.
        channels: input channels; None for the published number, 3 for a module.
        **model_args: options of the builder; not for a module.

    Returns:
        The anatomy.

    Raises:
        ModelError: `build_model` refuses the name, size or an option, or the module cannot take such images.

    Example:
        >>> anatomy("lenet5").parameters
        61706
    """
    if isinstance(network, nn.Module):
        if img_size is None:
            raise ModelError("the anatomy of a module needs the image size", fix="pass img_size")
        if model_args or classes is not None:
            raise ModelError(
                "options have no effect on a module that is already built",
                found=", ".join(sorted(model_args) + ["classes"] * (classes is not None)),
                fix="omit these options, or pass the name of a network instead of a module",
            )
        return _dissect(network, type(network).__name__, img_size, channels or 3)
    ours = not network.startswith(PREFIX)
    known = entry(network) if ours else None
    if img_size is None:
        img_size = known.img_size if known else default_img_size(network)
    channels = channels or (known.channels if known else 3)
    classes = classes if classes is not None else (known.classes if known else 1000)
    with no_data():
        built = build_recorded(network, classes=classes, channels=channels, img_size=img_size, model_args=model_args)
    return _dissect(built, network, img_size, channels)


def views(network: nn.Module, shape: tuple[int, int, int]) -> dict[str, View]:
    """The part of an image that the units of each module see: `views(...)["layer1"].height.window(row)`.

    If a stride does not divide the size, windows at the far border also contain the last pixels, which no step reaches.

    Args:
        network: the network.
        shape: (C, H, W) of the images.

    Returns:
        Receptive fields by module name, without modules that do not run or whose units have no place in the image.

    Raises:
        ModelError: the network cannot take such images.
    """
    trace, _ = _traced(network, type(network).__name__, shape)
    return {step.name: step.view for step in trace.steps if step.view}


def layers_by_name(network: nn.Module, shape: tuple[int, int, int]) -> dict[str, Layer]:
    """The layers of a network as in `Anatomy.layers`.

    Args:
        network: the network.
        shape: (C, H, W) of the images.

    Returns:
        Layers by name.

    Raises:
        ModelError: the network cannot take such images.
    """
    trace, _ = _traced(network, type(network).__name__, shape)
    return {layer.name: layer for layer in _layers(network, trace.steps)}


def _traced(network: nn.Module, name: str, shape: tuple[int, int, int]) -> tuple[Trace, torch.Tensor]:
    """The trace of one image of this shape, and the output."""
    image = torch.empty(1, *shape, device="meta")
    trace = Trace(network, image)
    return trace, run_without_data(trace, network, image, name)


def _dissect(network: nn.Module, name: str, img_size: int, channels: int) -> Anatomy:
    trace, output = _traced(network, name, (channels, img_size, img_size))
    layers = tuple(_layers(network, trace.steps))
    maps = trace.reach if any(isinstance(m, nn.Conv2d) for m in network.modules()) else img_size
    return Anatomy(
        name=name,
        img_size=img_size,
        channels=channels,
        classes=int(output.shape[-1]),
        layers=layers,
        parameters=sum(layer.parameters for layer in layers),
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        receptive_field=maps,
    )


def _layers(network: nn.Module, steps: list[Step]) -> Iterator[Layer]:
    """A row for each module with parameters of its own or counted work, and for each other leaf that acts."""
    counted: set[int] = set()
    parents = {module for module in network.modules() if any(True for _ in module.children())}
    for step in steps:
        module = step.module
        parameters = _own_parameters(module, counted)
        idle = isinstance(module, nn.Dropout) and module.p == 0
        if parameters or step.arithmetic or not (idle or module in parents):
            yield Layer(
                name=step.name or "(network)",
                kind=type(module).__name__,
                output=step.output,
                parameters=parameters,
                multiply_adds=step.multiply_adds,
                receptive_field=step.view.side if step.view else None,
                arithmetic="; ".join(step.arithmetic),
            )
    if len(counted) == sum(1 for _ in network.parameters()):
        return
    for path, module in network.named_modules():
        if parameters := _own_parameters(module, counted):
            yield Layer(path, type(module).__name__, (), parameters, 0, None, "only active in training")


def _own_parameters(module: nn.Module, counted: set[int]) -> int:
    """Parameters held by the module itself that no row has counted yet."""
    fresh = [p for p in module.parameters(recurse=False) if id(p) not in counted]
    counted.update(id(p) for p in fresh)
    return sum(p.numel() for p in fresh)
