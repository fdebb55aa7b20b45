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
        "augmentation of the training images; join several with + (default: light; mirror for many images, or none if "
        "mirror lowers the validation accuracy)",
        choices=AUGMENTATIONS,
        joined=True,
    )
    mixup: float = option(0.0, "mixup strength, alpha of the Beta distribution; 0 turns it off", within="[0, inf)")
    cutmix: float = option(0.0, "CutMix strength, alpha of the Beta distribution; 0 turns it off", within="[0, inf)")
    adversarial: str = option(
        "none",
        "adversarial training",
        choices={"none": "no adversarial examples", "pgd": "projected gradient descent within --adversarial-epsilon"},
    )
    adversarial_epsilon: float = option(
        0.03, "maximum perturbation of a pixel in adversarial training, 0 to 1", within="(0, 1]"
    )
    adversarial_steps: int = option(7, "number of attack steps in adversarial training", within="[1, inf)")
