"""A training run's state on disk: written whole or not at all, read back with nothing executed."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from clearsight.disk import disk_errors, read_within, whole_file
from clearsight.errors import CheckpointError

SHARE = 0.05
"""Part of the time that saving may take: a network that takes long to save is saved less often."""


DIGEST = 16
"""Bytes at the start of the file: the digest of the rest."""


class Checkpoint:
    """The state of one training in one file.

    fingerprint: names the data, network and options; a state saved under another is refused. every: least seconds
    between two saves; 0 saves after every step. Only a process with `writes` saves.
    """

    def __init__(self, path: Path, fingerprint: str, *, every: float = 5.0, writes: bool = True) -> None:
        self.path, self.fingerprint, self.every, self.writes = path, fingerprint, every, writes
        self._next = time.monotonic() + every

    def due(self) -> bool:
        """Whether it is time to save."""
        return self.writes and time.monotonic() >= self._next

    def save(self, **state: Any) -> None:
        """Write to a file beside, flush it to the disk, then put it in place: the last good one is never lost."""
        began = time.monotonic()
        with disk_errors(
            self.path, "the checkpoint", "free some disk space, then continue from the last checkpoint with --resume"
        ):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            buffer = io.BytesIO()
            torch.save({"fingerprint": self.fingerprint, "state": state}, buffer)
            content = buffer.getbuffer()
            with whole_file(self.path) as stream:
                stream.write(_digest(content))
                stream.write(content)
        now = time.monotonic()
        self._next = now + max(self.every, (now - began) / SHARE)

    def restore(self, parts: Mapping[str, Any]) -> dict[str, Any] | None:
        """Load the saved state into its parts.

        Returns:
            The saved state, or None where nothing was saved; errors as from `load`.
        """
        saved = self.load()
        if saved is not None:
            for name, part in parts.items():
                part.load_state_dict(saved[name])
        return saved

    def load(self) -> dict[str, Any] | None:
        """The saved state, or None where nothing was saved. CheckpointError when it is damaged or of another run."""
        if not self.path.is_file():
            return None
        content = read_within(self.path.parent, self.path.name)
        try:
            if content[:DIGEST] != _digest(memoryview(content)[DIGEST:]):
                raise ValueError("the digest of the file does not match its content")
            found = torch.load(io.BytesIO(content[DIGEST:]), map_location="cpu", weights_only=True)
            fingerprint, state = found["fingerprint"], found["state"]
        except Exception as error:  # torch raises errors of many kinds for a damaged file
            raise CheckpointError(
                f"{self.path} cannot be read",
                found=f"a damaged or truncated file of {self.path.stat().st_size:,} bytes",
                fix="delete it to restart training, or restore it from a backup",
            ) from error
        if fingerprint != self.fingerprint:
            raise CheckpointError(
                f"{self.path} was written by a run with different data, a different network or different options",
                fix="use the options in the config.json of that run, or choose a different folder with --out",
            )
        return dict(state)


def _digest(content: memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST).digest()
