"""The machine at hand: what its C library does with memory that is freed."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from clearsight.models.zoo import build_model
from clearsight.train.hardware import automatic_precision

SCRIPT = """
import contextlib, resource
import torch
from clearsight.train.hardware import kept_memory

def faults(turns):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(turns):
        torch.ones(10_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(2)
outside = faults(5)
with kept_memory("cpu"):
    faults(2)
    inside = min(faults(5) for _ in range(5))  # a small block in the way makes the heap grow once more, now and then
print(outside, inside, faults(5))
"""


def test_half_precision_on_a_cpu_is_not_for_depthwise_convolutions(monkeypatch):
    plain, depthwise = (build_model(name, classes=2, img_size=32) for name in ("resnet8", "efficientnet_lite0"))
    monkeypatch.setattr(Path, "read_text", lambda self: "flags: avx512_bf16")
    assert automatic_precision("cpu", plain) == "bf16"
    assert automatic_precision("cpu", depthwise) == "off"
    monkeypatch.setattr(Path, "read_text", lambda self: "flags: avx2")
    assert automatic_precision("cpu", plain) == "off"


@pytest.mark.long
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the switches are glibc's")
def test_freed_memory_is_kept_inside_the_block_and_given_back_after_it():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    outside, inside, after = map(int, done.stdout.split())
    assert inside * 10 < outside
    assert inside * 10 < after
