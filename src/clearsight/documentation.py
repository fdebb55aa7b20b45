"""Where the pages of the documentation are, for errors that name one."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

PAGES = Path(__file__).parents[2] / "docs"
"""The pages in a checkout; an installed package has none."""


def page_address(page: str) -> str | None:
    """The address of a page.

    Args:
        page: its name, and the anchor of a heading if one is meant: `data#image-formats`.

    Returns:
        A URL, if the package states that of its documentation; else the path of the page in the checkout; None where
        there is neither.
    """
    name, hash, anchor = page.partition("#")
    try:
        urls = metadata("clearsight").get_all("Project-URL") or []
    except PackageNotFoundError:
        urls = []
    for url in urls:
        label, _, address = url.partition(", ")
        if label == "Documentation":
            return f"{address.rstrip('/')}/{name}.html{hash}{anchor}"
    path = PAGES / f"{name}.md"
    return f"{os.path.relpath(path)}{hash}{anchor}" if path.is_file() else None
