"""MLflow: parameters, metrics, the files of the run, and the model as a pyfunc with a signature.

The server, the experiment and credentials are those of MLflow's own variables: MLFLOW_TRACKING_URI,
MLFLOW_EXPERIMENT_NAME and others.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.models.signature import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array

from clearsight.errors import ConfigError
from clearsight.runs.load import load_predictor
from clearsight.runs.records import searched
from clearsight.tasks.prediction_list import Predictions
from clearsight.trackers import FILES
from clearsight.train.halving import Trial
from clearsight.train.head_search import Candidate
from clearsight.train.observer import Epoch, RunStart, numbers_in, scalars_of

LONGEST = 500
"""Characters of a parameter at most, as servers of earlier versions allow."""

BAR = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"

CODE = Path(__file__).with_name("mlflow_pyfunc.py")
"""The pyfunc, as code: MLflow runs this file when the model is loaded."""


class MlflowLogger:
    """A run of MLflow for each run. by_step: count steps, as an epoch may be validated several times."""

    def __init__(self, *, by_step: bool = False) -> None:
        self.by_step = by_step

    def start(self, run: RunStart) -> None:
        """Begin a run, inside the one that is active if there is one, and log the options as its parameters."""
        around = mlflow.active_run()
        try:
            mlflow.start_run(run_name=run.name, nested=around is not None)
            mlflow.log_params({name: str(value)[:LONGEST] for name, value in run.options.items()})
        except Exception as error:  # of the store, the server or a library that it needs
            if mlflow.active_run() is not around:
                mlflow.end_run("FAILED")
            raise ConfigError(
                f"MLflow cannot start a run at {mlflow.get_tracking_uri()}", found=" ".join(str(error).split())[:300],
                fix="set MLFLOW_TRACKING_URI to a server or a database, or install the full package with "
                "`pip install mlflow`, or drop --track",
            ) from error  # fmt: skip
        mlflow.set_tags({"data": run.origin, **{f"version.{name}": text for name, text in run.versions.items()}})

    def epoch(self, epoch: Epoch) -> None:
        """Log the scores of an epoch."""
        step, values = scalars_of(epoch, by_step=self.by_step)
        mlflow.log_metrics(values, step=step)

    def search(self, candidates: Sequence[Candidate], trials: Sequence[Trial]) -> None:
        """Log the score of each candidate, by its number; their names are a table."""
        for kind, names, scores in searched(candidates, trials):
            for number, values in enumerate(scores):
                mlflow.log_metrics({f"{kind}/{what}": value for what, value in values.items()}, step=number)
            if names:
                mlflow.log_table({"number": list(range(len(names))), "candidate": names}, f"{kind}.json")

    def finish(self, folder: Path, metrics: Mapping[str, Any]) -> None:
        """Log the scores, the files and the model, and end the run."""
        mlflow.log_metrics(numbers_in(metrics["test"], "test/"))
        for name in FILES:
            if (folder / name).is_file():
                mlflow.log_artifact(str(folder / name))
        with _without_advice():
            mlflow.pyfunc.log_model(
                name="model",
                python_model=str(CODE),
                artifacts={"bundle": str(folder / "model")},
                signature=signature_of(folder),
                pip_requirements=["clearsight"],
            )
        mlflow.end_run()

    def fail(self, error: BaseException) -> None:
        """End the run as failed."""
        mlflow.set_tag("error", str(error)[:LONGEST])
        mlflow.end_run("FAILED")


@contextmanager
def _without_advice() -> Iterator[None]:
    """Inside the block MLflow neither draws bars nor recommends type hints and input examples."""
    logger = logging.getLogger("mlflow")
    before, bar = logger.level, os.environ.get(BAR)
    logger.setLevel(logging.ERROR)
    os.environ[BAR] = "false"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
        del os.environ[BAR]
        if bar is not None:
            os.environ[BAR] = bar


def signature_of(folder: Path) -> ModelSignature:
    """What the pyfunc takes and gives.

    Args:
        folder: the run or its model.

    Returns:
        Input: a column `image` with the content of image files. Output: the columns of `Predictions.to_frame`.
    """
    predictor = load_predictor(folder, engine="torch", device="cpu")
    pixels = np.zeros((1, *predictor.shape), dtype=predictor.bundle.form.dtype)
    rows = predictor.predict(predictor.inputs(pixels))
    example = Predictions(tuple(rows), predictor.classes).to_frame().iloc[0]
    columns = [ColSpec(_type_of(value), str(name), required=False) for name, value in example.items()]
    return ModelSignature(inputs=Schema([ColSpec("binary", "image")]), outputs=Schema(columns))


def _type_of(value: Any) -> Any:
    """The type of a column of predictions, by one value."""
    if isinstance(value, tuple):  # names of a prediction set, or labels
        return Array(DataType.string)
    kinds = {bool: DataType.boolean, int: DataType.long, float: DataType.double}
    return kinds.get(type(getattr(value, "item", lambda: value)()), DataType.string)
