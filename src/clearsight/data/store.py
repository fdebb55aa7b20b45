"""Arrays with one row per image, found by the content of the image, each computed once.

A store is a folder of segments that never change. A segment holds the rows of one list of images, in its order, as
plain .npy files, so that they are read as a memory map. Who asks for a list that no segment has gets a new segment:
rows that other segments have are copied, the others are computed. So one new image costs one computation, readers and
writers need no lock, a process that is killed leaves at most a half-built folder that nobody reads, and room is made by
removing the segments that were used longest ago.

    CACHE/KIND/LIST+RECIPE/NAME.npy    (N, ...) an array; LIST is a digest of the images, RECIPE of what is computed
    CACHE/KIND/LIST+RECIPE/rows.json   of each row the image's key, a checksum and a note; in its first line a checksum
    CACHE/KIND/CACHEDIR.TAG            marks a cache for backup tools and for the eviction: the folder may be emptied

Rows are compared with their checksums when a segment is opened. Damaged ones are computed again, the others copied.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from clearsight.data.cache import cache_root, discard, entry, threaded
from clearsight.data.ranks import alone, current, share
from clearsight.disk import reserve
from clearsight.errors import OutputError

DIGEST = 32
"""Characters of a digest."""

ALIGNED = 64
"""The bytes before the data of a .npy file are a multiple of these [NEP 1]."""

RECORD = 100
"""Bytes that the record of a row takes at most, beside long notes."""

COPIED = 256
"""Rows that are copied at once."""

Rows = NDArray[np.int64]
Places = NDArray[np.int64]
Shapes = tuple[tuple[str, tuple[int, ...], np.dtype[Any]], ...]
"""Of each array of a segment its name, the shape of a row, and its type."""

Compute = Callable[[Rows], Iterator[tuple[Sequence[NDArray[Any]] | None, str]]]
"""Gives, for some positions in a list of images, their rows one after the other: an array for each name, or None where
there is none, and a note.
"""


@dataclass(frozen=True)
class Segment:
    """Arrays (N, ...) by name, read-only and memory-mapped, of images by key (N,).

    keys: digests of images; "" for none. sums (N,): checksums of the rows; "" for a row of zeros that could not be
    computed, and is not copied. notes (N,): what was recorded with each row. intact (N,): whether a row has its
    checksum.
    """

    folder: Path
    arrays: dict[str, NDArray[Any]]
    keys: tuple[str, ...]
    sums: tuple[str, ...]
    notes: tuple[str, ...]
    intact: NDArray[np.bool_]

    @property
    def shapes(self) -> Shapes:
        """Of each array."""
        return tuple((name, array.shape[1:], array.dtype) for name, array in self.arrays.items())


@dataclass(frozen=True)
class Recipe:
    """How the rows of a store are computed.

    kind: the store's folder. about: everything that a row depends on, apart from its image. shapes: gives the arrays'
    names, shapes of a row, and types.
    """

    kind: str
    about: str
    shapes: Callable[[], Shapes]
    compute: Compute

    @property
    def digest(self) -> str:
        """Names the recipe."""
        return _digest(self.about)

    def key(self, images: Sequence[str]) -> str:
        """Name of the segment with these images in this order."""
        return _digest("\n".join([str(len(images)), *images])) + self.digest


def rows_of(recipe: Recipe, images: Sequence[str]) -> Segment:
    """The rows of images by key, from the store or computed now, with the damaged ones among them computed again.

    Several processes compute a share each, and the first copies the shares together.

    Raises OutputError when the cache cannot be written, and what `recipe.compute` raises.
    """
    ranks = current()
    if ranks.size == 1:
        return _rows_of(recipe, images)
    with alone():
        if any(ranks.gather(not _complete(recipe, images))):
            own = share(len(images), ranks.rank, ranks.size)
            part = _share_of(recipe, own)
            mine = [images[i] for i in own.tolist()]
            folder = cache_root() / recipe.kind / part.key(mine)
            new = len(own) > 0 and not folder.is_dir()
            if len(own):
                _rows_of(part, mine)
            ranks.gather(None)
            if ranks.rank == 0:
                _rows_of(recipe, images)
            ranks.gather(None)
            if new and mine != list(images):
                discard(folder)
        return _rows_of(recipe, images)


def _complete(recipe: Recipe, images: Sequence[str]) -> bool:
    """Whether the store has the rows of a list of images in one segment."""
    found = _opened(cache_root() / recipe.kind / recipe.key(images))
    return found is not None and found.keys == tuple(images) and bool(found.intact.all())


def _share_of(recipe: Recipe, own: Rows) -> Recipe:
    """The recipe for some of the images: positions among these are positions in the whole list."""
    return replace(recipe, compute=lambda missing: recipe.compute(own[missing]))


def _rows_of(recipe: Recipe, images: Sequence[str]) -> Segment:
    """As `rows_of`, by this process."""
    key = recipe.key(images)
    final = cache_root() / recipe.kind / key
    found = _opened(final)
    if found is not None and found.keys == tuple(images) and found.intact.all():
        return _used(found)
    donors = [found] if found is not None else []
    if found is not None or final.is_dir():
        discard(final)
    donors += [s for path in _others(final.parent, recipe.digest) if (s := _opened(path, images)) is not None]
    places = _sources(donors, images)
    missing = np.flatnonzero(places[0] < 0)
    shapes = donors[0].shapes if donors else recipe.shapes()
    size = len(images) * (RECORD + sum(math.prod(shape) * dtype.itemsize for _, shape, dtype in shapes))

    def build(folder: Path) -> None:
        arrays = {name: _new(folder / f"{name}.npy", (len(images), *shape), dtype) for name, shape, dtype in shapes}
        sums, notes = _copy(arrays, donors, places)
        for i, (row, note) in zip(missing.tolist(), recipe.compute(missing) if len(missing) else (), strict=True):
            notes[i] = note
            if row is not None:
                for array, values in zip(arrays.values(), row, strict=True):
                    array[i] = values
                sums[i] = _checksum(arrays, images[i], i)
        for array in arrays.values():
            array.flush()
        kinds = [(name, shape, dtype.str) for name, shape, dtype in shapes]
        record = {"arrays": kinds, "images": list(images), "sums": sums, "notes": notes}
        text = json.dumps(record).encode()
        (folder / "rows.json").write_bytes(xxhash.xxh3_64_hexdigest(text).encode() + b"\n" + text)

    for _ in range(2):  # another process may make room, and remove what was just built
        made = _opened(entry(recipe.kind, key, build, size))
        if made is not None and made.keys == tuple(images) and made.intact.all():
            return made
    raise OutputError(
        f"the cache in {final.parent} was modified while in use, or is damaged and read-only",
        found=f"that {final.name} is missing or damaged right after it was written",
        fix="increase CLEARSIGHT_CACHE_GB, or set CLEARSIGHT_CACHE to a folder that no other process uses",
    )


def _used(segment: Segment) -> Segment:
    """Note that the segment was used now, by which room is made."""
    with contextlib.suppress(OSError):
        os.utime(segment.folder)
    return segment


def _others(home: Path, recipe: str) -> list[Path]:
    """Folders of the segments of a recipe, those used last first."""
    found = []
    with contextlib.suppress(OSError):
        for path in home.glob(f"{'?' * DIGEST}{recipe}"):
            with contextlib.suppress(OSError):  # another process may be removing it
                found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found, reverse=True)]


def _opened(folder: Path, wanted: Sequence[str] | None = None) -> Segment | None:
    """A segment, None where it is missing or damaged as a whole. wanted: keys of the rows to compare with their
    checksums, the others count as damaged; None for all.
    """
    try:
        first, rest = (folder / "rows.json").read_bytes().split(b"\n", 1)
        if first.decode() != xxhash.xxh3_64_hexdigest(rest):
            return None
        record = json.loads(rest)
        keys, sums = record["images"], record["sums"]
        arrays = {
            name: _mapped(folder / f"{name}.npy", (len(keys), *shape), np.dtype(kind))
            for name, shape, kind in record["arrays"]
        }
    except (OSError, ValueError):  # emptied by hand, by a process that makes room, or cut short by a power failure
        return None
    some = set(keys if wanted is None else wanted)
    intact = np.fromiter(_compared(arrays, keys, sums, some), bool, len(keys))
    return Segment(folder, arrays, tuple(keys), tuple(sums), tuple(record["notes"]), intact)


def _mapped(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The array at the end of a .npy file, whose header is not read: it may be damaged. ValueError if it is short."""
    header = path.stat().st_size - math.prod(shape) * dtype.itemsize
    if header <= 0 or header % ALIGNED:
        raise ValueError(header)
    return np.memmap(path, dtype, "r", header, shape)


