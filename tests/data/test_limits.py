"""Parts of image files are counted as other libraries count them, before anything is decoded."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearsight.data.decode import decode, read_header
from clearsight.data.formats.limits import SERVED, TRAINING, Limits, counted
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.errors import ImageError
from tests.bombs import BOMBS

SIZE = (61, 47)
FORM, SMALL = PixelFormat(3, 8), Geometry(8, 8)

SAVED = {
    "JPEG": {}, "JPEG progressive": {"progressive": True}, "PNG": {}, "GIF": {}, "BMP": {}, "PPM": {}, "TIFF": {},
    "WEBP": {}, "WEBP lossless": {"lossless": True}, "AVIF": {},
}  # fmt: skip


def saved(kind, mode="RGB", size=SIZE, **options):
    buffer = io.BytesIO()
    Image.effect_noise(size, 50).convert(mode).save(buffer, kind.split()[0], **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", SAVED)
def test_sizes_are_those_of_the_image(kind):
    content = saved(kind, **SAVED[kind])
    parts = counted(content, "x", SERVED)
    assert parts.complete
    assert (parts.width, parts.height) == SIZE
    assert decode(content, "x", FORM, SMALL, None, SERVED).shape == (3, 8, 8)


@pytest.mark.parametrize("size", [(61, 47), (48, 48), (64, 32), (3000, 16), (600, 400)])
@pytest.mark.parametrize("container", [False, True])
def test_the_size_of_jpeg_xl(size, container):
    imagecodecs = pytest.importorskip("imagecodecs")
    content = imagecodecs.jpegxl_encode(np.zeros((*size[::-1], 3), np.uint8), usecontainer=container)
    parts = counted(content, "x", SERVED)
    assert (parts.width, parts.height) == size


def test_the_size_of_dicom():
    pydicom = pytest.importorskip("pydicom")
    from pydicom.data import get_testdata_file

    path = get_testdata_file("CT_small.dcm")
    data, parts = pydicom.dcmread(path), counted(Path(path).read_bytes(), "x", SERVED)
    assert (parts.width, parts.height) == (data.Columns, data.Rows)
    assert abs(parts.tags - len(list(data.iterall())) - len(data.file_meta)) < 20  # items count too


def test_scans_are_counted():
    assert counted(saved("JPEG"), "x", SERVED).scans == 1
    content = saved("JPEG", progressive=True)
    assert counted(content, "x", SERVED).scans == content.count(b"\xff\xda") > 5


def test_frames_and_metadata_are_counted():
    frames = [Image.effect_noise(SIZE, 50).convert("RGB") for _ in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], exif=b"Exif\0\0" + bytes(100))
    parts = counted(buffer.getvalue(), "x", SERVED)
    assert (parts.frames, parts.metadata >= 100) == (3, True)
    buffer = io.BytesIO()
    frames[0].save(buffer, "TIFF", save_all=True, append_images=frames[1:])
    assert counted(buffer.getvalue(), "x", SERVED).frames == 3


COUNTED = {
    "size": "too large", "depth": "bytes of pixels", "scans": "scans", "few_scans": "all scans",
    "png_chunks": "chunks", "png_text": "metadata", "jpeg_profile": "metadata", "gif_comments": "chunks",
    "webp_frames": "frames", "tiff_tags": "tags", "tiff_pages": "frames", "tiff_strips": "chunks",
    "dicom_elements": "tags", "dicom_items": "tags",
}  # fmt: skip


@pytest.mark.parametrize("kind", [k for k in COUNTED if k != "depth"])  # which takes long to make
def test_bombs_are_refused_by_their_counts(kind):
    limits = Limits(**vars(SERVED) | {"pixels": 25_000_000})
    with pytest.raises(ImageError, match=COUNTED[kind]) as caught:
        decode(BOMBS[kind](random.Random(0)), "x", FORM, SMALL, 25_000_000, limits)
    assert len(str(caught.value)) < 300


def test_counting_ends_after_some_steps():
    content = BOMBS["png_chunks"](random.Random(0))
    parts = counted(content, "x", TRAINING, 10)
    assert (parts.chunks, parts.complete) == (11, False)


@pytest.mark.parametrize("kind", SAVED)
def test_truncated_and_changed_files_are_counted_without_other_errors(kind):
    content, rng = saved(kind, **SAVED[kind]), random.Random(0)
    for _ in range(60):
        changed = bytearray(content[: rng.randrange(len(content))])
        for _ in range(5):
            if changed:
                changed[rng.randrange(min(200, len(changed)))] = rng.randrange(256)
        try:
            counted(bytes(changed), "x", SERVED)
        except ImageError:
            continue


def test_training_has_wider_limits():
    content = saved("JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    many = content[:-2] + content[last:-2] * 200 + content[-2:]
    assert read_header(many, "x").width == SIZE[0]
    with pytest.raises(ImageError, match="too many scans"):
        decode(many, "x", FORM, SMALL, None, SERVED)
    with pytest.raises(ImageError, match="too many scans"):
        read_header(content[:-2] + content[last:-2] * 2000 + content[-2:], "x")
