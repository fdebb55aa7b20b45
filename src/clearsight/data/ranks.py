"""Work on images that several processes share, each image once.

    with shared_by(world): ...     inside, what is computed for a list of images is divided among the processes

All processes must reach the same calls in the same order, so a block that only one of them runs is under `alone`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

A = TypeVar("A")

ALIGNED = 16
"""Shares begin at a multiple of this number of images, so that an engine gets the same batches as in one process."""


class Ranks(Protocol):
    """The processes of a run, as `distributed.World` is."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in the order of their ranks."""

    def broadcast(self, value: Any) -> Any:
        """The first process's value."""


class _Alone:
    rank, size = 0, 1

    def gather(self, value: Any) -> list[Any]:
        return [value]

    def broadcast(self, value: Any) -> Any:
        return value


_current: ContextVar[Ranks] = ContextVar("ranks", default=_Alone())  # noqa: B039 - it has no state


def current() -> Ranks:
    """The processes that share the work at present."""
    return _current.get()


@contextmanager
def shared_by(ranks: Ranks) -> Iterator[None]:
    """Inside the block these processes share the work."""
    token = _current.set(ranks)
    try:
        yield
    finally:
        _current.reset(token)


def alone() -> AbstractContextManager[None]:
    """A block in which this process works by itself."""
    return shared_by(_Alone())


def share(images: int, rank: int, size: int) -> NDArray[np.int64]:
    """Positions of the images of one process: neighbours, about as many as those of any other.

    Args:
        images: number of images.
        rank: of the process.
        size: number of processes.

    Returns:
        Positions.

    Example:
        >>> [len(share(100, rank, 3)) for rank in range(3)]
        [32, 32, 36]
    """
    ends = [ALIGNED * (k * -(-images // ALIGNED) // size) for k in range(size)] + [images]
    return np.arange(ends[rank], max(ends[rank], ends[rank + 1]), dtype=np.int64)


def each_once(images: int, compute: Callable[[NDArray[np.int64]], Sequence[A]]) -> list[A]:
    """A value for each image, each computed by one process and known to all.

    Args:
        images: number of images.
        compute: gives the values for some positions.

    Returns:
        The values of all images.
    """
    ranks = current()
    with alone():
        own = compute(share(images, ranks.rank, ranks.size))
    return [value for part in ranks.gather(own) for value in part]


def by_the_first(compute: Callable[[], A]) -> A:
    """What the first process computes, on all of them."""
    ranks = current()
    if ranks.size == 1:
        return compute()
    value = None
    if ranks.rank == 0:
        with alone():
            value = compute()
    return ranks.broadcast(value)  # type: ignore[no-any-return]
