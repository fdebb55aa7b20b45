"""Exports of Label Studio for image classification: JSON, JSON-MIN and CSV.

Choices and taxonomies are labels. Several annotations of an image have to agree; one that is marked as ground truth
counts alone. Images of the server's own storage are searched next to the export, and in `images` there.

Reference: https://labelstud.io/guide/export
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from clearsight.data.dataset import Listing
from clearsight.data.decode import EXTENSIONS
from clearsight.data.sources.remote import is_url
from clearsight.data.sources.selection import Selection
from clearsight.data.sources.table import read_frame
from clearsight.data.sources.table_paths import at_url
from clearsight.errors import DataError
from clearsight.json_values import from_json
from clearsight.wording import count

if TYPE_CHECKING:
    import pandas as pd

OWN = ("annotation_id", "annotator", "lead_time")
"""Columns that the short forms have beside the data and the choices."""

ABOUT = (*OWN, "id", "created_at", "updated_at", "agreement", "annotations", "comments")
UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""What the server puts before the names of files."""


def is_tasks(content: Any) -> bool:
    """Whether JSON is a list of Label Studio's tasks, in the long form or the short one."""
    first = content[0] if isinstance(content, list) and content and isinstance(content[0], dict) else {}
    long = isinstance(first.get("data"), dict) and ("annotations" in first or "completions" in first)
    return long or is_short(list(first))


def is_short(columns: Sequence[Any]) -> bool:
    """Whether a table has the columns of the short forms, CSV and JSON-MIN."""
    return {"annotation_id", "lead_time"} <= {str(name).strip().lower() for name in columns}


def read_tasks(path: Path, tasks: Sequence[Mapping[str, Any]], selection: Selection, base: str = "") -> Listing:
    """The images and labels of an export.

    Args:
        path: of the export.
        tasks: what is in it, in the long form or the short one.
        selection: field of the images and name of the control that the user chose.
        base: URL of the export's folder; "" for one on this machine.

    Returns:
        The listing.

    Raises:
        DataError: nothing is labelled, or it is unclear which labels are meant.
    """
    import pandas as pd

    short = not isinstance(tasks[0].get("data"), dict)
    data = [task if short else task["data"] for task in tasks]
    field = _image_field(data, path, selection)
    found = [_short(task, field) if short else _long(task, path) for task in tasks]
    control = _control(found, path, selection)
    labels: dict[str, list[list[str]]] = {}
    for task, stated in zip(data, found, strict=True):
        chosen = labels.setdefault(str(task.get(field, "")), [])
        chosen += [one[control] for one in stated if control in one]
    places = _places(list(labels), path.parent, base)
    _require_different(places, path)
    labelled = {image: given[0] for image, given in labels.items() if len({frozenset(one) for one in given}) == 1}
    unlabelled = sum(not given for given in labels.values())
    disputed = [image for image, given in labels.items() if given and image not in labelled]
    if not labelled:
        raise DataError(
            f"no image in {path} has a label", found=f"{count(len(labels), 'task')}, {len(disputed)} of them disputed",
            expected="finished annotations with choices", fix="label the images, and export again",
        )  # fmt: skip
    several = any(len(given) > 1 for given in labelled.values())
    cells: list[Any] = [given if several else "".join(given) for given in labelled.values()]
    frame = pd.DataFrame(
        {"image_path": [places[image] for image in labelled], "label": pd.Series(cells, dtype=object)},
        dtype=object,
    )
    losses = []
    if unlabelled:
        losses.append(f"left out {count(unlabelled, 'image')} without an annotation")
    if disputed:
        losses.append(
            f"left out {count(len(disputed), 'image')} whose annotations disagree, for example {disputed[0][-60:]}"
        )
    listing = read_frame(frame, root=path.parent, name=path.stem, origin=str(path.resolve()), row="task", base=base)
    return replace(listing, losses=(*listing.losses, *losses))


