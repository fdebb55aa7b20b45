"""Local descriptors of every kind, on grids and at key points, against scikit-image and each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data, feature

from clearsight.classical.hog import hog
from clearsight.classical.keypoints import sift
from clearsight.classical.local import LOCAL, PATCH, at_points, on_grid, patch
from clearsight.classical.surf import surf, surf_at
from clearsight.errors import DataError


@pytest.fixture(scope="module")
def camera() -> np.ndarray:
    return data.camera()[100:196, 180:292]


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.astype(np.float32) / 255)[None, None]


def test_dense_hog_is_scikit_images(camera: np.ndarray) -> None:
    expected = feature.hog(
        camera, 9, pixels_per_cell=(8, 8), cells_per_block=(2, 2), block_norm="L2-Hys", feature_vector=False
    )
    found = on_grid(tensor(camera), "hog", step=8, cell=8)[0].numpy()
    np.testing.assert_allclose(found, expected.reshape(found.shape), atol=1e-5)


def test_dense_hog_between_cells_is_that_of_the_image_moved(camera: np.ndarray) -> None:
    """Away from the border, where the gradients of the moved image are the same."""
    found = on_grid(tensor(camera), "hog", step=3, cell=6)[0, 5, 4].numpy()
    moved = camera[15 - 6 :, 12 - 6 :]
    expected = feature.hog(moved, 9, (6, 6), (2, 2), block_norm="L2-Hys", feature_vector=False)[1, 1]
    np.testing.assert_allclose(found, expected.ravel(), atol=1e-5)


def test_dense_lbp_are_histograms_of_scikit_images_codes(camera: np.ndarray) -> None:
    codes = feature.local_binary_pattern(camera, 8, 1, "uniform").astype(int)
    found = on_grid(tensor(camera), "lbp", step=5, cell=8)[0].numpy()
    assert found.shape == ((96 - 16) // 5 + 1, (112 - 16) // 5 + 1, LOCAL["lbp"])
    row, column = 7, 11
    cells = [codes[5 * row + i : 5 * row + i + 8, 5 * column + j : 5 * column + j + 8] for i in (0, 8) for j in (0, 8)]
    expected = np.concatenate([np.bincount(cell.ravel(), minlength=10) / 64 for cell in cells])
    np.testing.assert_allclose(found[row, column], expected, atol=1e-6)


def test_dense_surf_is_upright_surf_at_the_middle_of_its_square(camera: np.ndarray) -> None:
    found = on_grid(tensor(camera), "surf", step=6, cell=5)[0].numpy()
    expected = surf_at(camera, np.array([[4 * 6 + 9.5, 2 * 6 + 9.5]]), np.array([1.0]))[0]
    np.testing.assert_allclose(found[2, 4], expected, atol=1e-5)
    points = surf(camera, upright=True)
    np.testing.assert_allclose(surf_at(camera, points.places, points.scales), points.descriptors, atol=1e-4)


def test_key_points_keep_their_places_whatever_describes_them(camera: np.ndarray) -> None:
    own = sift(camera)
    for kind in ("sift", "hog", "lbp"):
        (found,) = at_points(tensor(camera), kind)
        np.testing.assert_allclose(found.places, own.places, atol=1e-3)
        assert found.descriptors.shape == (len(own), LOCAL[kind])
    assert at_points(tensor(camera), "surf")[0].descriptors.shape[1] == LOCAL["surf"]
    for kind in LOCAL:
        assert len(at_points(torch.zeros(1, 1, 40, 40), kind)[0]) == 0


def test_the_patch_of_a_key_point_turns_and_grows_with_it(camera: np.ndarray) -> None:
    image = camera.astype(np.float32) / 255
    upright = patch(image, 50 + 7.5, 40 + 7.5, PATCH / 12, 0.0)
    np.testing.assert_allclose(upright, image[40:56, 50:66], atol=1e-5)
    turned = patch(np.rot90(image, -1).copy(), 96 - 1 - 47.5, 57.5, PATCH / 12, np.pi / 2)
    np.testing.assert_allclose(turned, upright, atol=1e-4)
    double = np.kron(image, np.ones((2, 2), np.float32))
    large = patch(double, 2 * 57.5 + 0.5, 2 * 47.5 + 0.5, 2 * PATCH / 12, 0.0)
    np.testing.assert_allclose(large, upright, atol=1e-4)
    (found,) = at_points(tensor(camera), "hog")
    (again,) = sift(camera).places[:1]
    frame = patch(image, *found.places[0].tolist(), float(found.scales[0]), float(found.angles[0]))
    np.testing.assert_allclose(again, found.places[0], atol=1e-3)
    np.testing.assert_allclose(hog(torch.from_numpy(frame)[None, None], 9, 8, 2)[0], found.descriptors[0], atol=1e-5)


def test_images_smaller_than_a_descriptor() -> None:
    with pytest.raises(DataError, match="patch of a descriptor; found 12x12 pixels; expected at least 16x16"):
        on_grid(torch.zeros(1, 1, 12, 12), "hog", cell=8)


def test_upright_surf_leaves_out_the_orientation_at_key_points_and_is_surf_on_a_grid(camera):
    (found,) = at_points(tensor(camera), "u-surf")
    expected = surf(camera, upright=True)
    assert (found.angles == 0).all()
    np.testing.assert_allclose(found.descriptors, expected.descriptors, atol=1e-6)
    assert torch.equal(on_grid(tensor(camera), "u-surf"), on_grid(tensor(camera), "surf"))
