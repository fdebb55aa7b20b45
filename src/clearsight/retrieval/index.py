"""An index of a data set's images by what a model sees in them.

    index = build_index(predictor, dataset, folder)           embeddings, then Faiss
    index.search(predictor.embed("new.jpg"), k=10)
    FOLDER/  card.json  index.faiss  embeddings.npy (N, D) float32, which nothing here reads again

exact     every embedding is compared: inner product of vectors of length 1, which is their cosine
ivfpq     inverted lists and product quantisation [Jégou, Douze, Schmid 2011]: `bytes` per image, some lists looked at
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from clearsight.bundle import Bundle, format1
from clearsight.data.dataset import Dataset
from clearsight.disk import disk_errors, read_within, write_json
from clearsight.errors import BundleError, ConfigError, DataError
from clearsight.metrics.retrieval import mean_average_precision, precision_at, recall_at
from clearsight.predictor import Predictor
from clearsight.retrieval.faiss_file import read_faiss

Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]

TRAINING = 100_000
"""Embeddings that axes, lists and codes are learned from."""

CODED = 39 * 256
"""Images from which codes can be learned: 39 for each of 256, as Faiss advises."""

CHUNK = 10_000
"""Embeddings added to an index at once."""


@dataclass(frozen=True)
class IndexCard:
    """What an index is of. model: digest of the model's weights. layer: "" is the features below the head.
    descriptions: what each image shows, if that is not one class. task: as which the data is read again. digests: of
    each image's content, as `Source.inspect` gives them; the index's pictures are those of images that still have it.
    """

    model: str
    layer: str
    kind: str
    origin: str
    names: tuple[str, ...]
    labels: tuple[int, ...]
    rows: tuple[int, ...]
    classes: tuple[str, ...]
    width: int
    descriptions: tuple[str, ...] = ()
    task: str = "auto"
    digests: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, found: Any) -> IndexCard:
        """A card from what `card.json` holds, which may come from someone else; ValueError where it is none."""
        found = format1.index_from(found)
        if not isinstance(found, dict) or (missing := sorted(REQUIRED - set(found))):
            raise ValueError(f"no {', '.join(missing)}" if isinstance(found, dict) else "no card")
        kinds = {"labels": int, "rows": int}
        lists: dict[str, Any] = {
            name: _listed(name, found.get(name, []), kinds.get(name, str))
            for name in ("names", "labels", "rows", "classes", "descriptions", "digests")
        }
        words = {name: found[name] for name in ("model", "layer", "kind", "origin")}
        words["task"] = found.get("task", "auto")
        width = found["width"]
        if not all(isinstance(word, str) for word in words.values()) or type(width) is not int or width < 1:
            raise ValueError("values of other kinds")
        card = cls(**words, **lists, width=width)
        count = len(card.names)
        if not len(card.labels) == len(card.rows) == count or {len(card.descriptions), len(card.digests)} - {0, count}:
            raise ValueError("lists of different lengths")
        if not all(-1 <= label < len(card.classes) for label in card.labels) or min(card.rows, default=0) < 0:
            raise ValueError("numbers out of range")
        return card

    def words(self, place: int) -> str:
        """What the image at a position shows: its class, labels or numbers; "" where the data does not say."""
        if self.descriptions:
            return self.descriptions[place]
        return self.classes[self.labels[place]] if self.labels[place] >= 0 else ""


REQUIRED = frozenset(("model", "layer", "kind", "origin", "names", "labels", "rows", "classes", "width"))
"""What the first version of an index's card held."""


def _listed(name: str, values: Any, kind: type) -> tuple[Any, ...]:
    """A list of a card; ValueError unless all its values are of the kind."""
    if not isinstance(values, list) or not all(type(value) is kind for value in values):
        raise ValueError(f"{name} that are no list of {kind.__name__}")
    return tuple(values)


