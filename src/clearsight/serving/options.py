"""Options in a request's address: one that its route does not have is refused, since a misspelt one would else be taken
for the default.
"""

from __future__ import annotations

from difflib import SequenceMatcher

from fastapi import Request
from fastapi.routing import APIRoute

from clearsight.errors import ConfigError, did_you_mean
from clearsight.serving.settings import QUERY_BYTES


async def known_options(request: Request) -> None:
    """Raise ConfigError for an option under /v1 that the route does not have."""
    route = request.scope["route"]
    if not isinstance(route, APIRoute) or not route.path.startswith("/v1/"):
        return
    size = len(request.scope["query_string"])
    if size > QUERY_BYTES:
        raise ConfigError(
            "the query string is too long", found=f"{size:,} bytes", expected=f"at most {QUERY_BYTES:,} bytes"
        )
    known = [field.alias for field in route.dependant.query_params]
    for name in request.query_params:
        if name not in known:
            name = name[:60]
            nearest_first = sorted(known, key=lambda other: -SequenceMatcher(None, name, other).ratio())
            raise ConfigError(
                f"{route.path} has no option {name!r}", expected=", ".join(nearest_first) or "no options",
                fix=did_you_mean(name, known) or "/docs lists the options",
            )  # fmt: skip
