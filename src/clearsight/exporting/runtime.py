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
from clearsight.tasks.predictions import (
    AnomalyPrediction,
    LabelsPrediction,
    NumbersPrediction,
    anomaly_line,
    half_widths,
    labels_line,
    labels_said,
    numbers_line,
    numbers_said,
)

BATCH = 16
"""Images per call; throughput is flat from 8 to 32 on the processors measured."""

SURE = 0.9
"""Share of intervals around numbers that hold the truth, unless another is asked for."""

Outputs = tuple[NDArray[np.float32], ...]
"""What the card's `outputs` name: calibrated probabilities or beliefs (N, K) and logits (N, K), or numbers (N, T),
their deviations (N, T) where the network gives any, and its outputs; or of anomalies probabilities, p-values and scores
(N, 1).
"""


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
            return tuple(np.concatenate(part) for part in zip(*parts, strict=True))
        raise ValueError(
            f"found images of shape {images.shape}, {images.dtype}; "
            f"expected (N, {self.form.channels}, height, width), {self.form.dtype}"
        )

    def predict_proba(self, paths: Sequence[str | Path]) -> NDArray[np.float32]:
        """Calibrated probabilities of classes, beliefs in labels (N, K), or probabilities of an anomaly (N, 1), of
        files, decoded as they were for training; ImageError names the one that cannot be read, ValueError is raised by
        a model of numbers.
        """
        if "values" in self.card["outputs"]:
            raise ValueError("this model gives numbers, not probabilities; ask values in place of predict_proba")
        return self._told(paths)[0]

    def values(self, paths: Sequence[str | Path]) -> NDArray[np.float32]:
        """The numbers (N, T) of image files; otherwise as `predict_proba`."""
        if "values" not in self.card["outputs"]:
            raise ValueError("this model gives no numbers; ask predict_proba in place of values")
        return self._told(paths)[0]

    def predict(
        self, paths: Sequence[str | Path], coverage: float = SURE
    ) -> list[LabelsPrediction] | list[NumbersPrediction] | list[AnomalyPrediction]:
        """The labels given, the numbers and intervals that hold the truth with this probability, or whether it is an
        anomaly, of image files; whether an image is like those of the training is not known here of labels and
        numbers. ValueError for a model of classes.
        """
        if self.card["task"] not in READERS:
            raise ValueError("this model gives classes; ask predict_proba in place of predict")
        if not 0 < coverage < 1:
            raise ValueError(f"a coverage of {coverage:g}; expected between 0 and 1, such as 0.9")
        reader = READERS[self.card["task"]]
        found: list[LabelsPrediction] | list[NumbersPrediction] | list[AnomalyPrediction] = reader(
            self.card["answer"], self._told(paths), [str(p) for p in paths], coverage
        )
        return found

    def _told(self, paths: Sequence[str | Path]) -> Outputs:
        parts = []
        for i in range(0, len(paths), BATCH):
            images = [decode(read_bytes(p), str(p), self.form, self.geometry) for p in paths[i : i + BATCH]]
            parts.append(self(np.stack(images)))
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _read_labels(about: dict[str, Any], told: Outputs, images: list[str], coverage: float) -> list[LabelsPrediction]:
    return labels_said(told[0], about["names"], about["thresholds"], images, [{}] * len(images))


def _read_numbers(about: dict[str, Any], told: Outputs, images: list[str], coverage: float) -> list[NumbersPrediction]:
    off = told[1] if about["spread"] else np.ones((len(images), len(about["errors"])))
    within = -np.inf if about["low"] is None else about["low"], np.inf if about["high"] is None else about["high"]
    values, widths = told[0].astype(np.float64), half_widths(about["errors"], coverage) * off
    return numbers_said(
        values, widths, about["names"], about["kind"], about["unit"], within, images, [{}] * len(images)
    )


def _read_anomaly(about: dict[str, Any], told: Outputs, images: list[str], coverage: float) -> list[AnomalyPrediction]:
    rows = zip(images, *(part[:, 0].tolist() for part in told), strict=True)
    return [AnomalyPrediction(image, score > about["threshold"], belief, p, score) for image, belief, p, score in rows]


READERS: dict[str, Callable[..., Any]] = {
    "multilabel": _read_labels, "regression": _read_numbers, "anomaly": _read_anomaly
}  # fmt: skip
"""What an answer is made of, where it is not one class, by task."""


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
        answer = compiled([images])
        return tuple(answer[port].copy() for port in compiled.outputs)

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
    """`python run.py [MODEL] IMAGE...`: print for each image the class and its probability, or the labels, the numbers,
    or whether it is an anomaly, in the words of `clearsight predict`.

    folder: where `run.py` lies; its first model is used where none is named. Returns 0, or 2 if anything failed.
    """
    words = list(arguments)
    beside = sorted(p for p in folder.iterdir() if p.suffix in (".onnx", ".xml", ".pt2"))
    model = Path(words.pop(0)) if words and Path(words[0]).suffix in (".onnx", ".xml", ".pt2") else None
    if not words or words[0] in ("-h", "--help") or (model is None and not beside):
        print("usage: python run.py [MODEL] IMAGE...   (MODEL: the first file beside run.py)", file=sys.stderr)
        return 2
    failed = 0
    try:
        exported = Exported(model or beside[0])
    except (ValueError, OSError) as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    with quiet_pillow():
        for word in words:
            try:
                print(word, *_line(exported, word), sep="\t")
            except (ValueError, OSError) as error:
                failed = 2
                print(f"run.py: {error}", file=sys.stderr)
    return failed


def _line(exported: Exported, image: str) -> tuple[str, ...]:
    if exported.card["task"] not in READERS:
        p = exported.predict_proba([image])[0]
        return exported.classes[int(p.argmax())], f"{p.max():.4f}"
    answer = exported.predict([image])[0]
    if isinstance(answer, AnomalyPrediction):
        return (anomaly_line(answer, "sound" if exported.card["data"].get("media") == "sounds" else "image"),)
    return (labels_line(answer, 3) if isinstance(answer, LabelsPrediction) else numbers_line(answer, SURE),)
