"""Published ImageNet weights, through torchvision's and timm's own download code.

    state = published_state("resnet50")
    load_state(build_model("resnet50", classes=1000), state, name="resnet50")
    load_state(build_model("resnet50", classes=5), state, name="resnet50", replace_head=True)

The files are torchvision's first ImageNet weights (the recipes of the papers, IMAGENET1K_V1) and timm's
`augreg` and `ra2` ones. What has to be known of each stands in `PUBLISHED`: the size and the mean and
deviation of the pixels it was trained on. Three things are adapted on the way:

- DenseNet's file has old tensor names (`norm.1`), which become today's (`norm1`).
- GoogLeNet's and Inception v3's files hold auxiliary heads; they are left out unless aux=True is asked for.
  GoogLeNet's were never trained.
- torchvision gives GoogLeNet and Inception v3 a `transform_input` that turns ImageNet-normalised pixels into [-1, 1].
  Here the normalisation belongs to the weights: `PUBLISHED` has mean 0.5 and deviation 0.5 for these two, which is
  the same.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from torch import nn

from clearsight.errors import ModelError, nearest

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PLUS_MINUS_ONE = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Published:
    """Where a network's weights come from and what they expect.

    library: "torchvision" or "timm". weights: their name there. img_size: in pixels. mean, std: per channel,
    of pixels in [0, 1]. head: prefix of the last layer's tensors.
    """

    library: str
    weights: str
    head: str = "fc."
    img_size: int = 224
    mean: tuple[float, float, float] = IMAGENET[0]
    std: tuple[float, float, float] = IMAGENET[1]


def _torchvision(weights: str, head: str, **other: Any) -> Published:
    return Published("torchvision", f"{weights}_Weights.IMAGENET1K_V1", head, **other)


def _vit(weights: str) -> Published:
    mean, std = PLUS_MINUS_ONE
    return Published("timm", f"{weights}.augreg_in21k_ft_in1k", "head.", mean=mean, std=std)


PUBLISHED: dict[str, Published] = {
    "alexnet": _torchvision("AlexNet", "classifier.6."),
    "vgg11": _torchvision("VGG11", "classifier.6."),
    "vgg13": _torchvision("VGG13", "classifier.6."),
    "vgg16": _torchvision("VGG16", "classifier.6."),
    "vgg19": _torchvision("VGG19", "classifier.6."),
    "vgg11_bn": _torchvision("VGG11_BN", "classifier.6."),
    "vgg13_bn": _torchvision("VGG13_BN", "classifier.6."),
    "vgg16_bn": _torchvision("VGG16_BN", "classifier.6."),
    "vgg19_bn": _torchvision("VGG19_BN", "classifier.6."),
    "googlenet": _torchvision("GoogLeNet", "fc.", mean=PLUS_MINUS_ONE[0], std=PLUS_MINUS_ONE[1]),
    "inception_v3": _torchvision("Inception_V3", "fc.", img_size=299, mean=PLUS_MINUS_ONE[0], std=PLUS_MINUS_ONE[1]),
    "resnet18": _torchvision("ResNet18", "fc."),
    "resnet34": _torchvision("ResNet34", "fc."),
    "resnet50": _torchvision("ResNet50", "fc."),
    "resnet101": _torchvision("ResNet101", "fc."),
    "resnet152": _torchvision("ResNet152", "fc."),
    "densenet121": _torchvision("DenseNet121", "classifier."),
    "densenet161": _torchvision("DenseNet161", "classifier."),
    "densenet169": _torchvision("DenseNet169", "classifier."),
    "densenet201": _torchvision("DenseNet201", "classifier."),
    "seresnet50": Published("timm", "seresnet50.ra2_in1k"),
    "vit_ti_16": _vit("vit_tiny_patch16_224"),
    "vit_s_16": _vit("vit_small_patch16_224"),
    "vit_b_16": _vit("vit_base_patch16_224"),
}

AUXILIARY_PREFIXES = ("aux1.", "aux2.", "AuxLogits.")


def published_state(name: str, *, aux: bool = False) -> dict[str, torch.Tensor]:
    """The published weights, under the names `build_model(name, classes=1000)` gives its tensors.

    aux: keep the auxiliary heads of GoogLeNet and Inception v3. The file is kept in PyTorch's own cache and
    downloaded once. Raises ModelError for a network without published weights, and where the file is neither
    in the cache nor within reach; the error then names the file, its address and the folder to put it in by
    hand.
    """
    if name not in PUBLISHED:
        raise ModelError(f"no weights are published for {name}", fix=nearest(name, PUBLISHED))
    source = PUBLISHED[name]
    fetch = _from_torchvision if source.library == "torchvision" else _from_timm
    state = fetch(name, source)
    if not aux:
        state = {k: v for k, v in state.items() if not k.startswith(AUXILIARY_PREFIXES)}
    return {_todays_name(key): tensor for key, tensor in state.items()}


def cache_folder() -> Path:
    """Where PyTorch keeps downloaded weights, and where a file fetched by hand belongs."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def is_cached(source: Published) -> bool:
    """Whether a file of published weights is on this machine."""
    if source.library == "timm":
        return (cache_folder() / f"{source.weights}.safetensors").is_file() or in_hub_cache(f"timm/{source.weights}")
    from torchvision.models import get_weight

    return (cache_folder() / Path(get_weight(source.weights).url).name).is_file()


