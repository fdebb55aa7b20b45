"""Memory that is not enough: how libraries report it, and one error that says what to do."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from clearsight.errors import TrainingError

REPORTED = re.compile(
    r"out of memory|not enough memory|(?:can't|cannot|could not) allocate|bad_alloc|bad allocation", re.I
)
"""What the messages of PyTorch, OpenVINO and Faiss contain."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error reports that there is not enough memory.

    Args:
        error: any exception.

    Returns:
        True for Python's MemoryError, and for errors of libraries that say so.

    Example:
        >>> out_of_memory(MemoryError()), out_of_memory(RuntimeError("CUDA out of memory."))
        (True, True)
    """
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(REPORTED.search(str(error))))


@contextlib.contextmanager
def memory_errors(fix: str) -> Iterator[None]:
    """Context manager: report that there is not enough memory for training as one error.

    Args:
        fix: what the user can do.

    Yields:
        Nothing.

    Raises:
        TrainingError: there is not enough memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, TrainingError) or not out_of_memory(error):
            raise
        found = str(error).strip().split("\n")[0][:200] or type(error).__name__
        raise TrainingError("there is not enough memory for the training", found=found, fix=fix) from error
