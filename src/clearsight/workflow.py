"""Whole jobs, as the command line and the Python API offer them: train and judge, judge again, look at data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from clearsight.adversary import Norm
from clearsight.attacks import AttackCurve, Fooling
from clearsight.bundle import Bundle, versions
from clearsight.comparison import Comparison
from clearsight.config import Config
from clearsight.console import Console, Silent
from clearsight.data.audit import Audit, Finding
from clearsight.data.builtin import BUILTIN
from clearsight.data.cache import CachedPixels, PixelView, cached_pixels
from clearsight.data.dataset import Dataset
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat, decode, read_bytes
from clearsight.data.prepare import Prepared, prepare
from clearsight.data.scan import Scan, scan
from clearsight.data.sources import read
from clearsight.diagnose import Diagnosis, Vitals, diagnose
from clearsight.disk import disk_errors, write_json
from clearsight.errors import BundleError, ClearsightError, ConfigError, DataError, TrainingError
from clearsight.evaluation import Evaluation
from clearsight.evaluation import evaluate as judge
from clearsight.explanation import Explanation, Settings
from clearsight.healing import SickError, heal
from clearsight.predictor import Predictor
from clearsight.retrieve import Index, Retrieval
from clearsight.robustness import Card
from clearsight.runs import Run, events, history, resumed, run_folder, run_options
from clearsight.train.distributed import ALONE, World, processes
from clearsight.train.loop import Examples, Training
from clearsight.train.observer import Epoch


def fit(data: Any, labels: Any = None, *, console: Console | None = None, **options: Any) -> Run:
    """Train on the data, then open the test split once, and write the run's folder: `cs.fit("photos/", epochs=5)`.

    data: a folder, a .csv, .jsonl or .npz file, a built-in name, a pandas frame with `image_path` and `label`, or
    images as an array or a list of paths with `labels` beside them: `cs.fit(X, y)`.
    options: those of `clearsight train --help`, with underscores: img_size, fit, epochs, budget, seed, out, ...
    Raises ClearsightError with what to do; a folder already in use is never written to.
    """
    config = Config.from_options(**options)
    console = console or Silent()
    dataset = read(data if labels is None else (data, labels), data_dir=config.data.data_dir)
    if config.run.resume:
        config = resumed(config, options, dataset)
    with processes() as world:
        if config.run.heal and world.size > 1:
            raise ConfigError("--heal trains again and again in one process", fix="drop it, or start one process")
        if world.rank > 0:
            return _follow(dataset, config, world)
        if config.run.heal:
            return heal(lambda changed: _fit(dataset, changed, console, ALONE), config, console)
        return _fit(dataset, config, console, world)


def _follow(dataset: Dataset, config: Config, world: World) -> Run:
    """What every process but the first does: its share of the training, and nothing on the disk."""
    from clearsight.train.fit import fit as learn

    folder = Path(world.agree(None))
    learn(dataset, config, checkpoints=folder / "checkpoints", world=world)
    world.agree(None)  # until the first has written the run
    metrics = json.loads((folder / "metrics.json").read_text())
    return Run(folder, load(folder), metrics, folder / "report.html")


def _fit(dataset: Dataset, config: Config, console: Console, world: World) -> Run:
    """Train, judge and write the run's folder."""
    from clearsight.report.page import write_report
    from clearsight.train.fit import fit as learn

    watched: list[tuple[Vitals, torch.nn.Module, Training, Examples]] = []

    def watch(network: torch.nn.Module, how: Training, examples: Examples) -> Vitals:
        watched.append((Vitals(hooks=not how.compile), network, how, examples))
        return watched[-1][0]

    def examined(findings: Sequence[Finding] = ()) -> Diagnosis | None:
        """What the doctor says of the last training."""
        if not watched:
            return None
        vitals, network, how, examples = watched[-1]
        spec: dict[str, Any] = getattr(network, "spec", {})
        return diagnose(
            vitals, how, examples, findings=findings, options=config.changed(), origin=dataset.origin,
            model=spec.get("name", ""), knobs=spec.get("knobs", {}),
        )  # fmt: skip

    with run_folder(config, dataset.name) as folder:
        world.agree(str(folder))
        if config.run.resume:
            console.say(f"resuming {folder}")
        about = {"options": config.to_dict(), "data": dataset.origin, "versions": versions()}
        write_json(folder / "config.json", about)
        with history(folder / "history.csv") as log, events(folder) as event:

            def on_epoch(epoch: Epoch) -> None:
                with disk_errors(folder, "the run", "free some space, or choose another --out"):
                    log(epoch)
                    event(epoch)

            try:
                fitted = learn(
                    dataset,
                    config,
                    console=console,
                    on_epoch=on_epoch,
                    watch=watch,
                    checkpoints=folder / "checkpoints",
                    world=world,
                )
            except TrainingError as error:
                diagnosis = examined()
                if diagnosis is None:
                    raise
                write_json(folder / "diagnosis.json", diagnosis.to_dict())
                vitals, network, *_ = watched[-1]
                if vitals.epochs:  # the loop put its best weights back
                    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
                    save_file(weights, folder / "last-good.safetensors")
                raise SickError(error, diagnosis) from error
        diagnosis = examined(fitted.prepared.audit.findings)
        if diagnosis is not None:
            write_json(folder / "diagnosis.json", diagnosis.to_dict())
        write_json(folder / "audit.json", fitted.prepared.audit.to_dict())
        predictor = Predictor(fitted.bundle)
        test = _judge(predictor, fitted.prepared, "test", console)
        val = judge(
            fitted.val_logits, fitted.prepared.labels[fitted.judged], predictor.classes, fitted.bundle.temperature
        )
        metrics = {
            "test": test.summary(),
            "val": val.summary(),
            "train_seconds": fitted.seconds,
            "images_per_second": fitted.images_per_second,
            "model": fitted.recipe.model,
            "recipe": [d.to_dict() for d in fitted.decisions],
        }
        about["recipe"] = {
            "kind": fitted.recipe.kind,
            "model": fitted.recipe.model,
            "img_size": fitted.recipe.img_size,
            "knobs": fitted.recipe.knobs,
            "decisions": [d.to_dict() for d in fitted.decisions],
            "candidates": [asdict(c) for c in fitted.candidates],
        }
        write_json(folder / "config.json", about)
        write_report(
            folder / "report.html", fitted=fitted, evaluation=test, validation=val, config=config, diagnosis=diagnosis
        )
        bundle = fitted.bundle.with_scores({"test": test.summary(), "val": val.summary()})
        bundle.save(folder / "model")
        write_json(folder / "metrics.json", metrics)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # the run is whole; its weights are in model/
    world.agree(None)  # the others may read it now
    return Run(folder, Predictor(bundle), metrics, folder / "report.html", diagnosis)


