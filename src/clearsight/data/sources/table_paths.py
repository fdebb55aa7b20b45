"""The files that a table names, as tables do: relative or absolute, with the separators of another system, in another
case, without their suffix, or as URLs, whose files are downloaded once.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import quote

from clearsight.data.dataset import Files
from clearsight.data.decode import EXTENSIONS
from clearsight.data.sources.remote import file_path, images, is_url, without_query
from clearsight.data.targets import class_name
from clearsight.errors import DataError
from clearsight.wording import count

FAILED = 0.5
"""Share of the images at URLs that may fail to be downloaded; more are no matter of single images."""


@dataclass(frozen=True)
class Located:
    """The files that texts name.

    paths (N,): their places. keys (N,): equal for texts that name one file. names (N,): what to call them, where some
    are downloads. failed: why, by position, of those that cannot be downloaded. notes: on those found by another
    spelling.
    """

    paths: tuple[Path, ...]
    keys: tuple[Path | str, ...]
    root: Path
    names: tuple[str, ...] | None = None
    failed: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def source(self, rows: Sequence[int]) -> Files:
        """Some of the images."""
        called = None if self.names is None else tuple(self.names[i] for i in rows)
        return Files(tuple(self.paths[i] for i in rows), self.root, called)

    def losses(self) -> tuple[str, ...]:
        """What to say of images that cannot be downloaded."""
        if not self.failed:
            return ()
        return (f"left out {count(len(self.failed), 'image')} that could not be downloaded: "
                f"{next(iter(self.failed.values()))}",)  # fmt: skip


def located(texts: Sequence[str], root: Path, origin: str, base: str = "") -> Located:
    """The files that texts name, relative to a folder, or to the URL `base`; those at URLs are downloaded.

    Raises:
        DataError: some do not exist, or most cannot be downloaded.
    """
    texts = [below(base, text) for text in texts] if base else texts
    remote = [i for i, text in enumerate(texts) if is_url(text)]
    if remote:
        return _with_downloads(texts, remote, root, origin)
    paths, notes = _local(texts, root, origin)
    return Located(tuple(paths), tuple(paths), root, notes=tuple(notes))


def at_url(text: str, base: str) -> bool:
    """Whether a text names an image that can be downloaded, or one at no URL. base: URL that it is relative to."""
    place = below(base, text)
    return not is_url(place) or isinstance(images([place])[0], Path)


def below(base: str, text: str) -> str:
    """A text as a URL, where it is a path relative to one."""
    if is_url(text) or file_path(text) is not None or Path(text).is_absolute():
        return text
    return base.rstrip("/") + "/" + quote(text.replace("\\", "/").removeprefix("./"), safe="/%")


def _with_downloads(texts: Sequence[str], remote: Sequence[int], root: Path, origin: str) -> Located:
    here = [i for i in range(len(texts)) if not is_url(texts[i])]
    paths, notes = _local([texts[i] for i in here], root, origin)
    places = dict(zip(here, paths, strict=True))
    failed: dict[int, str] = {}
    urls = list(dict.fromkeys(texts[i] for i in remote))
    found = dict(zip(urls, images(urls), strict=True))
    for i in remote:
        got = found[texts[i]]
        if isinstance(got, str):
            failed[i] = f"{without_query(texts[i])}: {got}"
        places[i] = root / "missing" if isinstance(got, str) else got
    if len(failed) > FAILED * len(remote):
        raise DataError(
            f"{len(failed)} of {count(len(remote), 'image')} listed in {origin} cannot be downloaded",
            found=next(iter(failed.values())), fix="check the URLs, the network and the credentials",
        )  # fmt: skip
    keys = tuple(text if is_url(text) else places[i] for i, text in enumerate(texts))
    names = tuple(_shown(key, root) if isinstance(key, Path) else key for key in keys)
    downloads = f"{count(len(remote) - len(failed), 'image')} downloaded to the cache"
    ordered = tuple(places[i] for i in range(len(texts)))
    return Located(ordered, keys, root, _without_queries(names), failed, (*notes, downloads))


def _without_queries(names: Sequence[str]) -> tuple[str, ...]:
    """URLs without their queries, which may be secrets, where that leaves different names."""
    short = [without_query(name) if is_url(name) else name for name in names]
    shared = Counter(one for one, _ in set(zip(short, names, strict=True)))
    return tuple(one if shared[one] == 1 else name for one, name in zip(short, names, strict=True))


def _shown(path: Path, root: Path) -> str:
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _local(texts: Sequence[str], root: Path, origin: str) -> tuple[list[Path], list[str]]:
    """The files that texts name, relative to a folder, and what to say of those found by another spelling.

    Raises:
        DataError: some do not exist.
    """
    spelled = Spelled()
    paths, other, missing = [], [], []
    for text in texts:
        path = named_path(text, root)
        if not os.path.isfile(path):  # noqa: PTH113 - False for names too long, where pathlib raises
            found = spelled.file(named_path(text.replace("\\", "/"), root), root)
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


def named_path(text: str, root: Path) -> Path:
    """The path that a text names."""
    if (place := file_path(text)) is not None:
        return place
    path = Path(os.path.expanduser(text))  # noqa: PTH111 - leaves ~unknown as it is, where pathlib raises
    return path if path.is_absolute() else root / path


class Spelled:
    """Finds files whose names differ from those asked for in case, Unicode form or by a missing suffix; folders are
    listed once.
    """

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
            alike = [name for name in self._listed(place).get(_alike(part), ()) if (place / name).is_dir()]
            if len(alike) != 1:
                return None
            place = place / alike[0]
        last = _alike(inner.name)
        names = self._listed(place)
        alike = [name for name in names.get(last, ()) if (place / name).is_file()]
        if not alike:
            alike = [n for suffix in EXTENSIONS for n in names.get(last + suffix, ()) if (place / n).is_file()]
        return place / alike[0] if len(alike) == 1 else None

    @staticmethod
    def _list(folder: Path) -> dict[str, list[str]]:
        """The names in a folder by what is alike in their spellings."""
        found: dict[str, list[str]] = {}
        try:
            for name in os.listdir(folder):  # noqa: PTH208
                found.setdefault(_alike(name), []).append(name)
        except (OSError, ValueError):
            pass
        return found


def _alike(name: str) -> str:
    """A name without its case, with composed letters: macOS and others write `é` as two characters."""
    return class_name(name).lower()
