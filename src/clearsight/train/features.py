"""Outputs of a frozen network, computed once for each image by the fastest engine and kept in a store."""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearsight.data.cache import Progress
from clearsight.data.cached_pixels import CachedPixels
from clearsight.data.loader import to_float
from clearsight.data.store import Recipe, Shapes, rows_of
from clearsight.models.base import ModelNetwork
from clearsight.models.execution import BATCH, engine_for, engine_name, settings_of
from clearsight.models.network import AS_IT_IS, VIEWS, Backbone, Probe
from clearsight.ood.pixel_statistics import pixel_statistics
from clearsight.predictor import ModelOutput, Predictor


class Timed:
    """Progress that also measures images per second, of those that were computed and not found in the store.

    Example:
        >>> timed = Timed(lambda done, total: None)
        >>> timed.rate  # all were in the store
        0.0
        >>> timed(64, 100)
        >>> timed.rate > 0
        True
    """

    def __init__(self, progress: Progress) -> None:
        self.progress, self.began = progress, time.perf_counter()
        self.ended, self.images, self.last = self.began, 0, 0

    def __call__(self, done: int, total: int) -> None:
        self.images += done - self.last if done > self.last else done  # or the first of another network
        self.last, self.ended = done, time.perf_counter()
        self.progress(done, total)

    @property
    def rate(self) -> float:
        """Images per second; 0 if none was computed."""
        return self.images / max(1e-9, self.ended - self.began) if self.images else 0.0


def extract(
    probe: Probe,
    pixels: CachedPixels,
    indices: NDArray[np.int64],
    *,
    device: str,
    view: str = "as it is",
    progress: Progress | None = None,
) -> list[NDArray[np.float32]]:
    """Pooled features of some images: one array (len(indices), D_i) per part of the probe, memory-mapped.

    They are the same whatever run asks, so another run on these images and this backbone reads them from the store.
    view: of the images turned round as `models.network.VIEWS` says.
    """
    return outputs(_backbone(probe), _levels(probe), pixels, indices, device=device, view=view, progress=progress)


def model_output(
    predictor: Predictor, pixels: CachedPixels, indices: NDArray[np.int64], progress: Progress | None = None
) -> ModelOutput:
    """What a model makes of some images, as `Predictor.forward` says.

    A head on frozen features finds these in the store, whatever the head is. No other model has the features of a
    network that was trained as a whole: these are not stored.
    """
    network = predictor.network
    if network.feature_levels is None:
        return predictor.forward(pixels.view(indices), progress)
    parts = outputs(_backbone(network), _levels(network), pixels, indices, device=predictor.device, progress=progress)
    logits, features = _finished(network, parts)
    return ModelOutput(logits, features, statistics_of(pixels, indices))


