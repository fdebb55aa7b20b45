"""Losses against their formulas in NumPy, against scikit-learn and SciPy, and their gradients against differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit, rel_entr, softmax
from sklearn.metrics import hinge_loss, log_loss
from sklearn.utils.class_weight import compute_sample_weight
from torch.nn import functional as F

from clearsight.errors import DataError
from clearsight.tasks.losses import LOSSES
from clearsight.tasks.losses import one_hot_targets as targets
from clearsight.train import choices
from clearsight.train.class_weight import balanced_weights

N, K = 40, 5


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(N, K, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.randint(K, (N,), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def probabilities() -> torch.Tensor:
    """Soft targets, rows that sum to 1, some entries 0."""
    raw = torch.rand(N, K, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    raw[::3, 1] = 0
    return raw / raw.sum(1, keepdim=True)


def test_there_is_a_loss_for_every_name() -> None:
    assert list(LOSSES) == list(choices.LOSSES)


def in_numpy(name: str, z: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The formula as the textbook has it, with no care for large numbers."""
    p, q = softmax(z, axis=1), expit(z)
    if name == "hinge":
        margins = [[1 + np.delete(row, k).max() - row[k] for k in range(K)] for row in z]
        return (t * np.maximum(0, margins)).sum(1)
    return {
        "cross-entropy": -(t * np.log(p)).sum(1),
        "bce": -(t * np.log(q) + (1 - t) * np.log(1 - q)).sum(1),
        "focal": -(t * (1 - p) ** 2 * np.log(p)).sum(1),
        "kl": rel_entr(t, p).sum(1),
        "mse": ((z - t) ** 2).mean(1),
    }[name]


@pytest.mark.parametrize("name", LOSSES)
def test_the_closed_form(name: str, logits: torch.Tensor, probabilities: torch.Tensor, labels: torch.Tensor) -> None:
    for target in (probabilities, F.one_hot(labels, K).double()):
        expected = in_numpy(name, logits.numpy(), target.numpy())
        np.testing.assert_allclose(LOSSES[name](logits, target), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_that_of_differences(name: str, logits: torch.Tensor, probabilities: torch.Tensor) -> None:
    assert torch.autograd.gradcheck(lambda z: LOSSES[name](z, probabilities), (logits.requires_grad_(),))


@pytest.mark.parametrize("name", LOSSES)
def test_a_hand_worked_image(name: str) -> None:
    """Logits log 3, 0, 0: probabilities 3/5, 1/5, 1/5 by softmax and 3/4, 1/2, 1/2 by sigmoid; class 0 is true."""
    z = np.log(3)
    expected = {
        "cross-entropy": np.log(5 / 3),
        "bce": np.log(4 / 3) + 2 * np.log(2),
        "focal": (2 / 5) ** 2 * np.log(5 / 3),
        "hinge": 0.0,  # log 3 = 1.0986 leads by more than 1
        "kl": np.log(5 / 3),
        "mse": (z - 1) ** 2 / 3,
    }[name]
    found = LOSSES[name](torch.tensor([[z, 0, 0]]), torch.tensor([[1.0, 0, 0]]))
    assert found.tolist() == pytest.approx([expected], rel=1e-6)


@pytest.mark.parametrize("name", ["cross-entropy", "bce", "focal", "hinge", "kl"])
def test_huge_logits_give_their_limit_not_infinity(name: str) -> None:
    """Certain and wrong by 2e4: every loss but the squares grows in a line; certain and right: it is 0."""
    z = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    wrong, right = LOSSES[name](z, torch.tensor([[0.0, 1], [0, 1]]))
    expected = 20001 if name == "hinge" else 20000
    assert (wrong.item(), right.item()) == (expected, 0)
    (wrong + right).backward()
    assert torch.isfinite(z.grad).all()


def test_cross_entropy_equals_scikit_learn(logits: torch.Tensor, labels: torch.Tensor) -> None:
    found = LOSSES["cross-entropy"](logits, F.one_hot(labels, K)).mean().item()
    assert found == pytest.approx(log_loss(labels, softmax(logits.numpy(), axis=1), labels=range(K)), rel=1e-9)


def test_hinge_equals_scikit_learn_image_by_image(logits: torch.Tensor, labels: torch.Tensor) -> None:
    found = LOSSES["hinge"](logits, F.one_hot(labels, K))
    for i in range(N):
        peer = hinge_loss(labels[i : i + 1], logits[i : i + 1].numpy(), labels=np.arange(K))
        assert found[i].item() == pytest.approx(peer, abs=1e-12)


def test_hinge_of_a_tie_is_the_margin() -> None:
    """Two classes lead alike: whichever is true, the other is its rival."""
    tied = torch.tensor([[2.0, 2, 0], [2, 2, 0]])
    assert LOSSES["hinge"](tied, torch.eye(3)[:2]).tolist() == [1, 1]


def test_kl_is_zero_only_where_the_output_is_the_target(logits: torch.Tensor) -> None:
    same = LOSSES["kl"](logits, logits.softmax(1))
    torch.testing.assert_close(same, torch.zeros_like(same), atol=1e-12, rtol=0)
    assert LOSSES["kl"](logits, logits.softmax(1).flip(1)).min() > 1e-3


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_smoothed_targets_equal_pytorchs_label_smoothing(
    smoothing: float, logits: torch.Tensor, labels: torch.Tensor
) -> None:
    rows = targets(labels, K, smoothing)
    assert rows.dtype == torch.float32
    peer = F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    torch.testing.assert_close(LOSSES["cross-entropy"](logits, rows), peer, rtol=1e-6, atol=1e-6)


def test_targets_by_hand() -> None:
    assert targets(torch.tensor([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert targets(torch.tensor([1]), 4, 0.2)[0].tolist() == pytest.approx([0.05, 0.85, 0.05, 0.05])
    assert targets(torch.tensor([], dtype=torch.int64), 3).shape == (0, 3)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_is_no_class_is_refused(label: int) -> None:
    with pytest.raises(DataError, match=f"not a valid class index; found {label}; expected 0 to 2"):
        targets(torch.tensor([0, label]), 3)


def test_class_weights_by_hand() -> None:
    """Six images, three of class 0, two of 1, one of 3: 6 / (3 * 3), 6 / (3 * 2), none, 6 / (3 * 1)."""
    weights = balanced_weights(np.array([0, 0, 0, 1, 1, 3]), 4)
    assert weights.dtype == torch.float32
    assert weights.tolist() == pytest.approx([2 / 3, 1, 0, 2])


def test_class_weights_equal_scikit_learn_and_keep_the_mean() -> None:
    labels = np.random.default_rng(0).choice(6, 200, p=[0.5, 0.25, 0.15, 0, 0.07, 0.03])
    per_image = balanced_weights(labels, 6).numpy()[labels]
    np.testing.assert_allclose(per_image, compute_sample_weight("balanced", labels), rtol=1e-6)
    assert per_image.mean() == pytest.approx(1)
