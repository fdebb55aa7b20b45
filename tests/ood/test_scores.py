"""OOD scores: what is far scores high, and each equals an independent implementation."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

from clearsight.errors import DataError
from clearsight.metrics.ranking import auroc
from clearsight.ood.pixel_statistics import pixel_statistics
from clearsight.ood.scores import AXES, SCORES, WHITENED, Bank, Neighbours, _coordinates, pooled, unit

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(4, 20)) * 3


def world(n, classes=(0, 1, 2)):
    """Features around class centres, images that are bright in one corner per class, and labels."""
    labels = RNG.choice(classes, n)
    features = (CENTRES[labels] + RNG.normal(size=(n, 20))).astype(np.float32)
    pixels = RNG.random((n, 1, 12, 12), np.float32) * 0.3
    for row, label in enumerate(labels):
        pixels[row, 0, 6 * (label // 2) : 6 * (label // 2) + 6, 6 * (label % 2) : 6 * (label % 2) + 6] += 0.6
    return features, pixel_statistics(pixels), labels


TRAIN, KNOWN, UNKNOWN = world(400), world(200), world(200, classes=(3,))
BANK = Bank.fit(TRAIN[0], TRAIN[2], TRAIN[1])


def logits(features):
    return -((features[:, None] - CENTRES[None, :3]) ** 2).sum(2) / 10


@pytest.mark.parametrize("name", ["knn", "mahalanobis", "max-softmax"])
def test_another_class_scores_high(name):
    known, unknown = (BANK.scores(logits(f), f, s)[name] for f, s, _ in (KNOWN, UNKNOWN))
    assert auroc(known, unknown) > (0.6 if name == "max-softmax" else 0.95)


def test_pixels_of_noise_and_constants_score_high_whatever_the_features():
    images = np.concatenate([RNG.random((20, 1, 12, 12)), np.full((1, 1, 12, 12), 0.5)]).astype(np.float32)
    known = BANK.scores(None, KNOWN[0], KNOWN[1])["pixels"]
    far = BANK.scores(None, KNOWN[0][:21], pixel_statistics(images))["pixels"]
    assert far.min() > known.max()


def test_without_logits_the_others_are_left():
    assert set(BANK.scores(logits(KNOWN[0]), *KNOWN[:2])) == set(SCORES)
    assert set(BANK.scores(None, *KNOWN[:2])) == set(SCORES) - {"max-softmax"}


def test_knn_equals_scikit_learn():
    found = NearestNeighbors(n_neighbors=5).fit(unit(TRAIN[0])).kneighbors(unit(KNOWN[0]))[0][:, -1]
    np.testing.assert_allclose(BANK.features.distance(unit(KNOWN[0])), found, atol=1e-3)


def test_with_few_axes_distances_are_bounded_from_below_and_keep_their_order():
    """Vectors of more dimensions than axes are kept: what lies outside them counts by its length."""
    many = RNG.normal(size=(300, 4 * AXES)) * np.linspace(3, 0.1, 4 * AXES)
    train, new = many[:200].astype(np.float32), many[200:].astype(np.float32)
    new[:30] += 2 * RNG.normal(size=(30, 4 * AXES)).astype(np.float32)  # unknown in every direction
    exact = NearestNeighbors(n_neighbors=5).fit(train).kneighbors(new)[0][:, -1]
    found = Neighbours.fit(train).distance(new)
    assert (found <= exact * 1.002).all()
    assert found[:30].min() > found[30:].max()
    whitened = Neighbours.whitened(train, np.zeros(200, int)).distance(new)
    assert whitened[:30].min() > whitened[30:].max()


def test_mahalanobis_equals_scikit_learn():
    features, _, labels = TRAIN
    means = np.stack([features[labels == c].mean(0) for c in range(3)])
    covariance = LedoitWolf(assume_centered=True).fit((features - means[labels]).astype(float)).covariance_
    search = NearestNeighbors(n_neighbors=5, metric="mahalanobis", metric_params={"VI": np.linalg.inv(covariance)})
    expected = search.fit(features).kneighbors(KNOWN[0])[0][:, -1]
    np.testing.assert_allclose(BANK.scores(None, *KNOWN[:2])["mahalanobis"], expected, rtol=2e-3)


def test_no_more_than_so_many_whitened_vectors_are_remembered():
    many = RNG.normal(size=(WHITENED + 100, 3)).astype(np.float32)
    assert len(Neighbours.whitened(many, np.arange(len(many)) % 2).points) == WHITENED


def test_max_softmax_is_minus_its_log():
    z = RNG.normal(size=(5, 3)) * 4
    found = BANK.scores(z, KNOWN[0][:5], KNOWN[1][:5])["max-softmax"]
    np.testing.assert_allclose(found, -log_softmax(z, axis=1).max(1), rtol=1e-5)


def test_a_bank_comes_back_from_its_arrays():
    other = Bank.fit(TRAIN[0], TRAIN[2], TRAIN[1], UNKNOWN[0][:100])
    for bank in (BANK, other):
        again, z = Bank.from_arrays(bank.to_arrays()), logits(KNOWN[0])
        found = bank.scores(z, *KNOWN[:2])
        for name, values in again.scores(z, *KNOWN[:2]).items():
            np.testing.assert_array_equal(found[name], values)
    known, unknown = (other.scores(None, f, s)["other"] for f, s, _ in (KNOWN, UNKNOWN))
    assert auroc(known, unknown[100:]) > 0.99


def test_pooling_is_the_mean_of_parts():
    image = RNG.random((2, 3, 40, 33), np.float32)
    assert pooled(image).shape == (2, 3 * 16 * 16)
    np.testing.assert_allclose(pooled(image)[0].mean(), image[0].mean(), atol=0.01)
    small = RNG.random((2, 1, 8, 5), np.float32)
    np.testing.assert_array_equal(pooled(small), small.reshape(2, -1))
    even = RNG.random((1, 1, 32, 32), np.float32)
    np.testing.assert_allclose(pooled(even)[0, 0], even[0, 0, :2, :2].mean(), rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 40, 33), (1, 8, 8), (1, 1, 5), (3, 1, 1)])
def test_statistics_of_any_shape_are_finite(shape):
    images = np.concatenate([RNG.random((3, *shape)), np.zeros((1, *shape)), np.ones((1, *shape))]).astype(np.float32)
    found = pixel_statistics(images)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, : shape[0]], images.mean((2, 3)), rtol=1e-5)
    np.testing.assert_allclose(found[:, 3 * shape[0] : 4 * shape[0]], images.max((2, 3)), rtol=1e-5)
    np.testing.assert_allclose(pixel_statistics(images[1:2]), found[1:2], rtol=1e-4, atol=1e-5)


def test_bad_input():
    with pytest.raises(DataError, match="found 1; expected 2 or more"):
        Bank.fit(TRAIN[0][:1], TRAIN[2][:1], TRAIN[1])


@pytest.mark.parametrize(("images", "width"), [(300, 20), (60, 500)])
def test_axes_are_those_of_an_exact_decomposition(images, width):
    draws = np.random.default_rng(3)
    spread = draws.normal(size=(images, 10)) * np.linspace(5, 1, 10)
    vectors = (spread @ draws.normal(size=(10, width)) + 0.1 * draws.normal(size=(images, width))).astype(np.float32)
    centre, directions, inner = _coordinates(vectors, 8)
    _, _, exact = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    np.testing.assert_allclose(directions.T @ directions, np.eye(8), atol=1e-5)
    np.testing.assert_allclose(np.linalg.svd(exact[:8] @ directions)[1], np.ones(8), atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(inner, axis=1), np.linalg.norm(vectors - centre, axis=1), rtol=1e-4)


@pytest.mark.parametrize("vectors", [np.ones((5, 40)), np.eye(3, 40), np.ones((50, 4))])
def test_vectors_with_little_or_no_spread_have_coordinates(vectors):
    vectors = np.asarray(vectors, np.float32)
    _, directions, inner = _coordinates(vectors, 64)
    assert np.isfinite(inner).all()
    np.testing.assert_allclose(directions.T @ directions, np.eye(directions.shape[1]), atol=1e-5)
    assert Neighbours.fit(vectors).distance(vectors).shape == (len(vectors),)
    assert Neighbours.whitened(vectors, np.arange(len(vectors)) % 2).distance(vectors).shape == (len(vectors),)


def _aligned(count, seed):
    """Vectors (N, 20) of two classes that never differ in the last two coordinates by more than a little."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    vectors = draw.normal(size=(count, 20)) * np.r_[np.ones(18), 0.05, 0.05] + labels[:, None] * np.r_[3, np.zeros(19)]
    return vectors.astype(np.float32), labels