class Index:
    """N embeddings that can be searched. `card` says of what; `faiss` is Faiss's own index."""

    def __init__(self, card: IndexCard, faiss: Any) -> None:
        self.card, self.faiss = card, faiss

    def __len__(self) -> int:
        return int(self.faiss.ntotal)

    def search(self, embeddings: Floats, k: int = 10) -> tuple[Floats, NDArray[np.int64]]:
        """Likeness (Q, k), the cosine, and positions (Q, k) of the nearest images of each of Q embeddings (Q, D), best
        first. ConfigError for a k larger than the index.
        """
        if not 1 <= k <= len(self):
            raise ConfigError(f"k is {k} and the index holds {len(self):,} images", expected=f"from 1 to {len(self):,}")
        if embeddings.ndim != 2 or embeddings.shape[1] != self.card.width:
            raise DataError(
                "these embeddings are not of this index",
                found=f"shape {embeddings.shape}",
                expected=f"(Q, {self.card.width})",
            )
        return search_faiss(self.faiss, unit(embeddings), k)

    def check(self, bundle: Bundle) -> None:
        """Raise BundleError where the index was built with another model."""
        if model_digest(bundle) != self.card.model:
            raise BundleError(
                "the index was built with another model",
                fix="build it again: `clearsight index RUN DATA`",
            )

    @classmethod
    def load(cls, folder: Path, within: Path | None = None) -> Index:
        """Read an index's folder; BundleError says what is missing or broken.

        The folder may come from someone else: nothing outside it is read. within: the run it belongs to, which it must
        not lead out of either.
        """
        if not (folder / "card.json").is_file() or not (folder / "index.faiss").is_file():
            raise BundleError(
                f"{folder} holds no index", expected="card.json and index.faiss", fix="run `clearsight index RUN` first"
            )
        root = within or folder
        if not folder.resolve().is_relative_to(root.resolve()):
            raise BundleError(
                f"{folder} is a symbolic link that leaves the run's folder", found=f"a link to {folder.resolve()}",
                fix="if you trust it, name the index: --index FOLDER",
            )  # fmt: skip
        content, vectors = read_within(folder, "card.json"), read_within(folder, "index.faiss")
        try:
            card = IndexCard.from_dict(json.loads(content))
            return cls(card, read_faiss(vectors, card.kind, card.width, len(card.names)))
        except (ValueError, RuntimeError) as error:
            raise BundleError(
                f"{folder} holds a broken index", found=str(error)[:160], fix="run `clearsight index RUN` again"
            ) from error


