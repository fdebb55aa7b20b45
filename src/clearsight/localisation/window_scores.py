"""The probabilities of a classifier in every window of an image: by one pass over it, or by crops if that differs.

Shapes: image (H, W, C) uint8 or uint16 as it came; probabilities (rows, columns, K).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.geometry import resize
from clearsight.data.loader import to_float
from clearsight.localisation.dense import MOST, Trunk, crops, trunk_of
from clearsight.predictor import Predictor

Floats = NDArray[np.float64]

PROBES = 12
"""Windows on which one pass is held against crops."""

APART = 0.03
"""Mean difference of probabilities above which every window is scored as a crop instead of by one pass."""

BATCH = 512
"""Crops that are put together at once."""


class WindowScorer:
    """Probabilities in the windows of one image at any scale. By one pass if the network is a trunk and its outputs for
    some windows equal those for their crops; else by crops.

    step: from window to window, down and across, in pixels of the scaled image; known after the first call. facts: how
    windows were scored.
    """

    def __init__(self, predictor: Predictor, window: tuple[int, int], stride: int | None) -> None:
        self.predictor, self.window = predictor, window
        self.step = stride or max(1, window[0] // 8), stride or max(1, window[1] // 8)
        self.facts: dict[str, Any] = {}
        self.trunk: Trunk | None = None

    def __call__(self, image: NDArray[Any], scale: float) -> tuple[Floats, tuple[int, int]]:
        if not self.facts:
            self._choose(image, scale)
        picture = self._scaled(image, scale)
        if self.trunk and picture[0].size <= MOST:
            logits = self.trunk.logits(picture, self.window, self.step)
            if logits is not None:
                flat = self.predictor.bundle.task.decode(logits.reshape(-1, logits.shape[2]))
                return np.reshape(flat, logits.shape), self.step
        return self._by_crops(picture), self.step

    def _choose(self, image: NDArray[Any], scale: float) -> None:
        """One pass or crops: try both on some windows of the first scale."""
        own, trunk = self.step, None
        if self.predictor.has_gradients and scale**2 * image[..., 0].size <= MOST:
            trunk = trunk_of(self.predictor.network, self.predictor.shape)
        self.facts["scored by"] = "crops"
        if trunk is None:
            return
        # a pass answers on its own grid, so a stride between its steps becomes the next one up
        self.step = _up(own[0], trunk.jump[0]), _up(own[1], trunk.jump[1])
        picture = self._scaled(image, scale)
        logits = trunk.logits(picture, self.window, self.step)
        if logits is None:
            self.step = own
            return
        columns, classes = logits.shape[1:]
        every = crops(picture, self.window, self.step)
        some = _busiest(every)
        singles = np.stack([every[divmod(int(i), columns)] for i in some])
        gap = np.abs(
            self.predictor.bundle.task.decode(logits.reshape(-1, classes)[some]) - self.predictor.predict_proba(singles)
        )
        self.facts["difference from crops"] = float(gap.max(1).mean())
        if self.facts["difference from crops"] <= APART:
            self.trunk, self.facts["scored by"] = trunk, "one pass"
        else:
            self.step = own

    def _scaled(self, image: NDArray[Any], scale: float) -> NDArray[np.float32]:
        """The image (C, H, W) at about this scale, so that windows end where it ends."""
        height, width = (
            w + round(max(0.0, n * scale - w) / s) * s
            for n, w, s in zip(image.shape[:2], self.window, self.step, strict=True)
        )
        return to_float(resize(image, width, height).transpose(2, 0, 1)[None])[0].numpy()

    def _by_crops(self, picture: NDArray[np.float32]) -> Floats:
        every = crops(picture, self.window, self.step)
        rows, columns = every.shape[:2]
        self.predictor.prepare(rows * columns)
        places = [divmod(i, columns) for i in range(rows * columns)]
        parts = [
            self.predictor.predict_proba(np.stack([every[place] for place in places[start : start + BATCH]]))
            for start in range(0, len(places), BATCH)
        ]
        return np.concatenate(parts).reshape(rows, columns, -1)


def _busiest(every: NDArray[np.float32]) -> NDArray[np.int64]:
    """Numbers of some windows of (rows, columns, C, h, w), evenly from the quarter with most contrast: of empty ones
    both ways say the same.
    """
    contrast = every[..., ::2, ::2].std(axis=(2, 3, 4)).ravel()
    ranked = np.argsort(-contrast, kind="stable")[: max(PROBES, contrast.size // 4)]
    return np.unique(ranked[np.linspace(0, len(ranked) - 1, PROBES).astype(int)])


def _up(step: int, jump: int) -> int:
    """The next multiple of jump."""
    return -(-step // jump) * jump
