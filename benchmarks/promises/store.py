"""Where runs are kept: of each a compressed npz of arrays and a JSON file of facts, by the version of the code.

The folder is --cache, else $CLEARSIGHT_PROMISES, else `promises` in the project's cache. `README` there explains the
arrays.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import clearsight
from clearsight.data.cache import cache_root

KINDS = ("clean", "left-out", "symmetric", "confusable", "ensemble")
"""Of runs: the data as it is; without some classes; with 5 % of the labels changed, to any class or to the one that is
confused most; a network of each fold.
"""

README = """\
One run of `python -m benchmarks promises`: SET.KIND.SEED.npz (arrays) and SET.KIND.SEED.json (facts), in a folder named
by the digest of the code. Read them with `benchmarks.promises.store.Record`, or:

    arrays = np.load("digits.clean.0.npz"); facts = json.load(open("digits.clean.0.json"))

Shapes: N images of a part, K classes or labels, O outputs of the network, T numbers, D features.

val.*        the images that calibration was fitted on: outputs by weights that had not seen them
test.*       the test split
train.*      at most 2,000 training images, held.*: validation images, both by the final weights (with levels, and in
             runs of kind left-out); train.labels_all: labels of train and val; train.split, val.split: their rows
shifted.*    test images (at most 400, at test.changed among the test images) moved by 1 pixel to 16 pixels a side, 2 to
             64, else 4; darker.*, brighter.*: the same images at 0.9 and 1.1 of their brightness
far.NAME.*   images that belong to no class: noise, constants, text pages, and a sample of another set
fooling.*    images made by `attack --fool`, and fooling.probabilities (K,) of the class each was made for
gone.*       images of the classes left out (kind left-out)

PART.rows (N,)            position in the data set
PART.truth (N,), (N, K), (N, T)   classes, labels, or numbers
PART.raw (N, O)           logits, before calibration
PART.decoded (N, K), (N, T)   calibrated probabilities, or numbers
PART.percentile (N,), PART.flagged (N,)   of the OOD detector as it is, and PART.score (N,), larger for stranger
PART.features (N, D)      penultimate features, float16 (with levels, and in runs of kind left-out)
PART.level0, ...          pooled features of each level, shallow to deep, float16 (with levels). Published backbones:
                          mean, maximum, deviation over positions of each tapped stage, and the backbone's own output
                          last. From scratch: the same of each stage.
PART.coarse, PART.statistics   pixels pooled to a coarse grid (N, P), or statistics of pixels (N, S), whichever the
                          detector uses (with levels)
test.sets.METHOD.COVERAGE (N, K)   prediction sets; METHOD lac, aps, raps; COVERAGE 0.8, 0.9, 0.95
test.low.COVERAGE, test.high.COVERAGE (N, T)   intervals; of angles low may lie beyond high, across the turn
issues.rows (M,), issues.found (n,)   images looked at for wrong labels, and those found (positions in the data set)
issues.labels (M,), issues.probabilities (M, K)   what they were found by, if the run has it
planted.rows, planted.labels, planted.true   labels that were changed (kinds symmetric, confusable)

In the facts: set, kind, seed, code, seconds, task, classes, n of each part, calibrated on (how many images), metrics
(metrics.json), panel (entries of the trust panel, where the run has one), machine.
"""


def folder_of(option: str | None = None) -> Path:
    """The folder that runs are kept in."""
    named = option or os.environ.get("CLEARSIGHT_PROMISES")
    return Path(named).expanduser() if named else cache_root() / "promises"


BESIDE = (
    "cli", "derivatives", "explanation", "exporting", "feature_vis", "localisation", "report", "retrieval", "serving",
)  # fmt: skip
"""Packages that shape no result here."""


def code_version() -> str:
    """A digest of the modules and of the versions that shape results."""
    digest, root = hashlib.sha256(), Path(clearsight.__file__).parent
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        if place.parts[0] not in BESIDE:
            digest.update(f"{place}\0".encode() + path.read_bytes())
    for package in ("torch", "openvino", "numpy", "scikit-learn"):
        digest.update(version(package).encode())
    return digest.hexdigest()[:10]


@dataclass(frozen=True)
class Job:
    """One run: a set, a kind, a seed."""

    set: str
    kind: str
    seed: int

    def __str__(self) -> str:
        return f"{self.set}.{self.kind}.{self.seed}"


@dataclass(frozen=True)
class Record:
    """A finished run. facts: its JSON; arrays: by name, read as they are asked for."""

    path: Path

    @cached_property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.with_suffix(".json").read_text())
        return found

    @cached_property
    def _file(self) -> Any:
        return np.load(self.path)

    def __contains__(self, name: str) -> bool:
        return name in self._file.files

    def __getitem__(self, name: str) -> NDArray[Any]:
        array: NDArray[Any] = self._file[name]
        return array

    def names(self, start: str = "", end: str = "") -> list[str]:
        """Names of arrays that begin and end so."""
        return [n for n in self._file.files if n.startswith(start) and n.endswith(end)]


@dataclass(frozen=True)
class Store:
    """The runs of one version of the code in a folder."""

    root: Path
    code: str

    @property
    def folder(self) -> Path:
        return self.root / self.code

    def path(self, job: Job) -> Path:
        return self.folder / f"{job}.npz"

    def get(self, job: Job) -> Record | None:
        """The record of a finished run."""
        path = self.path(job)
        return Record(path) if path.is_file() and path.with_suffix(".json").is_file() else None

    def put(self, job: Job, arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> Record:
        """Keep a run; its JSON is written last, so a run without it is not finished."""
        path = self.path(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        readme = self.root / "README.txt"
        if not readme.is_file() or readme.read_text() != README:
            readme.write_text(README)
        partial = path.with_name(f"{path.stem}.partial.npz")
        np.savez_compressed(partial, allow_pickle=False, **arrays)
        partial.replace(path)
        path.with_suffix(".json").write_text(json.dumps(facts, indent=1, default=_plain))
        return Record(path)

    @contextmanager
    def claimed(self, job: Job) -> Iterator[bool]:
        """Whether this process alone works on a run inside the block; the claim of a killed process is void."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f".{job}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays, and dataclasses, as JSON."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return vars(value) if hasattr(value, "__dict__") else str(value)
