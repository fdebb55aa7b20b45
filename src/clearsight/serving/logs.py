"""Structured logs: one JSON object a line on standard error. Neither image content nor names nor paths of files."""

from __future__ import annotations

import logging
import sys
from typing import Any

from clearsight.logs import JsonLines, log_settings

logger = logging.getLogger("clearsight.serving")


def event(name: str, *, level: int = logging.INFO, error: BaseException | None = None, **facts: Any) -> None:
    """Log what happened, with its facts."""
    logger.log(level, name, extra={"facts": facts}, exc_info=error)


def log_to_stderr() -> None:
    """Send our lines and the web server's warnings to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    lowest = getattr(logging, log_settings().level.upper())
    for name, level in (("clearsight.serving", logging.INFO), ("uvicorn", logging.WARNING)):
        target = logging.getLogger(name)
        target.handlers, target.propagate = [handler], False
        target.setLevel(max(level, lowest))
