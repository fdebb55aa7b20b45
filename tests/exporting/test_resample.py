"""The resize rule as a graph gives Pillow's numbers, every one of them."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from clearsight.data.geometry import Geometry
from clearsight.exporting.resample import Resample

PICTURE = data.astronaut()
sides = st.integers(2, 400)


def scaled(image, geometry):
    """(H, W, C) by the graph, as whole numbers of the same kind."""
    bits = 8 * image.itemsize
    tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None]))
    return Resample(geometry, bits)(tensor)[0].numpy().transpose(1, 2, 0).astype(image.dtype)


def test_it_equals_pillow_used_directly():
    image = PICTURE[:300, :260]
    wide = Image.fromarray(image).resize((64, 300), Image.Resampling.BICUBIC)
    expected = np.asarray(wide.resize((64, 96), Image.Resampling.BICUBIC))
    assert (scaled(image, Geometry(96, 64)) == expected).all()


@settings(max_examples=60, deadline=None)
@given(sides, sides, st.integers(4, 96), st.integers(4, 96), st.sampled_from(["squash", "pad", "crop"]))
@example(340, 511, 96, 64, "crop")
@example(100, 50, 64, 96, "pad")
@example(490, 512, 224, 224, "squash")
def test_it_equals_the_geometry_at_every_size(height, width, to_height, to_width, fit):
    geometry = Geometry(to_height, to_width, fit)
    image = PICTURE[:height, :width]
    assert (scaled(image, geometry) == geometry.apply(image)).all()


@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
def test_16_bits_are_within_a_step(fit):
    """A few of thousands of values fall on the other side of a half: Pillow adds up in another order there."""
    deep = PICTURE[:130, :170].astype(np.uint16) * 257 - np.arange(170, dtype=np.uint16)[None, :, None]
    geometry = Geometry(48, 64, fit)
    apart = np.abs(scaled(deep, geometry).astype(int) - geometry.apply(deep).astype(int))
    assert apart.max() <= 1
    assert (apart > 0).mean() < 1e-2


def test_an_image_of_the_working_size_is_left_as_it_is():
    image = PICTURE[:40, :56]
    for fit in ("squash", "pad", "crop"):
        assert (scaled(image, Geometry(40, 56, fit)) == image).all()
