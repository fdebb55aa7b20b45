"""Data sets and images at URLs, downloaded into the cache through fsspec, each once.

A file of data is downloaded again when its size, time or tag on the server changes. An image that a table names is
downloaded once for its URL.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from clearsight.console import current_console
from clearsight.data.cache import cache_limit, entry, is_cached, threaded
from clearsight.data.sources.archive import member_path
from clearsight.environment import require_online
from clearsight.errors import DataError

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
KIND = "downloads"
"""Of the cache's entries."""

LARGEST_IMAGE = 1 << 30
"""Bytes of a single image that are downloaded at most."""

CHUNK = 1 << 20
CONNECTIONS = 16
LARGE = 10 << 20
"""Bytes from which the progress of a download is in megabytes."""

SECONDS = 30
"""Without an answer, after which a server is given up."""


def is_url(text: str) -> bool:
    """Whether a text is a URL of another machine: `file://` is a path of this one."""
    return bool(URL.match(text)) and not text.lower().startswith("file:")


def file_path(text: str) -> Path | None:
    """The path that a file:// URL means; None for other texts. DataError for a file of another machine."""
    if not text.lower().startswith("file://"):
        return None
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        raise DataError(
            f"{text} is a file on another machine", found=parts.netloc, expected="file:///PATH",
            fix="mount the folder, and pass its path",
        )  # fmt: skip
    return Path(url2pathname(parts.path))


def downloaded(url: str) -> Path:
    """A file or folder at a URL, in the cache.

    Args:
        url: of any protocol that fsspec knows: http, https, s3, gs, memory, ...

    Returns:
        The path in the cache, whose last part is that of the URL.

    Raises:
        DataError: nothing is there, or it cannot be reached.
        OutputError: the cache cannot be written.
    """
    system, path = opened_url(url)
    name = _last(url)
    try:
        about = system.info(path)
        files = [path] if about.get("type") != "directory" else system.find(path)
        facts = [system.info(one) for one in files]
    except Exception as error:  # of any protocol's library
        raise unreachable(url, error) from error
    if not files:
        raise DataError(f"there is nothing at {url}", found="an empty folder")
    state = sorted(f"{f.get('name')} {f.get('size')} {_version(f)}" for f in facts)
    size = sum(int(f.get("size") or 0) for f in facts)
    if size > cache_limit():
        raise DataError(
            f"the data at {url} is too large for the cache", found=f"{size / 1e9:.1f} GB",
            fix="set CLEARSIGHT_CACHE_GB to a larger number, or download it and pass the path",
        )  # fmt: skip

    def build(folder: Path) -> None:
        place = folder / "content"
        place.mkdir()
        total, progress = 0, _Progress(name, size)
        for one in files:
            inner = name if one == path or about.get("type") != "directory" else _below(url, path, one, name)
            target = place / inner
            target.parent.mkdir(parents=True, exist_ok=True)
            total += _fetch(system, one, target, cache_limit(), url, partial(progress.at, total))
        progress.finish(total)
        (folder / "size").write_text(str(total))

    return entry(KIND, _key("\n".join([url, *state])), build, size) / "content" / name


def images(urls: Sequence[str]) -> list[Path | str]:
    """Images at URLs, in the cache.

    Args:
        urls: of the images.

    Returns:
        The path of each image, or why it cannot be downloaded.
    """

    def one(url: str) -> Path | str:
        def build(folder: Path) -> None:
            system, path = opened_url(url)
            _fetch(system, path, folder / name, LARGEST_IMAGE, url)

        name = "image" + PurePosixPath(_last(url)).suffix[:12]
        try:
            return entry(KIND, _key(url), build) / name
        except DataError as error:
            return str(error.found)

    if len(urls) < 2 or all(is_cached(KIND, _key(url)) for url in urls):
        return list(threaded(one, urls, CONNECTIONS))
    found, advance = [], current_console().stage("downloading images")
    for image in threaded(one, urls, CONNECTIONS):
        found.append(image)
        advance(len(found), len(urls))
    return found


