"""How a task reads targets and checks them, before a model exists: the class methods of `tasks.task.Task`.

Shapes: N images, T targets as the data states them.
"""

from __future__ import annotations

from abc import ABC
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from clearsight.data.audit import Finding
from clearsight.data.dataset import Dataset, Listing
from clearsight.data.targets import Stated, require_finite
from clearsight.tasks.strata import tenths
from clearsight.tasks.task_parts import Floats, TaskOptions, Training
from clearsight.tasks.words import Words


class TargetReader(ABC):
    """The half of a task that needs no model: what the targets of a data set mean."""

    name: ClassVar[str]
    """Of the task: `--task NAME`, "task" in JSON and the card."""

    words_used: ClassVar[Words]
    training: ClassVar[Training]
    counted: ClassVar[tuple[str, str]] = ("group", "groups")
    """What images are counted by in the audit, one and several."""

    imbalance_advice: ClassVar[str] = "balanced accuracy and per-class recall"
    needs_classes: ClassVar[bool] = False
    """Every class needs enough images to be split; otherwise classes are groups that are spread evenly."""

    @classmethod
    def claims(cls, stated: Stated) -> bool:
        """Whether data looks like this task, if the user names none.

        Args:
            stated: what the source states about the targets.

        Returns:
            True to claim the data; the first task that claims it is used.
        """
        return False

    @classmethod
    def read(cls, listing: Listing, options: TaskOptions) -> Dataset:
        """Make a data set of what a source lists; by default from columns of numbers.

        Args:
            listing: images, and what the source states about them.
            options: what the user states about the targets.

        Returns:
            The data set.

        Raises:
            DataError: the targets do not suit the task.
        """
        stated = listing.stated
        names, numbers = stated.as_numbers()
        values = numbers.astype(np.float32)
        require_finite(values, names, stated.origin)
        labels, classes = tenths(cls.order(values), names[0])
        return Dataset(
            listing.name, listing.source, labels, classes, listing.given, stated.origin, cls, groups=listing.groups,
            notes=listing.notes, names=names, values=values,
        )  # fmt: skip

    def joinable(self, listing: Listing, options: TaskOptions) -> Listing:
        """A list whose labels mean the same when other lists are added to it, as when a run is continued.

        Args:
            listing: images, and what the source states about them.
            options: what the user states about the targets.

        Returns:
            The listing; by default as it is.
        """
        return listing

    @classmethod
    def order(cls, values: NDArray[np.float32]) -> Floats:
        """The number whose range is spread evenly over the splits.

        Args:
            values: targets (N, T).

        Returns:
            One number per image (N,); by default the first target.
        """
        return values[:, 0].astype(np.float64)

    @classmethod
    def learnable(cls, dataset: Dataset) -> NDArray[np.bool_]:
        """Which images training may use.

        Args:
            dataset: the data set of N images.

        Returns:
            Boolean array (N,).
        """
        return np.ones(len(dataset), bool)

    @classmethod
    def only_tested(cls, dataset: Dataset) -> NDArray[np.bool_]:
        """Which of the images that training may not use join the test split.

        Args:
            dataset: the data set of N images.

        Returns:
            Boolean array (N,).
        """
        return np.zeros(len(dataset), bool)

    @classmethod
    def words(cls, dataset: Dataset, i: int) -> str:
        """The targets of one image in words.

        Args:
            dataset: the data set.
            i: position of the image.

        Returns:
            Its class, or its numbers, with their names if there are several; "" if the data does not say.
        """
        if dataset.values is None:
            return dataset.classes[dataset.labels[i]] if dataset.labels[i] >= 0 else ""
        row = dataset.targets[i]
        if len(row) == 1:
            return f"{row[0]:.4g}"
        return ", ".join(f"{name} {value:.4g}" for name, value in zip(dataset.names, row, strict=True))

    @classmethod
    def describe(cls, dataset: Dataset) -> str:
        """What is to be predicted, in words.

        Args:
            dataset: the data set.

        Returns:
            A line of text; "" where the class names suffice.
        """
        return ""

    @classmethod
    def balance(cls, dataset: Dataset, known: NDArray[np.int64]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Counts of the known images, for the audit.

        Args:
            dataset: the data set.
            known: positions of the images whose targets the audit may see (n,).

        Returns:
            K names that images are counted by, and the number of images of each (K,).
        """
        return dataset.classes, np.bincount(dataset.labels[known], minlength=len(dataset.classes))

    @classmethod
    def findings(cls, dataset: Dataset) -> list[Finding]:
        """Findings of the audit about the targets.

        Args:
            dataset: the data set.

        Returns:
            The findings, none by default.
        """
        return []

    @classmethod
    def check(cls, dataset: Dataset, config: Any) -> None:
        """Refuse data that cannot be learned and options that have no effect for it.

        Args:
            dataset: the data set.
            config: the training options; `pretrained` is False if training starts from random weights.

        Raises:
            DataError: the data cannot be learned.
            ConfigError: an option has no effect for this data.
        """
        return

    @classmethod
    def notes(cls, dataset: Dataset, config: Any) -> list[tuple[str, str, str]]:
        """How data is read where the user left it open.

        Args:
            dataset: the data set.
            config: the training options.

        Returns:
            Rows of three texts: what was left open, how it is read, and why or which option changes it.
        """
        return []

    @classmethod
    def truth(cls, dataset: Dataset) -> NDArray[Any]:
        """The targets as `Task.evaluate` takes them.

        Args:
            dataset: the data set of N images.

        Returns:
            Targets (N, T), or class indices (N,).
        """
        return dataset.targets
