"""The routes: REST under /v1, /health and /metrics, and the description of it all in OpenAPI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from clearsight import __version__
from clearsight.data.pixels import quiet_pillow
from clearsight.errors import BundleError, ClearsightError, ConfigError, ImageError
from clearsight.explanation import METHOD_WORDS, Settings
from clearsight.predictor import Predictor
from clearsight.retrieval import Index
from clearsight.serving import schemas
from clearsight.serving.analysis import Looker
from clearsight.serving.folder import RunFolder
from clearsight.serving.guard import Guard
from clearsight.serving.metrics import Metrics
from clearsight.serving.model_card import model_card
from clearsight.serving.openapi import Images, body, described, problems
from clearsight.serving.options import known_options
from clearsight.serving.pages import mount_pages
from clearsight.serving.prediction_schema import prediction_schema, predictions_body
from clearsight.serving.problems import RefusedError, problem_response
from clearsight.serving.queueing import leaving
from clearsight.serving.responses import explanation, json_response, prediction, seen_picture
from clearsight.serving.settings import MAX_SAMPLES, ServeConfig
from clearsight.serving.studio import add_studio_routes
from clearsight.serving.uploads import Upload, read_body, uploads
from clearsight.serving.worker import Worker, one_image
from clearsight.tasks.predict_options import COVERAGE, PredictOptions, check_effect, group_of

PICTURES = 50
"""Most images that are drawn beside what a search finds."""

Top = Annotated[int | None, Query(ge=1, description="number of classes or labels to list per image (default: all)")]
Coverage = Annotated[
    float, Query(gt=0, lt=1, description="share of prediction sets or intervals that contain the true value")
]
Sets = Annotated[Literal["lac", "aps", "raps"], Query(description="method for prediction sets")]
ByClass = Annotated[bool, Query(description="guarantee the coverage for each class separately")]
Group = Annotated[
    str | None,
    Query(
        description="COLUMN=VALUE of the training table that applies to all "
        "images: guarantee the coverage within this group"
    ),
]
BackOff = Annotated[
    float,
    Query(gt=0.5, lt=1, description="for a tree of classes: minimum probability of the predicted class or parent"),
]
Count = Annotated[int, Query(ge=1, le=1000, description="number of images to return")]


def build_app(
    predictor: Predictor,
    *,
    config: ServeConfig | None = None,
    index: Index | None = None,
    run: Path | None = None,
    token: str | None = None,
    local: bool = True,
    failed: Callable[[BaseException], None] = lambda error: None,
) -> FastAPI:
    """The application for one model. It warms its engine when started, and says so at /health.

    run: the folder of the model, whose report, card and training images are shown. token: what clients of /v1 and
    /metrics must show; None lets all ask. local: answer to requests for localhost alone.
    failed: called where the engine cannot be made.
    """
    config, metrics = config or ServeConfig(), Metrics()
    worker = Worker(predictor, config, metrics, index)
    looker = Looker(worker, RunFolder(run, predictor, index))

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
            await asyncio.to_thread(looker.stop)
            await worker.stop()

    app = FastAPI(
        title="Clearsight", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        dependencies=[Depends(known_options)],
        description="Predict classes, labels or numeric targets of images or sounds, or detect anomalies, with "
        "probabilities and OOD status.",
    )  # fmt: skip
    app.add_middleware(Guard, config=config, metrics=metrics, token=token, local=local)
    _add_routes(app, worker, looker)
    _add_errors(app)
    mount_pages(app)
    app.openapi = lambda: described(app, token is not None)  # type: ignore[method-assign]
    return app


def _add_routes(app: FastAPI, worker: Worker, looker: Looker) -> None:
    async def images_of(request: Request, most: int) -> list[Upload]:
        """The images of a request, once the engine is warm."""
        if not worker.ready:
            raise RefusedError(
                503, ClearsightError("the server is starting", fix="try again soon"), headers={"Retry-After": "1"}
            )
        content = await read_body(request, worker.config)
        kind = request.headers.get("content-type", "")
        small = len(content) < 100_000
        found = uploads(kind, content, most) if small else await asyncio.to_thread(uploads, kind, content, most)
        request.state.images = len(found)
        return found

    _add_predict(app, worker, images_of)
    _add_explain(app, worker, images_of)
    _add_search(app, worker, looker, images_of)
    add_studio_routes(app, looker, images_of)
    _add_server_routes(app, worker, looker)


def _add_predict(app: FastAPI, worker: Worker, images_of: Images) -> None:
    bundle = worker.predictor.bundle
    task, predictions = bundle.task, predictions_body(prediction_schema(type(bundle.task)))

    @app.post(
        "/v1/predict", response_model=predictions, openapi_extra=body(), summary="Make predictions for images",
        responses=problems(401, 403, 408, 413, 415, 422, 429, 503), tags=["model"],
    )  # fmt: skip
    async def predict(
        request: Request,
        top: Top = None,
        coverage: Coverage = COVERAGE,
        sets: Sets = "lac",
        by_class: ByClass = False,
        group: Group = None,
        back_off: BackOff = PredictOptions.back_off,
        picture: Annotated[
            bool, Query(description="include a PNG data URI of each image as the network sees it")
        ] = False,
        words: Annotated[bool, Query(description="include each prediction in words")] = False,
    ) -> Response:
        """The prediction for each image; its form is that of the model's task.

        Send files of a form, the bytes of one image, or JSON with base64. An image that cannot be read has an
        error in its entry; if none can be read, the status is 422.
        """
        given = [name for name in request.query_params if name in ("sets", "by_class", "group", "back_off")]
        check_effect(given, task.predict_options, task.name)
        group_asked = None if group is None else group_of(group, "group")
        options = PredictOptions(coverage, sets, by_class, back_off, group_asked)
        sent = await images_of(request, worker.config.max_images)
        async with leaving(request) as left:
            found = await worker.predict(sent, options, left)
        failed = [str(f) for f in found if isinstance(f, ImageError)]
        if len(failed) == len(found):
            first = next(f for f in found if isinstance(f, ImageError))
            error = first if len(found) == 1 else ImageError("none of the images can be read")
            raise RefusedError(422, error, images=failed)
        predictions = [
            {"image": image.name, "error": str(f)}
            if isinstance(f, ImageError)
            else prediction(
                task.name,
                f.prediction,
                top,
                seen_picture(f.pixels, bundle.form) if picture else None,
                f.prediction.line(coverage=coverage, thing=bundle.thing) if words else None,
            )
            for image, f in zip(sent, found, strict=True)
        ]
        return json_response({"predictions": predictions})


def _add_explain(app: FastAPI, worker: Worker, images_of: Images) -> None:
    task, form = worker.predictor.bundle.task, worker.predictor.bundle.form

    @app.post(
        "/v1/explain", response_model=schemas.ExplanationBody, openapi_extra=body(),
        summary="Explain a prediction with a heatmap",
        responses=problems(401, 403, 408, 413, 415, 422, 429, 503), tags=["model"],
    )  # fmt: skip
    async def explain(
        request: Request,
        method: Annotated[
            str | None,
            Query(description=f"one of {', '.join(METHOD_WORDS)}; `GET /v1/model` lists those the model supports"),
        ] = None,
        target: Annotated[
            str | None,
            Query(description="name of the class, label or numeric target to explain (default: the prediction)"),
        ] = None,
        samples: Annotated[
            int | None,
            Query(
                ge=2, le=MAX_SAMPLES, description="number of noisy copies, steps or coalitions, depending on the method"
            ),
        ] = None,
        faithfulness: Annotated[bool, Query(description="also measure the faithfulness of the map (slower)")] = False,
        picture: Annotated[bool, Query(description="include the map overlaid on the image, as a PNG data URI")] = True,
        apart: Annotated[bool, Query(description="include the image and the map as two PNG data URIs")] = False,
        heat: Annotated[bool, Query(description="include the map as numbers")] = False,
    ) -> Response:
        """A heatmap of the prediction for one image, and on request its faithfulness. Few run at once."""
        image = one_image(await images_of(request, 2))
        async with leaving(request) as left:
            found = await worker.explain(image, method, target, Settings(samples=samples), faithfulness, left)
        made = await asyncio.to_thread(
            explanation, found, probabilistic=task.probabilistic, picture=picture, heat=heat, apart=apart, form=form
        )
        return json_response(made)


def _add_search(app: FastAPI, worker: Worker, looker: Looker, images_of: Images) -> None:
    @app.post(
        "/v1/search", response_model=schemas.Neighbours, openapi_extra=body(),
        summary="Find similar images",
        responses=problems(401, 403, 404, 408, 413, 415, 422, 429, 503), tags=["model"],
    )  # fmt: skip
    async def search(
        request: Request,
        k: Count = 10,
        pictures: Annotated[
            bool, Query(description="include a thumbnail of each image as a PNG data URI (for k up to 50)")
        ] = False,
    ) -> Response:
        """The images of the model's index most similar to one."""
        if worker.index is None:
            raise RefusedError(
                404, BundleError("this model has no index", fix="run `clearsight index RUN` and restart the server")
            )
        image = one_image(await images_of(request, 2))
        found = await worker.search(image, k)
        drawn: list[str | None] = [None] * k
        if pictures and k <= PICTURES:
            drawn = await asyncio.to_thread(lambda: [looker.folder.thumbnail(one["place"]) for one in found])
        return json_response(
            {
                "image": image.name,
                "neighbours": [
                    {key: one[key] for key in ("image", "label", "likeness")} | {"picture": uri}
                    for one, uri in zip(found, drawn, strict=True)
                ],
            }
        )


