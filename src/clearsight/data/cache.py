"""The cache: folders that are complete or absent, made at once by several processes or not, and removed to make room.

    CACHE/KIND/KEY/                an entry; KEY is a digest of everything that its content depends on
    CACHE/KIND/CACHEDIR.TAG        marks a cache for backup tools and for the eviction: the folder may be emptied

Two processes that make the same entry write the same bytes: each writes its own temporary folder, and the first rename
wins.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from clearsight.disk import disk_errors
from clearsight.environment import variable
from clearsight.errors import ConfigError, OutputError

Progress = Callable[[int, int], None]
"""Called with (done, total) as work goes on."""

TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# Clearsight cache directory. Its contents are recreated when needed.\n"
)
"""Contents of CACHEDIR.TAG [bford.info/cachedir]."""

ABANDONED = 24 * 3600
"""Seconds after which a half-built entry that nobody has touched was left behind by a process that is no more."""

A = TypeVar("A")
B = TypeVar("B")


def cache_root() -> Path:
    """$CLEARSIGHT_CACHE, or ~/.cache/clearsight."""
    named = variable("CLEARSIGHT_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "clearsight"


def cache_limit() -> int:
    """Bytes the cache may hold before the least recently used entries go: $CLEARSIGHT_CACHE_GB, 20 unless set."""
    text = os.environ.get("CLEARSIGHT_CACHE_GB", "20")
    try:
        limit = float(text)
    except ValueError:
        limit = -1
    if not 0 <= limit < 1e9:
        raise ConfigError("CLEARSIGHT_CACHE_GB is invalid", found=repr(text), expected="a number of gigabytes")
    return int(limit * 1e9)


def threaded(function: Callable[[A], B], items: Iterable[A], workers: int | None = None) -> Iterator[B]:
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


def is_cached(kind: str, key: str) -> bool:
    """Whether an entry is there."""
    return (cache_root() / kind / key).is_dir()


def entry(kind: str, key: str, build: Callable[[Path], None], expected_bytes: int = 0) -> Path:
    """The folder CACHE/kind/key, made by `build(folder)` if it does not exist; complete or absent, never half.

    Safe under concurrent builders: each builds in a folder of its own, and the first to finish wins.
    """
    final = cache_root() / kind / key
    if final.is_dir():
        with contextlib.suppress(OSError):
            os.utime(final)
        return final
    with disk_errors(final.parent, "the cache", "set CLEARSIGHT_CACHE to a writable folder with enough free space"):
        final.parent.mkdir(parents=True, exist_ok=True)
        if not (final.parent / "CACHEDIR.TAG").exists():
            (final.parent / "CACHEDIR.TAG").write_text(TAG)
        _make_room(expected_bytes)
        free = shutil.disk_usage(final.parent).free
        if expected_bytes > free:  # a memory-mapped file that outgrows the disk would kill the process with SIGBUS
            raise OutputError(
                f"not enough disk space for the cache in {final.parent}",
                found=f"{free / 1e9:.2f} GB free",
                expected=f"at least {expected_bytes / 1e9:.2f} GB",
                fix="free some space, or set CLEARSIGHT_CACHE to a folder on another disk",
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


def file_key(path: Path, about: str = "") -> str:
    """Key of an entry made from a file, and from more that is stated; another one when the file is written again."""
    state = path.resolve().stat()
    text = f"{path.resolve()}\n{state.st_size}\n{state.st_mtime_ns}\n{about}"
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Entry:
    """An entry of the cache: its folder, its size in bytes, and when it was used last, in seconds since 1970."""

    folder: Path
    size: int
    used: float


def entries() -> list[Entry]:
    """All entries, those used longest ago first; half-built ones that were left behind are removed.

    Only folders named as `entry` names them, beside our own CACHEDIR.TAG, count: $CLEARSIGHT_CACHE may point anywhere,
    at a home directory too.
    """
    found = []
    for tag in cache_root().glob("*/CACHEDIR.TAG"):
        for folder in tag.parent.iterdir():
            named = re.fullmatch(r"[0-9a-f]{16,64}(\..+\.partial)?", folder.name)
            with contextlib.suppress(OSError, ValueError):  # another process may be removing it
                if not named or folder.is_symlink() or not folder.is_dir():
                    continue
                facts = [f.stat() for f in folder.iterdir()]
                used = folder.stat().st_mtime
                if not named[1]:
                    below = folder / "size"  # bytes of the files in folders of the entry
                    size = int(below.read_text()) if below.is_file() else 0
                    found.append(Entry(folder, size + sum(f.st_size for f in facts), used))
                elif max([used, *(f.st_mtime for f in facts)]) < time.time() - ABANDONED:
                    shutil.rmtree(folder, ignore_errors=True)
    return sorted(found, key=lambda one: one.used)


def prune(limit: int, *, unused_since: float | None = None) -> list[Entry]:
    """Remove the entries used longest ago until the cache holds at most `limit` bytes, and those not used since a time
    in seconds since 1970; which they were.
    """
    every, gone = entries(), []
    total = sum(one.size for one in every)
    for one in every:
        if total > limit or (unused_since is not None and one.used < unused_since):
            discard(one.folder)
            total -= one.size
            gone.append(one)
    return gone


def _make_room(needed: int) -> None:
    """Remove the entries used longest ago until what is needed fits the cache's limit."""
    prune(cache_limit() - needed)


def discard(folder: Path) -> None:
    """Remove an entry; it is gone at once, so that nobody finds it half removed."""
    doomed = folder.with_name(f"{folder.name}.{os.getpid()}-{time.monotonic_ns()}.partial")
    with contextlib.suppress(OSError):
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
