"""What Prometheus reads at /metrics: counts, times and sizes; nothing about what images show."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """The figures of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "clearsight_requests_total", "Requests answered", ("route", "method", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "clearsight_request_seconds", "Duration of a request, from its headers to the response", ("route",),
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.refused = Counter(
            "clearsight_refused_total",
            "Requests refused with status 429, by the limit reached",
            ("reason",),
            registry=self.registry,
        )
        self.images = Counter("clearsight_images_total", "Images, by outcome", ("outcome",), registry=self.registry)
        self.in_progress = Gauge("clearsight_requests_in_progress", "Requests in progress", registry=self.registry)
        self.queue = Gauge(
            "clearsight_images_in_progress", "Images accepted but not yet processed", registry=self.registry
        )
        self.batch = Histogram(
            "clearsight_batch_images", "Number of images per inference batch", buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )  # fmt: skip
        self.engine = Histogram(
            "clearsight_engine_seconds", "Inference time per batch", buckets=SECONDS, registry=self.registry
        )
        self.drift = Gauge(
            "clearsight_drift_log10_capital", "Evidence of drift in this week, log10 of the capital of the test",
            ("signal",), registry=self.registry,
        )  # fmt: skip
        self.drift_alarm = Gauge(
            "clearsight_drift_alarm", "1 if drift was detected in this week, otherwise 0", ("signal",),
            registry=self.registry,
        )  # fmt: skip
        self.drift_alarms = Counter(
            "clearsight_drift_alarms_total", "Drift alarms", ("signal",), registry=self.registry
        )
        self.ready = Gauge("clearsight_ready", "1 if the engine is warmed up, otherwise 0", registry=self.registry)
        ProcessCollector(registry=self.registry)

    def text(self) -> bytes:
        """All figures in Prometheus's text format."""
        return generate_latest(self.registry)
