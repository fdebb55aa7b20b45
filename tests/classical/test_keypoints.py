"""Key points: SIFT is OpenCV's; SURF finds the same places of warped pictures about as well as SIFT does."""

import cv2
import numpy as np
import pytest
from skimage import data
from skimage.color import rgb2gray

from clearsight.classical.keypoints import as_gray, matched, sift
from clearsight.classical.surf import box, hessian, integral, surf
from clearsight.errors import DataError

PICTURES = {
    "camera": data.camera()[100:356, 100:356],
    "coins": data.coins()[:256, :256],
    "brick": data.brick()[:256, :256],
    "astronaut": (rgb2gray(data.astronaut())[:256, 100:356] * 255).astype(np.uint8),
}


def homography(turn=0.0, scale=1.0, tilt=0.0, side=256):
    """A view of a square picture: turned in degrees and scaled about its middle, and tilted away."""
    middle = np.array([[1, 0, side / 2], [0, 1, side / 2], [0, 0, 1]])
    change = np.vstack([cv2.getRotationMatrix2D((0, 0), turn, scale), [tilt, 0, 1]])
    return middle @ change @ np.linalg.inv(middle)


WARPS = {
    "rotation": [homography(turn=t) for t in (15, 45, 90, 160)],
    "scale": [homography(scale=s) for s in (0.6, 0.8, 1.4)],
    "viewpoint": [homography(turn=10, tilt=t) for t in (0.0005, 0.001)],
}


def recall(find, picture, other, warp):
    """Share of the key points whose true partner, within 3 pixels and in the picture, is the one they match."""
    a, b = find(picture), find(other)
    pairs = matched(a, b)
    there = cv2.perspectiveTransform(a.places[None].astype(np.float64), warp)[0]
    inside = np.all((there > 10) & (there < 246), axis=1)
    near = np.linalg.norm(there[:, None] - b.places[None], axis=2)
    findable = inside & (near.min(1) < 3)
    right = sum(findable[i] and near[i, j] < 3 for i, j in pairs)
    return right / max(1, findable.sum())


def find_sift(image):
    return sift(image, limit=300)


def find_surf(image):
    return surf(image, limit=300)


@pytest.mark.parametrize(
    "kind", ["viewpoint", *(pytest.param(k, marks=pytest.mark.long) for k in ("rotation", "scale"))]
)
def test_surf_finds_warped_points_as_well_as_sift(kind):
    shares = {"sift": [], "surf": []}
    for picture in PICTURES.values():
        for warp in WARPS[kind]:
            other = cv2.warpPerspective(picture, warp, (256, 256))
            shares["sift"].append(recall(find_sift, picture, other, warp))
            shares["surf"].append(recall(find_surf, picture, other, warp))
    means = {name: float(np.mean(values)) for name, values in shares.items()}
    assert means["surf"] > means["sift"] - 0.1, means


@pytest.mark.long
def test_surf_finds_points_in_other_light_as_well_as_sift():
    shares = {"sift": [], "surf": []}
    for picture in PICTURES.values():
        for gain, offset in ((0.5, 20), (0.8, 40), (1.3, 0)):
            other = np.clip(picture * gain + offset, 0, 255).astype(np.uint8)
            shares["sift"].append(recall(find_sift, picture, other, np.eye(3)))
            shares["surf"].append(recall(find_surf, picture, other, np.eye(3)))
    assert np.mean(shares["surf"]) > np.mean(shares["sift"]) - 0.1, shares


def test_sift_is_opencvs():
    found = sift(PICTURES["camera"])
    points, vectors = cv2.SIFT_create().detectAndCompute(PICTURES["camera"], None)
    assert len(found) == len(points)
    np.testing.assert_allclose(found.places, [p.pt for p in points])
    np.testing.assert_allclose(found.descriptors, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), atol=1e-6)


def test_boxes_are_sums():
    picture = np.random.default_rng(0).random((12, 9))
    total = integral(picture)
    assert box(total, np.array(2), np.array(3), 4, 5) == pytest.approx(picture[2:6, 3:8].sum())
    assert box(total, np.array(-2), np.array(6), 5, 9) == pytest.approx(picture[:3, 6:].sum())


def test_the_hessian_equals_the_filters_of_the_paper():
    """Figure 2 of the paper: 9x9 filters, here as whole kernels."""
    second = np.zeros((9, 9))
    second[:, 2:7] = 1
    second[3:6, 2:7] = -2
    mixed = np.zeros((9, 9))
    mixed[1:4, 1:4] = mixed[5:8, 5:8] = 1
    mixed[1:4, 5:8] = mixed[5:8, 1:4] = -1
    picture = np.random.default_rng(1).random((30, 28))
    rows, columns = np.arange(4, 26), np.arange(4, 24)

    def filtered(kernel):
        return cv2.filter2D(picture, -1, kernel)[4:26, 4:24]

    expected = (filtered(second) * filtered(second.T) - (0.9 * filtered(mixed)) ** 2) / 9**4
    np.testing.assert_allclose(hessian(integral(picture), rows, columns, 9), expected, atol=1e-12)


def test_a_blob_is_found_at_its_place_and_scale():
    y, x = np.mgrid[:128, :128]
    scales = []
    for sigma in (3.0, 6.0):
        blob = np.exp(-((x - 70.3) ** 2 + (y - 52.7) ** 2) / (2 * sigma**2))
        found = surf(blob, limit=1)
        np.testing.assert_allclose(found.places[0], [70.3, 52.7], atol=1.0)
        scales.append(float(found.scales[0]))
    assert scales[0] == pytest.approx(0.75 * 3.0, rel=0.1)  # the paper's scale; see the docstring of `surf`
    assert scales[1] == pytest.approx(2 * scales[0], rel=0.1)


def test_turning_a_picture_turns_the_angles():
    picture = PICTURES["astronaut"]
    a, b = surf(picture, limit=200), surf(np.rot90(picture).copy(), limit=200)
    pairs = matched(a, b)
    assert len(pairs) > 60
    turned = (b.angles[pairs[:, 1]] - a.angles[pairs[:, 0]] + np.pi) % (2 * np.pi) - np.pi
    assert np.median(np.abs(turned + np.pi / 2)) < 0.15
    assert not surf(picture, upright=True).angles.any()


def test_descriptors_have_length_one():
    found = surf(PICTURES["coins"])
    np.testing.assert_allclose(np.linalg.norm(found.descriptors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("find", [sift, surf])
@pytest.mark.parametrize("side", [1, 5, 64])
def test_pictures_without_any_point(find, side):
    found = find(np.zeros((side, side), np.uint8))
    assert len(found) == 0
    assert found.descriptors.shape[0] == 0
    assert matched(found, sift(PICTURES["coins"])).shape == (0, 2)


def test_what_is_no_picture():
    with pytest.raises(DataError, match="the input is not an image; found an array of shape"):
        as_gray(np.zeros((4, 4, 7)))
