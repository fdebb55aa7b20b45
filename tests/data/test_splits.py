"""Who trains, who validates, who tests: properties of every split, and the words of refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearsight.data.splits import Split, assign
from clearsight.errors import DataError
from clearsight.wording import percent


def split(labels, *, stated=None, unusable=(), **options) -> Split:
    labels = np.asarray(labels)
    text = np.full(len(labels), "", dtype="<U5") if stated is None else np.array(stated, dtype="<U5")
    usable = np.ones(len(labels), bool)
    usable[list(unusable)] = False
    classes = [f"class {i}" for i in range(labels.max() + 1)]
    return assign(labels, text, classes, usable=usable, **options)


def check(found: Split, usable: np.ndarray) -> None:
    """Parts are sorted, disjoint and complete; folds partition what may be learnt from."""
    parts = [found.train, found.val, found.test]
    assert sorted(np.concatenate(parts).tolist()) == usable.tolist()
    for part in parts:
        assert (np.diff(part) > 0).all()
    for fit, val_rows in found.folds:
        assert not set(fit.tolist()) & set(val_rows.tolist())
    assert (found.folds[0][0] == found.train).all()
    assert (found.folds[0][1] == found.val).all()
    if found.carved_validation:
        validation_indices = np.concatenate([val_rows for _, val_rows in found.folds])
        assert sorted(validation_indices.tolist()) == found.development.tolist()
        for fit, val_rows in found.folds:
            assert sorted([*fit, *val_rows]) == found.development.tolist()
    else:
        assert len(found.folds) == 1
        assert (found.development == found.train).all()


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(3, 60), min_size=2, max_size=6),
    st.integers(0, 2**31),
    st.sampled_from([None, 0.1, 0.25, 0.5]),
    st.integers(2, 8),
)
def test_any_data_set(sizes, seed, fraction, folds):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    folds = min(folds, max(2, max(sizes) // 2))  # as many images are left in a class when the test split is taken
    found = split(labels, seed=seed, test_fraction=fraction, folds=folds)
    check(found, np.arange(len(labels)))
    again = split(labels, seed=seed, test_fraction=fraction, folds=folds)
    assert all((a == b).all() for a, b in zip(found.parts().values(), again.parts().values(), strict=True))
    for c, size in enumerate(sizes):
        counts = {part: int((labels[i] == c).sum()) for part, i in found.parts().items()}
        assert counts["train"] >= 1
        assert counts["val"] >= 1
        if fraction is None:
            assert counts["test"] == 0
        else:
            assert abs(counts["test"] - max(1, fraction * size)) <= 1
        rest = size - counts["test"]
        assert rest // folds <= counts["val"] <= -(-rest // folds)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(20, 200), st.integers(12, 40), st.sampled_from([0.1, 0.25, 0.4]))
def test_groups_and_copies_never_cross(seed, n, n_groups, fraction):
    rng = np.random.default_rng(seed)
    labels, groups = rng.integers(0, 2, n), rng.integers(0, n_groups, n)
    copies = np.where(rng.random(n) < 0.9, np.arange(n), rng.integers(0, n, n))
    for options in ({"groups": groups}, {"duplicates": copies}, {"groups": groups, "duplicates": copies}):
        try:
            found = split(labels, seed=seed, test_fraction=fraction, folds=3, **options)
        except DataError:  # too few groups in a class; what it says is another test
            continue
        check(found, np.arange(n))
        for side in [list(found.parts().values()), *found.folds]:
            for units in options.values():
                seen = [set(units[part].tolist()) for part in side]
                assert sum(map(len, seen)) == len(set().union(*seen))


def test_proportions():
    labels = np.repeat([0, 1, 2], [800, 160, 40])
    found = split(labels, test_fraction=0.25, folds=5)
    assert np.bincount(labels[found.test]).tolist() == [200, 40, 10]
    assert np.bincount(labels[found.val]).tolist() == [120, 24, 6]
    assert np.bincount(labels[found.train]).tolist() == [480, 96, 24]
    assert found.rule == (
        "the test split is a stratified random sample of 25 % of the images (seed 0); "
        "the validation split is the first of 5 folds of the remaining images"
    )


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.25, 0.4, 0.6])
def test_proportions_with_groups(fraction):
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(0, 2, 2000), rng.integers(0, 200, 2000)
    found = split(labels, groups=groups, test_fraction=fraction)
    assert len(found.test) / 2000 == pytest.approx(fraction, abs=0.04)
    assert "in whole groups" in found.rule
    assert f" of {percent(len(found.test) / 2000, 0)} of the images" in found.rule
    assert ("(target " in found.rule) == (abs(len(found.test) / 2000 - fraction) >= 0.01)


def test_seeds():
    labels = np.repeat([0, 1], 50)
    assert (split(labels, seed=1).test == split(labels, seed=1).test).all()
    assert not np.array_equal(split(labels, seed=1).test, split(labels, seed=2).test)


def test_what_is_set_aside_is_in_no_part():
    labels = np.repeat([0, 1], 20)
    found = split(labels, unusable=[0, 5, 39])
    check(found, np.setdiff1d(np.arange(40), [0, 5, 39]))


def test_stated_splits_are_kept():
    stated = ["train"] * 6 + ["val"] * 3 + ["test"] * 4
    found = split([0, 1] * 6 + [0], stated=stated)
    assert found.train.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.val.tolist() == [6, 7, 8]
    assert found.test.tolist() == [9, 10, 11, 12]
    assert not found.carved_validation
    assert found.rule == "the splits are given in the data"
    check(found, np.arange(13))


def test_val_alone_is_the_test_split():
    found = split([0, 1] * 10, stated=["train"] * 12 + ["val"] * 8, folds=3)
    assert found.test.tolist() == list(range(12, 20))
    assert len(found.val) == 4
    assert found.carved_validation
    assert found.rule.startswith(
        "the val split of the data is used as the test split; the validation split is the first of 3 folds"
    )
    check(found, np.arange(20))


def test_images_without_a_stated_split_train():
    found = split([0, 1] * 6, stated=["test"] * 4 + [""] * 8, folds=2)
    assert found.test.tolist() == [0, 1, 2, 3]
    assert found.development.tolist() == list(range(4, 12))


def test_labels_of_a_stated_test_split_do_not_matter():
    labels, stated = np.array([0, 1] * 20), ["train"] * 30 + ["test"] * 10
    other = labels.copy()
    other[30:] = 0
    one, two = split(labels, stated=stated), split(other, stated=stated)
    assert (one.train == two.train).all()
    assert (one.val == two.val).all()


def test_copies_with_two_labels_are_one_unit():
    labels = np.repeat([0, 1], 20)
    copies = np.arange(40)
    copies[[0, 20]] = 99
    for seed in range(10):
        found = split(labels, duplicates=copies, seed=seed)
        assert sum({0, 20} <= set(part.tolist()) for part in found.parts().values()) == 1


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (
            [0, 0, 0],
            {},
            r"needs at least two classes; found 1 class \(class 0\); expected at least 2\. Add images of another",
        ),
        ([0, 0, 0, 1], {"unusable": [3]}, r"found 1 class \(class 0\)"),
        ([0, 0], {"unusable": [0, 1]}, "found no classes"),
        (
            [0] * 9 + [1] * 2,
            {},
            r"too few readable images to split 1 class in the data; found 'class 1' with 2 images; expected",
        ),
        ([0] * 9 + [1], {"test_fraction": None}, r"found 'class 1' with 1 image; expected at least 2"),
        (
            [0] * 9 + [1] * 5,
            {"duplicates": np.r_[np.arange(9), [99] * 5]},
            "found 'class 1' with 5 images in 1 distinct image; expected at least 3 images per class",
        ),
        (
            [0] * 9 + [1] * 5,
            {"groups": np.r_[np.arange(9), 20, 20, 20, 21, 21]},
            "found 'class 1' with 5 images in 2 groups; expected at least 3 groups per class",
        ),
        (
            [0, 1] * 3 + [0, 1],
            {"stated": ["train"] * 2 + ["test"] * 6},
            r"few readable images to split 2 classes in train; found 'class 0' with 1 image, 'class 1' with 1 image",
        ),
        ([0, 1] * 3, {"stated": ["test"] * 6}, "too few readable images to split 2 classes in train"),
        (
            [0, 1] * 12,
            {"groups": np.arange(24) // 4, "test_fraction": 0.25, "folds": 8},
            "there are too few groups to split; found . groups; expected at least 8. Use a smaller --folds",
        ),
        (
            [0, 1] * 5,
            {"groups": np.arange(10), "test_fraction": None, "folds": 7},
            "every class has fewer images than there are folds; found at most 5 images per class; expected at least 7",
        ),
        (
            [0, 1] * 8,
            {"test_fraction": 0.25, "folds": 7},
            "fewer images than there are folds; found at most 6 images per class",
        ),
    ],
)
def test_refusals(labels, options, message):
    with pytest.raises(DataError, match=message):
        split(labels, **options)


def test_groups_that_take_a_class_away_are_refused():
    """Three groups hold class 1; wherever they go, training keeps the class or is refused."""
    labels = np.r_[np.zeros(60, int), 1, 1, 1]
    groups = np.r_[np.repeat([0, 1, 2, 3], 15), 0, 1, 2]
    for seed in range(20):
        try:
            found = split(labels, groups=groups, folds=2, seed=seed)
        except DataError as error:
            assert "no training images of 'class 1'" in str(error)  # noqa: PT017
        else:
            assert 1 in labels[found.train]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "each class contributes a whole number of images, at least one"),
        ({"duplicates": np.arange(24)}, "each class contributes a whole number of images, at least one"),
        ({"duplicates": np.repeat(np.arange(12), 2)}, "copies are kept together"),
        ({"groups": np.repeat(np.arange(12), 4)}, "groups are kept together"),
        (
            {"groups": np.repeat(np.arange(12), 4), "duplicates": np.repeat(np.arange(24), 2)},
            "groups and copies are kept together",
        ),
    ],
)
def test_the_reason_for_another_share_names_only_what_is_there(options, reason):
    labels = np.repeat([0, 1], 24 if "groups" in options else 12)
    rule = split(labels, test_fraction=0.04, folds=2, **options)
    assert f"(seed 0; the target is 4 %, but {reason})" in rule.rule
