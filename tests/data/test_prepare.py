"""From a data set to arrays, splits and audit, with faults of the files on the way."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from clearsight.data.geometry import Geometry
from clearsight.data.prepare import prepare
from clearsight.data.scan import scan
from clearsight.errors import DataError
from clearsight.tasks import read


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(12):
            pixels = np.random.default_rng(hash((name == "a", i)) % 2**32).integers(0, 256, (9, 9)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_what_does_not_decode_is_in_no_split(folder):
    (folder / "a" / "3.png").write_bytes(b"")
    cut = folder / "b" / "4.png"
    cut.write_bytes(cut.read_bytes()[:60])
    found = read(folder)
    ready = prepare(found, scan(found), Geometry(8, 8))
    names = [found.source.name(int(i)) for part in ready.split.parts().values() for i in part]
    assert len(names) == 22
    assert not {"a/3.png", "b/4.png"} & set(names)
    assert set(ready.audit.set_aside) == {"a/3.png", "b/4.png"}
    assert (ready.form.channels, ready.form.bits) == (1, 8)
    assert ready.pixels.array.shape == (24, 1, 8, 8)
    assert (ready.labels == found.labels).all()
    assert ready.weights.tolist() == [1.0] * 24


def test_too_few_readable_images_of_a_class(folder):
    for i in range(10):
        (folder / "b" / f"{i}.png").write_text("no image")
    found = read(folder)
    with pytest.raises(
        DataError, match=r"too few readable images to split 1 class in .*; found 'b' with 2 images; expected at least 3"
    ):
        prepare(found, scan(found), Geometry(8, 8))


def test_copies_stay_on_one_side(folder):
    for i in range(8):
        (folder / "a" / f"copy {i}.png").write_bytes((folder / "a" / "0.png").read_bytes())
    found = read(folder)
    copies = {i for i in range(len(found)) if "copy" in found.source.name(i) or found.source.name(i) == "a/0.png"}
    for seed in range(5):
        ready = prepare(found, scan(found), Geometry(8, 8), seed=seed)
        assert sum(bool(copies & set(part.tolist())) for part in ready.split.parts().values()) == 1
        for fit, val_rows in ready.split.folds:
            assert not (copies & set(fit.tolist()) and copies & set(val_rows.tolist()))


def test_weights_of_the_solar_cells():
    found = read("elpv")
    assert found.weights is not None
    assert sorted({round(float(w), 3) for w in found.weights}) == [0.333, 1.0]
