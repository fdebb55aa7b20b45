"""From a data set to what training needs: pixels in memory-mapped arrays, splits, and the audit."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from clearsight.data.audit import Audit, Finding, audit, duplicate_groups
from clearsight.data.cache import Progress
from clearsight.data.cached_pixels import CachedPixels, cached_pixels
from clearsight.data.checks.copies import MANY
from clearsight.data.continued_split import assign_added
from clearsight.data.dataset import Dataset
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat
from clearsight.data.ranks import by_the_first
from clearsight.data.scan import Scan
from clearsight.data.splits import Split, assign
from clearsight.wording import count

VALIDATION_AS_TEST = "validation-as-test"
"""Code of the finding that the validation split of the data is the test split."""


@dataclass(frozen=True)
class Prepared:
    """A data set ready for training: images (N, C, H, W), labels (N,), weights (N,), splits and audit."""

    dataset: Dataset
    scan: Scan
    form: PixelFormat
    geometry: Geometry
    pixels: CachedPixels
    split: Split
    audit: Audit

    @property
    def labels(self) -> NDArray[np.int64]:
        return self.dataset.labels

    @property
    def weights(self) -> NDArray[np.float32]:
        """The weight of each label (N,); ones if the data has none."""
        if self.dataset.weights is None:
            return np.ones(len(self.dataset), np.float32)
        return self.dataset.weights


def prepare(
    dataset: Dataset,
    scanned: Scan,
    geometry: Geometry,
    *,
    seed: int = 0,
    test_fraction: float | None = 0.25,
    folds: int | None = None,
    form: PixelFormat | None = None,
    progress: Progress | None = None,
    copies_limit: int = MANY,
) -> Prepared:
    """Decode (or find in the cache), set aside what does not decode, split, audit.

    form: of the pixels; None for the one that holds every image without loss. copies_limit: images up to which the
    audit searches for turned, shifted and cropped copies. Raises DataError when what is left cannot be split,
    OutputError when the cache cannot be written.
    """
    form = form or scanned.form
    skip = frozenset(scanned.failed)
    pixels = cached_pixels(dataset.source, scanned.digests, form, geometry, skip=skip, progress=progress)
    set_aside = {**scanned.failed, **pixels.failed}
    split = split_of(dataset, scanned, set_aside, seed=seed, test_fraction=test_fraction, folds=folds)
    examined = by_the_first(  # it names the images on both sides of the split
        lambda: audit(dataset, scanned, pixels, split, set_aside, geometry=geometry, limit=copies_limit)
    )
    split = _without_known(split, pixels)
    counts = {**examined.counts, "test": {"images": len(split.test)}}
    findings = (*_validation_as_test(dataset, split), *examined.findings)
    examined = replace(examined, counts=counts, split_rule=split.rule, findings=findings)
    return Prepared(dataset, scanned, form, geometry, pixels, split, examined)


def split_of(
    dataset: Dataset,
    scanned: Scan,
    set_aside: Collection[int],
    *,
    seed: int,
    test_fraction: float | None,
    folds: int | None,
) -> Split:
    """The split and folds of a data set, whatever size its images are read at. set_aside: images that do not decode."""
    usable = np.ones(len(dataset), dtype=bool)
    usable[list(set_aside)] = False
    usable &= dataset.labels >= 0
    learnable = dataset.learnable
    known = dataset.known_part
    rule: Callable[..., Split] = assign if known is None else partial(assign_added, known=known)
    split = rule(
        dataset.labels,
        dataset.given,
        dataset.classes,
        usable=usable & learnable,
        groups=dataset.groups,
        duplicates=_copies(dataset, scanned),
        seed=seed,
        test_fraction=test_fraction,
        folds=folds,
        strata=not dataset.task.needs_classes,
    )
    if not learnable.all():
        more = usable & dataset.task.only_tested(dataset)
        if known is not None:  # nothing that the run learned from is tested
            more &= ~np.isin(known, ("train", "val", "unused"))
        split = split.also_tested(np.flatnonzero(more))
    return split


def _validation_as_test(dataset: Dataset, split: Split) -> tuple[Finding, ...]:
    """A warning where the data states a validation split and no test split, so that the former is tested on."""
    if "val" not in dataset.splits_given or "test" in dataset.splits_given:
        return ()
    return (
        Finding(
            VALIDATION_AS_TEST, "warning",
            f"the data has no test split: its val split ({count(len(split.test), 'image')}) is used as the test split, "
            "and a validation split is taken from train",
            "if models or options were chosen on the val split, its scores are too optimistic: add a test split",
        ),
    )  # fmt: skip


def _copies(dataset: Dataset, scanned: Scan) -> NDArray[np.int64]:
    """Numbers (N,), equal for images of the same pixels where these are compared, else for equal files."""
    if dataset.contents is None:
        return duplicate_groups(scanned)
    numbers: NDArray[np.int64] = np.unique(np.array(dataset.contents), return_inverse=True)[1].astype(np.int64)
    failed = np.flatnonzero([not content for content in dataset.contents])
    numbers[failed] = len(numbers) + np.arange(len(failed))
    return numbers


def _without_known(split: Split, pixels: CachedPixels) -> Split:
    """The split without the test images that have the same pixels as an image of the other parts: they are not new to
    the model.
    """
    contents = np.array(pixels.contents)
    known = np.isin(contents[split.test], contents[np.concatenate([split.train, split.val])])
    if not known.any():
        return split
    rule = (
        f"{split.rule}; left out of the test split: {count(int(known.sum()), 'image')} with the same pixels as a "
        "training or validation image"
    )
    return replace(split, test=split.test[~known], rule=rule)
