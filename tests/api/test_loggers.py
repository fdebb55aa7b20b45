"""What a run records beside its folder: TensorBoard with every strategy, MLflow, Weights & Biases, and own loggers."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import clearsight as cs
from clearsight.console import Silent
from clearsight.errors import ConfigError
from clearsight.runs.loggers import run_loggers
from clearsight.runs.records import TensorBoard
from clearsight.trackers import trackers
from clearsight.train.head_search import Candidate
from clearsight.train.observer import Epoch, RunStart, numbers_in, scalars_of

EPOCHS = [
    Epoch(1, 10, 0.1, 2.0, 0.5, 2.5, 0.4, 1.0),
    Epoch(2, 20, 0.05, 1.0, 0.6, 1.5, 0.7, 2.0),
    Epoch(1, 10, 0.1, 2.1, 0.5, 2.6, 0.3, 1.0, fold=2),
]
CANDIDATES = [Candidate("last features", (1,), "softmax", {"L2": s}, 0.9 - s, 0.3 + s) for s in (0.1, 0.01)]


def events(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0})
    found.Reload()
    return found


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, pytest.approx(event.value, rel=1e-6)) for event in events(folder).Scalars(name)]


def test_tensorboard_has_the_epochs_of_a_trained_network(digits_run):
    with (digits_run / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [f.name for f in fields(Epoch)]
    assert scalars(digits_run, "val_loss") == [(int(row["epoch"]), float(row["val_loss"])) for row in rows]


@pytest.mark.parametrize("fixture", ["photos_run", "classical_run", "digits_run"])
def test_tensorboard_has_the_candidates_and_scores_of_every_strategy(fixture, request):
    run = request.getfixturevalue(fixture)
    metrics = json.loads((run / "metrics.json").read_text())
    candidates = json.loads((run / "config.json").read_text())["recipe"]["candidates"]
    assert scalars(run, "test/accuracy") == [(0, metrics["test"]["accuracy"])]
    if fixture == "digits_run":
        assert candidates == []
        return
    assert scalars(run, "head_search/score") == [(i, one["accuracy"]) for i, one in enumerate(candidates)]
    assert scalars(run, "head_search/loss") == [(i, one["log_loss"]) for i, one in enumerate(candidates)]
    assert "head_search/text_summary" in events(run).Tags()["tensors"]


def test_folds_have_names_of_their_own(tmp_path):
    logger = TensorBoard()
    logger.start(RunStart(tmp_path, "a", {}, "digits", {}))
    for epoch in EPOCHS:
        logger.epoch(epoch)
    logger.finish(tmp_path, {"test": {}})
    assert scalars(tmp_path, "val_loss") == [(1, 2.5), (2, 1.5)]
    assert scalars(tmp_path, "fold-2/val_loss") == [(1, 2.6)]


class Recorder:
    """A logger that keeps what it receives."""

    def __init__(self, failing: str = "") -> None:
        self.calls: list[str] = []
        self.failing, self.run, self.metrics, self.epochs = failing, None, None, []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.failing:
            raise RuntimeError("the server is gone")

    def start(self, run: RunStart) -> None:
        self.run = run
        self._call("start")

    def epoch(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)
        self._call("epoch")

    def search(self, candidates: Any, trials: Any) -> None:
        self._call("search")

    def finish(self, folder: Path, metrics: Any) -> None:
        self.metrics = metrics
        self._call("finish")

    def fail(self, error: BaseException) -> None:
        self._call(f"fail {error}")


class Said(Silent):
    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def say(self, text: str, level: str = "info") -> None:
        self.lines.append((level, text))


def test_own_loggers_receive_a_run_and_one_that_fails_is_left_out(digits_arrays):
    images, labels = digits_arrays
    good, bad, console = Recorder(), Recorder(failing="epoch"), Said()
    run = cs.fit(images[:200], labels[:200], model="linear", epochs=2, loggers=[bad, good], console=console)
    assert good.calls == ["start", "epoch", "epoch", "search", "finish"]
    assert bad.calls == ["start", "epoch"]
    assert [epoch.epoch for epoch in good.epochs] == [1, 2]
    assert good.run.options["epochs"] == 2
    assert good.metrics["test"] == run.metrics["test"]
    warnings = [text for level, text in console.lines if level == "warning"]
    assert "warning: Recorder is left out from here on: RuntimeError: the server is gone" in warnings


def test_the_page(page, capsys):
    page("docs/tracking.md").run({})
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["options", "epoch 1", "epoch 2", "accuracy"]


def test_loggers_know_that_a_run_failed(tmp_path):
    logger = Recorder()
    with (
        pytest.raises(ValueError, match="broken"),
        run_loggers(RunStart(tmp_path, "a", {}, "digits", {}), [logger], Silent()),
    ):
        raise ValueError("broken")
    assert logger.calls == ["start", "fail broken"]


def test_scalars_and_numbers():
    assert scalars_of(EPOCHS[1], by_step=True)[0] == 20
    assert numbers_in({"a": 1, "b": {"c": 0.5, "d": [1, 2]}, "e": True, "f": "x"}, "test/") == {
        "test/a": 1.0, "test/b/c": 0.5,
    }  # fmt: skip


def test_a_tracker_without_its_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    monkeypatch.delitem(__import__("sys").modules, "clearsight.trackers.wandb_logger", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'clearsight\[wandb\]'"):
        trackers("none+wandb", by_step=False)
    with pytest.raises(ConfigError, match="--track 'mlfow' is not one of none, mlflow, wandb"):
        cs.fit("digits", track="mlfow")


def recorded(logger: Any, folder: Path) -> None:
    """Hand a finished run to a logger."""
    metrics = json.loads((folder / "metrics.json").read_text())
    logger.start(RunStart(folder, "my-run", {"epochs": 12, "model": "auto"}, "digits", {"clearsight": "0"}))
    for epoch in EPOCHS:
        logger.epoch(epoch)
    logger.search(CANDIDATES, [])
    logger.finish(folder, metrics)


def png(image: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


@pytest.mark.filterwarnings("ignore")  # of MLflow's own
def test_mlflow_has_the_run_and_its_model_as_a_pyfunc(tmp_path, monkeypatch, digits_run, digits_arrays):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    import mlflow

    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    try:
        (logger,) = trackers("mlflow", by_step=False)
        recorded(logger, digits_run)
        (run,) = mlflow.search_runs(output_format="list")
        assert run.info.run_name == "my-run"
        assert run.info.status == "FINISHED"
        assert run.data.params == {"epochs": "12", "model": "auto"}
        assert (
            run.data.metrics["test/accuracy"]
            == json.loads((digits_run / "metrics.json").read_text())["test"]["accuracy"]
        )
        history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "val_loss")
        assert [(m.step, m.value) for m in history] == [(1, 2.5), (2, 1.5)]
        assert run.data.metrics["fold-2/val_loss"] == 2.6
        files = {file.path for file in mlflow.artifacts.list_artifacts(run_id=run.info.run_id)}
        assert {"report.html", "config.json", "metrics.json", "head_search.json"} <= files

        model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
        images = [png(image[0]) for image in digits_arrays[0][:20]]
        found = model.predict(pd.DataFrame({"image": images}))
        expected = cs.load(digits_run).predict(images).to_frame()
        pd.testing.assert_frame_equal(found, expected)
        signature = model.metadata.signature
        assert [(column.name, column.type.name) for column in signature.inputs.inputs] == [("image", "binary")]
        assert [column.name for column in signature.outputs.inputs] == list(expected.columns)
        types = {column.name: str(column.type) for column in signature.outputs.inputs}
        assert (types["label"], types["probability_3"], types["is_ood"], types["prediction_set"]) == (
            "DataType.string", "DataType.double", "DataType.boolean", "Array(string)",
        )  # fmt: skip
        with pytest.raises(mlflow.MlflowException, match="image"):
            model.predict(pd.DataFrame({"picture": images}))
    finally:
        mlflow.set_tracking_uri(None)


@pytest.mark.filterwarnings("ignore")  # of its own libraries
def test_wandb_has_the_run_offline(tmp_path, monkeypatch, digits_run):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    import wandb

    (logger,) = trackers("wandb", by_step=False)
    recorded(logger, digits_run)
    assert logger.run.config["epochs"] == 12
    wandb.teardown()  # ends the process that writes the file
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    content = file.read_bytes()
    for text in (
        b"test/accuracy",
        b"fold-2/val_loss",
        b"head_search/score",
        b"model/weights.safetensors",
        b"report.html",
    ):
        assert text in content
