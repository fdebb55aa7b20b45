"""Whole jobs on a finished model: judge it, search by it, explain its answers, look into it, attack it, audit it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from clearsight.adversary import Norm
from clearsight.attacks import AttackCurve, Fooling
from clearsight.config import at_least
from clearsight.console import Console, Silent
from clearsight.data.cache import PixelView
from clearsight.data.files import decode
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat, read_bytes
from clearsight.data.scan import scan
from clearsight.data.sources import read
from clearsight.disk import disk_errors, own_name, write_json
from clearsight.errors import BundleError, ClearsightError, DataError
from clearsight.evaluation import (
    AnswersEvaluation,
    Evaluation,
    Paired,
    compare_paired,
    evaluate_answers,
    mean_of,
    views_of,
)
from clearsight.evaluation import evaluate as judge
from clearsight.explanation import Explanation, Settings
from clearsight.inside import Sample, Sight
from clearsight.inside import Settings as SightSettings
from clearsight.loading import (
    HeldOut,
    all_pixels,
    as_learned,
    as_seen_by,
    as_trained,
    held_out,
    knows,
    load,
    own_data,
    require_unchanged,
    training_images,
)
from clearsight.predictor import Predictor
from clearsight.retrieve import Index, Retrieval
from clearsight.robustness import Card
from clearsight.runs import recorded_data_dir, run_options


def evaluate(
    model: str | Path | Predictor,
    data: Any = None,
    *,
    console: Console | None = None,
    data_dir: str | None = None,
) -> Evaluation | AnswersEvaluation:
    """Judge a model on data it was not trained on.

    Without data, or with the data it was trained on, the test split of its own run is used again. Other data is judged
    on its test split where it states one, else on all of it; its classes must be among the model's.
    """
    console = console or Silent()
    held = held_out(model, data, console=console, data_dir=data_dir)
    logits = held.predictor.logits(held.images, console.stage("judging on the test split" if held.own else "judging"))
    bundle = held.predictor.bundle
    if bundle.answer is not None and held.targets is not None:
        return evaluate_answers(
            bundle.answer, logits, held.targets, groups=held.groups, indices=held.rows, images=held.names
        )
    return judge(logits, held.labels, bundle.classes, bundle.temperature, indices=held.rows, names=held.names)


def together(
    model: str | Path | Predictor,
    data: Any = None,
    *,
    views: str | None = None,
    others: Sequence[str | Path | Predictor] = (),
    console: Console | None = None,
    data_dir: str | None = None,
) -> list[Paired]:
    """Whether several views of each image, or several models, do better than one model on one view:
    `cs.together("runs/a", others=["runs/b"])`.

    Each row is compared, image by image, with the model alone, on the images `evaluate` would take: first the model
    itself, then its views together, each other model, and all models together. Views apply to every model.
    """
    console = console or Silent()
    held = held_out(model, data, console=console, data_dir=data_dir)
    held.predictor.classifies("comparing views and models")
    predictors = {_short(model): held.predictor}
    for other in others:
        name = _short(other)
        while name in predictors:
            name += "'"
        predictors[name] = other if isinstance(other, Predictor) else load(other)
        if predictors[name].classes != held.predictor.classes:
            raise DataError(
                f"{name} knows other classes than {_short(model)}",
                found=", ".join(predictors[name].classes[:8]),
                expected=", ".join(held.predictor.classes[:8]),
            )
    alone = held.predictor.predict_proba(held.images, console.stage("judging"))
    rows = [compare_paired(_short(model), alone, alone, held.labels)]
    beliefs = []
    known = [bool(number) and knows(predictor, held) for number, predictor in enumerate(predictors.values())]
    for number, (name, predictor) in enumerate(predictors.items()):
        images = held.images if not number else as_seen_by(predictor, held, console)
        own = alone if not number else predictor.predict_proba(images, console.stage(f"judging {name}"))
        if views is None:
            beliefs.append(own)
        else:
            functions = views_of(views)
            advance = console.stage(f"{views} of {name}", "views")
            seen = [own]
            for k, view in enumerate(functions[1:], 1):
                advance(k, len(functions))
                seen.append(predictor.viewed(images, view))
            advance(len(functions), len(functions))
            beliefs.append(mean_of(seen))
            rows.append(compare_paired(f"{name}, {views}", alone, beliefs[-1], held.labels, known[number]))
        if number and views is None:
            rows.append(compare_paired(name, alone, own, held.labels, known[number]))
    if len(beliefs) > 1:
        rows.append(compare_paired("together", alone, mean_of(beliefs), held.labels, any(known)))
    return rows


def _short(model: str | Path | Predictor) -> str:
    return "the model" if isinstance(model, Predictor) else Path(model).name


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
    `retrieve.build_index`.
    """
    from clearsight.retrieve import build_index, judge_index

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
        judged = judge_index(made, np.concatenate(list(parts)), dataset.labels[labelled], min(k, len(made) - 1), places)
    return made, judged, folder