@dataclass(frozen=True)
class Retrieval:
    """How well neighbours share their query's class: over Q queries, at k neighbours each."""

    queries: int
    k: int
    precision: float
    recall: float
    mean_average_precision: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def build_index(
    predictor: Predictor,
    dataset: Dataset,
    images: Any,
    rows: NDArray[np.int64],
    folder: Path,
    *,
    layer: str = "",
    kind: str = "exact",
    code_bytes: int = 32,
    digests: Sequence[str] | None = None,
    progress: Progress | None = None,
    adding: Progress | None = None,
) -> Index:
    """Embed images and index them; the folder is written whole.

    digests: of the content of all images of the data set, as `scan` gives them; taken now where they are not known.
    images: what `Predictor.embed` takes, those of the data set's rows. kind: "exact" or "ivfpq". code_bytes: per image,
    of ivfpq. progress, adding: called as images are embedded and added.
    """
    if kind not in ("exact", "ivfpq"):
        raise ConfigError(f"there is no index {kind!r}", expected="exact or ivfpq")
    if kind == "ivfpq" and len(rows) < CODED:
        raise ConfigError(
            f"product quantisation learns 256 codes, from {CODED:,} images or more",
            found=f"{len(rows):,} images",
            fix="use --kind exact, which is quick for so few",
        )
    if not 1 <= code_bytes <= 64:
        raise ConfigError(f"a code of {code_bytes} bytes", expected="from 1 to 64")
    with disk_errors(folder, "the index", "free some space or choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("embeddings.npy", "index.faiss"):  # a link of this name would have another file overwritten
            (folder / name).unlink(missing_ok=True)
        stored: Any = None
        done = 0
        for part in predictor.embeddings(images, layer):
            if stored is None:
                shape = (len(rows), part.shape[1])
                stored = open_memmap(folder / "embeddings.npy", "w+", np.dtype(np.float32), shape)
            stored[done : done + len(part)] = unit(part)
            done += len(part)
            if progress:
                progress(done, len(rows))
        stored.flush()
        faiss = build_faiss(stored, kind, code_bytes, adding)
        _faiss().write_index(faiss, str(folder / "index.faiss"))
        card = IndexCard(
            model=model_digest(predictor.bundle),
            layer=layer,
            kind=kind,
            origin=dataset.origin,
            names=tuple(dataset.source.name(int(i)) for i in rows),
            labels=tuple(int(v) for v in dataset.labels[rows]),
            rows=tuple(int(i) for i in rows),
            classes=dataset.classes,
            width=int(stored.shape[1]),
            descriptions=() if dataset.task.needs_classes else tuple(dataset.words(int(i)) for i in rows),
            task=dataset.task.name,
            digests=tuple(digests[i] if digests is not None else dataset.source.inspect(int(i))[0] for i in rows),
        )
        write_json(folder / "card.json", asdict(card))
    return Index(card, faiss)


def build_faiss(vectors: Floats, kind: str, code_bytes: int = 32, progress: Progress | None = None) -> Any:
    """Faiss's index of vectors (N, D) of length 1, memory-mapped ones read in chunks.

    ivfpq: the vectors are turned onto their main axes, cut into `code_bytes` parts of 8 bits each (fewer where there
    are not as many dimensions), and kept in lists around about 4 sqrt(N) centres; 1 in 16 of the lists is looked at.
    """
    faiss = _faiss()
    n, width = vectors.shape
    if kind == "exact":
        index = faiss.IndexFlatIP(width)
    else:
        parts = min(code_bytes, width)
        reduced = width // parts * parts
        lists = int(min(4 * math.sqrt(n), min(n, TRAINING) / 39)) or 1  # Faiss wants 39 to learn a centre from
        index = faiss.index_factory(width, f"OPQ{parts}_{reduced},IVF{lists},PQ{parts}", faiss.METRIC_INNER_PRODUCT)
        rows = np.sort(np.random.default_rng(0).permutation(n)[:TRAINING])
        if progress:
            progress(0, n)
        index.train(np.ascontiguousarray(vectors[rows]))
        faiss.extract_index_ivf(index).nprobe = max(1, lists // 16)
    for start in range(0, n, CHUNK):
        index.add(np.ascontiguousarray(vectors[start : start + CHUNK]))
        if progress:
            progress(min(n, start + CHUNK), n)
    return index


def search_faiss(index: Any, queries: Floats, k: int) -> tuple[Floats, NDArray[np.int64]]:
    """Likeness and positions (Q, k), best first. Where the lists looked at hold fewer than k, more lists are."""
    faiss = _faiss()
    queries = np.ascontiguousarray(queries, np.float32)
    likeness, places = index.search(queries, k)
    if (places < 0).any():
        lists = faiss.extract_index_ivf(index)
        before, lists.nprobe = lists.nprobe, lists.nlist
        likeness, places = index.search(queries, k)
        lists.nprobe = before
    return likeness, places


def search_images(index: Index, predictor: Predictor, images: Any, k: int = 10) -> tuple[Floats, NDArray[np.int64]]:
    """Likeness and positions (Q, k) of the nearest images of the index for each image."""
    index.check(predictor.bundle)
    return index.search(np.concatenate(list(predictor.embeddings(images, index.card.layer))), k)


def evaluate_index(
    index: Index, embeddings: Floats, labels: NDArray[np.integer], k: int = 10, own: NDArray[np.int64] | None = None
) -> Retrieval:
    """Precision, recall and mean average precision of the neighbours of queries (Q, D) with labels (Q,), as the index
    numbers its classes. own: the queries' own positions, where they are in the index: they are not counted as found.
    """
    own_rows = np.full(len(labels), -1) if own is None else own
    _, places = index.search(embeddings, min(len(index), k + 1))
    kept = np.empty((len(labels), min(k, len(index) - (own is not None))), np.int64)
    for row, (found, mine) in enumerate(zip(places, own_rows, strict=True)):
        kept[row] = found[found != mine][: kept.shape[1]]
    of = np.array(index.card.labels)
    counts = np.bincount(of[of >= 0], minlength=len(index.card.classes))
    totals = np.where(labels >= 0, counts[labels], 0) - (own_rows >= 0)
    relevant = of[kept] == labels[:, None]
    return Retrieval(
        queries=int((totals > 0).sum()),
        k=kept.shape[1],
        precision=precision_at(relevant, totals, kept.shape[1]),
        recall=recall_at(relevant, totals, kept.shape[1]),
        mean_average_precision=mean_average_precision(relevant, totals),
    )


def unit(vectors: Floats) -> Floats:
    """Vectors (N, D) of length 1; those of length 0 stay so."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1), np.float32)


def model_digest(bundle: Bundle) -> str:
    """Name of a model's weights: 128 bits of BLAKE2b, in hexadecimal."""
    h = hashlib.blake2b(digest_size=16)
    for name, tensor in bundle.network.state_dict().items():
        h.update(name.encode())
        h.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return h.hexdigest()


def _faiss() -> Any:
    import faiss

    return faiss
