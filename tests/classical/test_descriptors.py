"""Descriptors against scikit-image and OpenCV, on real pictures and on those that hold nothing."""

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage import color, data, feature, filters

from clearsight.classical import colour, texture
from clearsight.classical.hog import hog
from clearsight.classical.sift import dense_sift
from clearsight.errors import DataError


def photos():
    """Three pieces of photographs (3, 3, 96, 80)."""
    pictures = [data.astronaut()[:96, 150:230], data.coffee()[100:196, 200:280], data.chelsea()[50:146, 100:180]]
    return torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2)) / 255


PHOTOS = photos()
GRAY = texture.gray(PHOTOS)


def each(function, images):
    return np.stack([function(image) for image in images])


@pytest.mark.parametrize("settings", [(9, 8, 2), (8, 6, 3), (4, 16, 1)])
def test_hog(settings):
    orientations, cell, block = settings
    how = {"orientations": orientations, "pixels_per_cell": (cell, cell), "cells_per_block": (block, block)}
    gray = GRAY.double()[:, 0]
    expected = each(lambda x: feature.hog(x, **how), gray.numpy())
    np.testing.assert_allclose(hog(gray[:, None], orientations, cell, block).numpy(), expected, atol=1e-6)
    pixels = PHOTOS.double()
    expected = each(lambda x: feature.hog(x.transpose(1, 2, 0), channel_axis=-1, **how), pixels.numpy())
    np.testing.assert_allclose(hog(pixels, orientations, cell, block).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("method", ["default", "ror", "uniform", "nri_uniform"])
@pytest.mark.parametrize(("points", "radius"), [(8, 1), (8, 2.5), (12, 3)])
def test_lbp(method, points, radius):
    eight = (GRAY * 255).round().to(torch.uint8)
    expected = each(lambda x: feature.local_binary_pattern(x, points, radius, method), eight[:, 0].numpy())
    np.testing.assert_array_equal(texture.lbp(eight / 255, points, radius, method).numpy(), expected)


def test_lbp_histograms_count_the_codes_of_each_part():
    codes = texture.lbp(GRAY)[:, :48, :40]
    found = texture.lbp_histogram(GRAY, grid=2).view(3, 4, 10)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)
    for code in range(10):
        np.testing.assert_allclose(found[:, 0, code], (codes == code).float().mean((1, 2)), atol=1e-6)