def load(folder: str | Path, *, engine: str = "auto", device: str = "cpu") -> Predictor:
    """The predictor of a run's folder, or of a network with published ImageNet weights by its name."""
    if not Path(folder).expanduser().exists():
        from clearsight.models.pretrained import imagenet_network
        from clearsight.models.published import published, weight_facts
        from clearsight.models.registry import model_names

        name = str(folder)
        if (name in model_names() or name.startswith("timm/")) and published(name):
            network, classes = imagenet_network(name)
            side = weight_facts(name).img_size
            bundle = Bundle(
                network,
                classes,
                PixelFormat(3, 8),
                Geometry(side, side, "crop"),
                data={"name": "ImageNet-1k"},
            )
            return Predictor(bundle, engine=engine, device=device)
        hint = f"{name} has no published weights; train it first" if name in model_names() else ""
        close = get_close_matches(name, [n for n in model_names() if published(n)], n=1)
        raise BundleError(f"{name} does not exist", fix=hint or (f"did you mean {close[0]}?" if close else None))
    return Predictor(Bundle.load(folder), engine=engine, device=device)


def evaluate(
    model: str | Path | Predictor,
    data: Any = None,
    *,
    console: Console | None = None,
    data_dir: str | None = None,
) -> Evaluation:
    """Judge a model on data it was not trained on.

    Without data, or with the data it was trained on, the test split of its own run is used again. Other data is judged
    on its test split where it states one, else on all of it; its classes must be among the model's.
    """
    console = console or Silent()
    held = held_out(model, data, console=console, data_dir=data_dir)
    logits = held.predictor.logits(held.images, console.stage("judging on the test split" if held.own else "judging"))
    bundle = held.predictor.bundle
    return judge(logits, held.labels, bundle.classes, bundle.temperature, indices=held.rows, names=held.names)


