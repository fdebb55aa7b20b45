"""What every request meets first: an identity, who may ask, how many may ask at once; and what every answer carries."""

from __future__ import annotations

import asyncio
import hmac
import re
import time
import uuid
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clearsight.errors import ClearsightError, ConfigError
from clearsight.serving.clients import CLIENT, Budget, client_of
from clearsight.serving.logs import event
from clearsight.serving.metrics import Metrics
from clearsight.serving.problems import RefusedError, overloaded, problem_response
from clearsight.serving.settings import DISCARD_SECONDS, DISCARDED, EMPTY_MESSAGES, ServeConfig
from clearsight.serving.uploads import too_large

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""On every answer that does not set them itself."""

LOCAL = {"localhost", "127.0.0.1", "::1"}
"""Names this machine is asked by when it answers for itself alone. Others, or a page of another origin, mean that a web
page makes the browser ask (DNS rebinding, cross-site requests)."""

_IDENTITY = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Guard:
    """ASGI middleware around the whole application.

    token: what `Authorization: Bearer` must hold for /v1 and /metrics; None asks for none. local: answer only to the
    names in LOCAL.
    """

    def __init__(self, app: ASGIApp, *, config: ServeConfig, metrics: Metrics, token: str | None, local: bool) -> None:
        self.app, self.config, self.metrics, self.token, self.local = app, config, metrics, token, local
        self.budget = Budget(config.max_requests, config.client_share)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        identity = given if _IDENTITY.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = identity
        status = 0
        client = scope.get("client")
        CLIENT.set(client_of(client[0]) if client else "")

        async def respond(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    own.setdefault(name, value)
                own["X-Request-ID"] = identity
            await send(message)

        working = scope["method"] == "POST" and scope["path"].startswith("/v1/")
        admitted: str | None = None
        try:
            try:
                self._permit(scope, headers)
                if working:
                    self._admit(headers)
                    admitted = self.budget.take()
                    self.metrics.in_progress.set(self.budget.taken)
                elif not await _discard(headers, receive):  # a body that nothing here reads
                    headers = Headers()
                    raise too_large(self.config, close=True)
                await self.app(scope, receive, respond)
            except RefusedError as problem:  # refused before the application saw it
                whole = await _discard(headers, receive)
                extra = problem.headers if whole else {**problem.headers, "Connection": "close"}
                response = problem_response(problem.status, problem.error, identity, headers=extra)
                await response(scope, receive, respond)
        except ClientDisconnect:
            status = 499  # nobody is left to be answered; nginx's number for it
        except Exception as error:
            event("defect", level=40, error=error, request_id=identity)
            if not status:
                sorry = ClearsightError(
                    "internal server error", fix=f"report it to the server's operator with the request ID {identity}"
                )
                await problem_response(500, sorry, identity)(scope, receive, respond)
        finally:
            if admitted is not None:
                self.budget.give_back(admitted)
                self.metrics.in_progress.set(self.budget.taken)
            self._record(scope, identity, status, time.perf_counter() - began)

    def _permit(self, scope: Scope, headers: Headers) -> None:
        """Raise RefusedError 401 without the token, 403 for a request that a foreign web page makes."""
        if self.local and _host(headers.get("host", "")) not in LOCAL:
            raise RefusedError(
                403,
                ConfigError("this server accepts requests from the local machine only",
                            expected="localhost in the Host header",
                            fix="to serve other machines, start the server with --host"),
            )  # fmt: skip
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != headers.get("host", ""):
            raise RefusedError(
                403,
                ConfigError("cross-origin requests are not accepted", expected="a request from a page of this server"),
            )
        path = scope["path"]
        if self.token is None or not (path.startswith("/v1/") or path == "/metrics"):
            return
        kind, _, word = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(word.strip().encode(), self.token.encode()):
            raise RefusedError(
                401,
                ConfigError("a token is required", found="no token or a wrong one",
                            expected="the header Authorization: Bearer TOKEN"),
                headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip

    def _admit(self, headers: Headers) -> None:
        """Raise RefusedError 429 for too many requests in progress, 413 for a body whose stated length is too large."""
        if not self.budget.allows():
            self.metrics.refused.labels("requests").inc()
            raise overloaded("too many concurrent requests", 1)
        length = headers.get("content-length", "0")
        if length.isdecimal() and (len(length) > 18 or int(length) > self.config.body_bytes):
            raise too_large(self.config, close=False)

    def _record(self, scope: Scope, identity: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "other"
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
        self.metrics.requests.labels(route, method, str(status)).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        event(
            "request", request_id=identity, method=method, route=route, status=status,
            milliseconds=round(1000 * seconds, 2), images=scope.get("state", {}).get("images", 0),
        )  # fmt: skip


def _host(text: str) -> str:
    """The name in a Host header, without its port; "" for what is none."""
    try:
        return urlsplit(f"//{text}").hostname or ""
    except ValueError:
        return ""


async def _discard(headers: Headers, receive: Receive) -> bool:
    """Read the body away; whether it came to an end. A client that still sends does not read its answer, and one that
    asks first (Expect: 100-continue) has not begun to send.
    """
    if "transfer-encoding" not in headers and headers.get("content-length", "0") == "0":
        return True
    if headers.get("expect", "").lower() == "100-continue":
        return False
    total = empty = 0
    try:
        async with asyncio.timeout(DISCARD_SECONDS):
            while total < DISCARDED and empty < EMPTY_MESSAGES:
                message = await receive()
                size = len(message.get("body", b""))
                total += size
                empty += not size
                if not message.get("more_body", False):
                    return True
    except TimeoutError:
        pass
    return False
