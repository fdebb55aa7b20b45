"""The files that a table names, as tables do: relative or absolute, with the separators of another system, in another
case, without their suffix, or as addresses of this machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from clearsight.data.decode import EXTENSIONS
from clearsight.errors import DataError
from clearsight.wording import count

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def located(texts: Sequence[str], root: Path, origin: str) -> tuple[list[Path], list[str]]:
    """The files that texts name, relative to a folder, and what to say of those found by another spelling.

    Raises:
        DataError: some are addresses of other machines, or do not exist.
    """
    elsewhere = [t for t in texts if ADDRESS.match(t) and not t.lower().startswith("file://")]
    if elsewhere:
        raise DataError(
            f"{origin} lists {len(elsewhere)} of {count(len(texts), 'image')} as URLs",
            found=elsewhere[0][:200],
            expected="files on this machine",
            fix="download them, and list the local files in the table",
        )
    spelled = _Spelled()
    paths, other, missing = [], [], []
    for text in texts:
        path = _named(text, root)
        if not os.path.isfile(path):  # noqa: PTH113 - False for names too long, where pathlib raises
            found = spelled.file(_named(text.replace("\\", "/"), root), root)
            if found is None:
                missing.append(path)
            else:
                path = found
                other.append((text, path))
        paths.append(path)
    if missing:
        raise DataError(
            f"{len(missing)} of {count(len(paths), 'image')} listed in {origin} cannot be found",
            found="no file at " + ", ".join(str(p)[:200] for p in missing[:3]) + (", ..." if len(missing) > 3 else ""),
            expected=f"paths relative to {root.resolve()}, or absolute paths",
        )
    if not other:
        return paths, []
    text, path = other[0]
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return paths, [
        f"{count(len(other), 'image')} found under a different spelling of the path, such as {shown} for {text}"
    ]


def _named(text: str, root: Path) -> Path:
    """The path that a text names."""
    if text.lower().startswith("file://"):
        return Path(unquote(urlsplit(text).path))
    path = Path(os.path.expanduser(text))  # noqa: PTH111 - leaves ~unknown as it is, where pathlib raises
    return path if path.is_absolute() else root / path


class _Spelled:
    """Finds files whose names differ from those asked for in case or by a missing suffix; folders are listed once."""

    def __init__(self) -> None:
        self._listed = cache(self._list)

    def file(self, path: Path, root: Path) -> Path | None:
        """The one file that a path can mean; None where there is none, or several."""
        try:
            inner = path.relative_to(root)
        except ValueError:
            root, inner = Path(path.anchor), path.relative_to(path.anchor)
        place = root
        for part in inner.parts[:-1]:
            exact = place / part
            if part == ".." or os.path.isdir(exact):  # noqa: PTH112 - False for names too long
                place = exact
                continue
            alike = [name for name in self._listed(place).get(part.lower(), ()) if (place / name).is_dir()]
            if len(alike) != 1:
                return None
            place = place / alike[0]
        last = inner.name.lower()
        names = self._listed(place)
        alike = [name for name in names.get(last, ()) if (place / name).is_file()]
        if not alike:
            alike = [n for suffix in EXTENSIONS for n in names.get(last + suffix, ()) if (place / n).is_file()]
        return place / alike[0] if len(alike) == 1 else None

    @staticmethod
    def _list(folder: Path) -> dict[str, list[str]]:
        """The names in a folder by their lower case."""
        found: dict[str, list[str]] = {}
        try:
            for name in os.listdir(folder):  # noqa: PTH208
                found.setdefault(name.lower(), []).append(name)
        except (OSError, ValueError):
            pass
        return found
