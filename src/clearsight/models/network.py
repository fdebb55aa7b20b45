"""The whole network that a bundle holds: pixels in [0, 1] in, logits out, normalisation and head inside.

    Network       InputLayer -> body (registry or timm) -> logits
    Probe         InputLayer -> backbone, tapped at several depths -> pooled features -> head -> logits
    LayerProbe    one of these up to a layer -> features averaged over positions -> head -> logits
    Ensemble      several of these, their probabilities averaged
    Classical     a descriptor and a head (`models.classical`)
    AnomalyModel  one of these, or none, below a head that knows normal features alone (`models.anomaly_model`)

Each is described by a `spec`, a plain dictionary that goes into the bundle's card; `from_spec` builds the network
again. What a kind supports is declared in `models.base`.

Shapes: x (N, C, H, W) float32 in [0, 1]; features (N, D); logits (N, K).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Self, TypeVar, cast

import torch
from torch import nn

from clearsight.data.geometry import LARGEST_SIDE
from clearsight.errors import ModelError
from clearsight.models import anomaly_model, classical, layer_probe  # noqa: F401 (so that every kind is registered)
from clearsight.models.base import FeatureLevels, ModelNetwork, capture, forward_hooks, network_spec, register_kind
from clearsight.models.base import from_spec as from_spec
from clearsight.models.heads import SIZE, build_head, head_spec, log_mean_probability
from clearsight.models.layers import AuxiliaryClassifier, last_dense
from clearsight.models.zoo import build_recorded
from clearsight.schema import Check, anything, integer, invalid, listed, number, optional, record, text

Module = TypeVar("Module", bound=nn.Module)

VIEWS: dict[str, tuple[int, ...]] = {
    "as it is": (),
    "left-right": (-1,),
    "upside down": (-2,),
    "half a turn": (-2, -1),
}
"""Mirror images of an image (..., H, W), and the axes that are turned round in them."""

AS_IT_IS = ("as it is",)


def input_spec(value: Any, place: str) -> None:
    """Check the spec of an `InputLayer`.

    Args:
        value: the spec.
        place: where it is.

    Raises:
        BundleError: a value is invalid.
    """
    one = record(
        {"mean": listed(number(-1e6, 1e6), least=1), "std": listed(number(1e-9, 1e6), least=1)},
        {"mode": text("fixed", "image")},
    )
    one(value, place)
    if len(value["mean"]) != len(value["std"]):
        invalid(f"{place}.std", f"{len(value['std'])} values", f"{len(value['mean'])} values, one per channel")


_BODY: dict[str, Check] = {
    "name": anything,  # `build_recorded` checks names and options, and says which exist
    "img_size": optional(integer(1, LARGEST_SIDE)),
    "model_args": anything,
    "input": input_spec,
}

_VIEWS: dict[str, Check] = {"views": listed(text(*VIEWS), least=1, unique=True)}


class InputLayer(nn.Module):
    """Normalise pixels, and repeat gray to the number of channels that the network takes (rule D5).

    mode "fixed": (x - mean) / std with one number per channel; mean 0.5 and std 0.5 give [-1, 1]. mode "image": each
    image by its own mean and deviation over all pixels and channels.

    Args:
        mean: mean of each channel.
        std: standard deviation of each channel, above 0.
        mode: "fixed" or "image".
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], mode: Literal["fixed", "image"] = "fixed") -> None:
        super().__init__()
        self.mode = mode
        self.channels = len(mean)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] == 1 and self.channels > 1:
            x = x.expand(-1, self.channels, -1, -1)
        if self.mode == "image":
            flat = x.flatten(1)
            mean = flat.mean(dim=1)[:, None, None, None]
            std = flat.std(dim=1, correction=0)[:, None, None, None]
            return (x - mean) / (std + 1e-5)
        return (x - self.mean) / self.std


