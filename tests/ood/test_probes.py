"""Far probes: named, of any shape, the same by seed, and what they are called."""

import numpy as np
import pytest

from clearsight.ood.probes import far_probes


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 40), (1, 1, 3)])
def test_any_shape(shape):
    probes = far_probes(shape, seed=1, count=4)
    assert len(probes) == 8
    for images in probes.values():
        assert images.shape == (4, *shape)
        assert images.dtype == np.float32
        assert images.min() >= 0
        assert images.max() <= 1
    again, other = far_probes(shape, seed=1, count=4), far_probes(shape, seed=2, count=4)
    for name, images in probes.items():
        np.testing.assert_array_equal(images, again[name])
    assert not np.array_equal(probes["uniform noise"], other["uniform noise"])


def test_each_is_what_it_is_called():
    probes = far_probes((3, 96, 96), count=6)
    assert (np.ptp(probes["constant"], axis=(2, 3)) == 0).all()
    assert probes["uniform noise"].std() == pytest.approx(12**-0.5, rel=0.05)
    page = probes["text page"]
    assert (page.mean((1, 2, 3)) > 0.5).all()
    assert (page.min((1, 2, 3)) < 0.5).all()
    for name in ("stripes", "checkerboard"):
        for image in probes[name]:
            assert len(np.unique(image.reshape(3, -1), axis=1).T) == 2
