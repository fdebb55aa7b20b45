"""Folders in the cache for results that nobody asked to keep: each is removed with the last object that uses it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import weakref
from pathlib import Path
from typing import IO

from clearsight.data.cache import cache_root
from clearsight.disk import disk_errors

FIX = "free some space, set CLEARSIGHT_CACHE to a folder with enough free space, or pass an output folder with out="


class TemporaryFolder:
    """A folder that exists as long as this object, and at most as long as the process.

    A lock beside the folder is held meanwhile. What a killed process left behind is nobody's, and is removed when the
    next folder is made. Pickles and other processes know the folder's path alone and never remove it.
    """

    def __init__(self) -> None:
        home = cache_root() / "temporary"
        with disk_errors(home, "the run", FIX):
            home.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(home)
            name, lock = _locked_name(home)
            self.path = home / name
            self._finalizer = weakref.finalize(self, _remove, self.path, lock, os.getpid())
            self.path.mkdir()

    def remove(self) -> None:
        """Remove the folder now."""
        self._finalizer()

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()


def _locked_name(home: Path) -> tuple[str, IO[bytes]]:
    """A new name, and its lock, held. Another process may take a lock for abandoned before it is held."""
    while True:
        name = secrets.token_hex(8)
        path = home / f"{name}.lock"
        stream = path.open("xb")
        if not _can_lock(stream):
            stream.close()
        elif path.exists():
            return name, stream


def _remove_abandoned(home: Path) -> None:
    """Remove the folders whose locks nobody holds."""
    for path in home.glob("*.lock"):
        with contextlib.suppress(OSError), path.open("rb+") as stream:  # which another process may be removing
            if _can_lock(stream):
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                path.unlink(missing_ok=True)


def _remove(folder: Path, lock: IO[bytes], owner: int) -> None:
    if os.getpid() != owner:  # a fork of the process
        return
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        if os.name == "nt":  # which removes no open file
            lock.close()
        folder.with_suffix(".lock").unlink(missing_ok=True)
        lock.close()


def _can_lock(stream: IO[bytes]) -> bool:
    """Hold the lock of a file; False where another process holds it, or its disk knows no locks."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
