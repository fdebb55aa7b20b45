"""Features of a frozen backbone, computed once by the fastest engine and kept memory-mapped in the cache."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from clearsight.data.cache import CachedPixels, Progress, entry
from clearsight.data.loader import to_float
from clearsight.engines import BATCH, engine_for
from clearsight.models.network import Backbone, Probe


def extract(
    probe: Probe,
    pixels: CachedPixels,
    indices: NDArray[np.int64],
    *,
    device: str,
    progress: Progress | None = None,
) -> list[NDArray[np.float32]]:
    """Pooled features of some images: one array (len(indices), D_i) per part of the probe, memory-mapped.

    They are the same whatever run asks, so a second run on the same images and backbone reads them from the cache.
    """
    network = Backbone(probe)
    shape: Any = pixels.array.shape[1:]
    engine = engine_for(network, shape, len(indices), device)
    key = _key(probe, pixels.key, indices, type(engine).__name__, device)

    def build(folder: Path) -> None:
        batches = (to_float(pixels.array[indices[i : i + BATCH]]).numpy() for i in range(0, len(indices), BATCH))
        out: list[Any] = []
        done = 0
        for parts in engine.stream(batches):
            for k, part in enumerate(parts):
                if len(out) == k:
                    path = folder / f"part{k}.npy"
                    out.append(open_memmap(path, "w+", np.dtype(np.float32), (len(indices), part.shape[1])))
                out[k][done : done + len(part)] = part
            done += len(parts[0])
            if progress:
                progress(done, len(indices))
        for array in out:
            array.flush()

    widths = 16384  # floats per image, generous: what the entry may need is asked for before it is begun
    folder = entry("features", key, build, expected_bytes=len(indices) * widths * 4)
    files = sorted(folder.glob("part*.npy"), key=lambda p: int(p.stem.removeprefix("part")))
    return [np.load(path, mmap_mode="r") for path in files]


def _key(probe: Probe, pixel_key: str, indices: NDArray[np.int64], engine: str, device: str) -> str:
    h = hashlib.blake2b(f"1 {pixel_key} {engine} {device} {BATCH} {probe.taps}".encode(), digest_size=16)
    h.update(indices.tobytes())
    h.update(probe.spec["name"].encode() + repr(sorted(probe.spec["input"].items())).encode())
    for tensor in probe.backbone.state_dict().values():
        h.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return h.hexdigest()
