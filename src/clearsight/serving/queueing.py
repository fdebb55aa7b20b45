"""Work that is done one at a time for those who wait, and ends when its time is up or nobody waits any more."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from clearsight.console import Advance
from clearsight.errors import ClearsightError
from clearsight.serving.clients import Budget

Result = TypeVar("Result")

Left = asyncio.Future[None]
"""Done when whoever asked has left."""


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
            raise OutOfTimeError("the prediction exceeds the time limit")

    def stage(self, title: str, unit: str = "images") -> Advance:
        def advance(done: int, total: int) -> None:
            self.check()

        advance(0, 1)
        return advance

    def say(self, text: str, level: str = "info") -> None:
        pass


class Turns:
    """A thread, one piece of work at a time, and those who wait for it, at most `most` besides the one at work.

    share: part of these that one client may have.
    """

    def __init__(self, name: str, most: int, share: float = 1.0) -> None:
        self._budget = Budget(most + 1, share)
        self._pool = ThreadPoolExecutor(1, name)

    def stop(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def take(self, work: Callable[[Deadline], Result], seconds: float, left: Left) -> Result:
        """The result. TimeoutError where it takes longer; OverflowError where too many wait; ClientDisconnect as soon
        as `left` is done.
        """
        if not self._budget.allows():
            raise OverflowError
        gone = threading.Event()
        deadline = Deadline(time.perf_counter() + seconds, gone)

        def guarded() -> Result:
            deadline.check()
            return work(deadline)

        future, client = self._pool.submit(guarded), self._budget.take()
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._budget.give_back, client))
        result = asyncio.wrap_future(future)
        try:
            await asyncio.wait((result, left), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if left.done() and not result.done():
                raise ClientDisconnect
            if not result.done():
                raise TimeoutError
            return result.result()
        except OutOfTimeError:
            raise TimeoutError from None
        finally:
            gone.set()  # what still runs stops at its next step
            result.cancel()


@asynccontextmanager
async def leaving(request: Request) -> AsyncIterator[Left]:
    """A future that is done when the client leaves, its body having been read."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task = asyncio.get_running_loop().create_task(watch())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
