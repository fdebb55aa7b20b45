"""Decode once: the pixels of a data set at working size, in one memory-mapped file.

The file's name is a digest of everything its bytes depend on: the content of every image in order, the pixel format,
the geometry and this module's version. So a changed image, order or size means another file, nothing is ever stale,
and two processes that build the same file at once write the same bytes: each writes its own temporary folder and the
first rename wins.

    CACHE/pixels/KEY/pixels.npy    (N, C, H, W) uint8 or uint16
    CACHE/pixels/KEY/failed.json   {"17": "why image 17 could not be decoded"}; its pixels are zeros
    CACHE/pixels/KEY/contents.txt  a digest of the pixels of each image, a line each, once asked for
    CACHE/pixels/CACHEDIR.TAG      marks a cache for backup tools and for the eviction: the folder may be emptied
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from clearsight.data.dataset import Source
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat, digest, quiet_pillow
from clearsight.disk import disk_errors, whole_file
from clearsight.errors import ConfigError, ImageError, OutputError

VERSION = 4
"""Raise when decoding or scaling changes what the same inputs give."""

Progress = Callable[[int, int], None]
"""Called with (done, total) as work goes on."""

DIGEST = 32
"""Characters of a digest."""

TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# A cache of clearsight; its contents are recreated when needed.\n"
"""Contents of CACHEDIR.TAG [bford.info/cachedir]."""

ABANDONED = 24 * 3600
"""Seconds after which a half-built entry that nobody has touched was left behind by a process that is no more."""

A = TypeVar("A")
B = TypeVar("B")


def cache_root() -> Path:
    """$CLEARSIGHT_CACHE, or ~/.cache/clearsight."""
    named = os.environ.get("CLEARSIGHT_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "clearsight"


def cache_limit() -> int:
    """Bytes the cache may hold before the least recently used entries go: $CLEARSIGHT_CACHE_GB, 20 unless set."""
    text = os.environ.get("CLEARSIGHT_CACHE_GB", "20")
    try:
        limit = float(text)
    except ValueError:
        limit = -1
    if not 0 <= limit < 1e9:
        raise ConfigError("CLEARSIGHT_CACHE_GB is not a number", found=repr(text), expected="a number of gigabytes")
    return int(limit * 1e9)


@dataclass(frozen=True)
class CachedPixels:
    """Decoded images (N, C, H, W), read-only and memory-mapped, and what could not be decoded."""

    array: NDArray[Any]
    failed: dict[int, str]
    key: str
    folder: Path | None = None
    skipped: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.array)

    @cached_property
    def contents(self) -> tuple[str, ...]:
        """A digest of the pixels of each image, "" for those that were not decoded."""
        file = self.folder / "contents.txt" if self.folder else None
        if file is not None:
            with contextlib.suppress(OSError, UnicodeDecodeError):
                kept = file.read_text().split("\n")
                if len(kept) == len(self) and all(len(one) in (0, DIGEST) for one in kept):  # not half written
                    return tuple(kept)
        away = self.failed.keys() | self.skipped
        found = tuple("" if i in away else content_digest(self.array[i]) for i in range(len(self)))
        if file is not None:
            with contextlib.suppress(OSError), whole_file(file) as stream:  # without it, they are computed again
                stream.write("\n".join(found).encode())
        return found

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
    workers = workers or min(16, _cpus())
    with ThreadPoolExecutor(workers) as pool:
        remaining = iter(items)
        flight = [pool.submit(function, item) for item in islice(remaining, workers * 8)]
        try:
            while flight:
                done = flight.pop(0)
                for item in islice(remaining, 1):
                    flight.append(pool.submit(function, item))
                yield done.result()
        finally:
            for future in flight:
                future.cancel()


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def content_digest(pixels: NDArray[Any]) -> str:
    """Names the pixels (C, H, W) of an image as a model sees it: 128 bits of BLAKE2b, in hexadecimal."""
    return digest(np.ascontiguousarray(pixels).data)


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
    Raises OutputError when the cache cannot be written, DataError when a file changes while it is being read.
    """
    key = pixel_key(digests, form, geometry)
    shape = (len(source), form.channels, geometry.height, geometry.width)

    def build(folder: Path) -> None:
        failed: dict[int, str] = {}

        def one(i: int) -> NDArray[Any] | str | None:
            if i in skip:
                return None
            try:
                return source.decode(i, form, geometry, digests[i])
            except ImageError as error:
                return str(error)

        out = open_memmap(folder / "pixels.npy", mode="w+", dtype=form.dtype, shape=shape)
        _reserve(folder / "pixels.npy")
        with quiet_pillow():
            for i, pixels in enumerate(threaded(one, range(len(source)))):
                if isinstance(pixels, str):
                    failed[i] = pixels
                elif pixels is not None:
                    out[i] = pixels
                if progress:
                    progress(i + 1, len(source))
        out.flush()
        (folder / "failed.json").write_text(json.dumps({str(i): why for i, why in failed.items()}))

    expected = math.prod(shape) * form.dtype.itemsize
    folder = entry("pixels", key, build, expected)
    try:
        return _load(folder, shape, form, key, skip)
    except (OSError, ValueError):  # emptied by hand, by another process making room, or cut short by a power failure
        _discard(folder)
        return _load(entry("pixels", key, build, expected), shape, form, key, skip)