def statistics_of(pixels: CachedPixels, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """Simple statistics of the pixels of some images (len(indices), S), from the store where they are there."""

    def of(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return pixel_statistics(to_float(pixels.array[indices[rows]]).numpy())

    def compute(missing: NDArray[np.int64]) -> Iterator[tuple[tuple[NDArray[Any], ...], str]]:
        for start in range(0, len(missing), BATCH):
            yield from (((row,), "") for row in of(missing[start : start + BATCH]))

    def shapes() -> Shapes:
        return (("statistics", of(np.arange(1)).shape[1:], np.dtype(np.float32)),)

    recipe = Recipe("statistics", f"1 {pixels.array.shape[1:]}", shapes, compute)
    return np.asarray(rows_of(recipe, [pixels.contents[i] for i in indices.tolist()]).arrays["statistics"])


_BACKBONES: WeakKeyDictionary[nn.Module, Backbone] = WeakKeyDictionary()


def _backbone(network: ModelNetwork) -> Backbone:
    """The part of a network that engines run, the same object each time. A head that does not belong to it is left out,
    so that heads on the same features share a converted network.
    """
    levels, known = network.feature_levels, _BACKBONES.get(network)
    if levels is None:
        return Backbone(network)
    if known is None or known.network.spec.get("views") != network.spec.get("views"):
        bare = copy.copy(network)
        bare._modules = {
            name: nn.Identity() if module is levels.head else module for name, module in network._modules.items()
        }
        if "head" in network.spec:  # as a network without a head has it
            bare.spec = {**network.spec, "parts": [len(levels.layers)], "head": None}
        known = _BACKBONES[network] = Backbone(bare)
    return known


def _finished(
    network: ModelNetwork, parts: Sequence[NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits and features of images from the outputs of the backbone, some rows at a time."""
    found = []
    for start in range(0, len(parts[0]), BATCH):
        with torch.inference_mode():
            found.append(network.finish([torch.from_numpy(np.array(part[start : start + BATCH])) for part in parts]))
    return torch.cat([z for z, _ in found]).numpy(), torch.cat([x for _, x in found]).numpy()


def derived_logits(
    predictor: Predictor,
    images: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    shape: tuple[int, ...],
    keys: Sequence[str],
) -> NDArray[np.float32]:
    """Logits of N images that are made of others, those made only that the store lacks.

    images: gives those at some positions (n, C, H, W). shape: (N, C, H, W). keys (N,): name each image, and how it was
    made.
    """
    pixels = CachedPixels(cast(NDArray[Any], _Made(images, shape)), {}, "", digests=tuple(keys))
    network = predictor.network
    parts = outputs(_backbone(network), _levels(network), pixels, np.arange(shape[0]), device=predictor.device)
    return _finished(network, parts)[0]


@dataclass(frozen=True)
class _Made:
    """Images that are made when they are read, as an array (N, C, H, W)."""

    make: Callable[[NDArray[np.int64]], NDArray[np.float32]]
    shape: tuple[int, ...]

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.make(rows)


def _levels(network: ModelNetwork) -> str:
    """What features below a head depend on, beside weights."""
    levels = network.feature_levels
    views = network.spec.get("views", AS_IT_IS) if network.uses_tta else ""
    return str([list(levels.layers) if levels else [], *([list(views)] if views else [])])


def outputs(
    network: nn.Module,
    about: str,
    pixels: CachedPixels,
    indices: NDArray[np.int64],
    *,
    device: str,
    view: str = "as it is",
    progress: Progress | None = None,
) -> list[NDArray[np.float32]]:
    """What a network returns for some images: one array (len(indices), ...) per output, memory-mapped.

    about: what distinguishes it from another network with the same weights.
    """
    shape: Any = pixels.array.shape[1:]
    name = engine_name(network, shape, len(indices), device)

    def shapes() -> Shapes:
        with torch.inference_mode():
            one = network.eval()(to_float(pixels.array[indices[:1]]))
        parts = one if isinstance(one, tuple) else (one,)
        return tuple((f"part{k}", tuple(part.shape[1:]), np.dtype(np.float32)) for k, part in enumerate(parts))

    def compute(missing: NDArray[np.int64]) -> Iterator[tuple[tuple[NDArray[Any], ...], str]]:
        engine, done = engine_for(network, shape, len(indices), device, name), 0
        for parts in engine.stream(_batches(pixels, indices[missing], VIEWS[view])):
            yield from ((row, "") for row in zip(*parts, strict=True))
            done += len(parts[0])
            if progress:
                progress(done, len(missing))

    recipe = Recipe("features", _about(network, f"{shape} {about}", f"{name} {device} {view}"), shapes, compute)
    return list(rows_of(recipe, [pixels.contents[i] for i in indices.tolist()]).arrays.values())


def _batches(pixels: CachedPixels, indices: NDArray[np.int64], turned: tuple[int, ...]) -> Any:
    for i in range(0, len(indices), BATCH):
        batch = to_float(pixels.array[indices[i : i + BATCH]]).numpy()
        yield np.ascontiguousarray(np.flip(batch, turned)) if turned else batch


def _about(network: nn.Module, about: str, how: str) -> str:
    """Names everything but the image that an output depends on."""
    h = hashlib.blake2b(f"4 {how} {BATCH} {about} {settings_of(network)}".encode(), digest_size=16)
    head = _below_head(network)
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:  # the normalisation among them
        if head and name.startswith(head):
            continue
        h.update(name.encode())
        h.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return h.hexdigest()


def _below_head(network: nn.Module) -> str:
    """What the names of the head's weights begin with, where outputs are features below it; "" where they are not."""
    levels = getattr(getattr(network, "network", None), "feature_levels", None)
    if not isinstance(network, Backbone) or levels is None:
        return ""
    return next(f"{name}." for name, module in network.named_modules() if module is levels.head)


class Stacked:
    """Arrays of one shape (N, ...) one behind the other, (K N, ...), read by rows without being copied."""

    def __init__(self, arrays: Sequence[NDArray[np.float32]]) -> None:
        self.arrays, self.each = arrays, len(arrays[0])
        self.shape = (len(arrays) * self.each, *arrays[0].shape[1:])
        self.dtype = arrays[0].dtype

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        out = np.empty((len(rows), *self.shape[1:]), np.float32)
        for k, array in enumerate(self.arrays):
            mine = rows // self.each == k
            out[mine] = array[rows[mine] - k * self.each]
        return out


class Averaged:
    """The mean of arrays of one shape (N, ...), read by rows without being held."""

    def __init__(self, arrays: Sequence[NDArray[np.float32]]) -> None:
        self.arrays = arrays
        self.shape, self.dtype = arrays[0].shape, arrays[0].dtype

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.asarray(np.mean([array[rows] for array in self.arrays], axis=0, dtype=np.float32))
