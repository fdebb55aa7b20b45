"""Mixed batches: the targets must say what share of which image is in the pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from clearsight.data.mix import mix


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flat(n: int, side: int = 16, channels: int = 3) -> torch.Tensor:
    """Images (n, channels, side, side) of one value each, k / n for image k, so that every pixel shows its origin."""
    return (torch.arange(n) / n)[:, None, None, None].repeat(1, channels, side, side)


def test_no_mixing_returns_the_batch_itself():
    images, targets = flat(4), torch.eye(4)
    out, wanted = mix(images, targets, dice())
    assert out is images
    assert wanted is targets


@settings(deadline=None, max_examples=60)
@given(
    alpha=st.floats(1e-3, 20),
    kind=st.sampled_from(["mixup", "cutmix"]),
    shape=st.tuples(st.integers(1, 9), st.sampled_from([1, 3, 5]), st.integers(1, 12), st.integers(1, 12)),
    seed=st.integers(0, 2**32),
)
def test_targets_stay_distributions_and_pixels_in_range(alpha, kind, shape, seed):
    images = torch.rand(shape, generator=dice(seed))
    targets = torch.nn.functional.one_hot(torch.arange(shape[0]) % 3, 3).float()
    before = images.clone(), targets.clone()
    out, wanted = mix(images, targets, dice(seed), **{kind: alpha})
    assert out.shape == images.shape
    assert wanted.shape == targets.shape
    assert bool(((out >= 0) & (out <= 1)).all())
    assert bool((wanted >= 0).all())
    assert torch.allclose(wanted.sum(dim=1), torch.ones(shape[0]), atol=1e-6)
    again = mix(images, targets, dice(seed), **{kind: alpha})
    assert torch.equal(out, again[0])
    assert torch.equal(wanted, again[1])
    assert torch.equal(images, before[0])
    assert torch.equal(targets, before[1])


def test_mixup_by_hand():
    """Flat images of 0, 1/n, ...: the mixed value and the two targets must state the same weight."""
    n = 64
    images, targets = flat(n), torch.eye(n)
    out, wanted = mix(images, targets, dice(), mixup=0.4)
    kept = wanted.diagonal()
    partner = wanted[torch.arange(n), torch.arange(n) - 1]  # the image before it
    assert torch.allclose(kept + partner, torch.ones(n), atol=1e-6)
    expected = kept * images[:, 0, 0, 0] + partner * images.roll(1, 0)[:, 0, 0, 0]
    assert torch.allclose(out, expected[:, None, None, None].expand_as(out), atol=1e-6)
    assert len(kept.unique()) > 50  # each image its own


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_cutmix_targets_are_the_share_of_pixels(alpha, channels):
    n = 64
    images, targets = flat(n, 17, channels), torch.eye(n)
    out, wanted = mix(images, targets, dice(), cutmix=alpha)
    changed = (out != images).float().mean(dim=(1, 2, 3))
    partner = wanted[torch.arange(n), torch.arange(n) - 1]
    assert torch.allclose(partner, changed, atol=1e-6)
    assert torch.allclose(wanted.diagonal(), 1 - changed, atol=1e-6)
    assert ((out == images) | (out == images.roll(1, 0))).all()
    assert changed.max() > 0.5
    for image, one in zip(out[:, 0], images[:, 0], strict=True):  # what changed is one box
        rows, columns = (image != one).any(dim=1), (image != one).any(dim=0)
        assert (image != one).sum() == rows.sum() * columns.sum()
        assert rows.nonzero().numel() == 0 or rows.sum() == rows.nonzero().max() - rows.nonzero().min() + 1


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_weights_follow_a_beta_distribution(alpha):
    n = 4000
    _, wanted = mix(torch.zeros(n, 1, 1, 1), torch.eye(n), dice(), mixup=alpha)
    assert stats.kstest(wanted.diagonal().numpy().astype(np.float64), stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_soft_targets_are_mixed_too():
    targets = torch.tensor([[0.9, 0.1], [0.1, 0.9]])
    _, wanted = mix(flat(2), targets, dice(), mixup=1.0)
    assert torch.allclose(wanted.sum(dim=1), torch.ones(2))
    assert ((wanted >= 0.1 - 1e-6) & (wanted <= 0.9 + 1e-6)).all()


def test_only_one_kind_at_a_time():
    with pytest.raises(AssertionError, match="cannot be combined"):
        mix(flat(2), torch.eye(2), dice(), mixup=1.0, cutmix=1.0)
