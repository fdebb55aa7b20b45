"""Single images in, batches for the engine out: what arrives while the engine works is its next batch.

A lone image never waits: the engine takes it at once when idle. Only when images come in faster than they are answered,
which a last batch of several shows, a batch smaller than that waits `linger` for more.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Other = TypeVar("Other")


class Batcher(Generic[Item, Result]):
    """Runs a function of batches in one thread of its own.

    run: maps up to `most` items to as many results. linger: in seconds. seconds_per_item: a running mean, None before
    the first batch. observe: called with each batch's size and seconds.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Sequence[Result]],
        most: int,
        linger: float,
        observe: Callable[[int, float], None] = lambda size, seconds: None,
    ) -> None:
        self.run, self.most, self.linger, self.observe = run, most, linger, observe
        self.seconds_per_item: float | None = None
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "engine")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work, in the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """End the work; what waits is cancelled."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()
        self._thread.shutdown()

    async def submit(self, item: Item) -> Result:
        """The result of one item, whatever batch it goes into."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._arrived.set()
        return await future

    async def call(self, function: Callable[[], Other]) -> Other:
        """The result of a function that needs the engine's thread, between two batches."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def _work(self) -> None:
        size, ended = 0, 0.0
        while True:
            await self._arrived.wait()
            pressed = size > 1 and time.perf_counter() - ended < max(self.linger, 0.002)
            if self.linger and pressed and len(self._waiting) < min(size, self.most):
                await asyncio.sleep(self.linger)
            batch: list[tuple[Item, asyncio.Future[Result]]] = []
            while self._waiting and len(batch) < self.most:
                item, future = self._waiting.popleft()
                if not future.done():  # whoever asked has given up
                    batch.append((item, future))
            if not self._waiting:
                self._arrived.clear()
            if batch:
                await self._answer(batch)
            size, ended = len(batch), time.perf_counter()

    async def _answer(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        began = time.perf_counter()
        try:
            results = await self.call(lambda: self.run([item for item, _ in batch]))
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        seconds = time.perf_counter() - began
        share = seconds / len(batch)
        self.seconds_per_item = share if self.seconds_per_item is None else 0.8 * self.seconds_per_item + 0.2 * share
        self.observe(len(batch), seconds)
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