def opened_url(url: str) -> tuple[Any, str]:
    """The file system of a URL, and its path there."""
    require_online(f"opening {url}", "download it on a machine with internet access, and pass its path")
    try:
        import fsspec

        options = {}
        if url.lower().startswith(("http:", "https:")):
            import aiohttp

            timeout = aiohttp.ClientTimeout(None, sock_connect=SECONDS, sock_read=SECONDS)
            options = {"client_kwargs": {"timeout": timeout}}
        system, path = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        raise DataError(
            f"{url} cannot be opened", found=str(error)[:160],
            fix="install the extra with `pip install 'clearsight[remote]'`, or the library that the message names",
        ) from error  # fmt: skip
    except Exception as error:  # unknown protocols, missing credentials
        raise unreachable(url, error) from error
    return system, path


class _Progress:
    """The bar of a download in kilobytes or megabytes; one of unknown size, 0, shows none until it is finished."""

    def __init__(self, name: str, size: int) -> None:
        self.step, unit = (1 << 20, "MB") if size > LARGE else (1 << 10, "kB")
        self.size, self.advance = size, current_console().stage(f"downloading {name}", unit)

    def at(self, before: int, more: int) -> None:
        """Show that so many bytes are here, of files before and of this one."""
        if (done := before + more) < self.size:
            self.advance(done // self.step, math.ceil(self.size / self.step))

    def finish(self, total: int) -> None:
        """Show that all bytes are here."""
        whole = math.ceil(total / self.step)
        self.advance(whole, whole)


def _fetch(
    system: Any, path: str, target: Path, most: int, url: str, received: Callable[[int], None] = lambda _: None
) -> int:
    """Copy a file into the cache; its size. received: called with the bytes that are there."""
    try:
        source: IO[bytes] = system.open(path, "rb")
    except Exception as error:  # of any protocol's library
        raise unreachable(url, error) from error
    total = 0
    with source, target.open("wb") as output:
        while chunk := _read(source, url):
            output.write(chunk)
            total += len(chunk)
            received(total)
            if total > most:
                raise DataError(f"the file at {url} is too large", found=f"more than {most / 1e9:.1f} GB")
    return total


def _read(source: IO[bytes], url: str) -> bytes:
    try:
        return source.read(CHUNK)
    except Exception as error:  # of any protocol's library
        raise unreachable(url, error) from error


def _below(url: str, folder: str, file: str, name: str) -> str:
    """The path of a file of a folder at a URL in the cache."""
    inner = member_path(file.removeprefix(folder).lstrip("/")) if file.startswith(folder) else None
    if inner is None:
        raise DataError(f"a file at {url} has a path that leads out of it", found=file[:160])
    return f"{name}/{inner}"


def _last(url: str) -> str:
    """The last part of a URL's path, as a name of a file."""
    name = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2]) or urlsplit(url).netloc
    return re.sub(r"[^\w.\- ]", "_", name)[-100:].lstrip(".") or "data"


def _version(about: dict[str, Any]) -> str:
    """What a server says of the version of a file."""
    known = ("ETag", "etag", "mtime", "last_modified", "LastModified", "Last-Modified", "created", "md5Hash", "updated")
    return " ".join(str(about[name]) for name in known if name in about)


def _key(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def without_query(url: str) -> str:
    """A URL without its query, which may be a secret."""
    return url.partition("?")[0]


def unreachable(url: str, error: Exception) -> DataError:
    cause = error.__cause__ if isinstance(error, FileNotFoundError) else error
    found = "nothing there" if cause is None else str(cause).replace(url, without_query(url))[:160]
    if status := getattr(cause, "status", None):
        found = f"HTTP {status} {getattr(cause, 'message', '')}".strip()
    return DataError(
        f"{without_query(url)} cannot be read", found=found or type(cause).__name__,
        fix="check the URL, the network and the credentials",
    )  # fmt: skip
