"""`clearsight serve` on 127.0.0.1: latency, throughput, ten minutes at saturation, and uploads made to break it.

The model is trained on elpv first (photographs of 300x300, a head on EfficientNet-Lite0), or is the run named by
CLEARSIGHT_BENCH_RUN. The server is a process of its own, its clients are threads of this one, with connections kept
open. Bounded in count and time, and sent to this machine alone.

    python -m benchmarks serving                            everything: about 15 minutes
    CLEARSIGHT_BENCH_SECONDS=20 python -m benchmarks serving     a short version, whose figures mean little
"""

from __future__ import annotations

import collections
import contextlib
import http.client
import io
import os
import random
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import spread

PEER = Path(__file__).parent / "peers" / "fastapi_eager.py"
UPLOADS = 2000
HOST = "127.0.0.1"


def measure() -> dict[str, Any]:
    seconds = float(os.environ.get("CLEARSIGHT_BENCH_SECONDS", "600"))
    with tempfile.TemporaryDirectory() as folder:
        run = os.environ.get("CLEARSIGHT_BENCH_RUN") or _trained(folder)
        image = _image()
        count = UPLOADS if seconds >= 600 else 100
        found: dict[str, Any] = {"parity": _parity(run, image), "latency": _latency(run, image)}
        found["throughput"] = _throughput(run, image, min(30.0, seconds / 4))
        with served(run) as (port, process):
            found["saturation"] = _saturation(port, process, image, seconds)
            found["fuzz"] = _fuzz(port, process, image, count)
            process.send_signal(signal.SIGTERM)
            found["exit_code"] = process.wait(60)
    return found


def _trained(folder: str) -> str:
    from clearsight.api.fit import fit

    return str(fit("elpv", out=f"{folder}/run").folder)


def _image() -> bytes:
    """A photograph of 300x300 as JPEG."""
    from PIL import Image
    from skimage import data

    buffer = io.BytesIO()
    Image.fromarray(data.chelsea()[:300, 50:350]).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@contextlib.contextmanager
