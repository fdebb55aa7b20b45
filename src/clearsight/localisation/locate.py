"""Where in an image a class is, by a model that learned class labels alone.

cam     one look at the whole image: boxes around the regions of the class-activation map of its answer
window  the classifier slides over the image at several scales, and its sure windows become boxes

for found in locate(predictor, ["scene.png"]):
    found.found, found.heat, found.segments
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clearsight.console import Console, Silent
from clearsight.data.boxed import DetectionRecord
from clearsight.errors import ConfigError, ModelError, did_you_mean
from clearsight.localisation.detections import Found, Located, Settings
from clearsight.localisation.maps import Source, class_heat, regions, sources
from clearsight.predictor import Images, Predictor

SHARE, SEGMENT_SHARE = 0.5, 0.4
"""Shares of a map's maximum from which a pixel, or the mean of a segment, belongs to the class."""

METHODS: dict[str, str] = {
    "cam": "boxes from class-activation maps, in one pass over the whole image",
    "window": "boxes from confident predictions in sliding windows of the model's input size",
}
"""The methods, and what each does."""


def locate(
    predictor: Predictor,
    images: Images,
    *,
    method: str = "auto",
    target: str | int | Sequence[str | int] | None = None,
    settings: Settings | None = None,
    console: Console | None = None,
) -> Iterator[Located]:
    """Locate the predicted class of each image, or given classes.

    Args:
        predictor: the model.
        images: images in any form.
        method: a name of `METHODS`; "auto" is cam for a model with maps, and window otherwise.
        target: name or index of a class, or several; None for the prediction.
        settings: settings of the methods; None for the defaults.
        console: shows progress; None for none.

    Returns:
        An iterator with one result per image.

    Raises:
        ConfigError: the method, a class or a setting is unknown, or settings of windows are given with cam.
        ModelError: the model predicts numbers, or has no maps for cam.
        DataError: an image is smaller than the windows.
    """
    settings, console = settings or Settings(), console or Silent()
    check(predictor, method, settings)
    record = None if method == "cam" else DetectionRecord.load(predictor.bundle.data, predictor.classes)
    if record is not None:
        method, settings = "window", for_detection(settings, record, predictor.shape[1])
    named: Sequence[Any] = [target] if isinstance(target, str | bytes | int | np.integer) else target or []
    asked = None if target is None else list(dict.fromkeys(predictor.bundle.task.index_of(name) for name in named))
    settings = replace(settings, share=settings.share or SHARE)
    ways = [] if method == "window" else _ways(predictor, settings, must=method == "cam")
    if ways:
        _refuse_windows(method, settings)
    return _each(predictor, images, ways, asked, settings, record, console)


def for_detection(settings: Settings, record: DetectionRecord, side: int) -> Settings:
    """The settings of a model trained on boxes, where the user leaves them open.

    Args:
        settings: settings of the user.
        record: what the model knows of its boxes.
        side: side of the network's input in pixels.

    Returns:
        Settings with the background class, and scales from the largest to the smallest object, about a factor of the
        square root of 2 apart. Windows that are out of distribution are kept: the background class rejects them.
    """
    low, high = record.sides
    steps = 1 + round(2 * math.log2(high / low))
    scales = (
        tuple(float(side / length) for length in np.geomspace(low, high, steps))
        if steps > 1
        else (side / math.sqrt(low * high),)
    )
    return replace(
        settings, background=settings.background or record.background, scales=settings.scales or scales,
        share=settings.share or SEGMENT_SHARE, keep_ood=True,
    )  # fmt: skip


