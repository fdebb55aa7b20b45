"""Bulk inference on a cluster of Ray: actors compute whole parts, and this process writes them.

An actor that dies is started again, and its part is computed again; a part is written once, when all of its rows are
here, so nothing is lost and nothing is there twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from clearsight.errors import ConfigError, OutputError
from clearsight.scale.bulk import Engine
from clearsight.scale.rows import ERROR, Row, Rows
from clearsight.scale.spans import Chunk, PartEnd, Work, computed

AHEAD = 2
"""Parts per actor that are read and wait to be computed or written."""


class Worker:
    """What an actor runs: a copy of what computes the rows."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def part(self, work: list[Work], total: int, nested: bool) -> list[Row]:
        """The rows of a part.

        Args:
            work: its images and its end.
            total: number of images that the engine is chosen for.
            nested: as for `Rows.of`.

        Returns:
            A row for each image.
        """
        return [row for chunk in computed(work, self.rows, total, nested) for row in chunk.rows]


@contextmanager
def on_ray(actors: int = 2, gpus: float = 0, address: str | None = None) -> Iterator[Engine]:
    """What computes the rows of images on a cluster, for `bulk.predict` and `bulk.embed`.

    Args:
        actors: number of workers.
        gpus: GPUs of each worker, may be a fraction.
        address: of the cluster, as `ray.init` takes it; None for one on this machine.

    Yields:
        The function to pass as `compute`.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "--engine ray needs Ray", fix="install the extra with `pip install 'clearsight[ray]'`"
        ) from error
    if actors < 1 or gpus < 0:
        raise ConfigError("the number of actors is out of range", found=actors, expected="1 or more")
    began = not ray.is_initialized()
    if began:
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False, include_dashboard=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"there is no Ray cluster at {address}", found=str(error)[:160], fix="start one with `ray start --head`"
            ) from error

    def compute(work: Iterator[Work], rows: Rows, total: int, nested: bool) -> Iterator[Chunk]:
        options = {"num_gpus": gpus, "max_restarts": -1, "max_task_retries": -1}
        made = ray.remote(Worker)
        model = ray.put(rows)
        pool = [made.options(**options).remote(model) for _ in range(actors)]
        submitted: deque[tuple[PartEnd, Any]] = deque()
        try:
            for number, part in enumerate(_parts(work)):
                if len(submitted) == AHEAD * actors:
                    yield _collected(ray, *submitted.popleft())
                end = part[-1]
                assert isinstance(end, PartEnd)
                submitted.append((end, pool[number % actors].part.remote(part, total, nested)))
            while submitted:
                yield _collected(ray, *submitted.popleft())
        finally:
            for actor in pool:
                ray.kill(actor)

    try:
        yield compute
    finally:
        if began:
            ray.shutdown()


def _parts(work: Iterator[Work]) -> Iterator[list[Work]]:
    part: list[Work] = []
    for one in work:
        part.append(one)
        if isinstance(one, PartEnd):
            yield part
            part = []


def _collected(ray: Any, end: PartEnd, task: Any) -> Chunk:
    try:
        rows: list[Row] = ray.get(task)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise cause if isinstance(cause, Exception) else error from error
    except ray.exceptions.RayError as error:
        raise OutputError(
            f"the cluster could not compute part {end.number}", found=str(error).splitlines()[0][:160],
            fix="check the cluster, then repeat the command with --resume",
        ) from error  # fmt: skip
    return Chunk(rows, sum(bool(row.get(ERROR)) for row in rows), end)
