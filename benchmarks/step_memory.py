"""The estimated memory per image of a training step against what the process takes, for ten networks.

Each measurement is a process of its own: forward and backward passes over 16 and 32 images; the difference of the
largest resident sizes over 16 is the memory per image. The estimate is that of `train.step_memory`.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

NETWORKS = {
    "resnet18": 160, "resnet50": 128, "seresnet18": 128, "vgg11_bn": 96, "densenet121": 96, "googlenet": 160,
    "alexnet": 224, "efficientnet_lite0": 160, "inception_v3": 160, "resnet20": 64,
}  # fmt: skip
"""Networks, and the side of their images."""

LIMIT = 0.25
"""Largest relative error of the estimate."""

STEP = r"""
import re, sys, torch
from pathlib import Path
from clearsight.models.layers import auxiliary_logits
from clearsight.models.zoo import build_model
name, size, images = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
network = build_model(name, classes=10, channels=3, img_size=size).train()
for _ in range(2):
    network.zero_grad(set_to_none=True)
    with auxiliary_logits(network) as extra:
        logits = network((torch.rand(images, 3, size, size) - 0.5) / 0.5)
        torch.nn.functional.cross_entropy(logits, torch.zeros(images, dtype=torch.long)).backward()
print(1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]))
"""


def measure() -> dict[str, Any]:
    from clearsight.models.zoo import build_model
    from clearsight.train.step_memory import step_memory

    found = {}
    for name, size in NETWORKS.items():
        network = build_model(name, classes=10, channels=3, img_size=size)
        estimate = step_memory(network, (3, size, size)).per_image
        real = (_resident(name, size, 32) - _resident(name, size, 16)) / 16
        found[name] = {"estimate_mb": estimate / 1e6, "measured_mb": real / 1e6, "ratio": estimate / real}
    return {
        "networks": found,
        "largest_error": max(abs(row["ratio"] - 1) for row in found.values()),
        "limit": LIMIT,
    }


def _resident(name: str, size: int, images: int) -> int:
    command = [sys.executable, "-c", STEP, name, str(size), str(images)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
