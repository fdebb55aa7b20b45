"""Messages on standard error: from which level on they are written, and whether as text or as JSON."""

from __future__ import annotations

import json
import logging
import sys
import time
from dataclasses import dataclass
from typing import Any

LEVELS = {
    "debug": "also messages of libraries, and where errors were raised",
    "info": "progress and decisions",
    "warning": "only warnings and errors",
    "error": "only errors",
}
"""Levels, from the one that writes most."""

FORMATS = {"text": "for people", "json": "one JSON object per line: time, level, event, and its facts"}


@dataclass(frozen=True)
class LogSettings:
    """level: the lowest that is written, of `LEVELS`. format: of `FORMATS`."""

    level: str = "info"
    format: str = "text"

    def shows(self, level: str) -> bool:
        """Whether messages of a level are written."""
        return list(LEVELS).index(level) >= list(LEVELS).index(self.level)


_settings = LogSettings()
_handler: logging.Handler | None = None


def log_settings() -> LogSettings:
    """The settings in use."""
    return _settings


def use_logs(settings: LogSettings) -> None:
    """Write messages by these settings from now on, those of libraries too.

    Args:
        settings: the level and the format.
    """
    global _settings, _handler
    root = logging.getLogger()
    if _handler is not None:
        root.removeHandler(_handler)
        logging.captureWarnings(False)
        root.setLevel(logging.WARNING)
    _settings, _handler = settings, None
    if settings.level == "debug" or settings.format == "json":
        _handler = logging.StreamHandler(sys.stderr)
        _handler.setFormatter(JsonLines() if settings.format == "json" else logging.Formatter("%(name)s: %(message)s"))
        root.addHandler(_handler)
        root.setLevel(logging.DEBUG if settings.shows("debug") else logging.WARNING)
        logging.captureWarnings(True)


def json_line(level: str, event: str, **facts: Any) -> str:
    """A message as one line of JSON.

    Args:
        level: one of `LEVELS`.
        event: what happened.
        **facts: what stands beside it.

    Returns:
        The line, without its end.

    Example:
        >>> '"level": "info", "event": "training"' in json_line("info", "training", done=1)
        True
    """
    now = time.time()
    return json.dumps({"time": _stamp(now), "level": level, "event": event, **facts})


def write_error(text: str, page: str | None = None) -> None:
    """Write an error that ends a command.

    Args:
        text: what happened and what to do.
        page: address of the page that explains it; None for no page.
    """
    if _settings.format == "json":
        line = json_line("error", text, **({} if page is None else {"page": page}))
    else:
        line = f"clearsight: {text}" + ("" if page is None else f" See {page}")
    print(line, file=sys.stderr)


class JsonLines(logging.Formatter):
    """A record as one JSON object; `facts` of the record stand beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for a record.

        Args:
            record: what was logged.

        Returns:
            The line, without its end.
        """
        line: dict[str, Any] = {
            "time": _stamp(record.created), "level": record.levelname.lower(), "event": record.getMessage(),
        }  # fmt: skip
        line |= getattr(record, "facts", {})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _stamp(seconds: float) -> str:
    """A time of `time.time` in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"
