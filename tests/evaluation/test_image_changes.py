"""Graded changes: same shape and range, the seed decides, later steps change more, and known answers."""

import numpy as np
import pytest
import torch

from clearsight.evaluation.image_changes import CHANGES, object_mask, painted_out, turned


@pytest.fixture(scope="module")
def images():
    from skimage import data

    crops = [data.astronaut()[:96, 150:246], data.chelsea()[100:196, 100:196], data.coffee()[50:146, 200:296]]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255


def made(name, images, step, seed=0):
    change = CHANGES[name]
    return change.function(images, change.steps[step], torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_shape_range_and_seed(name, images):
    for some in (images, images[:, :1], images[:1, :, :40, :64], images[:, :, :8, :8], images.repeat(1, 2, 1, 1)):
        for step in (0, 4):
            found = made(name, some, step)
            assert found.shape == some.shape
            assert found.min() >= 0
            assert found.max() <= 1
            assert torch.isfinite(found).all()
            assert torch.equal(found, made(name, some, step))
    assert torch.equal(images, images.clone())


@pytest.mark.parametrize("name", ["smaller", "larger", "viewpoint", "deformation", "occlusion", "background",
                                  "darker", "brighter", "translation", "blur", "noise"])  # fmt: skip
def test_later_steps_change_more(name, images):
    away = [float((made(name, images, step) - images).square().mean()) for step in range(5)]
    assert away == sorted(away)
    assert away[0] > 0


def test_a_half_turn_is_a_half_turn(images):
    np.testing.assert_allclose(made("rotation", images, 4), images.flip(2, 3), atol=1e-5)


def test_a_rotation_has_the_stated_direction(images):
    for degrees, quarters in ((90.0, 1), (-90.0, 3)):
        found = turned(images, torch.full((len(images),), degrees))
        np.testing.assert_allclose(found, images.rot90(quarters, (2, 3)), atol=1e-5)


def test_light_and_size_by_hand(images):
    torch.testing.assert_close(made("darker", images, 0), images * 0.8)
    small = made("smaller", images, 4)  # 0.3 of the size: the middle of the picture holds all of it
    assert float(small[:, :, 34:62, 34:62].mean()) == pytest.approx(float(images.mean()), abs=0.03)
    square = made("occlusion", torch.zeros(50, 1, 40, 40), 2)
    np.testing.assert_allclose((square == 0.5).float().mean((1, 2, 3)), 0.2, atol=0.01)


def test_viewpoint_keeps_the_middle_and_narrows_the_far_side():
    lines = torch.zeros(40, 1, 64, 64)
    lines[:, :, 32] = 1
    seen = made("viewpoint", lines, 2)
    assert (seen[:, 0, 31:33, 32].amax(1) > 0.4).all()


def test_the_object_on_a_plain_ground():
    image = torch.full((1, 1, 20, 20), 0.2)
    image[:, :, 6:14, 8:12] = 0.9
    mask = object_mask(image)
    assert int(mask.sum()) == 8 * 4
    assert torch.allclose(painted_out(image), torch.full_like(image, 0.2))
    cluttered = made("background", image, 4)
    torch.testing.assert_close(cluttered[mask], image[mask])
    assert float(cluttered[~mask].std()) > 0.05
    flat = torch.full((1, 3, 9, 9), 0.4)
    assert not object_mask(flat).any()
