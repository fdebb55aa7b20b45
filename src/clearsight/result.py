"""What every verb returns: one object that prints, plots, saves and shows itself in a notebook.

A result holds numbers. How it looks is known to `report`, a layer above, which is loaded by name at the first page or
figure, as pandas loads its plotting backends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from clearsight.disk import disk_errors
from clearsight.errors import OutputError

DISPLAY = "clearsight.report.display"
"""The module that has a renderer for every type of result, unless the type names another."""

SCREEN = 40
"""Lines of a result that `repr` shows at most."""


class Result(ABC):
    """The result of a verb. Subclasses are frozen dataclasses with `repr=False`, and keep no file open.

    Example:
        >>> found = cs.attack("runs/digits", images=8, steps=2)
        >>> folder = found.save("attacked/")
    """

    display: ClassVar[str] = DISPLAY
    """The module whose `renderer` knows how this type is written and shown."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain values for JSON, without pixels.

        Returns:
            Plain values for JSON.
        """

    @abstractmethod
    def text(self) -> str:
        """The result as plain text, as printed by the command line.

        Returns:
            Text of one or several lines.
        """

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the page, the pictures and the numbers.

        Args:
            folder: where to write; it is made if it does not exist.
            overwrite: replace the files of an earlier result.

        Returns:
            The page; the folder where there is no page.

        Raises:
            OutputError: a file of an earlier result is there, or the disk refuses.
        """
        place, renderer = Path(folder).expanduser(), _renderer(self)
        if not overwrite:
            refuse_existing(place, renderer.files())
        with disk_errors(place, "the result", "free some space or choose another --out"):
            place.mkdir(parents=True, exist_ok=True)
            return Path(renderer.write(place))

    def plot(self) -> Any:
        """A matplotlib figure, or a PIL image if the result consists of pictures.

        Returns:
            A matplotlib figure or a PIL image.
        """
        return _renderer(self).figure()

    def __repr__(self) -> str:
        lines = self.text().rstrip("\n").split("\n")
        if len(lines) > SCREEN:
            lines = [
                *lines[: SCREEN - 1],
                f"... {len(lines) - SCREEN + 1} more lines; print(result.text()) shows all of them",
            ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The notebook display: a fragment of HTML that loads nothing and runs no script, for light and dark pages."""
        return str(_renderer(self).fragment())


def refuse_existing(folder: str | Path, names: Iterable[str], allow: str = "pass overwrite=True to `save`") -> None:
    """Raise OutputError that names the first of these files that is in the folder.

    Args:
        folder: folder to write.
        names: names of the files to write.
        allow: how to have it replaced.

    Raises:
        OutputError: one of the files exists.
    """
    place = Path(folder).expanduser()
    for name in names:
        if (place / name).exists():
            raise OutputError(
                f"{place / name} already exists",
                fix=f"choose a different folder, or {allow}",
            )


def _renderer(result: Result) -> Any:
    return import_module(result.display).renderer(result)
