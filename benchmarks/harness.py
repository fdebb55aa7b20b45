"""How a figure is taken: warm-up, repeats, median and spread, with the machine and the versions beside it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """What the figures hold for."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    packages = ("clearsight", "torch", "openvino", "timm", "numpy", "pillow", "scikit-learn")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{p: version(p) for p in packages},
    }


def spread(values: list[float]) -> dict[str, float | int]:
    """n, median, minimum and maximum."""
    return {"n": len(values), "median": statistics.median(values), "min": min(values), "max": max(values)}


def timed(function: Callable[[], Any], repeats: int = 5, warm_up: int = 1) -> dict[str, float | int]:
    """Seconds of a call, warm-up excluded."""
    for _ in range(warm_up):
        function()
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        found.append(time.perf_counter() - began)
    return spread(found)


@contextmanager
def fresh_cache() -> Iterator[Path]:
    """An empty cache for the block, so that nothing measured was computed before."""
    folder = Path(tempfile.mkdtemp(prefix="clearsight-bench-"))
    before = os.environ.get("CLEARSIGHT_CACHE")
    os.environ["CLEARSIGHT_CACHE"] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            del os.environ["CLEARSIGHT_CACHE"]
        else:
            os.environ["CLEARSIGHT_CACHE"] = before
        shutil.rmtree(folder, ignore_errors=True)


def command(*words: str, **environment: str) -> tuple[dict[str, Any], float]:
    """Run `clearsight WORDS --json` as a user would; its answer and the seconds of the whole process."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "clearsight.cli.main", *words, "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout), time.perf_counter() - began


class PeakMemory:
    """Largest anonymous memory of this process in bytes while the block runs; mapped files are not counted (Linux)."""

    def __enter__(self) -> PeakMemory:
        self.peak, self._on = 0, True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._on = False
        self._thread.join()

    def _watch(self) -> None:
        while self._on:
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon"):
                    self.peak = max(self.peak, int(line.split()[1]) * 1024)
            time.sleep(0.02)
