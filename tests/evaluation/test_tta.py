"""Views of an image at test time: each is what its name says."""

import numpy as np
import pytest

from clearsight.errors import ConfigError
from clearsight.evaluation import AUGMENTATIONS, tta_functions

X = np.arange(2 * 1 * 16 * 16, dtype=np.float32).reshape(2, 1, 16, 16)


@pytest.mark.parametrize(("name", "count"), [("mirror", 2), ("flips", 4), ("turns", 4), ("shifts", 5), ("ten", 10)])
def test_every_view_is_another_of_the_same_shape(name, count):
    seen = [view(X) for view in tta_functions(name)]
    assert len(seen) == count
    np.testing.assert_array_equal(seen[0], X)
    assert all(s.shape == X.shape for s in seen)
    assert len({s.tobytes() for s in map(np.ascontiguousarray, seen)}) == count


def test_a_mirrored_image_and_a_turned_one():
    np.testing.assert_array_equal(tta_functions("mirror")[1](X)[0, 0], np.fliplr(X[0, 0]))
    np.testing.assert_array_equal(tta_functions("turns")[2](X)[1, 0], X[1, 0, ::-1, ::-1])


def test_a_shift_moves_the_picture_and_repeats_its_border():
    down = tta_functions("shifts")[1](X)[0, 0]
    np.testing.assert_array_equal(down[1:], X[0, 0, :-1])
    np.testing.assert_array_equal(down[0], X[0, 0, 0])


def test_bad_input():
    assert set(AUGMENTATIONS) == {"mirror", "flips", "turns", "shifts", "ten"}
    with pytest.raises(ConfigError, match="Did you mean mirror"):
        tta_functions("miror")
    with pytest.raises(ConfigError, match="16x8 pixels are not square"):
        tta_functions("turns")[1](X[..., :8])
