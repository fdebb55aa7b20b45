"""Names, their order, and the two kinds of sources."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clearsight.data.dataset import Array, Files, encode_labels, natural_key, printable
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat, digest
from clearsight.errors import DataError, ImageError


def test_natural_order():
    names = ["class 10", "class 9", "Class 1", "class 9b", "10", "9", "a"]
    assert sorted(names, key=natural_key) == ["9", "10", "Class 1", "a", "class 9", "class 9b", "class 10"]


def test_names_alike_but_for_zeros_have_one_order():
    """Sets of texts are ordered differently in every process, so ties would make class numbers random."""
    for names in (["1", "01", "001"], ["001", "1", "01"], ["01", "001", "1"]):
        assert encode_labels(names)[1] == ("001", "01", "1")


@given(st.lists(st.text(max_size=12), min_size=1))
def test_every_name_is_encoded_and_decoded(names):
    labels, classes = encode_labels(names)
    assert [classes[i] for i in labels] == names
    assert len(set(classes)) == len(classes)


@pytest.mark.parametrize("name", ["²", "5²", "Ⅷ", "٣", "①2", ""])
def test_characters_that_are_digits_only_in_a_manner_of_speaking(name):
    assert encode_labels([name, "2"])[0].tolist() in ([0, 1], [1, 0])


def test_names_that_are_not_utf_8_can_be_printed():
    assert printable("caf\udce9.png") == "caf\\udce9.png"
    assert printable("café 猫.png") == "café 猫.png"


def test_files(tmp_path):
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    source = Files((tmp_path / "a.png",), tmp_path)
    name, header, size = source.inspect(0)
    assert (name, header.width, header.height, size) == (digest(content), 4, 3, len(content))
    assert source.name(0) == "a.png"
    assert Files((tmp_path / "a.png",)).name(0) == str(tmp_path / "a.png")
    assert Files((tmp_path / "a.png",), tmp_path / "elsewhere").name(0) == str(tmp_path / "a.png")
    form, geometry = PixelFormat(1, 8), Geometry(3, 4)
    assert source.decode(0, form, geometry, name).ravel().tolist() == list(range(12))


def test_a_file_that_changes_between_first_look_and_decoding(tmp_path):
    path, form, geometry = tmp_path / "a.png", PixelFormat(1, 8), Geometry(3, 4)
    Image.new("L", (4, 3)).save(path)
    source = Files((path,), tmp_path)
    before = source.inspect(0)[0]
    Image.new("L", (4, 3), 9).save(path)
    with pytest.raises(DataError, match=r"a\.png changed while the data set was being read.*run again") as found:
        source.decode(0, form, geometry, before)
    assert not isinstance(found.value, ImageError)  # which would set the image aside for good
    path.unlink()
    with pytest.raises(DataError, match="changed"):
        source.decode(0, form, geometry, before)
    with pytest.raises(ImageError, match="does not exist"):
        source.decode(0, form, geometry)


@pytest.mark.parametrize("shape", [(2, 5, 7), (2, 1, 5, 7), (2, 3, 5, 7)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_arrays_of_every_layout(shape, dtype):
    images = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    source = Array(images)
    _, header, size = source.inspect(1)
    channels = 3 if 3 in shape[1:] else 1
    assert (header.width, header.height, header.gray) == (7, 5, channels == 1)
    assert header.bits == 8 * images.dtype.itemsize
    assert size == images[1].nbytes
    out = source.decode(1, PixelFormat(channels, header.bits), Geometry(5, 7))
    assert (out == images[1].reshape(-1, 5, 7)).all()
    assert source.name(1) == "#1"


def test_digests_distinguish_shapes():
    one, other = Array(np.zeros((1, 2, 8), np.uint8)), Array(np.zeros((1, 4, 4), np.uint8))
    assert one.inspect(0)[0] != other.inspect(0)[0]
    assert one.inspect(0)[0] == Array(np.zeros((2, 2, 8), np.uint8)).inspect(1)[0]


def test_an_array_of_no_images():
    with pytest.raises(ValueError, match="images of shape"):
        Array(np.zeros((3, 4)))
