"""A tree of classes, and predictions that name a parent where no class is probable enough.

The probability of a parent is the sum over the classes below it. Of all classes and parents that reach a stated
probability, the deepest one is predicted [Deng et al. 2012, "Hedging your bets"]. Above one half there is at most one
at each depth, since two sets of classes that share none cannot both have more than half.

A class may be a parent too, where a folder holds images beside folders of images: the class stands for its own images,
the parent for these and all below it.

The script beside an exported file holds this module too, so it needs NumPy alone.

Shapes: N images, K classes, J classes and parents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.schema import invalid, mapping, record, text
from clearsight.tasks.predictions import Prediction
from clearsight.wording import probability

BACK_OFF = 0.9
"""Probability that the predicted class or parent reaches, unless another is asked for."""


ROUNDING = 1e-9
"""By which a sum of probabilities may miss what is asked for."""


@dataclass(frozen=True)
class ClassTree:
    """classes (K,): their names. parents: pairs (name, its parent), of classes and of parents; names without a pair are
    roots, of which there may be several.
    """

    classes: tuple[str, ...]
    parents: tuple[tuple[str, str], ...]

    @classmethod
    def above(cls, classes: Sequence[str], parents: Mapping[str, str]) -> ClassTree:
        """The tree above some classes, without what is above none of them. parents: without cycles."""
        kept: dict[str, str] = {}
        for name in classes:
            while name in parents and name not in kept:
                kept[name] = parents[name]
                name = kept[name]
        return cls(tuple(classes), tuple(sorted(kept.items())))

    @classmethod
    def of_paths(cls, classes: Sequence[str]) -> ClassTree:
        """The tree of classes that are named by paths: animal is the parent of animal/dog."""
        return cls.above(classes, path_parents(classes))

    @property
    def by_path(self) -> bool:
        """Whether the classes are named by paths."""
        return dict(self.parents) == path_parents(self.classes)

    def path(self, name: str) -> tuple[str, ...]:
        """A name and all above it, the root last."""
        found, parents = [name], self._parent_of
        while found[-1] in parents:
            found.append(parents[found[-1]])
        return tuple(found)

    @cached_property
    def _parent_of(self) -> dict[str, str]:
        return dict(self.parents)

    @cached_property
    def inner(self) -> tuple[str, ...]:
        """The parents, sorted by name."""
        return tuple(sorted({parent for _, parent in self.parents}))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The classes and then the parents (J,); a class that is a parent too stands here twice."""
        return self.classes + self.inner

    @cached_property
    def depths(self) -> NDArray[np.int64]:
        """How deep each of `names` lies (J,), 1 at the top; a class that is a parent too lies below that parent."""
        inner = set(self.inner)
        own = [len(self.path(name)) + (name in inner) for name in self.classes]
        return np.array(own + [len(self.path(name)) for name in self.inner], np.int64)

    @cached_property
    def members(self) -> NDArray[np.bool_]:
        """Which classes belong to each of `names` (J, K)."""
        found = np.zeros((len(self.names), len(self.classes)), bool)
        place = {name: len(self.classes) + j for j, name in enumerate(self.inner)}
        for k, name in enumerate(self.classes):
            found[k, k] = True
            for above in self.path(name):
                if above in place:
                    found[place[above], k] = True
        return found

    def probabilities(self, p: NDArray[np.floating]) -> NDArray[np.float64]:
        """Of each of `names` (N, J), from those of the classes (N, K)."""
        return np.asarray(np.minimum(np.asarray(p, np.float64) @ self.members.T, 1.0))

    def deepest(self, p: NDArray[np.floating], least: float) -> NDArray[np.int64]:
        """The position in `names` of the deepest one whose probability is at least `least`, above 0.5, for each image
        (N,), from probabilities of the classes (N, K); -1 where none is.
        """
        order = np.argsort(-self.depths, kind="stable")
        reached = self.probabilities(p)[:, order] >= least - ROUNDING
        return np.where(reached.any(1), order[reached.argmax(1)], -1)

    @cached_property
    def distances(self) -> NDArray[np.int64]:
        """For each true class and each predicted one (K, K) the number of levels from the true class up to the first
        parent of both, all roots having one parent in common; 0 for the class itself.
        """
        count = len(self.classes)
        found = np.zeros((count, count), np.int64)
        for k in range(count):
            above = np.flatnonzero(self.members[count:, k]) + count
            in_level = self.members[above[np.argsort(-self.depths[above])]]
            outside = np.cumsum(in_level, 0) == 0  # levels below the first that holds each class
            found[k] = outside.sum(0) + 1
            found[k, k] = 0
        return found

    def card(self) -> dict[str, Any]:
        """Plain values for the bundle and the card of an exported file."""
        return {"parents": dict(self.parents)}

    @classmethod
    def load(cls, card: Mapping[str, Any], classes: Sequence[str]) -> ClassTree:
        """From what `card` gave."""
        place = "card.json: hierarchy"
        record({"parents": mapping(text())})(card, place)
        for name in card["parents"]:
            seen = {name}
            while (name := card["parents"].get(name)) is not None:
                if name in seen:
                    invalid(f"{place}.parents", f"the cycle through {name!r}", "a tree")
                seen.add(name)
        return cls.above(classes, {str(name): str(parent) for name, parent in card["parents"].items()})


def path_parents(classes: Sequence[str]) -> dict[str, str]:
    """The parent of each class that is named by a path, and of each parent."""
    found = {}
    for name in classes:
        while (above := name.rpartition("/")[0]) and name.rpartition("/")[2]:
            found[name] = above
            name = above
    return found


@dataclass(frozen=True)
class HierarchyPrediction(Prediction):
    """The prediction for one image of a model with a tree of classes. back_off: the deepest class or parent that
    reaches the probability asked for, "" where none does. back_off_probability: of it, None where there is none.
    """

    back_off: str = ""
    back_off_probability: float | None = None

    def line(self, top: int = 3, coverage: float | None = None, thing: str = "image") -> str:
        """As of a model of classes; where no class is probable enough, the parent stands first."""
        line = super().line(top, coverage, thing)
        if self.is_ood:
            return line
        if self.back_off_probability is None:
            return f"no class or parent reaches the required probability;  {line}"
        if self.back_off == self.label and self.back_off_probability == self.probability:
            return line
        return f"parent {self.back_off} {probability(self.back_off_probability)}; {line}"


def with_back_off(
    plain: Sequence[Prediction], probabilities: NDArray[np.floating], tree: ClassTree, least: float = BACK_OFF
) -> list[HierarchyPrediction]:
    """Predictions of classes with the deepest class or parent whose probability is at least `least`, from probabilities
    of the classes (N, K).
    """
    each, chosen = tree.probabilities(probabilities), tree.deepest(probabilities, least).tolist()
    found = []
    for i, (prediction, j) in enumerate(zip(plain, chosen, strict=True)):
        shared: dict[str, Any] = {f.name: getattr(prediction, f.name) for f in fields(prediction)}
        if j >= 0:
            shared |= {"back_off": tree.names[j], "back_off_probability": float(each[i, j])}
        found.append(HierarchyPrediction(**shared))
    return found
