"""Images that a table names are not learned from, and the test split stays what it was."""

import numpy as np
import pytest

from clearsight.data.exclusion import without
from clearsight.data.geometry import Geometry
from clearsight.data.prepare import prepare
from clearsight.data.scan import scan
from clearsight.errors import DataError
from clearsight.tasks import read
from clearsight.train.config import TrainConfig
from clearsight.train.fit import fit


@pytest.fixture(scope="module")
def digits():
    dataset = read("digits")
    return prepare(dataset, scan(dataset), Geometry(8, 8))


def table(path, rows, column="image"):
    path.write_text("\n".join([f"label,{column}", *(f"5,#{row}" for row in rows)]))
    return str(path)


def test_they_leave_every_part_but_the_test_split(digits, tmp_path):
    train, val, test = (part[:3] for part in digits.split.parts().values())
    found, choice, why = without(digits, table(tmp_path / "out.csv", [*train, *val, *test, train[0]]))
    assert choice == "6 images"
    assert why.endswith("out.csv, except for the 3 test images listed there")
    gone = np.concatenate([train, val])
    np.testing.assert_array_equal(found.split.test, digits.split.test)
    for before, after in zip(
        (digits.split.train, digits.split.val, *(p for pair in digits.split.folds for p in pair)),
        (found.split.train, found.split.val, *(p for pair in found.split.folds for p in pair)),
        strict=True,
    ):
        np.testing.assert_array_equal(after, before[~np.isin(before, gone)])


def test_a_run_learns_without_them_and_says_so(tmp_path):
    whole = fit(read("digits"), TrainConfig.from_options(model="mlp", epochs=1), find_issues=False).prepared
    rows = [int(whole.dataset.source.name(i).removeprefix("#")) for i in whole.split.train[:40]]
    path = table(tmp_path / "out.csv", rows)
    fitted = fit(read("digits"), TrainConfig.from_options(model="mlp", epochs=1, leave_out=path), find_issues=False)
    assert len(fitted.prepared.split.train) == len(whole.split.train) - 40
    decision = next(d for d in fitted.decisions if d.what == "left out")
    assert decision.choice == "40 images"


@pytest.mark.parametrize(
    ("rows", "column", "text"),
    [
        ([99999], "image", "lists 1 image that digits does not contain; found #99999; expected names such as #0"),
        ([1], "file", "has no column `image`; found label, file"),
        ("all", "image", "remain if those listed in .* are left out; found no training images of '0'"),
    ],
)
def test_faults_are_named(digits, tmp_path, rows, column, text):
    rows = digits.split.train if rows == "all" else rows
    with pytest.raises(DataError, match=text):
        without(digits, table(tmp_path / "out.csv", rows, column))
    with pytest.raises(DataError, match="cannot be read"):
        without(digits, str(tmp_path / "none.csv"))
