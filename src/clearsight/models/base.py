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
from clearsight.schema import invalid, optional


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

    def state_fault(self) -> str | None:
        """What is wrong with its own tensors, as they were read from a file that may come from someone else.

        Returns:
            A description; None if they are valid. Whether numbers are finite is checked elsewhere.
        """
        return None


def components(network: nn.Module) -> Iterator[tuple[str, Component]]:
    """Every component of a network.

    Args:
        network: any module.

    Returns:
        An iterator over pairs of path and component, the network itself included.
    """
    return ((path, module) for path, module in network.named_modules() if isinstance(module, Component))


def traceable(network: nn.Module) -> bool:
    """Whether an engine other than PyTorch can run a network: classical descriptors look at values.

    Args:
        network: any module.

    Returns:
        Whether all its components are traceable.
    """
    return all(component.traceable for _, component in components(network))


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

    backbone_path: path of the module that maps normalised images to features; "" is the network itself. localises:
    whether it has an `anomaly_map`.

    Args:
        spec: what `from_spec` builds the network from, plain values for JSON.
    """

    backbone_path: ClassVar[str] = ""
    localises: bool = False

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self.spec = spec

    @staticmethod
    def spec_check(value: Any, place: str, /) -> None:
        """Check a spec before it is built. By default, every spec is accepted.

        Args:
            value: the spec.
            place: where it is, for errors.

        Raises:
            BundleError: a value is invalid.
        """

    def with_features(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and the features below the head, in one pass.

        Args:
            x: images (N, C, H, W) in [0, 1].

        Returns:
            Logits (N, K) and features (N, D).
        """
        return self.finish(self.backbone_outputs(x))

    def backbone_outputs(self, x: torch.Tensor) -> Sequence[torch.Tensor]:
        """The part of the computation that an inference engine runs; `finish` does the rest.

        Args:
            x: images (N, C, H, W) in [0, 1].

        Returns:
            Tensors, the first axis of each of length N.
        """
        return self.with_features(x)

    def finish(self, outputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and features from the outputs of the backbone.

        Args:
            outputs: what `backbone_outputs` returned.

        Returns:
            Logits (N, K) and features (N, D).
        """
        return outputs[0], outputs[1]

    @property
    def output_count(self) -> int | None:
        """Number of outputs K according to the spec; None if the spec does not say."""
        head = self.spec.get("head")
        while isinstance(head, dict) and isinstance(head.get("head"), dict):
            head = head["head"]
        found = head.get("classes") if isinstance(head, dict) else self.spec.get("classes")
        return found if isinstance(found, int) else None

    @property
    def feature_levels(self) -> FeatureLevels | None:
        """The layers whose pooled maps a head sees; None where there is no head on such features."""
        return None

    @property
    def uses_tta(self) -> bool:
        """Whether it averages over mirror images of an image (test-time augmentation)."""
        return False

    def without_tta(self) -> ModelNetwork:
        """The same network and layers without test-time augmentation.

        Returns:
            A network whose layers run once per image, and whose maps are oriented as the image is.
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
        return traceable(self)

    def for_export(self) -> ModelNetwork:
        """The network in tensor operations alone, for graphs that other engines run.

        Returns:
            A network that shares the weights.
        """
        return self

    def require_layers(self) -> None:
        """Refuse a model without inner layers.

        Raises:
            ModelError: there are no layers to visualise.
        """

    def anomaly_map(self, x: torch.Tensor) -> torch.Tensor:
        """How much more anomalous than usual each pixel is.

        Args:
            x: images (N, C, H, W) in [0, 1].

        Returns:
            Deviations (N, H, W), at least 0.

        Raises:
            ModelError: the model does not compare places of an image (`localises` is False).
        """
        raise ModelError("this model does not compute anomaly maps")


Kind = TypeVar("Kind", bound=type[ModelNetwork])

_KINDS: dict[str, type[ModelNetwork]] = {}


def register_kind(name: str) -> Callable[[Kind], Kind]:
    """Decorator: register a class of networks under the `kind` in its specs.

    Args:
        name: the kind.

    Returns:
        The decorator, which returns the class unchanged.

    Raises:
        AssertionError: the kind is registered twice.
    """

    def enter(kind: Kind) -> Kind:
        if name in _KINDS:
            raise AssertionError(f"the kind of network {name!r} is registered twice")
        _KINDS[name] = kind
        return kind

    return enter


def from_spec(spec: dict[str, Any]) -> ModelNetwork:
    """Build the network that a spec describes, with random weights.

    Args:
        spec: plain values with the key `kind`.

    Returns:
        The network.

    Raises:
        ModelError: unknown kind.
        BundleError: a value of the spec is invalid.
    """
    kind = _kind(spec, "the description of the network")
    kind.spec_check(spec, "the description of the network")
    return kind(spec)


def _kind(spec: Any, place: str) -> type[ModelNetwork]:
    if not isinstance(spec, dict) or "kind" not in spec:
        invalid(place, spec, "an object with the key kind")
    kind = spec["kind"]
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ModelError(f"unknown kind of network {str(kind)[:60]!r}", fix=nearest(str(kind)[:60], _KINDS, "kinds"))
    return _KINDS[kind]


def network_spec(value: Any, place: str) -> None:
    """Check the spec of a network within another one, for `spec_check`.

    Args:
        value: the spec.
        place: where it is.

    Raises:
        BundleError: a value is invalid.
        ModelError: unknown kind.
    """
    _kind(value, place).spec_check(value, place)


maybe_network_spec = optional(network_spec)
"""Accepts null too."""


def without_tta(network: nn.Module) -> nn.Module:
    """Switch off test-time augmentation in a network that may have it.

    Args:
        network: any module.

    Returns:
        `ModelNetwork.without_tta()` of a ModelNetwork; any other module unchanged.
    """
    return network.without_tta() if isinstance(network, ModelNetwork) else network


@contextmanager
def forward_hooks(modules: Iterable[tuple[str, nn.Module]], hook: Callable[..., Any]) -> Iterator[None]:
    """Context manager: call a hook whenever one of the named modules has run.

    Args:
        modules: pairs of name and module.
        hook: called as hook(name, module, inputs, output); a result other than None replaces the output.

    Yields:
        Nothing; the hooks are removed when the block ends.
    """
    handles = [module.register_forward_hook(partial(hook, name)) for name, module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def capture(module: nn.Module, names: Sequence[str]) -> Iterator[dict[str, torch.Tensor]]:
    """Context manager: collect the outputs of named submodules.

    Args:
        module: the network.
        names: paths of the submodules.

    Yields:
        A dictionary that holds the output of each submodule that has run in the block.
    """
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str, module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        seen[name] = output

    with forward_hooks([(name, module.get_submodule(name)) for name in names], keep):
        yield seen
