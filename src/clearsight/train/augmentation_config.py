"""The options on how training images are changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clearsight.train.choices import AUGMENTATIONS
from clearsight.train.option_field import option

if TYPE_CHECKING:
    Auto = Any
else:
    Auto = None


@dataclass(frozen=True)
class AugmentationConfig:
    """How training images are changed."""

    augment: str | Auto = option(
        None,
        "augmentation of training images, or several joined by + (default: light; with many images none, or mirror "
        "if it does not lower the validation accuracy)",
        choices=AUGMENTATIONS,
        joined=True,
    )
    mixup: float = option(0.0, "strength of mixup, alpha of its Beta distribution; 0 is off", within="[0, inf)")
    cutmix: float = option(0.0, "strength of CutMix, alpha of its Beta distribution; 0 is off", within="[0, inf)")
    adversarial: str = option(
        "none",
        "adversarial training",
        choices={"none": "no adversarial examples", "pgd": "projected gradient descent within --adversarial-epsilon"},
    )
    adversarial_epsilon: float = option(
        0.03, "maximum change of a pixel (0 to 1) in adversarial training", within="(0, 1]"
    )
    adversarial_steps: int = option(7, "number of steps of each attack in adversarial training", within="[1, inf)")
