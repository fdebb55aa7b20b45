"""Methods that only ask: equal to Captum's, to exact Shapley values, and right where the answer is known."""

import math
from itertools import combinations

import captum.attr as attr
import numpy as np
import pytest
import torch

from clearsight.explanation.perturbation import lime, occlusion, shap, superpixels

RNG = np.random.default_rng(0)
IMAGE = RNG.random((3, 12, 16), np.float32)
WEIGHTS = RNG.normal(size=(3, 12, 16)).astype(np.float32)
PARTS = np.arange(12)[:, None] // 4 * 2 + np.arange(16) // 8  # six rectangles


def linear(images):
    return (images * WEIGHTS).sum((1, 2, 3))


def curved(images):
    means = np.stack([images[:, :, k == PARTS].mean((1, 2)) for k in range(6)], 1)
    return means[:, 0] * means[:, 3] + np.maximum(means[:, 1], means[:, 5]) - means[:, 2] ** 2


def network(x):
    return torch.from_numpy(curved(x.numpy()))[:, None].float()


@pytest.mark.parametrize(("window", "stride"), [(4, 4), (4, 2), (5, 3)])
def test_occlusion_equals_captums(window, stride):
    ours = occlusion(curved, IMAGE, window=window, stride=stride, fill=0.0, batch=3)
    theirs = attr.Occlusion(network).attribute(
        torch.from_numpy(IMAGE)[None], sliding_window_shapes=(3, window, window), strides=(3, stride, stride), target=0,
        baselines=0.0,
    )  # fmt: skip
    np.testing.assert_allclose(ours, theirs[0, 0].numpy(), atol=1e-5)


def exact_shapley(score, parts, fill):
    """By the definition: the mean over all orders."""
    count = parts.max() + 1

    def value(shown):
        mask = np.isin(parts, list(shown))
        return float(score(np.where(mask, IMAGE, np.float32(fill))[None])[0])

    found = np.zeros(count)
    for k in range(count):
        others = [p for p in range(count) if p != k]
        for size in range(count):
            for some in combinations(others, size):
                share = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
                found[k] += share * (value({*some, k}) - value(some))
    return found


def test_shap_is_exact_where_all_coalitions_fit():
    found = shap(curved, IMAGE, segments=PARTS, samples=100, fill=0.3, batch=7)
    np.testing.assert_allclose([found[k == PARTS][0] for k in range(6)], exact_shapley(curved, PARTS, 0.3), atol=1e-6)


def test_shap_adds_up_and_is_near_with_samples():
    fine = np.arange(12)[:, None] // 2 * 8 + np.arange(16) // 2  # 48 squares
    found = shap(curved, IMAGE, segments=fine, samples=3000, fill=0.0)
    values = np.array([found[fine == k][0] for k in range(48)])
    gap = curved(IMAGE[None]) - curved(np.zeros_like(IMAGE)[None])
    assert values.sum() == pytest.approx(float(gap[0]), abs=1e-5)
    exact = np.array([(WEIGHTS * IMAGE)[:, fine == k].sum() for k in range(48)])
    of_linear = shap(linear, IMAGE, segments=fine, samples=400, fill=0.0)
    np.testing.assert_allclose([of_linear[fine == k][0] for k in range(48)], exact, atol=1e-3)


def test_lime_finds_the_weights_of_a_linear_score():
    found = lime(linear, IMAGE, segments=PARTS, samples=300, fill=0.0, strength=1e-6)
    exact = [(WEIGHTS * IMAGE)[:, k == PARTS].sum() for k in range(6)]
    np.testing.assert_allclose([found[k == PARTS][0] for k in range(6)], exact, rtol=0.01)


def test_lime_equals_a_weighted_ridge_regression():
    from sklearn.linear_model import Ridge

    found = lime(curved, IMAGE, segments=PARTS, samples=64, fill=0.2, width=0.5, strength=0.01, seed=4)
    masks = np.random.default_rng(4).random((64, 6)) < 0.5
    masks[0] = True
    values = curved(np.where(masks[:, PARTS][:, None], IMAGE, np.float32(0.2)))
    weights = np.exp(-((1 - np.sqrt(masks.mean(1))) ** 2) / 0.25)
    model = Ridge(alpha=0.01).fit(masks, values, sample_weight=weights / weights.sum())
    np.testing.assert_allclose([found[k == PARTS][0] for k in range(6)], model.coef_, rtol=1e-4)


@pytest.mark.parametrize("method", [lime, shap, occlusion])
def test_batches_and_seeds(method):
    options = {} if method is occlusion else {"samples": 40}
    seen = []

    def watched(images):
        seen.append(len(images))
        return curved(images)

    one = method(watched, IMAGE, batch=5, **options)
    assert max(seen) <= 5
    np.testing.assert_allclose(one, method(curved, IMAGE, batch=64, **options), atol=1e-6)
    steps = []
    method(curved, IMAGE, progress=lambda done, total: steps.append((done, total)), **options)
    assert steps[-1][0] == steps[-1][1]


def test_superpixels_are_connected_numbers_and_follow_edges():
    from skimage import data

    photo = np.moveaxis(data.astronaut()[::4, ::4].astype(np.float32) / 255, 2, 0)
    found = superpixels(photo)
    assert set(np.unique(found)) == set(range(found.max() + 1))
    assert 25 <= found.max() + 1 <= 75
    assert superpixels(photo[:, :8, :8]).max() + 1 == 64
    assert superpixels(photo[:1]).shape == (128, 128)
    assert superpixels(photo[:, :1, :5]).shape == (1, 5)
    flat = superpixels(np.full((3, 64, 64), 0.5, np.float32))
    assert flat.shape == (64, 64)


def test_a_score_that_never_changes_explains_nothing():
    for method in (occlusion, lime, shap):
        np.testing.assert_allclose(method(lambda images: np.ones(len(images)), IMAGE), 0, atol=1e-6)
