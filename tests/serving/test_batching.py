"""Batches form from what waits, and nothing waits without need."""

import asyncio
import threading
import time

import pytest

from clearsight.serving.batching import Batcher


def run(scenario, function, most=4, linger=0.0, lanes=1):
    """Run a scenario of a batcher; the batches it made."""
    seen = []

    def work(items, alone):
        seen.append(list(items))
        return function(items)

    async def main():
        batcher = Batcher(work, most, linger)
        batcher.start(lanes)
        try:
            await scenario(batcher)
        finally:
            await batcher.stop()

    asyncio.run(main())
    return seen


def squares(items):
    return [i * i for i in items]


def test_what_arrives_while_the_engine_works_is_the_next_batch():
    gate = threading.Event()

    def blocked(items):
        assert gate.wait(10)
        return squares(items)

    async def scenario(batcher):
        asked = [asyncio.create_task(batcher.submit(0))]
        await asyncio.sleep(0.05)
        asked += [asyncio.create_task(batcher.submit(i)) for i in range(1, 7)]
        await asyncio.sleep(0.05)
        gate.set()
        assert await asyncio.gather(*asked) == [0, 1, 4, 9, 16, 25, 36]

    assert run(scenario, blocked) == [[0], [1, 2, 3, 4], [5, 6]]


def test_lanes_work_side_by_side_and_the_first_knows_that_it_is_alone():
    gate, message = threading.Barrier(3, timeout=20), []

    async def main():
        def work(items, alone):
            message.append((list(items), alone))
            gate.wait()
            return squares(items)

        batcher = Batcher(work, 4, 0.0)
        batcher.start(2)
        asked = []
        for i in range(2):
            asked.append(asyncio.create_task(batcher.submit(i)))
            await asyncio.sleep(0.05)
        asked += [asyncio.create_task(batcher.submit(i)) for i in range(2, 7)]
        await asyncio.sleep(0.05)
        assert message == [([0], True), ([1], False)]
        await asyncio.to_thread(gate.wait)
        await asyncio.to_thread(gate.wait)
        assert await asyncio.gather(*asked) == squares(range(7))
        await batcher.stop()

    asyncio.run(main())
    assert sorted(items for items, _ in message[2:]) == [[2, 3, 4, 5], [6]]


def test_a_lone_item_does_not_linger():
    async def scenario(batcher):
        for i in range(5):
            began = time.perf_counter()
            await batcher.submit(i)
            assert time.perf_counter() - began < 30

    assert run(scenario, squares, linger=60.0) == [[0], [1], [2], [3], [4]]


def test_under_load_a_small_batch_waits_for_more():
    async def scenario(batcher):
        await asyncio.gather(*(batcher.submit(i) for i in range(4)))
        first = asyncio.create_task(batcher.submit(4))
        await asyncio.sleep(0.01)
        await asyncio.gather(first, *(batcher.submit(i) for i in range(5, 8)))

    assert run(scenario, squares, linger=0.5) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_an_error_reaches_everyone_in_the_batch_and_no_one_else():
    def broken(items):
        if 1 in items:
            raise ValueError("one")
        return squares(items)

    async def scenario(batcher):
        found = await asyncio.gather(*(batcher.submit(i) for i in (1, 2)), return_exceptions=True)
        assert [str(e) for e in found] == ["one", "one"]
        assert await batcher.submit(3) == 9
        assert batcher.seconds_per_item < 1

    assert run(scenario, broken) == [[1, 2], [3]]


def test_who_has_given_up_is_not_worked_for():
    gate = threading.Event()

    def blocked(items):
        assert gate.wait(10)
        return squares(items)

    async def scenario(batcher):
        first, second, third = (asyncio.create_task(batcher.submit(i)) for i in range(3))
        await asyncio.sleep(0.05)
        fourth = asyncio.create_task(batcher.submit(3))
        await asyncio.sleep(0.05)
        fourth.cancel()
        await asyncio.sleep(0.05)
        gate.set()
        await asyncio.gather(first, second, third)
        assert await batcher.call(lambda: "between") == "between"

    assert run(scenario, blocked) == [[0, 1, 2]]


def test_stopping_cancels_what_waits():
    async def main():
        batcher = Batcher(squares, 4, 0.0)
        waiting = asyncio.create_task(batcher.submit(1))  # never started
        await asyncio.sleep(0)
        await batcher.stop()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
