"""The routes behind the studio: attacks, the network to walk through, the run's own pages."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import FastAPI, Query, Request, Response

from clearsight.errors import BundleError
from clearsight.serving import responses, schemas
from clearsight.serving.analysis import Looker
from clearsight.serving.openapi import Images, body, problems
from clearsight.serving.prediction_schema import attack_body, prediction_schema
from clearsight.serving.problems import RefusedError
from clearsight.serving.responses import json_response
from clearsight.serving.worker import one_image

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts",
}
"""Of a run's pages: they work by themselves, in an origin of their own that cannot ask this server anything."""

COLUMNS = 16
"""Tiles in a row of maps of one layer."""

Layer = Annotated[int, Query(ge=0, description="number of the layer in /v1/network")]
Unit = Annotated[int, Query(ge=0, description="number of the unit")]


def add_studio_routes(app: FastAPI, looker: Looker, images_of: Images) -> None:
    """Attacks, looks into the network, and the run's pages."""
    _add_attack(app, looker, images_of)
    _add_network(app, looker, images_of)
    for path, name, words in (
        ("/v1/report.html", "report", "Show the training report of the model"),
        ("/v1/robustness/robustness.html", "robustness", "Show the robustness report of the model"),
    ):
        app.add_api_route(
            path, _page(looker, name), methods=["GET"], summary=words, response_class=Response, tags=["studio"],
            responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}, **problems(401, 403, 404, 422)},
        )  # fmt: skip


def _add_attack(app: FastAPI, looker: Looker, images_of: Images) -> None:
    """The search for an adversarial image."""
    bundle = looker.worker.predictor.bundle
    task, form = bundle.task, bundle.form
    attacked = attack_body(prediction_schema(type(task)))

    @app.post(
        "/v1/attack", response_model=attacked, openapi_extra=body(), summary="Find an adversarial image",
        responses=problems(401, 403, 408, 413, 415, 422, 429, 503), tags=["studio"],
    )  # fmt: skip
    async def attack(
        request: Request,
        epsilon: Annotated[float, Query(ge=0, le=1000, description="maximum change, for pixel values from 0 to 1")],
        method: Annotated[
            Literal["fgsm", "pgd", "apgd"],
            Query(description="attack method: fgsm takes one step, pgd several, apgd several of adapted size"),
        ] = "pgd",
        norm: Annotated[
            Literal["linf", "l2"], Query(description="norm of the change: linf (maximum) or l2 (Euclidean)")
        ] = "linf",
        steps: Annotated[int, Query(ge=1, le=100, description="number of steps for pgd and apgd")] = 10,
        target: Annotated[str | None, Query(description="target class (default: any other class)")] = None,
    ) -> Response:
        """One image attacked within epsilon, away from the model's answer or towards a class."""
        image = one_image(await images_of(request, 2))
        found = await looker.attack(request, image, epsilon, method, norm, steps, target)
        return json_response(await asyncio.to_thread(responses.attacked, task.name, found, form))


def _add_network(app: FastAPI, looker: Looker, images_of: Images) -> None:
    """The network to walk through: its layers, their maps of an image, one unit's inputs and patches."""
    form = looker.worker.predictor.bundle.form

    @app.get(
        "/v1/network", response_model=schemas.NetworkBody, summary="List the layers and their connections",
        responses=problems(401, 403, 422, 429), tags=["studio"],
    )  # fmt: skip
    async def network(request: Request) -> Response:
        """The network as a graph of its layers."""
        graph = await looker.graph(request)
        return json_response(responses.network(graph.nodes, graph.layers))

    @app.post(
        "/v1/maps", response_model=schemas.MapsBody, openapi_extra=body(),
        summary="Compute the feature maps of an image",
        responses=problems(401, 403, 408, 413, 415, 422, 429, 503), tags=["studio"],
    )  # fmt: skip
    async def maps(
        request: Request,
        layer: Annotated[int | None, Query(ge=0, description="number of the layer (default: all)")] = None,
        start: Annotated[int, Query(ge=0, description="first unit of the layer to show")] = 0,
        most: Annotated[int, Query(ge=1, le=256, description="number of units to show")] = 64,
    ) -> Response:
        """Maps of one layer, or of all layers those few that vary most."""
        image = one_image(await images_of(request, 2))
        few = min(most, 8)
        found, numbers = await looker.maps(request, image, layer, start, most if layer is not None else few)
        columns = COLUMNS if layer is not None else few
        return json_response(await asyncio.to_thread(responses.maps, found, numbers, columns))

    @app.post(
        "/v1/units", response_model=schemas.UnitBody, openapi_extra=body(), summary="List the inputs of a unit",
        responses=problems(401, 403, 408, 413, 415, 422, 429, 503), tags=["studio"],
    )  # fmt: skip
    async def units(request: Request, layer: Layer, unit: Unit) -> Response:
        """A unit's map of an image, what it sees, and the sum that its largest value is."""
        image = one_image(await images_of(request, 2))
        found = await looker.unit(request, image, layer, unit)
        return json_response(responses.unit(found))

    @app.get(
        "/v1/patches", response_model=schemas.PatchesBody, summary="Find patches that activate a unit most strongly",
        responses=problems(401, 403, 404, 422, 429), tags=["studio"],
    )  # fmt: skip
    async def patches(request: Request, layer: Layer, unit: Unit) -> Response:
        """The places in training images that excite a unit most."""
        try:
            found = await looker.patches(request, layer, unit)
        except BundleError as error:
            raise RefusedError(404, error) from None
        return json_response(await asyncio.to_thread(responses.patches, found, layer, form))


def _page(looker: Looker, name: str):  # type: ignore[no-untyped-def]
    async def page() -> Response:
        """A page of the run's own folder, as it stands there."""
        try:
            content = await asyncio.to_thread(looker.folder.page, name)
        except (BundleError, OSError) as error:
            problem = error if isinstance(error, BundleError) else BundleError(f"the {name} page cannot be read")
            raise RefusedError(404, problem) from None
        return Response(content, media_type="text/html; charset=utf-8", headers=PAGE_HEADERS)

    page.__name__ = name
    return page
