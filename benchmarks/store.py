"""Reading 20,000 images of 224x224 pixels from the store, against one memory-mapped file of the same pixels and LMDB.

An epoch reads all images in random order, in batches of 64, as float32, as training does. The first epoch of the store
includes opening it, which compares every row with its checksum. All files lie in the page cache of the kernel where
memory allows. LMDB is left out where it is not installed. Also: what is computed when one image is added, and the time
that takes, against writing all.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from benchmarks.harness import PeakMemory, fresh_cache, spread

IMAGES, SHAPE, BATCH = 20_000, (3, 224, 224), 64
SIZES = 2_000, 60_000
Reader = Callable[[NDArray[np.int64]], NDArray[np.uint8]]


def measure(images: int = IMAGES, repeats: int = 3) -> dict[str, Any]:
    from clearsight.data.store import Recipe, rows_of

    names = [f"{i:032x}" for i in range(images + 1)]
    computed: list[int] = []

    def compute(missing: NDArray[np.int64]) -> Iterator[tuple[tuple[NDArray[np.uint8]], str]]:
        for i in missing.tolist():
            computed.append(i)
            yield (_image(i),), ""

    recipe = Recipe("pixels", "benchmark", lambda: (("pixels", SHAPE, np.dtype(np.uint8)),), compute)

    def stored() -> Reader:
        array = rows_of(recipe, names[:images]).arrays["pixels"]
        return lambda rows: array[rows]

    with fresh_cache(), tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        stored()
        written = time.perf_counter() - began
        path = Path(folder) / "pixels.npy"
        array = open_memmap(path, "w+", np.uint8, (images, *SHAPE))
        for i in range(images):
            array[i] = _image(i)
        array.flush()
        del array

        def mapped() -> Reader:
            array = np.load(path, mmap_mode="r")
            return lambda rows: array[rows]

        readers = {"memory map": mapped, "store": stored, **_lmdb(Path(folder), images)}
        seconds = {name: ([], []) for name in readers}
        for repeat in range(repeats + 1):  # the first is warm-up
            for name, opened in readers.items():
                found = _epochs(opened, images)
                if repeat:
                    for kept, value in zip(seconds[name], found, strict=True):
                        kept.append(value)
        computed.clear()
        began = time.perf_counter()
        rows_of(recipe, names)
        added = time.perf_counter() - began
    base = seconds["memory map"]
    ratios = {
        name: {
            epoch: spread([a / b for a, b in zip(own[k], base[k], strict=True)])
            for k, epoch in enumerate(("first epoch", "second epoch"))
        }
        for name, own in seconds.items()
        if name != "memory map"
    }
    peaks = {str(n): _peak_of(n) for n in SIZES}
    return {
        "images": images,
        "seconds of an epoch, memory map": spread(base[1]),
        "relative to the memory map": ratios,
        "one new image": {"computed": len(computed), "seconds": added, "seconds of writing all": written},
        "anonymous memory of an epoch in bytes": {**peaks, "growth": peaks[str(SIZES[1])] / peaks[str(SIZES[0])]},
    }


def _peak_of(images: int) -> int:
    """Peak anonymous memory in bytes of a process that reads an epoch of images in the store."""
    with fresh_cache():
        found = 0
        for _ in range(2):  # the first writes them
            command = [sys.executable, "-m", "benchmarks.store", str(images)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr[-2000:])
            found = json.loads(done.stdout)
    return found


def _read_small(images: int) -> int:
    from clearsight.data.store import Recipe, rows_of

    shape = (3, 32, 32)

    def compute(missing: NDArray[np.int64]) -> Iterator[tuple[tuple[NDArray[np.uint8]], str]]:
        for i in missing.tolist():
            yield (np.full(shape, i % 256, np.uint8),), ""

    recipe = Recipe("pixels", "small", lambda: (("pixels", shape, np.dtype(np.uint8)),), compute)
    with PeakMemory() as memory:
        array = rows_of(recipe, [f"{i:032x}" for i in range(images)]).arrays["pixels"]
        _epochs(lambda: lambda rows: array[rows], images)
    return memory.peak


def _epochs(opened: Callable[[], Reader], images: int) -> tuple[float, float]:
    """Seconds of the first epoch with opening, and of the second."""
    from clearsight.data.loader import to_float

    found = []
    began = time.perf_counter()
    read = opened()
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(images)
        for i in range(0, images, BATCH):
            to_float(read(np.sort(order[i : i + BATCH])))
        found.append(time.perf_counter() - began)
        began = time.perf_counter()
    return found[0], found[1]


def _image(i: int) -> NDArray[np.uint8]:
    return np.random.default_rng(i % 64).integers(0, 256, SHAPE, np.uint8)


def _lmdb(folder: Path, images: int) -> dict[str, Callable[[], Reader]]:
    """A key and a value for each image."""
    try:
        import lmdb
    except ImportError:
        return {}

    def environment() -> Any:
        return lmdb.open(str(folder / "lmdb"), map_size=2 * images * int(np.prod(SHAPE)) + 2**26)

    with environment() as made:
        for start in range(0, images, 512):
            with made.begin(write=True) as transaction:
                for i in range(start, min(start + 512, images)):
                    transaction.put(b"%08d" % i, _image(i).tobytes())

    def opened() -> Reader:
        transaction = environment().begin(buffers=True)

        def read(rows: NDArray[np.int64]) -> NDArray[np.uint8]:
            out = np.empty((len(rows), *SHAPE), np.uint8)
            for k, i in enumerate(rows.tolist()):
                out[k] = np.frombuffer(transaction.get(b"%08d" % i), np.uint8).reshape(SHAPE)
            return out

        return read

    return {"LMDB": opened}


if __name__ == "__main__":
    print(_read_small(int(sys.argv[1])))
