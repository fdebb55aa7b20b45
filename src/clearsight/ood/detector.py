"""Which images are unlike all that a model learned from. Fitted once, on images that the model was not trained on, and
kept in its bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.ood.scores import NEAR, Bank, Floats
from clearsight.ood.tails import Tail, conformal_threshold
from clearsight.schema import invalid

FALSE_ALARMS = 0.05
"""Share of the images that belong which may be flagged as out of distribution."""

CHANGED_ALARMS = 0.08
"""Share of mildly changed images that may be flagged: less than twice `FALSE_ALARMS`, as the copies that it is measured
on have also shaped the p-values, and new images exceed it by two points on small sets.
"""

USUAL = 1.5
"""-ln p up to which pixels and the outlier classifier do not count: four of five known images lie below it, and what
they differ by there is chance, which would only blur what the features say of near classes."""


@dataclass(frozen=True)
class LeftOut:
    """How well each score separated images of classes left out from known ones, averaged over rounds.

    auroc: of each score, and of all `combined`. classes: those left out in each round. why: what did or did not
    happen, in words.
    """

    auroc: dict[str, float]
    classes: tuple[tuple[str, ...], ...]
    why: str


Tails = Mapping[str, tuple[Tail, ...]]
"""The tails of each score, one for each kind of images that belong."""


def surprises(scores: Mapping[str, Floats], tails: Tails) -> dict[str, NDArray[np.float64]]:
    """-ln p of each score, the smallest over all kinds of in-distribution images.

    Args:
        scores: scores (N,) by name.
        tails: the fitted tails of each score, one per kind of images.

    Returns:
        -ln p (N,) by name.
    """
    return {name: np.min([t.surprise(values) for t in tails[name]], 0) for name, values in scores.items()}


def combined(surprise: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """One score from several -ln p.

    It is the weighted mean over features and logits, which are correlated, plus the excess over `USUAL` of pixels and
    the outlier classifier. Only small p-values of the latter are summed, as in the truncated product method: weak
    evidence of both kinds adds up, and usual values add no noise.

    Args:
        surprise: -ln p (N,) by the name of the score.

    Returns:
        Scores (N,), larger for images further from the known ones.

    Reference:
        Zaykin et al., "Truncated product method for combining p-values", 2002.
    """
    names = [name for name in NEAR if name in surprise]
    near = np.average([surprise[name] for name in names], 0, [NEAR[name] for name in names])
    others = [np.maximum(surprise[name] - USUAL, 0) for name in surprise if name not in NEAR]
    return np.asarray(np.sum([near, *others], 0))


@dataclass(frozen=True)
class OODDetector:
    """Several scores of an image, each as a p-value among held-out in-distribution images, combined into one.

    A single score chosen by leaving classes out separates near classes but can miss far-OOD images: max-softmax and
    energy do, as a network can be confident about noise. So no single score is chosen. Features and logits are
    combined by the mean of -ln p [Fisher 1932], which separates left-out classes about as well as the best of them.
    Pixel statistics, which need no network, add to it for images far in contrast, sharpness or flatness. p-values
    are computed among held-out images and among copies of them changed as in training, slightly shifted and
    brightened, and the larger is used, so that augmented images are not flagged. Beyond the largest held-out score
    they follow an exponential tail (`tails.Tail`), so there are no ties.

    bank: reference data of the scores. tails: fitted tails of each score. reference (V,): sorted combined scores of
    held-out images. threshold: combined score above which an image is flagged. false_alarms: share of in-distribution
    images that this flags. left_out: how well left-out classes were separated.
    """

    bank: Bank
    tails: Tails
    reference: NDArray[np.float64]
    threshold: float
    false_alarms: float
    left_out: LeftOut

    def detect(
        self, logits: NDArray[np.floating], features: Floats, statistics: Floats
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
        """Score images.

        Args:
            logits: logits (N, K).
            features: features below the head (N, D).
            statistics: pixel statistics (N, S).

        Returns:
            OOD percentile (N,), 0 to 1; whether each image is out of distribution (N,); and the OOD score (N,).
        """
        scores = self.bank.scores(logits, features, statistics)
        ood_score = combined(surprises({name: scores[name] for name in self.tails}, self.tails))
        percentile = np.searchsorted(self.reference, ood_score) / max(1, len(self.reference))
        return percentile, ood_score > self.threshold, ood_score

    def card(self) -> dict[str, Any]:
        """What the bundle's card contains about the detector.

        Returns:
            Plain values for JSON.
        """
        return {
            "outliers": {
                "scores": list(self.tails),
                "threshold": self.threshold,
                "images": len(self.reference),
                "false_alarms": self.false_alarms,
                "auroc": self.left_out.auroc,
                "left_out": [list(c) for c in self.left_out.classes],
                "why": self.left_out.why,
            },
        }

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays for the bundle's file.

        Returns:
            Arrays by name.
        """
        tails = {f"tail.{name}.{k}": t.reference for name, kinds in self.tails.items() for k, t in enumerate(kinds)}
        return {
            **self.bank.to_arrays(),
            **tails,
            "reference": self.reference,
        }

    @classmethod
    def load(cls, card: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> OODDetector | None:
        """Restore a detector.

        Args:
            card: what `card` returned.
            arrays: what `to_arrays` returned.

        Returns:
            The detector; None for one of an earlier version, whose scores missed far-OOD images.

        Raises:
            KeyError: a value is missing.
            BundleError: a value is invalid.
        """
        about = card["outliers"]
        if "scores" not in about or "whitened.points" not in arrays:
            return None
        check_arrays(arrays)
        if unknown := sorted(set(about["scores"]) - {key.split(".")[1] for key in arrays if key.startswith("tail.")}):
            invalid("card.json: ood_detector.outliers.scores", unknown[0], "scores with reference values")
        if not set(about["scores"]) & set(NEAR):
            invalid("card.json: ood_detector.outliers.scores", about["scores"], f"one of {', '.join(NEAR)}")
        left_out = LeftOut(about["auroc"], tuple(tuple(c) for c in about["left_out"]), about["why"])
        tails = {
            name: tuple(Tail(arrays[key]) for key in sorted(arrays) if key.startswith(f"tail.{name}."))
            for name in about["scores"]
        }
        bank, reference = Bank.from_arrays(arrays), arrays["reference"]
        return cls(bank, tails, reference, about["threshold"], about["false_alarms"], left_out)


def check_arrays(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Require valid reference data, which may come from someone else.

    Args:
        arrays: what `OODDetector.to_arrays` returned.

    Raises:
        BundleError: numbers are NaN or infinite, lists are empty or not sorted, deviations are not above 0, or
            shapes are inconsistent.
    """
    place = "ood.safetensors"
    for name, array in arrays.items():
        if not np.isfinite(np.asarray(array, np.float64)).all():
            invalid(f"{place}: {name}", "NaN or infinite numbers", "finite numbers")
        ordered = name == "reference" or name.startswith("tail.")
        if ordered and (array.ndim != 1 or not len(array) or (np.diff(array) < 0).any()):
            invalid(f"{place}: {name}", f"shape {array.shape}", "sorted numbers")
    scale = arrays["scale"]
    if scale.ndim != 2 or len(scale) != 2 or not (scale[1] > 0).all():
        invalid(f"{place}: scale", f"shape {scale.shape}", "means, and deviations above 0")
    for part in ("features", "whitened", "pixels"):
        centre, axes, metric, points, k = (arrays[f"{part}.{n}"] for n in ("centre", "axes", "metric", "points", "k"))
        inner = axes.shape[1] + 1 if axes.ndim == 2 else -1
        shapes = ((len(centre.ravel()), inner - 1), (inner, inner), (len(points), inner))
        if (axes.shape, metric.shape, points.shape) != shapes or k.shape != (1,) or not 1 <= int(k[0]) <= len(points):
            invalid(f"{place}: {part}", f"shapes {axes.shape}, {metric.shape}, {points.shape}", "consistent shapes")
    if arrays["pixels.centre"].size != scale.shape[1]:
        invalid(f"{place}: pixels.centre", f"{arrays['pixels.centre'].size} numbers", f"{scale.shape[1]}")


def threshold_for(held_out: NDArray[np.float64], added: Mapping[str, NDArray[np.float64]]) -> tuple[float, float]:
    """The combined score above which images are flagged, and the false alarm rate that this allows.

    The threshold flags at most `FALSE_ALARMS` of held-out images, by their rank among V + 1. If it would flag more than
    `CHANGED_ALARMS` of the images when they are changed in one of some ways, it is raised until it does not, or until
    `LEAST` of the held-out images are left; the rate falls with it. What a change adds to the score is taken to be the
    same for images with low and high scores: then few copies suffice, as each stands for the change of all images.

    Args:
        held_out: combined scores of held-out images (V,).
        added: score of the changed copy minus that of the original (W,), for each way of changing images.

    Returns:
        Threshold and false alarm rate.
    """
    usual = conformal_threshold(held_out, FALSE_ALARMS)
    most = max(usual, conformal_threshold(held_out, LEAST))
    changed = [np.add.outer(held_out, some[:CHANGES]).ravel() for some in added.values() if len(some)]
    required = [float(np.quantile(scores, 1 - CHANGED_ALARMS)) for scores in changed]
    threshold = min(most, max([usual, *required]))
    if threshold == usual:
        return usual, FALSE_ALARMS
    return threshold, (int((held_out > threshold).sum()) + 1) / (len(held_out) + 1)


CHANGES = 500
"""Copies of one kind at most that say what the change adds to the score."""

LEAST = 0.02
"""Share of held-out images that is flagged at least, whatever changed copies say."""
