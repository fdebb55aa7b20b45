"""The card of an index, which may come from someone else: what the index contains, checked when it is read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import xxhash

from clearsight.bundle import format1


@dataclass(frozen=True)
class IndexCard:
    """What an index contains.

    model: digest of the model's weights. layer: name of the layer, "" for the features below the head. descriptions:
    targets of each image in words, if they are not one class per image. task: the task as which the data was read.
    digests: digest of each image's content, as from `Source.inspect`; a picture is shown only if its image still has
    this content.
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
        """Check and restore a card, which may come from someone else.

        Args:
            found: the content of `card.json`.

        Returns:
            The card.

        Raises:
            ValueError: something is missing or malformed.
        """
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
            raise ValueError("values of the wrong type")
        if len(set(lists["classes"])) < len(lists["classes"]):
            raise ValueError("class names that occur twice")
        card = cls(**words, **lists, width=width)
        count = len(card.names)
        if not len(card.labels) == len(card.rows) == count or {len(card.descriptions), len(card.digests)} - {0, count}:
            raise ValueError("lists of different lengths")
        if not all(-1 <= label < len(card.classes) for label in card.labels) or min(card.rows, default=0) < 0:
            raise ValueError("indices out of range")
        return card

    def digest_with(self, vectors: str) -> str:
        """Digest that ties a card to its vectors; the place of the images, which may change, does not belong to it.

        Args:
            vectors: digest of `index.faiss`.

        Returns:
            128 bits in hexadecimal.
        """
        parts = {**asdict(self), "origin": None, "digests": None, "vectors": vectors}
        return xxhash.xxh3_128_hexdigest(json.dumps(parts, sort_keys=True).encode(errors="backslashreplace"))

    def check_digest(self, digest: object, vectors: str) -> None:
        """Require that a card and its vectors are as they were written together.

        Args:
            digest: the digest in the file of the card; None for an index of an earlier version, which passes.
            vectors: digest of `index.faiss`.

        Raises:
            ValueError: one of them has changed.
        """
        if digest is not None and digest != self.digest_with(vectors):
            raise ValueError("a digest that does not match the content of card.json and index.faiss")

    def words(self, place: int) -> str:
        """The targets of an image in words.

        Args:
            place: position of the image in the index.

        Returns:
            Its class, labels or numbers; "" if the data does not say.
        """
        if self.descriptions:
            return self.descriptions[place]
        return self.classes[self.labels[place]] if self.labels[place] >= 0 else ""


REQUIRED = frozenset(("model", "layer", "kind", "origin", "names", "labels", "rows", "classes", "width"))
"""What the first version of an index's card held."""


def _listed(name: str, values: Any, kind: type) -> tuple[Any, ...]:
    """A list of a card; ValueError unless all its values are of the kind."""
    if not isinstance(values, list) or not all(type(value) is kind for value in values):
        raise ValueError(f"{name} that are not a list of {kind.__name__} values")
    return tuple(values)
