"""Files of Faiss, checked before Faiss reads them: an index may come from someone else.

Faiss's own reader trusts a file: it opens paths named in it (inverted lists on disk), maps files into memory, allocates
whatever sizes are stated, and knows a hundred kinds of index. Here a file is walked through first, and only the two
kinds that `index.build_faiss` makes are accepted, with every size as the index's card and the file's length have it:

    exact   IxFI  vectors
    ivfpq   IxPT  one linear transform (LTra), then IwPQ: quantizer IxFI, product quantizer, lists in the file (ilar)

Numbers are little-endian, as Faiss writes them on all platforms it is built for.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from clearsight.errors import BundleError

INNER_PRODUCT = 0
"""Faiss's number of the metric."""


class _Walk:
    """Reads a file's fields in order; ValueError where the file ends before they do."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def skip(self, count: int) -> None:
        if not 0 <= count <= len(self.content) - self.at:
            raise ValueError(f"a file that is {count - (len(self.content) - self.at):,} bytes too short")
        self.at += count

    def take(self, form: str) -> tuple[Any, ...]:
        start = self.at
        self.skip(struct.calcsize("<" + form))
        return struct.unpack_from("<" + form, self.content, start)

    def number(self, form: str) -> int:
        return int(self.take(form)[0])

    def code(self, expected: str, what: str) -> None:
        """Four characters that name a kind."""
        found = self.take("4s")[0]
        if found != expected.encode():
            raise ValueError(f"{what} of kind {found.decode('latin-1')!r} instead of {expected!r}")

    def equal(self, form: str, expected: int, what: str) -> None:
        if (found := self.number(form)) != expected:
            raise ValueError(f"{what} of {found:,} instead of {expected:,}")

    def numbers(self, dtype: str, expected: int, what: str) -> np.ndarray[Any, Any]:
        """A vector, its length before it."""
        self.equal("Q", expected, what)
        return self.plain(dtype, expected)

    def plain(self, dtype: str, count: int) -> np.ndarray[Any, Any]:
        start, kind = self.at, np.dtype(dtype)
        self.skip(count * kind.itemsize)
        return np.frombuffer(self.content, kind, count, start)

    def header(self, kind: str, width: int, count: int) -> None:
        """What every index begins with."""
        self.code(kind, "an index")
        self.equal("i", width, "a vector dimension")
        self.equal("q", count, "a vector count")
        self.skip(16)  # two fields Faiss no longer uses
        self.equal("B", 1, "a training flag")
        self.equal("i", INNER_PRODUCT, "a metric number")

    def flat(self, width: int, count: int) -> None:
        self.header("IxFI", width, count)
        finite(self.numbers("<f4", width * count, "a value count"))


def finite(values: np.ndarray[Any, Any]) -> None:
    """ValueError for NaN and infinite numbers."""
    if not np.isfinite(values).all():
        raise ValueError("numbers that are NaN or infinite")


def read_faiss(content: bytes, kind: str, width: int, count: int) -> Any:
    """The index of a file's content; BundleError unless it is one of so many vectors as `build_faiss` makes it.

    kind: "exact" or "ivfpq". width, count: length and number of the vectors.
    """
    walk = _Walk(content)
    try:
        if kind == "exact":
            walk.flat(width, count)
        elif kind == "ivfpq":
            _walk_ivfpq(walk, width, count)
        else:
            raise ValueError(f"an index of unknown kind {kind!r}")
        if walk.at != len(content):
            raise ValueError(f"{len(content) - walk.at:,} extra bytes")
    except (ValueError, OverflowError) as error:
        raise BundleError(
            "index.faiss is damaged, or was not written by Clearsight",
            found=str(error)[:160],
            fix="build the index again: `clearsight index RUN`",
        ) from error
    import faiss

    return faiss.deserialize_index(np.frombuffer(content, np.uint8))  # from memory: nothing is opened or mapped


def _walk_ivfpq(walk: _Walk, width: int, count: int) -> None:
    walk.header("IxPT", width, count)
    walk.equal("i", 1, "a transform count")
    walk.code("LTra", "a transform")
    biased = walk.number("B")
    numbers = walk.number("Q")
    reduced = numbers // width
    if not 1 <= reduced <= width or biased > 1:
        raise ValueError(f"a transform with {numbers:,} values")
    finite(walk.plain("<f4", numbers))
    finite(walk.numbers("<f4", reduced if biased else 0, "an offset count"))
    walk.equal("i", width, "a transform input dimension")
    walk.equal("i", reduced, "a transform output dimension")
    walk.equal("B", 1, "a transform training flag")
    walk.header("IwPQ", reduced, count)
    lists, looked_at = walk.take("QQ")
    if not 1 <= looked_at <= lists <= max(1, count):
        raise ValueError(f"a search of {looked_at:,} of {lists:,} lists")
    walk.flat(reduced, lists)
    walk.equal("b", 0, "a direct-map type")
    walk.numbers("<i8", 0, "a direct-map length")
    if walk.number("B") > 1:
        raise ValueError("a flag that is neither 0 nor 1")
    parts = walk.number("Q")  # one byte for each
    if not 1 <= parts <= reduced or reduced % parts:
        raise ValueError(f"{parts:,}-byte codes for {reduced:,}-dimensional vectors")
    for what, expected in (("a quantizer dimension", reduced), ("a part count", parts), ("a bit count", 8)):
        walk.equal("Q", expected, what)
    finite(walk.numbers("<f4", 256 * reduced, "a centroid value count"))
    walk.code("ilar", "inverted lists")
    walk.equal("Q", lists, "a list count")
    walk.equal("Q", parts, "a code size")
    sizes = _list_sizes(walk, lists, count)
    seen = np.zeros(count, bool)
    for size in sizes:
        walk.skip(size * parts)
        numbers_of = walk.plain("<i8", size)
        if size and (int(numbers_of.min()) < 0 or int(numbers_of.max()) >= count):
            raise ValueError("a vector ID that is out of range")
        seen[numbers_of] = True
    if not seen.all():
        raise ValueError("vectors that are in no list")


def _list_sizes(walk: _Walk, lists: int, count: int) -> list[int]:
    """How many vectors are in each list: of all lists, or as pairs where most are empty."""
    layout = walk.take("4s")[0]
    if layout == b"full":
        sizes = [int(size) for size in walk.numbers("<u8", lists, "a list-size count")]
    elif layout == b"sprs":
        length = walk.number("Q")
        if length % 2 or length > 2 * lists:
            raise ValueError(f"{length:,} values for the sizes of {lists:,} lists")
        pairs = walk.plain("<u8", length).reshape(-1, 2).tolist()
        places = [place for place, _ in pairs]
        if places != sorted(set(places)) or (places and places[-1] >= lists):
            raise ValueError("lists out of order")
        sizes = [size for _, size in pairs]  # in the order in which they are written
    else:
        raise ValueError(f"lists with the unknown layout {layout.decode('latin-1')!r}")
    if sum(sizes) != count:
        raise ValueError(f"lists with {sum(sizes):,} vectors instead of {count:,}")
    return sizes
