"""The machine at hand: what its C library does with memory that is freed."""

import platform
import subprocess
import sys

import pytest

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
    inside = faults(5)
print(outside, inside, faults(5))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the switches are glibc's")
def test_freed_memory_is_kept_inside_the_block_and_given_back_after_it():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    outside, inside, after = map(int, done.stdout.split())
    assert inside * 10 < outside
    assert inside * 10 < after
