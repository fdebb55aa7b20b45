"""The web server: Uvicorn, with patience that ends. Slow or endless heads, unread answers and too many connections are
cut off here; bodies and requests are bounded in `uploads`, `guard` and `worker`.
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
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from clearsight.errors import ConfigError
from clearsight.serving.logs import event
from clearsight.serving.settings import CONNECTIONS, HEAD_BYTES, HEAD_SECONDS, ServeConfig

FULL = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Connection(HttpToolsProtocol):
    """One client's connection, with a time for each head and for each answer that waits to be read."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_timer: TimerHandle | None = None
        self._read_timer: TimerHandle | None = None
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.write(FULL)
            transport.close()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head_timer()
        self._end_read_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head_timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._end_head_timer()
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._read_timer is None:
            self._read_timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        self._end_read_timer()
        super().resume_writing()

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _end_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None


class Server(uvicorn.Server):
    """Ends with exit code 0 on SIGINT and SIGTERM, after requests in progress are answered; a second SIGINT ends it at
    once. stopping: called when it takes no more, with the number of requests in progress.
    """

    def __init__(self, config: uvicorn.Config, stopping: Callable[[int], None]) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        waiting = len(self.server_state.tasks)
        event("stopping", requests=waiting)
        self._stopping(waiting)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Uvicorn's own also notes the signal, to raise it again once all is done.
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True


def make_server(app: FastAPI, config: ServeConfig, stopping: Callable[[int], None] = lambda waiting: None) -> Server:
    """A server of the application, not started."""
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
            timeout_graceful_shutdown=int(max(config.timeout, config.explain_timeout)) + 5,
        ),
        stopping,
    )


def bound(host: str, port: int) -> socket.socket:
    """A socket that has the port; ConfigError where it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError):
        raise ConfigError(f"--host {host!r} is not known", expected="a name or address of this machine") from None
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(address)
        made.listen(1)  # two servers could else bind one port, and the second would fail only later
    except OSError as error:
        made.close()
        raise ConfigError(
            f"{host} port {port} cannot be had",
            found=(error.strerror or str(error)).lower(),
            fix="choose another --port, or 0 for any that is free",
        ) from None
    return made
