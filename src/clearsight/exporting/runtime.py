"""An exported file at work, in ONNX Runtime, OpenVINO or PyTorch, by its suffix.

`run.py` beside an exported file packs this module and all that it imports (`exporting.runner`), so it imports nothing
of Clearsight but the decoder and the words of predictions, and what checks a file is what its user runs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.data.decode import decode
from clearsight.data.geometry import Geometry
from clearsight.data.pixels import PixelFormat, quiet_pillow, read_bytes
from clearsight.tasks.class_tree import ClassTree, with_back_off
from clearsight.tasks.predictions import (
    AnomalyPrediction,
    class_predictions,
    half_widths,
    labels_predictions,
    numbers_predictions,
    outputs_predictions,
)

BATCH = 16
"""Images per call; throughput is flat from 8 to 32 on the processors measured."""

COVERAGE = 0.9
"""Share of intervals around numbers that hold the truth, unless another is asked for."""

Outputs = tuple[NDArray[np.float32], ...]
"""What the card's `outputs` name: N rows each, the prediction first."""

Card = dict[str, Any]


class Exported:
    """A file written by `clearsight export`, loaded in its engine: `Exported("model.onnx").predict_proba(["new.jpg"])`.

    card: everything the file says of itself: classes, pixels, geometry, temperature, scores, versions.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        """threads: of the engine; 0 leaves it to the engine."""
        openers = {".onnx": _open_onnx, ".xml": _open_openvino, ".pt2": _open_torch}
        suffix = Path(path).suffix
        if suffix not in openers:
            raise ValueError(f"{path} is not an exported model; expected a file ending in {', '.join(openers)}")
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
            return tuple(np.concatenate(part) for part in zip(*parts, strict=True))
        raise ValueError(
            f"the images have the wrong shape or type; found {images.shape}, {images.dtype}; "
            f"expected (N, {self.form.channels}, height, width), {self.form.dtype}"
        )

    def predict_proba(self, paths: Sequence[str | Path]) -> NDArray[np.float32]:
        """Calibrated probabilities of classes or labels (N, K), or of an anomaly (N, 1), of image files, decoded as for
        training. ImageError names a file that cannot be read; ValueError where the model predicts no probabilities.
        """
        if not self.card["probabilistic"]:
            raise ValueError(
                "this model predicts numeric targets, not probabilities; use `values` instead of `predict_proba`"
            )
        return self._outputs(paths)[0]

    def values(self, paths: Sequence[str | Path]) -> NDArray[np.float32]:
        """The numbers (N, T) of image files; otherwise as `predict_proba`."""
        if self.card["probabilistic"]:
            raise ValueError("this model does not predict numeric targets; use `predict_proba` instead of `values`")
        return self._outputs(paths)[0]

    def predict(self, paths: Sequence[str | Path], coverage: float = COVERAGE) -> list[Any]:
        """The prediction for each image file, as `tasks.predictions` has them, with intervals around numbers that hold
        the truth with this probability. Without what a detector of out-of-distribution images would add.
        """
        if not 0 < coverage < 1:
            raise ValueError(
                f"the coverage is out of range; found {coverage:g}; expected a number between 0 and 1, such as 0.9"
            )
        return READERS[self.card["reader"]](self.card, self._outputs(paths), [str(p) for p in paths], coverage)

    def _outputs(self, paths: Sequence[str | Path]) -> Outputs:
        parts = []
        for i in range(0, len(paths), BATCH):
            images = [decode(read_bytes(p), str(p), self.form, self.geometry) for p in paths[i : i + BATCH]]
            parts.append(self(np.stack(images)))
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _read_classes(card: Card, outputs: Outputs, images: list[str], coverage: float) -> list[Any]:
    none: list[dict[str, Any]] = [{}] * len(images)
    decided = None
    if decision := card.get("decision"):
        decided = (outputs[0].astype(np.float64) @ np.array(decision["weights"])).argmax(1)
    return list(class_predictions(outputs[0], card["classes"], images, none, decided))


def _read_hierarchy(card: Card, outputs: Outputs, images: list[str], coverage: float) -> list[Any]:
    tree = ClassTree.load(card["hierarchy"], card["classes"])
    return list(with_back_off(_read_classes(card, outputs, images, coverage), outputs[0], tree))


def _read_labels(card: Card, outputs: Outputs, images: list[str], coverage: float) -> list[Any]:
    task = card["task_card"]
    return list(labels_predictions(outputs[0], task["names"], task["thresholds"], images, [{}] * len(images)))


def _read_numbers(card: Card, outputs: Outputs, images: list[str], coverage: float) -> list[Any]:
    task = card["task_card"]
    deviations = outputs[1] if task["spread"] else np.ones((len(images), len(task["errors"])))
    within = -np.inf if task["low"] is None else task["low"], np.inf if task["high"] is None else task["high"]
    values, widths = outputs[0].astype(np.float64), half_widths(task["errors"], coverage) * deviations
    none: list[dict[str, Any]] = [{}] * len(images)
    return list(numbers_predictions(values, widths, task["names"], task["kind"], task["unit"], within, images, none))


def _read_anomaly(card: Card, outputs: Outputs, images: list[str], coverage: float) -> list[Any]:
    threshold = card["task_card"]["threshold"]
    rows = zip(images, *(part[:, 0].tolist() for part in outputs), strict=True)
    return [AnomalyPrediction(image, score > threshold, p, p_value, score) for image, p, p_value, score in rows]


def _read_outputs(card: Card, outputs: Outputs, images: list[str], coverage: float) -> list[Any]:
    named = dict(zip(card["outputs"], outputs, strict=True))
    return list(outputs_predictions(named, card["classes"], images, [{}] * len(images)))


READERS: dict[str, Callable[[Card, Outputs, list[str], float], list[Any]]] = {
    "classes": _read_classes, "labels": _read_labels, "numbers": _read_numbers, "anomaly": _read_anomaly,
    "outputs": _read_outputs, "hierarchy": _read_hierarchy,
}  # fmt: skip
"""From a file's outputs to predictions, by the `reader` that its card names."""


