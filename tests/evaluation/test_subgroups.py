"""Scores by metadata: for every value of a column of the table, with the worst."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from clearsight.data.sources.read import find
from clearsight.errors import ConfigError
from clearsight.evaluation.subgroups import column_of, subgroups
from clearsight.metrics import wilson_interval
from clearsight.tasks import Classification, read


@pytest.fixture
def table(tmp_path):
    """Twelve images of two classes, with a site and an exposure."""
    rows = []
    for i in range(12):
        Image.fromarray(np.full((8, 8), 10 * i, np.uint8)).save(tmp_path / f"{i}.png")
        rows.append({"image_path": f"{i}.png", "label": "ab"[i % 2], "Site": ["x", "y", None][i % 3], "exposure": i})
    pd.DataFrame(rows).to_csv(tmp_path / "data.csv", index=False)
    return tmp_path / "data.csv"


def test_columns_beside_image_and_label_are_metadata(table):
    metadata = find(table, None, None).metadata
    assert sorted(metadata) == ["Site", "exposure"]
    dataset = read(table)
    assert dataset.metadata["Site"].tolist()[:3] == ["x", "y", ""]
    some = np.array([4, 1])
    assert dataset.rows(dataset.source, some).metadata["exposure"].tolist() == ["4", "1"]


def test_an_unknown_column_is_named(table):
    with pytest.raises(ConfigError, match="no column 'site' to group by; found Site, exposure"):
        column_of(read(table).metadata, "site")


def test_every_value_has_its_scores_and_the_worst_is_named():
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 2, 300)
    sites = np.repeat(["good", "bad", "rare"], [196, 100, 4])
    right = draws.random(300) < np.where(sites == "bad", 0.6, 0.95)
    outputs = 3.0 * np.eye(2)[np.where(right, labels, 1 - labels)]
    found = subgroups(Classification(("a", "b")), outputs, labels, sites, "site")
    assert [(r.value, r.n) for r in found.rows] == [("good", 196), ("bad", 100)]
    assert found.few == 1
    assert found.worst is not None
    assert found.worst.value == "bad"
    k = int(right[sites == "bad"].sum())
    assert found.worst.score is not None
    assert (found.worst.score.value, found.worst.score.interval) == (k / 100, wilson_interval(k, 100))
    assert found.rows[1].calibration.value > found.rows[0].calibration.value
    assert found.lines()[-1].startswith("worst: bad, accuracy ")
    assert found.to_dict()["worst"] == "bad"
    assert repr(found) == "\n".join(found.lines())
    assert "Lowest accuracy: <strong>bad</strong>" in found._repr_html_()
