"""An index of a data set's images by what a model sees in them.

    index = build_index(predictor, dataset, folder)           embeddings, then Faiss
    index.search(predictor.embed("new.jpg"), k=10)
    FOLDER/  card.json  index.faiss  embeddings.npy (N, D) float32, which nothing here reads again

exact     every embedding is compared: inner product of vectors of length 1, which is their cosine
ivfpq     inverted lists and product quantisation [Jégou, Douze, Schmid 2011]: `bytes` per image, some lists looked at
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import math
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from clearsight.bundle import Bundle
from clearsight.bundle.card import file_digest
from clearsight.data.dataset import Dataset
from clearsight.disk import (
    disk_errors,
    exclusive,
    read_within,
    replace_folder,
    reserve,
    sync_folder,
    write_json,
)
from clearsight.errors import BundleError, ConfigError, DataError, OutputError
from clearsight.metrics.retrieval import mean_average_precision, precision_at, recall_at
from clearsight.predictor import Predictor
from clearsight.retrieval.card import IndexCard
from clearsight.retrieval.faiss_file import read_faiss
from clearsight.schema import read_json
from clearsight.wording import count

Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]

TRAINING = 100_000
"""Embeddings that axes, lists and codes are learned from."""

CODED = 39 * 256
"""Images from which codes can be learned: 39 for each of 256, as Faiss advises."""

CHUNK = 10_000
"""Embeddings added to an index at once."""


class Index:
    """N embeddings that can be searched.

    Args:
        card: what the index contains.
        faiss: the Faiss index.
    """

    def __init__(self, card: IndexCard, faiss: Any) -> None:
        self.card, self.faiss = card, faiss

    def __len__(self) -> int:
        return int(self.faiss.ntotal)

    def search(self, embeddings: Floats, k: int = 10) -> tuple[Floats, NDArray[np.int64]]:
        """The most similar images of the index.

        Args:
            embeddings: embeddings of queries (Q, D).
            k: number of images, from 1 to the size of the index.

        Returns:
            Cosine similarities (Q, k) and positions (Q, k), best first.

        Raises:
            ConfigError: k is out of range.
            DataError: the embeddings have another width.
        """
        if not 1 <= k <= len(self):
            raise ConfigError(
                f"k is {k}, but the index contains {count(len(self), 'image')}",
                expected=f"a number from 1 to {len(self):,}",
            )
        if embeddings.ndim != 2 or embeddings.shape[1] != self.card.width:
            raise DataError(
                "the embeddings do not match the index",
                found=f"shape {embeddings.shape}",
                expected=f"(Q, {self.card.width})",
            )
        return search_faiss(self.faiss, unit(embeddings), k)

    def check(self, bundle: Bundle) -> None:
        """Require that the index was built with a model.

        Args:
            bundle: the model.

        Raises:
            BundleError: the index was built with another model.
        """
        if model_digest(bundle) != self.card.model:
            raise BundleError(
                "the index was built with another model",
                fix="build the index again: `clearsight index RUN DATA`",
            )

    @classmethod
    def load(cls, folder: Path, within: Path | None = None) -> Index:
        """Read the folder of an index.

        The folder may come from someone else: nothing outside it is read.

        Args:
            folder: the folder.
            within: the run that the folder must lie in; None for no such rule.

        Returns:
            The index.

        Raises:
            BundleError: files are missing or malformed, or the folder links to a place outside `within`.
        """
        if not (folder / "card.json").is_file() or not (folder / "index.faiss").is_file():
            raise BundleError(
                f"{folder} contains no index",
                expected="card.json and index.faiss",
                fix="run `clearsight index RUN` first",
            )
        root = within or folder
        if not folder.resolve().is_relative_to(root.resolve()):
            raise BundleError(
                f"{folder} is a symbolic link that points outside the run's folder",
                found=f"a link to {folder.resolve()}",
                fix="if you trust the index, pass its folder explicitly: --index FOLDER",
            )  # fmt: skip
        content = read_within(folder, "card.json", LARGEST_CARD)
        try:
            found = read_json(content, "card.json")
            card = IndexCard.from_dict(found)
            vectors = read_within(folder, "index.faiss", _most_bytes(card))
            index = cls(card, read_faiss(vectors, card.kind, card.width, len(card.names)))
            card.check_digest(found.get("digest"), xxhash.xxh3_128_hexdigest(vectors))
            return index
        except (ValueError, RuntimeError, LookupError, TypeError, RecursionError) as error:
            raise BundleError(
                f"{folder} contains a damaged index", found=str(error)[:160], fix="run `clearsight index RUN` again"
            ) from error


LARGEST_CARD = 2**32
"""Bytes of the card of an index at most: it holds the names of all images."""


def _most_bytes(card: IndexCard) -> int:
    """Bytes of a Faiss file of so many vectors at most."""
    return 4 * card.width * (len(card.names) + 2 * card.width + 2048) + 80 * len(card.names) + 2**20


@dataclass(frozen=True)
class Retrieval:
    """Agreement of neighbours with their query's class: over Q queries, at k neighbours each."""

    queries: int
    k: int
    precision: float
    recall: float
    mean_average_precision: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON.

        Returns:
            A dictionary.
        """
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
    """Embed images and index them; the folder is written completely or not at all.

    Args:
        predictor: the model.
        dataset: the data set of the images.
        images: the images in any form that `Predictor.embed` takes.
        rows: their positions in the data set (N,).
        folder: folder of the index.
        layer: name of the layer; "" for the features below the head.
        kind: "exact" or "ivfpq".
        code_bytes: bytes per image for ivfpq, 1 to 64.
        digests: digest of every image of the data set; None computes those needed.
        progress: called as images are embedded.
        adding: called as embeddings are added.

    Returns:
        The index.

    Raises:
        ConfigError: unknown kind, too few images for ivfpq, or a code size out of range.
    """
    if kind not in ("exact", "ivfpq"):
        raise ConfigError(f"unknown kind of index {kind!r}", expected="exact or ivfpq")
    if kind == "ivfpq" and len(rows) < CODED:
        raise ConfigError(
            f"product quantisation learns 256 codes and needs at least {CODED:,} images",
            found=count(len(rows), "image"),
            fix="use --kind exact, which is fast for so few images",
        )
    if not 1 <= code_bytes <= 64:
        raise ConfigError(f"the code size is {code_bytes} bytes", expected="1 to 64 bytes")
    with disk_errors(folder, "the index", "free some space or choose another --out"), _new_folder(folder) as new:
        stored: Any = None
        done = 0
        for part in predictor.embeddings(images, layer):
            if stored is None:
                shape = (len(rows), part.shape[1])
                stored = open_memmap(new / "embeddings.npy", "w+", np.dtype(np.float32), shape)
                reserve(new / "embeddings.npy")
            stored[done : done + len(part)] = unit(part)
            done += len(part)
            if progress:
                progress(done, len(rows))
        stored.flush()
        faiss = build_faiss(stored, kind, code_bytes, adding)
        _write_vectors(faiss, new / "index.faiss")
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
        digest = card.digest_with(file_digest(new / "index.faiss"))
        write_json(new / "card.json", {**asdict(card), "digest": digest})
    return Index(card, faiss)


FILES = ("card.json", "embeddings.npy", "index.faiss")
"""Of an index."""


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the place of an index when the block ends: there is the former index until then, and
    never a mixture of both. OutputError where the folder has other files, or another process is writing an index to it.
    """
    folder = folder.resolve()
    with exclusive(folder):
        if other := sorted(path.name for path in folder.iterdir() if path.name.removesuffix(".partial") not in FILES):
            raise OutputError(
                f"{folder} is not the folder of an index", found=f"other files, such as {other[0]!a}",
                fix="choose another --out",
            )  # fmt: skip
        empty = not any(folder.iterdir())
        new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
        try:
            new.chmod(stat.S_IMODE(folder.stat().st_mode))
            yield new
            sync_folder(new)
            replace_folder(new, folder)
        except BaseException:
            if empty:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            raise
        finally:
            shutil.rmtree(new, ignore_errors=True)


