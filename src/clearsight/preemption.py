"""A job that a scheduler ends: it saves its state and asks to be started again.

Schedulers send SIGTERM, or SIGUSR1 some time before the end, and start the job again with the same command. `train`
then saves a checkpoint at the end of the step and exits with `REQUEUE`; with --resume it goes on from there.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

REQUEUE = 75
"""Exit code that asks to be started again: EX_TEMPFAIL of sysexits.h."""

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""Signals that end a job; Windows has no SIGUSR1."""


class Preempted(BaseException):
    """A scheduler ends the process; no error, so nothing but the command line catches it."""


_requested = False
_deferred = 0


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Inside the block a signal ends the process as described above."""
    global _requested
    _requested = False
    before = {}
    if threading.current_thread() is threading.main_thread():  # where alone signals can be handled
        before = {number: signal.signal(number, _handle) for number in SIGNALS}
    try:
        yield
    finally:
        _requested = False  # it was for this block alone
        for number, handler in before.items():
            signal.signal(number, handler)


def _handle(number: int, frame: FrameType | None) -> None:
    global _requested
    _requested = True
    if not _deferred:
        raise Preempted


@contextlib.contextmanager
def interrupts_noted(found: list[int]) -> Iterator[None]:
    """Inside the block Ctrl-C raises KeyboardInterrupt, and `found` says that it did: an extension module that is being
    imported turns the exception into another one.
    """

    def note(number: int, frame: FrameType | None) -> None:
        found.append(number)
        raise KeyboardInterrupt

    usual = threading.current_thread() is threading.main_thread()
    usual = usual and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if usual:
        signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        if usual and signal.getsignal(signal.SIGINT) is note:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def requested() -> bool:
    """Whether a signal has come."""
    return _requested


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Inside the block a signal interrupts nothing; the block asks `requested`, and has the signal at its end."""
    global _deferred
    _deferred += 1
    try:
        yield
    finally:
        _deferred -= 1
    if _requested and not _deferred:
        raise Preempted