def in_hub_cache(repository: str) -> bool:
    """Whether the Hugging Face cache holds a repository's weights."""
    from huggingface_hub import try_to_load_from_cache

    return any(
        isinstance(try_to_load_from_cache(repository, f), str) for f in ("model.safetensors", "pytorch_model.bin")
    )


def _from_torchvision(name: str, source: Published) -> dict[str, torch.Tensor]:
    from torchvision.models import get_weight

    weights = get_weight(source.weights)
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash is a RuntimeError
        file = Path(weights.url).name
        raise _out_of_reach(name, file, weights.url, error) from error
    return dict(state)


def _from_timm(name: str, source: Published) -> dict[str, torch.Tensor]:
    import timm
    from huggingface_hub import constants, try_to_load_from_cache

    hub_file = "model.safetensors"
    file = f"{source.weights}.safetensors"
    address = f"{constants.ENDPOINT}/timm/{source.weights}/resolve/main/{hub_file}"
    by_hand = cache_folder() / file
    cached = try_to_load_from_cache(f"timm/{source.weights}", hub_file)
    if by_hand.is_file():
        cached = str(by_hand)
    overlay = {"file": cached, "custom_load": False} if isinstance(cached, str) else None
    try:
        if overlay is None:
            _resolve(constants.ENDPOINT)
        network = timm.create_model(source.weights, pretrained=True, pretrained_cfg_overlay=overlay)
    except Exception as error:  # the hub's client raises errors of several libraries
        raise _out_of_reach(name, file, address, error) from error
    return dict(network.state_dict())


def _resolve(address: str) -> None:
    """Raise OSError at once where the host has no address; the hub's client would try for a minute."""
    host = urlsplit(address).hostname
    if host and not getproxies():
        socket.getaddrinfo(host, None)


def _out_of_reach(name: str, file: str, address: str, error: Exception) -> ModelError:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
    return ModelError(
        f"the published weights of {name} cannot be had",
        found=f"{type(error).__name__}: {reason}",
        expected=f"the file {file}",
        fix=f"download {address} where there is a connection and save it as {cache_folder() / file}, "
        "or train without published weights",
    )


def _todays_name(key: str) -> str:
    """DenseNet's old names, `denselayer1.norm.1.weight`, without the inner dot."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2.", key)


def load_state(network: nn.Module, state: Mapping[str, torch.Tensor], *, name: str, replace_head: bool = False) -> None:
    """Load weights strictly: every tensor of the network from the state, and none left over.

    replace_head: where the last layer has another number of classes, leave the network's own, freshly drawn
    one. name: the network's, for its head (`PUBLISHED`) and for messages. Raises ModelError listing the
    tensors that are missing, unknown or of another shape.
    """
    head = PUBLISHED[name].head if name in PUBLISHED else None
    own = network.state_dict()
    given = dict(state)
    if replace_head and head:
        given = {key: tensor for key, tensor in given.items() if not key.startswith(head)}
        given |= {key: tensor for key, tensor in own.items() if key.startswith(head)}
    optional = "num_batches_tracked"  # counters that older files lack
    faults = [f"{key} is missing" for key in own if key not in given and not key.endswith(optional)]
    faults += [f"{key} is unknown to the network" for key in given if key not in own]
    differing = [key for key in given if key in own and given[key].shape != own[key].shape]
    faults += [f"{key} is {_shape(given[key])} and should be {_shape(own[key])}" for key in differing]
    if not faults:
        network.load_state_dict(given, strict=False)
        return
    of_head = [key for key in differing if head and key.startswith(head)]
    raise ModelError(
        f"the weights do not fit {name}",
        found="; ".join(faults[:6]) + (f"; and {len(faults) - 6} more" if len(faults) > 6 else ""),
        expected="a tensor of the same name and shape for each of the network's",
        fix="the weights have another number of classes: replace_head=True keeps the network's own last layer"
        if len(of_head) == len(faults)
        else "build the network with the options the weights were trained with",
    )


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
