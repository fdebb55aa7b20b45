"""Decoding of clients' images in processes of their own, which a hostile image may fill, stop or end.

Images wait in two lanes, by the work that their headers state: a large image takes as long as hundreds of small ones,
so it never keeps these from being decoded. The processes of large images have a low priority. A process that reaches a
limit or breaks is replaced by another, which takes some milliseconds (`data.decoder_process`). On Windows, which cannot
fork, threads of the server decode, within the same counts but without limits on time and memory.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import math
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from clearsight.data.decode import DecodeRule
from clearsight.data.formats.limits import SERVED, Limits, counted
from clearsight.data.pixels import Pixels
from clearsight.errors import ClearsightError, ImageError
from clearsight.json_values import from_json

LARGE = 16_000_000
"""Bytes that a decoder passes over from which an image is large, such as 5 million pixels in colour."""

UNKNOWN = 200_000
"""Bytes of a file from which it is large if its size was not read: sounds, files of more than STEPS parts, and what is
no image."""

STEPS = 200
"""Parts of a file that are counted before its lane is chosen; the process that decodes it counts all."""

LARGE_PRIORITY = 19
"""Niceness of the processes that decode large images."""

RESPONSE_BYTES = 100_000
"""JSON of a response at most: what a process sends after it has been taken over is not trusted."""

GRACE = 0.1
"""Seconds beyond its time limit after which a process counts as hung."""


BROKEN = (OSError, EOFError, ValueError, KeyError, TypeError)
"""What reading a response raises where a process ended, hangs, or sends what is no response."""


class DecodersLostError(ClearsightError):
    """No process can be started to decode."""


class Decoders:
    """Decodes files for one model. Its coroutine belongs to one event loop.

    workers: number of small images that are decoded at once; half as many large ones, at least one, besides. seconds:
    for one image. memory: for one image, in bytes.
    """

    def __init__(self, rule: DecodeRule, *, workers: int, max_pixels: int, seconds: float, memory: int) -> None:
        limits = replace(SERVED, values=4 * max_pixels, work=60 * max_pixels, pixels=max_pixels)
        self.limits = limits
        self._large = ThreadPoolExecutor(max(1, workers // 2), "decode large")
        self._small = ThreadPoolExecutor(workers, "decode")
        self._made: _Processes | _Threads
        if sys.platform == "win32":
            self._made = _Threads(rule, max_pixels, limits)
        else:
            from clearsight.data.decoder_process import DecoderSettings

            self._made = _Processes(DecoderSettings(rule, max_pixels, limits, seconds, memory))

    async def decode(self, content: bytes, name: str) -> Pixels:
        """The pixels (C, H, W) of a file; ImageError if it cannot be decoded within the limits."""
        loop = asyncio.get_running_loop()
        parts = counted(content, name, self.limits, STEPS)
        large = parts.work > LARGE if parts.complete and parts.values else len(content) > UNKNOWN
        lane, priority = (self._large, LARGE_PRIORITY) if large else (self._small, 0)
        return await loop.run_in_executor(lane, self._made.decode, content, name, priority)

    def start(self) -> None:
        """Start the first process, which takes about half a second."""
        self._made.start()

    def stop(self) -> None:
        """Finish what is at work and end the processes."""
        for lane in (self._small, self._large):
            lane.shutdown(wait=True, cancel_futures=True)
        self._made.stop()


class _Threads:
    """Decodes in the thread that asks."""

    def __init__(self, rule: DecodeRule, max_pixels: int, limits: Limits) -> None:
        self.rule, self.max_pixels, self.limits = rule, max_pixels, limits

    def decode(self, content: bytes, name: str, priority: int) -> Pixels:
        return self.rule.decode(content, name, self.max_pixels, self.limits)

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass


if sys.platform != "win32":
    from clearsight.data.decoder_process import (
        COMMAND,
        FORK,
        KILL,
        PARTS,
        REQUEST,
        RESPONSE,
        DecoderSettings,
        receive,
    )

    class _Program:
        """The program that forks, one for all models of this process; it is started when it is first asked."""

        def __init__(self) -> None:
            self._lock = threading.Lock()
            self._process: subprocess.Popen[bytes] | None = None
            self._control: socket.socket | None = None

        def fork(self, settings: DecoderSettings) -> tuple[int, socket.socket]:
            """A process that decodes, and the socket to it."""
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    return self._asked(FORK, 0, settings.to_json().encode(), theirs.fileno()), ours
                except BaseException:
                    ours.close()
                    raise

        def kill(self, process: int) -> None:
            with contextlib.suppress(DecodersLostError):
                self._asked(KILL, process)

        def end(self) -> None:
            """End the program; processes that it forked end when their sockets are closed."""
            if self._control is not None:
                self._control.close()
            if self._process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(5)
                self._process.kill()
                self._process.wait()
            self._control = self._process = None

        def _asked(self, kind: bytes, process: int, settings: bytes = b"", *descriptors: int) -> int:
            with self._lock:
                for attempt in range(2):  # a program that has ended is started again
                    try:
                        control = self._control or self._started()
                        socket.send_fds(control, [COMMAND.pack(kind, process, len(settings))], descriptors)
                        control.sendall(settings)
                        return int(COMMAND.unpack(receive(control, COMMAND.size))[1])
                    except (OSError, EOFError) as error:
                        self.end()
                        if attempt or kind == KILL:
                            raise DecodersLostError(
                                "no process can be started to decode images", found=str(error) or "it ended at once",
                                fix="try again, or free memory on the server",
                            ) from error  # fmt: skip
            raise AssertionError

        def _started(self) -> socket.socket:
            control, theirs = socket.socketpair()
            self._control = control
            control.settimeout(60)
            environment = {name: value for name, value in os.environ.items() if name != "CLEARSIGHT_TOKEN"}
            environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "clearsight.data.decoder_process", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip
            return control

    _PROGRAM = _Program()
    atexit.register(_PROGRAM.end)

    def _is_idle(connection: socket.socket) -> bool:
        """Whether the other side is open and has sent nothing: what it sends unasked answers no request."""
        connection.settimeout(0)
        try:
            connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    class _Processes:
        """Decodes in processes with limits."""

        def __init__(self, settings: DecoderSettings) -> None:
            self.settings = settings
            self._idle: dict[int, queue.LifoQueue[tuple[int, socket.socket]]] = {
                priority: queue.LifoQueue() for priority in (0, LARGE_PRIORITY)
            }

        def start(self) -> None:
            self._idle[0].put(self._fork(0))

        def stop(self) -> None:
            for idle in self._idle.values():
                while not idle.empty():
                    self._close(*idle.get_nowait())

        def decode(self, content: bytes, name: str, priority: int) -> Pixels:
            idle = self._idle[priority]
            process, connection = self._idle_process(idle) or self._fork(priority)
            began = time.monotonic()
            try:
                pixels = self._asked(connection, content, name)
            except ImageError:
                idle.put((process, connection))
                raise
            except BROKEN as error:  # a limit ended it, it hangs, or it broke
                self._close(process, connection)
                late = time.monotonic() - began >= 0.9 * self.settings.seconds
                raise self._unfinished(name, late) from error
            idle.put((process, connection))
            return pixels

        def _idle_process(self, idle: queue.LifoQueue[tuple[int, socket.socket]]) -> tuple[int, socket.socket] | None:
            """A process that waits for a request, None for none; those that ended meanwhile are replaced."""
            with contextlib.suppress(queue.Empty):
                while True:
                    process, connection = idle.get_nowait()
                    if _is_idle(connection):
                        return process, connection
                    self._close(process, connection)
            return None

        def _fork(self, priority: int) -> tuple[int, socket.socket]:
            return _PROGRAM.fork(replace(self.settings, priority=priority))

        def _close(self, process: int, connection: socket.socket) -> None:
            connection.close()
            _PROGRAM.kill(process)

        def _asked(self, connection: socket.socket, content: bytes, name: str) -> Pixels:
            connection.settimeout(self.settings.seconds + GRACE)
            words = name.encode("utf-8", "replace")
            connection.sendall(REQUEST.pack(len(words), len(content)) + words)
            connection.sendall(content)
            (size,) = RESPONSE.unpack(receive(connection, RESPONSE.size))
            if size > RESPONSE_BYTES:
                raise ValueError
            response: dict[str, Any] = from_json(receive(connection, size))
            if "shape" not in response:
                raise ImageError(**{part: str(response[part]) for part in PARTS if part in response})
            form, geometry = self.settings.rule.form, self.settings.rule.geometry
            shape = form.channels, geometry.height, geometry.width
            if tuple(response["shape"]) != shape or response["dtype"] != form.dtype.name:
                raise ValueError
            pixels = np.frombuffer(receive(connection, math.prod(shape) * form.dtype.itemsize), form.dtype)
            return pixels.reshape(shape)

        def _unfinished(self, name: str, late: bool) -> ImageError:
            seconds, memory = self.settings.seconds, self.settings.memory / 1e6
            if late:
                return ImageError(
                    f"{name} takes too long to decode", found=f"more than {seconds:g} s",
                    fix="downscale the image first, or raise --decode-timeout",
                )  # fmt: skip
            return ImageError(
                f"{name} cannot be decoded", found="a file that ends the decoder",
                expected=f"a valid image that takes at most {memory:.0f} MB and {seconds:g} s to decode",
            )  # fmt: skip
