"""What sources state of their images, before any task reads it."""

import numpy as np
import pytest

from clearsight.data.targets import Stated, is_direction, numbers_in, one_hot, refuse_spaces, require_finite
from clearsight.errors import DataError


def test_directions_and_one_hot_rows():
    angle = np.linspace(0, 6, 30)
    assert is_direction(np.stack([np.cos(angle), np.sin(angle)], 1).round(2))
    assert not is_direction(np.stack([angle, angle], 1))
    assert one_hot(np.eye(3))
    assert not one_hot(np.ones((3, 2)))


def test_rows_are_chosen_with_all_that_is_stated_of_them():
    stated = Stated(
        "here", ("a", "b", "c"), columns=("x",), numbers=np.array([[1.0], [2], [3]]),
        weights=np.array([1, 0.5, 0.25], np.float32), where=("line 2", "line 3", "line 4"),
    )  # fmt: skip
    some = stated.rows([2, 0])
    assert some.cells == ("c", "a")
    assert some.numbers.tolist() == [[3], [1]]
    assert some.weights.tolist() == [0.25, 1]
    assert some.place(0) == "line 4"
    assert Stated("here", ("a",)).place(7) == "index 7"


def test_a_text_is_equal_for_images_that_are_labelled_alike():
    assert Stated("here", ("a|b", "c")).text(0) == "a|b"
    rows = Stated("here", columns=("x", "y"), numbers=np.array([[1.0, 2.5], [1, 2.5], [1, 2]]))
    assert rows.text(0) == rows.text(1) == "1|2.5" != rows.text(2)


def test_measurements_have_decimals():
    assert Stated("here", ("1", "2.5", "")).measured()
    assert not Stated("here", ("1", "2.0", "inf")).measured()
    assert not Stated("here", ("1", "2.5", "many")).measured()
    assert not Stated("here", ("1.5", "2.5"), listed=True).measured()


def test_labels_are_numbers_where_there_are_no_columns_of_them():
    names, numbers = Stated("here", ("1", "2.5"), column="size").as_numbers()
    assert (names, numbers.tolist()) == (("size",), [[1], [2.5]])
    names, numbers = Stated("here", ("low", "high"), columns=("size",), numbers=np.array([[0.5], [2]])).as_numbers()
    assert (names, numbers.tolist()) == (("size",), [[0.5], [2]])
    with pytest.raises(
        DataError, match=r"column 'size' of here lacks a number for 1 image; found 'much' in index 1; expected a num"
    ):
        Stated("here", ("1", "much"), column="size").as_numbers()
    with pytest.raises(
        DataError, match=r"labels in here are names, not numbers; found 'low' at index 0; expected a num"
    ):
        Stated("here", ("low", "high")).as_numbers()


def test_cells_that_are_no_numbers():
    """A few are mistakes to correct, many are another kind of column."""
    where = [f"line {i}" for i in range(2, 42)]
    good = ["1.5"] * 38
    with pytest.raises(DataError, match=r"found an empty cell in line 41; .*Correct or delete line 41"):
        numbers_in([*good, "2", ""], "size", "here", where)
    with pytest.raises(DataError, match=r"'n/a' in line 40, the first of 2 such cells; .*Correct or delete these rows"):
        numbers_in([*good, "n/a", ""], "size", "here", where)
    with pytest.raises(DataError, match=r"mixes numbers and other values; found 'red' in line 2, and 19 more"):
        numbers_in(["red", "1"] * 20, "size", "here", where)


@pytest.mark.parametrize(
    ("cells", "several"),
    [
        (["cat", "dog", "cat dog"], True),
        (["d0", "d1 d2", "d0 d2", "d1", "d0 d1 d2", ""], True),
        (["cat", "dog", "cat|dog"], False),
        (["red apple", "green apple", "red car", "green car"], False),
        (["hot dog", "dog", "cat"], False),
        (["golden retriever", "labrador retriever", "golden eagle", "cat"], False),
    ],
)
def test_labels_separated_by_spaces_are_not_read_as_one_name(cells, several):
    stated = Stated("here", tuple(cells), column="labels")
    if not several:
        return refuse_spaces(stated, "otherwise")
    with pytest.raises(DataError, match=r"'labels' of here looks like several labels separated by spaces.* \| or ;"):
        refuse_spaces(stated, "otherwise")
    return refuse_spaces(Stated("here", tuple(cells), listed=True), "otherwise")


def test_names_are_missing_where_there_are_numbers_alone():
    assert Stated("here", ("a", "b")).names() == ["a", "b"]
    with pytest.raises(DataError, match=r"here has no class column; found x, y; expected a column `label`"):
        Stated("here", columns=("x", "y"), numbers=np.zeros((3, 2))).names()
    with pytest.raises(DataError, match=r"labels are missing for 2 of 3 images in here; found an empty label at in"):
        Stated("here", ("a", "", "")).names()


def test_targets_that_are_no_finite_numbers():
    require_finite(np.zeros((2, 2)), ("x", "y"), "here")
    with pytest.raises(DataError, match=r"non-finite targets for 1 of 2 images in here; found inf in column 'y' of im"):
        require_finite(np.array([[1.0, 2], [3, np.inf]]), ("x", "y"), "here")