def _add_server_routes(app: FastAPI, worker: Worker, looker: Looker) -> None:
    card = model_card(worker) | {"unsuited": looker.unsuited()}

    @app.get(
        "/v1/model", response_model=schemas.ModelCard, summary="Describe the model",
        responses=problems(401, 403, 422), tags=["model"],
    )  # fmt: skip
    async def model() -> Response:
        """Classes, scores, what the model knows of its limits, and what a request may hold."""
        return json_response(card | {"left_out": await asyncio.to_thread(looker.left_out)})

    @app.get(
        "/v1/drift", response_model=schemas.Drift, summary="Compare the images of requests with validation images",
        responses=problems(401, 403, 422), tags=["model"],
    )  # fmt: skip
    async def drift() -> Response:
        """OOD scores, predictions and brightness of this week's images, and whether they have drifted."""
        return json_response(worker.drift.to_dict())

    @app.get(
        "/health",
        response_model=schemas.Health,
        summary="Check readiness",
        responses=problems(403, 503),
        tags=["server"],
    )
    async def health() -> Response:
        """200 once the engine is warm, 503 before."""
        ready = worker.ready
        return JSONResponse({"status": "ready" if ready else "starting"}, 200 if ready else 503)

    @app.get(
        "/metrics", summary="Metrics for Prometheus",
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems(401, 403)},
        response_class=Response, tags=["server"],
    )  # fmt: skip
    async def metrics() -> Response:
        """Counts, times and sizes in Prometheus's text format."""
        return Response(worker.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


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
        error_found = ConfigError("an option has an invalid value", found=found, fix="/docs lists the options")
        return problem_response(422, error_found, request.state.request_id)

    async def by_status(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        happened = {404: "this URL does not exist", 405: "this URL does not support the request method"}
        error_found = ClearsightError(
            happened.get(error.status_code, "the request cannot be processed"), fix="see /docs"
        )
        return problem_response(error.status_code, error_found, request.state.request_id, headers=error.headers)

    app.add_exception_handler(RefusedError, problem)
    app.add_exception_handler(ClearsightError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, by_status)
