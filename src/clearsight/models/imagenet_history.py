"""Published results that charts of the field show beside the networks here: the ImageNet challenge, and EfficientNet.

Numbers are those of the papers named in each row; no network is built.
"""

from __future__ import annotations

from dataclasses import dataclass

HUMAN_TOP5_ERROR = 5.1
"""Top-5 error in percent of a trained person on 1,500 test images [Russakovsky et al. 2015, arXiv:1409.0575, 6.4]."""


@dataclass(frozen=True)
class ChallengeEntry:
    """An entry of the ImageNet challenge. top5_error: in percent, of its best ensemble on the test images. layers: in
    the customary count, layers with weights on the longest path; of AlexNet with the softmax layer behind them; 0 for
    methods that are not networks. network: the registered network nearest to it, "" for none.
    """

    year: int
    name: str
    top5_error: float
    layers: int
    network: str


CHALLENGE: tuple[ChallengeEntry, ...] = (
    ChallengeEntry(2010, "LBP and HOG, SVM", 28.2, 0, ""),  # Lin et al. 2011, CVPR
    ChallengeEntry(2011, "Fisher vectors", 25.8, 0, ""),  # Perronnin and Sánchez; arXiv:1409.0575, table 6
    ChallengeEntry(2012, "AlexNet", 16.4, 9, "alexnet_grouped"),  # NIPS 25; with more training data 15.3
    ChallengeEntry(2014, "VGG", 7.3, 19, "vgg19"),  # arXiv:1409.1556, table 7
    ChallengeEntry(2014, "GoogLeNet", 6.7, 22, "googlenet_original"),  # arXiv:1409.4842, table 2
    ChallengeEntry(2015, "ResNet", 3.57, 152, "resnet152"),  # arXiv:1512.03385, table 5
    ChallengeEntry(2017, "SENet", 2.25, 154, ""),  # arXiv:1709.01507, SENet-154
)


@dataclass(frozen=True)
class PublishedPoint:
    """A network that is not registered here, but reached as timm/NAME. top1: in percent, one crop."""

    name: str
    parameters: int
    multiply_adds: int
    top1: float


EFFICIENTNETS: tuple[PublishedPoint, ...] = (
    PublishedPoint("efficientnet_b0", 5_300_000, 390_000_000, 77.1),
    PublishedPoint("efficientnet_b1", 7_800_000, 700_000_000, 79.1),
    PublishedPoint("efficientnet_b2", 9_200_000, 1_000_000_000, 80.1),
    PublishedPoint("efficientnet_b3", 12_000_000, 1_800_000_000, 81.6),
    PublishedPoint("efficientnet_b4", 19_000_000, 4_200_000_000, 82.9),
    PublishedPoint("efficientnet_b5", 30_000_000, 9_900_000_000, 83.6),
    PublishedPoint("efficientnet_b6", 43_000_000, 19_000_000_000, 84.0),
    PublishedPoint("efficientnet_b7", 66_000_000, 37_000_000_000, 84.3),
)
"""Tan and Le 2019, arXiv:1905.11946, table 2."""
