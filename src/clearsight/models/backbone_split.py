"""A backbone cut in two at one of its depths: the lower part is frozen and runs once per image, the upper is trained.

    lower, upper = cut(probe, "blocks.4")
    maps = lower(images)          # (N, C, h, w), computed by an inference engine and cached
    parts = upper(maps)           # pooled features of this depth and all deeper ones, as the probe orders them

Both share the probe's weights: training the upper part trains the probe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from clearsight.errors import ModelError
from clearsight.models.layer_probe import layer_name
from clearsight.models.network import InputLayer, Probe, pool
from clearsight.models.shape_tracing import Follower, run_without_data


class Lower(nn.Module):
    """Pixels (N, C, H, W) in [0, 1] to the maps at the cut."""

    def __init__(self, input: InputLayer, stages: fx.GraphModule) -> None:
        super().__init__()
        self.input, self.stages = input, stages  # not "graph": a traced module has one of its own

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.stages(self.input(x))  # type: ignore[no-any-return]


class Upper(nn.Module):
    """Maps at the cut to logits (N, K), by way of the pooled features from the cut on."""

    def __init__(self, stages: fx.GraphModule) -> None:
        super().__init__()
        self.stages = stages
        self.chosen: list[int] | None = None
        self.head: nn.Module = nn.Identity()

    def parts(self, maps: torch.Tensor) -> list[torch.Tensor]:
        """Pooled features (N, D_i) of the cut's depth, each deeper one, and the backbone's own output."""
        *deeper, last = self.stages(maps)
        return [pool(m) for m in (maps, *deeper)] + [last]

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        parts = self.parts(maps)
        chosen = range(len(parts)) if self.chosen is None else self.chosen
        return self.head(torch.cat([parts[i] for i in chosen], dim=1))  # type: ignore[no-any-return]

    @property
    def without_head(self) -> Upper:
        """The same stages, not copied, that give out what the head sees (N, D)."""
        other = Upper(self.stages)
        other.chosen = self.chosen
        return other


def cut(probe: Probe, at: str) -> tuple[Lower, Upper]:
    """Cut a probe's backbone behind the tapped module `at`; ModelError where anything but its output crosses."""
    taps = probe.taps
    graph = _Stages(frozenset(taps)).trace(probe.backbone)
    nodes = list(graph.nodes)
    by_name = {str(node.target): node for node in nodes if node.op == "call_module"}
    if at not in taps or any(tap not in by_name for tap in taps):
        raise ModelError(f"{probe.spec['name']} cannot be cut at {at!r}", expected=", ".join(taps))
    place = nodes.index(by_name[at])
    below, above = fx.Graph(), fx.Graph()
    known: dict[fx.Node, fx.Node] = {}
    for node in nodes[: place + 1]:
        known[node] = below.node_copy(node, known.__getitem__)
    below.output(known[by_name[at]])
    known = {by_name[at]: above.placeholder("maps")}
    try:
        for node in nodes[place + 1 :]:
            if node.op == "output":
                deeper = [known[by_name[tap]] for tap in taps[taps.index(at) + 1 :]]
                above.output((*deeper, known[node.args[0]]))
            else:
                known[node] = above.node_copy(node, known.__getitem__)
    except KeyError as error:
        raise ModelError(
            f"{probe.spec['name']} cannot be cut at {at!r}", found=f"{error} connects layers on both sides of the cut"
        ) from error
    return Lower(probe.input, fx.GraphModule(probe.backbone, below)), Upper(fx.GraphModule(probe.backbone, above))


def can_be_cut(probe: Probe, at: str) -> bool:
    """Whether a probe's backbone can be cut behind a tapped module: it can be traced, and only that output crosses."""
    try:
        cut(probe, at)
    except (ModelError, fx.proxy.TraceError, RuntimeError, TypeError, ValueError, NameError, AssertionError):
        return False
    return True


def up_to(backbone: nn.Module, layer: str, shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Names of the parameters of a backbone up to a layer: of all modules that begin to run before that layer has
    ended, in the order of running; what holds the layer, and branches that run beside and before it, are among them.

    layer: a module's name. shape: of one image (C, H, W). Raises ModelError for a layer that is not there or that never
    runs.
    """
    layer = layer_name(backbone, layer)
    image = torch.empty(1, *shape, device="meta")
    order = _Begun(backbone, layer)
    run_without_data(order, backbone, image, type(backbone).__name__)
    if not order.ended:
        raise ModelError(
            f"the layer {layer!r} is never executed, so the layers before it are undefined", fix="choose another layer"
        )
    return tuple(name for name, _ in backbone.named_parameters() if name.rpartition(".")[0] in order.names)


class _Begun(Follower):
    """Names of the modules that begin before a layer has ended for the first time."""

    def __init__(self, network: nn.Module, layer: str) -> None:
        super().__init__(network)
        self.names: set[str] = set()
        self.ended = False
        self._last = network.get_submodule(layer)

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))

    def begin(self, name: str, module: nn.Module, inputs: Any) -> None:
        if not self.ended:
            self.names.add(name)

    def end(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self.ended = self.ended or module is self._last


class _Stages(fx.Tracer):
    """A tracer that looks neither into the given modules nor into single layers, some of which branch on shapes."""

    def __init__(self, whole: frozenset[str]) -> None:
        super().__init__()
        self.whole = whole

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        layer = next(m.children(), None) is None or type(m).__module__.startswith("timm.layers")
        return module_qualified_name in self.whole or layer or super().is_leaf_module(m, module_qualified_name)
