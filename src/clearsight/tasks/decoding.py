"""From the outputs of a network to predictions as arrays: the part of a task that prediction and export share.

Shapes: N images, O outputs of a network, K names, T numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from clearsight.calibration.array_function import ArrayFunction
from clearsight.tasks.task_parts import Floats, Outputs

if TYPE_CHECKING:
    from torch import nn


class Decoding:
    """A base of `Task`: tasks define `decoder`, or `activation` in PyTorch."""

    def decoder(self) -> ArrayFunction | None:
        """The function that decodes outputs, for prediction and export alike; NumPy and PyTorch both run it.

        Returns:
            A function from outputs (N, O) to a tuple of arrays as `output_names` lists them, the prediction first;
            None for a task that defines `activation` instead.
        """
        return None

    def activation(self) -> nn.Module:
        """The decoder as a PyTorch module, which exported files contain in float32. Its buffers are float64.

        Returns:
            A module from outputs (N, O) to a tuple of tensors as `output_names` lists them, the prediction first.

        Raises:
            NotImplementedError: the task defines neither `decoder` nor `activation`.
        """
        function = self.decoder()
        if function is None:
            raise NotImplementedError(f"{type(self).__name__} must define decoder or activation")
        return function.module()

    def decoded(self, outputs: Outputs) -> tuple[Floats, ...]:
        """Everything that the decoder computes, in float64.

        Args:
            outputs: outputs of the network (N, O).

        Returns:
            One array (N, ...) per name of `output_names`.
        """
        return self._decoder(np.asarray(outputs, np.float64))

    @cached_property
    def _decoder(self) -> Callable[[Floats], tuple[Floats, ...]]:
        function = self.decoder()
        if function is not None:
            return function
        import torch  # here, as `predict` does without PyTorch

        module = self.activation().double().eval()

        def decoded(outputs: Floats) -> tuple[Floats, ...]:
            with torch.inference_mode():
                return tuple(part.numpy() for part in module(torch.from_numpy(outputs.copy())))

        return decoded

    def decode(self, outputs: Outputs) -> Floats:
        """Decoded predictions.

        Args:
            outputs: outputs of the network (N, O).

        Returns:
            Probabilities (N, K), or numbers in the user's unit (N, T).
        """
        return self.decoded(outputs)[0]
