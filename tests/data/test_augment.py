"""Random changes of whole batches: what they may and may not do to pixels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as vision

from clearsight.data.augment import (
    CHANGES,
    RANDOM,
    WARPS,
    affine,
    augment,
    boxes,
    colour,
    crop,
    erase,
    flip,
    gaussian_blur,
    hue,
    mirror,
    noise,
    perspective,
    rand,
    shifted_hue,
    warp,
)
from clearsight.train.choices import AUGMENTATIONS

NAMES = sorted(AUGMENTATIONS)


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(64, 3, 16, 12, generator=dice(1))


def test_every_policy_has_one_function():
    assert set(WARPS) | set(CHANGES) == set(AUGMENTATIONS)
    assert not set(WARPS) & set(CHANGES)
    with pytest.raises(KeyError, match="swirl"):  # the options are checked before
        augment(torch.zeros(1, 1, 2, 2), "mirror+swirl", dice())


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("policy", [*NAMES, "mirror+crop+perspective+colour+noise+erase"])
def test_shape_range_and_seed(policy, channels):
    images = torch.rand(64, channels, 16, 12, generator=dice(1))
    before = images.clone()
    out = augment(images, policy, dice())
    assert out.shape == images.shape
    assert out.dtype == torch.float32
    assert out.min() >= 0
    assert out.max() <= 1
    assert torch.equal(out, augment(images, policy, dice()))
    assert torch.equal(images, before)
    unchanged = policy == "none" or (policy == "hue" and channels != 3)
    assert torch.equal(out, images) == unchanged
    assert unchanged or not torch.equal(out, augment(images, policy, dice(1)))


@settings(deadline=None, max_examples=60)
@given(
    policy=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("+".join),
    shape=st.tuples(st.integers(1, 6), st.sampled_from([1, 3, 5]), st.integers(1, 20), st.integers(1, 20)),
    value=st.sampled_from([0.0, 1.0, None]),
    seed=st.integers(0, 2**32),
)
def test_any_policy_keeps_shape_and_range(policy, shape, value, seed):
    images = torch.rand(shape, generator=dice(seed)) if value is None else torch.full(shape, value)
    out = augment(images, policy, dice(seed))
    assert out.shape == images.shape
    assert bool(((out >= 0) & (out <= 1)).all())  # not-a-number would fail too


@pytest.mark.parametrize("policy", sorted(set(NAMES) - {"none"}))
def test_images_of_a_batch_change_differently(policy):
    one = torch.rand(1, 3, 16, 16, generator=dice(1))
    out = augment(one.expand(32, -1, -1, -1), policy, dice())
    kinds = {tuple(image.flatten().tolist()) for image in out}
    most = {"mirror": 2, "flip": 4}.get(policy, 33)
    assert min(most, 8) <= len(kinds) <= most


def test_plus_keeps_the_order(images):
    chance = dice()
    after = augment(augment(images, "colour", chance), "erase", chance)
    assert torch.equal(augment(images, "colour+erase", dice()), after)
    chance = dice()
    assert torch.equal(augment(images, "erase+mirror", dice()), mirror(augment(images, "erase", chance), chance))


def test_neighbouring_warps_are_sampled_once(images):
    """On a smooth picture that is what one after the other does, but for what bilinear sampling blurs."""
    y, x = torch.meshgrid(torch.linspace(0, 3, 64), torch.linspace(0, 3, 64), indexing="ij")
    smooth = (0.5 + 0.5 * torch.sin(x + 0.5 * y)).expand(20, 1, 64, 64)
    together, chance = augment(smooth, "crop+perspective", dice()), dice()
    first, second = (WARPS[name](smooth.shape, chance) for name in ("crop", "perspective"))
    # together: the place in the changed image goes through the last warp first
    assert torch.allclose(together, warp(smooth, first @ second))
    inside = slice(16, 48)
    apart = warp(warp(smooth, first), second)[..., inside, inside]
    other = warp(smooth, second @ first)[..., inside, inside]
    error = (together[..., inside, inside] - apart).abs().mean()
    assert error < 0.002
    assert (other - apart).abs().mean() > 10 * error  # the other way round


def test_light_is_what_it_always_was():
    """The default policy, written out in full as it was in version 0.1: old runs are repeated to the bit."""
    images = torch.rand(50, 3, 24, 24, generator=dice(1))
    u = torch.rand(50, 4, generator=dice()) * 2 - 1
    angle, scale = u[:, 0] * math.radians(10), 1 + u[:, 1] * 0.1
    theta = torch.zeros(50, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = torch.cos(angle) / scale
    theta[:, 0, 1] = -torch.sin(angle) / scale
    theta[:, 1, 0] = torch.sin(angle) / scale
    theta[:, :, 2] = u[:, 2:] * 0.2
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    before = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    assert torch.equal(augment(images, "light", dice()), before.clamp(0, 1))


def test_warps_of_strength_zero_change_nothing(images):
    for matrices in (
        affine(images.shape, dice(), degrees=0, shift=0, zoom=0),
        crop(images.shape, dice(), least=1, ratio=4 / 3),
        perspective(images.shape, dice(), strength=0),
    ):
        assert torch.allclose(matrices, torch.eye(3).expand_as(matrices), atol=1e-6)
        assert torch.allclose(warp(images, matrices), images, atol=1e-5)


@pytest.mark.parametrize("height", [1, 8, 31])
@pytest.mark.parametrize("width", [1, 16, 224])
def test_the_grid_of_a_warp_is_torchs(height, width):
    images = torch.rand(8, 1, height, width, generator=dice())
    matrices = affine(images.shape, dice(), degrees=15, shift=0.1, zoom=0.2)
    grid = F.affine_grid(matrices[:, :2], list(images.shape), align_corners=False)
    expected = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    assert torch.allclose(warp(images, matrices), expected, atol=1e-5)
    matrices[:, 2] *= 2  # homogeneous: the place is divided by what the last row gives
    matrices[:, :2] *= 2
    assert torch.allclose(warp(images, matrices), expected, atol=1e-5)


def test_a_shift_against_sampling_by_hand():
    """A horizontal ramp, bilinear, shifted by s pixels, is the ramp minus s away from the border."""
    ramp = (torch.arange(40.0) / 40).expand(30, 1, 40, 40)
    out = warp(ramp, affine(ramp.shape, dice(3), degrees=0, shift=0.1, zoom=0))
    moved = (out - ramp)[:, 0, 20, 8:32]  # the same everywhere inside
    assert moved.std(dim=1).max() < 1e-5
    shifts = moved.mean(dim=1) * 40
    assert shifts.abs().max() <= 0.1 * 40 + 1e-3
    assert shifts.abs().max() > 2


def test_a_shift_of_whole_pixels():
    images = torch.rand(1, 2, 10, 8, generator=dice())
    matrix = torch.eye(3)[None].clone()
    matrix[0, :2, 2] = torch.tensor([2 * 3 / 8, 2 * -2 / 10])  # taken from 3 columns to the right and 2 rows above
    out = warp(images, matrix)
    assert torch.allclose(out[..., 2:, :5], images[..., :8, 3:], atol=1e-5)
    assert torch.allclose(out[..., :2, :5], images[..., :1, 3:].expand(1, 2, 2, 5), atol=1e-5)  # the border goes on


@pytest.mark.parametrize("width", [40, 60])
def test_a_turn_keeps_a_disc(width):
    y, x = np.mgrid[-20:20, -width // 2 : width // 2] + 0.5
    disc = torch.from_numpy(np.clip(15 - np.hypot(x, y), 0, 1).astype(np.float32)).expand(20, 1, 40, width)
    turned = warp(disc, affine(disc.shape, dice(), degrees=45, shift=0, zoom=0))
    assert (turned - disc).abs().max() < 0.25
    assert torch.allclose(turned.sum(dim=(1, 2, 3)), disc[:1].sum(), rtol=0.01)
    zoomed = warp(disc, affine(disc.shape, dice(), degrees=0, shift=0, zoom=0.1)).sum(dim=(1, 2, 3)) / disc[:1].sum()
    assert 0.8 < zoomed.min() < 0.95
    assert 1.05 < zoomed.max() < 1.22  # 1.1 squared


def test_a_crop_of_a_ramp_is_a_ramp():
    """Of a ramp along x it keeps a share of the slope, its width, and along y nothing changes."""
    ramp = ((torch.arange(60.0) + 0.5) / 60).expand(200, 1, 60, 60)
    matrices = crop(ramp.shape, dice(), least=0.35, ratio=4 / 3)
    out = warp(ramp, matrices)
    assert (out.std(dim=2) < 1e-5).all()
    slopes = out[:, 0, 0, 3:-3].diff(dim=1) * 60  # away from the border, which goes on
    assert (slopes.std(dim=1) < 1e-3).all()
    assert torch.allclose(slopes.mean(dim=1), matrices[:, 0, 0], atol=1e-3)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), least=st.floats(0.05, 1), ratio=st.floats(1, 3))
def test_a_crop_lies_inside_and_has_its_area(seed, least, ratio):
    m = crop((300, 3, 8, 8), dice(seed), least=least, ratio=ratio)
    width, height = m[:, 0, 0], m[:, 1, 1]
    area, shape = width * height, width / height
    assert ((area >= least - 1e-5) & (area <= 1 + 1e-5)).all()
    assert ((shape >= 1 / ratio - 1e-4) & (shape <= ratio + 1e-4)).all()
    assert (m[:, :2, 2].abs() + torch.stack([width, height], dim=1) <= 1 + 1e-5).all()  # nothing from outside
    assert area.max() - area.min() >= 0.8 * (1 - least) - 1e-6


def test_a_perspective_moves_corners_to_where_it_should():
    m = perspective((50, 1, 9, 9), dice(), strength=0.25)
    corners = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
    there = corners @ m.transpose(1, 2)
    assert (there[..., 2] > 0).all()  # no part of the image lies behind the eye
    moved = there[..., :2] / there[..., 2:] - corners[:, :2]
    assert moved.abs().max() <= 0.25 + 1e-4
    assert moved.abs().max() > 0.24
    assert m[:, 2, :2].abs().max() > 0.05  # and it is none that an affine change could be


def test_a_perspective_against_torchvision():
    image = torch.rand(1, 2, 32, 32, generator=dice())
    m = perspective(image.shape, dice(5), strength=0.25)
    there = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]]) @ m[0].T
    there = there[:, :2] / there[:, 2:]
    pixels = lambda points: ((points + 1) * 16).tolist()  # noqa: E731
    corners = [[-1, -1], [1, -1], [1, 1], [-1, 1]]
    expected = vision.perspective(image, pixels(there), pixels(torch.tensor(corners)), fill=[0.0, 0.0])
    inside = vision.perspective(torch.ones_like(image), pixels(there), pixels(torch.tensor(corners)), fill=[0.0, 0.0])
    where = inside > 0.999  # torchvision fills what comes from outside, here the border goes on
    assert where.float().mean() > 0.6
    assert torch.allclose(warp(image, m)[where], expected[where], atol=2e-3)


def test_mirror(images):
    out = mirror(images, dice())
    turned = [bool(torch.equal(a, b.flip(-1))) for a, b in zip(out, images, strict=True)]
    kept = [bool(torch.equal(a, b)) for a, b in zip(out, images, strict=True)]
    assert all(t != k for t, k in zip(turned, kept, strict=True))
    assert 16 < sum(turned) < 48


def test_flip(images):
    four = [images, images.flip(-1), images.flip(-2), images.flip((-1, -2))]
    which = torch.stack([(flip(images, dice()) == v).all(dim=(1, 2, 3)) for v in four])
    assert (which.sum(dim=0) == 1).all()
    assert (which.sum(dim=1) > 5).all()


def test_colour_by_hand():
    gray = torch.full((200, 1, 4, 4), 0.5)
    out = colour(gray, dice(), brightness=0.2, contrast=0.3, saturation=0)
    assert (out.amax(dim=(1, 2, 3)) == out.amin(dim=(1, 2, 3))).all()  # contrast does nothing to a flat image
    assert 0.3 <= out.min() < 0.32
    assert 0.68 < out.max() <= 0.7
    half = torch.tensor([0.4, 0.6]).repeat(200, 1, 4, 2)
    spread = colour(half, dice(), brightness=0, contrast=0.3, saturation=0).std(dim=(1, 2, 3)) / half[0].std()
    assert 0.7 <= spread.min() < 0.73
    assert 1.27 < spread.max() <= 1.3001


def test_saturation_against_torchvision():
    image = 0.3 + 0.4 * torch.rand(1, 3, 6, 6, generator=dice())
    out = colour(image.expand(100, -1, -1, -1), dice(), brightness=0, contrast=0, saturation=0.4)
    gray = vision.rgb_to_grayscale(image)
    factors = ((out - gray) / (image - gray)).flatten(1).median(dim=1).values
    assert 0.6 <= factors.min() < 0.65
    assert 1.35 < factors.max() <= 1.4
    for one, factor in zip(out, factors, strict=True):
        assert torch.allclose(one, vision.adjust_saturation(image, float(factor))[0], atol=1e-3)


def test_hue_against_torchvision():
    image = torch.rand(1, 3, 6, 6, generator=dice())
    image[0, :, 0, 0], image[0, :, 0, 1], image[0, :, 0, 2] = 0.5, 0.0, torch.tensor([0.2, 0.7, 0.7])
    for shift in (-0.5, -0.1, 0.0, 0.07, 0.3):
        out = shifted_hue(image, torch.full((1, 1, 1), shift))
        assert torch.allclose(out, vision.adjust_hue(image, shift), atol=1e-5)


def test_every_image_has_a_hue_of_its_own():
    red = torch.tensor([1.0, 0.0, 0.0])[None, :, None, None].expand(50, 3, 2, 2)
    out = hue(red, dice(), turn=0.1)
    assert torch.allclose(out[:, 0], torch.ones(50, 2, 2))  # up to a tenth of the circle, red stays the largest
    most = out[:, 1:].amax((1, 2, 3))
    assert 0.5 < most.max() <= 0.6  # 6 sectors times 0.1
    assert len(most.unique()) > 40


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_saturation_is_of_three_channels_alone(channels):
    images = torch.rand(10, channels, 6, 6, generator=dice())
    out = colour(images, dice(), brightness=0, contrast=0, saturation=0.9)
    assert torch.allclose(out, images, atol=1e-6)


def test_noise_has_the_deviations_drawn():
    gray = torch.full((400, 1, 32, 32), 0.5)
    out = noise(gray, dice(), sigma=0.1)
    drawn = torch.rand(400, 1, 1, 1, generator=dice()).flatten() * 0.1
    deviation = out.std(dim=(1, 2, 3))
    assert torch.allclose(deviation, drawn, rtol=0.12, atol=1e-6)  # of 1024 numbers: within 2.2 %, over five times that
    assert (out.mean(dim=(1, 2, 3)) - 0.5).abs().max() < 5 * 0.1 / 32
    colours = noise(gray.repeat(1, 3, 1, 1), dice(), sigma=0.1) - 0.5
    related = (colours[:, 0] * colours[:, 1]).sum() / colours[:, 0].norm() / colours[:, 1].norm()
    assert abs(related) < 0.01  # each channel has its own


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.3])
def test_blur_is_scipys_and_torchvisions(sigma):
    images = torch.rand(3, 2, 24, 31, generator=dice())
    sigmas = torch.tensor([0.0, sigma, 0.7])
    out = gaussian_blur(images, sigmas, 7)
    assert torch.allclose(out[0], images[0], atol=1e-6)
    for channel in range(2):
        expected = ndimage.gaussian_filter(images[1, channel].double().numpy(), sigma, mode="mirror", radius=7)
        assert np.abs(out[1, channel].numpy() - expected).max() < 1e-5
    assert torch.allclose(out[1:2], vision.gaussian_blur(images[1:2], [15, 15], [sigma, sigma]), atol=1e-5)


def test_the_kernel_of_a_blur_fits_into_any_image():
    for side in (1, 2, 3, 8):
        out = augment(torch.ones(4, 1, side, 9), "blur", dice())
        assert torch.allclose(out, torch.ones_like(out), atol=1e-6)
    spot = torch.zeros(50, 1, 200, 200)
    spot[..., 100, 100] = 1
    reach = (augment(spot, "blur", dice()) > 0).any(dim=(0, 1, 2)).nonzero()
    assert reach.min() == 94  # sigma up to a hundredth of the side, cut off at three of it
    assert reach.max() == 106


@pytest.mark.parametrize("share", [0.05, 0.25, 0.9])
def test_erase(images, share):
    out = erase(images, dice(), share=share)
    changed = (out != images).any(dim=1)
    area = changed.float().mean(dim=(1, 2))
    assert area.max() <= share
    assert area.max() > share / 2
    assert 16 < (area == 0).sum() < 48
    mean = images.mean(dim=(2, 3))
    for image, hole, fill in zip(out, changed, mean, strict=True):
        assert torch.allclose(image[:, hole], fill[:, None].expand(-1, int(hole.sum())))


def test_boxes_by_hand():
    mask = boxes(
        torch.zeros(2, 3, 4, 5), torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[3.0, 5.0], [0.0, 5.0]])
    )
    expected = torch.zeros(2, 1, 4, 5, dtype=torch.bool)
    expected[0, 0, 1:3, 2:5] = True
    assert torch.equal(mask, expected)


def test_rand_gives_each_image_two_changes():
    """An image that drew a change twice, on a batch of its own, is what that change makes of it."""
    n = 600
    images = torch.rand(1, 3, 16, 16, generator=dice(1)).repeat(n, 1, 1, 1)
    drawn = torch.randint(len(RANDOM), (2, n), generator=dice())
    out = rand(images, dice())
    nothing = list(RANDOM).index("nothing")
    same = (out == images).all(dim=(1, 2, 3))
    idle = (drawn == nothing).all(dim=0)
    assert same[idle].all()
    assert idle.any()
    assert same.float().mean() < 0.1
    counts = torch.bincount(drawn.flatten(), minlength=len(RANDOM))
    assert counts.min() > 0.6 * 2 * n / len(RANDOM)
    mirrors = [name for name in RANDOM if "mirror" in name or "flip" in name]
    assert not mirrors  # other letters and digits would come of it


def test_rand_runs_each_change_on_its_images_alone(monkeypatch):
    """With changes that write their number, the result shows what was run, in which order."""
    for number, name in enumerate(list(RANDOM)):
        monkeypatch.setitem(RANDOM, name, lambda x, _, k=number: x * 100 + k)
    drawn = torch.randint(len(RANDOM), (2, 40), generator=dice())
    out = rand(torch.zeros(40, 1, 1, 1), dice()).flatten()
    assert torch.equal(out.long(), drawn[0] * 100 + drawn[1])


@pytest.mark.parametrize("name", sorted(RANDOM))
def test_each_change_of_rand_differs_from_the_others(name):
    images = torch.rand(4, 3, 16, 16, generator=dice(1))
    others = [RANDOM[other](images, dice()) for other in RANDOM if other != name]
    assert not any(torch.equal(RANDOM[name](images, dice()), other) for other in others)


def test_no_change_reads_or_writes_other_images_of_the_batch(images):
    """Given the same random numbers, what lies beside an image makes no difference to it."""
    for name in NAMES:
        elsewhere = images.clone()
        elsewhere[1:] = 1 - elsewhere[1:]
        assert torch.allclose(augment(images, name, dice())[0], augment(elsewhere, name, dice())[0], atol=1e-6), name


def test_any_memory_layout_gives_the_same(images):
    for name in NAMES:
        last = images.to(memory_format=torch.channels_last)
        assert torch.allclose(augment(last, name, dice()), augment(images, name, dice()), atol=1e-5), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_but_for_noise(images):
    for name in sorted(set(NAMES) - {"noise", "rand"}):
        out = augment(images.cuda(), name, dice())
        assert out.is_cuda
        assert torch.allclose(out.cpu(), augment(images, name, dice()), atol=1e-4), name
    for name, change in itertools.chain(CHANGES.items(), RANDOM.items()):
        assert torch.equal(change(images.cuda(), dice()), change(images.cuda(), dice())), name
