"""The pages for people: `/` and `/docs`, from files of this package alone; nothing is loaded from elsewhere.

A page is static and asks /v1 for what it shows, with the token that its reader types in. Pages live in `static/`.
"""

from __future__ import annotations

from importlib import resources

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "frame-src blob:; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
}
"""Scripts are this server's alone. Inline styles are those of a run's report, shown in a frame without scripts, which
takes over this rule, and of Swagger UI.
"""


def mount_pages(app: FastAPI) -> None:
    """Serve the pages, their own files under /static, and Swagger UI's under /swagger."""
    own = resources.files("clearsight.serving") / "static"
    for path, name in (("/", "index.html"), ("/docs", "docs.html")):
        app.add_api_route(path, _page((own / name).read_text("utf-8")), include_in_schema=False, methods=["GET"])
    app.mount("/static", StaticFiles(packages=[("clearsight.serving", "static")]), "static")
    app.mount("/swagger", StaticFiles(packages=[("fastapi_offline", "static")]), "swagger")


def _page(text: str):  # type: ignore[no-untyped-def]
    async def page() -> HTMLResponse:
        return HTMLResponse(text, headers=HEADERS)

    return page
