"""What the machine at hand can hold and how it computes best: free memory and number format (row N7)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn


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
