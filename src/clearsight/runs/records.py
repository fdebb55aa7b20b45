"""The records of a run: history.csv, TensorBoard events, and the curve of a range test."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from clearsight.disk import whole_file
from clearsight.train.halving import Trial
from clearsight.train.head_search import Candidate
from clearsight.train.observer import Epoch, RunStart, numbers_in, scalars_of
from clearsight.train.range_test import RangeTest

RANGE_TEST = "lr_find.csv"
"""The curve of --lr-find in a run's folder: rates tried, and the loss at each."""


def write_range_test(folder: Path, test: RangeTest) -> None:
    """Write the curve of a range test."""
    rows = zip(test.rates, test.losses, strict=True)
    with whole_file(folder / RANGE_TEST) as stream:
        stream.write("".join(["lr,loss\n", *(f"{rate!r},{loss!r}\n" for rate, loss in rows)]).encode())


class History:
    """Appends epochs to history.csv; each line is on disk before the next epoch begins."""

    def start(self, run: RunStart) -> None:
        """Begin the file."""
        path = run.folder / "history.csv"
        if path.is_symlink():  # the run to resume may come from someone else: what the link names is not ours to write
            path.unlink()
        self.stream = path.open("w", newline="")
        self.writer = csv.DictWriter(self.stream, [f.name for f in fields(Epoch)])
        self.writer.writeheader()
        self.stream.flush()

    def epoch(self, epoch: Epoch) -> None:
        """Append a line."""
        self.writer.writerow(asdict(epoch))
        self.stream.flush()

    def search(self, candidates: Sequence[Candidate], trials: Sequence[Trial]) -> None:
        """Nothing: config.json records them."""

    def finish(self, folder: Path, metrics: Mapping[str, Any]) -> None:
        """Close the file."""
        self.stream.close()

    def fail(self, error: BaseException) -> None:
        """Close the file."""
        self.stream.close()


class TensorBoard:
    """Writes a run's epochs, the candidates that were compared, and the scores for TensorBoard, with any strategy.

    The file is begun with the first value. A resumed run hands over its earlier epochs again, so the files of the
    interrupted one make room. by_step: count steps, as an epoch may be validated several times.
    """

    def __init__(self, *, by_step: bool = False) -> None:
        self.by_step = by_step

    def start(self, run: RunStart) -> None:
        """Remove the files of an interrupted run."""
        self.folder = run.folder
        for old in run.folder.glob("events.*"):
            old.unlink()

    @cached_property
    def writer(self) -> Any:
        """The file."""
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.folder))

    def epoch(self, epoch: Epoch) -> None:
        """Write the scores of an epoch."""
        step, values = scalars_of(epoch, by_step=self.by_step)
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def search(self, candidates: Sequence[Candidate], trials: Sequence[Trial]) -> None:
        """Write the score of each candidate, by its number, and its name."""
        for kind, names, scores in searched(candidates, trials):
            for number, (name, values) in enumerate(zip(names, scores, strict=True)):
                self.writer.add_text(kind, name, number)
                for what, value in values.items():
                    self.writer.add_scalar(f"{kind}/{what}", value, number)

    def finish(self, folder: Path, metrics: Mapping[str, Any]) -> None:
        """Write the scores of the run, and close the file."""
        for name, value in numbers_in(metrics["test"], "test/").items():
            self.writer.add_scalar(name, value, 0)
        self.writer.close()

    def fail(self, error: BaseException) -> None:
        """Close the file."""
        if "writer" in vars(self):
            self.writer.close()


def searched(
    candidates: Sequence[Candidate], trials: Sequence[Trial]
) -> list[tuple[str, list[str], list[dict[str, float]]]]:
    """What was compared, as text and numbers.

    Args:
        candidates: heads.
        trials: networks, input sizes and ways of training.

    Returns:
        For each kind of search its name, the names of what was compared, and their scores.
    """
    return [
        (
            "head_search", [candidate.words() for candidate in candidates],
            [{"score": candidate.accuracy, "loss": candidate.log_loss} for candidate in candidates],
        ),
        (
            "trials", [f"{trial.name}, {trial.images} images" for trial in trials],
            [{"score": trial.accuracy, "loss": trial.log_loss} for trial in trials],
        ),
    ]  # fmt: skip
