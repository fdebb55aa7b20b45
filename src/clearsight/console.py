"""How a long job speaks to the person who waits: stages with a bar and the time left, and lines of text.

Everything goes to standard error; standard output belongs to answers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

Advance = Callable[[int, int], None]
"""Called with (done, total)."""


class Console(Protocol):
    """Where progress goes."""

    def stage(self, title: str) -> Advance:
        """Begin a stage; the returned function moves its bar."""

    def say(self, text: str) -> None:
        """Show one line."""


class Silent:
    """Says nothing."""

    def stage(self, title: str) -> Advance:
        return lambda done, total: None

    def say(self, text: str) -> None:
        pass


class Terminal:
    """Bars with time left on a terminal; one line per finished stage where standard error is a file or a pipe."""

    def __init__(self) -> None:
        from rich.console import Console as Rich
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.rich = Rich(stderr=True, highlight=False)
        self.live = self.rich.is_terminal
        self.progress = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            console=self.rich,
            disable=not self.live,
        )

    def stage(self, title: str) -> Advance:
        import time

        began = time.perf_counter()
        task = self.progress.add_task(title, total=None)
        finished = False

        def advance(done: int, total: int) -> None:
            nonlocal finished
            self.progress.update(task, completed=done, total=total)
            if done >= total and not finished:
                finished = True
                if not self.live:
                    self.say(f"{title}: {total} in {time.perf_counter() - began:.1f} s")

        return advance

    def say(self, text: str) -> None:
        self.rich.print(text, markup=False, soft_wrap=True)


@contextmanager
def terminal() -> Iterator[Console]:
    """A Terminal whose bars are drawn while the block runs, and removed from the screen's control whatever happens."""
    console = Terminal()
    with console.progress:
        yield console
    sys.stderr.flush()