def search(
    model: str | Path,
    image: str | Path,
    *,
    k: int = 10,
    index: str | None = None,
    out: str | None = None,
    data_dir: str | None = None,
) -> tuple[list[dict[str, Any]], Path | None]:
    """The k indexed images most similar to one, as {"image", "label", "likeness"}, best first, and a picture of them
    (None where the indexed images are gone or changed, or the index has no digests of them).
    """
    from clearsight.report.drawings import draw_neighbours, save_picture
    from clearsight.retrieve import Index, Originals, search_images

    path = Path(model).expanduser()
    predictor = load(model)
    found = Index.load(Path(index).expanduser()) if index else Index.load(path / "index", path)
    likeness, places = search_images(found, predictor, [str(image)], k)
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
    query = decode(read_bytes(image), str(image), PixelFormat(3, 8), Geometry(128, 128, "pad"))
    words = [f"{n['likeness']:.2f} {n['label']}" for n in neighbours]
    file = Path(out).expanduser() if out else Path(f"{Path(image).stem}.similar.png")
    return neighbours, save_picture(draw_neighbours(query, shown, words), file)


def explain(
    model: str | Path | Predictor,
    images: Any,
    *,
    method: str | None = None,
    target: str | int | None = None,
    settings: Settings | None = None,
    judged: bool = True,
    out: str | Path = "explained",
    console: Console | None = None,
) -> list[tuple[Explanation, Path]]:
    """Heatmaps of images and the pictures of them: `cs.explain("runs/photos", "new.jpg", method="grad-cam")`.

    method: as `explanation.METHODS` names them, or "all" for those the model has; smoothgrad unless given, occlusion
    for a model without gradients, anomaly-map for a detector that compares places. target: the class to explain, by
    name or number; the answer unless given. judged: say how faithful each map is. out: the folder that gets, for each
    image, a picture, and an .npz with each method's map.
    """
    from clearsight.explanation import explain as explained
    from clearsight.explanation import methods_of, usual_method
    from clearsight.report.drawings import save_picture
    from clearsight.report.heatmaps import heat_sheet

    predictor = model if isinstance(model, Predictor) else load(model)
    methods = methods_of(predictor)
    chosen = methods if method == "all" else [method or usual_method(predictor)]
    folder = Path(out).expanduser()
    names = predictor.names(images)
    found: list[tuple[Explanation, Path]] = []
    run = explained(predictor, images, method=chosen, target=target, settings=settings, judged=judged, console=console)
    for number, name in enumerate(names):
        stem = own_name(name, number, names)
        maps: list[Explanation] = []
        for _ in chosen:  # what is there is kept after each method: they may take minutes, and be stopped
            maps.append(next(run))
            file = folder / f"{stem}.npz"
            heats: dict[str, Any] = {**_maps_of(file, maps[0].pixels), **{m.method: m.heat for m in maps}}
            with disk_errors(folder, "the heatmaps", "free some space or choose another --out"):
                folder.mkdir(parents=True, exist_ok=True)
                np.savez_compressed(file, pixels=maps[0].pixels, **heats)
            picture = save_picture(heat_sheet(maps), folder / f"{stem}.{method or chosen[0]}.png")
        found += [(m, picture) for m in maps]
    return found


