"""How a long job speaks to the person who waits: stages with a bar and the time left, and lines of text.

On a terminal everything goes to standard error; standard output belongs to results. In a notebook it stands below the
cell.
"""

from __future__ import annotations

import html
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from clearsight.logs import json_line, log_settings
from clearsight.wording import count, short_duration, visible

if TYPE_CHECKING:
    from rich.progress import TaskID

QUIET = 0.5
"""Seconds that a job in a notebook may take without showing anything."""

REDRAWN = 0.2
"""Seconds between two drawings of a notebook's bar."""

REPORTED = 10
"""Seconds between two lines on a stage, where these are not drawn."""

Advance = Callable[[int, int], None]
"""Called with (done, total); a total of 0 is not known."""


class Console(Protocol):
    """Where progress goes."""

    def stage(self, title: str, unit: str = "images") -> Advance:
        """Begin a stage; the returned function moves its bar."""

    def say(self, text: str, level: str = "info") -> None:
        """Show one line. level: of `logs.LEVELS`."""


class Silent:
    """Says nothing."""

    def stage(self, title: str, unit: str = "images") -> Advance:
        return lambda done, total: None

    def say(self, text: str, level: str = "info") -> None:
        pass


class Notebook:
    """A bar below the cell, in plain HTML; what is finished is folded away. Quick jobs show nothing."""

    def __init__(self) -> None:
        self.began = self.drawn = time.perf_counter()
        self.lines: list[str] = []
        self.bar = ""
        self.handle: Any = None

    def stage(self, title: str, unit: str = "images") -> Advance:
        began, finished = time.perf_counter(), False

        def advance(done: int, total: int) -> None:
            nonlocal finished
            now = time.perf_counter()
            if done < total or not total:
                self.bar, finished = _bar(title, unit, done, total, now - began), False
                if now - self.drawn > REDRAWN:
                    self._draw(now)
            elif not finished:
                finished, self.bar = True, ""
                self.lines.append(f"{title}: {_counted(total, unit)} in {now - began:.1f} s")
                self._draw(now)

        return advance

    def say(self, text: str, level: str = "info") -> None:
        self.lines.append(text)
        self._draw(time.perf_counter())

    def _draw(self, now: float) -> None:
        if now - self.began < QUIET:
            return
        ipython: Any = import_module("IPython.display")  # which notebooks have, and nothing else needs
        self.drawn = now
        lines = "".join(f"<li>{html.escape(line)}</li>" for line in self.lines)
        steps = f"{len(self.lines)} step{'' if len(self.lines) == 1 else 's'}, {now - self.began:.0f} s"
        shown = ipython.HTML(
            f'<div style="font-size: .9em">{self.bar}'
            + (f"<details><summary>{steps}</summary><ul>{lines}</ul></details>" if lines else "")
            + "</div>"
        )
        if self.handle is None:
            self.handle = ipython.display(shown, display_id=True)
        else:
            self.handle.update(shown)


def _bar(title: str, unit: str, done: int, total: int, seconds: float) -> str:
    """A stage as HTML: how far it is, and about how long it still takes."""
    name = html.escape(title)
    if not total:
        return f"{name}: {html.escape(_so_far(done, total, unit, seconds))}"
    left = f", about {seconds / done * (total - done):.0f} s left" if done else ""
    return (
        f'<progress max="{total}" value="{done}" aria-label="{name}" style="width: 16em"></progress> '
        f"{name}: {done:,} of {html.escape(_counted(total, unit))}{left}"
    )


def _so_far(done: int, total: int, unit: str, seconds: float) -> str:
    """How far a stage is, its rate, and about how long it still takes."""
    rate = done / max(1e-9, seconds)
    if not total:
        return f"{_counted(done, unit)}, {rate:,.3g} {unit}/s"
    left = short_duration((total - done) / rate) if done else "unknown time"
    return f"{done:,} of {_counted(total, unit)}, {rate:,.3g} {unit}/s, about {left} left"


def _counted(n: int, unit: str) -> str:
    """A number with its unit, which is given in the plural: 1 image, 1,797 images."""
    return count(n, unit.removesuffix("s"), unit)


def in_notebook() -> bool:
    """Whether the process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()  # without importing it
    return hasattr(shell, "kernel")


def usual_console() -> Console:
    """Where a function called from Python shows progress: below the cell in a notebook, nowhere elsewhere."""
    if not in_notebook():
        return Silent()
    # libraries that we use import tqdm, which asks for widgets that our bar does not need
    warnings.filterwarnings("ignore", message="IProgress not found")
    return Notebook()


_running: ContextVar[Console | None] = ContextVar("running", default=None)


def current_console() -> Console:
    """Where work shows progress that any function may start, such as a download: the terminal of the command that is
    running, else the usual console.
    """
    return _running.get() or usual_console()


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
            TextColumn("{task.fields[rate]}"),
            console=self.rich,
            disable=not self.live,
        )
        self.task: TaskID | None = None

    def stage(self, title: str, unit: str = "images") -> Advance:
        began = last_report = time.perf_counter()
        task = self._begin(title)
        finished = False

        def advance(done: int, total: int) -> None:
            nonlocal began, finished, last_report, task
            if task not in self.progress.task_ids:  # another stage came first; this one begins now
                began, task = time.perf_counter(), self._begin(title)
            rate = f"{done / max(1e-9, time.perf_counter() - began):,.0f} {unit}/s" if unit == "images" else ""
            self.progress.update(task, completed=done, total=total or None, rate=rate)
            now = time.perf_counter()
            if done >= total > 0 and not finished:
                finished = True
                if not self.live:
                    self.say(f"{title}: {_counted(total, unit)} in {now - began:.1f} s")
            elif not self.live and not finished and now - last_report > REPORTED:
                last_report = now
                self.say(f"{title}: {_so_far(done, total, unit, now - began)} ...")

        return advance

    def _begin(self, title: str) -> TaskID:
        self.close()
        self.task = self.progress.add_task(title, total=None, rate="")
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

    def say(self, text: str, level: str = "info") -> None:
        self.rich.print(visible(text, lines=True), markup=False, soft_wrap=True)


class Log:
    """Messages from the level of the command on, without bars: as text, or as one JSON object per line with the
    progress of each stage, every ten seconds and at its end.
    """

    def stage(self, title: str, unit: str = "images") -> Advance:
        settings = log_settings()
        if settings.format != "json" or not settings.shows("info"):
            return lambda done, total: None
        began = last_report = time.perf_counter()

        def advance(done: int, total: int) -> None:
            nonlocal last_report
            now = time.perf_counter()
            if done >= total > 0 or now - last_report > REPORTED:
                last_report = now
                facts = {"done": done, "total": total or None, "unit": unit, "seconds": round(now - began, 3)}
                self._write(json_line("info", title, **facts))

        return advance

    def say(self, text: str, level: str = "info") -> None:
        settings = log_settings()
        if settings.shows(level):
            self._write(json_line(level, text) if settings.format == "json" else visible(text, lines=True))

    def _write(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


@contextmanager
def terminal() -> Iterator[Console]:
    """A Terminal whose bars are drawn while the block runs, and removed from the screen's control whatever happens; a
    `Log` where the command writes only warnings, or JSON.
    """
    settings = log_settings()
    if settings.format == "json" or not settings.shows("info"):
        token = _running.set(Log())
        try:
            yield Log()
        finally:
            _running.reset(token)
        return
    console = Terminal()
    token = _running.set(console)
    with console.progress:
        try:
            yield console
        finally:
            console.close()
            _running.reset(token)
    sys.stderr.flush()
