"""Structured logs: one JSON object a line on standard error. Neither image content nor names nor paths of files."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

logger = logging.getLogger("clearsight.serving")


class JsonLines(logging.Formatter):
    """A record as one JSON object; what `event` was given stands beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        line: dict[str, Any] = {"time": stamp, "level": record.levelname.lower(), "event": record.getMessage()}
        line |= getattr(record, "facts", {})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)


def event(name: str, *, level: int = logging.INFO, error: BaseException | None = None, **facts: Any) -> None:
    """Log what happened, with its facts."""
    logger.log(level, name, extra={"facts": facts}, exc_info=error)


def log_to_stderr() -> None:
    """Send our lines and the web server's warnings to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (("clearsight.serving", logging.INFO), ("uvicorn", logging.WARNING)):
        target = logging.getLogger(name)
        target.handlers, target.propagate = [handler], False
        target.setLevel(level)
