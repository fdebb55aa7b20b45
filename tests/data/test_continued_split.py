"""The split of a training that continues a run: known images stay where they are, new ones join by the same rule."""

from __future__ import annotations

import numpy as np
import pytest

from clearsight.data.continued_split import assign_added
from clearsight.data.splits import Split
from clearsight.errors import DataError

CLASSES = ("a", "b", "c", "d", "e")


def split(labels: np.ndarray, known: np.ndarray, **options) -> Split:
    n = len(labels)
    rest = {"usable": np.ones(n, bool), "duplicates": np.arange(n), "given": np.full(n, "")} | options
    given = rest.pop("given")
    return assign_added(labels, given, CLASSES, known=known, **rest)


def grown(seed: int, new: int = 100, fresh: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """300 known images of four classes, and new ones, the last of a class of their own: labels and known parts."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, 300 + new)
    known = rng.choice(["train", "val", "test"], 300 + new, p=[0.6, 0.15, 0.25]).astype("<U6")
    known[300:] = ""
    if fresh:
        labels[-fresh:] = 4
    return labels, known


@pytest.mark.parametrize("seed", range(20))
def test_known_images_keep_their_part_and_all_others_get_one(seed):
    labels, known = grown(seed)
    found = split(labels, known, seed=seed)
    for name, rows in found.parts().items():
        assert set(np.flatnonzero(known == name)) <= set(rows)
    assert sorted(np.concatenate(list(found.parts().values()))) == list(range(400))
    for rows in found.parts().values():
        assert (labels[rows] == 4).any(), "a class that is new is in every part"
    assert found.folds[0][0].tolist() == found.train.tolist()
    assert found.folds[0][1].tolist() == found.val.tolist()
    assert sorted(np.concatenate([val for _, val in found.folds])) == found.development.tolist()
    for fit, val in found.folds:
        assert not set(fit) & set(val)
        assert not set(found.test) & set(fit) | set(found.test) & set(val)


def test_many_small_additions_are_tested_as_often_as_a_large_one():
    labels, known = grown(0, new=1, fresh=0)
    share = np.mean([300 in split(labels, known, seed=seed).test for seed in range(400)])
    assert 0.18 < share < 0.32
    validated = np.mean([300 in split(labels, known, seed=seed).val for seed in range(400)])
    assert 0.1 < validated < 0.22, "a fifth of the rest"


def test_what_the_new_images_state_counts_for_them_alone():
    labels, known = grown(1)
    given = np.full(400, "", "<U5")
    given[300:] = np.where(np.arange(100) % 4 == 0, "test", "train")
    given[:300] = "test"
    found = split(labels, known, given=given)
    assert set(found.test) == set(np.flatnonzero(known == "test")) | set(range(300, 400, 4))
    assert found.carved_validation


def test_images_stated_for_training_are_neither_tested_nor_validated():
    labels, known = grown(1)
    given = np.full(400, "", "<U5")
    given[300:] = "train"
    found = split(labels, known, given=given)
    assert set(range(300, 400)) <= set(found.train)
    given[350:] = ""
    groups = np.arange(400)
    groups[350:375] = np.arange(300, 325)  # as those of which the training images are stated
    found = split(labels, known, given=given, groups=groups)
    assert set(range(300, 375)) <= set(found.train)
    assert set(range(375, 400)) & set(found.test)
    given[:300], given[300:] = known[:300], "train"
    found = split(labels, known, given=given)
    assert not found.carved_validation
    assert set(range(300, 400)) <= set(found.train)


def test_a_stated_validation_split_stays_stated():
    labels, known = grown(2)
    given = known.copy()
    found = split(labels, known, given=given)
    assert not found.carved_validation
    assert len(found.folds) == 1
    assert set(np.flatnonzero(known == "val")) < set(found.val)
    assert found.development.tolist() == found.train.tolist()


def test_copies_and_groups_of_known_images_go_where_these_are():
    labels, known = grown(3, fresh=0)
    groups = np.arange(400)
    groups[300:400] = np.arange(100)  # new image 300 + i is of the group of image i
    found = split(labels, known, groups=groups)
    part = np.empty(400, "<U5")
    for name, rows in found.parts().items():
        part[rows] = name
    assert part[300:].tolist() == known[:100].tolist()
    mixed = np.zeros(400, np.int64)
    mixed[2:] = np.arange(2, 400)
    mixed[300:310] = 0
    known[:2] = "test", "train"
    found = split(labels, known, groups=mixed)
    assert set(range(300, 310)) <= set(found.train), "what was learned from decides"


def test_groups_that_are_new_stay_whole():
    labels, known = grown(4, fresh=0)
    groups = np.arange(400)
    groups[300:] = 1000 + np.arange(100) // 5
    found = split(labels, known, groups=groups)
    for rows in found.parts().values():
        members = np.bincount(groups[rows[rows >= 300]] - 1000, minlength=20)
        assert set(members.tolist()) <= {0, 5}


def test_a_new_class_with_too_few_images_is_an_error_and_few_of_a_known_one_are_not():
    labels, known = grown(5, new=2, fresh=2)
    with pytest.raises(DataError, match=r"1 class in the new images; found 'e' with 2 images; expected at least 3"):
        split(labels, known)
    labels[-2:] = 1
    split(labels, known)


def test_images_left_out_by_the_run_stay_out():
    labels, known = grown(6)
    known[:10] = "unused"
    found = split(labels, known)
    assert not set(range(10)) & set(np.concatenate(list(found.parts().values())))


def test_a_class_without_a_training_image_and_a_part_without_images_are_errors():
    labels, known = grown(7, fresh=0)
    known[labels == 0] = "test"
    known[300:][labels[300:] == 0] = "test"
    with pytest.raises(DataError, match="1 class without training images"):
        split(labels, known)
    labels, known = grown(7, fresh=0)
    known[known == "test"] = "train"
    known[300:] = "train"
    with pytest.raises(DataError, match="no test images are left"):
        split(labels, known)


def test_numbers_need_no_images_of_every_stratum():
    labels, known = grown(8, new=3, fresh=3)
    assert len(split(labels, known, strata=True).train)