def _load(folder: Path, shape: tuple[int, ...], form: PixelFormat, key: str, skip: frozenset[int]) -> CachedPixels:
    failed = {int(i): why for i, why in json.loads((folder / "failed.json").read_text()).items()}
    array = np.load(folder / "pixels.npy", mmap_mode="r")
    if array.shape != shape or array.dtype != form.dtype:
        raise ValueError(f"{array.shape}, {array.dtype}")
    return CachedPixels(array, failed, key, folder, skip)


def _reserve(path: Path) -> None:
    """Claim the disk space of a memory-mapped file now: where it runs out later, the kernel kills the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as stream:
            try:
                os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise


def entry(kind: str, key: str, build: Callable[[Path], None], expected_bytes: int = 0) -> Path:
    """The folder CACHE/kind/key, made by `build(folder)` if it does not exist; complete or absent, never half.

    Safe under concurrent builders: each builds in a folder of its own, and the first to finish wins.
    """
    final = cache_root() / kind / key
    if final.is_dir():
        with contextlib.suppress(OSError):
            os.utime(final)
        return final
    with disk_errors(final.parent, "the cache", "set CLEARSIGHT_CACHE to a folder with free space"):
        final.parent.mkdir(parents=True, exist_ok=True)
        if not (final.parent / "CACHEDIR.TAG").exists():
            (final.parent / "CACHEDIR.TAG").write_text(TAG)
        _make_room(expected_bytes)
        free = shutil.disk_usage(final.parent).free
        if expected_bytes > free:  # a memory-mapped file that outgrows the disk would kill the process with SIGBUS
            raise OutputError(
                f"the cache in {final.parent} is full",
                found=f"{free / 1e9:.2f} GB free",
                expected=f"{expected_bytes / 1e9:.2f} GB",
                fix="free some space, or set CLEARSIGHT_CACHE to a folder with free space",
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


def _make_room(needed: int) -> None:
    """Remove the entries used longest ago until what is needed fits the cache's limit, and half-built ones left behind.

    Only folders named as `entry` names them, beside our own CACHEDIR.TAG, are ever removed: $CLEARSIGHT_CACHE may point
    anywhere, at a home directory too.
    """
    limit = cache_limit()
    entries = []
    for tag in cache_root().glob("*/CACHEDIR.TAG"):
        for folder in tag.parent.iterdir():
            found = re.fullmatch(r"[0-9a-f]{16,64}(\..+\.partial)?", folder.name)
            with contextlib.suppress(OSError):  # another process may be removing it
                if not found or folder.is_symlink() or not folder.is_dir():
                    continue
                facts = [f.stat() for f in folder.iterdir()]
                used = folder.stat().st_mtime
                if not found[1]:
                    entries.append((used, sum(f.st_size for f in facts), folder))
                elif max([used, *(f.st_mtime for f in facts)]) < time.time() - ABANDONED:
                    shutil.rmtree(folder, ignore_errors=True)
    total = sum(size for _, size, _ in entries) + needed
    for _, size, folder in sorted(entries):
        if total <= limit:
            break
        _discard(folder)
        total -= size


def _discard(folder: Path) -> None:
    """Remove an entry; it is gone at once, so that nobody finds it half removed."""
    doomed = folder.with_name(f"{folder.name}.{os.getpid()}-{time.monotonic_ns()}.partial")
    with contextlib.suppress(OSError):
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
