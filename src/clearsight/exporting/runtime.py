"""An exported file at work, in ONNX Runtime, OpenVINO or PyTorch, by its suffix.

This is also the code that the runner beside an exported file is made of (`exporting.runner`), so it needs nothing of
Clearsight but the decoder, and what checks a file is what its user runs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat, decode, read_bytes

BATCH = 16
"""Images per call; throughput is flat from 8 to 32 on the processors measured."""

Outputs = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Calibrated probabilities (N, K) and logits (N, K)."""


class Exported:
    """A file written by `clearsight export`, loaded in its engine: `Exported("model.onnx").predict_proba(["new.jpg"])`.

    card: everything the file says of itself: classes, pixels, geometry, temperature, scores, versions.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        """threads: of the engine; 0 leaves it to the engine."""
        openers = {".onnx": _open_onnx, ".xml": _open_openvino, ".pt2": _open_torch}
        suffix = Path(path).suffix
        if suffix not in openers:
            raise ValueError(f"{path} is no exported model; expected a file ending in {', '.join(openers)}")
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path} does not exist")
        self.run, card = openers[suffix](str(path), threads)
        self.card: dict[str, Any] = json.loads(card)
        self.classes: tuple[str, ...] = tuple(self.card["classes"])
        self.form, self.geometry = PixelFormat(**self.card["pixels"]), Geometry(**self.card["geometry"])

    def __call__(self, images: NDArray[Any]) -> Outputs:
        """Of raw images (N, C, H, W), uint8 or uint16 as the card's `pixels` say."""
        if images.dtype == self.form.dtype and images.ndim == 4 and images.shape[1] == self.form.channels:
            parts = [self.run(np.ascontiguousarray(images[i : i + BATCH])) for i in range(0, len(images), BATCH)]
            return np.concatenate([p for p, _ in parts]), np.concatenate([z for _, z in parts])
        raise ValueError(
            f"found images of shape {images.shape}, {images.dtype}; "
            f"expected (N, {self.form.channels}, height, width), {self.form.dtype}"
        )

    def predict_proba(self, paths: Sequence[str | Path]) -> NDArray[np.float32]:
        """Calibrated probabilities (N, K) of image files, decoded as they were for training; ImageError names the one
        that cannot be read.
        """
        found = []
        for i in range(0, len(paths), BATCH):
            images = [decode(read_bytes(p), str(p), self.form, self.geometry) for p in paths[i : i + BATCH]]
            found.append(self(np.stack(images))[0])
        return np.concatenate(found)


Runner = Callable[[NDArray[Any]], Outputs]


def _open_onnx(path: str, threads: int) -> tuple[Runner, str]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(images: NDArray[Any]) -> Outputs:
        probabilities, logits = session.run(["probabilities", "logits"], {"images": images})
        return probabilities, logits

    return run, session.get_modelmeta().custom_metadata_map["card"]


def _open_openvino(path: str, threads: int) -> tuple[Runner, str]:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # nothing leaves the machine
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32", **({"INFERENCE_NUM_THREADS": threads} if threads else {})}
    core = openvino.Core()
    model = core.read_model(path)
    compiled = core.compile_model(model, "CPU", options)

    def run(images: NDArray[Any]) -> Outputs:
        answer = compiled([images])
        return answer["probabilities"].copy(), answer["logits"].copy()

    return run, model.get_rt_info(["clearsight", "card"]).astype(str)


def _open_torch(path: str, threads: int) -> tuple[Runner, str]:
    import torch

    if threads:
        torch.set_num_threads(threads)
    extra = {"card.json": ""}
    module = torch.export.load(path, extra_files=extra).module()

    def run(images: NDArray[Any]) -> Outputs:
        own = images if images.flags.writeable else images.copy()  # PyTorch warns of the others
        with torch.inference_mode():
            probabilities, logits = module(torch.from_numpy(own))
        return probabilities.numpy(), logits.numpy()

    return run, extra["card.json"]


def main(arguments: Sequence[str]) -> int:
    """`python run.py [MODEL] IMAGE...`: class and probability of each image."""
    words = list(arguments)
    beside = sorted(p for p in Path(__file__).parent.iterdir() if p.suffix in (".onnx", ".xml", ".pt2"))
    model = Path(words.pop(0)) if words and Path(words[0]).suffix in (".onnx", ".xml", ".pt2") else None
    if not words or (model is None and not beside):
        print("usage: python run.py [MODEL] IMAGE...", file=sys.stderr)
        return 2
    try:
        exported = Exported(model or beside[0])
        for word in words:
            p = exported.predict_proba([word])[0]
            print(word, exported.classes[int(p.argmax())], f"{p.max():.4f}", sep="\t")
    except (ValueError, OSError) as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    return 0
