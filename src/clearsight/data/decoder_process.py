"""The program that decodes images for a server: a process that forks others, which decode within limits.

`python -m clearsight.data.decoder_process FD` imports the decoders once, then forks a process for each socket that
arrives at FD, with its settings. A forked process decodes one file at a time. Its memory is limited by RLIMIT_AS, its
time by RLIMIT_CPU and an alarm that the kernel delivers, so it ends even within a library that never returns. It cannot
write files, and it holds no token, model or other request. `serving.decoders` is the other side.

    request   length of the name and of the content, the name, the content
    response  length of a JSON object, the object, and the pixels if it has a shape

Only Linux and macOS can fork; RLIMIT_AS has no effect on macOS.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import resource
import signal
import socket
import struct
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clearsight.data.decode import DecodeRule
from clearsight.data.formats.limits import Limits
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat, quiet_pillow
from clearsight.errors import ImageError

REQUEST = struct.Struct(">IQ")
RESPONSE = struct.Struct(">I")
COMMAND = struct.Struct(">cII")
"""FORK or KILL; the process; bytes of the settings that follow."""

FORK, KILL = b"F", b"K"

PARTS = ("happened", "found", "expected", "fix")
"""Of an error, as they are sent."""

IMPORTED = ("cv2", "tifffile", "imagecodecs", "pydicom", "pydicom.pixels", "pillow_heif", "scipy.io.wavfile",
            "scipy.signal")  # fmt: skip
"""What decoders import when they need it, if it is installed."""


@dataclass(frozen=True)
class DecoderSettings:
    """What is decoded and within which limits. seconds: of one file, by the clock. memory: bytes beyond those of a
    process at rest. priority: niceness.
    """

    rule: DecodeRule
    max_pixels: int
    limits: Limits
    seconds: float
    memory: int
    priority: int = 0

    def to_json(self) -> str:
        """As text, for `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> DecoderSettings:
        """The settings that `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        rule = values["rule"]
        values["rule"] = DecodeRule(
            PixelFormat(**rule["form"]), Geometry(**rule["geometry"]), rule["media"],
            rule["columns"] and tuple(rule["columns"]),
        )  # fmt: skip
        return cls(**values | {"limits": Limits(**values["limits"])})


def receive(connection: socket.socket, size: int) -> bytearray:
    """So many bytes; EOFError if the other side ends before.

    Args:
        connection: a stream.
        size: number of bytes.

    Returns:
        The bytes.
    """
    content = bytearray(size)
    view, place = memoryview(content), 0
    while place < size:
        read = connection.recv_into(view[place:])
        if not read:
            raise EOFError
        place += read
    return content


def main(descriptor: str) -> None:
    """Fork and end processes as the server asks, until it closes its socket.

    Args:
        descriptor: number of the socket that commands arrive at.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal; the server ends this process
    for name in IMPORTED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    forked = set()
    with socket.socket(fileno=int(descriptor)) as control:
        while True:
            content, descriptors, _, _ = socket.recv_fds(control, COMMAND.size, 1)
            if not content:
                return
            kind, process, size = COMMAND.unpack(content)
            if kind == FORK:
                settings = DecoderSettings.from_json(receive(control, size).decode())
                process = _forked(control, socket.socket(fileno=descriptors[0]), settings)
                forked.add(process)
            elif process in forked:  # of another program, its number may have been given to any process
                forked.remove(process)
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
            control.sendall(COMMAND.pack(kind, process, 0))


def _forked(control: socket.socket, connection: socket.socket, settings: DecoderSettings) -> int:
    with connection:
        if process := os.fork():
            return process
        try:
            control.close()
            os.nice(settings.priority)
            with quiet_pillow():
                _serve(connection, settings)
        except BaseException:
            os._exit(1)
        os._exit(0)


def _serve(connection: socket.socket, settings: DecoderSettings) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # libraries print remarks on damaged files
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_AS, _memory() + settings.memory)
    while True:
        try:
            name_size, size = REQUEST.unpack(receive(connection, REQUEST.size))
        except EOFError:
            return
        used = math.ceil(time.process_time() + settings.seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (used + 1, resource.RLIM_INFINITY))
        signal.setitimer(signal.ITIMER_REAL, settings.seconds)  # SIGALRM is not handled: it ends the process
        name = receive(connection, name_size).decode()
        response, pixels = _response(bytes(receive(connection, size)), name, settings)
        signal.setitimer(signal.ITIMER_REAL, 0)
        text = json.dumps(response).encode()
        connection.sendall(RESPONSE.pack(len(text)) + text + pixels)


def _response(content: bytes, name: str, settings: DecoderSettings) -> tuple[dict[str, Any], bytes]:
    try:
        pixels = settings.rule.decode(content, name, settings.max_pixels, settings.limits)
    except MemoryError:
        return memory_error(name, settings.memory), b""
    except ImageError as error:
        if isinstance(error.__cause__, MemoryError):
            return memory_error(name, settings.memory), b""
        return {part: text for part in PARTS if (text := getattr(error, part)) is not None}, b""
    return {"shape": pixels.shape, "dtype": pixels.dtype.name}, pixels.tobytes()


def memory_error(name: str, memory: int) -> dict[str, Any]:
    """The parts of the error for an image that needs too much memory.

    Args:
        name: name of the image.
        memory: bytes that are available.

    Returns:
        Arguments of `ImageError`.
    """
    return {
        "happened": f"{name} needs too much memory to decode", "found": f"more than {memory / 1e6:.0f} MB",
        "fix": "downscale the image first",
    }  # fmt: skip


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _memory() -> int:
    """Virtual memory of this process in bytes; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[0]) * resource.getpagesize() if statm.exists() else 2**40


if __name__ == "__main__":
    main(*sys.argv[1:])
