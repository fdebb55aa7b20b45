"""How much a server takes on: every limit in one place, with its default and its range."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from typing import Any

from clearsight.errors import ConfigError


def _limit(default: Any, text: str, metavar: str, low: float, high: float) -> Any:
    return field(default=default, metadata={"help": text, "metavar": metavar, "low": low, "high": high})


@dataclass(frozen=True)
class ServeConfig:
    """Limits of a server. What they bound together: memory, since at most `max_requests` bodies of `max_body` and
    `workers` decoded images exist at once, and waiting, since at most `queue` images do.

    Raises ConfigError that names every value out of range.
    """

    max_body: float = _limit(16.0, "maximum size of a request in MB", "MB", 0.001, 1024)
    max_pixels: float = _limit(25.0, "maximum size of an image in millions of pixels", "M", 0.0001, 10_000)
    max_images: int = _limit(16, "maximum number of images per request", "N", 1, 1000)
    max_requests: int = _limit(64, "maximum number of concurrent requests; further ones get status 429", "N", 1, 10_000)
    queue: int = _limit(128, "maximum number of queued images; further ones get status 429", "N", 1, 100_000)
    client_share: float = _limit(
        0.75,
        "share of the limits on requests, images and explanations for one client (IP address); 1 behind a proxy",
        "P",
        0.01,
        1,
    )
    timeout: float = _limit(
        30.0, "time limit in seconds for receiving a request and, separately, for answering it", "S", 0.1, 3600
    )
    explain_timeout: float = _limit(60.0, "time limit in seconds for an explanation", "S", 0.1, 3600)
    batch_size: int = _limit(16, "maximum number of images per batch", "N", 1, 256)
    linger: float = _limit(2.0, "time in milliseconds that a batch waits for more images", "MS", 0, 1000)
    workers: int = _limit(
        min(8, os.cpu_count() or 1),
        "number of processes that decode images; half as many, at least one, decode large ones besides",
        "N",
        1,
        64,
    )
    drift_alarms: float = _limit(
        0.01, "probability of a false drift alarm in a week; 0 switches the monitoring off", "P", 0, 0.5
    )
    decode_timeout: float = _limit(1.5, "time limit in seconds for decoding one image", "S", 0.1, 600)
    decode_memory: float = _limit(750.0, "memory limit in MB for decoding one image", "MB", 50, 100_000)

    def __post_init__(self) -> None:
        wrong = []
        for f in fields(self):
            value, low, high = getattr(self, f.name), f.metadata["low"], f.metadata["high"]
            whole = isinstance(f.default, int)
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
                wrong.append(f"{_flag(f.name)} {value!r} (not a {'whole ' * whole}number)")
            elif not low <= value <= high:
                wrong.append(f"{_flag(f.name)} {value} (not in [{low}, {high}])")
        if self.max_images > self.queue:
            wrong.append(
                f"--queue {self.queue} (less than the maximum number "
                f"of images per request, --max-images {self.max_images})"
            )
        if wrong:
            raise ConfigError("the server settings are invalid", found="; ".join(wrong))

    @property
    def body_bytes(self) -> int:
        return int(self.max_body * 1e6)

    @property
    def pixels(self) -> int:
        return int(self.max_pixels * 1e6)


HEAD_BYTES = 65_536
"""Most bytes of a request besides its body: first line, headers, chunk sizes and extensions, trailers."""

CHUNK_BYTES = 8
"""Bytes of a chunk's size line and line ends that do not count towards HEAD_BYTES: what a client cannot do without."""

HEAD_SECONDS = 10.0
"""Most seconds a client takes to send a head, and to read what is answered once its buffers are full."""

PIECE_BYTES = 4096
"""Bytes that are parsed at once; what a request holds besides its body is counted to this precision."""

DISCARDED = 256_000_000
"""Most bytes of an unwanted body that are read and thrown away, so that the client comes to read its answer."""

DISCARD_SECONDS = 5.0
"""Most seconds that are spent on it."""

EMPTY_MESSAGES = 1000
"""Most ASGI messages of a body that hold none of it: where they come without a pause, no time limit ends them."""

QUERY_BYTES = 4096
"""Most bytes of the options in a request's address."""

CONTENT_TYPE_BYTES = 1024
"""Most characters of a request's Content-Type: the time to read it grows with its square."""

PART_HEADERS = 16
"""Most headers of a file in a form."""

PART_HEADER_BYTES = 4096
"""Most bytes of the headers of a file in a form."""

CONNECTIONS = 512
"""Most connections at once, idle ones included."""

WAITING_EXPLANATIONS = 2
"""Explanations that may wait for the one at work."""

WAITING_LOOKS = 4
"""Attacks and looks into the network that may wait for the one at work."""

KEPT_LAYERS = 8
"""Layers of which is remembered what training images excite in them."""

MAX_SAMPLES = 2000
"""Most noisy copies, steps or coalitions an explanation may be asked for."""


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
