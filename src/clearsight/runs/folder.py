"""A run's folder: where it lies, what it was asked for, and how it is written.

A folder is complete or says that it is not: every file is written under another name first, and `model/` and
`metrics.json` come last.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clearsight.arguments import flag
from clearsight.bundle import format1
from clearsight.bundle.description import ON_HUB
from clearsight.data.audit import near_duplicates_of
from clearsight.data.dataset import Dataset
from clearsight.data.sources.builtin import BUILTIN
from clearsight.data.sources.read import recorded_place
from clearsight.data.split_record import targets_digest
from clearsight.disk import disk_errors, exclusive, object_within
from clearsight.errors import BundleError, CheckpointError, OutputError
from clearsight.memory import memory_errors
from clearsight.train.config import TrainConfig

FREE = "free some space, then continue with --resume if the folder contains checkpoints, or choose another --out"

SMALLER = (
    "use a smaller --batch-size, a smaller --img-size or a smaller --model, or close other programs; with --resume "
    "training continues from the last checkpoint"
)


@contextlib.contextmanager
def run_folder(config: TrainConfig, name: str, home: Path) -> Iterator[Path]:
    """The run's folder while it is filled: the one asked for, if it is free, or the next free HOME/NAME; to resume, the
    unfinished one. Other processes cannot write a run to it meanwhile.

    When the block fails before an epoch, a checkpoint or an audit was written, nothing was learned and the folder is
    removed again.
    """
    with contextlib.ExitStack() as lock:
        with disk_errors(Path(config.run.out or home), "the run", "choose another --out or free some space"):
            folder, fresh = _claimed(config, name, home, lock)
        try:
            with disk_errors(folder, "the run", FREE, full_only=True), memory_errors(SMALLER):
                yield folder
        except BaseException:
            history = folder / "history.csv"
            lines = history.read_text().count("\n") if history.is_file() else 0
            learned = lines > 1 or any(
                (folder / part).exists() for part in ("audit.json", "checkpoints", "diagnosis.json")
            )
            if fresh and not learned:
                shutil.rmtree(folder, ignore_errors=True)
            raise


def _claimed(config: TrainConfig, name: str, home: Path, lock: contextlib.ExitStack) -> tuple[Path, bool]:
    """The folder for a run, locked, and whether it is new. OutputError or CheckpointError where it cannot be used."""
    if config.run.resume:
        folder = Path(str(config.run.out))
        lock.enter_context(exclusive(folder))
        if not _is_unfinished(folder):  # another process may have finished it in the meantime
            raise OutputError(
                f"{folder} cannot be resumed", found="no unfinished run", fix="start a new run without --resume"
            )
        if not (folder / "checkpoints").resolve().is_relative_to(folder.resolve()):
            raise CheckpointError(
                f"{folder / 'checkpoints'} is a symbolic link that points outside the run's folder",
                expected="a folder in the run's folder",
                fix="if you trust it, replace the link with a copy of the folder",
            )  # fmt: skip
        return folder, False
    if config.run.out is None:
        folder = _next_free(home, name)
        lock.enter_context(exclusive(folder))
        return folder, True
    folder = Path(config.run.out).expanduser()
    fresh = not folder.exists()
    lock.enter_context(exclusive(folder))  # before its content is looked at: another process may be adding to it
    if _is_unfinished(folder) and (folder / "checkpoints").is_dir():
        raise OutputError(
            f"{folder} contains an unfinished run",
            fix="add --resume to continue it, choose another --out, or delete the folder",
        )
    if any(folder.iterdir()) and not _is_unfinished(folder):
        raise OutputError(f"{folder} already exists", found="a folder that is not empty", fix="choose another --out")
    return folder, fresh


def _is_unfinished(folder: Path) -> bool:
    return (folder / "config.json").is_file() and not (folder / "metrics.json").exists()


def resumed(config: TrainConfig, given: dict[str, Any], origin: str) -> TrainConfig:
    """The options of the run to go on with: that of --out, or the last unfinished one of this data. What the user gives
    again must be the same. origin: what the data is called. Where nothing was begun yet, a new run starts, so that a
    scheduler can give the same command each time.
    """
    if config.run.out is not None:
        folder = Path(config.run.out).expanduser()
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return _fresh(config)
        if not _is_unfinished(folder):
            state = "a finished run" if (folder / "metrics.json").exists() else "no run"
            raise OutputError(f"{folder} cannot be resumed", found=state, fix="start a new run without --resume")
    else:
        runs = [f for f in Path("runs").glob("*") if _is_unfinished(f) and _about(f).get("data") == origin]
        if not runs:
            return _fresh(config)
        folder = max(runs, key=lambda f: (f / "config.json").stat().st_mtime)
    about = _about(folder)
    then = {option: value for stage in about["options"].values() for option, value in stage.items()}
    now = config.options()
    changed = [
        f"{flag(option)} was {then.get(option)!r} and is now {now[option]!r}"
        for option in given
        if option not in ("out", "resume", "checkpoint_every") and now[option] != then.get(option)
    ]
    if about["data"] != origin:
        changed.insert(0, f"the data was {about['data']} and is now {origin}")
    if changed:
        raise CheckpointError(
            f"options differ from those of the run to resume, {folder}", found="; ".join(changed),
            fix="omit these options",
        )  # fmt: skip
    return TrainConfig.from_options(**{**then, **given, "out": str(folder), "resume": True})


def require_targets(config: TrainConfig, dataset: Dataset) -> None:
    """CheckpointError where the data of a run to go on with has other targets than when it was begun."""
    folder, now = Path(str(config.run.out)), targets_digest(dataset)
    if _about(folder).get("targets", now) != now:
        raise CheckpointError(
            f"{folder} cannot be resumed: the images or labels have changed since it was started",
            found=f"different labels, or a different order of images, in {dataset.origin}",
            expected="the original images and labels", fix="restore them, or start a new run without --resume",
        )  # fmt: skip


def _about(folder: Path) -> dict[str, Any]:
    """What config.json of a run says."""
    content = object_within(folder, "config.json")
    try:
        return format1.run_from(content)
    except (ValueError, TypeError, AttributeError) as error:
        path = folder / "config.json"
        raise BundleError(
            f"{path} cannot be read", found=str(error), fix="restore it from a backup, or train again"
        ) from error


def _next_free(parent: Path, name: str) -> Path:
    """Make parent/name, or parent/name-2, -3, ... where that is taken."""
    number = 1
    while True:
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            if parent.exists() and not parent.is_dir():
                raise
            number += 1


def has_record(folder: Path) -> bool:
    """Whether a folder has the `config.json` of a run; that of a model from the Hub is another one."""
    return (folder / "config.json").is_file() and not (folder / ON_HUB.weights).is_file()


def run_options(folder: Path) -> dict[str, Any]:
    """The options a run was made with, by name; none where the folder is only a model."""
    folder = folder.expanduser()
    if not has_record(folder):
        return {}
    options = _about(folder).get("options")
    if not isinstance(options, dict) or not all(isinstance(stage, dict) for stage in options.values()):
        raise BundleError(
            f"{folder / 'config.json'} contains no options", fix="restore it from a backup, or train again"
        )
    return {name: value for stage in options.values() for name, value in stage.items()}


def recorded_data_dir(folder: Path | None, data: object) -> str | None:
    """The --data-dir a run was made with, where the files of a built-in data set lie; None for other data, and where
    there is no folder or it does not say. BundleError as of `recorded_place`, as the run may come from someone else.
    """
    if folder is None or not isinstance(data, str) or data not in BUILTIN:
        return None
    named = run_options(folder).get("data_dir")
    if isinstance(named, str):
        named = os.path.expanduser(named)  # noqa: PTH111 - leaves ~unknown as it is, where pathlib raises
    return None if named is None else recorded_place(named, f"the files of {data}")


def run_origin(folder: Path) -> str | None:
    """The data a run was begun on, as it was named; None where the folder does not say."""
    folder = folder.expanduser()
    return _about(folder).get("data") if has_record(folder) else None


def run_recipe(folder: Path) -> dict[str, Any]:
    """What config.json says was decided: kind, model, whether a pretrained network's own layers were trained (tuned),
    and more; nothing where the folder is only a model.
    """
    return dict(_about(folder).get("recipe", {})) if has_record(folder) else {}


def near_duplicates(model: object) -> frozenset[str]:
    """Names of test images that look nearly the same as a development image, by the audit of a run; none for a model
    without its folder.
    """
    place = getattr(model, "folder", model)
    if not isinstance(place, str | os.PathLike) or not (Path(place).expanduser() / "audit.json").is_file():
        return frozenset()
    folder = Path(place).expanduser()
    try:
        return near_duplicates_of(object_within(folder, "audit.json"))
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise BundleError(f"{folder / 'audit.json'} cannot be read", found=str(error), fix="train again") from error


def _fresh(config: TrainConfig) -> TrainConfig:
    """The configuration of a new run, as nothing was begun yet."""
    return TrainConfig.from_options(**{**config.options(), "resume": False})
