"""Geometry as a property of every size, and against Pillow used directly."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clearsight.data.geometry import Geometry, resize

sides = st.integers(1, 2000)
targets = st.integers(1, 96)
fits = st.sampled_from(["squash", "pad", "crop"])


@settings(max_examples=120, deadline=None)
@given(sides, sides, targets, targets, fits, st.sampled_from([1, 3]), st.sampled_from([np.uint8, np.uint16]))
def test_the_output_has_the_size_asked_for(height, width, to_height, to_width, fit, channels, dtype):
    image = np.zeros((height, width, channels), dtype)
    out = Geometry(to_height, to_width, fit).apply(image)
    assert out.shape == (to_height, to_width, channels)
    assert out.dtype == dtype


@settings(max_examples=60, deadline=None)
@given(sides, sides, targets, targets)
def test_pad_keeps_the_aspect_within_a_pixel_and_centres(height, width, to_height, to_width):
    out = Geometry(to_height, to_width, "pad").apply(np.full((height, width, 1), 255, np.uint8))[:, :, 0]
    rows, cols = np.flatnonzero(out.any(axis=1)), np.flatnonzero(out.any(axis=0))
    got = len(rows), len(cols)
    assert (out[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] == 255).all()  # one whole rectangle
    factor = min(to_height / height, to_width / width)
    for have, want, room, first in (
        (got[0], height * factor, to_height, rows[0]),
        (got[1], width * factor, to_width, cols[0]),
    ):
        assert abs(have - max(1, want)) <= 1
        assert abs(first - (room - have - first)) <= 1  # as much border on one side as on the other
    assert got[0] == to_height or got[1] == to_width


@settings(max_examples=60, deadline=None)
@given(sides, sides, targets, targets, st.integers(0, 255), fits)
def test_a_constant_image_stays_constant(height, width, to_height, to_width, value, fit):
    out = Geometry(to_height, to_width, fit).apply(np.full((height, width, 3), value, np.uint8))
    inside = {0, value} if fit == "pad" else {value}
    assert set(np.unique(out)) <= inside


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 80), st.integers(1, 80), st.integers(1, 40), st.integers(1, 40), fits, st.integers(0, 2**32 - 1))
def test_16_bits_are_8_bits_times_257_within_a_step(height, width, to_height, to_width, fit, seed):
    """In the middle of the range, where bicubic overshoot is not cut off. Pillow rounds 8 bits after each of two passes
    whose weights add up to 1.3 at most in absolute value: 0.5 + 0.5 x 1.3 = 1.15 steps."""
    image = np.random.default_rng(seed).integers(64, 192, (height, width, 3)).astype(np.uint8)
    geometry = Geometry(to_height, to_width, fit)
    narrow = geometry.apply(image).astype(np.float64)
    wide = geometry.apply(image.astype(np.uint16) * 257) / 257
    assert np.abs(wide - narrow).max() <= 1.16


def test_16_bits_of_the_full_range_are_cut_off_not_wrapped():
    image = np.zeros((20, 20, 1), np.uint16)
    image[:, 10:] = 65535
    out = Geometry(33, 33).apply(image)[:, :, 0].astype(int)
    assert (np.diff(out[0]) >= -8000).all()
    assert (out[:, :8] <= 200).all()
    assert (out[:, -8:] >= 65335).all()


@given(st.integers(1, 50), st.integers(1, 50), fits)
def test_the_right_size_is_left_alone(height, width, fit):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    assert (Geometry(height, width, fit).apply(image) == image).all()


@settings(max_examples=60, deadline=None)
@given(sides, sides, targets, targets)
def test_scaled_covers_for_crop_and_fits_for_pad(height, width, to_height, to_width):
    w, h = Geometry(to_height, to_width, "crop").scaled(width, height)
    assert w >= to_width
    assert h >= to_height
    assert w == to_width or h == to_height
    w, h = Geometry(to_height, to_width, "pad").scaled(width, height)
    assert 1 <= w <= to_width
    assert 1 <= h <= to_height
    assert Geometry(to_height, to_width).scaled(width, height) == (to_width, to_height)


@settings(max_examples=60, deadline=None)
@given(sides, sides, targets, targets, fits)
def test_needed_serves_the_image_and_the_turned_image(height, width, to_height, to_width, fit):
    geometry = Geometry(to_height, to_width, fit)
    need = geometry.needed((width, height))
    upright, turned = geometry.scaled(width, height), geometry.scaled(height, width)
    assert need[0] >= max(upright[0], turned[1])
    assert need[1] >= max(upright[1], turned[0])


def test_squash_is_pillows_bicubic():
    image = np.random.default_rng(0).integers(0, 256, (90, 131, 3)).astype(np.uint8)
    expected = np.asarray(Image.fromarray(image).resize((40, 32), Image.Resampling.BICUBIC))
    assert (Geometry(32, 40).apply(image) == expected).all()
    gray = image[:, :, :1]
    assert (Geometry(32, 40).apply(gray)[:, :, 0] == Image.fromarray(gray[:, :, 0]).resize((40, 32))).all()


def test_crop_is_scale_then_cut_the_centre():
    image = np.asarray(Image.effect_mandelbrot((200, 120), (-2, -1, 1, 1), 100).convert("RGB"))
    whole = np.asarray(Image.fromarray(image).resize((100, 60), Image.Resampling.BICUBIC)).astype(int)
    out = Geometry(60, 60, "crop").apply(image).astype(int)
    assert np.abs(out - whole[:, 20:80]).max() <= 1


def test_crop_at_scale_one_copies_pixels():
    image = np.random.default_rng(0).integers(0, 256, (10, 21, 1)).astype(np.uint8)
    assert (Geometry(10, 10, "crop").apply(image) == image[:, 5:15]).all()


def test_pad_puts_the_scaled_image_between_zeros():
    image = np.full((10, 20, 3), 200, np.uint8)
    out = Geometry(20, 20, "pad").apply(image)
    assert (out[5:15] == 200).all()
    assert not out[:5].any()
    assert not out[15:].any()


def test_crop_of_a_very_thin_image_takes_little_memory():
    """Scaled whole to cover 224 pixels, this image would have 3.3 thousand million pixels."""
    image = np.zeros((65_535, 1, 1), np.uint8)
    image[32_700:32_836] = 255
    assert (Geometry(224, 224, "crop").apply(image) == 255).all()


def test_scaling_is_antialiased():
    """A grid of one-pixel lines becomes even gray; without averaging it would give lines or nothing. OpenCV agrees."""
    image = np.zeros((256, 256, 1), np.uint8)
    image[:, ::2] = 255
    out = resize(image, 16, 16)
    assert np.abs(out.astype(int) - 128).max() <= 8
    theirs = cv2.resize(image[:, :, 0], (16, 16), interpolation=cv2.INTER_AREA)
    assert np.abs(out[:, :, 0].astype(int) - theirs).max() <= 8


@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
def test_to_dict_names_every_field(fit):
    assert Geometry(3, 4, fit).to_dict() == {"height": 3, "width": 4, "resize_mode": fit}


@pytest.mark.parametrize(
    ("fit", "size", "seen"),
    [
        ("squash", (200, 50), (0, 0, 200, 50)),
        ("pad", (200, 100), (0, -50, 200, 150)),  # scaled by 0.2 to 40x20, and 10 rows above and below
        ("pad", (40, 40), (0, 0, 40, 40)),
        ("crop", (200, 100), (50, 0, 150, 100)),
        ("crop", (100, 300), (0, 100, 100, 200)),
    ],
)
def test_the_part_of_an_image_that_the_frame_shows(fit, size, seen):
    assert Geometry(40, 40, fit).seen(*size) == pytest.approx(seen, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(8, 300), st.integers(8, 300), fits)
def test_what_the_frame_shows_lies_where_it_says(height, width, fit):
    """The centre of brightness of a blurred spot in the frame, taken back, is that of the image."""
    y, x = np.mgrid[0:height, 0:width]
    spot = np.exp(-((y - height / 2) ** 2 + (x - width / 2) ** 2) / (min(height, width) / 8) ** 2)
    image = np.rint(spot * 255).astype(np.uint8)[:, :, None]
    geometry = Geometry(64, 64, fit)
    shown = geometry.apply(image)[:, :, 0].astype(float)
    left, top, right, bottom = geometry.seen(width, height)
    rows, columns = (
        (np.arange(64) + 0.5) / 64 * (bottom - top) + top,
        (np.arange(64) + 0.5) / 64 * (right - left) + left,
    )
    weight = shown.sum()
    found = (shown.sum(1) @ rows) / weight, (shown.sum(0) @ columns) / weight
    mean = image[:, :, 0].astype(float)
    expected = (
        (mean.sum(1) @ (np.arange(height) + 0.5)) / mean.sum(),
        (mean.sum(0) @ (np.arange(width) + 0.5)) / mean.sum(),
    )
    assert np.abs(np.subtract(found, expected)).max() < 0.6 * max(1, (bottom - top) / 64, (right - left) / 64)
