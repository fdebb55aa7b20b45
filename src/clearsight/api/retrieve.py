"""Index images by a model's embeddings, and search the index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from clearsight.console import Console, Silent
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.data.scan import scan
from clearsight.disk import own_name
from clearsight.errors import ClearsightError
from clearsight.retrieval import Index, Retrieval
from clearsight.runs.folder import recorded_data_dir, run_options
from clearsight.runs.images import (
    all_pixels,
    as_learned,
    as_trained,
    own_data,
    require_unchanged,
)
from clearsight.runs.load import load
from clearsight.tasks import read


def index(
    model: str | Path,
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
    bundle, options = predictor.bundle, run_options(path)
    own = data is None
    named = own_data(bundle) if own else data
    recorded = None if data_dir else recorded_data_dir(path, named)
    where = data_dir or recorded
    dataset = as_learned(bundle, named, where) if own else read(data, data_dir=where)
    scanned = scan(dataset, console.stage("looking at the files"))
    if own or recorded:
        require_unchanged(bundle, dataset, scanned)
    if own:
        prepared = as_trained(bundle, options, dataset, scanned, console)
        pixels, rows, queries = prepared.pixels, np.sort(prepared.split.development), prepared.split.test
    else:
        pixels, rows = all_pixels(bundle, dataset, scanned, console)
        queries = np.sort(np.random.default_rng(0).permutation(rows)[:2000])
    folder = Path(out).expanduser() if out else path / "index"
    made = build_index(
        predictor, dataset, pixels.view(rows), rows, folder, layer=layer, kind=kind, code_bytes=code_bytes,
        digests=scanned.digests, progress=console.stage("embedding"), adding=console.stage("indexing"),
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
    model: str | Path,
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
