"""Weights & Biases: configuration, metrics, and the run's model and files as an artefact.

The project, the mode (such as offline) and credentials are those of its own variables: WANDB_PROJECT, WANDB_MODE and
others.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

from clearsight.errors import ConfigError
from clearsight.runs.records import searched
from clearsight.trackers import FILES
from clearsight.train.halving import Trial
from clearsight.train.head_search import Candidate
from clearsight.train.observer import Epoch, RunStart, numbers_in, scalars_of


class WandbLogger:
    """A run of Weights & Biases for each run. by_step: count steps, as an epoch may be validated several times."""

    def __init__(self, *, by_step: bool = False) -> None:
        self.by_step = by_step

    def start(self, run: RunStart) -> None:
        """Begin a run with the options as its configuration."""
        try:
            self.run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "clearsight"),
                name=run.name,
                config={**run.options, "data": run.origin, "versions": dict(run.versions)},
                reinit="create_new",
                settings=wandb.Settings(console="off", silent=True),
            )
        except Exception as error:  # no account, no network, or a setting that is wrong
            raise ConfigError(
                "Weights & Biases cannot start a run", found=" ".join(str(error).split())[:300],
                fix="run `wandb login`, set WANDB_MODE=offline, or drop --track",
            ) from error  # fmt: skip

    def epoch(self, epoch: Epoch) -> None:
        """Log the scores of an epoch."""
        step, values = scalars_of(epoch, by_step=self.by_step)
        prefix = next(iter(values)).removesuffix("lr")
        self._log(f"{prefix}{'step' if self.by_step else 'epoch'}", step, values)

    def search(self, candidates: Sequence[Candidate], trials: Sequence[Trial]) -> None:
        """Log the score of each candidate, by its number, and a table of their names."""
        for kind, names, scores in searched(candidates, trials):
            for number, values in enumerate(scores):
                self._log(f"{kind}/candidate", number, {f"{kind}/{what}": value for what, value in values.items()})
            if names:
                rows = [[number, name] for number, name in enumerate(names)]
                self.run.log({f"{kind}/names": wandb.Table(columns=["number", "candidate"], data=rows)})

    def finish(self, folder: Path, metrics: Mapping[str, Any]) -> None:
        """Log the scores and the artefact, and end the run."""
        self.run.summary.update(numbers_in(metrics["test"], "test/"))
        artefact = wandb.Artifact(f"model-{self.run.id}", type="model", metadata={"task": metrics["task"]})
        model = sorted(f"model/{file.name}" for file in (folder / "model").iterdir())
        for name in (*model, *FILES):
            if (folder / name).is_file():
                artefact.add_file(str(folder / name), name=name)
        self.run.log_artifact(artefact)
        self.run.finish()

    def fail(self, error: BaseException) -> None:
        """End the run as failed."""
        self.run.summary["error"] = str(error)
        self.run.finish(exit_code=1)

    def _log(self, axis: str, number: int, values: Mapping[str, float]) -> None:
        """Log values over an axis of their own."""
        for name in values:
            self.run.define_metric(name, step_metric=axis)
        self.run.log({axis: number, **values})
