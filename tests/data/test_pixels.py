"""Decoding, form by form (rule D2): values against Pillow, OpenCV and files put together byte by byte."""

from __future__ import annotations

import io
import random
import struct
import time
import warnings
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from clearsight.data.geometry import Geometry
from clearsight.data.pixels import (
    MAX_PIXELS,
    Header,
    PixelFormat,
    decode_image,
    from_array,
    image_header,
    quiet_pillow,
    read_bytes,
)
from clearsight.errors import ImageError

GRAY8, GRAY16, RGB8, RGB16 = PixelFormat(1, 8), PixelFormat(1, 16), PixelFormat(3, 8), PixelFormat(3, 16)
H, W = 24, 40


def ramp(h: int = H, w: int = W) -> np.ndarray:
    """A picture without symmetry (h, w, 3)."""
    y, x = np.mgrid[0:h, 0:w]
    return np.stack([x * 255 // max(1, w - 1), y * 255 // max(1, h - 1), (x * 2 + y * 3) % 256], axis=2).astype(
        np.uint8
    )


def deep(h: int = H, w: int = W) -> np.ndarray:
    """16-bit colours that 8 bits cannot hold (h, w, 3)."""
    return (ramp(h, w).astype(np.uint16) * 251 + np.arange(w, dtype=np.uint16)[None, :, None]).astype(np.uint16)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def whole(content: bytes, form: PixelFormat, size: tuple[int, int] = (H, W)) -> np.ndarray:
    """Decoded without scaling, (H, W, C)."""
    return decode_image(content, "x", form, Geometry(*size)).transpose(1, 2, 0)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, colour: int, rows: list[bytes], extra: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + head + extra + body + chunk(b"IEND", b"")


def tiff(array: np.ndarray, *, orientation: int = 1, extra: int | None = None, kind: int = 1) -> bytes:
    """An uncompressed TIFF of an array (h, w, c), written from the specification; kind 1 integers, 3 floats."""
    h, w, c = array.shape
    data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    tags = [
        (256, 3, 1, w), (257, 3, 1, h), (258, 3, c, None), (259, 3, 1, 1), (262, 3, 1, 2 if c >= 3 else 1),
        (273, 4, 1, None), (274, 3, 1, orientation), (277, 3, 1, c), (278, 3, 1, h), (279, 4, 1, len(data)),
        (339, 3, 1, kind),
    ]  # fmt: skip
    if extra is not None:
        tags.append((338, 3, 1, extra))
    tags.sort(key=lambda tag: tag[0])
    after = 8 + 2 + 12 * len(tags) + 4
    bits = array.dtype.itemsize * 8
    out = b"II*\0" + struct.pack("<IH", 8, len(tags))
    for tag, type_, count, value in tags:
        if tag == 258:
            value = after if c > 2 else bits
        elif tag == 273:
            value = after + 2 * c
        out += struct.pack("<HHI", tag, type_, count)
        out += struct.pack("<HH", value, 0) if type_ == 3 and count == 1 else struct.pack("<I", value)
    return out + struct.pack("<I", 0) + struct.pack(f"<{c}H", *[bits] * c) + data


# --- what becomes of each kind of image ------------------------------------------------------------------------------


def test_remarks_of_opencv_come_back():
    from cv2.utils import logging

    before = logging.getLogLevel()
    with quiet_pillow():
        assert logging.getLogLevel() == logging.LOG_LEVEL_SILENT
    assert logging.getLogLevel() == before


def test_gray_and_colour():
    colour, gray = Image.fromarray(ramp()), Image.fromarray(ramp()).convert("L")
    assert image_header(saved(gray, "PNG"), "x") == Header(W, H, "L", "PNG", 8)
    assert (whole(saved(gray, "PNG"), GRAY8)[:, :, 0] == np.asarray(gray)).all()
    assert (whole(saved(gray, "PNG"), RGB8) == np.asarray(gray)[:, :, None]).all()
    assert (whole(saved(colour, "PNG"), RGB8) == ramp()).all()
    assert (whole(saved(colour, "PNG"), GRAY8)[:, :, 0] == np.asarray(gray)).all()
    for kind in ("BMP", "TIFF", "PPM"):
        assert (whole(saved(colour, kind), RGB8) == ramp()).all()
    theirs = cv2.imdecode(np.frombuffer(saved(colour, "JPEG"), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert np.abs(whole(saved(colour, "JPEG"), RGB8).astype(int) - theirs).max() <= 2


def test_bilevel():
    bits = Image.fromarray(ramp()[:, :, 0]).convert("1", dither=Image.Dither.NONE)
    for kind in ("PNG", "TIFF", "BMP"):
        header = image_header(saved(bits, kind), "x")
        assert header.gray
        assert (whole(saved(bits, kind), GRAY8)[:, :, 0] == np.where(ramp()[:, :, 0] > 127, 255, 0)).all()


def test_alpha_is_laid_over_white():
    alpha = np.linspace(0, 255, W).astype(np.uint8)[None, :].repeat(H, 0)
    image = Image.fromarray(np.dstack([ramp(), alpha]))
    share = alpha[:, :, None] / 255
    expected = ramp() * share + 255 * (1 - share)
    for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
        content = saved(image, kind, **options)
        assert image_header(content, "x").alpha
        assert np.abs(whole(content, RGB8) - expected).max() <= 1
    assert (whole(saved(image, "PNG"), RGB8)[:, 0] == 255).all()


def test_gray_with_alpha_stays_gray():
    gray, alpha = ramp()[:, :, 0], ramp()[:, :, 1]
    content = saved(Image.fromarray(np.dstack([gray, alpha])), "PNG")
    header = image_header(content, "x")
    assert (header.mode, header.gray, header.alpha) == ("LA", True, True)
    expected = gray * (alpha / 255) + 255 - alpha
    assert np.abs(whole(content, GRAY8)[:, :, 0] - expected).max() <= 1


def test_palette():
    palette = Image.fromarray(ramp()).quantize(200)
    content = saved(palette, "PNG")
    assert image_header(content, "x").mode == "P"
    assert not image_header(content, "x").gray
    assert (whole(content, RGB8) == np.asarray(palette.convert("RGB"))).all()


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palette_with_a_transparent_entry(kind):
    palette = Image.new("P", (W, H), 1)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.paste(0, (0, 0, W // 2, H))
    content = saved(palette, kind, transparency=0)
    assert image_header(content, "x").alpha
    out = whole(content, RGB8)
    assert (out[:, : W // 2] == 255).all()
    assert (out[:, W // 2 :] == [200, 100, 50]).all()


def test_palette_with_alpha_per_entry():
    palette = Image.new("P", (W, H), 1)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    content = saved(palette, "PNG", transparency=bytes([0, 51]))  # 51/255 = a fifth
    assert np.abs(whole(content, RGB8).astype(int) - [244, 224, 214]).max() <= 1


def test_gray_palette_of_a_gif_is_gray():
    levels = np.repeat(np.arange(0, 200, 5, dtype=np.uint8)[None], H, 0)
    image = Image.fromarray(levels).convert("P")
    image.putpalette([v for v in range(255, -1, -1) for _ in range(3)])  # gray, but not the identity
    content = saved(image, "GIF")
    assert image_header(content, "x").mode == "L"
    assert (whole(content, GRAY8)[:, :, 0] == 255 - levels).all()


def test_transparent_colour_of_gray_and_rgb_png():
    gray = png(2, 1, 8, 0, [bytes([7, 9])], chunk(b"tRNS", struct.pack(">H", 7)))
    assert whole(gray, GRAY8, (1, 2)).ravel().tolist() == [255, 9]
    rgb = png(2, 1, 8, 2, [bytes([1, 2, 3, 4, 5, 6])], chunk(b"tRNS", struct.pack(">3H", 1, 2, 3)))
    assert whole(rgb, RGB8, (1, 2)).ravel().tolist() == [255, 255, 255, 4, 5, 6]
    deep_gray = png(2, 1, 16, 0, [struct.pack(">2H", 700, 900)], chunk(b"tRNS", struct.pack(">H", 700)))
    assert whole(deep_gray, GRAY16, (1, 2)).ravel().tolist() == [65535, 900]
    deep_rgb = png(2, 1, 16, 2, [struct.pack(">6H", 1, 2, 3, 4, 5, 6)], chunk(b"tRNS", struct.pack(">3H", 1, 2, 3)))
    assert whole(deep_rgb, RGB16, (1, 2)).ravel().tolist() == [65535, 65535, 65535, 4, 5, 6]


def test_cmyk_jpeg():
    image = Image.fromarray(ramp()).convert("CMYK")
    content = saved(image, "JPEG", quality=95)
    assert image_header(content, "x").mode == "CMYK"
    assert np.abs(whole(content, RGB8).astype(int) - ramp()).mean() < 4
    theirs = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert np.abs(whole(content, RGB8).astype(int) - theirs).mean() < 2


# --- 16 bits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_gray_of_16_bits(kind):
    values = deep()[:, :, 0]
    content = saved(Image.fromarray(values), kind)
    header = image_header(content, "x")
    assert (header.bits, header.gray) == (16, True)
    assert (whole(content, GRAY16)[:, :, 0] == values).all()
    assert (whole(content, GRAY8)[:, :, 0] == np.rint(values / 257)).all()
    assert (cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) == values).all()


@pytest.mark.parametrize("kind", ["png", "tiff", "ppm"])
def test_colour_of_16_bits_stays_so(kind):
    content = cv2.imencode(f".{kind}", deep()[:, :, ::-1])[1].tobytes()
    assert image_header(content, "x").bits == 16
    assert (whole(content, RGB16) == deep()).all()
    assert (whole(content, RGB8) == np.rint(deep() / 257)).all()


def test_a_pixmap_of_12_bits_is_scaled_to_16():
    values = deep() >> 4
    content = b"P6\n# a comment\n40 24\n4095\n" + values.astype(">u2").tobytes()
    assert np.abs(whole(content, RGB16).astype(int) - values.astype(float) * 65535 / 4095).max() <= 0.5


@pytest.mark.parametrize("extra", [None, 2])
def test_alpha_of_16_bits(extra):
    alpha = np.linspace(0, 65535, W).astype(np.uint16)[None, :, None].repeat(H, 0)
    four = np.dstack([deep(), alpha])
    content = cv2.imencode(".png", four[:, :, [2, 1, 0, 3]])[1].tobytes() if extra is None else tiff(four, extra=extra)
    share = alpha / 65535
    assert np.abs(whole(content, RGB16) - (deep() * share + 65535 * (1 - share))).max() <= 1


def test_premultiplied_and_unnamed_fourth_channel_of_a_tiff():
    """A fourth sample that no tag calls alpha is a channel of its own, such as near infrared."""
    four = np.dstack([deep() // 2, np.full((H, W, 1), 32768, np.uint16)])
    premultiplied = whole(tiff(four, extra=1), RGB16)
    assert np.abs(premultiplied - (deep() // 2 + 32767.0)).max() <= 1
    assert (whole(tiff(four, extra=0), PixelFormat(4, 16)) == four).all()
    with pytest.raises(ImageError, match="another number of channels than the training images; found 4; expected 3"):
        whole(tiff(four, extra=0), RGB16)


def test_gray_with_alpha_of_16_bits():
    content = png(2, 1, 16, 4, [struct.pack(">4H", 100, 65535, 40000, 0)])
    header = image_header(content, "x")
    assert (header.bits, header.gray, header.alpha) == (16, True, True)
    assert whole(content, GRAY16, (1, 2)).ravel().tolist() == [100, 65535]


def test_integers_beyond_16_bits_are_refused():
    content = saved(Image.fromarray(np.full((H, W), 70_000, np.int32)), "TIFF")
    with pytest.raises(ImageError, match=r"x\.tif has values of an unknown range; found int32 values from 70000 to"):
        decode_image(content, "x.tif", GRAY16, Geometry(H, W))


def test_every_8_bit_value_survives_16_bits():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    wide = from_array(values, "x", GRAY16, Geometry(16, 16))
    assert wide.dtype == np.uint16
    assert (wide[0] == values.astype(int) * 257).all()
    assert wide.max() == 65535
    assert (from_array(wide, "x", GRAY8, Geometry(16, 16))[0] == values).all()


def test_16_to_8_bits_rounds_to_the_nearest():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    out = from_array(values, "x", GRAY8, Geometry(256, 256))[0]
    assert (out == np.floor(values.astype(float) / 257 + 0.5)).all()


# --- EXIF, animations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("size", [(H, W), (32, 32)])
def test_exif_orientation(kind, orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(kind, {})
    content = saved(Image.fromarray(ramp(*size)), kind, exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))
    assert expected.shape[:2] == (size if orientation < 5 else size[::-1])
    assert (whole(content, RGB8, expected.shape[:2]) == expected).all()
    assert image_header(content, "x").oriented == (orientation != 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_16_bit_colour(orientation):
    base = deep()
    upright = {
        1: base, 2: np.fliplr(base), 3: np.rot90(base, 2), 4: np.flipud(base), 5: base.transpose(1, 0, 2),
        6: np.rot90(base, -1), 7: np.rot90(base, 2).transpose(1, 0, 2), 8: np.rot90(base),
    }[orientation]  # fmt: skip
    assert (whole(tiff(base, orientation=orientation), RGB16, upright.shape[:2]) == upright).all()
    exif = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    rows = [row.astype(">u2").tobytes() for row in base]
    content = png(W, H, 16, 2, rows, chunk(b"eXIf", exif))
    assert (whole(content, RGB16, upright.shape[:2]) == upright).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
def test_exif_orientation_through_scaled_decoding(orientation, fit):
    """640x400 to 48x32: JPEG is decoded at 1/8; the result equals upright pixels scaled in full."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    smooth = cv2.GaussianBlur(ramp(400, 640)[:, :, :2].repeat(2, axis=2)[:, :, :3].copy(), (0, 0), 5)
    content = saved(Image.fromarray(smooth), "JPEG", exif=exif, quality=95)
    geometry = Geometry(32, 48, fit)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))
    expected = geometry.apply(upright).transpose(2, 0, 1).astype(int)
    assert np.abs(decode_image(content, "x", RGB8, geometry) - expected).mean() < 1.5


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_none(value):
    exif = Image.Exif()
    exif[0x0112] = value
    content = saved(Image.fromarray(ramp()), "PNG", exif=exif)
    assert not image_header(content, "x").oriented
    assert (whole(content, RGB8) == ramp()).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame(kind):
    frames = [Image.new("RGB", (W, H), colour) for colour in ("red", "lime", "blue")]
    options = {"WEBP": {"lossless": True}}.get(kind, {})
    content = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert image_header(content, "x").frames == 3
    assert (whole(content, RGB8) == [255, 0, 0]).all()


def test_an_animation_whose_second_frame_is_broken_still_has_a_first():
    frames = [Image.fromarray(ramp()).quantize(64), Image.fromarray(ramp()[::-1].copy()).quantize(64)]
    content = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    cut = content[: int(len(content) * 0.6)]
    assert (whole(cut, RGB8) == np.asarray(frames[0].convert("RGB"))).all()


# --- scaled decoding -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
def test_scaled_jpeg_decoding_equals_full_decoding(fit):
    from skimage import data

    picture = np.kron(data.astronaut(), np.ones((3, 3, 1), np.uint8))[:1200]
    content = saved(Image.fromarray(picture), "JPEG", quality=92)
    geometry = Geometry(96, 96, fit)
    expected = geometry.apply(np.asarray(Image.open(io.BytesIO(content)))).transpose(2, 0, 1)
    out = decode_image(content, "x", RGB8, geometry)
    difference = np.abs(out.astype(int) - expected)
    if fit == "pad":  # the last row of a picture scaled in two steps may lie a pixel off
        difference = difference[:, 20:-20]
    assert difference.mean() < 1.5
    assert np.percentile(difference, 99) <= 12


def test_scaled_jpeg_decoding_is_used():
    """1024x1024 noise to 64x64: the result is that of libjpeg's decoding at 1/8, which differs from the whole's."""
    noise = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3)).astype(np.uint8)
    content, geometry = saved(Image.fromarray(noise), "JPEG", quality=85), Geometry(64, 64)
    image = Image.open(io.BytesIO(content))
    image.draft(None, (64, 64))
    assert image.size == (128, 128)
    out = decode_image(content, "x", RGB8, geometry).transpose(1, 2, 0)
    assert (out == np.asarray(image.resize((64, 64), Image.Resampling.BICUBIC))).all()
    assert (out != geometry.apply(np.asarray(Image.open(io.BytesIO(content))))).any()


# --- broken and hostile files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_a_truncated_file_is_named(kind):
    content = saved(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)), kind)
    with pytest.raises(ImageError, match=r"photo\.img") as found:
        decode_image(content[: len(content) // 2], "photo.img", RGB8, Geometry(64, 64))
    assert found.value.found


def test_a_truncated_16_bit_png_is_named():
    content = cv2.imencode(".png", deep())[1].tobytes()
    with pytest.raises(ImageError, match=r"x\.png cannot be decoded"):
        decode_image(content[: len(content) // 2], "x.png", RGB16, Geometry(H, W))


def test_zero_bytes_and_missing_files(tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.raises(ImageError, match=r"empty\.png is empty; found 0 bytes; expected an image"):
        read_bytes(tmp_path / "empty.png")
    with pytest.raises(ImageError, match=r"gone\.png does not exist"):
        read_bytes(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="is a folder; expected an image file"):
        read_bytes(tmp_path)


def test_text_named_as_an_image():
    with pytest.raises(ImageError, match=r"a\.jpg is not an image; found text; expected BMP, GIF"):
        image_header(b"hello, I am no image\n", "a.jpg")
    with pytest.raises(ImageError, match=r"a\.jpg is not an image; found a file that begins with b'\\x00\\x01"):
        image_header(bytes(range(50)), "a.jpg")


def test_formats_that_start_other_programs_are_not_opened():
    with pytest.raises(ImageError, match="is not an image"):
        image_header(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "a.jpg")


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (17_500, 17_500), (1, 70_000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_unread(width, height):
    head = png(width, height, 8, 2, [])
    start = time.process_time()  # so that other processes do not count
    for work in (lambda: image_header(head, "b.png"), lambda: decode_image(head, "b.png", RGB8, Geometry(8, 8))):
        with pytest.raises(ImageError, match=r"b\.png is too large to decode.*million"):
            work()
    assert time.process_time() - start < 0.5, "decoding so many pixels would take many seconds"
    assert MAX_PIXELS < 17_500 * 17_500


def test_a_bomb_is_refused_without_a_printed_warning():
    with quiet_pillow(), pytest.raises(ImageError, match=r"found 18000x18000 = 324 million pixels"):
        image_header(png(18_000, 18_000, 8, 2, []), "b.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet_pillow(), pytest.raises(UserWarning, match="ours"):
            warnings.warn("ours", UserWarning, stacklevel=1)


def samples() -> dict[str, bytes]:
    image = Image.fromarray(ramp())
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    palette = image.quantize(64)
    return {
        "jpeg": saved(image, "JPEG", exif=exif),
        "cmyk": saved(image.convert("CMYK"), "JPEG"),
        "png": saved(image, "PNG", exif=exif),
        "palette": saved(palette, "PNG", transparency=3),
        "deep png": cv2.imencode(".png", deep())[1].tobytes(),
        "gif": saved(palette, "GIF", save_all=True, append_images=[palette.rotate(180)]),
        "webp": saved(image, "WEBP", exif=exif),
        "tiff": saved(image, "TIFF"),
        "tiff lzw": saved(image, "TIFF", compression="tiff_lzw"),
        "deep tiff": tiff(deep()),
        "bmp": saved(image, "BMP"),
        "ppm": b"P6 40 24 65535\n" + deep().astype(">u2").tobytes(),
    }


@pytest.mark.parametrize("kind", list(samples()))
@pytest.mark.parametrize("strict", [True, False], ids=["warnings are errors", "warnings are ignored"])
def test_only_image_errors_come_out_of_damaged_files(kind, strict):
    """300 truncations and flipped bytes of a valid file, under both warning regimes."""
    good, dice = samples()[kind], random.Random(kind)
    forms, fits = [GRAY8, RGB8, RGB16], ["squash", "pad", "crop"]
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "ignore")
        for trial in range(150):
            bad = bytearray(good)
            if trial % 3 == 0:
                del bad[dice.randrange(1, len(bad)) :]
            else:
                reach = len(bad) if trial % 3 == 1 else min(len(bad), 120)
                for _ in range(dice.choice([1, 1, 2, 5])):
                    bad[dice.randrange(reach)] = dice.randrange(256)
            for work in (
                lambda c: image_header(c, "x"),
                lambda c, t=trial: decode_image(c, "x", forms[t % 3], Geometry(16, 16, fits[t % 3])),
            ):
                try:
                    out = work(bytes(bad))
                except ImageError as error:
                    assert str(error).startswith("x ")  # noqa: PT017
                else:
                    assert isinstance(out, Header) or out.shape[1:] == (16, 16)


# --- forms and arrays ------------------------------------------------------------------------------------------------


def test_the_covering_form():
    def header(mode: str, bits: int = 8) -> Header:
        return Header(1, 1, mode, "PNG", bits)

    assert PixelFormat.covering([header("L"), header("1")]) == GRAY8
    assert PixelFormat.covering([header("L"), header("RGB")]) == RGB8
    assert PixelFormat.covering([header("I;16", 16), header("L")]) == GRAY16
    assert PixelFormat.covering([header("I;16", 16), header("P")]) == RGB16


def test_arrays_of_every_shape():
    gray, colour = ramp()[:, :, 0], ramp().transpose(2, 0, 1)
    assert (from_array(gray, "x", RGB8, Geometry(H, W)) == gray).all()
    assert (from_array(gray[None], "x", GRAY8, Geometry(H, W))[0] == gray).all()
    assert (from_array(colour, "x", RGB8, Geometry(H, W)) == colour).all()
    luma = np.asarray(Image.fromarray(ramp()).convert("L")).astype(int)
    assert (from_array(colour, "x", GRAY8, Geometry(H, W))[0] == luma).all()
    white = np.full((3, 4, 4), 65535, np.uint16)
    assert (from_array(white, "x", GRAY16, Geometry(4, 4)) == 65535).all()
    for wrong in (ramp(), colour.astype(np.float32), gray[0]):
        with pytest.raises(ImageError, match=r"x is not an image; found an array of shape .*; expected \(H, W\)"):
            from_array(wrong, "x", RGB8, Geometry(H, W))