def _write_vectors(index: Any, path: Path) -> None:
    try:
        _faiss().write_index(index, str(path))
    except RuntimeError as error:  # how Faiss reports a full disk
        raise OSError(errno.ENOSPC, str(error)) from error


def build_faiss(vectors: Floats, kind: str, code_bytes: int = 32, progress: Progress | None = None) -> Any:
    """A Faiss index of unit vectors; memory-mapped ones are read in chunks.

    ivfpq rotates the vectors to their principal axes, splits them into `code_bytes` parts of 8 bits each (fewer if
    there are fewer dimensions), and stores them in lists around about 4 sqrt(N) centres, of which 1 in 16 is searched.

    Args:
        vectors: unit vectors (N, D).
        kind: "exact" or "ivfpq".
        code_bytes: bytes per vector for ivfpq.
        progress: called as vectors are added.

    Returns:
        The Faiss index.

    Reference:
        Jégou, Douze and Schmid, "Product quantization for nearest neighbor search", 2011.
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
    """Search a Faiss index; if the searched lists hold fewer than k vectors, all lists are searched.

    Args:
        index: the Faiss index.
        queries: unit vectors (Q, D).
        k: number of neighbours.

    Returns:
        Cosine similarities (Q, k) and positions (Q, k), best first.
    """
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
    """The most similar images of the index for each image.

    Args:
        index: the index.
        predictor: the model that the index was built with.
        images: Q images in any form.
        k: number of images.

    Returns:
        Cosine similarities (Q, k) and positions (Q, k), best first.

    Raises:
        BundleError: the index was built with another model.
    """
    index.check(predictor.bundle)
    return index.search(np.concatenate(list(predictor.embeddings(images, index.card.layer))), k)


def evaluate_index(
    index: Index, embeddings: Floats, labels: NDArray[np.integer], k: int = 10, own: NDArray[np.int64] | None = None
) -> Retrieval:
    """Precision, recall and mean average precision of the neighbours of queries with known classes.

    Args:
        index: the index.
        embeddings: embeddings of queries (Q, D).
        labels: class indices of the queries (Q,), as the index numbers its classes; -1 for none.
        k: number of neighbours.
        own: positions of the queries in the index, which are then not counted as found (Q,); None if they are not in
            it.

    Returns:
        The metrics.
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
    """Vectors scaled to length 1.

    Args:
        vectors: vectors (N, D).

    Returns:
        Unit vectors (N, D), float32; vectors of length 0 are left unchanged.
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1), np.float32)


def model_digest(bundle: Bundle) -> str:
    """Digest of a model's weights.

    Args:
        bundle: the model.

    Returns:
        128 bits of BLAKE2b, in hexadecimal.
    """
    h = hashlib.blake2b(digest_size=16)
    for name, tensor in bundle.network.state_dict().items():
        h.update(name.encode())
        h.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return h.hexdigest()


def _faiss() -> Any:
    import faiss

    return faiss