def served(run: str, *options: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A server that is ready: its port and process."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    words = ["-m", "clearsight.cli.main", "serve", run, "--port", str(port), *options]
    with _process([sys.executable, *words], port) as process:
        yield port, process


@contextlib.contextmanager
def _process(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 300
        while not _ready(port):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command[-1]} did not start")
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait()


def _ready(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection(HOST, port, timeout=10)
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False


class Client:
    """One connection that is kept open."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection(HOST, port, timeout=120)

    def post(self, path: str, body: bytes, kind: str) -> tuple[int, bytes]:
        """Status and body; a connection that the server closed is opened again, once."""
        for last in (False, True):
            try:
                self.connection.request("POST", path, body, {"Content-Type": kind})
                answer = self.connection.getresponse()
                return answer.status, answer.read()
            except (http.client.HTTPException, OSError):
                self.connection.close()
                if last:
                    raise
        raise AssertionError


def _form(image: bytes) -> tuple[bytes, str]:
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    return head + image + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"


def _parity(run: str, image: bytes) -> dict[str, Any]:
    import json

    from clearsight.runs.load import load_predictor

    with tempfile.NamedTemporaryFile(suffix=".jpg") as file, served(run) as (port, _):
        file.write(image)
        file.flush()
        expected = load_predictor(run).predict(file.name)[0]
        answer = json.loads(Client(port).post("/v1/predict", image, "image/jpeg")[1])["predictions"][0]
    apart = max(abs(answer["probabilities"][name] - p) for name, p in expected.probabilities.items())
    return {"largest_difference": apart, "bar": 1e-4, "same_class": answer["label"] == expected.label}


def _latency(run: str, image: bytes, repeats: int = 200) -> dict[str, Any]:
    """Over HTTP against decoding and inference by the same engine in this process."""
    from clearsight.data.pixels import decode_image
    from clearsight.predictor import Predictor
    from clearsight.runs.load import load_predictor

    bundle = load_predictor(run).bundle
    predictor = Predictor(bundle, hint="latency")
    predictor.prepare(10**9)

    def engine() -> None:
        predictor.logits(decode_image(image, "x", bundle.form, bundle.geometry)[None])

    ours: list[float] = []
    with served(run) as (port, _):
        client = Client(port)

        def rest() -> None:
            status, _ = client.post("/v1/predict", image, "image/jpeg")
            assert status == 200

        own: list[float] = []
        for _ in range(20):
            engine()
            rest()
        for _ in range(repeats):  # by turns, so that both meet the same machine
            own.append(_seconds(engine))
            ours.append(_seconds(rest))
    ratio = statistics.median(ours) / statistics.median(own)
    return {
        "rest_seconds": spread(ours), "rest_p95": sorted(ours)[int(0.95 * len(ours))], "engine_seconds": spread(own),
        "ratio_of_p50": ratio, "bar": 1.5, "met": ratio <= 1.5,
    }  # fmt: skip


def _seconds(function: Callable[[], None]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _throughput(run: str, image: bytes, seconds: float, clients: int = 16) -> dict[str, Any]:
    """Images per second with so many clients, ours and the plain endpoint by turns."""
    body, kind = _form(image)
    ours, theirs = [], []
    for _ in range(2):
        with served(run) as (port, _):
            _loaded(port, "/v1/predict", body, kind, clients, 3)
            ours.append(_loaded(port, "/v1/predict", body, kind, clients, seconds)["answered_per_second"])
        with socket.socket() as free:
            free.bind((HOST, 0))
            port = free.getsockname()[1]
        with _process([sys.executable, str(PEER), run, str(port)], port):
            _loaded(port, "/predict", body, kind, clients, 3)
            theirs.append(_loaded(port, "/predict", body, kind, clients, seconds)["answered_per_second"])
    ratio = statistics.median(ours) / statistics.median(theirs)
    return {
        "clients": clients, "images_per_second": spread(ours), "fastapi_eager": spread(theirs), "times": ratio,
        "bar": 3, "met": ratio >= 3,
    }  # fmt: skip


def _loaded(
    port: int, path: str, body: bytes, kind: str, clients: int, seconds: float,
    watch: Callable[[], None] = lambda: None,
) -> dict[str, Any]:  # fmt: skip
    """Clients that ask again as soon as they are answered; those that receive a 429 wait a little."""
    until = time.perf_counter() + seconds
    statuses: collections.Counter[int] = collections.Counter()
    times: list[float] = []

    def client() -> None:
        own = Client(port)
        while time.perf_counter() < until:
            began = time.perf_counter()
            try:
                status, _ = own.post(path, body, kind)
            except (http.client.HTTPException, OSError):
                status = 599  # no answer counts as a failure of the server
            statuses[status] += 1
            if status == 200:
                times.append(time.perf_counter() - began)
            elif status == 429:
                time.sleep(0.2)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    while time.perf_counter() < until:
        time.sleep(min(1.0, max(0.0, until - time.perf_counter())))
        watch()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    times.sort()
    return {
        "statuses": {str(s): n for s, n in sorted(statuses.items())},
        "answered_per_second": statuses[200] / took,
        "p50": times[len(times) // 2] if times else None,
        "p99": times[int(0.99 * len(times))] if times else None,
    }


def _memory(process: subprocess.Popen[bytes]) -> int:
    """Anonymous memory of a process in bytes (Linux)."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no RssAnon")


def _saturation(port: int, process: subprocess.Popen[bytes], image: bytes, seconds: float) -> dict[str, Any]:
    """64 clients: no 5xx, and memory that stays where it was after a tenth of the time."""
    body, kind = _form(image)
    seen: list[int] = []
    found = _loaded(port, "/v1/predict", body, kind, 64, seconds, lambda: seen.append(_memory(process)))
    warm = seen[len(seen) // 10 :]
    tenth = max(1, len(warm) // 10)
    start, end = statistics.median(warm[:tenth]), statistics.median(warm[-tenth:])
    failed = sum(n for status, n in found["statuses"].items() if status >= "5")
    return {
        "clients": 64, "seconds": seconds, **found, "server_errors": failed,
        "memory_megabytes": [start / 1e6, end / 1e6], "growth": end / start - 1, "bar": 0.05,
        "met": failed == 0 and end / start - 1 <= 0.05,
    }  # fmt: skip


def _fuzz(port: int, process: subprocess.Popen[bytes], image: bytes, count: int) -> dict[str, Any]:
    """Malformed uploads of every kind, the same for the same count; after half of them memory must not grow."""
    rng = random.Random(0)
    files = _files(image)
    statuses: collections.Counter[str] = collections.Counter()
    kinds = (_cut, _turned, _joined, _bomb, _wrong, _json, _large, _slow)
    weights = (30, 30, 12, 8, 10, 6, 1, 3)
    middle = 0
    for number in range(count):
        if number == count // 2:
            middle = _memory(process)
        kind = rng.choices(kinds, weights)[0]
        try:
            statuses[f"{kind.__name__[1:]} {kind(port, rng, files)}"] += 1
        except (http.client.HTTPException, OSError) as error:
            statuses[f"{kind.__name__[1:]} {type(error).__name__}"] += 1
        if process.poll() is not None:
            return {"crashed_after": number, "statuses": dict(statuses), "met": False}
    growth = _memory(process) / middle - 1
    failed = sum(n for name, n in statuses.items() if name.split()[-1].startswith("5"))
    whole, _ = Client(port).post("/v1/predict", image, "image/jpeg")
    return {
        "uploads": count, "statuses": dict(sorted(statuses.items())), "server_errors": failed, "growth": growth,
        "bar": 0.05, "answers_still": whole == 200, "met": failed == 0 and growth <= 0.05 and whole == 200,
    }  # fmt: skip


def _files(image: bytes) -> list[bytes]:
    from PIL import Image

    with Image.open(io.BytesIO(image)) as picture:
        picture.load()
        found = [image]
        for kind in ("PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
            buffer = io.BytesIO()
            picture.resize((60, 60)).save(buffer, kind)
            found.append(buffer.getvalue())
    return found


def _sent(port: int, body: bytes, kind: str = "application/octet-stream") -> int:
    return Client(port).post("/v1/predict", body, kind)[0]


def _cut(port: int, rng: random.Random, files: list[bytes]) -> int:
    content = rng.choice(files)
    return _sent(port, content[: rng.randrange(len(content))])


def _turned(port: int, rng: random.Random, files: list[bytes]) -> int:
    content = bytearray(rng.choice(files))
    for _ in range(rng.randrange(1, 50)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return _sent(port, bytes(content))


def _joined(port: int, rng: random.Random, files: list[bytes]) -> int:
    first, second = rng.choice(files), rng.choice(files)
    return _sent(port, first[: rng.randrange(len(first))] + second[rng.randrange(40) :])


def _bomb(port: int, rng: random.Random, files: list[bytes]) -> int:
    """A PNG that unpacks to a thousand times its size, below and above the limit of pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    side = rng.choice((2_000, 4_900, 20_000, 60_000))
    rows = zlib.compress(b"\0" * min(side * (side + 1), 30_000_000))
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return _sent(port, b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def _wrong(port: int, rng: random.Random, files: list[bytes]) -> int:
    kind = rng.choice(("text/html", "image/png", "multipart/form-data", "multipart/form-data; boundary=b", "x", ""))
    return _sent(port, rng.choice((rng.randbytes(500), b"%PDF-1.7", b"<svg/>", b"MZ", rng.choice(files))), kind)


def _json(port: int, rng: random.Random, files: list[bytes]) -> int:
    body = rng.choice((b"{", b"[" * 50_000, b'{"images": 3}', b'{"images": ["%%%"]}', b"null", rng.randbytes(50)))
    return _sent(port, body, "application/json")


def _large(port: int, rng: random.Random, files: list[bytes]) -> int:
    return _sent(port, bytes(100_000_000))


def _slow(port: int, rng: random.Random, files: list[bytes]) -> int:
    """A body that comes in drops, then no more: the client leaves."""
    with socket.create_connection((HOST, port), 30) as connection:
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n")
        for _ in range(5):
            connection.sendall(b"x")
            time.sleep(0.02)
    return 0
