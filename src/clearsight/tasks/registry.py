"""All tasks by name, in the order in which data is tried for them."""

from __future__ import annotations

from dataclasses import dataclass, field

from clearsight.errors import ConfigError
from clearsight.tasks.task import Task


@dataclass(frozen=True)
class _Registry:
    tasks: dict[str, type[Task]] = field(default_factory=dict)


_REGISTRY = _Registry()


def register_task(task: type[Task]) -> type[Task]:
    """Class decorator: make a task known by its name; a name that is taken raises ValueError."""
    if task.name in _REGISTRY.tasks and _REGISTRY.tasks[task.name].__qualname__ != task.__qualname__:
        raise ValueError(f"a task named {task.name!r} is already registered")
    _REGISTRY.tasks[task.name] = task
    return task


def task_names() -> tuple[str, ...]:
    """Names of all tasks, in the order in which data is tried for them."""
    return tuple(_REGISTRY.tasks)


def task_named(name: str) -> type[Task]:
    """The task of a name; ConfigError suggests near names for an unknown one."""
    if name not in _REGISTRY.tasks:
        raise ConfigError(f"unknown task {name!r}", expected=", ".join(task_names()))
    return _REGISTRY.tasks[name]


def registered_tasks() -> tuple[type[Task], ...]:
    """All tasks, in the order in which data is tried for them."""
    return tuple(_REGISTRY.tasks.values())
