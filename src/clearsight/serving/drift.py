"""Monitoring in use: each week, the images of requests are compared with the model's validation images.

Each signal has a sequential test of its own (`ood.drift`), which begins anew each week. An alarm is raised when one of
S tests reaches a capital of S/a; so a week without drift has a false alarm with probability a at most, whatever the
number of images. Only numbers are kept, no images.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clearsight.ood.drift import DriftReference, RankTest
from clearsight.serving.logs import event
from clearsight.serving.metrics import Metrics

WEEK = 7 * 86_400.0
"""Seconds."""

WORDS = {
    "ood_score": "OOD scores", "output": "predictions", "brightness": "brightness",
}  # fmt: skip


@dataclass
class _Signal:
    test: RankTest
    alarmed: bool = False
    total: float = 0.0

    @property
    def mean(self) -> float | None:
        return self.total / self.test.images if self.test.images else None


class DriftMonitor:
    """Compares the images of requests with validation images.

    reference: None for a model without one. rate: probability of a false alarm in a week; 0 compares nothing. clock:
    seconds, of which a week has `WEEK`.
    """

    def __init__(
        self, reference: DriftReference | None, rate: float, metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.reference, self.rate, self.metrics, self._clock = reference, rate, metrics, clock
        self._lock = threading.Lock()
        self._weeks = 0
        self._signals: dict[str, _Signal] = {}
        self._begin()

    @property
    def active(self) -> bool:
        """Whether anything is compared."""
        return self.rate > 0 and self.reference is not None and bool(self.reference.values)

    def _begin(self) -> None:
        self._began = self._clock()
        self._weeks += 1
        values = self.reference.values if self.reference is not None and self.active else {}
        self._signals = {
            name: _Signal(RankTest(numbers, seed=1000 * self._weeks + place))
            for place, (name, numbers) in enumerate(values.items())
        }
        for name in self._signals:
            self.metrics.drift.labels(name).set(0)
            self.metrics.drift_alarm.labels(name).set(0)

    def observe(self, values: Mapping[str, float]) -> None:
        """Take the values of one image, by the name of the signal, into account."""
        if not self.active:
            return
        with self._lock:
            if self._clock() - self._began >= WEEK:
                self._begin()
            for name, signal in self._signals.items():
                if name in values:
                    self._add(name, signal, values[name])

    def _add(self, name: str, signal: _Signal, value: float) -> None:
        signal.test.add(value)
        signal.total += value
        self.metrics.drift.labels(name).set(signal.test.log10)
        if not signal.alarmed and signal.test.log10 >= self._threshold:
            signal.alarmed = True
            self.metrics.drift_alarm.labels(name).set(1)
            self.metrics.drift_alarms.labels(name).inc()
            event("drift", level=30, **self._facts(name, signal))

    @property
    def _threshold(self) -> float:
        """log10 of the capital that raises an alarm."""
        return math.log10(len(self._signals) / self.rate)

    def _facts(self, name: str, signal: _Signal) -> dict[str, Any]:
        numbers = self.reference.values[name] if self.reference else ()
        return {
            "signal": name,
            "words": WORDS[name],
            "images": signal.test.images,
            "validation_mean": sum(numbers) / max(1, len(numbers)),
            "mean": signal.mean,
            "log10_capital": round(signal.test.log10, 3),
            "alarm": signal.alarmed,
        }

    def to_dict(self) -> dict[str, Any]:
        """The state of this week as plain values."""
        reason = None
        if not self.rate:
            reason = "Monitoring is switched off by --drift-alarms 0."
        elif not self.active:
            reason = "The model has no values of validation images to compare with. Train it again."
        with self._lock:
            if self.active and self._clock() - self._began >= WEEK:
                self._begin()
            return {
                "false_alarms_per_week": self.rate,
                "threshold": round(self._threshold, 3) if self._signals else None,
                "hours": (self._clock() - self._began) / 3600,
                "reason": reason,
                "signals": [self._facts(name, signal) for name, signal in self._signals.items()],
            }
