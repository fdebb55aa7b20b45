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
    """Runs a function of batches in threads of its own.

    run: maps up to `most` items to as many results; its second argument says whether no other batch is running. linger:
    in seconds. seconds_per_item: a running mean, None before the first batch. observe: called with each batch's size
    and seconds.
    """

    def __init__(
        self,
        run: Callable[[list[Item], bool], Sequence[Result]],
        most: int,
        linger: float,
        observe: Callable[[int, float], None] = lambda size, seconds: None,
    ) -> None:
        self.run, self.most, self.linger, self.observe = run, most, linger, observe
        self.seconds_per_item: float | None = None
        self._pending: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._arrived = asyncio.Event()
        self._last = (0, 0.0)  # size of the batch that ended last, and when
        self._at_work: set[asyncio.Task[None]] = set()
        self._threads: ThreadPoolExecutor | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, lanes: int = 1) -> None:
        """Begin to work, in the running event loop."""
        self._threads = ThreadPoolExecutor(lanes, "engine")
        self._task = asyncio.get_running_loop().create_task(self._work(asyncio.Semaphore(lanes)))

    async def stop(self) -> None:
        """End the work; what waits is cancelled."""
        tasks = [*self._at_work, *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _, future in self._pending:
            future.cancel()
        self._pending.clear()
        if self._threads:
            self._threads.shutdown()

    async def submit(self, item: Item) -> Result:
        """The result of one item, whatever batch it goes into."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._pending.append((item, future))
        self._arrived.set()
        return await future

    async def call(self, function: Callable[[], Other]) -> Other:
        """The result of a function that needs the engine, as soon as a thread of it is free."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    async def _work(self, lanes: asyncio.Semaphore) -> None:
        while True:
            await lanes.acquire()
            batch: list[tuple[Item, asyncio.Future[Result]]] = []
            while not batch:
                await self._arrived.wait()
                await self._gather()
                while self._pending and len(batch) < self.most:
                    item, future = self._pending.popleft()
                    if not future.done():  # else whoever asked has given up
                        batch.append((item, future))
                if not self._pending:
                    self._arrived.clear()
            task = asyncio.get_running_loop().create_task(self._run_batch(batch, not self._at_work))
            self._at_work.add(task)
            task.add_done_callback(self._at_work.discard)
            task.add_done_callback(lambda _: lanes.release())

    async def _gather(self) -> None:
        """Wait for more, where more is to be expected."""
        size, ended = self._last
        pressed = size > 1 and time.perf_counter() - ended < self.linger
        if pressed and len(self._pending) < min(size, self.most):
            await asyncio.sleep(self.linger)

    async def _run_batch(self, batch: list[tuple[Item, asyncio.Future[Result]]], alone: bool) -> None:
        began = time.perf_counter()
        try:
            results = await self.call(lambda: self.run([item for item, _ in batch], alone))
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        now = time.perf_counter()
        share = (now - began) / len(batch) / max(1, len(self._at_work))
        self.seconds_per_item = share if self.seconds_per_item is None else 0.8 * self.seconds_per_item + 0.2 * share
        self._last = len(batch), now
        self.observe(len(batch), now - began)
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
