"""Parts of an image file, counted before it is decoded: files of a few kilobytes can hold thousands of scans or chunks,
each of which takes the time of a whole image.

scans       of a progressive JPEG: each passes over all pixels
chunks      segments of a JPEG, chunks of a PNG or WebP, blocks before the first image of a GIF, images in a HEIF
metadata    bytes of texts, colour profiles, EXIF and XMP
tags        of the first page of a TIFF, elements of a DICOM header, with those of its sequences
frames      of a WebP, and pages of a TIFF
values      bytes of pixels when decoded
work        bytes that a decoder passes over: those of the pixels, once per scan

Counting stops at the limit, so that it takes no longer than for a usual file. Files too damaged to be counted are left
to the reader of the format, which reports what is wrong.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from clearsight.data.formats.conversion import check_size
from clearsight.errors import ImageError


@dataclass(frozen=True)
class Limits:
    """Largest number of each kind of part that is decoded."""

    scans: int = 1_000
    chunks: int = 200_000
    metadata: int = 256_000_000
    tags: int = 2_000_000
    frames: int = 1_000_000
    values: int = 10**12
    work: int = 10**14
    pixels: int = 10**12


TRAINING = Limits()
"""For the user's own files."""

SERVED = Limits(
    scans=100, chunks=20_000, metadata=8_000_000, tags=20_000, frames=10_000, values=100_000_000, work=1_500_000_000
)  # fmt: skip
"""For files of anyone. Cameras and editors write about 10 scans and 64 kB of metadata."""

WORDS = {
    "scans": "scans", "chunks": "chunks", "metadata": "bytes of metadata", "tags": "tags", "frames": "frames",
    "values": "bytes of pixels", "work": "bytes of pixels in all scans",
}  # fmt: skip


@dataclass
class Parts:
    """The parts of a file, as far as they were counted. width, height: 0 where the header was not read. complete: all
    parts were counted.
    """

    scans: int = 0
    chunks: int = 0
    metadata: int = 0
    tags: int = 0
    frames: int = 0
    width: int = 0
    height: int = 0
    depth: int = 1
    """Bytes of a pixel."""
    complete: bool = False

    @property
    def values(self) -> int:
        """Bytes of the pixels when decoded; 0 where the header was not read."""
        return self.width * self.height * self.depth

    @property
    def work(self) -> int:
        """Bytes that a decoder passes over."""
        return self.values * max(1, self.scans)


def counted(content: bytes, name: str, limits: Limits, steps: int | None = None) -> Parts:
    """Count the parts of an image file.

    Args:
        content: bytes of the file.
        name: name of the image, for messages.
        limits: numbers that are accepted.
        steps: number of parts after which counting stops; None for all.

    Returns:
        The parts; none for formats without such parts.

    Raises:
        ImageError: there are more than the limits allow.
    """
    found = Parts()
    try:
        for number, _ in enumerate(_steps(content, found)):
            if number == steps:
                break
            _require(found, name, limits)
        else:
            found.complete = True
    except (IndexError, ValueError, struct.error):  # truncated: the reader of the format reports it
        found.complete = True
    _require(found, name, limits)
    return found


def _require(found: Parts, name: str, limits: Limits) -> None:
    if found.values > limits.values or found.width * found.height > limits.pixels:
        check_size(name, found.width, found.height, limits.pixels)
    for part, words in WORDS.items():
        if getattr(found, part) > getattr(limits, part):
            raise too_many(name, words, getattr(limits, part))


def too_many(name: str, what: str, most: int) -> ImageError:
    """The error for a file with too many parts.

    Args:
        name: name of the image.
        what: the parts, in words.
        most: their largest number.

    Returns:
        The error.
    """
    return ImageError(
        f"{name} has too many {what} to decode", found=f"more than {most:,}", expected=f"at most {most:,}",
        fix="open the image in an editor and save it again, at a smaller size if it is large",
    )  # fmt: skip


def _steps(content: bytes, found: Parts) -> Iterator[None]:
    """Count in small steps, after each of which the limits are compared."""
    if content[128:132] == b"DICM":
        yield from _dicom(content, found)
        return
    for start, count in _COUNTERS.items():
        if content.startswith(start):
            yield from count(content, found)
            return


_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # no fill byte, stuffed byte or restart marker