def check(predictor: Predictor, method: str, settings: Settings) -> None:
    """Refuse methods that do not suit the model, and settings out of range.

    Args:
        predictor: the model.
        method: a name of `METHODS`, or "auto".
        settings: settings of the methods.

    Raises:
        ConfigError: the method is unknown, or a setting is out of range.
        ModelError: the model does not support the method.
    """
    if method not in (*METHODS, "auto"):
        known = ["auto", *METHODS]
        raise ConfigError(f"unknown method {method!r}", expected=", ".join(known), fix=did_you_mean(method, known))
    task = predictor.bundle.task
    if not task.localises:
        raise ModelError(
            f"a model trained with --task {task.name} has no classes to locate",
            expected="a model that predicts classes or labels",
            fix="use `clearsight explain` to show which regions the prediction depends on",
        )  # fmt: skip
    if method == "cam" and not predictor.has_gradients:
        raise ModelError("this model has no class-activation maps", expected="--method window, or a neural network")
    for name, value, low in (
        ("threshold", settings.threshold, 0),
        ("iou", settings.iou, 0),
        ("share", settings.share, 1e-9),
    ):
        if value is not None and not low <= value <= 1:
            raise ConfigError(
                f"--{name} is {value:g}", expected="a number from 0 to 1" if low == 0 else "a number above 0, up to 1"
            )
    if settings.stride is not None and settings.stride < 1:
        raise ConfigError(f"--stride is {settings.stride}", expected="1 or more")
    if settings.scales is not None and not (len(settings.scales) and all(s > 0 for s in settings.scales)):
        raise ConfigError(f"--scales is {settings.scales}", expected="numbers above 0, such as 1,0.5")
    if settings.background is not None:
        predictor.bundle.task.index_of(settings.background)


def _refuse_windows(method: str, settings: Settings) -> None:
    """ConfigError for settings of windows, which cam has no use for."""
    usual = Settings()
    names = ("iou", "scales", "stride", "tight", "keep_ood")
    given = ["--" + name.replace("_", "-") for name in names if getattr(settings, name) != getattr(usual, name)]
    if given:
        raise ConfigError(
            f"{', '.join(given)} can only be used with --method window",
            found="--method cam" if method == "cam" else "--method auto, which chooses cam for this model",
            fix="add --method window",
        )


def _each(
    predictor: Predictor,
    images: Images,
    ways: list[Source],
    asked: list[int] | None,
    settings: Settings,
    record: DetectionRecord | None,
    console: Console,
) -> Iterator[Located]:
    given = predictor.inputs(images)
    batches = (one for batch in predictor.pixels(given) for one in batch)
    for name, original, pixels in zip(given.names, predictor.originals(given), batches, strict=True):
        began = time.perf_counter()
        if ways:
            numbers, found, heat, facts = _by_maps(predictor, original, pixels, asked, settings, ways)
        else:
            numbers, found, heat, facts = _by_windows(predictor, original, asked, settings, record, console)
        yield Located(
            image=name, method="cam" if ways else "window", found=tuple(found),
            labels=tuple(predictor.classes[k] for k in numbers), numbers=tuple(numbers), heat=heat,
            share=settings.share or SHARE, pixels=original, facts=facts,
            seconds=time.perf_counter() - began, shown=predictor.bundle.form.shown,
        )  # fmt: skip


def _ways(predictor: Predictor, settings: Settings, *, must: bool) -> list[Source]:
    """Where the model's maps come from; none where it has none, which is an error where there must be."""
    if not predictor.has_gradients:
        return []
    try:
        return sources(predictor.network, predictor.shape, settings.layer)
    except ModelError as error:
        if must or settings.layer:
            raise ModelError(
                error.happened,
                found=error.found,
                expected="--method window, or a convolutional network",
                fix=error.fix if settings.layer else None,
            ) from error
        return []


ClassMaps = tuple[list[int], list[Found], NDArray[np.float32], dict[str, Any]]
"""Numbers of the classes looked for, what was found, their maps, facts."""


