"""What a task is made of: options of its targets, needs of training, OOD scores of images, what heatmaps explain.

Shapes: N images, O outputs of a network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from clearsight.data.pixel_format import PixelOptions

if TYPE_CHECKING:
    from torch import Tensor

    from clearsight.ood.detector import OODDetector

Floats = NDArray[np.float64]
Outputs = NDArray[np.floating]
Loss = Callable[["Tensor", "Tensor"], "Tensor"]
"""(outputs (N, O), target (N, E)) -> losses (N,)."""


@dataclass(frozen=True)
class TaskOptions:
    """What the user states about the targets; each task uses the options that concern it.

    normal: names of the normal classes. false_alarms: share of normal images that may be flagged, 0 to 1. angle: unit
    of angles, degrees or radians. within: range of the numbers. variances: the network predicts a variance for each
    number. grades: names of the grades, lowest first. hierarchy: "folders", a CSV file of parents, or the parent of
    each name. evaluating: the data is for evaluating a finished model and may lack some of its classes.
    pixels: what the user states about the images themselves.
    """

    normal: str | Sequence[str] | None = None
    false_alarms: float = 0.05
    angle: str | None = None
    within: tuple[float, float] | None = None
    variances: bool = False
    grades: str | Sequence[str] | None = None
    hierarchy: str | Mapping[str, str] | None = None
    evaluating: bool = False
    pixels: PixelOptions = field(default_factory=PixelOptions)


@dataclass(frozen=True)
class OODScores:
    """How unlike the training images each of N images is.

    percentile (N,): share of known images with a lower score, 0 to 1. flagged (N,): out of distribution. detector: the
    detector that scored the images. score (N,): the OOD score without ties, larger for images further from the known
    ones.
    """

    percentile: Floats
    flagged: NDArray[np.bool_]
    detector: OODDetector
    score: Floats | None = None

    def at(self, rows: NDArray[np.int64]) -> OODScores:
        """The scores of some of the images.

        Args:
            rows: positions of the images (n,).

        Returns:
            Their scores, without `score`.
        """
        return OODScores(self.percentile[rows], self.flagged[rows], self.detector)

    def facts(self, i: int) -> dict[str, Any]:
        """The scores of one image as fields of its prediction.

        Args:
            i: position of the image.

        Returns:
            `ood_percentile` and `is_ood`.
        """
        return {"ood_percentile": float(self.percentile[i]), "is_ood": bool(self.flagged[i])}


@dataclass(frozen=True)
class Training:
    """What training needs to know about a task.

    head: how a head on frozen features is fitted: "classifier", "regression" or "one-class". losses: the losses that
    suit the task, by name, the default first. light_augmentation: small shifts of an image leave the target unchanged.
    smoothing: label smoothing where many small images are seen for a few epochs. muon_from: number of images from which
    a network is trained with Muon; None for never. unsupported: options that have no effect for this task. diagnosed:
    the doctor supports this task. label_issues: the search for wrong labels supports this task. ood: how
    out-of-distribution images are detected: "scores" chooses between scores by leaving classes out, "joint" uses the
    joint score, None detects nothing. small_from_scratch: small images are trained on from random weights. tries_sizes:
    a larger input size is tried if the time budget allows. flips_checked: mirror images are tried in prediction and
    training.
    """

    head: Literal["classifier", "regression", "one-class"]
    losses: Mapping[str, Loss]
    light_augmentation: bool = True
    smoothing: float = 0.0
    muon_from: int | None = None
    unsupported: frozenset[str] = frozenset()
    diagnosed: bool = False
    label_issues: bool = False
    ood: Literal["scores", "joint"] | None = "joint"
    small_from_scratch: bool = True
    tries_sizes: bool = True
    flips_checked: bool = False


@dataclass(frozen=True)
class Explained:
    """What a heatmap explains: `weights` (O,) of the sum of outputs that represents the prediction of `target`.

    name: name of the target. value: its probability, or the predicted number. predicted: the target is the model's
    prediction. opposite: the other of two exclusive classes, else "". score: a function from outputs (B, O) to the
    score of the target (B,).
    """

    name: str
    value: float
    weights: Floats
    score: Callable[[Outputs], NDArray[np.floating]]
    predicted: bool = True
    opposite: str = ""
