"""What a budget leaves for each part of a run."""

from __future__ import annotations

import time
from dataclasses import dataclass

from clearsight.train.job import Job


@dataclass(frozen=True)
class Clock:
    """`total` seconds from `began` (time.perf_counter) on; None for no limit."""

    began: float
    total: float | None

    def left(self, job: Job, title: str) -> float | None:
        """Seconds left for one part of a run; a resumed run is told what the first one was."""
        total = self.total
        if total is None:
            return None
        return float(
            job.decided(f"seconds left for {title}", lambda: max(0.0, total - (time.perf_counter() - self.began)))
        )