@dataclass(frozen=True)
class HeldOut:
    """Images a model was not trained on, as it sees them, with labels (N,) as it numbers its classes, their rows in
    the data set and their names. own: they are the test split of its own run.
    """

    predictor: Predictor
    images: PixelView
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    names: list[str]
    own: bool


def held_out(
    model: str | Path | Predictor, data: Any = None, *, console: Console | None = None, data_dir: str | None = None
) -> HeldOut:
    """The images to judge a model by; see `evaluate` for which."""
    console = console or Silent()
    predictor = model if isinstance(model, Predictor) else load(model)
    bundle = predictor.bundle
    options = {} if isinstance(model, Predictor) else run_options(Path(model))
    data = _own_data(bundle) if data is None else data
    dataset = read(data, data_dir=data_dir or options.get("data_dir"))
    scanned = scan(dataset, console.stage("looking at the files"))
    own = dataset.origin == bundle.data.get("origin") and dataset.classes == bundle.classes
    if own:
        chosen = {k: options[k] for k in ("seed", "test_fraction", "folds") if k in options}
        prepared = prepare(dataset, scanned, bundle.geometry, **chosen, progress=console.stage("reading pixels"))
        if prepared.pixels.key != bundle.data.get("fingerprint"):
            console.say(
                "data: the images are no longer those the model was trained on, so some of this test may be known to it"
            )
        pixels, rows, labels = prepared.pixels, prepared.split.test, prepared.labels
    else:
        pixels, rows, labels = _other_images(bundle, dataset, scanned, console)
    names = [dataset.source.name(int(i)) for i in rows]
    return HeldOut(predictor, pixels.view(rows), labels[rows], rows, names, own)


def _own_data(bundle: Bundle) -> str:
    """What a model was trained on; BundleError where it does not say, or the images are gone."""
    origin = bundle.data.get("origin")
    if not origin:
        raise BundleError("this model does not say what it was trained on", fix="name the data")
    if origin not in BUILTIN and not Path(origin).exists():
        raise BundleError(
            "the images this model was trained on are gone",
            found=f"{origin} does not exist" if origin != "arrays in memory" else "arrays that were in memory",
            fix="name others: RUN DATA",
        )
    return str(origin)


def check(data: Any, *, console: Console | None = None, **options: Any) -> Audit:
    """Audit a data set without training: what `train` would find, at the size it would use."""
    from clearsight.train.recipe import planned

    config = Config.from_options(**options)
    dataset = read(data, data_dir=config.data.data_dir)
    return planned(dataset, config, console or Silent())[0].audit


