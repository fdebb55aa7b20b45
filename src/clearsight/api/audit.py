"""Audit a data set without training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from clearsight.console import Console, usual_console
from clearsight.data.audit import Audit
from clearsight.data.audit_pictures import Shown, audit_pictures
from clearsight.data.checks.copies import MOST
from clearsight.data.prepare import Prepared
from clearsight.tasks import read
from clearsight.train.config import TrainConfig
from clearsight.train.task_options import task_options


def audit(data: Any, *, preview: bool = False, console: Console | None = None, **options: Any) -> Audit:
    """Audit a data set without training, at the image size that `fit` would use: `cs.audit("photos/")`.

    Args:
        data: as `fit` takes it.
        preview: show some training images on the page as the options augment, mixup and cutmix change them.
        console: where progress is shown; by default below the cell of a notebook, nowhere elsewhere.
        **options: those of `fit` that concern the data: seed, test_fraction, folds, img_size, ...; with `preview`,
            those of the augmentation.

    Returns:
        Unreadable and blank files, duplicates, leaks between splits, missing classes, imbalance and shortcuts, with the
        counts of images; `save` writes a page with pictures.

    Raises:
        DataError: the data cannot be used at all.
    """
    from clearsight.train.recipe import planned

    config = TrainConfig.from_options(**options)
    dataset = read(data, data_dir=config.data.data_dir, task=config.data.task, options=task_options(config))
    prepared = planned(dataset, config, console or usual_console(), copies_limit=MOST)[0]
    pictures = audit_pictures(prepared)
    if preview:
        pictures = replace(pictures, **_preview(prepared, config))
    return replace(prepared.audit, pictures=pictures)


def _preview(prepared: Prepared, config: TrainConfig) -> dict[str, Any]:
    """Training images beside augmented versions, for the page."""
    from clearsight.report.preview import augmented_images

    options = config.augmentation
    options = replace(options, augment="light") if options.augment is None else options
    words, images = augmented_images(prepared, options, config.run.seed)
    return {"preview": tuple(Shown(picture, name, "") for name, picture in images), "preview_words": words}
