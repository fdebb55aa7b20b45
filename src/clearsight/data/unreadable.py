"""Files that cannot be read, in one line: how many, of which classes, and which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from clearsight.data.dataset import Dataset
from clearsight.wording import count

NAMED = 5
"""Files that the line names at most."""


def unreadable_by_class(dataset: Dataset, rows: Iterable[int]) -> dict[str, int]:
    """Numbers of unreadable files by class, most first.

    Args:
        dataset: images and targets.
        rows: positions of the files that cannot be read.

    Returns:
        Numbers by name; empty if images do not have one class each.
    """
    if not dataset.task.needs_classes:
        return {}
    known = Counter(dataset.classes[dataset.labels[i]] for i in rows if dataset.labels[i] >= 0)
    return dict(sorted(known.items(), key=lambda pair: (-pair[1], pair[0])))


def unreadable_words(names: list[str] | tuple[str, ...], classes: Mapping[str, int], thing: str = "image") -> str:
    """Unreadable files in words.

    Args:
        names: of all files that cannot be read, at least one.
        classes: of `unreadable_by_class`.
        thing: image or sound.

    Returns:
        One line without a full stop.
    """
    counts = ", ".join(f"{name} {n:,}" for name, n in list(classes.items())[:12])
    counts += ", ..." if len(classes) > 12 else ""
    named = ", ".join(sorted(names)[:NAMED]) + (", ..." if len(names) > NAMED else "")
    return f"{count(len(names), thing)} cannot be read{f' ({counts})' * bool(counts)}: {named}"
