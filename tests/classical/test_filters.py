"""Filters against SciPy, and the difference of convolution and correlation."""

import numpy as np
import pytest
from scipy import ndimage, signal

from clearsight.classical.filters import KERNELS, convolve, correlate, gaussian, joined, kernel, sobel
from clearsight.errors import ConfigError, DataError

MODES = {"zero": "constant", "reflect": "mirror", "replicate": "nearest"}
RNG = np.random.default_rng(0)
PICTURE = RNG.random((17, 23))


@pytest.mark.parametrize("padding", MODES)
@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (4, 4), (1, 7), (2, 5)])
def test_both_equal_scipy(padding, shape):
    k = RNG.normal(size=shape)
    expected = ndimage.correlate(PICTURE, k, mode=MODES[padding])
    np.testing.assert_allclose(correlate(PICTURE, k, padding), expected, atol=1e-12)
    expected = ndimage.convolve(PICTURE, k, mode=MODES[padding])
    np.testing.assert_allclose(convolve(PICTURE, k, padding), expected, atol=1e-12)


def test_zero_padding_equals_scipys_signal_processing():
    k = RNG.normal(size=(5, 3))
    np.testing.assert_allclose(convolve(PICTURE, k), signal.convolve2d(PICTURE, k, mode="same"), atol=1e-12)
    np.testing.assert_allclose(correlate(PICTURE, k), signal.correlate2d(PICTURE, k, mode="same"), atol=1e-12)


def test_without_padding_the_usual_example_by_hand():
    """3x3 on 5x5 gives 3x3, and its first value is 4: the ones under the cross of ones."""
    picture = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
    cross = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    found = correlate(picture, cross, "valid")
    np.testing.assert_array_equal(found, [[4, 3, 4], [2, 4, 3], [2, 3, 4]])
    assert found[0, 0] == 4


@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (4, 4), (1, 7), (17, 23)])
def test_without_padding_both_equal_scipy(shape):
    k = RNG.normal(size=shape)
    np.testing.assert_allclose(correlate(PICTURE, k, "valid"), signal.correlate2d(PICTURE, k, "valid"), atol=1e-12)
    np.testing.assert_allclose(convolve(PICTURE, k, "valid"), signal.convolve2d(PICTURE, k, "valid"), atol=1e-12)
    colour = np.stack([PICTURE, PICTURE], axis=2)
    assert correlate(colour, k, "valid").shape == (18 - shape[0], 24 - shape[1], 2)


def test_without_padding_joined_kernels_do_what_both_do_everywhere():
    first, second = RNG.normal(size=(3, 3)), RNG.normal(size=(5, 5))
    once = convolve(PICTURE, joined(first, second), "valid")
    np.testing.assert_allclose(once, convolve(convolve(PICTURE, first, "valid"), second, "valid"), atol=1e-12)
    with pytest.raises(DataError, match=r"larger than the image.*found an image of 17x23 pixels and a kernel of 18x3"):
        correlate(PICTURE, np.ones((18, 3)), "valid")


def test_colour_planes_are_filtered_one_by_one():
    colour = RNG.random((9, 8, 3))
    found = correlate(colour, KERNELS["sharpen"], "replicate")
    for c in range(3):
        np.testing.assert_array_equal(found[..., c], correlate(colour[..., c], KERNELS["sharpen"], "replicate"))


def test_convolution_is_correlation_with_the_kernel_turned():
    k = RNG.normal(size=(3, 5))
    np.testing.assert_allclose(convolve(PICTURE, k), correlate(PICTURE, k[::-1, ::-1]))
    assert not np.allclose(convolve(PICTURE, k), correlate(PICTURE, k))


def test_joined_kernels_do_what_both_do_but_at_the_border():
    first, second = gaussian(1.0), KERNELS["sobel-x"]
    np.testing.assert_allclose(joined(first, second), signal.convolve2d(first, second), atol=1e-15)
    picture = RNG.random((40, 40))
    twice = convolve(convolve(picture, first, "replicate"), second, "replicate")
    once = convolve(picture, joined(first, second), "replicate")
    reach = joined(first, second).shape[0] // 2
    inner = (slice(reach, -reach),) * 2
    np.testing.assert_allclose(once[inner], twice[inner], atol=1e-12)
    assert np.abs(once - twice).max() > 1e-3


def test_correlation_is_not_associative():
    first, second = RNG.normal(size=(3, 3)), RNG.normal(size=(3, 3))
    picture = RNG.random((20, 20))
    twice = correlate(correlate(picture, first), second)[4:-4, 4:-4]
    assert not np.allclose(correlate(picture, signal.correlate2d(first, second))[4:-4, 4:-4], twice)


def test_sobel_x_answers_to_vertical_edges():
    edge = np.zeros((8, 8))
    edge[:, 4:] = 1
    assert correlate(edge, KERNELS["sobel-x"], "replicate").max() == 4
    assert not correlate(edge, KERNELS["sobel-y"], "replicate").any()
    assert sobel(edge).max() == 4


def test_blurring_keeps_the_mean_and_a_flat_picture():
    flat = np.full((12, 12), 0.3)
    np.testing.assert_allclose(correlate(flat, gaussian(1.5), "reflect"), flat)
    assert gaussian(2.0).sum() == pytest.approx(1)
    np.testing.assert_allclose(
        correlate(PICTURE, gaussian(1.0), "replicate"),
        ndimage.gaussian_filter(PICTURE, 1.0, mode="nearest"),
        atol=1e-12,
    )


def test_kernels_can_be_typed():
    np.testing.assert_array_equal(kernel("1,2;3,4"), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(kernel("gaussian:2"), gaussian(2.0))
    with pytest.raises(ConfigError, match=r"unknown kernel 'sobelx'.*Did you mean sobel-x"):
        kernel("sobelx")
    with pytest.raises(ConfigError, match="rows of the kernel differ in length; found 2, 1"):
        kernel("1,2;3")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((np.zeros((2, 2)), np.ones((9, 9)), "reflect"), DataError, "smaller than the kernel"),
        ((np.zeros((2, 2, 2, 2)), np.ones((3, 3))), DataError, "the input is not an image"),
        ((PICTURE, np.ones(3)), ConfigError, "the kernel is invalid"),
        ((PICTURE, np.ones((3, 3)), "wrap"), ConfigError, "unknown padding 'wrap'"),
    ],
)
def test_what_cannot_be_filtered(arguments, error, words):
    with pytest.raises(error, match=words):
        correlate(*arguments)
