"""Seven verbs and five tasks: each gives a result, or an error with the reason that docs/tasks.md states."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import clearsight as cs
from clearsight.cli.main import main
from clearsight.errors import ModelError
from clearsight.feature_vis import Settings

TASKS = ("classification", "multilabel", "regression", "ordinal", "anomaly")
VERBS = ("visualize", "tune", "doctor", "compare", "attack", "robustness", "landscape")
RESULTS = {(verb, "classification") for verb in VERBS}
RESULTS |= {("visualize", task) for task in TASKS} | {("tune", task) for task in TASKS if task != "anomaly"}
PAGE = (Path(__file__).parent.parent / "docs" / "tasks.md").read_text()


def table() -> dict[tuple[str, str], str]:
    """The page's table: what it says of each verb and task."""
    rows = [line.strip("|").split("|") for line in PAGE.splitlines() if re.match(r"\| (command|`)", line)]
    start = next(i for i, row in enumerate(rows) if row[0].strip() == "command")
    tasks = [cell.strip() for cell in rows[start][1:]]
    found = {}
    for row in rows[start + 1 : start + 1 + len(VERBS)]:
        found |= {(row[0].strip().strip("`"), task): cell.strip() for task, cell in zip(tasks, row[1:], strict=True)}
    return found


def test_the_page_has_a_result_or_a_reason_for_each() -> None:
    found = table()
    assert set(found) == {(verb, task) for verb in VERBS for task in TASKS}
    assert {key for key, cell in found.items() if cell.startswith("yes")} == RESULTS
    reasons = set(re.findall(r"^\d\. ", PAGE, re.MULTILINE))
    assert {f"{cell}. " for cell in found.values() if not cell.startswith("yes")} <= reasons


MODELS = {"multilabel": "labels_run", "regression": "angle_run", "anomaly": "detector_run"}


@pytest.mark.parametrize("task", MODELS)
@pytest.mark.parametrize("verb", ["attack", "robustness", "landscape"])
def test_what_has_no_result_says_so(task: str, verb: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(
        ModelError, match=f"needs a model with one class per image; found a model trained with --task {task}"
    ):
        getattr(cs, verb)(request.getfixturevalue(MODELS[task]))


@pytest.mark.parametrize("task", MODELS)
def test_every_task_is_visualised(task: str, request: pytest.FixtureRequest) -> None:
    """Maps equal forward hooks; the classes' own parts say why they are left out."""
    run = request.getfixturevalue(MODELS[task])
    found = cs.visualize(run, images=20, settings=Settings(class_steps=2, inversion_steps=2))
    assert {"filters", "maps", "patches", "inversion"} <= set(found.part_words())
    assert found.patches is not None
    assert found.patches.images == 20
    assert "gates" in found.left_out
    assert ("classes" in found.left_out) == (task == "regression")  # of an anomaly: what raises its score
    assert [m.layer.short for m in found.maps if m.layer.short in ("global_pool", "trunk")] == []
    if task == "multilabel":
        predictor = cs.load(run).predictor
        one = found.classes[0]
        assert one.logit == pytest.approx(float(predictor.logits(one.pixels[None])[0, 0]), abs=1e-4)


@pytest.mark.parametrize("target", ["number", "labels", "grade"])
def test_options_are_searched_for_every_task_with_a_loss(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two trials on noise; the score is the task's own loss on the validation images, and no image is turned."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (120, 8, 8), dtype=np.uint8)
    bright = images.mean((1, 2))
    grades = np.digitize(bright, np.quantile(bright, (1 / 3, 2 / 3)))
    targets = {"number": bright, "grade": grades, "labels": np.array([["a", "a|b", "b"][g] for g in grades])}[target]
    np.savez(tmp_path / "data.npz", X=images, y=targets)
    command = ["tune", str(tmp_path / "data.npz"), "--trials", "2", "--epochs", "1", "--model", "mlp", "--json"]
    task = {"number": "regression", "grade": "ordinal", "labels": "multilabel"}[target]
    assert main([*command, "--task", task, "--out", str(tmp_path / "out")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["measures"] == ["validation loss", "validation score"]
    assert len(found["trials"]) == 2
    assert np.isfinite(found["best"]["log_loss"])
    tried = {name for trial in found["trials"] for name in trial["options"]}
    assert "lr" in tried
    assert ("label_smoothing" in tried) == (target == "labels")
    assert "validation loss" in (tmp_path / "out" / "search.html").read_text()
