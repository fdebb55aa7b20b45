"""--auto-fix: train, diagnose, apply the first fix, and train again."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

from clearsight.api.run import Run
from clearsight.console import Console
from clearsight.diagnosis import Diagnosis, Verdict, cured
from clearsight.diagnosis.command import option_flags
from clearsight.errors import TrainingError
from clearsight.train.config import TrainConfig

ATTEMPTS = 3
"""Fixes that --auto-fix tries, one after the other."""


def auto_fix(train: Callable[[TrainConfig], Run], config: TrainConfig, console: Console) -> Run:
    """Train, and train again as long as the doctor suggests a fix, each time into a separate folder. The run with the
    best validation score is returned, in the folder given by --out.
    """
    runs: list[Run] = []
    chosen = config.options()
    out = config.run.out
    for attempt in range(ATTEMPTS + 1):
        try:
            runs.append(train(TrainConfig.from_options(**chosen)))
            verdict = _curable(runs[-1].diagnosis)
        except TrainingDiagnosedError as error:
            verdict = _curable(error.diagnosis)
            if not runs and (verdict is None or attempt == ATTEMPTS):
                raise
            console.say(str(error))
        if verdict is None or attempt == ATTEMPTS:
            break
        words = " ".join(option_flags(verdict.options))
        console.say(f"auto-fix: {verdict.name}: {verdict.fix} ({words})")
        chosen = {**chosen, **cured(chosen, verdict), "out": f"{out}-fixed-{attempt + 1}" if out else None}
    best = max(runs, key=lambda run: (run.metrics["val"]["accuracy"], -run.metrics["val"]["log_loss"]))
    return _in_place(best, Path(out).expanduser(), console) if out else best


def _in_place(best: Run, home: Path, console: Console) -> Run:
    """Move the best run into the requested folder, and the one already there to another folder."""
    if best.folder == home:
        return best
    names = (home.with_name(f"{home.name}-sick" + (f"-{n}" if n > 1 else "")) for n in itertools.count(1))
    aside = next(name for name in names if not name.exists())
    home.rename(aside)
    best.folder.rename(home)
    console.say(f"{home} contains the run with the best validation score; the first run was moved to {aside}")
    return best.moved(home)


def _curable(diagnosis: Diagnosis | None) -> Verdict | None:
    """The first fault that options can fix."""
    verdicts = diagnosis.verdicts if diagnosis else ()
    return next((v for v in verdicts if v.severity == "fault" and v.options), None)


class TrainingDiagnosedError(TrainingError):
    """A training that stopped early, with its diagnosis."""

    def __init__(self, error: TrainingError, diagnosis: Diagnosis) -> None:
        verdict = diagnosis.verdicts[0] if diagnosis.verdicts else None
        super().__init__(
            error.happened + ("" if verdict is None or verdict.name == "not-a-number" else f": {verdict.words}"),
            found=error.found,
            fix=error.fix if verdict is None else verdict.fix + (f": {verdict.command}" if verdict.options else ""),
        )
        self.diagnosis = diagnosis
