"""A part of a data set keeps its proportions, its names and its pixels."""

import numpy as np
import pytest

from clearsight.data.content_order import by_content, listed_positions
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.data.sample import Chosen, sampled
from clearsight.data.scan import scan
from clearsight.tasks import read


def test_classes_keep_their_shares():
    whole = read("digits")
    part, scanned = sampled(whole, scan(whole), 300, seed=0)
    assert scanned.digests == scan(part).digests
    assert len(part) == pytest.approx(300, abs=10)
    shares = np.bincount(whole.labels) / len(whole)
    np.testing.assert_allclose(np.bincount(part.labels) / len(part), shares, atol=0.01)


def test_images_keep_their_names_and_pixels(digit_folders):
    whole = read(str(digit_folders))
    part, _ = sampled(whole, scan(whole), 12, seed=1)
    names = [whole.source.name(i) for i in range(len(whole))]
    form, geometry = PixelFormat(1, 8), Geometry(8, 8)
    for i in range(len(part)):
        there = names.index(part.source.name(i))
        assert whole.labels[there] == part.labels[i]
        np.testing.assert_array_equal(part.source.decode(i, form, geometry), whole.source.decode(there, form, geometry))
        assert part.source.inspect(i)[0] == whole.source.inspect(there)[0]


def test_the_seed_decides_and_a_rare_class_stays():
    whole = read("digits")
    parts = [sampled(whole, scan(whole), 50, seed)[0] for seed in (0, 0, 1)]
    names = [[part.source.name(i) for i in range(len(part))] for part in parts]
    assert names[0] == names[1] != names[2]
    assert set(sampled(whole, scan(whole), 10, 0)[0].labels) == set(range(10))


def test_no_more_than_there_are():
    whole = read("digits")
    assert sampled(whole, scan(whole), 5000, 0)[0] is whole


def test_images_in_another_order_give_the_same_sample():
    found = []
    for order in (np.arange(1797), np.random.default_rng(0).permutation(1797)):
        listed = read("digits")
        shuffled = listed.rows(Chosen(listed.source, order), order)
        ordered, scanned = by_content(shuffled, scan(shuffled), Geometry(8, 8))
        part, _ = sampled(ordered, scanned, 40, seed=3)
        found.append(part.contents)
        positions = listed_positions(part)
        assert [part.source.name(i) for i in range(len(part))] == [shuffled.source.name(i) for i in positions]
    assert found[0] == found[1]
