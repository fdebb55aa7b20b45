"""Outputs of a frozen network, computed once for each image by the fastest engine and kept in a store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clearsight.data.cache import Progress
from clearsight.data.cached_pixels import CachedPixels
from clearsight.data.loader import to_float
from clearsight.data.store import Recipe, Shapes, rows_of
from clearsight.models.execution import BATCH, engine_for, engine_name
from clearsight.models.network import VIEWS, Backbone, Probe


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
    return outputs(Backbone(probe), str(probe.taps), pixels, indices, device=device, view=view, progress=progress)


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
    h = hashlib.blake2b(f"3 {how} {BATCH} {about}".encode(), digest_size=16)
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:  # the normalisation among them
        h.update(name.encode())
        h.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return h.hexdigest()


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
