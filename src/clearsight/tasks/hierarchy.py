"""One class per image, where classes stand in a tree: an uncertain image is answered with a parent of its class.

The tree comes from nested folders or labels such as animal/dog, or from a CSV file of parents. Training is that of
classes alone; the tree says what is predicted where no class is probable enough (`class_tree`), and how it is scored
(`hierarchy_evaluation`).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from clearsight.data.dataset import Dataset, Files, Listing, printable
from clearsight.data.targets import class_name
from clearsight.errors import ConfigError, DataError, did_you_mean
from clearsight.tasks.class_tree import ClassTree, HierarchyPrediction, with_back_off
from clearsight.tasks.classification import Classification
from clearsight.tasks.evaluation import Evaluation
from clearsight.tasks.hierarchy_evaluation import HierarchyEvaluation, evaluate_hierarchy
from clearsight.tasks.prediction_cards import prediction_card
from clearsight.tasks.predictions import Prediction
from clearsight.tasks.registry import register_task
from clearsight.tasks.sections import Card
from clearsight.tasks.task import OODScores, Outputs, PredictOptions, TaskOptions, Words
from clearsight.wording import count, probability

FOLDERS = "folders"
"""What says that nested folders, or labels such as animal/dog, are the tree."""

COLUMNS = ("class", "parent")
"""Of a file of parents."""


@register_task
@dataclass(frozen=True)
class Hierarchy(Classification):
    """tree: above the classes."""

    tree: ClassTree = field(default_factory=lambda: ClassTree((), ()))

    name: ClassVar[str] = "hierarchy"
    words_used: ClassVar[Words] = replace(Classification.words_used, data="one class per image, in a tree of classes")
    prediction: ClassVar[type[Any]] = HierarchyPrediction
    evaluation: ClassVar[type[Evaluation]] = HierarchyEvaluation
    own_options: ClassVar[tuple[str, ...]] = ("hierarchy",)
    predict_options: ClassVar[frozenset[str]] = Classification.predict_options | {"back_off"}
    reader: ClassVar[str] = "hierarchy"

    @classmethod
    def read(cls, listing: Listing, options: TaskOptions) -> Dataset:
        """Classes as ever, with a file of parents; else the innermost folders, or names such as animal/dog."""
        dataset = super().read(_by_path(listing, options), options)
        if not options.evaluating:
            _tree(dataset.classes, options)
        return dataset

    def joinable(self, listing: Listing, options: TaskOptions) -> Listing:
        """Classes by nested folders, as lists that are joined have no common folder."""
        return _by_path(listing, options)

    @classmethod
    def describe(cls, dataset: Dataset) -> str:
        """How many classes there are."""
        return f"{count(len(dataset.classes), 'class', 'classes')} in a tree"

    @classmethod
    def of(cls, dataset: Dataset, train: NDArray[np.int64], options: TaskOptions) -> Hierarchy:
        """Before anything is learned."""
        return cls(dataset.names, tree=_tree(dataset.names, options, checked=False))

    def predictions(
        self, outputs: Outputs, images: Sequence[str], ood: OODScores | None, options: PredictOptions
    ) -> list[Prediction]:
        """The most probable class of each image, its prediction set, and the deepest class or parent that is probable
        enough.
        """
        if not 0.5 < options.back_off < 1:
            raise ConfigError(
                f"the back-off probability {options.back_off:g} is out of range",
                expected="a probability above 0.5 and below 1, such as 0.9 (at 0.5, two parents could reach it)",
            )
        plain = super().predictions(outputs, images, ood, options)
        return [*with_back_off(plain, self.decode(outputs), self.tree, options.back_off)]

    def evaluate(
        self,
        outputs: Outputs,
        truth: NDArray[Any],
        *,
        indices: NDArray[np.integer] | None = None,
        images: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
    ) -> HierarchyEvaluation:
        """As of classes, and how often parents are predicted and right."""
        plain = super().evaluate(outputs, truth, indices=indices, images=images, groups=groups)
        shared = {f.name: getattr(plain, f.name) for f in fields(plain)}
        return HierarchyEvaluation(
            **shared,
            hierarchy=evaluate_hierarchy(self.decode(outputs), truth, self.decided(self.decode(outputs)), self.tree),
        )

    def read_options(self) -> TaskOptions:
        """Other data names its classes as the training data did."""
        return TaskOptions(evaluating=True, hierarchy=FOLDERS if self.tree.by_path else dict(self.tree.parents))

    def export_facts(self) -> dict[str, Any]:
        """The tree."""
        return {**super().export_facts(), "hierarchy": self.tree.card()}

    def public_card(self) -> dict[str, Any]:
        """The tree."""
        return {"task": self.name, **self.tree.card()}

    def card(self) -> dict[str, Any]:
        """Plain values for the bundle."""
        return {**super().card(), "task": self.name, "hierarchy": self.tree.card()}

    @classmethod
    def load(cls, card: Mapping[str, Any] | None, names: tuple[str, ...], temperature: float) -> Hierarchy:
        """From what `card` gave."""
        plain = Classification.load(card, names, temperature)
        tree = ClassTree.of_paths(names) if card is None else ClassTree.load(card["hierarchy"], names)
        return cls(names, plain.calibrator, plain.conformal, plain.operating_point, tree)


@prediction_card.register
def _(prediction: HierarchyPrediction, index: int) -> Card:
    card = prediction_card.dispatch(Prediction)(prediction, index)
    if prediction.back_off in ("", prediction.label) or prediction.is_ood:
        return card
    line = (f"parent {prediction.back_off} {probability(prediction.back_off_probability or 0.0)}", "")
    return replace(card, lines=(*card.lines[:1], line, *card.lines[1:]))


def _tree(classes: Sequence[str], options: TaskOptions, checked: bool = True) -> ClassTree:
    """The tree above the classes; where it is checked, an error for one that does not fit them."""
    if options.hierarchy in (None, FOLDERS):
        tree = ClassTree.of_paths(classes)
        if checked and not tree.parents:
            raise DataError(
                "the data has no hierarchy of classes", found=f"classes {', '.join(classes[:5])}",
                expected="nested folders such as photos/animal/dog/1.jpg, or labels such as animal/dog",
                fix="alternatively, pass a CSV file of parents: --hierarchy parents.csv",
            )  # fmt: skip
        return tree
    if isinstance(options.hierarchy, Mapping):
        return ClassTree.above(classes, options.hierarchy)
    path = Path(str(options.hierarchy)).expanduser()
    parents = read_parents(path)
    if checked:
        check_parents(parents, classes, str(path))
    return ClassTree.above(classes, parents)


def _by_path(listing: Listing, options: TaskOptions) -> Listing:
    """The listing with the path of the folder below the data set's as the class of each image, where it was the first
    folder alone; classes from elsewhere, or with a file of parents, as they are.
    """
    source, stated = listing.source, listing.stated
    if options.hierarchy not in (None, FOLDERS):
        return listing
    if not isinstance(source, Files) or source.root is None or stated.cells is None or stated.where:
        return listing
    cells = []
    for path, cell, split in zip(source.paths, stated.cells, listing.given.tolist(), strict=True):
        folders = [class_name(printable(part)) for part in path.relative_to(source.root).parent.parts]
        own = folders[1:] if split else folders
        cells.append("/".join(own) if own and own[0] == cell else cell)
    return replace(listing, stated=replace(stated, cells=tuple(cells)))


def read_parents(path: Path) -> dict[str, str]:
    """The parent of each name in a CSV file with columns `class` and `parent`; an empty parent makes a root.

    Raises:
        ConfigError: the file cannot be read, lacks a column, or gives a name two parents, itself as its parent, or a
            cycle.
    """
    expected = "a CSV file with the columns `class` and `parent`, and rows such as dog,animal"
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines(), skipinitialspace=True))
    except (OSError, ValueError, csv.Error) as error:
        raise ConfigError(f"--hierarchy {path} cannot be read", found=str(error), expected=expected) from error
    head = [name.strip().lower() for name in (rows[0] if rows else {}) if name is not None]
    if not set(COLUMNS) <= set(head):
        raise ConfigError(
            f"--hierarchy {path} lacks a required column", found=", ".join(head) or "no rows", expected=expected
        )
    found: dict[str, str] = {}
    for line, row in enumerate(rows, start=2):
        cells = {str(key).strip().lower(): class_name((value or "").strip()) for key, value in row.items() if key}
        name, parent = (cells[column] for column in COLUMNS)
        if not name and not parent:
            continue
        if not name:
            raise ConfigError(
                f"line {line} of {path} has no class", found=f"only the parent {parent!r}", expected=expected
            )
        if name == parent:
            raise ConfigError(
                f"line {line} of {path} makes {name!r} its own parent",
                expected="another name, or an empty cell for a root",
            )
        if found.setdefault(name, parent) != parent:
            raise ConfigError(
                f"{path} gives {name!r} two parents", found=f"{found[name]!r} and {parent!r} (line {line})",
                expected="one parent per name",
            )  # fmt: skip
    parents = {name: parent for name, parent in found.items() if parent}
    if cycle := _cycle(parents):
        raise ConfigError(
            f"{path} contains a cycle", found=" below ".join(map(repr, cycle)),
            expected="chains of parents that end at a root", fix="remove one of these rows",
        )  # fmt: skip
    return parents


def _cycle(parents: Mapping[str, str]) -> list[str]:
    """Names of which each is the parent of the one before, the first again at the end; none where all end at roots."""
    done: set[str] = set()
    for start in parents:
        way: list[str] = []
        name = start
        while name in parents and name not in done:
            if name in way:
                return [*way[way.index(name) :], name]
            way.append(name)
            name = parents[name]
        done.update(way)
    return []


def check_parents(parents: Mapping[str, str], classes: Sequence[str], where: str) -> None:
    """Raise ConfigError for names that are neither classes nor above one, and where no class has a parent."""
    tree = ClassTree.above(classes, parents)
    known = [*classes, *tree.inner]
    if unknown := [name for name in parents if name not in set(known)]:
        raise ConfigError(
            f"{where} names {count(len(unknown), 'class', 'classes')} that the data does not contain",
            found=", ".join(map(repr, unknown[:5])) + (", ..." if len(unknown) > 5 else ""),
            expected="classes of the data, such as " + ", ".join(classes[:8]) + ", or their ancestors",
            fix=did_you_mean(unknown[0], classes),
        )
    if not tree.parents:
        raise ConfigError(
            f"no class has a parent in {where}", found="no rows" if not parents else ", ".join(list(parents)[:5]),
            expected="parents of classes such as " + ", ".join(classes[:8]),
        )  # fmt: skip
