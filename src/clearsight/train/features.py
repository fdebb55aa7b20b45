"""Outputs of a frozen network, computed once by the fastest engine and kept memory-mapped in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch import nn

from clearsight.data.cache import CachedPixels, Progress, entry
from clearsight.data.loader import to_float
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

    They are the same whatever run asks, so a second run on the same images and backbone reads them from the cache.
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
    key = _key(network, about, pixels.key, indices, f"{name} {device} {view}")

    def build(folder: Path) -> None:
        engine = engine_for(network, shape, len(indices), device, name)
        out: list[Any] = []
        done = 0
        for parts in engine.stream(_batches(pixels, indices, VIEWS[view])):
            for k, part in enumerate(parts):
                if len(out) == k:
                    path = folder / f"part{k}.npy"
                    out.append(open_memmap(path, "w+", np.dtype(np.float32), (len(indices), *part.shape[1:])))
                out[k][done : done + len(part)] = part
            done += len(parts[0])
            if progress:
                progress(done, len(indices))
        for array in out:
            array.flush()

    with torch.inference_mode():
        one = network.eval()(to_float(pixels.array[indices[:1]]))
    floats = sum(o[0].numel() for o in (one if isinstance(one, tuple) else (one,)))
    folder = entry("features", key, build, expected_bytes=len(indices) * floats * 4)
    files = sorted(folder.glob("part*.npy"), key=lambda p: int(p.stem.removeprefix("part")))
    return [np.load(path, mmap_mode="r") for path in files]


def _batches(pixels: CachedPixels, indices: NDArray[np.int64], turned: tuple[int, ...]) -> Any:
    for i in range(0, len(indices), BATCH):
        batch = to_float(pixels.array[indices[i : i + BATCH]]).numpy()
        yield np.ascontiguousarray(np.flip(batch, turned)) if turned else batch


def _key(network: nn.Module, about: str, pixel_key: str, indices: NDArray[np.int64], how: str) -> str:
    h = hashlib.blake2b(f"2 {pixel_key} {how} {BATCH} {about}".encode(), digest_size=16)
    h.update(indices.tobytes())
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
