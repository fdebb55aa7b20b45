"""Decode once: the pixels of a data set at working size, in one memory-mapped file.

The file's name is a digest of everything its bytes depend on: the content of every image in order, the pixel format,
the geometry and this module's version. So a changed image, order or size means another file, nothing is ever stale,
and two
processes that build the same file at once write the same bytes: each writes its own temporary folder and the first
rename wins.

    CACHE/pixels/KEY/pixels.npy    (N, C, H, W) uint8 or uint16
    CACHE/pixels/KEY/failed.json   {"17": "why image 17 could not be decoded"}; its pixels are zeros
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from clearsight.data.dataset import Source
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.errors import ImageError, OutputError

VERSION = 1
"""Raise when decoding or scaling changes what the same inputs give."""

Progress = Callable[[int, int], None]
"""Called with (done, total) as work goes on."""

A = TypeVar("A")
B = TypeVar("B")


def cache_root() -> Path:
    """$CLEARSIGHT_CACHE, or ~/.cache/clearsight."""
    return Path(os.environ.get("CLEARSIGHT_CACHE", Path.home() / ".cache" / "clearsight"))


def cache_limit() -> int:
    """Bytes the cache may hold before the least recently used entries go: $CLEARSIGHT_CACHE_GB, 20 unless set."""
    return int(float(os.environ.get("CLEARSIGHT_CACHE_GB", "20")) * 1e9)


@dataclass(frozen=True)
class CachedPixels:
    """Decoded images (N, C, H, W), read-only and memory-mapped, and what could not be decoded."""

    array: NDArray[Any]
    failed: dict[int, str]
    key: str

    def __len__(self) -> int:
        return len(self.array)

    def view(self, indices: NDArray[np.int64]) -> PixelView:
        """Some of the images, still on disk."""
        return PixelView(self.array, indices)


@dataclass(frozen=True)
class PixelView:
    """Images of a larger array by index; only the batch asked for is read."""

    array: NDArray[Any]
    indices: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, some: slice) -> NDArray[Any]:
        return self.array[self.indices[some]]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.indices), *self.array.shape[1:])


def threaded(function: Callable[[A], B], items: Sequence[A], workers: int | None = None) -> Iterator[B]:
    """`map` over threads, in order, with a bounded number of results in flight (decoding releases the GIL)."""
    workers = workers or min(16, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        waiting = iter(items)
        flight = [pool.submit(function, item) for item in islice(waiting, workers * 8)]
        try:
            while flight:
                done = flight.pop(0)
                for item in islice(waiting, 1):
                    flight.append(pool.submit(function, item))
                yield done.result()
        finally:
            for future in flight:
                future.cancel()


def pixel_key(digests: Sequence[str], form: PixelFormat, geometry: Geometry) -> str:
    """Name of the cache entry that holds these contents in this order, form and geometry."""
    recipe = {"version": VERSION, "form": form.to_dict(), "geometry": geometry.to_dict(), "n": len(digests)}
    h = hashlib.blake2b(json.dumps(recipe, sort_keys=True).encode(), digest_size=16)
    for d in digests:
        h.update(d.encode() + b"\n")
    return h.hexdigest()


def cached_pixels(
    source: Source,
    digests: Sequence[str],
    form: PixelFormat,
    geometry: Geometry,
    *,
    skip: frozenset[int] = frozenset(),
    progress: Progress | None = None,
) -> CachedPixels:
    """The pixels of every image of the source, from the cache or decoded now.

    digests: content digest per image, "" for those in `skip`, which are known not to decode.
    Raises OutputError when the cache cannot be written.
    """
    key = pixel_key(digests, form, geometry)

    def build(folder: Path) -> None:
        shape = (len(source), form.channels, geometry.height, geometry.width)
        failed: dict[int, str] = {}

        def one(i: int) -> NDArray[Any] | str | None:
            if i in skip:
                return None
            try:
                return source.decode(i, form, geometry)
            except ImageError as error:
                return str(error)

        out = open_memmap(folder / "pixels.npy", mode="w+", dtype=form.dtype, shape=shape)
        for i, pixels in enumerate(threaded(one, range(len(source)))):
            if isinstance(pixels, str):
                failed[i] = pixels
            elif pixels is not None:
                out[i] = pixels
            if progress:
                progress(i + 1, len(source))
        out.flush()
        (folder / "failed.json").write_text(json.dumps({str(i): why for i, why in failed.items()}))

    expected = int(np.prod((len(source), form.channels, geometry.height, geometry.width))) * form.dtype.itemsize
    folder = entry("pixels", key, build, expected)
    failed = {int(i): why for i, why in json.loads((folder / "failed.json").read_text()).items()}
    return CachedPixels(np.load(folder / "pixels.npy", mmap_mode="r"), failed, key)


def entry(kind: str, key: str, build: Callable[[Path], None], expected_bytes: int = 0) -> Path:
    """The folder CACHE/kind/key, made by `build(folder)` if it is not there; complete or absent, never half.

    Safe under concurrent builders: each builds in a folder of its own, and the first to finish wins.
    """
    final = cache_root() / kind / key
    if final.is_dir():
        with contextlib.suppress(OSError):
            os.utime(final)
        return final
    with disk_errors(final.parent, "the cache", "set CLEARSIGHT_CACHE to a folder with room"):
        final.parent.mkdir(parents=True, exist_ok=True)
        _make_room(expected_bytes)
        free = shutil.disk_usage(final.parent).free
        if expected_bytes > free:  # a memory-mapped file that outgrows the disk would kill the process with SIGBUS
            raise OutputError(
                f"the cache in {final.parent} has no room",
                found=f"{free / 1e9:.2f} GB free",
                expected=f"{expected_bytes / 1e9:.2f} GB",
                fix="free some space, or set CLEARSIGHT_CACHE to a folder with room",
            )
        temporary = Path(tempfile.mkdtemp(prefix=f"{key}.", suffix=".partial", dir=final.parent))
        try:
            build(temporary)
            try:
                temporary.rename(final)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY) or not final.is_dir():
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return final


@contextlib.contextmanager
def disk_errors(where: Path, what: str, fix: str) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk into one clear OutputError."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if error.errno is None:  # no fault of the disk: libraries derive other errors from OSError too
            raise
        reasons = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}
        found = reasons.get(error.errno, error.strerror or str(error))
        raise OutputError(f"{what} cannot be written to {where}", found=found, fix=fix) from error


def _make_room(needed: int) -> None:
    """Remove the entries used longest ago until what is needed fits the cache's limit."""
    entries = []
    for folder in cache_root().glob("*/*"):
        with contextlib.suppress(OSError):
            if folder.is_dir() and not folder.name.endswith(".partial"):
                size = sum(f.stat().st_size for f in folder.iterdir())
                entries.append((folder.stat().st_mtime, size, folder))
    total = sum(size for _, size, _ in entries) + needed
    for _, size, folder in sorted(entries):
        if total <= cache_limit():
            break
        shutil.rmtree(folder, ignore_errors=True)
        total -= size
