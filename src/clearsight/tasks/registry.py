"""All tasks by name, in the order in which data is tried for them."""

from __future__ import annotations

from clearsight.errors import ConfigError
from clearsight.tasks.task import Task

_TASKS: dict[str, type[Task]] = {}


def register_task(task: type[Task]) -> type[Task]:
    """Class decorator: make a task known by its name; a name that is taken raises ValueError."""
    if task.name in _TASKS and _TASKS[task.name].__qualname__ != task.__qualname__:
        raise ValueError(f"there is a task {task.name!r} already")
    _TASKS[task.name] = task
    return task


def task_names() -> tuple[str, ...]:
    """Names of all tasks, in the order in which data is tried for them."""
    return tuple(_TASKS)


def task_named(name: str) -> type[Task]:
    """The task of a name; ConfigError suggests near names for an unknown one."""
    if name not in _TASKS:
        raise ConfigError(f"there is no task {name!r}", expected=", ".join(task_names()))
    return _TASKS[name]


def registered_tasks() -> tuple[type[Task], ...]:
    """All tasks, in the order in which data is tried for them."""
    return tuple(_TASKS.values())
