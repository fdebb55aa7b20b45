"""From any source to a data set: the source lists images, and a task reads what it states about them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from clearsight.data.dataset import Dataset, Listing
from clearsight.data.sources.folder import AnyClasses
from clearsight.data.sources.read import find
from clearsight.data.targets import Stated, refuse_spaces
from clearsight.errors import DataError
from clearsight.tasks.classification import Classification
from clearsight.tasks.registry import registered_tasks, task_named
from clearsight.tasks.task import Task, TaskOptions

AUTO = "auto"


def read(
    data: Any, *, data_dir: str | Path | None = None, task: str = AUTO, options: TaskOptions | None = None
) -> Dataset:
    """The images and targets of any supported source, without decoding a pixel.

    Args:
        data: a source as `data.sources.read.find` takes it, a Listing, or a Dataset, which is returned as it is.
        data_dir: folder that file names in a table are relative to; None for the folder of the table.
        task: name of the task; "auto" chooses by what the labels look like.
        options: what the user states about the targets; None for the defaults.

    Returns:
        The data set, with metadata and the list of files that were left out.

    Raises:
        DataError: nothing usable is found, the labels do not suit the task, or a Dataset was read for another task.
        ConfigError: unknown task name.

    Example:
        >>> from clearsight.tasks.reading import read
        >>> data = read("builtin:digits")
        >>> len(data), data.task.name
        (1797, 'classification')
    """
    options = options or TaskOptions()
    asked = None if task == AUTO else task_named(task)
    if isinstance(data, Dataset):
        if asked and data.task is not asked:
            raise DataError(
                f"{data.name} was read for another task", found=data.task.name, expected=asked.name,
                fix="read the data again for this task",
            )  # fmt: skip
        return data
    listing = data if isinstance(data, Listing) else list_images(data, data_dir=data_dir, task=task)
    if asked is None:
        refuse_spaces(listing.stated, "if each is the name of a class, add --task classification")
    dataset = (asked or claimed(listing.stated)).read(listing, options)
    return replace(
        dataset,
        metadata=listing.metadata,
        losses=listing.losses,
        boxed=listing.boxed,
        added_to=listing.added_to,
        pixels=options.pixels,
    )


def list_images(data: Any, *, data_dir: str | Path | None = None, task: str = AUTO) -> Listing:
    """The images of a source and what it states about them, before a task reads the targets.

    Args:
        data: a source as for `read`.
        data_dir: as for `read`.
        task: as for `read`.

    Returns:
        The listing.
    """
    asked = None if task == AUTO else task_named(task)
    return find(data, data_dir, AnyClasses(asked.any_classes) if asked and asked.any_classes else None)


def origin_of(data: Any, *, data_dir: str | Path | None = None) -> str:
    """The name of the data, by which it can be found again, whatever task it is for.

    Args:
        data: a source as for `read`, or a Dataset.
        data_dir: as for `read`.

    Returns:
        A path, or the name of a built-in data set.
    """
    if isinstance(data, Dataset):
        return data.origin
    return find(data, data_dir, AnyClasses("")).stated.origin


def claimed(stated: Stated) -> type[Task]:
    """The task that data looks like.

    Args:
        stated: what the source states about the targets.

    Returns:
        The first registered task that claims the data; classification if none does.
    """
    return claiming(stated) or Classification


def claiming(stated: Stated) -> type[Task] | None:
    """The task that the data certainly belongs to.

    Args:
        stated: what the source states about the targets.

    Returns:
        The first registered task that claims the data; None if none does.
    """
    return next((task for task in registered_tasks() if task.claims(stated)), None)


def read_exclusive(data: Any, what: str, *, data_dir: str | Path | None = None) -> Dataset:
    """Read a data set that must give one class per image.

    Args:
        data: a source as for `read`.
        what: the feature that needs classes, for the error message.
        data_dir: as for `read`.

    Returns:
        The data set.

    Raises:
        DataError: the data is of another task.
    """
    found = read(data, data_dir=data_dir)
    if not found.task.needs_classes:
        raise DataError(
            f"{what} needs data with one class per image",
            found=f"{found.name}: {found.task.words_used.data}",
            fix="use `clearsight train`, which supports this task",
        )
    return found
