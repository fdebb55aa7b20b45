"""What the machine at hand can hold and how it computes best: batch size and number format (row N7)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path

import torch
from torch import nn

from clearsight.models.anatomy import anatomy

SHARE_OF_MEMORY = 0.5
"""Part of the free memory that one batch may take."""


@contextlib.contextmanager
def kept_memory(device: str) -> Iterator[None]:
    """Inside the block the C library keeps memory that is freed, for the next to ask; on a CPU, with glibc.

    A training step frees and takes the same hundreds of megabytes again and again. glibc hands blocks of that size back
    to the system, which clears every page before it lends it anew: 5 to 20 % of a step. Afterwards it all goes back.
    """
    library = _glibc() if device == "cpu" else None
    if library is None:
        yield
        return
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        library.mallopt(_MMAP_MAX, 65536)
        library.mallopt(_MMAP_THRESHOLD, 32 << 20)  # where glibc's own thresholds end up in a process of large blocks
        library.mallopt(_TRIM_THRESHOLD, 64 << 20)
        library.malloc_trim(0)


_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # of malloc.h


def _glibc() -> ctypes.CDLL | None:
    """The C library, if it is the one whose memory has these switches."""
    if platform.libc_ver()[0] != "glibc":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


def fitting_batch(network: nn.Module, shape: Sequence[int], wanted: int, device: str) -> tuple[int, str]:
    """The wanted batch, or the largest power of two below it that fits into memory, and why (empty: it fits)."""
    free = free_memory(device)
    if free is None:
        return wanted, ""
    each = training_bytes(network, shape)
    fits = int(SHARE_OF_MEMORY * free / max(1, each))
    if wanted <= fits:
        return wanted, ""
    batch = 1 << max(0, fits.bit_length() - 1) if fits else 1
    return batch, f"training needs about {each / 1e6:,.0f} MB of memory per image, and {free / 1e9:,.1f} GB is free"


def training_bytes(network: nn.Module, shape: Sequence[int]) -> int:
    """About what one image takes in a training step: every layer's output, kept for the backward pass, and its
    gradient, in float32. shape: (C, H, W).
    """
    layers = anatomy(network, img_size=int(shape[-1]), channels=int(shape[0])).layers
    return 2 * 4 * sum(prod(layer.output) for layer in layers if layer.output)


def free_memory(device: str) -> int | None:
    """Bytes that can be had without swapping, or None if the system does not report them."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def automatic_precision(device: str, network: nn.Module) -> str:
    """bf16 where the processor computes it in hardware, else off; off too on a CPU for networks with depthwise
    convolutions, which PyTorch has no fast bfloat16 code for (EfficientNet-Lite0 trains a fifth slower in it).
    """
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "off"
    if device != "cpu":
        return "off"
    if any(isinstance(m, nn.Conv2d) and 1 < m.groups == m.in_channels for m in network.modules()):
        return "off"
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    return "bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "off"