def _jpeg(content: bytes, found: Parts) -> Iterator[None]:
    place = 2
    while mark := _MARKER.search(content, place):
        kind, place = content[mark.end() - 1], mark.end()
        if kind in (0x01, 0xD8):
            continue
        if kind == 0xD9:
            return
        length = int.from_bytes(content[place : place + 2], "big")
        found.chunks += 1
        if kind == 0xDA:
            found.scans += 1
        elif 0xE0 <= kind <= 0xEF or kind == 0xFE:
            found.metadata += length
        elif 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            precision, height, width, channels = struct.unpack_from(">BHHB", content, place + 2)
            found.width, found.height, found.depth = width, height, channels * (1 if precision == 8 else 2)
        place += length
        yield


_PNG_METADATA = (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf")

_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def _png(content: bytes, found: Parts) -> Iterator[None]:
    found.width, found.height, bits, colour = struct.unpack_from(">IIBB", content, 16)
    found.depth = _PNG_CHANNELS.get(colour, 4) * (2 if bits == 16 else 1)
    place = 8
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        found.chunks += 1
        if kind == b"IEND":
            return
        if kind in _PNG_METADATA:
            found.metadata += length
        place += 12 + length
        yield


def _gif(content: bytes, found: Parts) -> Iterator[None]:
    found.width, found.height, flags = struct.unpack_from("<HHB", content, 6)
    place = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while content[place] == 0x21:  # an extension; the first image ends the search
        place += 2
        while size := content[place]:
            found.chunks += 1
            place += 1 + size
            yield
        place += 1


def _webp(content: bytes, found: Parts) -> Iterator[None]:
    if content[8:12] != b"WEBP":
        return
    found.depth = 4
    place, end = 12, min(len(content), 8 + int.from_bytes(content[4:8], "little"))
    while place + 8 <= end:
        kind, length = struct.unpack_from("<4sI", content, place)
        found.chunks += 1
        found.frames += kind == b"ANMF"
        if kind in (b"ICCP", b"EXIF", b"XMP "):
            found.metadata += length
        elif kind == b"VP8X":
            found.width, found.height = (
                int.from_bytes(content[place + k : place + k + 3], "little") + 1 for k in (12, 15)
            )
        elif kind == b"VP8 " and not found.width:
            width, height = struct.unpack_from("<HH", content, place + 14)
            found.width, found.height = width & 0x3FFF, height & 0x3FFF
        elif kind == b"VP8L" and not found.width:
            (size,) = struct.unpack_from("<I", content, place + 9)
            found.width, found.height = (size & 0x3FFF) + 1, (size >> 14 & 0x3FFF) + 1
        place += 8 + length + length % 2
        yield


def _tiff(content: bytes, found: Parts) -> Iterator[None]:
    order = "<" if content[0] == 0x49 else ">"
    big = content[2:4] in (b"+\0", b"\0+")
    counts, entries, offset = (">Q", 20, ">Q") if big else (">H", 12, ">I")
    counts, offset = counts.replace(">", order), offset.replace(">", order)
    (place,) = struct.unpack_from(offset, content, 8 if big else 4)
    while place and place + 2 <= len(content):
        (number,) = struct.unpack_from(counts, content, place)
        start = place + struct.calcsize(counts)
        found.frames += 1
        if found.frames == 1:
            found.tags = number
            yield  # a limit before the entries are looked at
            _first_page(content, found, order, start, number, entries)
        (place,) = struct.unpack_from(offset, content, start + number * entries)
        yield


_SIZES = {1: "B", 3: "H", 4: "I", 16: "Q"}


def _first_page(content: bytes, found: Parts, order: str, start: int, number: int, entry: int) -> None:
    """Sizes that the tags of the first page state: of the pixels, and how many strips or tiles there are."""
    values = {256: 0, 257: 0, 277: 1, 258: 8}
    for at in range(start, min(start + number * entry, len(content)), entry):
        tag, kind = struct.unpack_from(f"{order}HH", content, at)
        (count,) = struct.unpack_from(f"{order}{'Q' if entry == 20 else 'I'}", content, at + 4)
        place = at + (12 if entry == 20 else 8)
        if tag in values and count == 1 and kind in _SIZES:
            (values[tag],) = struct.unpack_from(f"{order}{_SIZES[kind]}", content, place)
        elif tag in (273, 324):  # offsets of strips or tiles
            found.chunks = count
        elif tag in (270, 305, 700, 34675):  # description, software, XMP, colour profile
            found.metadata += count
    found.width, found.height, found.depth = values[256], values[257], values[277] * max(1, values[258] // 8)


def _heif(content: bytes, found: Parts) -> Iterator[None]:
    """HEIF and AVIF: the sizes of all items, of which the largest is the image [ISO/IEC 23008-12 6.5.3]."""
    if content[4:8] != b"ftyp":
        return
    found.depth = 3
    for item in re.finditer(b"ispe", content):
        width, height = struct.unpack_from(">II", content, item.end() + 4)
        if width * height > found.width * found.height:
            found.width, found.height = width, height
        found.chunks += 1
        yield


_JXL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def _jxl(content: bytes, found: Parts) -> Iterator[None]:
    """The size of JPEG XL [ISO/IEC 18181-1 A.4], in its codestream or in a container around it."""
    start = 2
    if content[:2] != b"\xff\x0a":
        box = re.search(rb"jxlc\xff\x0a|jxlp....\xff\x0a", content, re.DOTALL)
        if box is None:
            return
        start = box.end()
    bits, place = int.from_bytes(content[start : start + 16], "little"), 0

    def read(count: int) -> int:
        nonlocal place
        value = bits >> place & (1 << count) - 1
        place += count
        return value

    eighths = read(1)

    def side() -> int:
        return 8 * (1 + read(5)) if eighths else 1 + read((9, 13, 18, 30)[read(2)])

    found.height, found.depth = side(), 3
    ratio = read(3)
    across, down = _JXL_RATIOS[ratio - 1]
    found.width = found.height * across // down if ratio else side()
    yield


def _bmp(content: bytes, found: Parts) -> Iterator[None]:
    width, height = struct.unpack_from("<ii", content, 18)
    found.width, found.height, found.depth = abs(width), abs(height), 3
    if content[14] == 12:
        found.width, found.height = struct.unpack_from("<HH", content, 18)
    yield


_PPM = re.compile(rb"P([1-6])(?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s")


def _ppm(content: bytes, found: Parts) -> Iterator[None]:
    if head := _PPM.match(content[:4096]):
        kind, found.width, found.height = (int(number) for number in head.groups())
        found.depth, found.scans = 3, 10 if kind in (2, 3) else 1  # numbers as text take ten times as long
    yield


_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
"""Value representations whose length has four bytes [PS3.5 7.1.2]."""

_DICOM_SIZES = {0x11: "width", 0x10: "height", 0x02: "depth"}
"""Elements of group 28."""


def _dicom(content: bytes, found: Parts) -> Iterator[None]:
    place = 132
    while place + 8 <= len(content):
        group, element = struct.unpack_from("<HH", content, place)
        kind = content[place + 4 : place + 6]
        if (group, element) == (0x7FE0, 0x10):  # the pixels
            break
        if group == 0xFFFE or not (kind.isalpha() and kind.isupper()):  # of items, and implicit
            start, (length,) = place + 8, struct.unpack_from("<I", content, place + 4)
        elif kind in _LONG:
            start, (length,) = place + 12, struct.unpack_from("<I", content, place + 8)
        else:
            start, (length,) = place + 8, struct.unpack_from("<H", content, place + 6)
        found.tags += 1
        if group == 0x28 and element in _DICOM_SIZES and length == 2:
            setattr(found, _DICOM_SIZES[element], struct.unpack_from("<H", content, start)[0])
        nested = group == 0xFFFE or kind == b"SQ" or length == 0xFFFFFFFF  # its elements count as well
        place = start if nested else start + length
        yield
    found.depth *= 2


def _npy(content: bytes, found: Parts) -> Iterator[None]:
    found.width, found.height = len(content), 1
    yield


_COUNTERS: dict[bytes, Callable[[bytes, Parts], Iterator[None]]] = {
    b"\xff\xd8": _jpeg, b"\x89PNG": _png, b"GIF8": _gif, b"RIFF": _webp, b"BM": _bmp, b"P": _ppm,
    b"II*\0": _tiff, b"MM\0*": _tiff, b"II+\0": _tiff, b"MM\0+": _tiff,
    b"\xff\x0a": _jxl, b"\0\0\0\x0cJXL ": _jxl, b"\0\0": _heif, b"\x93NUMPY": _npy,
}  # fmt: skip