def _compared(
    arrays: Mapping[str, NDArray[Any]], keys: Sequence[str], sums: Sequence[str], wanted: Container[str]
) -> Iterator[bool]:
    """Whether each row is wanted and has its checksum."""

    def right(rows: range) -> list[bool]:
        return [keys[i] in wanted and (not sums[i] or _checksum(arrays, keys[i], i) == sums[i]) for i in rows]

    parts = [range(i, min(i + COPIED, len(keys))) for i in range(0, len(keys), COPIED)]
    for found in threaded(right, parts):
        yield from found


def _checksum(arrays: Mapping[str, NDArray[Any]], key: str, row: int) -> str:
    """Of a row and its image: one that lies in another's place is damaged too."""
    found = xxhash.xxh3_64(key.encode())
    for array in arrays.values():
        found.update(np.ascontiguousarray(array[row]).data)
    return found.hexdigest()


def _sources(donors: Sequence[Segment], images: Sequence[str]) -> Places:
    """The donor and row (2, N) that have the row of each image, -1 for those to be computed."""
    found = np.full((2, len(images)), -1)
    places: dict[str, tuple[int, int]] = {}
    for number, donor in enumerate(donors):
        if donor.shapes == donors[0].shapes:
            for row in np.flatnonzero(donor.intact & (np.array(donor.sums) != "")).tolist():
                places.setdefault(donor.keys[row], (number, row))
    for i, image in enumerate(images):
        if image and image in places:
            found[:, i] = places[image]
    return found


def _copy(arrays: Mapping[str, NDArray[Any]], donors: Sequence[Segment], places: Places) -> tuple[list[str], list[str]]:
    """Copy what donors have; the checksums and notes of all rows."""
    n = places.shape[1]
    sums, notes = [""] * n, [""] * n
    for number, donor in enumerate(donors):
        mine = np.flatnonzero(places[0] == number)
        for some in np.array_split(mine, max(1, len(mine) // COPIED)):
            rows = places[1, some]
            for name, array in arrays.items():
                array[some] = donor.arrays[name][rows]
            for i, row in zip(some.tolist(), rows.tolist(), strict=True):
                sums[i], notes[i] = donor.sums[row], donor.notes[row]
    return sums, notes


def _new(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.memmap[Any, Any]:
    """A memory-mapped file whose space is claimed now: where the disk fills up later, the kernel ends the process."""
    array = open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    reserve(path)
    return array


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=DIGEST // 2).hexdigest()
