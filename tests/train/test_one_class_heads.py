"""Fitting detectors: moments, what is set aside, memory."""

import numpy as np
import pytest

from clearsight.train.one_class_heads import FEW, LEAST_SPREAD, far_out, fit_head, moments, usual


def test_moments_are_numpys_over_chunks():
    maps = np.random.default_rng(0).standard_normal((300, 4, 2, 2)).astype(np.float32)
    rows = np.arange(0, 300, 2)
    mean, covariance = moments(maps, rows)
    flat = maps[rows].reshape(150, 4, 4)
    for p in range(4):
        np.testing.assert_allclose(mean[p], flat[:, :, p].mean(0), atol=1e-5)
        np.testing.assert_allclose(covariance[p], np.cov(flat[:, :, p].T, bias=True), atol=1e-5)


def test_far_outliers_are_set_aside_and_never_many():
    rng = np.random.default_rng(1)
    scores = rng.standard_normal(500)
    assert far_out(scores).sum() <= 1, "a normal distribution has hardly any"
    assert far_out(np.concatenate([scores, np.full(40, 30.0)])).sum() == 40
    many = np.concatenate([np.zeros(60), rng.uniform(50, 60, 40)])
    assert far_out(many).mean() <= FEW


def test_a_place_that_never_varies_does_not_shout():
    away = np.abs(np.random.default_rng(2).standard_normal((100, 3))).astype(np.float32)
    away[:, 1] = 0
    level, spread = usual(away)
    assert level[1] == 0
    assert spread[1] == pytest.approx(LEAST_SPREAD * (spread[0] + spread[2]) / 3, rel=1e-3)


def test_the_memory_is_bounded(monkeypatch):
    from clearsight.train import one_class_heads as normal_heads

    monkeypatch.setattr(normal_heads, "POINTS", 400)
    monkeypatch.setattr(normal_heads, "MEMORY", 50)
    maps = np.random.default_rng(3).standard_normal((60, 3, 4, 4)).astype(np.float32)
    head = fit_head("patchcore", maps, np.arange(60), seed=0)
    assert head.bank.shape == (50, 3)
    points = {tuple(v) for v in maps.transpose(0, 2, 3, 1).reshape(-1, 3)}
    assert all(tuple(row) in points for row in head.bank.numpy()), "patches of the images, not means of them"
