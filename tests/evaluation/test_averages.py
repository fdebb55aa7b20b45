"""One prediction for several images of one thing: the mean of their outputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import clearsight as cs
from clearsight.cli.main import main
from clearsight.errors import DataError
from clearsight.evaluation.averages import averages


def test_means_equal_pandas() -> None:
    rng = np.random.default_rng(0)
    outputs, values = rng.normal(size=(40, 3)), rng.choice(["b", "a", "c"], 40)
    found = averages(outputs, np.zeros(40), values, [str(i) for i in range(40)], "speaker")
    frame = pd.DataFrame(outputs).groupby(values, sort=False).mean()
    assert found.names == tuple(frame.index)
    np.testing.assert_allclose(found.outputs, frame.to_numpy())
    assert [values[i] for i in found.first] == list(found.names)


def test_images_without_a_value_stand_alone_and_targets_agree() -> None:
    found = averages(np.arange(4.0)[:, None], np.array([0, 1, 1, 0]), np.array(["", "x", "x", ""]), list("pqrs"), "who")
    assert found.names == ("p", "x", "s")
    np.testing.assert_array_equal(found.outputs[:, 0], [0, 1.5, 3])
    with pytest.raises(
        DataError,
        match=r"images with the same who have different targets; found 1 affected value of who \(first: 'x'\)",
    ):
        averages(np.zeros((2, 1)), np.array([0, 1]), np.array(["x", "x"]), ["p", "q"], "who")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise of 16 persons, 4 pictures of each: healthy ones for training, and two to test of whom one is brighter."""
    folder, rng = tmp_path_factory.mktemp("persons"), np.random.default_rng(0)
    rows = []
    for person in range(16):
        ill = person == 15
        for k in range(4):
            name = f"p{person}-{k}.png"
            pixels = rng.normal(150 if ill else 110, 12, (12, 12)).clip(0, 255).astype(np.uint8)
            save(folder / name, pixels)
            split = "test" if person >= 14 else "train"
            rows.append((name, "ill" if ill else "healthy", split, f"p{person}"))
    pd.DataFrame(rows, columns=["image_path", "label", "split", "group"]).to_csv(folder / "persons.csv", index=False)
    return folder


def save(path: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    Image.fromarray(pixels).save(path)


def test_a_model_of_anomalies_answers_once_for_each_person(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = cs.fit(recorded / "persons.csv", task="anomaly", normal="healthy", anomaly="knn", out=tmp_path / "run")
    task = run.predictor.bundle.task
    assert len(task.known_groups) == 14
    assert np.mean(task.known) == pytest.approx(np.mean(task.known_groups), abs=1e-6)
    assert cs.load(run.folder).predictor.bundle.task == task
    capsys.readouterr()
    assert main(["evaluate", str(run.folder), str(recorded / "persons.csv"), "--average-by", "group", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["n"], found["anomalies"], found["auroc"], found["found"]) == (2, 1, 1.0, 1.0)
    assert found["promised"] == pytest.approx(1 / 15)
    files = [sorted(map(str, recorded.glob(f"{person}-*.png"))) for person in ("p14", "p15")]
    one, other = (run.model.predict_average(paths, name) for paths, name in zip(files, "ab", strict=True))
    assert (one.image, one.anomaly, other.image, other.anomaly) == ("a", False, "b", True)
    assert other.score == pytest.approx(float(run.predictor.logits(files[1]).mean()), abs=1e-4)
    for person in ("p14", "p15"):
        (tmp_path / person).mkdir()
        for path in recorded.glob(f"{person}-*.png"):
            (tmp_path / person / path.name).write_bytes(path.read_bytes())
    assert main(["predict", str(run.folder), str(tmp_path / "p14"), str(tmp_path / "p15"), "--average", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["predictions"]
    assert [(Path(p["image"]).name, p["anomaly"]) for p in said] == [("p14", False), ("p15", True)]
    assert main(["predict", str(run.folder), str(tmp_path / "p14"), "--average", "--coverage", "0.8"]) == 2
