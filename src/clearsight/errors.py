"""Every error a user can cause or meet, each saying what happened, what was found, what was expected, what to do.

The command line prints `str(error)` as one line and exits 2. Anything that is not a `ClearsightError` is a defect of
ours and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable

from clearsight.spelling import close_names
from clearsight.wording import visible


class ClearsightError(Exception):
    """Base of all errors meant for the user.

    Args:
        happened: what went wrong, as a clause without a full stop.
        found: the value that was received, where that helps.
        expected: the value that would have been right, where that helps.
        fix: what the user can do now, such as a command.
        page: page of the documentation that explains it, such as `data#image-formats` (default: that of the class).

    Example:
        >>> str(ClearsightError("the image is damaged", found="a.jpg", fix="omit it"))
        'the image is damaged; found a.jpg. Omit it.'
    """

    page: str = ""

    def __init__(
        self,
        happened: str,
        *,
        found: object = None,
        expected: object = None,
        fix: str | None = None,
        page: str | None = None,
    ) -> None:
        self.page = self.page if page is None else page
        self.happened, self.found, self.expected, self.fix = happened, found, expected, fix
        parts = [happened]
        if found is not None:
            parts.append(f"found {found}")
        if expected is not None:
            parts.append(f"expected {expected}")
        text = "; ".join(part.rstrip() if part.endswith("...") else part.rstrip(" .") for part in parts)
        text += "" if text.endswith("...") else "."
        if fix:
            text += f" {fix[0].upper()}{fix[1:]}" + ("" if fix.endswith((".", "?", "!")) else ".")
        super().__init__(visible(" ".join(text.split())))


class ConfigError(ClearsightError, ValueError):
    """An option has an invalid value, or two options contradict each other."""


class DataError(ClearsightError, ValueError):
    """The images or labels are invalid."""

    page = "data"


class TargetsError(DataError):
    """The targets are of another kind than expected: class names in place of numbers, or numbers in place of names."""

    page = "tasks"


class ImageError(DataError):
    """One image cannot be read; collections set such an image aside, `predict` raises."""

    page = "data#image-formats"


class ModelError(ClearsightError, ValueError):
    """A network does not exist, cannot be built with these options, or its weights are not available."""

    page = "zoo"


class UnsuitedError(ModelError):
    """The operation is not defined for models of this task."""

    page = "tasks#supported-commands"


class BundleError(ClearsightError, ValueError):
    """A saved run cannot be read or does not fit the operation."""


class TrainingError(ClearsightError, RuntimeError):
    """Training cannot continue, for example because the loss is not a number."""

    page = "training#when-a-network-does-not-learn"


class CheckpointError(ClearsightError, ValueError):
    """A saved training state is damaged or belongs to another run."""

    page = "training"


class ExportError(ClearsightError, RuntimeError):
    """The outputs of an exported file differ from those of the model."""

    page = "export"


class OutputError(ClearsightError, OSError):
    """A file or folder cannot be written: no permission, no space."""


def nearest(name: str, known: Iterable[str], what: str = "known") -> str:
    """A hint naming the known names closest to `name`, or all of them when they are few.

    Args:
        name: the unknown name.
        known: the names that exist.
        what: what to call them.

    Returns:
        Text for the `fix` of an error.

    Example:
        >>> "resnet18" in nearest("resnet81", ["resnet18", "vgg16"])
        True
    """
    known = sorted(known)
    return did_you_mean(name, known) or f"{what}: " + ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint naming the known names closest to `name`, for errors that list all names themselves; None: none is.

    Args:
        name: the unknown name.
        known: the names that exist.

    Returns:
        Text for the `fix` of an error, or None.
    """
    close = close_names(name, known)
    return f"did you mean {' or '.join(close)}?" if close else None
