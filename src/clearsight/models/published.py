"""Published ImageNet weights, through torchvision's and timm's own download code.

    network = build_model("resnet50", classes=5, pretrained=True)

    state = published_state("resnet50")
    load_state(build_model("resnet50", classes=1000), state, name="resnet50")
    load_state(build_model("resnet50", classes=5), state, name="resnet50", replace_head=True)

Each family declares its own weights where it registers its networks; here is how they are fetched, renamed and loaded.
"""

from __future__ import annotations

import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from torch import nn

from clearsight.environment import is_offline
from clearsight.errors import ModelError
from clearsight.models.initialization import skip_init
from clearsight.models.layers import last_dense

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PLUS_MINUS_ONE = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Mean and deviation of the pixels of most weights, and of those that take pixels in [-1, 1]."""

AUXILIARY_PREFIXES = ("aux1.", "aux2.", "AuxLogits.")


@dataclass(frozen=True)
class Weights(ABC):
    """Published ImageNet weights of a network, and what they expect.

    weights: their name in the library they come from. img_size: in pixels. mean, std: per channel, of pixels in [0, 1].
    renamed: maps the file's names of tensors to the network's.
    """

    library: ClassVar[str]
    weights: str
    img_size: int = 224
    mean: tuple[float, ...] = IMAGENET[0]
    std: tuple[float, ...] = IMAGENET[1]
    renamed: Callable[[str], str] = str

    @property
    @abstractmethod
    def licence(self) -> str:
        """The licence of the file, as SPDX and the Hub name it; "" where its authors state none."""

    @property
    @abstractmethod
    def is_cached(self) -> bool:
        """Whether the file is on this machine."""

    @abstractmethod
    def fetch(self, name: str) -> dict[str, torch.Tensor]:
        """The file's tensors, downloaded once; ModelError, with the name of the network, where it is out of reach."""

    def state(self, name: str, *, aux: bool = False) -> dict[str, torch.Tensor]:
        """The tensors under the names of the network. aux: keep those of auxiliary classifiers."""
        return {
            self.renamed(key): tensor
            for key, tensor in self.fetch(name).items()
            if aux or not key.startswith(AUXILIARY_PREFIXES)
        }


class TorchvisionWeights(Weights):
    """torchvision's, by the name of the enum's member, such as "ResNet18_Weights.IMAGENET1K_V1"."""

    library = "torchvision"

    @property
    def licence(self) -> str:
        return "bsd-3-clause"

    @property
    def is_cached(self) -> bool:
        from torchvision.models import get_weight

        return (cache_folder() / Path(get_weight(self.weights).url).name).is_file()

    def fetch(self, name: str) -> dict[str, torch.Tensor]:
        from torchvision.models import get_weight

        weights = get_weight(self.weights)
        if not self.is_cached:
            _require_online(name, Path(weights.url).name, weights.url)
        try:
            state = weights.get_state_dict(progress=False, check_hash=True)
        except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash is a RuntimeError
            file = Path(weights.url).name
            raise _out_of_reach(name, file, weights.url, error) from error
        return dict(state)


class TimmWeights(Weights):
    """timm's, by its name of the network with the tag, such as "seresnet50.ra2_in1k"."""

    library = "timm"

    @property
    def licence(self) -> str:
        import timm

        return str(timm.get_pretrained_cfg(self.weights).license or "").lower()

    @property
    def is_cached(self) -> bool:
        repository, file = self._address()
        return (cache_folder() / file).is_file() or (repository is not None and _in_hub_cache(repository) is not None)

    def fetch(self, name: str) -> dict[str, torch.Tensor]:
        import timm
        from huggingface_hub import constants

        repository, file = self._address()
        logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)  # it would report every retry
        if repository is None:
            address = str(timm.get_pretrained_cfg(self.weights).url)
        else:
            address = f"{constants.ENDPOINT}/{repository}/resolve/main/model.safetensors"
        by_hand = cache_folder() / file
        cached = str(by_hand) if by_hand.is_file() else repository and _in_hub_cache(repository)
        overlay = {"file": cached, "custom_load": False} if cached else None
        if not cached:
            _require_online(name, file, address)
        try:
            if overlay is None:
                _resolve(address)
            with skip_init():
                network = timm.create_model(self.weights, pretrained=True, pretrained_cfg_overlay=overlay)
        except Exception as error:  # the hub's client raises errors of several libraries
            raise _out_of_reach(name, file, address, error) from error
        return dict(network.state_dict())

    def _address(self) -> tuple[str | None, str]:
        """The repository that holds the file (None: it lies at a plain address), and the name the file has when it is
        put into `cache_folder` by hand.
        """
        import timm

        cfg = timm.get_pretrained_cfg(self.weights)
        if not cfg.hf_hub_id:
            return None, Path(str(cfg.url)).name
        repository = str(cfg.hf_hub_id)
        return repository + self.weights if repository.endswith("/") else repository, f"{self.weights}.safetensors"


