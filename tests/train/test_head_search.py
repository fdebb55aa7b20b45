"""The head on frozen features, against scikit-learn on the same numbers."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from clearsight.models.heads import build_head, kernel_head
from clearsight.models.network import AS_IT_IS
from clearsight.train.features import Averaged
from clearsight.train.head_search import (
    MIXED,
    StandardFeatures,
    Targets,
    _fitted,
    _kernel_weights,
    _softmax_weights,
    choose_head,
)
from clearsight.train.strategies.probe import MIRRORED


@pytest.fixture
def blobs() -> tuple[np.ndarray, np.ndarray]:
    """240 points of 6 numbers in 3 classes that overlap a little."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 80)
    centres = rng.normal(size=(3, 6)) * 2
    return (centres[labels] + rng.normal(size=(240, 6))).astype(np.float32) * 3 + 5, labels


def test_softmax_head_equals_scikit_learn(blobs):
    x, y = blobs
    rows, ones = np.arange(240), np.ones(240, np.float32)
    strength = 1e-2
    w, b = _softmax_weights(StandardFeatures([x], rows), rows, Targets(y, ones, 3), strength)
    # scikit-learn minimises C * sum of losses + |W|²/2, so C = 1 / (strength * N)
    peer = LogisticRegression(C=1 / (strength * 240), tol=1e-8, max_iter=1000).fit(StandardScaler().fit_transform(x), y)
    np.testing.assert_allclose(w, peer.coef_, atol=2e-3)
    np.testing.assert_allclose(b - b.mean(), peer.intercept_ - peer.intercept_.mean(), atol=2e-3)


def test_weights_of_labels_count_like_repeated_images(blobs):
    x, y = blobs
    rows = np.arange(240)
    doubled = np.concatenate([rows, rows[:50]])
    weights = np.ones(240, np.float32)
    weights[:50] = 2
    features = StandardFeatures([x], rows)
    w1, _ = _softmax_weights(features, rows, Targets(y, weights, 3), 0.1)
    w2, _ = _softmax_weights(features, doubled, Targets(y, np.ones(240, np.float32), 3), 0.1)
    np.testing.assert_allclose(w1, w2, atol=1e-3)


