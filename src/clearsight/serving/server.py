"""The web server: Uvicorn, with patience that ends. Slow or endless heads, trailers and chunk extensions, unread
answers, endless pipelines and too many connections are cut off here; bodies and requests are bounded in `uploads`,
`guard` and `worker`.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from asyncio.events import TimerHandle
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from clearsight.errors import ConfigError
from clearsight.serving.logs import event
from clearsight.serving.settings import (
    CHUNK_BYTES,
    CONNECTIONS,
    DISCARD_SECONDS,
    DISCARDED,
    HEAD_BYTES,
    HEAD_SECONDS,
    PIECE_BYTES,
    ServeConfig,
)
from clearsight.serving.tls import Tls

FULL = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Gate(FlowControl):
    """Flow control that reads nothing more while it is held, whoever asks for more."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class Connection(HttpToolsProtocol):
    """One client's connection. Each head, each answer that waits to be read and each body that comes after its answer
    has a time; what a request holds besides its body is bounded, wherever it stands: in the head, between chunks, in
    trailers, before and after it.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._timers: dict[str, TimerHandle] = {}  # of "head", "read" and "discard"
        self._unparsed = bytearray()
        self._in_body = False
        self._overhead = 0  # bytes since the last message ended that are no body
        self._discarded = 0  # bytes of body after the answer
        self._ended = False  # a message ended in the piece at hand

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = self._gate = Gate(transport)
        if len(self.connections) > CONNECTIONS:
            transport.write(FULL)
            transport.close()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        for name in ("head", "read", "discard"):
            self._end_timer(name)
        self._unparsed.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._unparsed += data
        self._parse()

    def _parse(self) -> None:
        """Parse what has come. While a request waits for its turn the bytes after it wait too: Uvicorn would make an
        object of each of the thousands of requests that one read can hold.
        """
        while self._unparsed and not self.pipeline and not self.transport.is_closing():
            piece = bytes(self._unparsed[:PIECE_BYTES])
            del self._unparsed[:PIECE_BYTES]
            if not self._in_body and "head" not in self._timers:
                self._await_head()  # also for empty lines between messages, which the parser does not report
            self._ended = False
            self._overhead += len(piece)
            super().data_received(piece)
            # Where in a piece the next message began is not known. Chunks save up nothing for what comes after them.
            self._overhead = 0 if self._ended else max(0, self._overhead)
            if self._overhead > HEAD_BYTES and not self.transport.is_closing():
                self._cut_off()
        if self.transport.is_closing():
            self._unparsed.clear()
        elif self._unparsed:
            self._gate.held = True
            self._gate.pause_reading()
        elif self._gate.held:
            self._gate.held = False
            if not self.pipeline:
                self._gate.resume_reading()

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _cut_off(self) -> None:
        """End the connection: by 400 where the next answer is this message's and has not begun."""
        own = self._answering and not self.pipeline and not self.cycle.response_started
        if own if self._in_body else not self._answering:
            where = "trailers or chunk extensions" if self._in_body else "head"
            self.send_400_response(f"The request is too large: more than {HEAD_BYTES} bytes in its {where}.")
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_body = False
        if "head" not in self._timers:
            self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:  # else a trailer, which nothing reads
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._end_timer("head")
        self._in_body = True
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        self._overhead -= CHUNK_BYTES

    def on_body(self, body: bytes) -> None:
        self._overhead -= len(body)
        if self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > DISCARDED:
                self.transport.abort()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._end_timer("discard")
        self._in_body = False
        self._ended = True
        self._discarded = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._in_body and self.cycle.response_complete and "discard" not in self._timers:
            self._timers["discard"] = self.loop.call_later(DISCARD_SECONDS, self.transport.abort)
        if self._unparsed:
            self.loop.call_soon(self._parse)

    def pause_writing(self) -> None:
        super().pause_writing()
        if "read" not in self._timers:
            self._timers["read"] = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        self._end_timer("read")
        super().resume_writing()

    def _await_head(self) -> None:
        self._timers["head"] = self.loop.call_later(HEAD_SECONDS, self._head_late)

    def _head_late(self) -> None:
        if self._answering or self.flow.read_paused:  # what came before is at work, and must not be lost
            self._await_head()
        else:
            self.transport.abort()

    def _end_timer(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()


class Server(uvicorn.Server):
    """Ends with exit code 0 on SIGINT and SIGTERM, after requests in progress are answered; a second SIGINT ends it at
    once. stopping: called when it takes no more, with the number of requests in progress.
    """

    def __init__(self, config: uvicorn.Config, stopping: Callable[[int], None]) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        pending = len(self.server_state.tasks)
        event("stopping", requests=pending)
        self._stopping(pending)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Uvicorn's own also notes the signal, to raise it again once all is done.
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True


def make_server(
    app: FastAPI, config: ServeConfig, stopping: Callable[[int], None] = lambda pending: None, tls: Tls | None = None
) -> Server:
    """A server of the application, not started; over HTTPS with `tls`."""
    return Server(
        uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=15,
            ssl_certfile=tls.certificate if tls else None,
            ssl_keyfile=tls.key if tls else None,
            timeout_graceful_shutdown=int(max(config.timeout, config.explain_timeout)) + 5,
        ),
        stopping,
    )


def bound(host: str, port: int) -> socket.socket:
    """A socket that has the port; ConfigError where it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError):
        raise ConfigError(
            f"--host {host!r} cannot be resolved", expected="a host name or IP address of this machine"
        ) from None
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(address)
        made.listen(1)  # two servers could else bind one port, and the second would fail only later
    except OSError as error:
        made.close()
        raise ConfigError(
            f"port {port} on {host} is not available",
            found=(error.strerror or str(error)).lower(),
            fix="choose another --port, or 0 for any free port",
        ) from None
    return made