def test_cooccurrence_and_its_numbers():
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    levels = (GRAY[:, 0] * 16).long().clamp(0, 15).numpy().astype(np.uint8)
    found = texture.cooccurrence(GRAY, (1, 3), angles, 16)
    numbers = texture.haralick(found)
    for i, image in enumerate(levels):
        expected = feature.graycomatrix(image, [1, 3], angles, 16, symmetric=True, normed=True)
        np.testing.assert_allclose(found[i].numpy(), expected.transpose(2, 3, 0, 1), atol=1e-6)
        for place, name in enumerate(("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "entropy")):
            np.testing.assert_allclose(
                numbers[i, ..., place].numpy(), feature.graycoprops(expected, name), rtol=1e-4, atol=1e-5
            )


@pytest.mark.parametrize("theta", [0, 0.5, np.pi / 2])
def test_gabor_kernels(theta):
    real, imaginary = texture.gabor_kernel(0.2, theta)
    expected = filters.gabor_kernel(0.2, theta)
    np.testing.assert_allclose(real.numpy() + 1j * imaginary.numpy(), expected, atol=1e-9)


def test_gabor_answers_to_stripes_of_its_own_frequency_and_direction():
    x = torch.arange(64).float()
    stripes = (0.5 + 0.5 * torch.sin(2 * torch.pi * 0.2 * x)).expand(1, 1, 64, 64)
    strengths = texture.gabor(stripes, (0.1, 0.2), 2).view(2, 2, 2)[..., 0]  # frequency, direction
    assert strengths.argmax() == 2


def test_hu_moments():
    expected = each(lambda x: cv2.HuMoments(cv2.moments(x)).ravel(), GRAY[:, 0].double().numpy())
    np.testing.assert_allclose(texture.hu_moments(GRAY.double()).numpy(), expected, rtol=1e-6, atol=1e-18)
    turned = texture.hu_moments(GRAY.double().rot90(1, (2, 3)))
    np.testing.assert_allclose(turned[:, :6].numpy(), expected[:, :6], rtol=1e-6, atol=1e-15)


def test_colour_spaces():
    pixels = PHOTOS.double()
    pictures = pixels.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(colour.hsv(pixels).numpy().transpose(0, 2, 3, 1), color.rgb2hsv(pictures), atol=1e-9)
    np.testing.assert_allclose(colour.lab(pixels).numpy().transpose(0, 2, 3, 1), color.rgb2lab(pictures), atol=1e-6)


@pytest.mark.parametrize("space", ["rgb", "hsv", "lab"])
def test_colour_histograms(space):
    found = colour.histogram(PHOTOS, space, bins=4)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    points = colour.in_space(PHOTOS, space).flatten(2).transpose(1, 2)
    for i in range(3):
        expected, _ = np.histogramdd(points[i].numpy().clip(0, 1 - 1e-7), bins=4, range=[(0, 1)] * 3)
        np.testing.assert_allclose(found[i].numpy(), expected.ravel() / expected.sum(), atol=2e-3)


def test_the_most_frequent_colours():
    scene = torch.zeros(1, 3, 10, 10)
    scene[:, 2, :6] = 0.9  # sky
    scene[:, 0, 6:9] = 0.8  # sand
    found = colour.frequent_colours(scene)[0]
    torch.testing.assert_close(found[0], torch.tensor([0, 0, 0.9, 0.6]))
    torch.testing.assert_close(found[1], torch.tensor([0.8, 0, 0, 0.3]))
    one = colour.frequent_colours(torch.full((1, 3, 4, 4), 0.5))[0]
    torch.testing.assert_close(one, torch.tensor([[0.5, 0.5, 0.5, 1], [0.5, 0.5, 0.5, 0]]))


def slow_sift(image, top, left, cell):
    """One dense descriptor, pixel by pixel, as its documentation says."""
    height, width = image.shape
    bins = np.zeros((4, 4, 8))
    for i in range(4):
        for j in range(4):
            middle = top + i * cell + cell - 1, left + j * cell + cell - 1
            for y in range(middle[0] - cell + 1, middle[0] + cell):
                for x in range(middle[1] - cell + 1, middle[1] + cell):
                    dy = image[y + 1, x] - image[y - 1, x] if 0 < y < height - 1 else 0
                    dx = image[y, x + 1] - image[y, x - 1] if 0 < x < width - 1 else 0
                    share = (1 - abs(y - middle[0]) / cell) * (1 - abs(x - middle[1]) / cell)
                    place = np.arctan2(dy, dx) / (2 * np.pi) * 8 % 8
                    low = int(place) % 8
                    bins[i, j, low] += np.hypot(dx, dy) * share * (1 - place % 1)
                    bins[i, j, (low + 1) % 8] += np.hypot(dx, dy) * share * (place % 1)
            bins[i, j] *= np.exp(-((i - 1.5) ** 2 + (j - 1.5) ** 2) / 8)
    found = bins.ravel() / np.linalg.norm(bins)
    found = np.minimum(found, 0.2)
    return found / np.linalg.norm(found)


@pytest.mark.parametrize(("step", "cell"), [(4, 4), (6, 4), (3, 2), (5, 3)])
def test_dense_sift(step, cell):
    found = dense_sift(GRAY.double(), step, cell)
    assert found.shape == (3, (96 - 5 * cell + 1) // step + 1, (80 - 5 * cell + 1) // step + 1, 128)
    for row, column in ((0, 0), (2, 5), (found.shape[1] - 1, found.shape[2] - 1)):
        expected = slow_sift(GRAY[1, 0].double().numpy(), row * step, column * step, cell)
        np.testing.assert_allclose(found[1, row, column].numpy(), expected, atol=1e-6)


def test_dense_sift_is_much_like_opencvs_at_the_same_places():
    cell = 4
    blurred = gaussian_filter(GRAY[0, 0].numpy(), np.sqrt(1.6**2 - 0.5**2))  # as OpenCV blurs this scale
    found = dense_sift(torch.from_numpy(blurred)[None, None], 8, cell)[0]
    image = (GRAY[0, 0] * 255).round().numpy().astype(np.uint8)
    centres = [(8.0 * j + 2.5 * cell - 1, 8.0 * i + 2.5 * cell - 1) for i in range(2, 8) for j in range(2, 6)]
    points = [cv2.KeyPoint(x, y, 2 * cell / 3, 0) for x, y in centres]  # its cells are three times half that wide
    _, theirs = cv2.SIFT_create().compute(image, points)
    theirs = theirs.reshape(-1, 16, 8)[..., -np.arange(8)].reshape(-1, 128)  # its angles grow from x towards -y
    theirs = theirs / np.linalg.norm(theirs, axis=1, keepdims=True)
    ours = np.stack([found[i, j].numpy() for i in range(2, 8) for j in range(2, 6)])
    likeness = (ours * theirs).sum(1)
    others = (ours * np.roll(theirs, 1, 0)).sum(1)
    assert np.median(likeness) > 0.9
    assert np.median(likeness) > np.median(others) + 0.15


BLACK = torch.zeros(2, 1, 32, 32)


@pytest.mark.parametrize(
    "describe",
    [
        hog, texture.lbp_histogram, texture.gabor, texture.log_hu, dense_sift, colour.histogram,
        colour.frequent_colours,
        lambda x: texture.haralick(texture.cooccurrence(x)),
    ],
)  # fmt: skip
def test_black_images_have_finite_descriptors(describe):
    assert torch.isfinite(describe(BLACK)).all()


@pytest.mark.parametrize(
    ("describe", "words"),
    [
        (lambda x: hog(x, cell=8), "smaller than a block of cells; found 8x8 pixels; expected at least 16x16"),
        (lambda x: dense_sift(x, cell=4), "patch of a descriptor; found 8x8 pixels; expected at least 19x19"),
    ],
)
def test_images_smaller_than_a_cell(describe, words):
    with pytest.raises(DataError, match=words):
        describe(BLACK[..., :8, :8])
