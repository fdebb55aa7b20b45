"""Download a model from the Hub into the cache; a state that was downloaded once is used without a network."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from clearsight.bundle.description import ON_HUB
from clearsight.console import current_console
from clearsight.data.cache import entry
from clearsight.environment import is_offline
from clearsight.errors import BundleError
from clearsight.hub.names import HubName

KIND = "hub"
"""Of the cache's entries."""

FILES = (ON_HUB.card, ON_HUB.weights, "ood.safetensors", "split.csv", "README.md")
"""Files of a repository that are downloaded."""


def downloaded(name: HubName) -> Path:
    """The folder of a model of the Hub.

    Args:
        name: the repository, with the revision to use; without one it is that of the branch main.

    Returns:
        A folder in the cache.

    Raises:
        BundleError: there is no such model, or the Hub cannot be reached and this state is not in the cache.
    """
    from huggingface_hub import constants, snapshot_download

    local = is_offline() or not _reachable(constants.ENDPOINT)
    try:
        snapshot = Path(
            snapshot_download(
                name.repository, revision=name.revision, allow_patterns=list(FILES), local_files_only=local,
                tqdm_class=_no_bar(), endpoint=constants.ENDPOINT, cache_dir=constants.HF_HUB_CACHE,
            )
        )  # fmt: skip
    except Exception as error:  # the hub's client raises errors of several libraries
        raise _not_there(name, constants.ENDPOINT, local, error) from error
    commit = snapshot.name
    if not (snapshot / ON_HUB.card).is_file() or not (snapshot / ON_HUB.weights).is_file():
        found = sorted(path.name for path in snapshot.iterdir())
        raise BundleError(
            f"{name.repository} on the Hub is not a model of Clearsight",
            found=f"without {' and '.join(f for f in FILES[:2] if f not in found)}",
            expected="a repository written by `clearsight push`",
        )

    def build(folder: Path) -> None:
        place = folder / name.short
        place.mkdir()
        for file in FILES:
            if (snapshot / file).is_file():
                _link((snapshot / file).resolve(), place / file)

    key = hashlib.blake2b(f"{constants.ENDPOINT} {name.repository} {commit}".encode(), digest_size=32).hexdigest()
    folder = entry(KIND, key, build) / name.short
    if name.revision != commit:
        current_console().say(f"model: {name.repository} at revision {commit}; {name.repository}@{commit} pins it")
    return folder


def _link(source: Path, target: Path) -> None:
    """A second name for a file, which takes no space, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _reachable(endpoint: str) -> bool:
    """Whether the host has an address; the hub's client would try for a minute."""
    host = urlsplit(endpoint).hostname
    if not host or getproxies():
        return True
    with contextlib.suppress(OSError):
        socket.getaddrinfo(host, None)
        return True
    return False


def _no_bar() -> Any:
    """A progress bar that draws nothing."""
    from tqdm.auto import tqdm

    class Hidden(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})

    return Hidden


def _not_there(name: HubName, endpoint: str, local: bool, error: Exception) -> BundleError:
    where = f"{name.repository}" + (f" at revision {name.revision}" if name.revision else "")
    if local:
        why = "offline mode is on" if is_offline() else f"{endpoint} cannot be reached"
        return BundleError(
            f"{where} is neither a folder nor a downloaded model of the Hub", found=why,
            fix="check the path, or download the model once while there is a network",
        )  # fmt: skip
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return BundleError(
        f"{where} is neither a folder nor a model that can be read on the Hub", found=reason,
        fix="check the name and the revision; for a private model, log in with `hf auth login`",
    )  # fmt: skip
