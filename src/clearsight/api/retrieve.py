"""Index images by a model's embeddings, and search the index."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from clearsight.console import Console, Silent
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.disk import own_name
from clearsight.errors import ClearsightError
from clearsight.retrieval import Index, Retrieval
from clearsight.runs.folder import recorded_data_dir
from clearsight.runs.images import known_images, own_images
from clearsight.runs.load import load
from clearsight.tasks import read


def index(
    model: str | os.PathLike[str],
    data: Any = None,
    *,
    kind: str = "exact",
    code_bytes: int = 32,
    layer: str = "",
    out: str | None = None,
    k: int = 10,
    data_dir: str | None = None,
    console: Console | None = None,
) -> tuple[Index, Retrieval | None, Path]:
    """Index images by a model's embeddings: `cs.index("runs/photos")`. The index, its scores at k neighbours (None
    where nothing can be judged), its folder.

    Without data, the run's training and validation images are indexed and its test images are the queries; other data
    is indexed whole, and up to 2,000 of its images are queries among the others. kind, code_bytes, layer: as
    `retrieval.build_index`.
    """
    from clearsight.retrieval import build_index, evaluate_index

    console, path = console or Silent(), Path(model).expanduser()
    predictor = load(model)
    bundle, own = predictor.bundle, data is None
    if own:
        known = own_images(bundle, path, console=console, data_dir=data_dir)
        rows, queries = known.rows("train", "val"), known.rows("test")
    else:
        dataset = read(data, data_dir=data_dir or recorded_data_dir(path, data))
        known = known_images(bundle, path, console=console, dataset=dataset)
        rows = np.flatnonzero(known.readable)
        new = rows[~np.isin(known.part[rows], ("train", "val"))]
        queries = np.sort(np.random.default_rng(0).permutation(new)[:2000])
    dataset, pixels = known.dataset, known.pixels
    folder = Path(out).expanduser() if out else path / "index"
    made = build_index(
        predictor, dataset, pixels.view(rows), rows, folder, layer=layer, kind=kind, code_bytes=code_bytes,
        digests=known.scanned.digests, progress=console.stage("embedding"), adding=console.stage("indexing"),
    )  # fmt: skip
    judged = None
    labelled = queries[dataset.labels[queries] >= 0]
    if len(labelled) and len(made) > 1:
        parts = predictor.embeddings(pixels.view(labelled), layer)
        places = None if own else np.searchsorted(rows, labelled)
        judged = evaluate_index(
            made, np.concatenate(list(parts)), dataset.labels[labelled], min(k, len(made) - 1), places
        )
    return made, judged, folder


def search(
    model: str | os.PathLike[str],
    image: Any,
    *,
    k: int = 10,
    index: str | None = None,
    out: str | None = None,
    data_dir: str | None = None,
) -> tuple[list[dict[str, Any]], Path | None]:
    """The k indexed images most similar to one, as {"image", "label", "likeness"}, best first, and a picture of them
    (None where the indexed images are gone or changed, or the index has no digests of them). image: one image in any
    form that `Predictor.predict` takes.
    """
    from clearsight.report.drawings import draw_neighbours, save_picture
    from clearsight.retrieval import Index, Originals, search_images

    path = Path(model).expanduser()
    predictor = load(model)
    query = predictor.inputs(image).single()
    found = Index.load(Path(index).expanduser()) if index else Index.load(path / "index", path)
    likeness, places = search_images(found, predictor, query, k)
    card = found.card
    neighbours = [
        {
            "image": card.names[place],
            "label": card.words(int(place)),
            "likeness": float(score),
        }
        for score, place in zip(likeness[0], places[0], strict=True)
    ]
    try:
        originals = Originals(found, data_dir or recorded_data_dir(path, found.card.origin))
        shown = [originals.picture(int(place)) for place in places[0]]
    except ClearsightError:
        return neighbours, None
    shown_query = query.decode(0, PixelFormat(3, 8), Geometry(128, 128, "pad"))
    words = [f"{n['likeness']:.2f} {n['label']}" for n in neighbours]
    file = Path(out).expanduser() if out else Path(f"{own_name(query.names[0], 0, query.names)}.similar.png")
    return neighbours, save_picture(draw_neighbours(shown_query, shown, words), file)
