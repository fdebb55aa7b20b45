"""A task that is registered from outside passes through all of Clearsight, of which nothing is changed for it."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import clearsight as cs
from clearsight.cli.main import main
from clearsight.tasks.predictions import OutputsPrediction


@pytest.fixture
def files(own_run, own_task, tmp_path):
    """A few images as files, and how many spots they show."""
    images, spots = own_task.spotted(8, seed=1)
    paths = [str(tmp_path / f"{i}.png") for i in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    return paths, spots


def test_it_is_learned_and_reported(own_run):
    metrics = json.loads((own_run / "metrics.json").read_text())["test"]
    (score,) = metrics["per_name"].values()
    assert score["mean_error"] < 0.7 * score["usual_error"]
    card = json.loads((own_run / "model" / "card.json").read_text())
    assert (card["task"], card["task_card"]) == ("counts", None)
    report = (own_run / "report.html").read_text()
    assert "mean error" in report


def test_it_predicts_in_python_and_on_the_command_line(own_run, files, capsys):
    paths, spots = files
    predictor = cs.load(own_run, engine="torch").predictor
    found = predictor.predict(paths)
    assert all(isinstance(one, OutputsPrediction) for one in found)
    rates = [one.outputs["rates"]["value"] for one in found]
    assert rates == pytest.approx(np.exp([one.outputs["outputs"]["value"] for one in found]))
    assert rates == pytest.approx(predictor.values(paths)[:, 0])
    assert np.corrcoef(rates, spots)[0, 1] > 0.8
    assert main(["predict", str(own_run), *paths, "--engine", "torch"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1:] for line in lines] == [one.line().split() for one in found]
    assert main(["predict", str(own_run), paths[0], "--json"]) == 0
    assert "rates" in json.loads(capsys.readouterr().out)["predictions"][0]["outputs"]
    assert main(["predict", str(own_run), paths[0], "--top", "2"]) == 2, "which says nothing to it"


def test_it_is_evaluated_on_other_data(own_run, own_task, capsys, tmp_path):
    images, spots = own_task.spotted(40, seed=2)
    np.savez(tmp_path / "more.npz", images=images, labels=spots)
    assert main(["evaluate", str(own_run), str(tmp_path / "more.npz")]) == 0
    assert "always predicting the mean" in capsys.readouterr().out


def test_it_is_explained(own_run, files):
    paths, _ = files
    (found,) = cs.explain(own_run, paths[0], method="saliency")
    value = cs.load(own_run, engine="torch").predictor.values(paths[0])[0, 0]
    assert (found.target, found.task) == ("value", "counts")
    assert found.value == pytest.approx(value, rel=1e-4)
    assert found.line.startswith(f"value {value:.4g}")
    assert np.isfinite(found.faithfulness.score)


@pytest.mark.parametrize("format", [pytest.param("onnx", marks=pytest.mark.long), "torch"])
def test_its_exported_file_predicts_the_same(own_run, files, format, tmp_path, monkeypatch, capsys):
    paths, _ = files
    monkeypatch.setattr(sys, "path", [*sys.path])
    suffix = {"onnx": ".onnx", "torch": ".pt2"}[format]
    written = cs.export(own_run, format=format, out=tmp_path / f"m{suffix}")
    assert written.parity.holds
    assert (written.parity.predicted, written.parity.quantity) == ("prediction", "rates")
    assert written.card["reader"] == "outputs"
    assert runpy.run_path(str(tmp_path / "run.py"))["main"](paths) == 0
    lines = capsys.readouterr().out.splitlines()
    expected = [one.line() for one in cs.load(own_run, engine="torch").predictor.predict(paths)]
    assert [line.split("\t")[1].split("  (")[0] for line in lines] == [line.split("  (")[0] for line in expected]


def test_it_is_served(own_run, files):
    from starlette.testclient import TestClient

    from clearsight.serving.app import build_app

    paths, _ = files
    predictor = cs.load(own_run, engine="torch").predictor
    content = Path(paths[0]).read_bytes()
    with TestClient(build_app(predictor, run=own_run), base_url="http://localhost") as client:
        while client.get("/health").status_code != 200:
            pass
        found = client.post("/v1/predict?words=true", content=content).json()["predictions"][0]
        (own,) = predictor.predict(paths[0])
        assert found["task"] == "counts"
        assert found["outputs"]["rates"] == pytest.approx(own.outputs["rates"], rel=1e-4)
        assert found["line"] == own.line()
        card = client.get("/v1/model").json()
        assert (card["task"], card["studio"], card["unsuited"]) == ("counts", "generic", ["attack", "robustness"])
        map_ = client.post("/v1/explain?method=saliency", content=content).json()
        assert map_["probability"] is None
        assert map_["value"] == pytest.approx(own.outputs["rates"]["value"], rel=1e-4)
        schema = client.get("/openapi.json").json()["components"]["schemas"]["OutputsPrediction"]
        assert schema["properties"]["task"]["const"] == "counts"
