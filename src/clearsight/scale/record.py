"""What is known of an output folder: how its parts are made, and which are complete.

    _manifest.json      model, data, options, columns; and the totals once all parts are there
    _parts.jsonl        a line for each complete part: rows, errors, digest of its names and of the file
    part-000000.parquet ...

Names with an underscore are passed over by pandas, Spark and others that read the folder as one table.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from clearsight.bundle import Bundle
from clearsight.disk import disk_errors, write_json
from clearsight.errors import ConfigError, DataError, OutputError
from clearsight.json_values import from_json
from clearsight.scale.part_files import FORMATS
from clearsight.scale.spans import PartEnd

MANIFEST, PARTS = "_manifest.json", "_parts.jsonl"
VERSION = 1
"""Of the manifest."""


@dataclass(frozen=True)
class Part:
    """A complete part. errors: rows of images that could not be read. names: digest of the names. digest: of the
    file.
    """

    number: int
    rows: int
    errors: int
    names: str
    digest: str


@dataclass
class Record:
    """The record of an output folder, which is open for one process only.

    about: what decides about the rows, such as the model and the options; equal for all that write this folder. listed:
    number of complete parts whose images the data has listed.
    """

    folder: Path
    format: str
    about: dict[str, Any]
    parts: dict[int, Part] = field(default_factory=dict)
    cursor: int = 0
    listed: int = 0

    def missing(self) -> int:
        """The next part to write.

        Returns:
            The lowest number of a part that is not complete.
        """
        while self.cursor in self.parts:
            self.cursor += 1
        return self.cursor

    def path(self, number: int) -> Path:
        """The file of a part.

        Args:
            number: of the part.

        Returns:
            Its path.
        """
        return self.folder / f"part-{number:06d}{FORMATS[self.format]}"

    def check(self, end: PartEnd) -> None:
        """Require that a complete part has the images that the data lists now.

        Args:
            end: of the part, as the data has it.

        Raises:
            DataError: it has others.
        """
        self.listed += 1
        if (end.images, end.names) != (self.parts[end.number].rows, self.parts[end.number].names):
            raise self._changed(end.number)

    def _changed(self, number: int) -> DataError:
        return DataError(
            f"the data is not the one whose results are in {self.folder}",
            found=f"other images in part {number}: images were added, removed or renamed",
            fix="restore the data, or choose another --out",
        )

    def add(self, end: PartEnd, errors: int, stream: TextIO) -> None:
        """Record that a part is complete.

        Args:
            end: of the part.
            errors: rows of images that could not be read.
            stream: what `opened` gave.
        """
        part = Part(end.number, end.images, errors, end.names, _digest(self.path(end.number)))
        with disk_errors(self.folder, "the results", "free some space, then repeat the command with --resume"):
            stream.write(json.dumps(asdict(part)) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self.parts[end.number] = part
        self.listed += 1

    def finish(self) -> None:
        """Write the totals into the manifest.

        Raises:
            DataError: the data no longer lists the images of some part.
        """
        if self.listed < len(self.parts):
            raise self._changed(max(self.parts))
        self._write({"parts": len(self.parts), "rows": self.rows, "errors": self.errors})

    @property
    def rows(self) -> int:
        """Number of rows.

        Returns:
            Of all complete parts.
        """
        return sum(part.rows for part in self.parts.values())

    @property
    def errors(self) -> int:
        """Number of images that could not be read.

        Returns:
            Of all complete parts.
        """
        return sum(part.errors for part in self.parts.values())

    def _write(self, totals: dict[str, int] | None = None) -> None:
        write_json(
            self.folder / MANIFEST, {"version": VERSION, "format": self.format, **self.about, "complete": totals}
        )

    @contextlib.contextmanager
    def opened(self, resume: bool) -> Iterator[TextIO]:
        """Open the folder for writing, and read what is complete.

        Args:
            resume: go on with what is there.

        Yields:
            A stream for `add`.

        Raises:
            OutputError: the folder holds results and `resume` is not asked for, another process writes it, or a file
                was changed.
            ConfigError: what is there was made with other options, or by another model.
        """
        with disk_errors(self.folder, "the results", "choose another --out"):
            self.folder.mkdir(parents=True, exist_ok=True)
            began = (self.folder / MANIFEST).exists()
            if not resume and any(self.folder.iterdir()):
                raise OutputError(
                    f"{self.folder} is not empty", found="results of an earlier run" if began else "other files",
                    fix="add --resume to continue, or choose another --out" if began else "choose another --out",
                )  # fmt: skip
            if not began and list(self.folder.glob("part-*")):
                raise OutputError(
                    f"{self.folder} contains parts of an unknown run", found=f"no {MANIFEST}",
                    fix="choose another --out",
                )  # fmt: skip
            stream = (self.folder / PARTS).open("a+")
        with stream:
            self._lock(stream)
            if began:
                self._compare()
                self._read(stream)
            else:
                self._write()
            for partial in self.folder.glob("part-*.partial"):
                partial.unlink()
            yield stream

    def _lock(self, stream: TextIO) -> None:
        try:
            import fcntl
        except ImportError:  # not on Windows
            return
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if not isinstance(error, BlockingIOError):  # a file system without locks
                return
            raise OutputError(
                f"another process writes to {self.folder}", fix="wait until it ends, or choose another --out"
            ) from error

    def _compare(self) -> None:
        """Require that what is there was made in the same way."""
        try:
            there = from_json((self.folder / MANIFEST).read_text())
            before = {key: there[key] for key in self.about}
            version, format = there["version"], there["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OutputError(
                f"{self.folder / MANIFEST} is damaged", found=str(error)[:120], fix="choose another --out"
            ) from error
        now = json.loads(json.dumps({"version": VERSION, "format": self.format, **self.about}))
        differ = [key for key, value in {"version": version, "format": format, **before}.items() if value != now[key]]
        if "model" in differ:
            raise ConfigError(
                f"the results in {self.folder} were made by a different model",
                found=f"model {before['model'][:12]}, not {now['model'][:12]}",
                fix="use that model, or choose another --out",
            )
        if differ:
            was = {"version": version, "format": format, **before}
            raise ConfigError(
                "options differ from those of the run to resume",
                found="; ".join(f"{key} is {now[key]!r}, was {was[key]!r}" for key in differ)[:400],
                fix="repeat the command with the same options, or choose another --out",
            )

    def _read(self, stream: TextIO) -> None:
        """Read which parts are complete; one whose file is gone is computed again."""
        stream.seek(0)
        whole, known = 0, {}
        for line in stream:
            try:
                if not line.endswith("\n"):
                    raise ValueError(line)
                part = Part(**from_json(line))
            except (ValueError, TypeError):  # the process ended while it wrote
                break
            whole += len(line.encode())
            known[part.number] = part  # the last one counts: a part may have been written again
        for part in known.values():
            path = self.path(part.number)
            if path.exists() and _digest(path) != part.digest:
                raise OutputError(f"{path} was changed after it was written", fix="delete it: --resume writes it again")
            if path.exists():
                self.parts[part.number] = part
        stream.truncate(whole)


def model_digest(bundle: Bundle) -> str:
    """A digest of everything in a model that decides about its predictions.

    Args:
        bundle: the model.

    Returns:
        Hexadecimal digits.
    """
    card = {key: value for key, value in bundle.card().items() if key not in ("scores", "versions", "data")}
    digest = hashlib.blake2b(json.dumps(card, sort_keys=True, default=str).encode(), digest_size=16)
    tensors = {name: value.detach().cpu().contiguous().numpy() for name, value in bundle.network.state_dict().items()}
    if bundle.ood_detector:
        tensors |= {f"ood {name}": value for name, value in bundle.ood_detector.to_arrays().items()}
    for name, array in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