def _require_different(places: Mapping[str, str], path: Path) -> None:
    """DataError where two images of the server are found as one file: only the ends of their names are the same."""
    seen: dict[str, str] = {}
    for image, place in places.items():
        if (first := seen.setdefault(place, image)) != image:
            raise DataError(
                f"two images in {path} are found as the same file {place}", found=f"{first[-80:]} and {image[-80:]}",
                expected="a file for each image", fix="copy the images under the names that the export has",
            )  # fmt: skip


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a CSV as tasks in the short form, with lists and objects in cells read."""
    return [{str(name).strip(): _cell(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _cell(value: Any) -> Any:
    text = value.strip() if isinstance(value, str) else ""
    if text[:1] in ("{", "["):
        try:
            return from_json(text)
        except ValueError:
            return value
    return value


def _image_field(data: Sequence[Mapping[str, Any]], path: Path, selection: Selection) -> str:
    """The field of a task's data that is the image."""
    fields = [str(name) for name in data[0]]
    if selection.image:
        if selection.image not in fields:
            raise DataError(f"the tasks in {path} have no field {selection.image!r}", found=", ".join(fields))
        return selection.image
    named = [name for name in fields if _is_image(data[0][name])]
    if len(named) == 1 or "image" in fields:
        return "image" if "image" in fields else named[0]
    ways = "; ".join(f"for {name!r}, use {selection.command(str(path), image=name)}" for name in named[:4])
    raise DataError(
        f"it is unclear which field of the tasks in {path} is the image", found=", ".join(fields),
        expected="a field `image`", fix=ways or None,
    )  # fmt: skip


def _is_image(value: Any) -> bool:
    return isinstance(value, str) and Path(urlsplit(value).path or value).suffix.lower() in EXTENSIONS


def _long(task: Mapping[str, Any], path: Path) -> list[dict[str, list[str]]]:
    """Of each finished annotation of a task the labels by the name of the control."""
    given = [a for a in task.get("annotations", task.get("completions", [])) if isinstance(a, dict)]
    given = [a for a in given if not a.get("was_cancelled") and not a.get("skipped")]
    truth = [a for a in given if a.get("ground_truth")]
    stated = []
    for annotation in truth or given:
        named: dict[str, list[str]] = {}
        for result in annotation.get("result", []):
            kind, value = result.get("type"), result.get("value") or {}
            if kind in ("rectanglelabels", "polygonlabels", "brushlabels", "keypointlabels", "ellipselabels"):
                raise DataError(
                    f"{path} contains regions in images, not labels of whole images", found=str(kind),
                    expected="choices", fix="export from Label Studio in the COCO format, and pass its .json file",
                )  # fmt: skip
            if kind in ("choices", "taxonomy"):
                named.setdefault(str(result.get("from_name")), []).extend(_names(value.get(kind)))
        stated.append(named)
    return stated


def _short(task: Mapping[str, Any], image: str) -> list[dict[str, list[str]]]:
    """The labels of a task in the short form."""
    known = (*ABOUT, image)
    return [{str(name): _names(value) for name, value in task.items() if name not in known and not _is_blank(value)}]


def _is_blank(value: Any) -> bool:
    return value is None or value != value or value == ""


def _names(value: Any) -> list[str]:
    """Labels in any form in which they are exported: a name, names, a path in a taxonomy, or several."""
    if isinstance(value, dict):
        value = value.get("choices", value.get("taxonomy", []))
    if not isinstance(value, list):
        return [str(value)]
    return ["/".join(map(str, one)) if isinstance(one, list) else str(one) for one in value]


def _control(found: Sequence[Sequence[Mapping[str, Any]]], path: Path, selection: Selection) -> str:
    """The name of the control whose labels are meant."""
    names = list(dict.fromkeys(name for stated in found for one in stated for name in one))
    if selection.label:
        if selection.label not in names:
            raise DataError(f"{path} has no labels called {selection.label!r}", found=", ".join(names) or "none")
        return selection.label
    if len(names) > 1:
        ways = "; ".join(f"for {name!r}, use {selection.command(str(path), label=name)}" for name in names[:4])
        raise DataError(
            f"the images in {path} have {count(len(names), 'kind')} of labels", found=", ".join(names),
            expected="one", fix=ways,
        )  # fmt: skip
    return names[0] if names else ""


def _places(images: Sequence[str], root: Path, base: str) -> dict[str, str]:
    """The path or URL of each image: a file of the server's storage by its name next to the export. At a URL, what is
    found for the first image holds for all.
    """
    found = {text: text for text in images}
    stored = [text for text in images if not is_url(text)]
    if base and stored:
        names = _spellings(stored[0])
        chosen = next((k for k, name in enumerate(names) if at_url(name, base)), 0)
        return found | {text: _spellings(text)[chosen] for text in stored}
    for text in stored:
        found[text] = next((name for name in _spellings(text) if (root / name).is_file()), text)
    return found


def _spellings(text: str) -> tuple[str, ...]:
    """Where an image of the server's storage may be, relative to the export."""
    parts = urlsplit(text)
    if parts.path.rstrip("/").endswith("/data/local-files"):
        text = parse_qs(parts.query).get("d", [""])[0]
    elif "/data/upload/" in parts.path:
        text = unquote(parts.path)
    name = text.replace("\\", "/").rpartition("/")[2]
    short = UPLOADED.sub("", name)
    return text.lstrip("/"), name, f"images/{name}", short, f"images/{short}"
