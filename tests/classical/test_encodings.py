"""Bags, pyramids and Fisher vectors, against scikit-image and hand-worked numbers."""

import numpy as np
import pytest
import torch
from skimage.feature import fisher_vector
from sklearn.mixture import GaussianMixture

from clearsight.classical.encodings import fisher, fisher_pyramid, learn_mixture, learn_words, pyramid, words_of
from clearsight.errors import DataError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("improved", [True, False])
def test_fisher_vectors_are_scikit_images(improved):
    sample = RNG.normal(size=(500, 6)) * [1, 2, 1, 3, 1, 1] + 1
    gmm = GaussianMixture(4, covariance_type="diag", random_state=0).fit(sample)
    local = RNG.normal(size=(3, 5, 4, 6))
    parts = [torch.from_numpy(a) for a in (gmm.weights_, gmm.means_, gmm.covariances_)]
    found = fisher(torch.from_numpy(local), *parts, improved=improved)
    for i in range(3):
        expected = fisher_vector(local[i].reshape(-1, 6), gmm, improved=improved)
        np.testing.assert_allclose(found[i].numpy(), expected, atol=1e-9)


def test_a_mixture_finds_clusters_and_says_how_far_it_is():
    centres = np.array([[0, 0], [6, 0], [0, 6]])
    sample = np.concatenate([c + RNG.normal(size=(400, 2)) for c in centres]).astype(np.float32)
    seen = []
    found = learn_mixture(sample, 3, seed=0, progress=lambda done, total: seen.append((done, total)))
    order = np.lexsort(found.means.round().T)
    np.testing.assert_allclose(found.means[order], centres, atol=0.3)
    np.testing.assert_allclose(found.variances, 1, atol=0.3)
    assert seen[-1][0] == seen[-1][1]
    again = learn_mixture(sample, 3, seed=0)
    np.testing.assert_array_equal(found.means, again.means)


def test_words_are_the_nearest_centres():
    sample = RNG.normal(size=(2000, 8)).astype(np.float32)
    centres = learn_words(sample, 12, seed=3)
    np.testing.assert_array_equal(centres, learn_words(sample, 12, seed=3))
    local = RNG.normal(size=(2, 4, 5, 8)).astype(np.float32)
    distance = np.linalg.norm(local[..., None, :] - centres, axis=-1)
    found = words_of(torch.from_numpy(local), torch.from_numpy(centres))
    np.testing.assert_array_equal(found.numpy(), distance.argmin(-1))


def test_a_bag_counts_words_and_a_pyramid_says_where():
    words = torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 2, 2], [2, 2, 2, 1]]])
    torch.testing.assert_close(pyramid(words, 3, levels=1), torch.tensor([[4, 5, 7]]) / 16)
    found = pyramid(words, 3, levels=2)[0]
    torch.testing.assert_close(found[:3], torch.tensor([4, 5, 7]) / 16 / 2)  # weight 1/2**L
    quarters = torch.tensor([[4, 0, 0], [0, 4, 0], [0, 0, 4], [0, 1, 3]]) / 16 / 2  # weight 1/2**(L - l + 1)
    torch.testing.assert_close(found[3:].view(4, 3), quarters)
    three = pyramid(words, 3, levels=3)[0]
    for part, weight in ((three[:3], 1 / 4), (three[3:15], 1 / 4), (three[15:], 1 / 2)):
        assert float(part.sum()) == pytest.approx(weight)


def test_the_same_words_elsewhere_have_the_same_bag_and_another_pyramid():
    words = torch.arange(16).view(1, 4, 4) % 3
    moved = words.flip(1, 2)
    torch.testing.assert_close(pyramid(words, 3, levels=1), pyramid(moved, 3, levels=1))
    assert not torch.allclose(pyramid(words, 3), pyramid(moved, 3))


def test_too_few_descriptors():
    with pytest.raises(DataError, match="too few distinct descriptors for 5 words; found 2"):
        learn_words(np.repeat(np.eye(2, dtype=np.float32), 9, 0), 5, seed=0)


def test_the_pyramid_of_fisher_vectors_is_that_of_its_cells():
    rng = np.random.default_rng(0)
    weights, means, variances = torch.tensor([0.4, 0.6]), torch.randn(2, 3), torch.rand(2, 3) + 0.5
    local = torch.from_numpy(rng.normal(size=(2, 4, 6, 3)).astype(np.float32))
    found = fisher_pyramid(local, weights, means, variances, 2)
    cells = [local, local[:, :2, :3], local[:, :2, 3:], local[:, 2:, :3], local[:, 2:, 3:]]
    expected = torch.cat([fisher(cell, weights, means, variances) for cell in cells], 1) / 5**0.5
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        fisher_pyramid(local, weights, means, variances), fisher(local, weights, means, variances)
    )
    tiny = fisher_pyramid(local[:, :1, :1], weights, means, variances, 2)
    assert tiny.shape == found.shape
    assert torch.isfinite(tiny).all()
