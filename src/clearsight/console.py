"""How a long job speaks to the person who waits: stages with a bar and the time left, and lines of text.

Everything goes to standard error; standard output belongs to answers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import TaskID

Advance = Callable[[int, int], None]
"""Called with (done, total)."""


class Console(Protocol):
    """Where progress goes."""

    def stage(self, title: str, unit: str = "images") -> Advance:
        """Begin a stage; the returned function moves its bar."""

    def say(self, text: str) -> None:
        """Show one line."""


class Silent:
    """Says nothing."""

    def stage(self, title: str, unit: str = "images") -> Advance:
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
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self.rich,
            disable=not self.live,
        )
        self.task: TaskID | None = None

    def stage(self, title: str, unit: str = "images") -> Advance:
        import time

        began = said = time.perf_counter()
        task = self._begin(title)
        finished = False

        def advance(done: int, total: int) -> None:
            nonlocal began, finished, said, task
            if task not in self.progress.task_ids:  # another stage came first; this one begins now
                began, task = time.perf_counter(), self._begin(title)
            self.progress.update(task, completed=done, total=total)
            now = time.perf_counter()
            if done >= total and not finished:
                finished = True
                if not self.live:
                    self.say(f"{title}: {total:,} {unit} in {now - began:.1f} s")
            elif not self.live and not finished and now - said > 10:
                said = now
                self.say(f"{title}: {done:,} of {total:,} {unit} ...")

        return advance

    def _begin(self, title: str) -> TaskID:
        self.close()
        self.task = self.progress.add_task(title, total=None)
        return self.task

    def close(self) -> None:
        """End the last stage's bar: full where it stopped early, gone where it had nothing to do."""
        if self.task is None:
            return
        done = self.progress.tasks[self.progress.task_ids.index(self.task)]
        if done.completed:
            self.progress.update(self.task, total=done.completed)
            self.progress.stop_task(self.task)
        else:
            self.progress.remove_task(self.task)
        self.task = None

    def say(self, text: str) -> None:
        self.rich.print(text, markup=False, soft_wrap=True)


@contextmanager
def terminal() -> Iterator[Console]:
    """A Terminal whose bars are drawn while the block runs, and removed from the screen's control whatever happens."""
    console = Terminal()
    with console.progress:
        try:
            yield console
        finally:
            console.close()
    sys.stderr.flush()
