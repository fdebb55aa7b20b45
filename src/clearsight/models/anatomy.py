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
    empty for a layer that runs in training only. parameters: its own. multiply_adds: for one image.
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
        """Plain values for JSON."""
        return asdict(self)


def anatomy(
    network: str | nn.Module,
    *,
    img_size: int | None = None,
    classes: int | None = None,
    channels: int | None = None,
    **model_args: Any,
) -> Anatomy:
    """Look into a network, by name or as a module, without running it on data.

    img_size, classes, channels: for a name, its published form by default; for a module img_size must be
    given, channels is 3 by default, and classes is what the module returns. model_args: the builder's options, for
    a name. The module is left as it was; its weights are neither copied nor changed. Raises ModelError for a
    name, size or option `build_model` refuses, and for an image the module cannot take.
    """
    if isinstance(network, nn.Module):
        if img_size is None:
            raise ModelError("the anatomy of a module needs the size of its images", fix="pass img_size=")
        if model_args or classes is not None:
            raise ModelError(
                "a module is already built",
                found=", ".join(sorted(model_args) + ["classes"] * (classes is not None)),
                fix="pass these options with a name",
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
    """What the units of each module see of an image (C, H, W): `views(...)["layer1"].height.window(row)`.

    Modules that do not run, or whose units stand at no places of the image, are not among them. Where a stride does
    not fit, windows at the far border hold the last pixels too, which no step reached. Raises ModelError for an image
    the network cannot take.
    """
    trace, _ = _traced(network, type(network).__name__, shape)
    return {step.name: step.view for step in trace.steps if step.view}


def layers_by_name(network: nn.Module, shape: tuple[int, int, int]) -> dict[str, Layer]:
    """The layers of a module for images (C, H, W), as in `Anatomy.layers`, by name; ModelError as `views`."""
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
            yield Layer(path, type(module).__name__, (), parameters, 0, None, "runs in training only")


def _own_parameters(module: nn.Module, counted: set[int]) -> int:
    """Parameters held by the module itself that no row has counted yet."""
    fresh = [p for p in module.parameters(recurse=False) if id(p) not in counted]
    counted.update(id(p) for p in fresh)
    return sum(p.numel() for p in fresh)
