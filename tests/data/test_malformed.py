"""Data sets with malformed files of all formats: none stops the command, each is counted and named, none is deleted."""

from __future__ import annotations

import random
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

import clearsight as cs
from clearsight.data.audit import Audit
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat, decode_image, image_header
from clearsight.errors import ImageError
from tests.data import test_pixels as photos
from tests.data.test_formats import damaged, valid_files

SUFFIXES = {"jpeg": ".jpg", "cmyk": ".jpg", "gif": ".gif", "webp": ".webp", "bmp": ".bmp", "ppm": ".ppm"}


def all_formats() -> dict[str, bytes]:
    """A small valid file of every format, by a name that ends in its suffix."""
    others = {f"{k.replace(' ', '_')}{SUFFIXES.get(k, '.tif' if 'tiff' in k else '.png')}": v
              for k, v in photos.samples().items()}  # fmt: skip
    return {**valid_files(), **others}


def is_broken(name: str, content: bytes) -> bool:
    """Whether a file cannot be read; any error but ImageError is a failure of the test."""
    try:
        header = image_header(content, name)
        decode_image(content, name, PixelFormat(header.bands, header.bits, (0, 1) if header.values else None), SMALL)
    except ImageError:
        return True
    return False


SMALL = Geometry(8, 8)


def pictures(root: Path, count: int) -> Path:
    for label, picture in (("cat", data.chelsea()), ("coffee", data.coffee())):
        (root / label).mkdir(parents=True)
        draw = np.random.default_rng(0)
        for i in range(count):
            y, x = draw.integers(0, 200, 2)
            Image.fromarray(picture[y : y + 64, x : x + 64]).save(root / label / f"good_{i}.png")
    return root


def spoil(root: Path, count: int) -> list[str]:
    """Write so many malformed files of all formats into the folders of the classes; their names."""
    files, dice, names = list(all_formats().items()), random.Random(0), []
    while len(names) < count:
        name, good = files[len(names) % len(files)]
        bad = damaged(good, dice)
        label = ("cat", "coffee")[dice.randrange(2)]
        if is_broken(name, bad):
            path = root / label / f"bad_{len(names)}_{name}"
            path.write_bytes(bad)
            names.append(f"{label}/{path.name}")
    return names


def audited(root: Path) -> tuple[Audit, float]:
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = cs.audit(str(root), img_size=32)
    return found, time.perf_counter() - began


def check(root: Path, good: int, bad: int) -> dict[str, float]:
    """Audit a folder without and with malformed files; seconds per file of each kind."""
    pictures(root, good // 2)
    _, alone = audited(root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = spoil(root, bad)
    found, together = audited(root)
    assert (found.images, found.usable) == (good + bad, good)
    assert sorted(found.set_aside) == sorted(names)
    error = next(f for f in found.findings if f.code == "unreadable")
    assert error.severity == "error"
    assert error.message.startswith(f"{bad:,} files cannot be read (c")
    assert sorted(error.evidence["files"]) == sorted(names)
    assert all((root / name).is_file() for name in names)
    return {"alone": alone, "together": together}


def test_malformed_files_are_counted_named_and_kept(tmp_path):
    check(tmp_path / "data", 40, 120)


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_ten_thousand_malformed_files(tmp_path, record_property):
    for name, value in check(tmp_path / "data", 1000, 10_000).items():
        record_property(name, value)
