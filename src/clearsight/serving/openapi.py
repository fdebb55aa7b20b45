"""How routes are described in OpenAPI: the forms of a request with images, and the problems that may be answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from clearsight.serving import schemas
from clearsight.serving.problems import MEDIA_TYPE, ProblemDetails
from clearsight.serving.uploads import FORM, JSON, RAW, Upload

Images = Callable[[Request, int], Awaitable[list[Upload]]]
"""The images of a request, at most so many, once the engine is warm."""

WORDS = {
    401: "the token is missing or wrong",
    403: "the request is cross-origin or, on a loopback server, its Host header is not localhost",
    404: "the index, page or images do not exist",
    408: "the request arrived too slowly",
    413: "the request is too large",
    415: "the content type is not supported",
    422: "the images cannot be used, or an option is unknown or has an invalid value",
    429: "there are too many requests; Retry-After gives the time to wait in seconds",
    503: "the server is starting",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What goes wrong, for a route that answers with these statuses."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {status: {"description": WORDS[status], "content": content} for status in statuses}


def body() -> dict[str, Any]:
    """The three forms of a request with images."""
    binary = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": binary, "minItems": 1}
    kinds: dict[str, Any] = {
        FORM: {"schema": {"type": "object", "properties": {"images": files}, "required": ["images"]}},
        JSON: {"schema": {"$ref": "#/components/schemas/ImagesBody"}},
    }
    return {"requestBody": {"required": True, "content": kinds | {kind: {"schema": binary} for kind in RAW}}}


def described(app: FastAPI, token: bool) -> dict[str, Any]:
    """The OpenAPI schema, made once."""
    if app.openapi_schema:
        return app.openapi_schema
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = schema.setdefault("components", {}).setdefault("schemas", {})
    extra: tuple[type[BaseModel], ...] = (ProblemDetails, schemas.ImagesBody)
    for model in extra:
        components[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema["paths"]["/health"]["get"]["responses"]["503"] = {
        "description": WORDS[503], "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Health"}}},
    }  # fmt: skip
    if token:
        schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in schema["paths"].items():
            if path.startswith("/v1/") or path == "/metrics":
                for operation in operations.values():
                    operation["security"] = [{"token": []}]
    app.openapi_schema = schema
    return schema
