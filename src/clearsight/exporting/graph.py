"""What an exported file computes: whole numbers of pixels in, predictions out.

images (N, C, H, W) uint8 or uint16 -> resize rule -> [0, 1] -> network, its normalisation inside -> outputs (N, O)
-> the task's activation, its calibration inside
"""

from __future__ import annotations

import torch
from torch import nn

from clearsight.bundle import Bundle
from clearsight.data.pixels import PixelFormat
from clearsight.errors import ModelError
from clearsight.exporting.resample import Resample


class Deployed(nn.Module):
    """A bundle as one function of raw images. fixed: without the resize rule, for images of the working size alone.
    output_names: of what it gives, the prediction first.
    """

    def __init__(self, bundle: Bundle, fixed: bool = False) -> None:
        super().__init__()
        self.resize = None if fixed else Resample(bundle.geometry, bundle.form.bits)
        self.network, self.activation = bundle.network.for_export(), bundle.task.activation().float()
        self.output_names = bundle.task.output_names
        self.top = float(2**bundle.form.bits - 1)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        pixels = images.float() if self.resize is None else self.resize(images)
        return self.activation(self.network(pixels / self.top))  # type: ignore[no-any-return]


def deployed(bundle: Bundle, fixed: bool = False) -> Deployed:
    """The module to export, in evaluation mode; ModelError for classical models, which are no graph of tensors."""
    if not bundle.network.exportable:
        name = bundle.card()["network"].get("name", "this model")
        raise ModelError(
            f"{name} cannot be exported",
            found="a classical model, whose descriptor is computed by NumPy and OpenCV",
            expected="a neural network",
            fix="use `clearsight predict`, or train a neural network (`clearsight compare` compares the two)",
        )
    return Deployed(bundle, fixed).eval()


def example(form: PixelFormat, height: int, width: int) -> torch.Tensor:
    """Two black images of that size, as the graph takes them."""
    dtype = torch.uint8 if form.bits == 8 else torch.uint16
    return torch.zeros(2, form.channels, height, width, dtype=dtype)