class Augmented(ModelNetwork):
    """A network that may average over mirror images.

    spec["views"]: names of `VIEWS`, by default the image as it is.
    """

    @property
    def views(self) -> tuple[str, ...]:
        """The views it averages over, the image as it is first: its maps are the last that hooks see."""
        return tuple(self.spec.get("views", AS_IT_IS))

    def set_views(self, views: Sequence[str]) -> None:
        """Average over these views from now on, and record it in the spec if they are more than the image as it is.

        Args:
            views: names of `VIEWS`.
        """
        rest = {name: value for name, value in self.spec.items() if name != "views"}
        self.spec = rest if tuple(views) == AS_IT_IS else {**rest, "views": list(views)}

    @property
    def uses_tta(self) -> bool:
        return self.views != AS_IT_IS

    def without_tta(self) -> Self:
        if not self.uses_tta:
            return self
        plain = copy.copy(self)
        plain.set_views(AS_IT_IS)
        return plain


def _turned(x: torch.Tensor, views: Sequence[str]) -> Iterator[torch.Tensor]:
    """Each view of images (N, C, H, W), the first view last."""
    for name in reversed(views):
        yield x.flip(VIEWS[name]) if VIEWS[name] else x


@register_kind("network")
class Network(Augmented):
    """A network of the registry or of timm behind its input layer; logits and features are means over the views.

    Args:
        spec: keys `name`, `classes`, `img_size`, `model_args`, `input` and, if there are several, `views`.
    """

    backbone_path = "body"
    spec_check = staticmethod(record({**_BODY, "classes": SIZE}, _VIEWS))

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__(spec)
        self.input = InputLayer(**spec["input"])
        self.body = build_recorded(
            spec["name"],
            classes=spec["classes"],
            channels=self.input.channels,
            img_size=spec["img_size"],
            model_args=spec["model_args"],
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.input(x)
        found = [self.body(view) for view in _turned(x, self.views)]
        return torch.stack(found).mean(0) if len(found) > 1 else found[0]

    def with_features(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (N, K), and the input of the last dense layer (N, D), in one pass."""
        seen: list[torch.Tensor] = []

        with forward_hooks([last_dense(self.body)], lambda _name, _module, inputs, _output: seen.append(inputs[0])):
            logits = self(x)
        features = torch.stack(seen).mean(0) if len(seen) > 1 else seen[0]
        return logits, features.flatten(1)


@register_kind("probe")
class Probe(Augmented):
    """A backbone whose intermediate maps are pooled into one feature vector, with a head on top.

    Features are means over the views, so mirroring the image does not change the logits.

    Args:
        spec: `taps` names the modules whose outputs are pooled by mean, maximum and standard deviation over positions;
            the last part is the pooled output of the backbone itself. `parts` lists, by number, the parts that the head
            reads.

    Raises:
        ModelError: the backbone has no layer of such a name.
    """

    backbone_path = "backbone"
    spec_check = staticmethod(
        record(
            {**_BODY, "taps": listed(text(), unique=True)},
            {**_VIEWS, "parts": listed(integer(0), least=1), "head": optional(head_spec)},
        )
    )

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__(spec)
        self.taps: list[str] = list(spec["taps"])
        self.input = InputLayer(**spec["input"])
        self.backbone = headless(spec["name"], self.input.channels, spec["img_size"], spec["model_args"])
        missing = set(self.taps) - {name for name, _ in self.backbone.named_modules()}
        if missing:
            raise ModelError(f"{spec['name']} has no layer named {' or '.join(sorted(missing))}")
        self.head: nn.Module = build_head(spec["head"]) if spec.get("head") else nn.Identity()
        if max(spec.get("parts", [0])) > len(self.taps):
            invalid("the description of the network: parts", spec["parts"], f"0 to {len(self.taps)}")

    @property
    def output_count(self) -> int | None:
        return super().output_count if self.spec.get("head") else None

    def set_taps(self, taps: Sequence[str]) -> None:
        """Pool the outputs of these modules from now on, and record it in the spec; the head reads the last part.

        Args:
            taps: names of modules of the backbone, from shallow to deep.
        """
        self.taps = list(taps)
        self.spec = {**self.spec, "taps": self.taps, "parts": [len(self.taps)]}

    @property
    def feature_levels(self) -> FeatureLevels:
        return FeatureLevels(self.input, self.backbone, tuple(self.taps), tuple(self.spec["parts"]), self.head)

    def set_head(self, spec: dict[str, Any], head: nn.Module, parts: Sequence[int] | None = None) -> None:
        """Replace the head, and record it in the spec.

        Args:
            spec: spec of the head.
            head: the head.
            parts: numbers of the parts that it reads; None for the same as before.
        """
        self.head = head
        self.spec = {**self.spec, "parts": list(self.spec["parts"] if parts is None else parts), "head": spec}

    def backbone_outputs(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Pooled features per tap (N, 3 C_tap), and the backbone's output (N, D) last: of each view, and their mean."""
        x = self.input(x)
        views = [self._parts(view) for view in _turned(x, self.views)]
        return [torch.stack(same).mean(0) for same in zip(*views, strict=True)] if len(views) > 1 else views[0]

    def _parts(self, x: torch.Tensor) -> list[torch.Tensor]:
        with capture(self.backbone, self.taps) as seen:
            last = self.backbone(x)
        return [pool(seen[name]) for name in self.taps] + [last]

    def finish(self, outputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (N, K), and the parts that the head sees side by side (N, D)."""
        features = torch.cat([outputs[i] for i in self.spec["parts"]], dim=1)
        return self.head(features), features

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """The features that the head reads.

        Args:
            x: images (N, C, H, W) in [0, 1].

        Returns:
            Features (N, D).
        """
        return self.with_features(x)[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.with_features(x)[0]


class Backbone(nn.Module):
    """The part of a network that engines run: images (N, C, H, W) to its `backbone_outputs`.

    Args:
        network: the network; its weights are shared.
    """

    def __init__(self, network: ModelNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.network.backbone_outputs(x))


class WithFeatures(nn.Module):
    """A whole network as one graph: images (N, C, H, W) to logits (N, K) and the features below the head (N, D).

    Args:
        network: the network; its weights are shared.
    """

    def __init__(self, network: ModelNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.network.with_features(x)


@register_kind("ensemble")
class Ensemble(ModelNetwork):
    """Log of the mean (N, K) of several networks' calibrated probabilities softmax(z / T).

    The features are those of the first member.

    Args:
        spec: `members` holds a spec per network, `temperatures` their T.
    """

    @staticmethod
    def spec_check(value: Any, place: str, /) -> None:
        record({"members": listed(network_spec, least=1), "temperatures": anything})(value, place)
        listed(number(1e-6, 1e6), len(value["members"]))(value["temperatures"], f"{place}.temperatures")

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__(spec)
        self.members = nn.ModuleList(from_spec(member) for member in spec["members"])

    @classmethod
    def of(cls, members: Sequence[ModelNetwork], temperatures: Sequence[float]) -> Ensemble:
        """Join trained networks, which are not copied.

        Args:
            members: the networks.
            temperatures: temperature of each, above 0.

        Returns:
            The ensemble.
        """
        joined = cls({"kind": "ensemble", "members": [], "temperatures": list(temperatures)})
        joined.spec["members"] = [member.spec for member in members]
        joined.members.extend(members)
        return joined

    @property
    def member_networks(self) -> tuple[ModelNetwork, ...]:
        return cast(tuple[ModelNetwork, ...], tuple(self.members))

    @property
    def output_count(self) -> int | None:
        counts = {member.output_count for member in self.member_networks}
        return counts.pop() if len(counts) == 1 else -1

    @property
    def embedding_network(self) -> ModelNetwork:
        return self.member_networks[0].embedding_network

    @property
    def embedding_path(self) -> str:
        return f"members.0.{self.member_networks[0].embedding_path}"

    @property
    def uses_tta(self) -> bool:
        return any(member.uses_tta for member in self.member_networks)

    def without_tta(self) -> Self:
        plain = copy.copy(self)
        members = nn.ModuleList(member.without_tta() for member in self.member_networks)
        plain._modules = {**self._modules, "members": members}
        return plain

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.with_features(x)[0]

    def with_features(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (N, K), and the features of the first member (N, D)."""
        found = [member.with_features(x) for member in self.member_networks]
        return log_mean_probability([z for z, _ in found], self.spec["temperatures"]), found[0][1]


def headless(name: str, channels: int, img_size: int, model_args: dict[str, Any]) -> nn.Module:
    """A network without its last dense layer: normalised images to pooled features (N, D).

    Args:
        name: name in the registry, or of a timm network.
        channels: input channels.
        img_size: side of the images, in pixels.
        model_args: options of the builder.

    Returns:
        The network, with random weights.
    """
    body = build_recorded(name, classes=1, channels=channels, img_size=img_size, model_args=model_args)
    path, _ = last_dense(body)
    parent, _, leaf = path.rpartition(".")
    setattr(body.get_submodule(parent), leaf, nn.Identity())
    return body


def tap_points(body: nn.Module) -> list[str]:
    """Modules at several depths whose maps are useful as features: the ends of the last stages.

    Args:
        body: the network.

    Returns:
        Paths from shallow to deep, at most four.
    """
    info = getattr(body, "feature_info", None)
    if info is not None:
        rows = info if isinstance(info, list) else info.get_dicts()
        names = [str(row["module"]) for row in rows if row.get("module")]
        known = {name for name, _ in body.named_modules()}
        return [name for name in names if name in known][-4:]
    stages = _blocks(body)
    if len(stages) == 1:  # a trunk of layers, as VGG's: its own blocks, or the places where it pools
        trunk = body.get_submodule(stages[0])
        pools = [name for name, m in trunk.named_children() if isinstance(m, nn.MaxPool2d | nn.AvgPool2d)]
        stages = [f"{stages[0]}.{name}" for name in _blocks(trunk) or pools] or stages
    return stages[-4:]


def _blocks(module: nn.Module) -> list[str]:
    """Children that are made of layers, convolutions among them; auxiliary classifiers aside."""
    return [
        name
        for name, child in module.named_children()
        if next(child.children(), None) is not None
        and not isinstance(child, AuxiliaryClassifier)
        and any(isinstance(m, nn.Conv2d) for m in child.modules())
    ]


def pool(maps: torch.Tensor) -> torch.Tensor:
    """Mean, maximum and standard deviation over positions.

    Args:
        maps: maps (N, C, H, W), or tokens (N, T, C).

    Returns:
        Features (N, 3 C).
    """
    if maps.ndim == 3:
        maps = maps.transpose(1, 2)
    flat = maps.flatten(2)  # (N, C, positions)
    deviation = (flat.var(dim=2, correction=0) + 1e-6).sqrt()
    return torch.cat([flat.mean(dim=2), flat.amax(dim=2), deviation], dim=1)


def shared_copy(network: Module) -> Module:
    """A copy of a network that shares its weights.

    Hooks and modes that are set on one have no effect on the other.

    Args:
        network: the network.

    Returns:
        The copy.
    """
    shared: dict[int, Any] = {id(t): t for t in (*network.parameters(), *network.buffers())}
    return copy.deepcopy(network, shared)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Context manager: evaluation mode without gradients for the parameters.

    Args:
        network: the network; modes and `requires_grad` are restored when the block ends.

    Yields:
        Nothing.
    """
    modes = [(module, module.training) for module in network.modules()]
    took = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    network.eval()
    for parameter, _ in took:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, before in took:
            parameter.requires_grad_(before)
