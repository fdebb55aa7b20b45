"""Standard output and standard error that may be closed, full, or a terminal that must not be controlled by names.

Names of classes and files can hold any character. On standard output, control characters are written as \\x1b, so that
no name moves the cursor or clears the screen. Messages on standard error are lost where it cannot be written; a
training does not end for that.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from clearsight.wording import visible


class StreamError(OSError):
    """Standard output cannot be written. broken: its reader has gone, as with `| head`."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.errno, error.strerror)
        self.broken = isinstance(error, BrokenPipeError)


class _Stream:
    """A stream with other `write` and `flush`."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Output(_Stream):
    def write(self, text: str) -> int:
        try:
            return int(self._stream.write(visible(text, lines=True)))
        except OSError as error:
            raise StreamError(error) from error

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise StreamError(error) from error


class _Messages(_Stream):
    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def open_standard_streams() -> None:
    """Connect closed standard streams to the null device: a file opened later must not become standard output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115, PTH123 - for as long as the process runs


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Context manager: standard output escapes control characters and raises StreamError; standard error never fails.

    Yields:
        Nothing; the streams are as before when the block ends.
    """
    before = sys.stdout, sys.stderr
    for stream in before:  # what the terminal's encoding lacks is written as \\u732b, not refused
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = _Output(before[0]), _Messages(before[1])
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            before[1].flush()
        sys.stdout, sys.stderr = before


def discard_output() -> None:
    """Connect standard output to the null device, so that Python does not fail to write it once more at its end."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: a stream without a number
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
