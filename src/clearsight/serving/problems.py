"""Errors as answers: application/problem+json (RFC 9457), in the words of Clearsight's errors."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from starlette.responses import JSONResponse

from clearsight.errors import ClearsightError, ConfigError

MEDIA_TYPE = "application/problem+json"


class ProblemDetails(BaseModel):
    """What went wrong (RFC 9457). happened, found, expected, fix: the parts of `detail`, where there are any."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str
    happened: str | None = None
    found: str | None = None
    expected: str | None = None
    fix: str | None = None
    images: list[str] | None = None


class RefusedError(Exception):
    """A request that ends with this status. close: the connection is not used again. images: what is wrong with each
    image, where each is.
    """

    def __init__(
        self,
        status: int,
        error: ClearsightError,
        *,
        headers: Mapping[str, str] | None = None,
        images: list[str] | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(str(error))
        self.status, self.error, self.images = status, error, images
        self.headers = {**(headers or {}), **({"Connection": "close"} if close else {})}


def overloaded(reason: str, seconds: float) -> RefusedError:
    """429: come again after so many seconds, rounded up."""
    wait = max(1, min(600, int(seconds + 0.999)))
    return RefusedError(
        429,
        ClearsightError(reason, fix=f"try again in {wait} s or start more replicas"),
        headers={"Retry-After": str(wait)},
    )


def too_slow(what: str, seconds: float, fix: str) -> RefusedError:
    """422: work that takes longer than it may."""
    found = f"more than {seconds:g} s, including waiting time"
    return RefusedError(422, ConfigError(f"{what} exceeds its time limit", found=found, fix=fix))


def problem_response(
    status: int,
    error: ClearsightError,
    request_id: str,
    *,
    headers: Mapping[str, str] | None = None,
    images: list[str] | None = None,
) -> JSONResponse:
    """The response for an error."""
    parts = {name: getattr(error, name) for name in ("happened", "found", "expected", "fix")}
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": str(error),
        "request_id": request_id,
        **{name: str(value) for name, value in parts.items() if value is not None},
    }
    if images is not None:
        content["images"] = images
    return JSONResponse(content, status, headers, media_type=MEDIA_TYPE)
