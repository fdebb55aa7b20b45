"""Random changes of whole batches: what they may and may not do to pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clearsight.data.augment import affine, augment, erase, light, mirror


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(64, 3, 16, 12, generator=dice(1))


@pytest.mark.parametrize("strength", ["none", "light", "strong"])
def test_shape_range_and_seed(images, strength):
    before = images.clone()
    out = augment(images, strength, dice())
    assert out.shape == images.shape
    assert out.dtype == torch.float32
    assert out.min() >= 0
    assert out.max() <= 1
    assert torch.equal(out, augment(images, strength, dice()))
    assert torch.equal(images, before)
    assert torch.equal(out, images) == (strength == "none")


def test_an_affine_change_of_nothing(images):
    assert torch.allclose(affine(images, dice(), degrees=0, shift=0, zoom=0), images, atol=1e-5)


def test_a_shift_against_sampling_by_hand():
    """A horizontal ramp, bilinear, shifted by s pixels, is the ramp minus s away from the border."""
    ramp = (torch.arange(40.0) / 40).expand(30, 1, 40, 40)
    out = affine(ramp, dice(3), degrees=0, shift=0.1, zoom=0)
    moved = (out - ramp)[:, 0, 20, 8:32]  # the same everywhere inside
    assert moved.std(dim=1).max() < 1e-5
    shifts = moved.mean(dim=1) * 40
    assert shifts.abs().max() <= 0.1 * 40 + 1e-3
    assert shifts.abs().max() > 2


def test_a_turn_keeps_a_disc():
    y, x = np.mgrid[-20:20, -20:20] + 0.5
    disc = torch.from_numpy(np.clip(15 - np.hypot(x, y), 0, 1).astype(np.float32)).expand(20, 1, 40, 40)
    assert (affine(disc, dice(), degrees=45, shift=0, zoom=0) - disc).abs().max() < 0.25
    areas = affine(disc, dice(), degrees=45, shift=0, zoom=0).sum(dim=(1, 2, 3))
    assert torch.allclose(areas, disc[:1].sum(), rtol=0.01)
    zoomed = affine(disc, dice(), degrees=0, shift=0, zoom=0.1).sum(dim=(1, 2, 3)) / disc[:1].sum()
    assert 0.8 < zoomed.min() < 0.95
    assert 1.05 < zoomed.max() < 1.22  # 1.1 squared


def test_mirror(images):
    out = mirror(images, dice())
    turned = [bool(torch.equal(a, b.flip(-1))) for a, b in zip(out, images, strict=True)]
    kept = [bool(torch.equal(a, b)) for a, b in zip(out, images, strict=True)]
    assert all(t != k for t, k in zip(turned, kept, strict=True))
    assert 16 < sum(turned) < 48


def test_light_by_hand():
    gray = torch.full((200, 1, 4, 4), 0.5)
    out = light(gray, dice(), brightness=0.2, contrast=0.3)
    assert (out.amax(dim=(1, 2, 3)) == out.amin(dim=(1, 2, 3))).all()  # contrast does nothing to a flat image
    assert 0.3 <= out.min() < 0.32
    assert 0.68 < out.max() <= 0.7
    half = torch.tensor([0.4, 0.6]).repeat(200, 1, 4, 2)
    spread = light(half, dice(), brightness=0, contrast=0.3).std(dim=(1, 2, 3)) / half[0].std()
    assert 0.7 <= spread.min() < 0.73
    assert 1.27 < spread.max() <= 1.3001


def test_erase(images):
    out = erase(images, dice(), share=0.25)
    share = (out != images).any(dim=1).float().mean(dim=(1, 2))
    assert share.max() <= 0.25 + 0.12  # whole pixels
    assert 16 < (share == 0).sum() < 48
    mean = images.mean(dim=(2, 3))
    for image, before, fill in zip(out, images, mean, strict=True):
        changed = (image != before).any(dim=0)
        assert torch.allclose(image[:, changed], fill[:, None].expand(-1, int(changed.sum())))