Runner = Callable[[NDArray[Any]], Outputs]


def _open_onnx(path: str, threads: int) -> tuple[Runner, str]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(images: NDArray[Any]) -> Outputs:
        return tuple(session.run(None, {"images": images}))

    return run, session.get_modelmeta().custom_metadata_map["card"]


def _open_openvino(path: str, threads: int) -> tuple[Runner, str]:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # nothing leaves the machine
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32", **({"INFERENCE_NUM_THREADS": threads} if threads else {})}
    core = openvino.Core()
    model = core.read_model(path)
    compiled = core.compile_model(model, "CPU", options)

    def run(images: NDArray[Any]) -> Outputs:
        outputs = compiled([images])
        return tuple(outputs[port].copy() for port in compiled.outputs)

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
            found = module(torch.from_numpy(own))
        return tuple(part.numpy() for part in found)

    return run, extra["card.json"]


def predict_files(folder: Path, arguments: Sequence[str]) -> int:
    """`python run.py [MODEL] IMAGE...`: the prediction for each image, in the words of `clearsight predict`.

    folder: where `run.py` lies; its first model is used where none is named. Returns 0, or 2 if anything failed.
    """
    words = list(arguments)
    beside = sorted(p for p in folder.iterdir() if p.suffix in (".onnx", ".xml", ".pt2"))
    model = Path(words.pop(0)) if words and Path(words[0]).suffix in (".onnx", ".xml", ".pt2") else None
    if not words or words[0] in ("-h", "--help") or (model is None and not beside):
        print(
            "usage: python run.py [MODEL] IMAGE...   (default MODEL: the first model file next to run.py). "
            "Out-of-distribution images are not detected; `clearsight predict` does so.",
            file=sys.stderr,
        )
        return 2
    failed = 0
    try:
        exported = Exported(model or beside[0])
    except (ValueError, OSError) as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    thing = "sound" if exported.card["data"].get("media") == "sounds" else "image"
    with quiet_pillow():
        for word in words:
            try:
                print(word, exported.predict([word])[0].line(thing=thing), sep="\t")
            except (ValueError, OSError) as error:
                failed = 2
                print(f"run.py: {error}", file=sys.stderr)
    return failed