def cache_folder() -> Path:
    """Where PyTorch keeps downloaded weights, and where a file fetched by hand belongs."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def _in_hub_cache(repository: str) -> str | None:
    """The path of a repository's weights in the Hugging Face cache, if they are there."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(repository, f) for f in ("model.safetensors", "pytorch_model.bin"))
    return next((path for path in found if isinstance(path, str)), None)


def _require_online(name: str, file: str, address: str) -> None:
    """ModelError in offline mode."""
    if is_offline():
        raise _out_of_reach(name, file, address, OSError("offline mode is on, as CLEARSIGHT_OFFLINE is set"))


def _resolve(address: str) -> None:
    """Raise OSError at once where the host has no address; the hub's client would try for a minute."""
    host = urlsplit(address).hostname
    if host and not getproxies():
        socket.getaddrinfo(host, None)


def _out_of_reach(name: str, file: str, address: str, error: Exception) -> ModelError:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
    return ModelError(
        f"the published weights of {name} cannot be downloaded",
        found=f"{type(error).__name__}: {reason}",
        expected=f"the file {file}",
        fix=f"download {address} on a machine with internet access and save it as {cache_folder() / file}, "
        "or train without published weights",
    )


def load_state(network: nn.Module, state: Mapping[str, torch.Tensor], *, name: str, replace_head: bool = False) -> None:
    """Load weights strictly: every tensor of the network from the state, and none left over.

    replace_head: where the last dense layer has another number of classes, leave the network's own, freshly drawn
    one. name: the network's, for messages. Raises ModelError listing the tensors that are missing, unknown or of
    another shape.
    """
    network.load_state_dict(check_fit(network, state, name=name, replace_head=replace_head), strict=False)


def check_fit(
    network: nn.Module, state: Mapping[str, torch.Tensor], *, name: str, replace_head: bool
) -> dict[str, torch.Tensor]:
    """The tensors to load of the state, by name; ModelError as `load_state`. Only shapes are looked at."""
    head = last_dense(network)[0] + "."
    own = network.state_dict()
    given = dict(state)
    if replace_head:
        heads = (head, *AUXILIARY_PREFIXES)
        given = {key: tensor for key, tensor in given.items() if not key.startswith(heads)}
        given |= {key: tensor for key, tensor in own.items() if key.startswith(heads)}
    optional = "num_batches_tracked"  # counters that older files lack
    faults = [f"no tensor {key}" for key in own if key not in given and not key.endswith(optional)]
    faults += [f"an unknown tensor {key}" for key in given if key not in own]
    differing = [key for key in given if key in own and given[key].shape != own[key].shape]
    faults += [f"{key} ({_shape(given[key])} instead of {_shape(own[key])})" for key in differing]
    if not faults:
        return given
    of_head = [key for key in differing if key.startswith(head)]
    raise ModelError(
        f"the weights do not fit {name}",
        found="; ".join(faults[:6]) + (f"; and {len(faults) - 6} more" if len(faults) > 6 else ""),
        expected="a tensor with the same name and shape for each tensor of the network",
        fix="the weights are for a different number of classes; pass replace_head=True to load all weights except "
        "those of the last layer, which keeps its initial weights"
        if len(of_head) == len(faults)
        else "build the network with the options that the weights were trained with",
    )


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
