"""What an exported file computes: whole numbers of pixels in, calibrated probabilities and logits out.

images (N, C, H, W) uint8 or uint16 -> resize rule -> [0, 1] -> network, its normalisation inside -> logits (N, K)
probabilities = softmax(logits / temperature) (N, K)
"""

from __future__ import annotations

import torch
from torch import nn

from clearsight.bundle import Bundle
from clearsight.data.pixels import PixelFormat
from clearsight.engines import traceable
from clearsight.errors import ModelError
from clearsight.exporting.resample import Resample

OUTPUTS = ("probabilities", "logits")


class Deployed(nn.Module):
    """A bundle as one function of raw images. fixed: without the resize rule, for images of the working size alone."""

    def __init__(self, bundle: Bundle, fixed: bool = False) -> None:
        super().__init__()
        self.resize = None if fixed else Resample(bundle.geometry, bundle.form.bits)
        self.network, self.temperature = bundle.network, bundle.temperature
        self.top = float(2**bundle.form.bits - 1)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = images.float() if self.resize is None else self.resize(images)
        logits = self.network(pixels / self.top)
        return (logits / self.temperature).softmax(dim=1), logits


def deployed(bundle: Bundle, fixed: bool = False) -> Deployed:
    """The module to export, in evaluation mode; ModelError for classical models, which are no graph of tensors."""
    if not traceable(bundle.network):
        name = bundle.card()["network"].get("name", "this model")
        raise ModelError(
            f"{name} cannot be exported",
            found="a classical model, whose descriptor runs in NumPy and OpenCV",
            expected="a network",
            fix="use `clearsight predict`, or train a network: `clearsight compare` shows what it gains",
        )
    return Deployed(bundle, fixed).eval()


def example(form: PixelFormat, height: int, width: int) -> torch.Tensor:
    """Two black images of that size, as the graph takes them."""
    dtype = torch.uint8 if form.bits == 8 else torch.uint16
    return torch.zeros(2, form.channels, height, width, dtype=dtype)
