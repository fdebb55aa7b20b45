"""Outlier scores: what is far scores high, and each equals an independent implementation."""

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from clearsight.errors import ConfigError, DataError
from clearsight.metrics.ranking import auroc
from clearsight.ood.scores import AXES, SCORES, Bank, Neighbours, pooled, unit

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(4, 20)) * 3


def world(n, classes=(0, 1, 2)):
    """Features around class centres, images that are bright in one corner per class, and labels."""
    labels = RNG.choice(classes, n)
    features = (CENTRES[labels] + RNG.normal(size=(n, 20))).astype(np.float32)
    pixels = RNG.random((n, 1, 12, 12), np.float32) * 0.3
    for row, label in enumerate(labels):
        pixels[row, 0, 6 * (label // 2) : 6 * (label // 2) + 6, 6 * (label % 2) : 6 * (label % 2) + 6] += 0.6
    return features, pooled(pixels), labels


TRAIN, KNOWN, STRANGE = world(400), world(200), world(200, classes=(3,))
BANK = Bank.fit(*TRAIN, KNOWN[0], KNOWN[1])


def logits(features):
    return -((features[:, None] - CENTRES[None, :3]) ** 2).sum(2)


@pytest.mark.parametrize("name", sorted(SCORES))
def test_another_class_is_strange(name):
    known, strange = (
        BANK.score(name, logits(f), f, p, temperature=10.0) for f, p, _ in (KNOWN, STRANGE)
    )  # fmt: skip
    assert auroc(known, strange) > (0.6 if name == "max-softmax" else 0.95)


def test_knn_equals_scikit_learn():
    found = NearestNeighbors(n_neighbors=10).fit(unit(TRAIN[0])).kneighbors(unit(KNOWN[0]))[0][:, -1]
    np.testing.assert_allclose(BANK.features.distance(unit(KNOWN[0])), found, atol=1e-3)


def test_with_few_axes_distances_are_bounded_from_below_and_keep_their_order():
    """Vectors of more dimensions than axes are kept: what lies outside them counts by its length."""
    many = RNG.normal(size=(300, 4 * AXES)) * np.linspace(3, 0.1, 4 * AXES)
    train, new = many[:200].astype(np.float32), many[200:].astype(np.float32)
    new[:30] += 2 * RNG.normal(size=(30, 4 * AXES)).astype(np.float32)  # strange in every direction
    exact = NearestNeighbors(n_neighbors=10).fit(train).kneighbors(new)[0][:, -1]
    found = Neighbours.fit(train).distance(new)
    assert (found <= exact * 1.001).all()
    assert found[:30].min() > found[30:].max()


def test_a_bank_comes_back_from_its_arrays():
    again = Bank.from_arrays(BANK.to_arrays())
    z = logits(KNOWN[0])
    for name in SCORES:
        np.testing.assert_array_equal(again.score(name, z, *KNOWN[:2], 1.0), BANK.score(name, z, *KNOWN[:2], 1.0))


def test_mahalanobis_equals_the_textbook():
    features, _, labels = TRAIN
    inner = PCA(20, svd_solver="full").fit(features)
    turned = inner.transform(features)
    means = np.stack([turned[labels == c].mean(0) for c in range(3)])
    inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit(turned - means[labels]).covariance_)
    away = inner.transform(KNOWN[0])[:, None] - means
    expected = np.sqrt(np.einsum("nki,ij,nkj->nk", away, inverse, away).min(1))
    found = BANK.score("mahalanobis", np.zeros((1, 3)), *KNOWN[:2], 1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_energy_by_hand():
    found = BANK.score("energy", np.array([[0.0, 0.0]]), TRAIN[0][:1], TRAIN[1][:1], temperature=2.0)
    assert found[0] == pytest.approx(-2 * np.log(2))


def test_joint_sees_either_strangeness():
    """Features that look right with pixels that do not, and the other way round."""
    features, pixels = KNOWN[0], KNOWN[1]
    noise = RNG.random(pixels.shape, np.float32)
    z = np.zeros((1, 3))
    known = BANK.score("joint", z, features, pixels, 1.0)
    assert auroc(known, BANK.score("joint", z, features, noise, 1.0)) > 0.99
    assert auroc(known, BANK.score("joint", z, STRANGE[0], pixels, 1.0)) > 0.95


def test_pooling_is_the_mean_of_parts():
    image = RNG.random((2, 3, 40, 33), np.float32)
    assert pooled(image).shape == (2, 3 * 16 * 16)
    np.testing.assert_allclose(pooled(image)[0].mean(), image[0].mean(), atol=0.01)
    small = RNG.random((2, 1, 8, 5), np.float32)
    np.testing.assert_array_equal(pooled(small), small.reshape(2, -1))
    even = RNG.random((1, 1, 32, 32), np.float32)
    np.testing.assert_allclose(pooled(even)[0, 0], even[0, 0, :2, :2].mean(), rtol=1e-5)


def test_bad_input():
    with pytest.raises(ConfigError, match=r"no outlier score 'kn'.*knn"):
        BANK.score("kn", logits(TRAIN[0]), TRAIN[0], TRAIN[1], 1.0)
    with pytest.raises(DataError, match="found 1 and 200; expected 2 and 1, or more"):
        Bank.fit(TRAIN[0][:1], TRAIN[1][:1], TRAIN[2][:1], KNOWN[0], KNOWN[1])