def compare(
    data: Any,
    *,
    rungs: Sequence[str] | None = None,
    images: int | None = None,
    console: Console | None = None,
    **options: Any,
) -> Comparison:
    """Climb the ladder on one data set and write its page: `cs.compare("photos/", rungs=["hog+svm", "resnet8"])`.

    rungs: models to compare, by the names `train --model` knows (default: those of `comparison.ladder`). images:
    compare on about so many of the data's images. options: seed, out, test_fraction, folds, data_dir, device. The
    folder holds ladder.html, comparison.json and every model in rungs/NAME.
    """
    from clearsight.comparison import climb
    from clearsight.report.ladder_page import write_ladder_page

    found = climb(data, rungs=rungs, images=images, console=console, **options)
    write_ladder_page(found.folder / "ladder.html", found)
    return found


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
    dataset = read(_own_data(bundle) if own else data, data_dir=data_dir or options.get("data_dir"))
    scanned = scan(dataset, console.stage("looking at the files"))
    chosen = {key: options[key] for key in ("seed", "test_fraction", "folds") if own and key in options}
    if own:
        prepared = prepare(dataset, scanned, bundle.geometry, **chosen, progress=console.stage("reading pixels"))
        pixels, rows, queries = prepared.pixels, np.sort(prepared.split.development), prepared.split.test
    else:
        pixels, rows = _all_pixels(bundle, dataset, scanned, console)
        queries = np.sort(np.random.default_rng(0).permutation(rows)[:2000])
    folder = Path(out).expanduser() if out else path / "index"
    made = build_index(
        predictor, dataset, pixels.view(rows), rows, folder, layer=layer, kind=kind, code_bytes=code_bytes,
        progress=console.stage("embedding"), adding=console.stage("indexing"),
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
    (None where the indexed images are gone).
    """
    from clearsight.report.drawings import draw_neighbours, save_picture
    from clearsight.retrieve import Index, search_images

    path = Path(model).expanduser()
    predictor, found = load(model), Index.load(Path(index).expanduser() if index else path / "index")
    likeness, places = search_images(found, predictor, [str(image)], k)
    card = found.card
    neighbours = [
        {
            "image": card.names[place],
            "label": card.classes[card.labels[place]] if card.labels[place] >= 0 else "",
            "likeness": float(score),
        }
        for score, place in zip(likeness[0], places[0], strict=True)
    ]
    try:
        source = read(card.origin, data_dir=data_dir or run_options(path).get("data_dir")).source
        shown = [source.decode(card.rows[place], PixelFormat(3, 8), Geometry(128, 128, "pad")) for place in places[0]]
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
    for a model without gradients. target: the class to explain, by name or number; the answer unless given. judged: say
    how faithful each map is. out: the folder that gets, for each image, a picture, and an .npz with each method's map.
    """
    from clearsight.explanation import explain as explained
    from clearsight.explanation import methods_of
    from clearsight.report.drawings import save_picture
    from clearsight.report.heatmaps import heat_sheet

    predictor = model if isinstance(model, Predictor) else load(model)
    methods = methods_of(predictor)
    chosen = methods if method == "all" else [method or ("smoothgrad" if predictor.has_gradients else "occlusion")]
    folder = Path(out).expanduser()
    names = predictor.names(images)
    found: list[tuple[Explanation, Path]] = []
    runs = [
        explained(predictor, images, method=m, target=target, settings=settings, judged=judged, console=console)
        for m in chosen
    ]
    for number, (name, *maps) in enumerate(zip(names, *runs, strict=True)):
        stem = _own_name(name, number, names)
        with disk_errors(folder, "the heatmaps", "free some space or choose another --out"):
            folder.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(folder / f"{stem}.npz", pixels=maps[0].pixels, **{m.method: m.heat for m in maps})
        picture = save_picture(heat_sheet(maps), folder / f"{stem}.{method or chosen[0]}.png")
        found += [(m, picture) for m in maps]
    return found


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
    from clearsight.explanation.explain import class_number
    from clearsight.report.attack_page import write_attack_page

    console = console or Silent()
    held, some = _some(model, data, images, seed, console, data_dir)
    goal = None if target is None else class_number(held.predictor, target)
    found = attacked(
        held.predictor, PixelView(held.images.array, held.images.indices[some]), held.labels[some],
        names=[held.names[i] for i in some], method=method, norm=norm, epsilons=epsilons, steps=steps, target=goal,
        seed=seed, batch=batch, console=console,
    )  # fmt: skip
    fooling = fooled(held.predictor, seed=seed, console=console) if fool else None
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
    so many images, drawn at random by seed. out: the folder of the page, RUN/audit unless given.
    """
    from clearsight.explanation.explain import class_number
    from clearsight.report.card_page import write_card_page
    from clearsight.robustness import audit as audited

    console = console or Silent()
    held, some = _some(model, data, images, seed, console, data_dir)
    predictor = held.predictor
    turned = [(class_number(predictor, a), degrees, class_number(predictor, b)) for a, degrees, b in turns]
    card = audited(
        predictor, PixelView(held.images.array, held.images.indices[some]), held.labels[some],
        names=[held.names[i] for i in some], changes=changes, turns=turned, seed=seed, console=console,
    )  # fmt: skip
    folder = _beside(model, "audit", out)
    with disk_errors(folder, "the card", "free some space or choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / "card.html"
        write_card_page(page, card, str(predictor.bundle.data.get("name", "a model")))
        write_json(folder / "robustness.json", card.to_dict())
    return card, page


def _some(
    model: str | Path | Predictor, data: Any, images: int, seed: int, console: Console, data_dir: str | None
) -> tuple[HeldOut, NDArray[np.int64]]:
    """Images to judge by, and which of them to take: at most so many."""
    if images < 1:
        raise ConfigError(f"--images {images} must be 1 or more")
    held = held_out(model, data, console=console, data_dir=data_dir)
    return held, np.sort(np.random.default_rng(seed).permutation(len(held.rows))[:images])


def _beside(model: str | Path | Predictor, name: str, out: str | Path | None) -> Path:
    """The folder asked for, or one of this name in the run's, or here where there is no run's folder."""
    if out:
        return Path(out).expanduser()
    return Path(name) if isinstance(model, Predictor) or not Path(model).expanduser().is_dir() else Path(model) / name


def _own_name(name: str, number: int, names: Sequence[str]) -> str:
    """A file name for an image among others: its stem, and its number where another has the same."""
    stem = Path(name).stem.replace("#", "image-")
    return stem if sum(Path(n).stem == Path(name).stem for n in names) == 1 else f"{stem}-{number}"


def _judge(predictor: Predictor, prepared: Prepared, part: str, console: Console) -> Evaluation:
    rows = prepared.split.parts()[part]
    logits = predictor.logits(prepared.pixels.view(rows), console.stage(f"judging on the {part} split"))
    names = [prepared.dataset.source.name(int(i)) for i in rows]
    return judge(
        logits,
        prepared.labels[rows],
        predictor.classes,
        predictor.bundle.temperature,
        indices=rows,
        names=names,
    )


def _all_pixels(
    bundle: Bundle, dataset: Dataset, scanned: Scan, console: Console
) -> tuple[CachedPixels, NDArray[np.int64]]:
    """The pixels of a data set as a model wants them, and the positions of the images that can be read."""
    pixels = cached_pixels(
        dataset.source, scanned.digests, bundle.form, bundle.geometry, skip=frozenset(scanned.failed),
        progress=console.stage("reading pixels"),
    )  # fmt: skip
    usable = np.ones(len(dataset), bool)
    usable[[*scanned.failed, *pixels.failed]] = False
    return pixels, np.flatnonzero(usable)


def _other_images(
    bundle: Bundle, dataset: Dataset, scanned: Scan, console: Console
) -> tuple[CachedPixels, NDArray[np.int64], NDArray[np.int64]]:
    """Pixels, the rows to judge by, and labels as the model numbers its classes, of a data set of any origin."""
    unknown = sorted(set(dataset.classes) - set(bundle.classes))
    if unknown:
        raise DataError(
            "the data has classes the model does not know",
            found=", ".join(unknown[:8]),
            expected=", ".join(bundle.classes[:8]) + (", ..." if len(bundle.classes) > 8 else ""),
        )
    pixels, rows = _all_pixels(bundle, dataset, scanned, console)
    if "test" in dataset.splits_given:
        rows = rows[dataset.given[rows] == "test"]
        console.say(f"judging the test split that the data states: {len(rows)} of {len(dataset)} images")
    number = np.array([bundle.classes.index(c) for c in dataset.classes])
    return pixels, rows, number[dataset.labels]