@pytest.mark.parametrize("kind", ["euclidean", "mahalanobis"])
def test_directions_of_mild_changes_count_less_and_others_as_before(kind):
    vectors, labels = _aligned(500, 0)
    new, _ = _aligned(200, 1)
    change = np.zeros(20, np.float32)
    change[18:] = 3
    changes = np.random.default_rng(2).choice([-1, 1], (60, 1)).astype(np.float32) * change

    def fitted(changes):
        if kind == "euclidean":
            return Neighbours.fit(vectors, changes=changes)
        return Neighbours.whitened(vectors, labels, changes=changes)

    usual, aware = fitted(None), fitted(changes)
    for neighbours, least, most in ((usual, 0.9, 1.0), (aware, 0.0, 0.2)):
        limit = np.quantile(neighbours.distance(new), 0.95)
        assert least <= np.mean(neighbours.distance(new + change) > limit) <= most
        away = new + np.r_[np.zeros(10), 4 * np.ones(8), np.zeros(2)].astype(np.float32)
        assert np.mean(neighbours.distance(away) > limit) > 0.95


def test_without_spread_changes_are_left_out():
    same = np.ones((10, 4), np.float32)
    neighbours = Neighbours.fit(same, changes=np.ones((3, 4), np.float32))
    assert np.isfinite(neighbours.distance(np.eye(4, dtype=np.float32))).all()
    assert neighbours.distance(same).max() < 1e-3
    empty = np.zeros((0, 4), np.float32)
    assert np.array_equal(Neighbours.fit(same, changes=empty).metric, Neighbours.fit(same).metric)


def test_no_images_have_no_distances():
    assert Neighbours.fit(np.eye(6, dtype=np.float32)).distance(np.zeros((0, 6), np.float32)).shape == (0,)
