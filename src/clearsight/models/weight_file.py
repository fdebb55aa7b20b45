"""Weights of a network from a file on this machine: safetensors, or a PyTorch state dict. Nothing else is unpickled.

    facts = FileWeights.of("dinov2.safetensors", "timm/vit_small_patch14_dinov2.lvd142m")
    facts.fill(backbone, name)

Tensors may have the names of the network itself or those under which its authors published it, as far as timm knows
these. A last layer is left out, whatever its number of classes.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from clearsight.errors import ModelError
from clearsight.models.gateway import PREFIX, timm_name
from clearsight.models.published import Weights
from clearsight.models.registry import ENTRIES

WRAPPERS = ("state_dict", "model", "teacher", "state_dict_ema", "model_ema")
"""Entries of a checkpoint that hold the tensors, if these are not at the top."""


class FileWeights(Weights):
    """Weights in a file. weights: its path."""

    library = "file"

    @classmethod
    def of(cls, path: str, name: str) -> FileWeights:
        """The file with what is known of pixels for a network of this name.

        Args:
            path: the file.
            name: name of the network.

        Returns:
            The weights, not read yet.

        Raises:
            ModelError: there is no such file, or no such network.
        """
        if not Path(path).expanduser().is_file():
            raise ModelError(
                "the file of weights does not exist", found=path, expected="a .safetensors file or a PyTorch state dict"
            )
        if not name.startswith(PREFIX):
            known = ENTRIES[name].weights if name in ENTRIES else None
            return cls(path) if known is None else cls(path, known.img_size, known.mean, known.std)
        import timm

        cfg = timm.get_pretrained_cfg(timm_name(name))
        return cls(path, int(cfg.input_size[-1]), tuple(cfg.mean), tuple(cfg.std))

    @property
    def licence(self) -> str:
        return ""

    @property
    def is_cached(self) -> bool:
        return True

    def fetch(self, name: str) -> dict[str, torch.Tensor]:
        return read_tensors(Path(self.weights).expanduser())

    def fill(self, backbone: nn.Module, name: str) -> None:
        """Load the tensors of a network without its last layer; others of the file are left out.

        Args:
            backbone: the network; it is changed in place.
            name: name of the network, for messages.

        Raises:
            ModelError: the file cannot be read, lacks tensors, or has some of another shape.
        """
        state = _renamed(self.fetch(name), backbone)
        own = backbone.state_dict()
        state = {key: fitted(tensor, own[key]) if key in own else tensor for key, tensor in state.items()}
        optional = "num_batches_tracked"
        missing = [key for key in own if key not in state and not key.endswith(optional)]
        differing = [
            f"{key} ({_shape(state[key])} instead of {_shape(own[key])})"
            for key in own
            if key in state and state[key].shape != own[key].shape
        ]
        faults = [f"no tensor {key}" for key in missing] + differing
        if faults:
            raise ModelError(
                f"the weights in {self.weights} do not fit {name}",
                found="; ".join(faults[:4]) + (f"; and {len(faults) - 4} more" if len(faults) > 4 else ""),
                expected=f"the {len(own)} tensors of the network",
                fix="name the network that the file belongs to with --model, such as --model timm/NAME",
            )
        backbone.load_state_dict({key: state[key] for key in own if key in state}, strict=False)


def fitted(published: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """A tensor of pretrained weights; for a first convolution of another number of channels, as many filters."""
    if published.shape == own.shape or published.ndim != 4 or published.shape[1] != 3:
        return published
    from timm.models import adapt_input_conv

    return torch.as_tensor(adapt_input_conv(own.shape[1], published))


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file by name.

    Args:
        path: a .safetensors file, or a state dict saved by `torch.save`, on its own or in a checkpoint.

    Returns:
        Tensors by name, on the CPU.

    Raises:
        ModelError: the file is neither, or contains Python objects.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path} cannot be read as weights",
            found=(str(error).splitlines() or [type(error).__name__])[0][:160],
            expected="a .safetensors file, or a state dict of tensors saved with torch.save",
            fix="save the weights with safetensors.torch.save_file; files that contain Python objects are not opened",
        ) from error
    inner = next((found[key] for key in WRAPPERS if isinstance(found, Mapping) and key in found), found)
    if not isinstance(inner, Mapping) or not all(isinstance(tensor, torch.Tensor) for tensor in inner.values()):
        raise ModelError(
            f"{path} is not a state dict", found=type(inner).__name__, expected="tensors by name, or a checkpoint with "
            f"them under one of {', '.join(WRAPPERS)}",
        )  # fmt: skip
    return {str(key).removeprefix("module."): tensor for key, tensor in inner.items()}


def _renamed(state: dict[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors under the network's names, where timm's module of the network can translate those of its authors."""
    own = network.state_dict()
    if all(key in state and state[key].shape == tensor.shape for key, tensor in own.items()):
        return state
    translate = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if translate is None:
        return state
    try:
        return dict(translate(state, network))
    except (KeyError, RuntimeError, AttributeError, AssertionError, IndexError, ValueError):
        return state  # the names of neither: the comparison says which tensors are missing


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
