"""Which layer feeds which: a network as a graph of its layers, found by following one image without data through it.

    for node in wiring(network, (3, 224, 224)):
        node.name, node.output, node.inputs

A node is the image, a layer, or a place where several ways meet: the sum behind a skip connection, channels put side by
side, maps scaled by a gate. What lies between two layers without weights or a module of its own (flattening, a
functional activation) belongs to the edge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import isqrt
from typing import Any

import torch
from torch import nn

from clearsight.models.feature_maps import MapLayer, embedding_part
from clearsight.models.layer_probe import short_name
from clearsight.models.network import InputLayer
from clearsight.models.shape_tracing import Follower, run_without_data, tensors_in


@dataclass(frozen=True)
class Node:
    """One node. number: its place in the order of running. name: the full name of the module whose output it is, "" for
    the image and for a meeting place that no module ends with. kind: the module's class; "image", "add", "multiply",
    "concat" or "join". output: shape without the batch. inputs: numbers of the nodes that feed it. group: the block it
    belongs to, "" for a layer that stands alone. run: which time its module runs, from 1; only the first can be looked
    at.
    """

    number: int
    name: str
    kind: str
    output: tuple[int, ...]
    inputs: tuple[int, ...]
    group: str
    run: int = 1

    @property
    def places(self) -> tuple[int, int, int]:
        """Units, and the height and width of the places they stand at; tokens on their grid, a vector at one place."""
        if len(self.output) == 3:
            return self.output[0], self.output[1], self.output[2]
        if len(self.output) == 2:
            side = isqrt(self.output[0])
            return self.output[1], side, side
        return self.output[0], 1, 1

    @property
    def visible(self) -> bool:
        """Whether what it gives out for an image can be looked at."""
        return bool(self.name) and self.run == 1 and 1 <= len(self.output) <= 3

    def layer(self) -> MapLayer:
        """The node as a layer of maps."""
        return MapLayer(self.name, self.kind, *self.places, block=False, weighs=False)


def wiring(network: nn.Module, shape: tuple[int, int, int]) -> tuple[Node, ...]:
    """The nodes in the order they run, the image (C, H, W) first. Of an ensemble, the first member's; a network that
    looks at mirror images too is followed on the image as it is. ModelError for an image the network cannot take.
    """
    prefix, member = embedding_part(network)
    image = torch.empty(1, *shape, device="meta")
    follow = _Follow(member, image, prefix)
    run_without_data(follow, member, image, "the network")
    return tuple(follow.nodes)


Sources = frozenset[int]


@dataclass
class _Call:
    """A module at work. leaf: its inside is not looked at."""

    name: str
    leaf: bool
    sources: Sources = field(default_factory=frozenset)


class _Follow(Follower):
    """Notes for every tensor which nodes it comes from."""

    def __init__(self, network: nn.Module, image: torch.Tensor, prefix: str) -> None:
        super().__init__(network)
        self.nodes = [Node(0, "", "image", tuple(image.shape[1:]), (), "")]
        self._prefix = prefix
        self._from: dict[int, tuple[torch.Tensor, Sources]] = {id(image): (image, frozenset({0}))}
        self._calls: list[_Call] = []
        self._runs: dict[str, int] = {}
        self._groups = _groups(network)

    def follows(self, name: str, module: nn.Module) -> bool:
        return bool(name)

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        sources = self._sources((args, tuple(kwargs.values())))
        output = func(*args, **kwargs)
        if not sources or not isinstance(output, torch.Tensor | tuple | list):
            return output
        if len(sources) > 1 and isinstance(output, torch.Tensor) and not self._within_leaf():
            sources = self._meet(func, output, sources)
        self._note(output, sources)
        return output

    def _within_leaf(self) -> bool:
        return any(call.leaf for call in self._calls)

    def begin(self, name: str, module: nn.Module, inputs: Any) -> None:
        self._calls.append(_Call(name, _is_leaf(module), self._sources(inputs)))

    def end(self, module: nn.Module, inputs: Any, output: Any) -> None:
        call = self._calls.pop()
        if self._within_leaf() or not isinstance(output, torch.Tensor):
            return
        if call.leaf:
            sources = call.sources
            if not isinstance(module, InputLayer | nn.Identity | nn.Dropout | nn.Dropout2d | nn.Flatten):
                full, run = self._prefix + call.name, self._count(call.name)
                sources = self._add(type(module).__name__, output, sources, self._groups[call.name], full, run)
            self._note(output, sources)
            return
        sources = self._sources((output,))
        last = self.nodes[max(sources)] if len(sources) == 1 else None
        if last and last.kind in MEETINGS and not last.name and last.output == tuple(output.shape[1:]):
            self.nodes[last.number] = replace(last, name=self._prefix + call.name, run=self._count(call.name))

    def _meet(self, func: Callable[..., Any], output: torch.Tensor, sources: Sources) -> Sources:
        name = getattr(func, "__name__", "").strip("_")
        kinds = {"add": "add", "mul": "multiply", "cat": "concat", "concat": "concat", "stack": "concat"}
        kind = next((kind for key, kind in kinds.items() if name.removeprefix("i").startswith(key)), "join")
        group = self._groups.get(self._calls[-1].name, "") if self._calls else ""
        return self._add(kind, output, sources, group)

    def _add(
        self, kind: str, output: torch.Tensor, sources: Sources, group: str, name: str = "", run: int = 1
    ) -> Sources:
        number = len(self.nodes)
        self.nodes.append(Node(number, name, kind, tuple(output.shape[1:]), tuple(sorted(sources)), group, run))
        return frozenset({number})

    def _count(self, name: str) -> int:
        self._runs[name] = self._runs.get(name, 0) + 1
        return self._runs[name]

    def _sources(self, values: Any) -> Sources:
        found: set[int] = set()
        for tensor in tensors_in(values):
            known = self._from.get(id(tensor))
            if known:
                found |= known[1]
        return frozenset(found)

    def _note(self, output: Any, sources: Sources) -> None:
        for tensor in tensors_in((output,)):
            self._from[id(tensor)] = (tensor, sources)  # holding the tensor keeps its id unique


MEETINGS = ("add", "multiply", "concat", "join")
"""Kinds of nodes where several ways meet."""


def _is_leaf(module: nn.Module) -> bool:
    """A module that acts itself: it has no parts, or weights of its own and parts without any."""
    own = any(True for _ in module.parameters(recurse=False))
    parts = list(module.children())
    return not parts or (own and not any(True for part in parts for _ in part.parameters()))


def _groups(network: nn.Module) -> dict[str, str]:
    """Of each module the block it stands in: the first on its path that is neither the network itself nor a mere row of
    others.
    """
    rows = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    modules = dict(network.named_modules())
    found = {}
    for name in modules:
        group, parts = "", name.split(".")
        for end in range(1, len(parts) + 1):
            path = ".".join(parts[:end])
            module = modules[path]
            if not short_name(f"{path}.").strip(".") or path in ("body", "backbone"):
                continue
            if _is_leaf(module):
                break
            group = path
            if not isinstance(module, rows):
                break
        found[name] = short_name(group)
    return found
