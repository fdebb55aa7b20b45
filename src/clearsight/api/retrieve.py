"""Index images by a model's embeddings, and search the index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from clearsight.api.results import saved
from clearsight.arguments import known_arguments
from clearsight.console import Console, usual_console
from clearsight.data.displayed import displayed_as_rgb, displayed_form, shown_of
from clearsight.data.geometry import Geometry
from clearsight.errors import ClearsightError, ConfigError
from clearsight.retrieval import Index, IndexResult, SearchResult
from clearsight.runs.folder import recorded_data_dir
from clearsight.runs.images import known_images, own_images
from clearsight.runs.load import ModelSource, folder_of, predictor_of
from clearsight.tasks import read


@known_arguments
def index(
    model: ModelSource,
    data: Any = None,
    *,
    kind: str = "exact",
    code_bytes: int = 32,
    layer: str = "",
    out: str | Path | None = None,
    k: int = 10,
    data_dir: str | None = None,
    console: Console | None = None,
) -> IndexResult:
    """Index images by a model's embeddings, for `search`: `cs.index("runs/photos")`. The index is written to a folder.

    Args:
        model: a run, its folder, or a loaded model.
        data: images, of which all are indexed; up to 2,000 of those the model was not trained on are also queries.
            None indexes the run's training and validation images, and its test images are the queries.
        kind: as `retrieval.build_index`: "exact", or "ivfpq" for a few bytes an image.
        code_bytes: bytes of an image's code in ivfpq.
        layer: layer whose outputs are the embeddings; "" is the features of the head.
        out: folder of the index; None is RUN/index, where `search` looks for it. An index that is there is replaced.
        k: neighbours of each query to score.
        data_dir: folder that holds the files of a built-in data set.
        console: where progress is shown; by default below the cell of a notebook, nowhere elsewhere.

    Returns:
        The index, its folder, and how well neighbours share their query's class.

    Raises:
        ConfigError: an option is out of range, or there are too few images for the kind.
        BundleError: the run's images are not recorded or gone.
    """
    from clearsight.retrieval import build_index, evaluate_index

    console = console or usual_console()
    predictor, folder = predictor_of(model), _index_folder(model, out)
    bundle, own = predictor.bundle, data is None
    if own:
        known = own_images(bundle, model, console=console, data_dir=data_dir)
        rows, queries = known.rows("train", "val"), known.rows("test")
    else:
        dataset = read(data, data_dir=data_dir or recorded_data_dir(folder_of(model), data))
        known = known_images(bundle, model, console=console, dataset=dataset)
        rows = np.flatnonzero(known.readable)
        known.say_unreadable(console)
        new = rows[~np.isin(known.part[rows], ("train", "val"))]
        queries = np.sort(np.random.default_rng(0).permutation(new)[:2000])
    dataset, pixels = known.dataset, known.pixels
    made = build_index(
        predictor, dataset, pixels.view(rows), rows, folder, layer=layer, kind=kind, code_bytes=code_bytes,
        digests=known.scanned.digests, progress=console.stage("embedding"), adding=console.stage("indexing"),
    )  # fmt: skip
    scores = None
    labelled = queries[dataset.labels[queries] >= 0]
    if len(labelled) and len(made) > 1:
        parts = predictor.embeddings(pixels.view(labelled), layer)
        places = None if own else np.searchsorted(rows, labelled)
        scores = evaluate_index(
            made, np.concatenate(list(parts)), dataset.labels[labelled], min(k, len(made) - 1), places
        )
    return IndexResult(made, scores, folder)


@known_arguments
def search(
    model: ModelSource,
    image: Any,
    *,
    k: int = 10,
    index: str | Path | None = None,
    out: str | Path | None = None,
    data_dir: str | None = None,
) -> SearchResult:
    """Find the k indexed images most similar to one: `cs.search("runs/photos", "new.jpg").plot()`.

    Args:
        model: a run, its folder, or a loaded model.
        image: one image in any form that `Predictor.predict` takes.
        k: neighbours to find.
        index: folder of the index; None is RUN/index.
        out: folder to save the result to, as `save` does; None writes nothing.
        data_dir: folder that holds the files of a built-in data set.

    Returns:
        A sequence of `Neighbour`, best first, with the pictures where the indexed images are still there. Neighbours of
        another class than the predicted one are marked.

    Raises:
        BundleError: there is no index, or it was built with another model.
        ConfigError: k is larger than the index.
    """
    from clearsight.retrieval import Neighbour, Originals, search_images

    predictor, run = predictor_of(model), folder_of(model)
    form = predictor.bundle.form
    query = predictor.inputs(image).single()
    found = Index.load(_index_folder(model, index), None if index else run)
    likeness, places = search_images(found, predictor, query, k)
    prediction = predictor.predict(query)[0].label if predictor.bundle.task.exclusive else None
    neighbours = tuple(
        Neighbour(found.card.names[place], words, float(score), words != prediction if prediction and words else None)
        for score, place in zip(likeness[0], places[0], strict=True)
        for words in [found.card.words(int(place))]
    )
    pictures = None
    try:
        originals = Originals(found, data_dir or recorded_data_dir(run, found.card.origin), form)
        pictures = tuple(originals.picture(int(place)) for place in places[0])
    except ClearsightError:
        pass
    decoded = query.decode(0, displayed_form(query.inspect(0)[1]), Geometry(128, 128, "pad"))
    shown = displayed_as_rgb(decoded, shown_of(decoded, form))
    return saved(SearchResult(query.names[0], neighbours, shown, pictures, prediction), out)


def _index_folder(model: ModelSource, named: str | Path | None) -> Path:
    """The given folder, or the index of the model's run; ConfigError if the model has no folder."""
    if named:
        return Path(named).expanduser()
    run = folder_of(model)
    if run is None:
        raise ConfigError("this model was not loaded from a folder", fix="pass the folder of the index")
    return run / "index"
