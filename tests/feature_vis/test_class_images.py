"""Class pictures: of a linear classifier known in closed form, and of a trained network."""

import numpy as np
import pytest

import clearsight as cs
from clearsight.data.cached_pixels import PixelView
from clearsight.errors import ConfigError
from clearsight.feature_vis import Start, class_pictures, first_filters, mean_starts, noise_starts
from clearsight.feature_vis.priors import blurred, middle


def test_of_a_linear_classifier_the_picture_is_black_and_white_by_the_templates_sign(made):
    predictor = made("linear", side=8)
    templates = first_filters(predictor).weights
    starts = [Start(label, np.full((1, 8, 8), 0.5, np.float32), 0) for label in (0, 2)]
    for found, label in zip(class_pictures(predictor, starts, rate=0.1, decay=0), (0, 2), strict=True):
        clear = np.abs(templates[label]) > 0.2 * np.abs(templates[label]).max()
        np.testing.assert_allclose(found.pixels[clear], templates[label][clear] > 0, atol=0.02)


@pytest.fixture(scope="module")
def digits(digits_run):
    return cs.load(digits_run).predictor


@pytest.fixture(scope="module")
def pictures(digits, digits_arrays):
    images, labels = digits_arrays
    view = PixelView(images[:300], np.arange(300))
    starts = mean_starts(digits, [1, 4], 2, view, labels[:300])
    return starts, class_pictures(digits, starts, batch=3)


def test_they_beat_every_image_of_the_class(digits, digits_arrays, pictures):
    images, labels = digits_arrays
    assert len(pictures[1]) == 4
    for found in pictures[1]:
        number = digits.bundle.task.index_of(found.label)
        best = digits.logits(images[labels == number])[:, number].max()
        assert found.logit > found.logit_before
        assert found.logit > best
        assert found.probability > 0.99
        assert 0 <= found.pixels.min() <= found.pixels.max() <= 1
        assert found.logit == pytest.approx(float(digits.logits(found.pixels[None])[0, number]), abs=1e-4)


def test_starts_are_means_of_images_of_the_class_in_groups(digits, digits_arrays, pictures):
    labels = digits_arrays[1]
    starts = pictures[0]
    assert [s.label for s in starts] == [1, 1, 4, 4]
    for label in (1, 4):
        sizes = [s.images for s in starts if s.label == label]
        assert sum(sizes) == (labels[:300] == label).sum()
        assert sizes == sorted(sizes, reverse=True)
    assert np.abs(starts[0].pixels - starts[1].pixels).max() > 0.2


def test_groups_separate_what_differs(made):
    """Two faces of a class, bright above and bright below: each start is one of them."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (20, 1, 8, 8), dtype=np.uint8)
    images[:10, :, :4] += 180
    images[10:, :, 4:] += 180
    predictor = made("linear", side=8)
    starts = mean_starts(predictor, [0], 2, PixelView(images, np.arange(20)), np.zeros(20, int))
    means = sorted(s.pixels[:, :4].mean() - s.pixels[:, 4:].mean() for s in starts)
    assert means[0] < -0.6
    assert means[1] > 0.6


def test_seed_and_batch(small):
    starts = noise_starts(small, [0, 1], 2, seed=1)
    assert [s.images for s in starts] == [0] * 4
    one, same, batched = (class_pictures(small, starts, steps=6, seed=1, batch=b) for b in (4, 4, 3))
    for a, b, c in zip(one, same, batched, strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)
        np.testing.assert_allclose(a.pixels, c.pixels, atol=1e-3)
    assert not np.array_equal(starts[0].pixels, noise_starts(small, [0], 1, seed=2)[0].pixels)
    with pytest.raises(ConfigError, match="the number of steps is 0"):
        class_pictures(small, starts, steps=0)


def test_blur_is_scipys():
    import torch
    from scipy.ndimage import gaussian_filter

    x = np.random.default_rng(0).random((2, 3, 20, 20), np.float32)
    ours = blurred(torch.from_numpy(x), 1.3).numpy()
    theirs = gaussian_filter(x.astype(np.float64), (0, 0, 1.3, 1.3), mode="nearest", radius=(0, 0, 4, 4))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_middle_is_the_input_layers_zero(made):
    assert middle(made("resnet8", mean=0.3, width=8).network, 1).item() == pytest.approx(0.3)
    assert middle(made("resnet8", channels=3, mean=0.3, width=8).network, 1).shape == (1, 1, 1)
