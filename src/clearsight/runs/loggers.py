"""The loggers of a run: its own records, the trackers that the user asks for, and objects passed to `cs.fit`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clearsight.console import Console
from clearsight.disk import disk_errors
from clearsight.errors import ClearsightError
from clearsight.runs.records import History, TensorBoard
from clearsight.train.halving import Trial
from clearsight.train.head_search import Candidate
from clearsight.train.observer import Epoch, Logger, RunStart


class Loggers:
    """Sends what a run records to several loggers.

    own: the records in the run's folder, whose errors end the run. others: each that fails is left out from then on,
    with a warning, as training must not depend on a tracker's server.
    """

    def __init__(self, own: Sequence[Logger], others: Sequence[Logger], folder: Path, console: Console) -> None:
        self.own, self.others, self.folder, self.console = list(own), list(others), folder, console

    def start(self, run: RunStart) -> None:
        """Start all; a tracker that cannot be started is an error, as nothing is lost yet."""
        for logger in (*self.own, *self.others):
            logger.start(run)

    def epoch(self, epoch: Epoch) -> None:
        """Pass an epoch on."""
        self._each(lambda logger: logger.epoch(epoch))

    def search(self, candidates: Sequence[Candidate], trials: Sequence[Trial]) -> None:
        """Pass on what was compared."""
        self._each(lambda logger: logger.search(candidates, trials))

    def finish(self, folder: Path, metrics: Mapping[str, Any]) -> None:
        """Pass on the finished run."""
        self._each(lambda logger: logger.finish(folder, metrics))

    def fail(self, error: BaseException) -> None:
        """Pass on that the run failed."""
        self._each(lambda logger: logger.fail(error))

    def _each(self, send: Callable[[Logger], None]) -> None:
        with disk_errors(self.folder, "the run", "free some disk space, or choose a different folder with --out"):
            for logger in self.own:
                send(logger)
        for logger in list(self.others):
            try:
                send(logger)
            except Exception as error:  # of any library, and of any server behind it
                self.others.remove(logger)
                words = str(error) if isinstance(error, ClearsightError) else f"{type(error).__name__}: {error}"
                text = f"warning: {type(logger).__name__} is left out from here on: {' '.join(words.split())[:300]}"
                self.console.say(text, "warning")


@contextlib.contextmanager
def run_loggers(
    run: RunStart, others: Sequence[Logger], console: Console, *, by_step: bool = False
) -> Iterator[Loggers]:
    """The loggers of a run while it is trained.

    Args:
        run: the run that begins.
        others: loggers beside its own records.
        console: where a warning is shown for one that is left out.
        by_step: whether TensorBoard counts steps.

    Yields:
        The loggers; those that were started end with the block.
    """
    loggers = Loggers([History(), TensorBoard(by_step=by_step)], others, run.folder, console)
    loggers.start(run)
    try:
        yield loggers
    except BaseException as error:
        loggers.fail(error)
        raise
