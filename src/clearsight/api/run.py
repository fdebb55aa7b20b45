"""`Run`: what training returns."""

from __future__ import annotations

import html
import os
import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from clearsight.api.model import DISPLAY, Model
from clearsight.data.temporary import TemporaryFolder
from clearsight.diagnosis import Diagnosis
from clearsight.disk import disk_errors
from clearsight.errors import OutputError
from clearsight.evaluation.run_comparison import RunComparison
from clearsight.predictor import Predictor
from clearsight.result import Result
from clearsight.tasks.evaluation import NEW, Evaluation
from clearsight.tasks.panel import TrustPanel
from clearsight.train.label_issues import LabelIssues


@dataclass(frozen=True, repr=False, eq=False)
class Run(Result):
    """A finished training: its folder, its model and its scores.

    folder: where it lies; in the cache, for as long as the run or its model is used, where no folder was named.
    predictor: what gives the model's outputs. metrics: the scores of metrics.json. report: the page. diagnosis: what
    the doctor says of the training, None where only a head was fitted. label_issues: labels that are probably wrong,
    None where they were not examined. test: the evaluation of the test split, which was opened once. compared: the run
    that was continued against this one, None where none was.

    Example:
        >>> run = cs.fit("digits", model="linear", epochs=1)
        >>> low, high = run.test.interval
        >>> low < run.test.accuracy < high
        True
        >>> folder = run.save("runs/linear")
    """

    folder: Path
    predictor: Predictor
    metrics: dict[str, Any]
    report: Path
    diagnosis: Diagnosis | None = None
    label_issues: LabelIssues | None = None
    test: Evaluation | None = None
    temporary: TemporaryFolder | None = None
    compared: RunComparison | None = None

    display: ClassVar[str] = DISPLAY

    @cached_property
    def model(self) -> Model:
        """The trained model.

        Returns:
            The model, loaded once.
        """
        return Model(self.predictor, self.folder, temporary=self.temporary)

    @property
    def seconds(self) -> float:
        """Time for training, including the OOD detector and the search for label issues."""
        return float(self.metrics["train_seconds"] + self.metrics.get("ood_seconds", 0))

    @property
    def panel(self) -> TrustPanel | None:
        """The promises of the model, and whether its test images show that they are kept; None for runs of older
        versions."""
        return TrustPanel.from_dict(self.metrics["panel"]) if "panel" in self.metrics else None

    def __fspath__(self) -> str:
        """A run can be used as the path of its folder: `Path(run)`, `clearsight predict RUN`.

        Returns:
            Path of the folder.
        """
        return str(self.folder)

    def to_dict(self) -> dict[str, Any]:
        """The scores and decisions, as in metrics.json, and the folder of the run.

        Returns:
            Plain values for JSON.
        """
        return {"run": str(self.folder), "report": str(self.report), **self.metrics}

    def text(self) -> str:
        """Scores on the test split, the trust panel, and the paths of report and model.

        Returns:
            Text of several lines.
        """
        bundle = self.predictor.bundle
        panel = f"\n{self.panel.text()}\n\n" if self.panel else ""
        compared = f"{self.compared.text()}\n\n" if self.compared else ""
        return (
            f"{bundle.task.evaluation.headline(self.metrics['test'], bundle.thing, NEW)}\n{panel}{compared}"
            f"trained in {self.seconds:.0f} s\n\n"
            f"  report   {os.path.relpath(self.report)}\n"
            f"  model    {os.path.relpath(self.folder)}"
        )

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Copy the run's folder, with its model and its report.

        Args:
            folder: where to write; it may not exist yet, or be empty.
            overwrite: replace a folder that is there.

        Returns:
            The report.

        Raises:
            OutputError: the folder is in use, or the disk refuses.
        """
        place = Path(folder).expanduser()
        if place.resolve() == self.folder.resolve():
            return self.report
        if place.exists() and not overwrite and (not place.is_dir() or any(place.iterdir())):
            raise OutputError(
                f"{place} already exists", found="a file" if place.is_file() else "a non-empty folder",
                fix="choose a different folder, or pass overwrite=True to `save`",
            )  # fmt: skip
        with disk_errors(place, "the run", "free some disk space, or choose a different folder"):
            place.parent.mkdir(parents=True, exist_ok=True)
            partial = place.with_name(f"{place.name}.{os.getpid()}.partial")
            try:
                shutil.copytree(self.folder, partial)
                _rename_in(partial / self.report.name, self.folder, place)
                if place.is_dir():
                    shutil.rmtree(place)
                partial.replace(place)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        return place / self.report.name

    def moved(self, folder: Path) -> Run:
        """The same run in the folder that it was moved to.

        Args:
            folder: new folder of the run.

        Returns:
            A run that reads from there.
        """
        return replace(self, folder=folder, report=folder / self.report.name)


def _rename_in(page: Path, then: Path, now: Path) -> None:
    """Replace the folder in the commands of a copied page."""
    if page.is_file():
        content = page.read_bytes().replace(html.escape(str(then)).encode(), html.escape(str(now)).encode())
        page.write_bytes(content)
