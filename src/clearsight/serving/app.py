"""The routes: REST under /v1, /health and /metrics, and the description of it all in OpenAPI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from clearsight import __version__
from clearsight.belief.limits import COVERAGE
from clearsight.data.pixels import quiet_pillow
from clearsight.errors import BundleError, ClearsightError, ConfigError, ImageError
from clearsight.explanation import METHODS, Explanation, Settings
from clearsight.predictor import Prediction, Predictor
from clearsight.report.heatmaps import overlay, words
from clearsight.report.pictures import data_uri
from clearsight.retrieve import Index
from clearsight.serving import schemas
from clearsight.serving.card import model_card
from clearsight.serving.guard import Guard
from clearsight.serving.metrics import Metrics
from clearsight.serving.pages import mount_pages
from clearsight.serving.problems import MEDIA_TYPE, ProblemDetails, RefusedError, problem_response
from clearsight.serving.settings import MAX_SAMPLES, ServeConfig
from clearsight.serving.uploads import FORM, JSON, RAW, Upload, read_body, uploads
from clearsight.serving.worker import Worker, one_image

WORDS = {
    401: "the token is missing or another",
    403: "asked by a web page of another origin, or, on a loopback server, by another name",
    404: "there is no index",
    408: "the request came too slowly",
    413: "the request is too large",
    415: "this kind of body is not read",
    422: "the images or options cannot be used",
    429: "too much is asked at once; Retry-After says when to come again",
    503: "the server is starting",
}

Top = Annotated[int | None, Query(ge=1, description="classes to list per image (default: all)")]
Coverage = Annotated[float, Query(gt=0, lt=1, description="share of prediction sets that hold the true class")]
Count = Annotated[int, Query(ge=1, le=1000, description="how many to find")]


def build_app(
    predictor: Predictor,
    *,
    config: ServeConfig | None = None,
    index: Index | None = None,
    token: str | None = None,
    local: bool = True,
    failed: Callable[[BaseException], None] = lambda error: None,
) -> FastAPI:
    """The application for one model. It warms its engine when started, and says so at /health.

    token: what clients of /v1 and /metrics must show; None lets all ask. local: answer to requests for localhost alone.
    failed: called where the engine cannot be made.
    """
    config, metrics = config or ServeConfig(), Metrics()
    worker = Worker(predictor, config, metrics, index)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        def warmed(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()):
                failed(error)

        with quiet_pillow():
            starting = asyncio.get_running_loop().create_task(worker.start())
            starting.add_done_callback(warmed)
            yield
            await asyncio.gather(starting, return_exceptions=True)
            await worker.stop()

    app = FastAPI(
        title="Clearsight", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        description="Image classification that says how sure it is, and when it does not know.",
    )  # fmt: skip
    app.add_middleware(Guard, config=config, metrics=metrics, token=token, local=local)
    _add_routes(app, worker)
    _add_errors(app)
    mount_pages(app)
    app.openapi = lambda: _described(app, token is not None)  # type: ignore[method-assign]
    return app


def _add_routes(app: FastAPI, worker: Worker) -> None:
    config = worker.config

    async def images_of(request: Request, most: int) -> list[Upload]:
        """The images of a request, once the engine is warm."""
        if not worker.ready:
            raise RefusedError(
                503, ClearsightError("the server is starting", fix="ask again soon"), headers={"Retry-After": "1"}
            )
        body = await read_body(request, config)
        kind = request.headers.get("content-type", "")
        small = len(body) < 100_000
        found = uploads(kind, body, most) if small else await asyncio.to_thread(uploads, kind, body, most)
        request.state.images = len(found)
        return found

    @app.post(
        "/v1/predict", response_model=schemas.Predictions, openapi_extra=_body(), summary="What do images show?",
        responses=_problems(401, 403, 408, 413, 415, 422, 429, 503), tags=["model"],
    )  # fmt: skip
    async def predict(request: Request, top: Top = None, coverage: Coverage = COVERAGE) -> Response:
        """Class, calibrated probabilities, doubt, prediction set and strangeness of each image.

        Send files of a form, the bytes of one image, or JSON with base64. An image that cannot be read is told in its
        place; only where none can, the answer is 422.
        """
        sent = await images_of(request, config.max_images)
        found = await worker.predict(sent, coverage)
        failed = [str(f) for f in found if isinstance(f, ImageError)]
        if len(failed) == len(found):
            first = next(f for f in found if isinstance(f, ImageError))
            error = first if len(found) == 1 else ImageError("none of the images can be read")
            raise RefusedError(422, error, images=failed)
        return _json(
            {
                "predictions": [
                    {"image": image.name, "error": str(f)} if isinstance(f, ImageError) else _answer(f.prediction, top)
                    for image, f in zip(sent, found, strict=True)
                ]
            }
        )

    @app.post(
        "/v1/explain", response_model=schemas.ExplanationBody, openapi_extra=_body(), summary="What did it look at?",
        responses=_problems(401, 403, 408, 413, 415, 422, 429, 503), tags=["model"],
    )  # fmt: skip
    async def explain(
        request: Request,
        method: Annotated[str | None, Query(description=f"one of {', '.join(METHODS)}")] = None,
        target: Annotated[str | None, Query(description="class to explain (default: the answer)")] = None,
        samples: Annotated[int | None, Query(ge=2, le=MAX_SAMPLES, description="copies, steps or coalitions")] = None,
        judged: Annotated[bool, Query(description="measure how faithful the map is, which takes longer")] = False,
        picture: Annotated[bool, Query(description="the map over the image, as a PNG data URI")] = True,
        heat: Annotated[bool, Query(description="the map as numbers")] = False,
    ) -> Response:
        """A heatmap of one image's answer, and on request whether to believe it. Few run at once."""
        image = one_image(await images_of(request, 2))
        found = await worker.explain(image, method, target, Settings(samples=samples), judged)
        return _json(await asyncio.to_thread(_explanation, found, picture, heat))

    @app.post(
        "/v1/search", response_model=schemas.Neighbours, openapi_extra=_body(), summary="Which known images are alike?",
        responses=_problems(401, 403, 404, 408, 413, 415, 422, 429, 503), tags=["model"],
    )  # fmt: skip
    async def search(request: Request, k: Count = 10) -> Response:
        """The images of the model's index most similar to one."""
        if worker.index is None:
            raise RefusedError(
                404, BundleError("this model has no index", fix="run `clearsight index RUN` and serve again")
            )
        image = one_image(await images_of(request, 2))
        return JSONResponse({"image": image.name, "neighbours": await worker.search(image, k)})

    card = model_card(worker)

    @app.get(
        "/v1/model", response_model=schemas.ModelCard, summary="Which model is this?", responses=_problems(401, 403),
        tags=["model"],
    )  # fmt: skip
    async def model() -> Response:
        """Classes, scores, what the model knows of its limits, and what a request may hold."""
        return JSONResponse(card)

    @app.get(
        "/health", response_model=schemas.Health, summary="Is it ready?", responses=_problems(403, 503), tags=["server"]
    )
    async def health() -> Response:
        """200 once the engine is warm, 503 before."""
        ready = worker.ready
        return JSONResponse({"status": "ready" if ready else "starting"}, 200 if ready else 503)

    @app.get(
        "/metrics", summary="Figures for Prometheus",
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **_problems(401, 403)},
        response_class=Response, tags=["server"],
    )  # fmt: skip
    async def metrics() -> Response:
        """Counts, times and sizes in Prometheus's text format."""
        return Response(worker.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _json(content: dict[str, Any]) -> Response:
    """Plain values as JSON, by Pydantic's serialiser: for a thousand classes ten times as fast as Python's."""
    return Response(to_json(content), media_type="application/json")


def _answer(found: Prediction, top: int | None) -> dict[str, Any]:
    listed = dict(list(found.probabilities.items())[:top])
    return {
        "image": found.image, "label": found.label, "probability": found.probability, "doubt": found.doubt,
        "probabilities": listed, "set": None if found.set is None else list(found.set),
        "strangeness": found.strangeness, "none_of_these": found.none_of_these,
    }  # fmt: skip


def _explanation(found: Explanation, picture: bool, heat: bool) -> dict[str, Any]:
    faithful = found.faithfulness
    names = ("score", "deletion", "insertion", "random_deletion", "random_insertion")
    drawn = overlay(found.pixels, found.heat).transpose(2, 0, 1) if picture else None
    return {
        "image": found.image, "method": found.method, "target": found.target, "belief": found.belief,
        "shape": list(found.heat.shape), "picture": None if drawn is None else data_uri(drawn),
        "heat": [[float(f"{v:.6g}") for v in row] for row in found.heat.tolist()] if heat else None,
        "faithfulness": {name: getattr(faithful, name) for name in names} if faithful else None,
        "randomised": found.randomised, "verdict": words(found), "settings": found.settings,
        "seconds": round(found.seconds, 3),
    }  # fmt: skip


def _add_errors(app: FastAPI) -> None:
    """Every error becomes a problem in one form."""

    async def problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, RefusedError)
        identity = request.state.request_id
        return problem_response(error.status, error.error, identity, headers=error.headers, images=error.images)

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, ClearsightError)
        return problem_response(422, error, request.state.request_id)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        found = "; ".join(f"{e['loc'][-1]}: {e['msg']}" for e in error.errors())
        told = ConfigError("an option has a value it cannot have", found=found, fix="/docs lists the options")
        return problem_response(422, told, request.state.request_id)

    async def by_status(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        happened = {404: "there is nothing at this address", 405: "this address takes other methods"}
        told = ClearsightError(happened.get(error.status_code, "the request cannot be answered"), fix="see /docs")
        return problem_response(error.status_code, told, request.state.request_id, headers=error.headers)

    app.add_exception_handler(RefusedError, problem)
    app.add_exception_handler(ClearsightError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, by_status)


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {status: {"description": WORDS[status], "content": content} for status in statuses}


def _body() -> dict[str, Any]:
    """The three forms of a request with images, for OpenAPI."""
    binary = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": binary, "minItems": 1}
    kinds: dict[str, Any] = {
        FORM: {"schema": {"type": "object", "properties": {"images": files}, "required": ["images"]}},
        JSON: {"schema": {"$ref": "#/components/schemas/ImagesBody"}},
    }
    return {"requestBody": {"required": True, "content": kinds | {kind: {"schema": binary} for kind in RAW}}}


def _described(app: FastAPI, token: bool) -> dict[str, Any]:
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
