"""Several processes that train one network: each takes its share of every batch, and gradients are summed.

`torchrun --nproc-per-node 2 -m clearsight.cli.main train DATA` starts them, on one machine or many. What they compute
equals one process with the same batch, batch normalisation included: its statistics are those of the whole batch. What
is random within a step, augmentation and dropout, each process draws for its own images.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed, nn

from clearsight.errors import TrainingError

PATIENCE = timedelta(hours=1)
"""How long a process waits within a step of training before it gives up. That a process died is known at once."""

WITHOUT_LIMIT = timedelta(days=30)
"""How long a process waits between the phases of a run."""


@dataclass(frozen=True)
class World:
    """The processes of a run: this one's rank and their number. messages: the group for Python values, whose waits have
    no limit: one process may work for hours while the others wait.
    """

    rank: int = 0
    size: int = 1
    messages: Any = None

    def share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """This process's part of some rows."""
        return rows[self.rank :: self.size]

    def sum(self, value: torch.Tensor) -> torch.Tensor:
        """The sum of a number, or of each of several, over all processes."""
        if self.size == 1:
            return value
        total = value.detach().to("cpu", copy=True).double()
        distributed.all_reduce(total)
        return total

    def broadcast(self, value: Any) -> Any:
        """The first process's value, on all of them."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0, group=self.messages)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in the order of their ranks."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, value, group=self.messages)
        return found

    def same_weights(self, network: nn.Module) -> None:
        """Give all processes the first one's weights."""
        if self.size > 1:
            for tensor in network.state_dict().values():
                distributed.broadcast(tensor.detach(), src=0)

    def sum_gradients(self, network: nn.Module) -> None:
        """Sum the gradients of all processes. Parameters without a gradient are the same on all of them: a network may
        have parts that a way of training does not use.
        """
        if self.size == 1:
            return
        by_type: dict[torch.dtype, list[torch.Tensor]] = {}
        for parameter in network.parameters():
            if parameter.grad is not None:
                by_type.setdefault(parameter.grad.dtype, []).append(parameter.grad)
        for gradients in by_type.values():
            flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
            distributed.all_reduce(flat)
            for gradient, part in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))

    @contextlib.contextmanager
    def sync_batchnorm(self, network: nn.Module) -> Iterator[None]:
        """Inside the block batch normalisation takes its statistics over all processes."""
        changed: list[tuple[nn.Module, type]] = []
        if self.size > 1:
            for module in network.modules():
                if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d):
                    changed.append((module, type(module)))
                    module.__class__ = WholeBatchNorm
        try:
            yield
        finally:
            for module, kind in changed:
                module.__class__ = kind


ALONE = World()


class _Sum(torch.autograd.Function):
    """The sum over all processes; so is its gradient, since every process's loss depends on it."""

    @staticmethod
    def forward(_ctx: Any, x: torch.Tensor) -> torch.Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total


class WholeBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over the images of all processes; PyTorch's own runs on GPUs alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(x)
        full = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        over = [d for d in range(x.ndim) if d != 1]
        shape = [1, -1] + [1] * (x.ndim - 2)
        count = torch.tensor(x.numel() // x.shape[1], dtype=full.dtype, device=x.device)
        distributed.all_reduce(count)
        mean = _Sum.apply(full.sum(over)) / count
        centred = full - mean.view(shape)
        var = _Sum.apply(centred.square().sum(over)) / count
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked += 1
            share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
            with torch.no_grad():
                self.running_mean.lerp_(mean.detach(), share)
                self.running_var.lerp_(var.detach() * count / (count - 1), share)
        normal: torch.Tensor = centred * torch.rsqrt(var + self.eps).view(shape)
        if self.weight is not None:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(x.dtype)

    def _check_input_dim(self, input: torch.Tensor) -> None:
        pass


@contextlib.contextmanager
def processes() -> Iterator[World]:
    """The world that torchrun or accelerate made, or this process alone.

    When another process dies, the others end with a TrainingError that says so.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    try:
        messages = distributed.new_group(backend="gloo", timeout=WITHOUT_LIMIT)
        yield World(distributed.get_rank(), size, messages)
    except (RuntimeError, distributed.DistError) as error:
        words = str(error)
        if not any(word in words for word in ("onnection", "gloo", "NCCL", "imed out", "peer")):
            raise
        raise TrainingError(
            f"process {distributed.get_rank()} of {size} lost the connection to another process",
            found=words.splitlines()[0][:160],
            fix="find the cause in the messages of the other processes; --resume continues from the last checkpoint",
        ) from error
    finally:
        with contextlib.suppress(RuntimeError):
            distributed.destroy_process_group()
