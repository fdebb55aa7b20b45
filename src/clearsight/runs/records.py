"""The records of a run: history.csv, TensorBoard events, and the curve of a range test."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path

from clearsight.disk import whole_file
from clearsight.train.observer import Epoch
from clearsight.train.range_test import RangeTest

RANGE_TEST = "lr_find.csv"
"""The curve of --lr-find in a run's folder: rates tried, and the loss at each."""


def write_range_test(folder: Path, test: RangeTest) -> None:
    """Write the curve of a range test."""
    rows = zip(test.rates, test.losses, strict=True)
    with whole_file(folder / RANGE_TEST) as stream:
        stream.write("".join(["lr,loss\n", *(f"{rate!r},{loss!r}\n" for rate, loss in rows)]).encode())


@contextlib.contextmanager
def history(path: Path) -> Iterator[Callable[[Epoch], None]]:
    """A function that appends an epoch to history.csv; each line is on disk before the next epoch begins."""
    if path.is_symlink():  # the run to resume may come from someone else: what the link names is not ours to write
        path.unlink()
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [f.name for f in fields(Epoch)])
        writer.writeheader()

        def write(epoch: Epoch) -> None:
            writer.writerow(asdict(epoch))
            stream.flush()

        yield write


@contextlib.contextmanager
def events(folder: Path, *, by_step: bool = False) -> Iterator[Callable[[Epoch], None]]:
    """A function that hands an epoch to TensorBoard; the event file is begun with the first epoch.

    by_step: count steps, as an epoch may be validated several times. Folds after the first are recorded as
    `fold-2/val_loss` and so on. A resumed run hands over its earlier epochs again, so the files of the interrupted one
    make room.
    """
    writer = None
    for old in folder.glob("events.*"):
        old.unlink()

    def write(epoch: Epoch) -> None:
        nonlocal writer
        if writer is None:
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(folder))
        of = f"fold-{epoch.fold}/" if epoch.fold > 1 else ""
        for name in ("lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy"):
            writer.add_scalar(of + name, getattr(epoch, name), epoch.steps if by_step else epoch.epoch)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()
