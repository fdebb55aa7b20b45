"""Formats beyond those of photos: channels, value ranges, DICOM, HEIC, large images; values against the libraries."""

from __future__ import annotations

import io
import random
import sys
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from clearsight.data.files import image_files
from clearsight.data.formats import pillow, reduction
from clearsight.data.formats.reduction import BlockMeans
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import (
    Header,
    PixelFormat,
    PixelOptions,
    decode_image,
    from_array,
    image_header,
    read_image,
    whole_image,
)
from clearsight.data.scan import scan
from clearsight.errors import ClearsightError, DataError, ImageError
from clearsight.tasks import TaskOptions, read
from tests.data.test_pixels import chunk, png, ramp, saved

H, W = 24, 40


def cube(channels: int, dtype: str = "uint16", h: int = H, w: int = W) -> np.ndarray:
    """(h, w, channels), every channel another picture."""
    top = {"uint8": 250, "uint16": 60_000}.get(dtype, 1)
    return (np.random.default_rng(channels).random((h, w, channels)) * top).astype(dtype)


def as_tiff(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def as_npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def bands(array: np.ndarray, planar: str = "contig", **options: object) -> bytes:
    given = array if planar == "contig" else np.moveaxis(array, 2, 0)
    return as_tiff(given, photometric="minisblack", planarconfig=planar, **options)


def dicom(stored: np.ndarray, *, drop: tuple[str, ...] = (), **elements: object) -> bytes:
    """A DICOM file of stored values (h, w) or (h, w, 3)."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = "1.2.3"
    colour = stored.ndim == 3 and stored.shape[2] == 3
    size = 8 * stored.dtype.itemsize
    data.Rows, data.Columns = stored.shape[:2]
    data.SamplesPerPixel, data.PhotometricInterpretation = (3, "RGB") if colour else (1, "MONOCHROME2")
    data.BitsAllocated, data.BitsStored, data.HighBit = size, size, size - 1
    data.PixelRepresentation = int(stored.dtype.kind == "i")
    if colour:
        data.PlanarConfiguration = 0
    data.PixelData = stored.tobytes()
    for name, value in elements.items():
        setattr(data, name, value)
    for name in drop:
        delattr(data, name)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, data, enforce_file_format=True)
    return buffer.getvalue()


# --- channels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [2, 4, 5, 13])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_channels_are_read_as_they_are(channels, dtype):
    array = cube(channels, dtype)
    files = [
        bands(array), bands(array, "separate"), bands(array, compression="zlib", tile=(16, 16)),
        bands(array, bigtiff=True, byteorder=">"), as_npy(array), as_npy(np.moveaxis(array, 2, 0)),
        as_npy(np.asfortranarray(array)), as_npy(array.astype(array.dtype.newbyteorder(">"))),
    ]  # fmt: skip
    for content in files:
        header = image_header(content, "x")
        assert (header.bands, header.width, header.height, header.bits) == (channels, W, H, 8 * array.itemsize)
        assert not header.gray
        assert (whole_image(content, "x") == np.moveaxis(array, 2, 0)).all()


def test_one_and_three_channels_are_gray_and_rgb():
    assert image_header(as_npy(cube(1)[:, :, 0]), "x").gray
    assert PixelFormat.covering([image_header(as_npy(cube(1)), "x"), image_header(as_npy(cube(3)), "x")]).channels == 3
    rgb = cube(3, "uint8")
    assert (whole_image(bands(rgb), "x") == np.moveaxis(rgb, 2, 0)).all()


def test_channels_are_scaled_one_by_one():
    array = cube(12)
    found = decode_image(bands(array), "x", PixelFormat(12, 16), Geometry(12, 20))
    for k in (0, 5, 11):
        alone = decode_image(as_npy(array[:, :, k]), "x", PixelFormat(1, 16), Geometry(12, 20))
        assert (found[k] == alone[0]).all()


def test_pages_that_metadata_call_channels():
    array = np.moveaxis(cube(5), 2, 0)
    for content in (
        as_tiff(array, ome=True, metadata={"axes": "CYX"}),
        as_tiff(array, imagej=True, metadata={"axes": "CYX"}),
    ):
        assert (whole_image(content, "x") == array).all()
    with pytest.raises(ImageError, match=r"x is not one image; found 5 pages, which are an array .*planarconfig='sepa"):
        image_header(as_tiff(array, photometric="minisblack"), "x")
    with pytest.raises(ImageError, match=r"5 pages, which are an array of shape \(5, 24, 40\) with axes ZYX"):
        image_header(as_tiff(array, imagej=True, metadata={"axes": "ZYX"}), "x")


def test_an_array_whose_channels_may_be_either_axis():
    with pytest.raises(ImageError, match=r"x can be read in 2 ways; found an array of shape \(12, 13, 14\)") as error:
        image_header(as_npy(np.zeros((12, 13, 14), np.uint8)), "x")
    assert "planarconfig='contig')` for 14 channels of 13x12 pixels" in str(error.value)
    for wrong in ((3, 4, 5, 6), (7,), ()):
        with pytest.raises(ImageError, match="x is not one image"):
            image_header(as_npy(np.zeros(wrong, np.uint8)), "x")
    with pytest.raises(ImageError, match="no pixels"):
        image_header(as_npy(np.zeros((0, 4), np.uint8)), "x")
    with pytest.raises(ImageError, match="elements of type object"):
        image_header(as_npy(np.array([[1, None]], object)), "x")


def test_images_with_different_numbers_of_channels():
    def header(channels: int) -> Header:
        return Header(8, 8, f"{channels} channels", "TIFF", 16, channels=channels)

    assert PixelFormat.covering([header(12)] * 3) == PixelFormat(12, 16)
    with pytest.raises(DataError, match="2 images with 12, 1 image with 4; expected the same number"):
        PixelFormat.covering([header(12), header(4), header(12)])
    with pytest.raises(DataError, match=r"do not exist; found --bands 4,3,13; expected one or three numbers from 1 to"):
        PixelFormat.covering([header(12)], PixelOptions(bands=(4, 3, 13)))
    with pytest.raises(ImageError, match="x has another number of channels than the training images; found 3; exp"):
        decode_image(saved(Image.fromarray(ramp()), "PNG"), "x", PixelFormat(12, 8), Geometry(8, 8))
    with pytest.raises(ImageError, match=r"expected \(C, H, W\) with 12 channels"):
        from_array(np.zeros((3, 8, 8), np.uint8), "x", PixelFormat(12, 8), Geometry(8, 8))


# --- values -----------------------------------------------------------------------------------------------------------


def test_floats_are_shares_of_white():
    array = np.linspace(0, 1, H * W, dtype=np.float32).reshape(H, W)
    for content in (as_tiff(array), as_npy(array), as_npy(array.astype(np.float64))):
        header = image_header(content, "x")
        assert (header.gray, header.bits, header.values) == (True, 16, (0.0, 1.0))
        assert np.abs(whole_image(content, "x")[0] / 65535 - array).max() <= 0.5 / 65535 + 1e-7


@pytest.mark.parametrize("array", [
    np.float32([[-5, 0], [20, 5]]), np.int16([[-5, 0], [20, 5]]), np.int64([[0, 20], [5, 70_000]]),
    np.eye(2, dtype=bool), np.uint32([[0, 1], [2, 3]]),
])  # fmt: skip
def test_other_values_need_a_range(array):
    for content in (as_npy(array), as_tiff(array) if array.dtype != bool else as_npy(array)):
        header = image_header(content, "x")
        with pytest.raises(DataError, match=r"black and white are unknown in 1 image; .*Add --value-range=") as error:
            PixelFormat.covering([header])
        assert f"values from {array.min():g} to {array.max():g}" in str(error.value)
        with pytest.raises(ImageError, match=r"unknown range.*--value-range LOW,HIGH"):
            decode_image(content, "x", PixelFormat(1, 16), Geometry(2, 2))
        form = PixelFormat.covering([header], PixelOptions(value_range=(-10, 10)))
        found = decode_image(content, "x", form, Geometry(2, 2))
        assert found.ravel().tolist() == [round(min(max((v + 10) / 20, 0), 1) * 65535) for v in array.ravel().tolist()]


def test_a_range_concerns_all_images_of_more_than_8_bits():
    form = PixelFormat(1, 16, (0, 4095))
    deep = np.uint16([[0, 4095], [8000, 1]])
    expected = [0, 65535, 65535, 16]
    for content in (cv2.imencode(".png", deep)[1].tobytes(), as_tiff(deep), as_npy(deep)):
        assert decode_image(content, "x", form, Geometry(2, 2)).ravel().tolist() == expected
    eight = as_npy(np.uint8([[0, 255], [1, 2]]))
    assert decode_image(eight, "x", form, Geometry(2, 2)).ravel().tolist() == [0, 65535, 257, 514]


def test_values_that_are_not_finite():
    for bad in (np.nan, np.inf):
        array = np.float32([[0, 1], [bad, 0.5]])
        for content in (as_npy(array), as_tiff(array)):
            with pytest.raises(ImageError, match="x contains NaN or infinite values; found 1 of 4 values"):
                image_header(content, "x")
            with pytest.raises(ImageError, match="x contains NaN or infinite values"):
                decode_image(content, "x", PixelFormat(1, 16), Geometry(2, 2))


def test_a_format_survives_json():
    form = PixelFormat(12, 16, (0.0, 4095.0), 10_000_000, (4, 3, 2))
    assert PixelFormat(**form.to_dict()) == form
    assert PixelFormat(3, 8).to_dict() == {"channels": 3, "bits": 8}, "bundles of earlier versions stay the same"
    assert form.decoded == {"channels": 12, "bits": 16, "value_range": [0.0, 4095.0]}
    assert (form.shown, PixelFormat(2, 8).shown, PixelFormat(5, 8).shown) == ((3, 2, 1), (0,), (0, 1, 2))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_white_is_zero(dtype):
    array = cube(1, dtype)[:, :, 0]
    top = np.iinfo(dtype).max
    for options in ({}, {"compression": "zlib"}):
        content = as_tiff(array, photometric="miniswhite", **options)
        assert (whole_image(content, "x")[0] == top - array).all()
    two = as_tiff(cube(2, dtype), photometric="miniswhite", planarconfig="contig")
    assert (whole_image(two, "x") == top - np.moveaxis(cube(2, dtype), 2, 0)).all()


# --- alpha and metadata -----------------------------------------------------------------------------------------------


def test_alpha_of_a_bmp():
    """Written with and without a mask for alpha; fourth bytes that are all 0 are none."""
    rgba = np.dstack([ramp(), np.linspace(0, 255, H * W).astype(np.uint8).reshape(H, W)])
    plain = bytearray(saved(Image.fromarray(rgba), "BMP"))
    assert plain[28] == 32
    over = Image.alpha_composite(Image.new("RGBA", (W, H), "white"), Image.fromarray(rgba)).convert("RGB")
    assert image_header(bytes(plain), "x").alpha
    assert (whole_image(bytes(plain), "x") == np.asarray(over).transpose(2, 0, 1)).all()
    start = int.from_bytes(plain[10:14], "little")
    plain[start + 3 :: 4] = bytes(H * W)
    masks = b"".join(m.to_bytes(4, "little") for m in (0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    head = plain[:10] + (122).to_bytes(4, "little") + (108).to_bytes(4, "little") + plain[18:30]
    masked = head + (3).to_bytes(4, "little") + plain[34:54] + masks + bytes(52) + plain[start:]
    for content in (bytes(plain), bytes(masked)):
        assert not image_header(content, "x").alpha
        assert (whole_image(content, "x") == ramp().transpose(2, 0, 1)).all()


def test_large_texts_and_profiles():
    rows = [ramp()[i].tobytes() for i in range(H)]
    text = chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(3_000_000)))
    profile = chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(2_000_000)))
    plain = chunk(b"tEXt", b"note\0" + b"x" * 3_000_000)
    content = png(W, H, 8, 2, rows, text + profile + plain)
    with pytest.raises(ValueError, match="too large"):
        Image.open(io.BytesIO(content))
    assert image_header(content, "x").width == W
    assert (whole_image(content, "x") == ramp().transpose(2, 0, 1)).all()
    jpeg = saved(Image.fromarray(ramp()), "JPEG", icc_profile=bytes(1_500_000), quality=100)
    assert whole_image(jpeg, "x").shape == (3, H, W)


def photo() -> Image.Image:
    y, x = np.mgrid[0:64, 0:96]
    return Image.fromarray(np.stack([x * 2, y * 3, 255 - x - y], 2).astype(np.uint8))


def test_avif_heic_and_jpeg_xl():
    import imagecodecs
    import pillow_heif

    heic = io.BytesIO()
    pillow_heif.from_pillow(photo()).save(heic, quality=95)
    deep = cube(3)
    for content, kind in (
        (saved(photo(), "AVIF", quality=95), "AVIF"), (heic.getvalue(), "HEIF"),
        (imagecodecs.jpegxl_encode(np.asarray(photo()), lossless=True), "JXL"),
    ):  # fmt: skip
        header = image_header(content, "x")
        assert (header.format, header.width, header.height, header.gray) == (kind, 96, 64, False)
        found = whole_image(content, "x").transpose(1, 2, 0).astype(int)
        assert np.abs(found - np.asarray(photo())).mean() < 3
    exact = imagecodecs.jpegxl_encode(deep, lossless=True)
    assert (whole_image(exact, "x") == np.moveaxis(deep, 2, 0)).all()


@pytest.mark.parametrize(("library", "content"), [
    ("pydicom", bytes(128) + b"DICM" + bytes(40)), ("pillow_heif", b"\0\0\0\x18ftypheic" + bytes(40)),
    ("imagecodecs", b"\xff\x0a" + bytes(40)),
])  # fmt: skip
def test_a_missing_library_is_named(library, content, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImageError, match=r"needs .*pip install 'clearsight\[formats\]'"):
        image_header(content, "x")


# --- DICOM ------------------------------------------------------------------------------------------------------------


def stored(dtype: str = "int16") -> np.ndarray:
    return np.random.default_rng(0).integers(-1000 if dtype == "int16" else 0, 3000, (H, W)).astype(dtype)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("inverted", [False, True])
def test_the_window_of_a_dicom_file(function, inverted):
    import pydicom
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    kind = "MONOCHROME1" if inverted else "MONOCHROME2"
    content = dicom(
        stored(), RescaleSlope="2", RescaleIntercept="-100", WindowCenter=["300", "40"], WindowWidth=["900", "80"],
        VOILUTFunction=function, PhotometricInterpretation=kind,
    )  # fmt: skip
    data = pydicom.dcmread(io.BytesIO(content))
    expected = np.asarray(apply_voi_lut(apply_modality_lut(data.pixel_array, data), data), float)
    low, high = -(2**15) * 2 - 100, (2**15 - 1) * 2 - 100  # the range that pydicom maps a window to
    expected = (expected - low) / (high - low)
    header = image_header(content, "x")
    assert (header.format, header.gray, header.bits) == ("DICOM", True, 16)
    found = whole_image(content, "x")[0] / 65535
    assert np.abs((1 - found if inverted else found) - expected).max() < 1e-4


def test_one_range_for_all_dicom_files():
    content = dicom(stored(), RescaleSlope="1", RescaleIntercept="-24", WindowCenter="9", WindowWidth="9")
    found = decode_image(content, "x", PixelFormat(1, 16, (-500, 1500)), Geometry(H, W))[0]
    assert np.abs(found / 65535 - np.clip((stored() - 24.0 + 500) / 2000, 0, 1)).max() < 1e-5
    whole = whole_image(dicom(stored("uint16"), BitsStored=12, HighBit=11), "x")[0]
    assert np.abs(whole / 65535 - stored("uint16") / 4095).max() < 1e-5, "without a window, what the bits can hold"


def test_a_lookup_table_of_a_dicom_file():
    from pydicom.dataset import Dataset

    table = Dataset()
    table.add_new("LUTDescriptor", "US", [256, 0, 16])
    table.add_new("LUTData", "OW", (np.arange(256, dtype=np.uint16)[::-1] * 257).tobytes())
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    content = dicom(values, VOILUTSequence=[table])
    assert (whole_image(content, "x")[0] == (255 - values.astype(np.uint16)) * 257).all()


def test_colour_and_frames_of_a_dicom_file():
    assert (whole_image(dicom(ramp()), "x") == ramp().transpose(2, 0, 1)).all()
    many = dicom(np.zeros((8, 8), np.uint8), NumberOfFrames=3, PixelData=bytes(192))
    with pytest.raises(ImageError, match=r"x contains several frames; found 3 frames; expected one frame"):
        image_header(many, "x")
    with pytest.raises(ImageError, match="x contains no image; found a DICOM file without pixel data"):
        image_header(dicom(ramp(), drop=("PixelData",)), "x")
    with pytest.raises(ImageError, match="x is truncated"):
        image_header(dicom(ramp(), Rows=60_000, Columns=60_000), "x")


def test_dicom_files_that_are_named_by_numbers(tmp_path):
    names = ("IM0001", "1.2.840.113619", "CT.1", "MR000002.0003")
    for folder in ("benign", "malignant"):
        (tmp_path / folder).mkdir()
        for k, name in enumerate(names):
            (tmp_path / folder / name).write_bytes(dicom(stored() + k, WindowCenter="300", WindowWidth="900"))
        (tmp_path / folder / "DICOMDIR.txt").write_text("notes")
        (tmp_path / folder / "README").write_text("notes")
    found = read(str(tmp_path))
    assert len(found) == 8
    assert found.classes == ("benign", "malignant")
    assert all(header is not None for header in scan(found).headers)
    assert len(image_files(tmp_path)) == 8


def test_a_compressed_dicom_file():
    import pydicom
    from pydicom.uid import RLELossless

    data = pydicom.dcmread(io.BytesIO(dicom(stored(), RescaleIntercept="0", RescaleSlope="1")))
    data.compress(RLELossless)
    buffer = io.BytesIO()
    data.save_as(buffer)
    plain = dicom(stored(), RescaleIntercept="0", RescaleSlope="1")
    assert (whole_image(buffer.getvalue(), "x") == whole_image(plain, "x")).all()


# --- large images -----------------------------------------------------------------------------------------------------


def test_means_of_blocks():
    array = np.random.default_rng(0).integers(0, 256, (11, 13, 2)).astype(np.uint8)
    means = BlockMeans((11, 13, 2), 4, array.dtype)
    for top in range(0, 11, 5):
        for left in range(0, 13, 6):
            means.add(np.pad(array, ((0, 9), (0, 9), (0, 0)))[top : top + 5, left : left + 6], top, left)
    expected = [[array[y : y + 4, x : x + 4].mean((0, 1)) for x in range(0, 13, 4)] for y in range(0, 11, 4)]
    assert np.abs(means.result() - np.array(expected)).max() <= 0.5


@pytest.fixture
def small_limit(monkeypatch):
    """Images of more than 10,000 pixels count as large."""
    for module in (reduction, pillow):
        monkeypatch.setattr(module, "FULL_PIXELS", 10_000)


def test_large_images_are_decoded_at_a_reduced_scale(small_limit, monkeypatch):
    y, x = np.mgrid[0:400, 0:600]
    wave = (np.sin(x / 40) * np.cos(y / 30) * 100 + 128).astype(np.uint8)
    colour = np.dstack([wave, 255 - wave, wave // 2])
    clear = np.dstack([colour, np.full_like(wave, 128)])
    shapes = []
    add = BlockMeans.add
    monkeypatch.setattr(BlockMeans, "add", lambda self, part, *a: (shapes.append(part.shape), add(self, part, *a))[1])
    for content, form, exact in (
        (saved(Image.fromarray(colour), "PNG"), PixelFormat(3, 8), colour),
        (saved(Image.fromarray(clear), "PNG"), PixelFormat(3, 8), 255 - (255 - colour.astype(float)) * 128 / 255),
        (as_tiff(colour, photometric="rgb", tile=(64, 64), compression="zlib"), PixelFormat(3, 8), colour),
        (as_tiff(clear, photometric="rgb", extrasamples=["unassalpha"], rowsperstrip=16), PixelFormat(3, 8),
         255 - (255 - colour.astype(float)) * 128 / 255),
        (bands(np.dstack([colour, wave, wave]), "separate", tile=(64, 64)), PixelFormat(5, 8),
         np.dstack([colour, wave, wave])),
        (as_npy(wave), PixelFormat(1, 8), wave[:, :, None]),
    ):  # fmt: skip
        shapes.clear()
        found = decode_image(content, "x", form, Geometry(40, 60)).transpose(1, 2, 0)
        assert shapes or content[:4] == b"\x89PNG", "the image was not decoded in parts"
        expected = np.asarray(exact, float).reshape(40, 10, 60, 10, -1).mean((1, 3))
        assert np.abs(found - expected).max() < 8, "box means and the bicubic filter differ by a few levels"
    image = Image.fromarray(wave)
    image.putpalette(bytes(range(256)) * 3)
    assert decode_image(saved(image, "GIF"), "x", PixelFormat(1, 8), Geometry(40, 60)).shape == (1, 40, 60)


def pyramid(levels: list[np.ndarray], *, below: bool) -> bytes:
    """Versions of an image in one TIFF, below the first page (SubIFDs) or after it (as GDAL's overviews)."""
    buffer = io.BytesIO()
    options = {"photometric": "rgb", "tile": (16, 16), "metadata": None}
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(levels[0], subifds=len(levels) - 1 if below else None, **options)
        for level in levels[1:]:
            writer.write(level, subfiletype=1, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("below", [True, False])
def test_the_version_of_a_pyramid_that_is_large_enough(small_limit, below):
    def plain(height: int, width: int, level: int) -> np.ndarray:
        return np.full((height, width, 3), level, np.uint8)

    levels = [plain(400, 600, 50), plain(200, 300, 100), plain(100, 150, 150), plain(50, 75, 200)]
    other = plain(50, 50, 250)  # such as the label of a slide: of another shape
    content = pyramid([*levels, other], below=below)
    for side, level in ((30, 150), (60, 100), (150, 50)):
        found = decode_image(content, "x", PixelFormat(3, 8), Geometry(side, side * 3 // 2))
        assert (found == level).all(), (side, np.unique(found))
    assert (whole_image(content, "x") == 50).all()
    assert image_header(content, "x").width == 600


def test_pages_that_are_no_versions_of_the_first(small_limit):
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:  # two pictures, and neither says that it is reduced
        for side, level in ((400, 50), (200, 100)):
            writer.write(np.full((side, side, 3), level, np.uint8), photometric="rgb", tile=(16, 16), metadata=None)
    assert (decode_image(buffer.getvalue(), "x", PixelFormat(3, 8), Geometry(30, 30)) == 50).all()


def test_the_limit_of_pixels(tmp_path):
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (100 if name == "b/2.png" else 10, 100)).save(tmp_path / name)
    found = scan(read(tmp_path, options=TaskOptions(pixels=PixelOptions(max_pixels=5000))))
    assert "b/2.png is too large to decode; found 100x100" in found.failed[3]
    assert "--max-pixels" in found.failed[3]
    with pytest.raises(ImageError, match=r"at most 0\.005 million"):
        decode_image(saved(Image.new("L", (100, 100)), "PNG"), "x", PixelFormat(1, 8, max_pixels=5000), Geometry(8, 8))


# --- malformed files --------------------------------------------------------------------------------------------------


def valid_files() -> dict[str, bytes]:
    """A small valid file of every format that this file is about; `test_pixels` has those of the others."""
    import imagecodecs
    import pillow_heif

    heic = io.BytesIO()
    pillow_heif.from_pillow(photo()).save(heic)
    return {
        "bands.tif": bands(cube(5)),
        "tiled.tif": bands(cube(12), "separate", tile=(16, 16), compression="zlib"),
        "float.tif": as_tiff(cube(1, "float32")[:, :, 0]),
        "ome.tif": as_tiff(np.moveaxis(cube(3), 2, 0), ome=True, metadata={"axes": "CYX"}),
        "big.tif": bands(cube(2), bigtiff=True),
        "deep.npy": as_npy(cube(12)),
        "float.npy": as_npy(cube(1, "float32")),
        "gray.dcm": dicom(stored(), WindowCenter="1", WindowWidth="9"),
        "colour.dcm": dicom(ramp()),
        "photo.heic": heic.getvalue(),
        "photo.avif": saved(photo(), "AVIF"),
        "photo.jxl": imagecodecs.jpegxl_encode(np.asarray(photo())),
        "clear.bmp": saved(Image.fromarray(np.dstack([ramp(), ramp()[:, :, :1]])), "BMP"),
    }


def damaged(good: bytes, dice: random.Random) -> bytes:
    """Cut off, with bytes flipped near the start or anywhere, or with a part repeated."""
    bad, kind = bytearray(good), dice.randrange(4)
    if kind == 0:
        del bad[dice.randrange(1, len(bad)) :]
    elif kind == 3:
        at = dice.randrange(len(bad))
        bad[at:at] = bad[at : at + dice.randrange(1, 200)]
    else:
        reach = len(bad) if kind == 1 else min(len(bad), 400)
        for _ in range(dice.choice([1, 1, 2, 8])):
            bad[dice.randrange(reach)] = dice.randrange(256)
    return bytes(bad)


def check_damaged(name: str, good: bytes, trials: int) -> None:
    """Nothing but ImageError comes out of damaged files, and it names the file."""
    dice = random.Random(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(trials):
            bad = damaged(good, dice)
            try:
                header = image_header(bad, name)
                form = PixelFormat(header.bands, header.bits, (0, 1) if header.values else None)
                assert decode_image(bad, name, form, Geometry(8, 8)).shape == (header.bands, 8, 8)
            except ImageError as error:
                assert str(error).startswith(f"{name} ")  # noqa: PT017


@pytest.mark.parametrize("name", list(valid_files()))
def test_only_image_errors_come_out_of_damaged_files(name):
    check_damaged(name, valid_files()[name], 25)


def test_unreadable_files_are_counted_named_and_kept(tmp_path):
    """Of each format one whole and one damaged file a class."""
    files = {k: v for k, v in valid_files().items() if "avif" in k or "heic" in k or "jxl" in k}
    for label in "ab":
        (tmp_path / label).mkdir()
        for name, content in files.items():
            (tmp_path / label / name).write_bytes(content)
            (tmp_path / label / f"bad_{name}").write_bytes(content[:50])
    before = sorted(p.name for p in Path(tmp_path).rglob("*.*"))
    found = scan(read(tmp_path))
    assert len(found.failed) == 2 * len(files)
    assert all("bad_" in why for why in found.failed.values())
    assert sorted(p.name for p in Path(tmp_path).rglob("*.*")) == before


def test_read_image_names_what_it_is(tmp_path):
    path = tmp_path / "m.tif"
    path.write_bytes(bands(cube(13)))
    assert read_image(path).shape == (13, H, W)
    with pytest.raises(ClearsightError, match="value-range"):
        read_image(_written(tmp_path / "f.npy", as_npy(np.float32([[0, 300]]))))


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
