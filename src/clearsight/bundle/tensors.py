"""Networks and arrays from files that may come from someone else: nothing is allocated before it fits the file.

A spec of a few bytes can describe a network of any size. So the network is first built on PyTorch's meta device,
without memory, with no more modules and tensors than a file of this kind can fill; then names, shapes and types are
compared with the header of the file; and only then is the network built with memory.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from clearsight.errors import BundleError, ClearsightError, ConfigError, ModelError
from clearsight.models.base import ModelNetwork, components
from clearsight.models.initialization import skip_init
from clearsight.models.network import from_spec
from clearsight.models.shape_tracing import no_data
from clearsight.schema import FIX, invalid

MODULES_PER_TENSOR = 30
"""Modules of a network for each tensor in its file at most: some have no tensors, such as activations."""

SPARE = 2000
"""Modules and tensors beyond that."""

TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


class _TooLargeError(Exception):
    pass


@contextmanager
def _at_most(count: int) -> Iterator[None]:
    """Stop the construction of networks in this thread after so many modules and tensors."""
    left, thread = count, threading.get_ident()

    def one(*_: Any) -> None:
        nonlocal left
        if threading.get_ident() == thread:
            left -= 1
            if left < 0:
                raise _TooLargeError

    handles = [
        register_module_module_registration_hook(one),
        register_module_parameter_registration_hook(one),
        register_module_buffer_registration_hook(one),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def load_network(spec: Any, weights: Path, shape: tuple[int, int, int]) -> ModelNetwork:
    """Build the network of a card and fill it with the tensors of its file.

    Args:
        spec: the description of the network.
        weights: the file.
        shape: channels, height and width of the images that the network must accept.

    Returns:
        The network, in evaluation mode.

    Raises:
        BundleError: the network cannot be built, its tensors are not those of the file, or they contain invalid
            numbers.
    """
    header = tensor_header(weights)
    try:
        with _at_most(MODULES_PER_TENSOR * len(header) + SPARE), no_data():
            trial = from_spec(spec).eval()
            _require_same(trial, header, weights)
            if trial.exportable and trial.traceable:
                _require_accepted(trial, shape)
        with skip_init():
            network = from_spec(spec)
    except (ConfigError, ModelError) as error:
        raise BundleError(
            f"{weights.parent} specifies a network that cannot be built: {error.happened}",
            found=error.found, expected=error.expected, fix="train again, or ask the author of the model",
        ) from error  # fmt: skip
    except _TooLargeError as error:
        raise BundleError(
            f"{weights.parent} specifies a network that does not match its weights",
            found="a network with many more layers", expected=f"{len(header):,} tensors, as in {weights.name}",
            fix=FIX,
        ) from error  # fmt: skip
    network.load_state_dict(load_file(str(weights)))
    check_state(network, weights)
    if not (network.exportable and network.traceable):  # works in NumPy, which the meta device does not have
        _require_accepted(network.eval(), shape)
    return network.eval()


def _require_accepted(network: ModelNetwork, shape: tuple[int, int, int]) -> None:
    """BundleError unless the network accepts an image of the card's format and size."""
    try:
        with torch.inference_mode():
            network.with_features(torch.zeros(1, *shape))
    except ClearsightError:
        raise
    except Exception as error:
        if isinstance(error, NotImplementedError) or "meta tensor" in str(error):
            return  # an operation that the meta device does not have says nothing of the network
        invalid("card.json: network", f"{type(error).__name__}: {error}", f"a network for images of shape {shape}")


def tensor_header(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Names, shapes and types of the tensors of a safetensors file.

    Args:
        path: the file.

    Returns:
        Shape and type by name.
    """
    with safe_open(str(path), framework="pt") as file:
        parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no dictionary
        return {name: (tuple(part.get_shape()), part.get_dtype()) for name, part in parts.items()}


def _require_same(network: nn.Module, header: Mapping[str, tuple[tuple[int, ...], str]], path: Path) -> None:
    """BundleError unless a network without data has the tensors of a file."""
    state = network.state_dict()
    if odd := sorted(set(state) ^ set(header)):
        where = path.name if odd[0] in header else "the network"
        raise BundleError(
            f"{path} does not contain the tensors of the network that card.json describes",
            found=f"{len(odd):,} different names, such as {odd[0][:80]!a} in {where} only", fix=FIX,
        )  # fmt: skip
    for name, tensor in state.items():
        shape, kind = header[name]
        if tuple(tensor.shape) != shape or tensor.dtype != TYPES.get(kind):
            raise BundleError(
                f"{path} does not contain the tensors of the network that card.json describes",
                found=f"{name[:80]!a} with shape {shape} and type {kind}",
                expected=f"shape {tuple(tensor.shape)} and type {str(tensor.dtype).removeprefix('torch.')}", fix=FIX,
            )  # fmt: skip


def check_state(network: nn.Module, path: Path) -> None:
    """Require valid numbers in the tensors of a network.

    Args:
        network: the network with its weights.
        path: the file they were read from, for errors.

    Raises:
        BundleError: a number is NaN or infinite, a variance is negative, or a component finds a fault.
    """
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue
        fault = None
        if bool(tensor.isnan().any()):
            fault = "NaN"
        elif bool(tensor.isinf().any()) and not name.endswith(INFINITE):
            fault = "infinite numbers"
        elif name.endswith("running_var") and bool((tensor < 0).any()):
            fault = "negative variances"
        if fault:
            raise _invalid_tensor(path, name, fault)
    for name, component in components(network):
        if fault := component.state_fault():
            raise _invalid_tensor(path, name or "the network", fault)


INFINITE = ("threshold",)
"""Ends of the names of tensors that may contain infinity: thresholds in the leaves of trees."""


def _invalid_tensor(path: Path, name: str, fault: str) -> BundleError:
    return BundleError(f"{path} contains invalid numbers", found=f"{fault} in {name}", fix=FIX)