def _by_maps(
    predictor: Predictor,
    original: NDArray[Any],
    pixels: NDArray[np.float32],
    asked: list[int] | None,
    settings: Settings,
    ways: list[Source],
) -> ClassMaps:
    probabilities, is_ood = (None if a is None else a[0] for a in predictor.probabilities_and_ood(pixels[None]))
    assert probabilities is not None
    targets = _predicted_classes(predictor, probabilities, asked, settings)
    height, width = original.shape[1:]
    facts: dict[str, Any] = {
        "layer": [way.layer for way in ways],
        "probabilities": {predictor.classes[k]: float(probabilities[k]) for k in asked or targets},
    }
    if is_ood is not None:
        facts["is_ood"] = bool(is_ood)
    names = [predictor.classes[k] for k in targets]
    if not targets:
        return targets, [], np.zeros((0, height, width), np.float32), facts
    # the middles of the image's own pixels, as places in what the network saw of it
    left, top, right, bottom = predictor.bundle.geometry.seen(width, height)
    columns = (np.arange(width) + 0.5 - left) / (right - left) * pixels.shape[2] - 0.5
    rows = (np.arange(height) + 0.5 - top) / (bottom - top) * pixels.shape[1] - 0.5
    x = torch.from_numpy(pixels[None]).expand(len(targets), -1, -1, -1)
    heat = class_heat(ways, x, torch.tensor(targets), rows, columns)
    unseen = [
        (places < -0.5) | (places > n - 0.5) for places, n in ((rows, pixels.shape[1]), (columns, pixels.shape[2]))
    ]
    heat[:, unseen[0]] = 0
    heat[:, :, unseen[1]] = 0
    found = [
        Found(box, name, float(probabilities[k]) * mean)
        for k, name, one in zip(targets, names, heat, strict=True)
        for box, mean in regions(one, settings.share or SHARE)
    ]
    return targets, sorted(found, key=lambda f: -f.score), heat, facts


def _predicted_classes(
    predictor: Predictor, probabilities: NDArray[np.float64], asked: list[int] | None, settings: Settings
) -> list[int]:
    """The classes predicted for a whole image with probabilities (K,), most probable first: of those asked for all that
    reach the threshold, if there is one; else of labels all that reach their own thresholds, or the one given; of
    classes the first, unless it is background or does not reach the threshold.
    """
    if asked is not None:
        return [k for k in asked if probabilities[k] >= (settings.threshold or 0)]
    nothing = None if settings.background is None else predictor.bundle.task.index_of(settings.background)
    if predictor.bundle.task.exclusive:
        best = int(probabilities.argmax())
        chosen = [best] if probabilities[best] >= (settings.threshold or 0) else []
    else:
        given = probabilities >= _least(predictor, settings)
        chosen = [int(k) for k in np.argsort(-probabilities, kind="stable") if given[k]]
    return [k for k in chosen if k != nothing]


def _least(predictor: Predictor, settings: Settings) -> NDArray[np.float64]:
    """The probability threshold of each class (K,)."""
    if settings.threshold is not None:
        return np.full(len(predictor.classes), settings.threshold)
    return predictor.bundle.task.thresholds_found()


def _by_windows(
    predictor: Predictor,
    original: NDArray[Any],
    asked: list[int] | None,
    settings: Settings,
    record: DetectionRecord | None,
    console: Console,
) -> ClassMaps:
    from clearsight.localisation.windows import Search, find

    every = set(range(len(predictor.classes)))
    if settings.background is not None:
        every.remove(predictor.bundle.task.index_of(settings.background))
    search = Search(
        predictor, np.ascontiguousarray(original.transpose(1, 2, 0)), sorted(every) if asked is None else asked,
        _least(predictor, settings), settings, alone=predictor.bundle.task.exclusive and asked is None, record=record,
    )  # fmt: skip
    found, masks, facts = find(search, console)
    targets = sorted(masks) if asked is None else asked
    nothing = np.zeros(original.shape[1:], np.float32)
    heat = np.stack([masks.get(k, nothing) for k in targets]) if targets else nothing[None][:0]
    return targets, found, heat, facts
