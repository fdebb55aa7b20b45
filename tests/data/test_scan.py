"""The first look: what is read, what is set aside, which rules are recorded."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from clearsight.data.pixels import digest
from clearsight.data.scan import scan
from clearsight.errors import DataError
from clearsight.tasks import read


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_facts_and_failures(tmp_path):
    for name, size, mode in (("a/1.png", (10, 20), "L"), ("a/2.jpg", (30, 30), "L"), ("b/1.png", (50, 40), "L")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new(mode, size).save(tmp_path / name)
    (tmp_path / "b" / "2.png").touch()
    (tmp_path / "b" / "3.png").write_text("no image")
    bomb = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)) + chunk(b"IDAT", b"x")
    (tmp_path / "b" / "4.jpg").write_bytes(b"\x89PNG\r\n\x1a\n" + bomb)
    calls: list[tuple[int, int]] = []
    found = scan(read(tmp_path), lambda done, of: calls.append((done, of)))
    assert calls == [(i, 6) for i in range(1, 7)]
    assert sorted(found.failed) == [3, 4, 5]
    assert "2.png is empty" in found.failed[3]
    assert "b/3.png is not an image; found text" in found.failed[4]
    assert "b/4.jpg is too large to decode" in found.failed[5]
    assert found.digests[0] == digest((tmp_path / "a/1.png").read_bytes())
    assert found.digests[3:] == ("", "", "")
    assert found.bytes[1] == (tmp_path / "a/2.jpg").stat().st_size
    assert found.short_side == 30
    assert not found.all_square
    assert (found.form.channels, found.form.bits) == (1, 8)
    facts = found.pixel_facts()
    assert facts["modes"] == {"L 8-bit": 3}
    assert facts["formats"] == {"PNG": 2, "JPEG": 1}
    assert facts["width"] == [10, 30, 50]
    assert facts["height"] == [20, 30, 40]
    assert facts["rules"] == []


def put(folder, name: str, image: Image.Image, **options: object) -> None:
    folder.mkdir(exist_ok=True)
    image.save(folder / name, **options)


def test_every_rule_that_applies_is_recorded(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    gray = Image.new("L", (8, 8))
    put(tmp_path / "a", "gray.png", gray)
    put(tmp_path / "a", "deep.png", Image.fromarray(np.zeros((8, 8), np.uint16)))
    put(tmp_path / "a", "turned.jpg", Image.new("RGB", (8, 8)), exif=exif)
    put(tmp_path / "b", "clear.png", Image.new("RGBA", (8, 8)))
    put(tmp_path / "b", "film.gif", gray, save_all=True, append_images=[Image.new("L", (8, 8), 9)])
    put(tmp_path / "b", "ink.jpg", Image.new("CMYK", (8, 8)))
    assert scan(read(tmp_path)).pixel_facts()["rules"] == [
        "transparent pixels are composited over white",
        "all colour spaces are converted to RGB",
        "gray images are expanded to 3 channels",
        "8-bit images are converted to 16 bits",
        "EXIF orientation is applied",
        "only the first frame of an animation is used",
    ]


def test_a_transparent_palette_is_recorded(tmp_path):
    for name in "ab":
        put(tmp_path / name, "1.png", Image.new("P", (8, 8)), transparency=0)
    assert "transparent pixels are composited over white" in scan(read(tmp_path)).pixel_facts()["rules"]


def test_nothing_readable(tmp_path):
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"no image in .* can be read; found .*1\.png is empty"):
        scan(read(tmp_path))


def test_damaged_metadata_is_read_without_a_warning(tmp_path, recwarn):
    """Pillow warns of it; the pixels are sound."""
    exif = Image.Exif()
    exif[0x010F] = "maker"
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "JPEG", exif=exif)
    content = buffer.getvalue()
    at = content.index(b"Exif\0\0") + 6
    broken = content[: at + 8] + b"\xff\x00" + content[at + 10 :]  # 255 entries where there is one
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(broken)
    assert not scan(read(tmp_path)).failed
    assert not recwarn.list
