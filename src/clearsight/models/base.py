"""What every kind of network offers, and the kinds by name.

    @register_kind("probe")
    class Probe(ModelNetwork): ...

    network = from_spec({"kind": "probe", ...})

A kind declares what it supports in the attributes and methods of `ModelNetwork`: code that holds a network asks for a
capability, never for its class. Heads and descriptors declare theirs as `Component`.

Shapes: x (N, C, H, W) float32 in [0, 1]; features (N, D); logits (N, K).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeVar

import torch
from torch import nn

from clearsight.errors import ModelError, nearest


class Component(nn.Module):
    """A network, head or descriptor, with what it declares beyond a layer of PyTorch's.

    traceable: whether engines other than PyTorch can run it, and run it faster; False where it works in NumPy.
    differentiable: whether its output follows from its input by steps that have gradients.
    gives_log_odds: whether its outputs are log-odds without a temperature; the margins of a kernel machine are not.
    stored: names of its parameters that are stored examples: training leaves them alone.
    """

    traceable: bool = True
    differentiable: bool = True
    gives_log_odds: bool = True
    stored: ClassVar[tuple[str, ...]] = ()


def components(network: nn.Module) -> Iterator[tuple[str, Component]]:
    """Every component of a network, itself included, by its path."""
    return ((path, module) for path, module in network.named_modules() if isinstance(module, Component))


@dataclass(frozen=True)
class FeatureLevels:
    """Layers of several depths whose pooled maps a head sees side by side.

    input: normalises images. backbone: the module that has the layers. layers: their names in it, shallow to deep; the
    backbone's own output closes the list of levels. chosen: numbers of the levels that the head sees. head: their
    features side by side (N, D) to logits (N, K).
    """

    input: nn.Module
    backbone: nn.Module
    layers: tuple[str, ...]
    chosen: tuple[int, ...]
    head: nn.Module


class ModelNetwork(Component):
    """A network as a bundle holds it: images (N, C, H, W) in [0, 1] to logits (N, K).

    spec: what `from_spec` builds it from, plain values for JSON.
    backbone_path: path of the module that maps normalised images to features; "" is the network itself.
    localises: whether it has an `anomaly_map`.
    """

    backbone_path: ClassVar[str] = ""
    localises: bool = False

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self.spec = spec

    def with_features(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (N, K), and the features that they follow from (N, D), in one pass."""
        return self.finish(self.backbone_outputs(x))

    def backbone_outputs(self, x: torch.Tensor) -> Sequence[torch.Tensor]:
        """What an inference engine computes for images; `finish` makes logits and features of it."""
        return self.with_features(x)

    def finish(self, outputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (N, K) and features (N, D) from `backbone_outputs`."""
        return outputs[0], outputs[1]

    @property
    def feature_levels(self) -> FeatureLevels | None:
        """The layers whose pooled maps a head sees; None where there is no head on such features."""
        return None

    @property
    def uses_tta(self) -> bool:
        """Whether it averages over mirror images of an image (test-time augmentation)."""
        return False

    def without_tta(self) -> ModelNetwork:
        """The same network, with the same layers, on the image as it is alone: each layer runs once for an image, and
        its maps lie as the image does.
        """
        return self

    @property
    def member_networks(self) -> tuple[ModelNetwork, ...]:
        """The networks whose probabilities it averages; none for a single network."""
        return ()

    @property
    def embedding_network(self) -> ModelNetwork:
        """The network whose features are the embedding, and whose layers are shown: of an ensemble the first member."""
        return self

    @property
    def embedding_path(self) -> str:
        """What the names of the layers of `embedding_network` begin with in this one: "" or "members.0."."""
        return ""

    @property
    def exportable(self) -> bool:
        """Whether `for_export` gives a graph of tensors."""
        return all(component.traceable for _, component in components(self))

    def for_export(self) -> ModelNetwork:
        """The network as tensors alone, for graphs that other engines run; weights are shared."""
        return self

    def require_layers(self) -> None:
        """Raise ModelError where there are no inner layers to look at."""

    def anomaly_map(self, x: torch.Tensor) -> torch.Tensor:
        """How much less normal than usual the place of each pixel is (N, H, W), at least 0; ModelError unless it
        `localises`.
        """
        raise ModelError("this model does not compare places of an image")


Kind = TypeVar("Kind", bound=type[ModelNetwork])

_KINDS: dict[str, type[ModelNetwork]] = {}


def register_kind(name: str) -> Callable[[Kind], Kind]:
    """Decorator: enter a class of networks under the `kind` that its specs carry."""

    def enter(kind: Kind) -> Kind:
        if name in _KINDS:
            raise AssertionError(f"the kind of network {name!r} is registered twice")
        _KINDS[name] = kind
        return kind

    return enter


def from_spec(spec: dict[str, Any]) -> ModelNetwork:
    """Build the network a spec describes, with random weights; ModelError for an unknown kind."""
    if spec["kind"] not in _KINDS:
        raise ModelError(f"there is no kind of network {spec['kind']!r}", fix=nearest(str(spec["kind"]), _KINDS))
    return _KINDS[spec["kind"]](spec)


def without_tta(network: nn.Module) -> nn.Module:
    """`ModelNetwork.without_tta`, and any other module as it is."""
    return network.without_tta() if isinstance(network, ModelNetwork) else network


@contextmanager
def forward_hooks(modules: Iterable[tuple[str, nn.Module]], hook: Callable[..., Any]) -> Iterator[None]:
    """Inside the block `hook(name, module, inputs, output)` is called whenever one of the named modules has run; what
    it returns, if anything, takes the place of the output.
    """
    handles = [module.register_forward_hook(partial(hook, name)) for name, module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def capture(module: nn.Module, names: Sequence[str]) -> Iterator[dict[str, torch.Tensor]]:
    """Collect the outputs of the named submodules in a forward pass; the hooks are gone afterwards, come what may."""
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str, module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        seen[name] = output

    with forward_hooks([(name, module.get_submodule(name)) for name in names], keep):
        yield seen
