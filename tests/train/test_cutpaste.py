"""Made-up anomalies: a part of the image, elsewhere in it."""

import numpy as np
from skimage import data

from clearsight.train.cutpaste import AREA, pasted


def test_each_image_is_changed_in_one_place_by_what_it_holds():
    picture = data.astronaut()[::4, ::4].transpose(2, 0, 1)
    images = np.stack([picture] * 12)
    made = pasted(images, seed=0)
    assert made.dtype == images.dtype
    own = {tuple(v) for v in picture.reshape(3, -1).T}
    shares = []
    for image in made:
        changed = (image != picture).any(0)
        ys, xs = np.nonzero(changed)
        box = (np.ptp(ys) + 1) * (np.ptp(xs) + 1) / changed.size
        shares.append(box)
        assert {tuple(v) for v in image[:, changed].T} <= own, "nothing is there that was not in the image"
    assert min(shares) > 0
    assert max(shares) <= AREA[1] * 1.1
    np.testing.assert_array_equal(pasted(images, seed=0), made)
    assert (pasted(images, seed=1) != made).any()
    assert (images == picture).all(), "the originals stay as they are"


def test_flat_and_tiny_images_do_no_harm():
    flat = np.full((2, 1, 6, 6), 7, np.uint8)
    assert (pasted(flat, seed=0) == 7).all()
    assert pasted(np.zeros((1, 1, 2, 2), np.uint16), seed=0).shape == (1, 1, 2, 2)
