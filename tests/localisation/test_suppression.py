"""Boxes around one thing become one, by hand."""

import numpy as np

from clearsight.localisation.maps import regions
from clearsight.localisation.suppression import suppressed, voted

BOXES = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [1, 0, 11, 10], [40, 0, 50, 10], [0, 0, 10, 10]], float)
SCORES = np.array([0.6, 0.6, 0.9, 0.5, 0.8])
KINDS = np.array([0, 0, 0, 0, 1])


def test_the_best_of_each_kind_stays():
    assert suppressed(BOXES, SCORES, KINDS, 0.3).tolist() == [2, 4, 3]
    assert suppressed(BOXES, SCORES, KINDS * 0, 0.3).tolist() == [2, 3], "all kinds compete"
    assert suppressed(BOXES[:0], SCORES[:0], KINDS[:0], 0.3).tolist() == []


def test_boxes_of_the_same_place_vote_on_it():
    kept = np.array([2, 3, 4])
    lopsided = np.array([0.3, 0.9, 0.6, 0.5, 0.8])
    moved = voted(BOXES, lopsided, KINDS, kept)
    # (0.3 * 0 + 0.9 * 2 + 0.6 * 1) / 1.8 = 4 / 3 to the right
    np.testing.assert_allclose(moved, [[4 / 3, 0, 34 / 3, 10], BOXES[3], BOXES[4]])


def test_regions_are_connected_places():
    heat = np.zeros((10, 12), np.float32)
    heat[1:3, 2:5] = 1.0
    heat[3, 5] = 0.6  # touches by a corner
    heat[6:9, 8:10] = 0.7
    heat[9, 0] = 0.2
    found = regions(heat, 0.3)
    assert [box for box, _ in found] == [(2, 1, 6, 4), (8, 6, 10, 9)]
    np.testing.assert_allclose([mean for _, mean in found], [6.6 / 7, 0.7], rtol=1e-6)
    assert regions(heat * 0, 0.3) == []
