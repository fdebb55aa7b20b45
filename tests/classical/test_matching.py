"""Template matching against scikit-image, on a real picture."""

import numpy as np
import pytest
from skimage import data
from skimage.feature import match_template

from clearsight.classical.matching import match
from clearsight.errors import DataError

COINS = data.coins().astype(np.float32) / 255


def test_a_cut_out_piece_is_found_where_it_was():
    found = match(COINS, COINS[100:140, 60:110])
    assert (found.row, found.column) == (100, 60)
    assert found.score == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(found.scores, match_template(COINS, COINS[100:140, 60:110]), atol=1e-3)


def test_brightness_and_contrast_do_not_matter_when_normalised():
    found = match(COINS * 0.5 + 0.2, COINS[100:140, 60:110])
    assert (found.row, found.column) == (100, 60)


def test_raw_correlation_is_the_sum_of_products_and_prefers_bright_places():
    picture = np.zeros((10, 10), np.float32)
    picture[2:4, 2:4] = [[1, 0], [0, 1]]
    picture[6:8, 6:8] = 1
    template = picture[2:4, 2:4]
    assert match(picture, template).score == pytest.approx(1)
    raw = match(picture, template, normalised=False)
    assert raw.scores[2, 2] == raw.scores[6, 6] == 2
    template = template + np.float32(0.5)
    raw = match(picture, template, normalised=False)
    assert (raw.row, raw.column) == (6, 6)
    assert (match(picture, template).row, match(picture, template).column) == (2, 2)


@pytest.mark.parametrize("picture", [np.zeros((8, 8)), np.ones((8, 8))])
def test_nothing_to_compare_scores_nothing(picture):
    assert not match(picture, np.eye(3)).scores.any()
    assert not match(np.eye(8), picture[:3, :3]).scores.any()
    red = np.zeros((3, 3, 3))
    red[..., 0] = 1
    assert not match(np.random.default_rng(0).random((8, 8, 3)), red).scores.any()


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (np.zeros((9, 3)), "the template is larger than the image; found a template of 9x3 pixels and an image of 8x8"),
        (np.zeros((3, 3, 3)), "different numbers of channels"),
        (np.zeros((0, 3)), "the template is empty"),
    ],
)
def test_what_cannot_be_matched(template, words):
    with pytest.raises(DataError, match=words):
        match(np.zeros((8, 8)), template)
