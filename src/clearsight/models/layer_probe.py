"""Layers by name: their outputs as features, and a classifier on those of a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from clearsight.errors import ModelError, nearest
from clearsight.models.base import ModelNetwork, capture, from_spec, network_spec, register_kind
from clearsight.models.heads import build_head, head_spec
from clearsight.models.initialization import skip_init
from clearsight.schema import optional, record, text


def layer_name(network: nn.Module, layer: str) -> str:
    """The full name of a module.

    Args:
        network: the network.
        layer: the name, with or without the prefix of the wrapping network.

    Returns:
        The path in `network.named_modules()`.

    Raises:
        ModelError: there is no such module; similar names are suggested.
    """
    names = [name for name, _ in network.named_modules() if name]
    for prefix in PREFIXES:
        if prefix + layer in names:
            return prefix + layer
    short = [short_name(name) for name in names]
    raise ModelError(f"unknown layer {layer!r} in this model", fix=nearest(layer, short, "layers"))


PREFIXES = tuple(outer + inner for outer in ("", "members.0.", "trunk.") for inner in ("", "body.", "backbone."))
"""What a network's own names may stand behind."""


def short_name(name: str) -> str:
    """The name of a module without the prefix of the wrapping network.

    Args:
        name: path of the module.

    Returns:
        The shortened path.
    """
    for prefix in sorted(PREFIXES, key=len, reverse=True):
        name = name.removeprefix(prefix)
    return name


class LayerOutput(nn.Module):
    """The output of one module of a network, averaged over positions: (N, C, H, W), (N, T, C) or (N, D) to (N, C).

    Args:
        network: the network.
        layer: name of the module.

    Raises:
        ModelError: there is no such layer, or it never runs; similar names are suggested.
    """

    def __init__(self, network: nn.Module, layer: str) -> None:
        super().__init__()
        layer = layer_name(network, layer)
        self.network, self.layer = network, layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The averaged output of the layer.

        Args:
            x: images (N, C, H, W) in [0, 1].

        Returns:
            Means over positions (N, C).

        Raises:
            ModelError: the layer does not run, or has no maps.
        """
        return layer_output(self.network, self.layer, x)


def layer_output(network: nn.Module, layer: str, x: torch.Tensor) -> torch.Tensor:
    """The output of a module for images, averaged over its positions.

    Args:
        network: the network, in evaluation mode.
        layer: name of the module.
        x: images (N, C, H, W) in [0, 1].

    Returns:
        Means over positions (N, C).

    Raises:
        ModelError: the module does not run, or its output is no tensor.
    """
    with capture(network, [layer]) as seen:
        network(x)
    if not isinstance(maps := seen.get(layer), torch.Tensor):
        raise ModelError(f"the layer {layer!r} has no feature maps", fix="choose another layer")
    return maps.flatten(2).mean(2) if maps.ndim == 4 else maps.mean(1) if maps.ndim == 3 else maps


@register_kind("layer-probe")
class LayerProbe(ModelNetwork):
    """A trained network's features of one layer, and a head on them.

    spec["network"]: spec of that network, which is kept whole. spec["layer"]: name of a module in it, whose output is
    averaged over its positions; "" is its features below the head. The features are those of `Predictor.embeddings`.
    """

    spec_check = staticmethod(record({"network": network_spec, "layer": text()}, {"head": optional(head_spec)}))

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__(spec)
        self.network = from_spec(spec["network"])
        self.layer = layer_name(self.network, spec["layer"]) if spec["layer"] else ""
        self.head: nn.Module = build_head(spec["head"]) if spec.get("head") else nn.Identity()

    @classmethod
    def of(cls, network: ModelNetwork, layer: str) -> LayerProbe:
        """Features of a network, which is not copied, still without a head.

        Args:
            network: the network.
            layer: name of a module in it; "" for the features below its head.

        Returns:
            The probe, in evaluation mode.
        """
        name = str(network.spec.get("name", network.spec["kind"]))
        with skip_init():
            found = cls({"kind": "layer-probe", "name": name, "network": network.spec, "layer": layer, "head": None})
        found.network = network
        return found.eval()

    def set_head(self, spec: dict[str, Any], head: nn.Module) -> None:
        """Replace the head, and record it in the spec.

        Args:
            spec: spec of the head.
            head: features (N, D) to logits (N, K).
        """
        self.head = head
        self.spec = {**self.spec, "head": spec}

    def backbone_outputs(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The features of images.

        Args:
            x: images (N, C, H, W) in [0, 1].

        Returns:
            One tensor (N, D).
        """
        if not self.layer:
            return [self.network.embedding_network.with_features(x)[1]]
        return [layer_output(self.network, self.layer, x)]

    def finish(self, outputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and features, from what `backbone_outputs` returned.

        Args:
            outputs: features (N, D), in a list.

        Returns:
            Logits (N, K), and the features (N, D).
        """
        return self.head(outputs[0]), outputs[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.with_features(x)[0]