def test_kernel_head_equals_scikit_learn(blobs):
    x, y = blobs
    y = (y == 1).astype(np.int64)
    rows = np.arange(240)
    features = StandardFeatures([x[:, :4], x[:, 4:]], rows)
    targets = Targets(y, np.ones(240, np.float32), 2)
    _, head = _fitted(features, rows, targets, "kernel SVM", {"C": 3.0, "gamma D": 1.0}).module(features)
    z = StandardScaler().fit_transform(x)
    peer = SVC(C=3.0, gamma=1 / 6).fit(z, y)
    logits = head(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(logits[:, 1], peer.decision_function(z), atol=1e-3)
    np.testing.assert_allclose(logits[:, 0], -logits[:, 1], atol=1e-6)


def test_kernel_head_for_three_classes_is_one_against_the_rest(blobs):
    x, y = blobs
    rows = np.arange(240)
    features = StandardFeatures([x], rows)
    support, dual, intercept = _kernel_weights(features, rows, Targets(y, np.ones(240, np.float32), 3), 3.0, 1 / 6)
    z = StandardScaler().fit_transform(x).astype(np.float32)
    _, head = kernel_head(z[support], dual, intercept, 1 / 6, np.zeros(6), np.ones(6))
    got = head(torch.from_numpy(z)).detach().numpy()
    for k in range(3):
        peer = SVC(C=3.0, gamma=1 / 6).fit(z, y == k)
        np.testing.assert_allclose(got[:, k], peer.decision_function(z), atol=2e-3)


def test_the_gradient_of_a_kernel_head_reaches_its_input(blobs):
    x, y = blobs
    rows = np.arange(240)
    features, targets = StandardFeatures([x], rows), Targets(y, np.ones(240, np.float32), 3)
    _, head = _fitted(features, rows, targets, "kernel SVM", {"C": 3.0, "gamma D": 1.0}).module(features)
    head = head.double()
    point = torch.from_numpy(x[:2]).double().requires_grad_()
    assert torch.autograd.gradcheck(head, (point,), eps=1e-5, atol=1e-6)


def test_chunked_features_equal_whole_ones(blobs):
    x, _ = blobs
    rows = np.arange(0, 240, 2)
    small, large = StandardFeatures([x], rows, chunk=7), StandardFeatures([x], rows)
    np.testing.assert_allclose(small.mean, x[rows].mean(0), rtol=1e-5)
    np.testing.assert_allclose(small.std, x[rows].std(0), rtol=1e-5)
    np.testing.assert_allclose(
        np.concatenate(list(small.chunks(rows))), np.concatenate(list(large.chunks(rows))), atol=1e-5
    )


def test_the_better_feature_set_and_head_win(blobs):
    """Noise in one part, the classes in the other: the choice must find the second."""
    x, y = blobs
    noise = np.random.default_rng(1).normal(size=(240, 4)).astype(np.float32)
    rows = np.arange(240)
    number = rows % 4
    folds = [(rows[number != k], rows[number == k]) for k in range(4)]
    found = choose_head(
        [noise, x], {"noise": (0,), "signal": (1,)}, Targets(y, np.ones(240, np.float32), 3), folds, rows
    )
    assert found.chosen.features == "signal"
    assert found.chosen.accuracy == max(c.accuracy for c in found.candidates if c.head != MIXED)
    assert sorted(found.validation_indices) == list(range(240))
    assert found.chosen.accuracy == pytest.approx((found.logits.argmax(1) == y[found.validation_indices]).mean())
    assert any(c.head == "kernel SVM" for c in found.candidates)


def test_views_are_averaged_when_that_lowers_the_log_loss(blobs):
    """Features without noise from other views help; those of other images harm and are left out."""
    x, y = blobs
    rows = np.arange(240)
    folds = [(rows[rows % 4 != k], rows[rows % 4 == k]) for k in range(4)]
    noisy = x + np.random.default_rng(1).normal(scale=8, size=x.shape).astype(np.float32)
    exchanged = noisy[np.argsort((y + 1) % 3, kind="stable")]
    targets = Targets(y, np.ones(240, np.float32), 3)
    two, all_four = MIRRORED

    def found(views):
        return choose_head([noisy], {"all": (0,)}, targets, folds, rows, kernels=False, views=views)

    plain, harmed = found(None), found({two: lambda: [Averaged([noisy, exchanged])]})
    assert harmed.chosen == plain.chosen
    assert harmed.chosen.views == AS_IT_IS
    better = found({two: lambda: [Averaged([noisy, x])], all_four: lambda: [Averaged([noisy, exchanged])]})
    assert better.chosen.views == two
    assert better.chosen.log_loss < plain.chosen.log_loss
    assert "averaged over 2 views" in better.chosen.words()
    assert sorted(better.validation_indices) == list(range(240))
    rest = better.head(torch.from_numpy((noisy + x) / 2)).argmax(1).numpy()
    assert (rest == y).mean() > 0.9, "the head is fitted on the averaged features"


@pytest.mark.parametrize("views", [None, {MIRRORED[0]: 1.5}])
def test_progress_counts_the_candidates_that_the_result_has(blobs, views):
    x, y = blobs
    rows, counts = np.arange(240), []
    result = choose_head(
        [x], {"all": (0,)}, Targets(y, np.ones(240, np.float32), 3), [(rows[::2], rows[1::2])], rows, kernels=False,
        views=views and {names: lambda: [x] for names in views}, progress=lambda *both: counts.append(both),
    )  # fmt: skip
    assert [done for done, _ in counts] == list(range(1, len(result.candidates) + 1))
    assert counts[-1] == (len(result.candidates),) * 2
    assert [total for _, total in counts] == sorted(total for _, total in counts)


def test_a_mixed_head_is_the_mean_of_its_members_and_can_be_rebuilt(blobs):
    x, y = blobs
    rows = np.arange(240)
    features, targets = StandardFeatures([x], rows), Targets(y, np.ones(240, np.float32), 3)
    setting = {"L2": 0.1, "C": 3.0, "gamma D": 1.0, "temperature 1": 0.5, "temperature 2": 2.0}
    fitted = _fitted(features, rows, targets, MIXED, setting)
    spec, head = fitted.module(features)
    again = build_head(spec)
    again.load_state_dict(head.state_dict())
    with torch.inference_mode():
        given = again(torch.from_numpy(x)).exp().numpy()
        members = [member(torch.from_numpy(x)) for member in head.heads]
    expected = (members[0] / 0.5).softmax(1) / 2 + (members[1] / 2.0).softmax(1) / 2
    np.testing.assert_allclose(given, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(np.exp(fitted.outputs(features, rows)), given, atol=1e-3)
