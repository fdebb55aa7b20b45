"""Finished runs compared with each other: paired statistics that SciPy gives too, and images that changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

import clearsight as cs
from clearsight.api.compare_runs import _picture
from clearsight.cli.main import main
from clearsight.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def linear_run(once) -> Path:
    """A second run on the digits, with the same split."""
    from clearsight.api.fit import fit

    return once("linear-run", lambda folder: fit("digits", model="linear", out=folder / "linear", epochs=2)) / "linear"


def test_two_runs(digits_run: Path, linear_run: Path, tmp_path: Path) -> None:
    found = cs.compare_runs([linear_run, digits_run], out=tmp_path / "out")
    first, second = (pd.read_csv(run / "predictions.csv").set_index("image") for run in (linear_run, digits_run))
    second = second.loc[first.index]
    gained = int(((second.correct == 1) & (first.correct == 0)).sum())
    lost = int(((second.correct == 0) & (first.correct == 1)).sum())
    change = found.runs[1].change
    assert change is not None
    assert (found.n, change.n, change.gained, change.lost) == (450, 450, gained, lost)
    assert change.before == pytest.approx(first.correct.mean())
    assert change.after == pytest.approx(second.correct.mean())
    assert change.p_value == pytest.approx(binomtest(gained, gained + lost).pvalue)
    assert {image.image for image in found.changed} == set(first.index[first.predicted != second.predicted])
    assert all((image.before, image.after) == (str(first.predicted[image.image]), str(second.predicted[image.image]))
               for image in found.changed)  # fmt: skip
    assert found.differences["network"] == ("linear", "resnet8")
    assert found.differences["epochs"] == ("2", "12")
    assert set(found.examples()) == set(found.pictures)
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "Images whose prediction changed" in page
    assert f"{gained:,} better and {lost:,} worse predictions than linear" in page
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["runs"][1]["change"]["gained"] == gained


def test_a_run_against_itself(digits_run: Path) -> None:
    found = cs.compare_runs([digits_run, digits_run])
    assert found.runs[1].change is not None
    assert found.runs[1].change.difference == 0
    assert not found.changed
    assert not found.differences
    assert "does not differ clearly from" in found._repr_html_()


def test_from_the_command_line(
    digits_run: Path, linear_run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["compare", str(linear_run), str(digits_run), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "450 test images that no run was trained on" in text
    assert "accuracy against linear" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{run}"], "fewer than two runs"),
        (["{run}", "{run}", "--seed", "1"], "--seed has no effect on finished runs"),
        (["digits", "--on", "digits"], "--on compares finished runs"),
    ],
)
def test_what_does_not_go_together(
    digits_run: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["compare", *(word.format(run=digits_run) for word in words)]) == 2
    assert message in capsys.readouterr().err


def test_runs_of_other_tasks(digits_run: Path, own_run: Path) -> None:
    with pytest.raises(DataError, match="predict different things"):
        cs.compare_runs([digits_run, own_run])
    with pytest.raises(ConfigError, match="fewer than two runs"):
        cs.compare_runs([digits_run])


def test_runs_of_a_task_of_ones_own(own_run: Path) -> None:
    found = cs.compare_runs([own_run, own_run])
    assert not found.share
    assert "minus the mean error" in found.text()


def test_pictures_show_the_bands_of_the_model() -> None:
    form = SimpleNamespace(shown=(4, 2, 0))
    held = SimpleNamespace(rows=np.array([7]), predictor=SimpleNamespace(bundle=SimpleNamespace(form=form)))
    view = np.arange(5, dtype=np.uint8)[None, :, None, None].repeat(8, 2).repeat(8, 3) * 50
    assert _picture(cast(Any, held), cast(Any, view), 7)[0, 0].tolist() == [200, 100, 0]


@pytest.mark.parametrize("content", ["", "5", "null", '"text"', "[1, 2]", '{"model": "li', "[" * 100_000])
@pytest.mark.parametrize("name", ["metrics.json", "config.json"])
def test_a_run_with_a_damaged_file_is_one_line(
    linear_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str
) -> None:
    copied = shutil.copytree(linear_run, tmp_path / "copied")
    (copied / name).write_text(content)
    assert main(["compare", str(linear_run), str(copied)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("clearsight:")]
    assert f"{name} cannot be read" in line


@pytest.mark.parametrize("seconds", ["'a while'", -1, 1e308, None, [1]])
def test_a_training_time_that_is_none_is_left_out(linear_run: Path, tmp_path: Path, seconds: Any) -> None:
    copied = shutil.copytree(linear_run, tmp_path / "copied")
    facts = json.loads((copied / "metrics.json").read_text())
    (copied / "metrics.json").write_text(json.dumps(facts | {"train_seconds": seconds}))
    found = cs.compare_runs([linear_run, copied])
    assert found.runs[1].seconds is None
    assert "trained in" in found._repr_html_()


def test_a_model_without_its_run_has_unknown_options(linear_run: Path) -> None:
    found = cs.compare_runs([linear_run, linear_run / "model"], "digits")
    assert found.differences["network"] == ("linear", "unknown")
    assert found.differences["epochs"] == ("2", "unknown")
