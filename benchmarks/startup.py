"""Seconds of `clearsight --help` as a whole process. Limit: 0.4 s."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from benchmarks.harness import timed


def measure() -> dict[str, Any]:
    words = [sys.executable, "-m", "clearsight.cli.main", "--help"]
    found = timed(lambda: subprocess.run(words, capture_output=True, check=True), repeats=10)
    return {"seconds": found, "limit": 0.4, "ratio_to_limit": found["median"] / 0.4}
