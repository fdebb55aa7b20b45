"""What the inner layers of a network give out, as maps over the image.

Shapes: x (N, C, H, W) in [0, 1]; maps (N, K, h, w), K channels ("units") at h x w places. A transformer's tokens
(N, T, K) are laid on their grid. A network that looks at mirror images too is asked about the image as it is alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from clearsight.errors import ModelError
from clearsight.models.base import ModelNetwork, forward_hooks, without_tta
from clearsight.models.layer_probe import layer_name, short_name
from clearsight.models.network import InputLayer


@dataclass(frozen=True)
class MapLayer:
    """A layer that gives maps, or numbers that stand at one place as a dense layer's do. name: its full name. kind: its
    class. units: channels. height, width: places. block: whether it is made of other layers. weighs: whether it has
    weights itself, as a convolution or normalisation.
    """

    name: str
    kind: str
    units: int
    height: int
    width: int
    block: bool
    weighs: bool

    @property
    def short(self) -> str:
        """Its name without the network's wrapping."""
        return short_name(self.name)

    @property
    def dense(self) -> bool:
        """Whether its units stand at one place and see the whole image."""
        return self.height * self.width == 1


SILENT = (InputLayer, nn.Identity, nn.Dropout, nn.Flatten)
"""Modules that compute nothing of their own."""


def as_maps(tensor: torch.Tensor) -> torch.Tensor:
    """Maps (N, C, h, w); tokens (N, T, C) are laid on the largest square grid, those before it left out."""
    if tensor.ndim == 4:
        return tensor
    side = int(tensor.shape[1] ** 0.5)
    return tensor[:, tensor.shape[1] - side * side :].transpose(1, 2).reshape(len(tensor), -1, side, side)


def as_units(tensor: torch.Tensor) -> torch.Tensor:
    """`as_maps`, and for a vector (N, K) units that stand at one place (N, K, 1, 1)."""
    return tensor[:, :, None, None] if tensor.ndim == 2 else as_maps(tensor)


def map_layers(network: nn.Module, x: torch.Tensor) -> list[MapLayer]:
    """The layers that give maps of more than one place, or vectors, for images x, in the order in which they finish.

    Of modules that hand on the very same maps the outermost is named, but no trunk of layers of several sizes, such
    as a network's whole `features`; of those that hand on the same vector, the innermost. What goes on inside an
    attention, whose tensors stand by heads, is left out. Of an ensemble, the first member's.
    """
    found: list[MapLayer] = []
    last: list[tuple[torch.Tensor, int]] = []  # the last output, held so that no other can take its place in memory
    prefix, shown = embedding_part(network)

    def note(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, torch.Tensor) or output.ndim not in (2, 3, 4):
            return
        same = bool(last) and output is last[0][0] and output._version == last[0][1]
        last[:] = [(output, output._version)]
        maps = as_units(output)
        if output.ndim > 2 and maps.shape[2] * maps.shape[3] < 2:
            return
        if same and found:
            if output.ndim == 2 or not found[-1].name.startswith(f"{name}.") or _is_trunk(name, found):
                return
            found.pop()
        found.append(_described(name, module, maps))

    modules = [
        (prefix + name, module)
        for name, module in shown.named_modules()
        if short_name(prefix + name) and ".attn." not in name and not isinstance(module, SILENT)
    ]
    with forward_hooks(modules, note), torch.no_grad():
        shown(x)
    return found


def embedding_part(network: nn.Module) -> tuple[str, nn.Module]:
    """The network whose layers are shown, without test-time augmentation, and what its layers' names begin with."""
    if not isinstance(network, ModelNetwork):
        return "", network
    return network.embedding_path, network.embedding_network.without_tta()


def map_layer(network: nn.Module, layer: str, x: torch.Tensor) -> MapLayer:
    """The layer of this name, whichever of the modules that hand on its output is meant; ModelError as `output_at`."""
    name = layer_name(network, layer)
    with torch.no_grad():
        return _described(name, network.get_submodule(name), units_at(network, name, x))


def _described(name: str, module: nn.Module, maps: torch.Tensor) -> MapLayer:
    block = any(True for _ in module.children())
    weighs = any(True for _ in module.parameters(recurse=False))
    units, height, width = maps.shape[1:]
    return MapLayer(name, type(module).__name__, units, height, width, block, weighs)


def _is_trunk(name: str, found: Sequence[MapLayer]) -> bool:
    """Whether the parts of a module give maps of several sizes."""
    parts = [layer for layer in found if layer.name.rpartition(".")[0] == name]
    return len({(layer.height, layer.width) for layer in parts}) > 1


class _ReachedError(Exception):
    """The layer has run; nothing behind it is needed."""


def output_at(network: nn.Module, layer: str, x: torch.Tensor) -> torch.Tensor:
    """What one layer gives out for images x, as it stands: maps, tokens or a vector. What comes after it is not run.

    Raises ModelError with near names for a layer that does not exist, and for one that gives no tensor.
    """
    name = layer_name(network, layer)
    seen: list[torch.Tensor] = []

    def stop(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            seen.append(output)
        raise _ReachedError

    with suppress(_ReachedError), forward_hooks([(name, network.get_submodule(name))], stop):
        without_tta(network)(x)
    if not seen:
        raise ModelError(
            f"the layer {short_name(name)!r} has no output that can be visualised", fix="choose another layer"
        )
    return seen[0]


def units_at(network: nn.Module, layer: str, x: torch.Tensor) -> torch.Tensor:
    """`output_at` as units at places (N, K, h, w), for maps, tokens and vectors alike."""
    return as_units(output_at(network, layer, x))


Take = Callable[[torch.Tensor, torch.Tensor], None]
"""Takes what went into a layer first and what came out, as they are at that moment: later layers may overwrite both."""


def each_layer(network: nn.Module, x: torch.Tensor, takes: Mapping[str, Take]) -> None:
    """Run the network once, and hand each named module's tensors to its function. Of one that runs several times in a
    pass, those of the first.
    """
    pending = dict(takes)

    def hand_over(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        take = pending.pop(name, None)
        tensors = [i for i in inputs if isinstance(i, torch.Tensor)]
        if take and tensors and isinstance(output, torch.Tensor):
            take(tensors[0], output)

    with forward_hooks([(name, network.get_submodule(name)) for name in takes], hand_over):
        without_tta(network)(x)
