"""Work that somebody waits for, and that ends when its time is up or nobody waits any more."""

from __future__ import annotations

import threading
import time

from clearsight.console import Advance
from clearsight.errors import ClearsightError


class OutOfTimeError(ClearsightError):
    """Work has used up its time, or whoever asked has left."""


class Deadline:
    """A console that says nothing, and raises OutOfTimeError at the next step once its time is up or `left` is set.

    until: on the clock of time.perf_counter.
    """

    def __init__(self, until: float, left: threading.Event | None = None) -> None:
        self.until, self.left = until, left or threading.Event()

    def check(self) -> None:
        if self.left.is_set() or time.perf_counter() > self.until:
            raise OutOfTimeError("the answer takes longer than it may")

    def stage(self, title: str, unit: str = "images") -> Advance:
        def advance(done: int, total: int) -> None:
            self.check()

        advance(0, 1)
        return advance

    def say(self, text: str) -> None:
        pass
