"""Shortcuts: properties by which a network can recognise a class without looking at what images show.

File type, size, camera, borders and constant marks are never what a picture shows: each is reported for every class
that it predicts with a balanced accuracy of `ARTEFACT` or more. Colour and brightness are evidence in many data sets.
They are reported as shortcuts only for a class that they separate almost alone (`ALONE`) and much better than they
separate any other (`AHEAD` or `TIMES_FEWER`), as a tint or an exposure of its own does. A note lists the other classes
that they separate well (`NOTED`): pixels and labels cannot show whether that is a fault.

All classes and properties of a data set are tested together: Holm's correction [1979] keeps the probability of any
finding without a relation below `ERROR_RATE`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearsight.data.cached_pixels import CachedPixels
from clearsight.data.checks.marks import marks
from clearsight.data.checks.one_property import ClassScore, class_scores
from clearsight.data.checks.properties import described, properties
from clearsight.data.dataset import Dataset
from clearsight.data.findings import Finding
from clearsight.data.scan import Scan
from clearsight.wording import listed, percent

ARTEFACT, MARK = 0.85, 0.9
"""Balanced accuracy of properties of files and borders, and of marks: strokes of a digit `1` are saturated at the same
place too."""

ALONE, AHEAD = 0.95, 0.08
"""Balanced accuracy of colour or brightness for a class, and how much more than for any other class."""

TIMES_FEWER, LEAST_ERROR = 3.0, 0.01
"""The same for high accuracies: times by which the balanced error is smaller than for any other class, with this much
added to both. It counts only if no other class is separated almost alone."""

TWO_CLASSES = 0.97
"""The same where no third class is there to compare with, or where all classes are separated alike."""

NOTED = 0.85
"""Balanced accuracy of colour or brightness from which a note names the class."""

ERROR_RATE = 0.01
FEWEST = 5
"""Images of a class at least."""

MOST = 4000
"""Images tested, at most."""


@dataclass(frozen=True)
class _Test:
    """One property and one class. evidence: whether the property may be what distinguishes the classes."""

    name: str
    label: int
    score: ClassScore
    evidence: bool = False
    place: tuple[float, float] | None = None


def shortcuts(dataset: Dataset, scan: Scan, pixels: CachedPixels, known: NDArray[np.int64]) -> list[Finding]:
    """Findings about properties that alone predict a class.

    Args:
        dataset: images and targets.
        scan: headers of the images.
        pixels: cached pixels of all images.
        known: positions of the images whose labels may be seen.

    Returns:
        A finding for each property and class, or for each property if it predicts most classes.
    """
    rows = np.sort(np.random.default_rng(0).permutation(known)[:MOST])
    counts = np.bincount(dataset.labels[rows], minlength=len(dataset.classes))
    rows = rows[counts[dataset.labels[rows]] >= FEWEST]
    present, labels = np.unique(dataset.labels[rows], return_inverse=True)
    if len(present) < 2:
        return []
    k, tests = len(present), []
    for one in properties(dataset, scan, pixels, rows):
        scores = class_scores(one.values.astype(float), labels, k)
        tests += [_Test(one.name, c, score, one.evidence) for c, score in enumerate(scores)]
    family = len(tests) + k
    significant = _significant(tests, family)
    found = _remarkable(tests, significant)
    marked = {c: mark for c, mark in marks(pixels, rows, labels, k).items() if not _explained(c, found)}
    sized = {test.label for test in found if test.name == "image size"}
    found = [test for test in found if test.name != "aspect ratio" or test.label not in sized]
    marks_tested = [_Test("mark", c, mark.score, place=mark.place) for c, mark in marked.items()]
    found += _remarkable(marks_tested, _significant(marks_tested, family))
    noted = [t for t in significant if t.evidence and t.score.balanced_accuracy >= NOTED and t not in found]
    return [*_findings(dataset, scan, rows, labels, present, found), *_notes(dataset, present, noted)]


def _significant(tests: list[_Test], family: int) -> list[_Test]:
    """The tests that are significant among so many."""
    order = sorted(tests, key=lambda test: test.score.p_value)
    significant = []
    for rank, test in enumerate(order):
        if test.score.p_value * (family - rank) > ERROR_RATE:
            break
        significant.append(test)
    return significant


def _remarkable(tests: list[_Test], significant: list[_Test]) -> list[_Test]:
    """The significant tests that are large enough, compared with all tests of the same property."""
    scores: dict[str, list[float]] = {}
    for test in tests:
        scores.setdefault(test.name, []).append(test.score.balanced_accuracy)
    return [test for test in significant if _large(test, scores[test.name])]


def _large(test: _Test, all_scores: list[float]) -> bool:
    value = test.score.balanced_accuracy
    if not test.evidence:
        return value >= (ARTEFACT if test.place is None else MARK)
    if len(all_scores) == 2 or min(all_scores) >= TWO_CLASSES:
        return value >= TWO_CLASSES
    others = sorted(all_scores)
    others.remove(value)
    fewer = TIMES_FEWER * (1 - value + LEAST_ERROR) <= 1 - others[-1] + LEAST_ERROR
    return value >= ALONE and (value >= others[-1] + AHEAD or (fewer and others[-1] < ALONE))


def _explained(label: int, found: list[_Test]) -> bool:
    """Whether a border, a tint or an exposure of its own already explains constant pixels of a class."""
    return any(test.label == label and test.name in ("border", "colour", "brightness") for test in found)


def _findings(
    dataset: Dataset,
    scan: Scan,
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    present: NDArray[np.int64],
    found: list[_Test],
) -> list[Finding]:
    thing, things = dataset.task.counted
    findings = []
    for name in dict.fromkeys(test.name for test in found):
        tests = [test for test in found if test.name == name]
        alike = len(tests) > 1 and 2 * len(tests) > len(present)
        for some in [tests] if alike else [[test] for test in tests]:
            names = [dataset.classes[present[test.label]] for test in some]
            value = float(np.mean([test.score.balanced_accuracy for test in some]))
            low = min(test.score.interval[0] for test in some)
            high = max(test.score.interval[1] for test in some)
            who = f"{thing if len(names) == 1 else things} {listed([repr(one) for one in names], 5)}"
            values = _values(name, dataset, scan, rows, labels, some)
            files = [dataset.source.name(int(i)) for i in rows[np.isin(labels, [test.label for test in some])]]
            findings.append(
                Finding(
                    "shortcut",
                    "warning",
                    f"{_subject(name, some[0])} alone predicts {who} with a balanced accuracy of {percent(value, 0)} "
                    f"(95 % interval {percent(low, 0)} to {percent(high, 0)}, chance 50 %){values}",
                    _advice(name, thing),
                    {
                        "feature": name, "classes": names, "balanced_accuracy": value, "interval": [low, high],
                        "chance": 0.5, "files": files if not alike else [],
                    },
                )
            )  # fmt: skip
    return findings


def _notes(dataset: Dataset, present: NDArray[np.int64], tests: list[_Test]) -> list[Finding]:
    """A note for each property that separates classes and may be what distinguishes them."""
    thing, things = dataset.task.counted
    notes = []
    for name in dict.fromkeys(test.name for test in tests):
        accuracies = {dataset.classes[present[t.label]]: t.score.balanced_accuracy for t in tests if t.name == name}
        ranked = sorted(accuracies.items(), key=lambda entry: -entry[1])
        words = listed([f"{one!r} ({percent(value, 0)})" for one, value in ranked], 5)
        who = f"{thing if len(ranked) == 1 else things} {words}"
        message = f"{name} alone predicts {who}: balanced accuracy, chance 50 %. It may belong to the {thing} itself"
        evidence = {"feature": name, "classes": list(accuracies), "balanced_accuracy": accuracies, "chance": 0.5}
        notes.append(Finding("predictive-property", "note", message, _advice(name, thing), evidence))
    return notes


def _subject(name: str, test: _Test) -> str:
    if test.place is None:
        return name
    y, x = test.place
    return f"a constant mark at {percent(y, 0)} of the height and {percent(x, 0)} of the width"


def _values(
    name: str, dataset: Dataset, scan: Scan, rows: NDArray[np.int64], labels: NDArray[np.int64], tests: list[_Test]
) -> str:
    """The most common value in the class and in the rest, where it has a short description."""
    if len(tests) > 1:
        return ""
    own = labels == tests[0].label
    words = []
    for some in (rows[own], rows[~own]):
        described_rows = [
            described(name, header, dataset.source.name(int(i))) for i in some if (header := scan.headers[i])
        ]
        words.append(Counter(described_rows).most_common(1)[0][0])
    return f": mostly {words[0]}, elsewhere mostly {words[1]}" if words[0] and words[0] != words[1] else ""


def _advice(name: str, thing: str) -> str:
    if name in ("colour", "brightness"):
        return (
            f"no change is needed if the {name} is a property of the {thing} itself; if it comes from the camera, the "
            "light or the processing, remove the difference, or train with --augment strong"
        )
    return (
        f"check whether the {name} also differs in the images that the model will be used on; if it does not, make it "
        "the same for all images, for example by converting them alike"
    )
