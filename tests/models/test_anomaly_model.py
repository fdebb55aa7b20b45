"""Detectors' parts against scikit-learn and by hand; saving and loading."""

import copy

import numpy as np
import pytest
import torch
from sklearn.covariance import oas
from sklearn.neighbors import NearestNeighbors

from clearsight.models.anomaly_model import AnomalyModel, GaussianHead, MemoryHead, coreset, score_of, shrunk
from clearsight.models.network import from_spec


def test_covariances_are_shrunk_as_scikit_learn_does():
    x = np.random.default_rng(0).standard_normal((40, 12)) @ np.diag(np.arange(1, 13))
    wanted, share = oas(x)
    assert 0 < share < 1
    np.testing.assert_allclose(shrunk(np.cov(x.T, bias=True), 40), wanted, rtol=1e-9)


def test_a_place_that_never_changes_does_not_outweigh_all_others():
    rng = np.random.default_rng(4)
    covariance = np.stack([np.eye(3), np.zeros((3, 3))])
    head = GaussianHead.of(np.zeros((2, 3)), covariance, 100)
    moved = torch.from_numpy(rng.standard_normal((5, 3, 1, 1)).astype(np.float32)).expand(5, 3, 1, 2)
    ratio = head(moved)[:, 1] / head(moved)[:, 0]
    assert (ratio > 50).all()
    assert (ratio < 150).all()


def test_a_gaussian_at_each_place_is_the_mahalanobis_distance():
    rng = np.random.default_rng(1)
    normal = rng.standard_normal((200, 5, 2, 3)).astype(np.float32)
    flat = normal.reshape(200, 5, 6)
    mean = flat.mean(0).T
    covariance = np.stack([np.cov(flat[:, :, p].T, bias=True) for p in range(6)])
    head = GaussianHead.of(mean, covariance, 200)
    new = rng.standard_normal((4, 5, 2, 3)).astype(np.float32)
    found = head(torch.from_numpy(new)).numpy()
    for p in range(6):
        inverse = np.linalg.inv(shrunk(covariance[p], 200))
        away = new.reshape(4, 5, 6)[:, :, p] - mean[p]
        wanted = np.sqrt(np.einsum("nd,de,ne->n", away, inverse, away) / 5)
        np.testing.assert_allclose(found[:, p], wanted, rtol=1e-4)


@pytest.mark.parametrize("k", [1, 3])
def test_a_memory_is_the_distance_to_the_nearest(k):
    rng = np.random.default_rng(2)
    bank, maps = rng.standard_normal((50, 4)).astype(np.float32), rng.standard_normal((3, 4, 2, 2)).astype(np.float32)
    found = MemoryHead.of(bank, k)(torch.from_numpy(maps)).numpy()
    queries = maps.reshape(3, 4, 4).transpose(0, 2, 1).reshape(-1, 4)
    wanted = NearestNeighbors(n_neighbors=k).fit(bank).kneighbors(queries)[0].mean(1)
    np.testing.assert_allclose(found.ravel(), wanted, rtol=1e-4)


def test_a_coreset_reaches_every_heap():
    rng = np.random.default_rng(3)
    heaps = np.concatenate([rng.normal(c, 0.01, (n, 2)) for c, n in ((0, 500), (5, 20), (9, 3))]).astype(np.float32)
    chosen = coreset(heaps, 3, seed=0)
    assert {round(float(v)) for v in heaps[chosen, 0]} == {0, 5, 9}, "a random draw would hardly meet the small heaps"
    assert len(set(coreset(heaps, 40, seed=0).tolist())) == 40
    np.testing.assert_array_equal(coreset(heaps[:5], 40, seed=0), np.arange(5))


def test_the_score_is_the_mean_of_the_strangest_places():
    is_ood = torch.zeros(1, 200)
    is_ood[0, 7], is_ood[0, 9] = 4.0, 2.0
    assert score_of(is_ood).item() == 3.0
    assert score_of(torch.tensor([[5.0]])).item() == 5.0


def pixel_detector(head, grid):
    detector = AnomalyModel({"kind": "detector", "trunk": None, "taps": [], "grid": grid, "keep": 0, "head": None})
    detector.set_head(head)
    return detector.eval()


def test_places_of_pixels_are_their_neighbourhoods():
    body = AnomalyModel({"kind": "detector", "trunk": None, "taps": [], "grid": [4, 5], "keep": 0, "head": None})
    x = torch.rand(2, 1, 4, 5)
    maps = body.backbone_outputs(x)[0]
    assert maps.shape == (2, 9, 4, 5)
    torch.testing.assert_close(maps[:, 4], x[:, 0], msg="the middle of a neighbourhood is the pixel")
    torch.testing.assert_close(maps[:, 3, :, 1:], x[:, 0, :, :-1], msg="the pixel to the left of it")


def test_the_map_is_hot_where_the_image_was_changed():
    rng = np.random.default_rng(4)
    normal = torch.from_numpy(rng.normal(0.5, 0.05, (80, 1, 8, 8)).astype(np.float32))
    body = AnomalyModel({"kind": "detector", "trunk": None, "taps": [], "grid": [8, 8], "keep": 0, "head": None})
    maps = body.backbone_outputs(normal)[0].flatten(2).numpy()
    covariance = np.stack([np.cov(maps[:, :, p].T, bias=True) for p in range(64)])
    detector = pixel_detector(GaussianHead.of(maps.mean(0).T, covariance, 80), [8, 8])
    new = normal[:1].clone()
    new[0, 0, 2:4, 5:7] = 1.0
    heat = detector.anomaly_map(new)[0]
    assert heat.shape == (8, 8)
    y, x = divmod(int(heat.argmax()), 8)
    assert 1 <= y <= 4
    assert 4 <= x <= 7
    assert detector(new).item() > detector(normal).max().item()


@pytest.mark.parametrize("kind", ["gaussian", "memory"])
def test_a_detector_is_built_again_from_its_spec_and_weights(kind):
    rng = np.random.default_rng(5)
    if kind == "gaussian":
        head = GaussianHead.of(rng.standard_normal((1, 64)), np.eye(64)[None], 100)
    else:
        head = MemoryHead.of(rng.standard_normal((30, 64)), 5)
    detector = pixel_detector(head, [1, 1])
    again = from_spec(detector.spec)
    again.load_state_dict(detector.state_dict())
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(again.eval()(x), detector(x))
    assert torch.equal(copy.deepcopy(detector)(x), detector(x))
    assert detector.with_features(x)[1].shape == (3, 64)