def _maps_of(file: Path, pixels: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The maps of other methods that a file already has of the same image."""
    try:
        with np.load(file) as kept:
            if np.array_equal(kept["pixels"], pixels):
                return {name: kept[name] for name in kept.files if name != "pixels"}
    except (OSError, ValueError, KeyError, BadZipFile):  # none there, or not one of ours
        pass
    return {}


def see(
    model: str | Path | Predictor,
    image: Any = None,
    *,
    what: str = "all",
    data: Any = None,
    images: int = 500,
    settings: SightSettings | None = None,
    out: str | Path | None = None,
    data_dir: str | None = None,
    console: Console | None = None,
) -> tuple[Sight, dict[str, Path]]:
    """Look into a network: `cs.see("runs/photos", "new.jpg")`. What was seen, and the files written: the picture of
    each part and the page.

    what: as `inside.PARTS` names the parts, or "all" that this model and data have. image: for maps and inversion; the
    first of the images searched unless given. data: labelled images to search for patches, gates and starts of class
    pictures, at most so many drawn by the seed; the model's own training images unless given. out: the folder to write,
    RUN/see unless given.
    """
    from clearsight.inside import check, look
    from clearsight.report.inside_page import write_inside_page

    console, settings = console or Silent(), settings or SightSettings()
    at_least(1, images=images)
    predictor = model if isinstance(model, Predictor) else load(model)
    predictor.classifies("looking inside")
    check(predictor, what, settings)
    sample = _searched(predictor, model, data, what, image is None, console, data_dir)
    if sample:
        some = np.sort(np.random.default_rng(settings.seed).permutation(len(sample.labels))[:images])
        sample = Sample(
            PixelView(sample.images.array, sample.images.indices[some]), sample.labels[some],
            [sample.names[i] for i in some], [sample.words[i] for i in some],
        )  # fmt: skip
    pixels, name = None, None
    if image is not None:
        pixels, name = next(iter(predictor.pixels(image)))[0], predictor.names(image)[0]
    elif sample:
        pixels, name = next(iter(predictor.pixels(sample.images)))[0], sample.names[0]
    sight = look(predictor, pixels, image=name, what=what, sample=sample, settings=settings, console=console)
    folder = _beside(model, "see", out)
    with disk_errors(folder, "what was seen", "free some space or choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        files = write_inside_page(folder, sight, _called(model), predictor.bundle.form.bits == 16)
        write_json(folder / "see.json", sight.to_dict())
    return sight, files


def _searched(
    predictor: Predictor, model: Any, data: Any, what: str, imageless: bool, console: Console, data_dir: str | None
) -> Sample | None:
    """The images to search, where the parts asked for need them and the model or the user names some."""
    if not (what in ("all", "patches", "gates", "classes") or (imageless and what in ("maps", "inversion"))):
        return None
    try:
        return Sample(*training_images(predictor, model, data, console=console, data_dir=data_dir))
    except BundleError as error:
        if data is not None:
            raise
        console.say(f"no images to search: {error}")
        return None


def _called(model: str | Path | Predictor) -> str:
    """What to call a model on its page."""
    return str(model.bundle.data.get("name", "a model")) if isinstance(model, Predictor) else Path(model).name


def attack(
    model: str | Path | Predictor,
    data: Any = None,
    *,
    method: str = "pgd",
    norm: Norm = "linf",
    epsilons: Sequence[float] | None = None,
    steps: int = 20,
    target: str | int | None = None,
    images: int = 500,
    fool: bool = False,
    batch: int = 64,
    seed: int = 0,
    out: str | Path | None = None,
    data_dir: str | None = None,
    console: Console | None = None,
) -> tuple[AttackCurve, Fooling | None, Path]:
    """Attack a model on its test split, or on other data: `cs.attack("runs/photos", method="pgd", epsilons=[8/255])`.

    The robust accuracy against epsilon, images that fool the model where asked for, and the page that shows both. At
    most so many images are attacked, drawn at random by seed. out: the folder to write, RUN/attack unless given.
    """
    from clearsight.attacks import attack as attacked
    from clearsight.attacks import fool as fooled
    from clearsight.report.attack_page import write_attack_page

    console = console or Silent()
    at_least(1, batch_size=batch)
    held = _sample(model, data, images, seed, console, data_dir)
    held.predictor.classifies("an attack")
    goal = None if target is None else held.predictor.class_number(target)
    found = attacked(
        held.predictor, held.images, held.labels, names=held.names, method=method,
        norm=norm, epsilons=epsilons, steps=steps, target=goal,
        seed=seed, batch=batch, console=console,
    )  # fmt: skip
    fooling = fooled(held.predictor, seed=seed, batch=batch, console=console) if fool else None
    folder = _beside(model, "attack", out)
    with disk_errors(folder, "the attack's page", "free some space or choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / "attack.html"
        write_attack_page(page, found, fooling)
        write_json(folder / "attack.json", found.to_dict())
        if fooling:
            np.savez_compressed(folder / "fooling.npz", pixels=fooling.pixels, beliefs=fooling.beliefs)
    return found, fooling, page


def audit(
    model: str | Path | Predictor,
    data: Any = None,
    *,
    changes: Sequence[str] | None = None,
    turns: Sequence[tuple[str | int, float, str | int]] = (),
    images: int = 500,
    seed: int = 0,
    out: str | Path | None = None,
    data_dir: str | None = None,
    console: Console | None = None,
) -> tuple[Card, Path]:
    """Make a model's invariance card on its test split, or on other data: `cs.audit("runs/photos")`.

    changes: as `robustness.audit` takes them. turns: (class, degrees, class), what a class becomes when turned. At most
    so many images, drawn at random by seed. out: the folder of the page, RUN/audit unless given. The run's report
    gets the card's verdicts, if the model is judged on its own test split.
    """
    from clearsight.report.card_page import add_to_report, write_card_page
    from clearsight.robustness import audit as audited

    console = console or Silent()
    held = _sample(model, data, images, seed, console, data_dir)
    predictor = held.predictor
    predictor.classifies("the audit")
    turned = [(predictor.class_number(a), degrees, predictor.class_number(b)) for a, degrees, b in turns]
    card = audited(
        predictor, held.images, held.labels, names=held.names, changes=changes, turns=turned, seed=seed,
        console=console,
    )  # fmt: skip
    folder = _beside(model, "audit", out)
    with disk_errors(folder, "the card", "free some space or choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / "card.html"
        write_card_page(page, card, str(predictor.bundle.data.get("name", "a model")))
        write_json(folder / "robustness.json", card.to_dict())
        report = None if isinstance(model, Predictor) else Path(model).expanduser() / "report.html"
        if held.own and report is not None and report.is_file():
            add_to_report(report, card, os.path.relpath(page, report.parent))
    return card, page


def _sample(
    model: str | Path | Predictor, data: Any, images: int, seed: int, console: Console, data_dir: str | None
) -> HeldOut:
    """At most so many images to judge a model by."""
    at_least(1, images=images)
    at_least(0, seed=seed)
    return held_out(model, data, console=console, data_dir=data_dir).sample(images, seed)


def _beside(model: str | Path | Predictor, name: str, out: str | Path | None) -> Path:
    """The folder asked for, or one of this name in the run's, or here where there is no run's folder."""
    if out:
        return Path(out).expanduser()
    return Path(name) if isinstance(model, Predictor) or not Path(model).expanduser().is_dir() else Path(model) / name
