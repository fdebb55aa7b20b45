"""Eight-bit integers in place of float32 inside a network, after training, and whether that pays.

The range of every activation is read from training images (static quantisation); weights are scaled channel by
channel [Jacob et al. 2018]. The resize rule and the head, whose distances and exponentials do not stand rounding, stay
in float32. Weights have seven bits: processors without VNNI overflow at eight, which cost 10 points of accuracy in one
setting measured. They may gain nothing either, so both files are timed here.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.console import Console
from clearsight.data.cached_pixels import PixelView
from clearsight.errors import ConfigError
from clearsight.exporting.formats import require, silence
from clearsight.exporting.runtime import BATCH, Exported, Outputs
from clearsight.runs.images import Development
from clearsight.tasks import Task
from clearsight.wording import count, percent

CALIBRATION = 256
"""Training images that ranges are read from, drawn evenly."""

LOSS, GAIN = 0.01, 1.3
"""What pays: at most this much of the task's measure lost, at least this many times the images per second."""

HEADS = r"network(\.members\.\d+)?\.head"
"""Modules left in float32 beside the resize rule and the activation, as they are named in the graph."""


@dataclass(frozen=True)
class Quantised:
    """int8 against float32 in the same engine, on the validation images and this machine.

    measure: what predictions are evaluated by, and score its value for each; lost: how much worse int8 is.
    same_predictions: share of images whose `predicted` value stays the same. rate: images per second, the median of
    `repeats` in turn; bytes of each.
    """

    images: int
    calibration: int
    measure: str
    score: float
    score_int8: float
    lost: float
    predicted: str
    same_predictions: float
    rate: float
    rate_int8: float
    repeats: int
    bytes: int
    bytes_int8: int

    @property
    def speedup(self) -> float:
        return self.rate_int8 / self.rate

    @property
    def pays(self) -> bool:
        return self.speedup >= GAIN and self.lost <= LOSS

    def lines(self) -> list[str]:
        """What the terminal prints of it."""
        found = [
            f"int8 compared with float32: {self.measure} {self._score(self.score_int8)} instead of "
            f"{self._score(self.score)} on {count(self.images, 'validation image')}, same {self.predicted} "
            f"for {percent(self.same_predictions)}",
            f"  {self.rate_int8:,.0f} instead of {self.rate:,.0f} images/s on this machine ({self.speedup:.2f} times "
            f"as fast, median of {self.repeats} runs), "
            f"{self.bytes_int8 / 1e6:.1f} instead of {self.bytes / 1e6:.1f} MB",
        ]
        if not self.pays:
            found.append(
                "int8 is not worthwhile here: it should be at least "
                f"1.3 times as fast and worsen the {self.measure} by at most 0.01; use float32"
            )
        return found

    def _score(self, score: float) -> str:
        return percent(score) if self.measure == "accuracy" else f"{score:.4f}"

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "speedup": self.speedup, "pays": self.pays}


def quantise(path: Path, to: Path, images: PixelView, console: Console) -> int:
    """Write the int8 form of an exported file, calibrated on training images; how many it was calibrated on."""
    chosen = np.unique(np.linspace(0, len(images) - 1, min(CALIBRATION, len(images))).astype(int))
    advance = console.stage("calibrating int8")

    def sample() -> Iterator[NDArray[Any]]:
        for done, i in enumerate(chosen):
            yield images[i : i + 1]
            advance(done + 1, len(chosen))

    WRITERS[path.suffix](path, to, sample)
    return len(chosen)


def require_int8(format: str) -> None:
    """ConfigError where a format has no int8 form, or what makes it is not installed."""
    needs = {"onnx": ("onnx", "onnxruntime"), "openvino": ("nncf",)}
    if format not in needs:
        raise ConfigError(f"--quantize int8 is not supported for the format {format}", expected="onnx or openvino")
    require(needs[format], "--quantize int8")


Sample = Callable[[], Iterator[NDArray[Any]]]


def _onnx(path: Path, to: Path, sample: Sample) -> None:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.images = sample()

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            image = next(self.images, None)
            return None if image is None else {"images": image}

    with silence():
        quantize_static(
            str(path), str(to), Reader(), quant_format=QuantFormat.QDQ, per_channel=True, op_types_to_quantize=["Conv"],
            reduce_range=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        before, model = onnx.load(path, load_external_data=False), onnx.load(to)
        onnx.helper.set_model_props(model, {p.key: p.value for p in before.metadata_props})
        onnx.save(model, to)


def _openvino(path: Path, to: Path, sample: Sample) -> None:
    from clearsight.models.execution import openvino_without_telemetry

    openvino = openvino_without_telemetry()
    with silence():
        import nncf
        from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix

        narrow = AdvancedQuantizationParameters(overflow_fix=OverflowFix.ENABLE)
        model = openvino.Core().read_model(str(path))
        kept = nncf.IgnoredScope(patterns=[rf"__module\.(resize|activation|{HEADS})[./].*"], validate=False)
        images = list(sample())
        made = nncf.quantize(
            model, nncf.Dataset(images), subset_size=len(images), ignored_scope=kept, advanced_parameters=narrow
        )
        openvino.save_model(made, str(to), compress_to_fp16=False)


WRITERS: dict[str, Callable[[Path, Path, Sample], None]] = {".onnx": _onnx, ".xml": _openvino}


def evaluate(
    task: Task, path: Path, int8: Path, data: Development, calibration: int, console: Console, repeats: int = 5
) -> Quantised:
    """Both files on the validation images: the task's measure, agreement, and speed in turn."""
    assert task.int8_measure is not None
    measure, rises = task.int8_measure
    truth, advance = data.truth, console.stage("evaluating float32 and int8")
    files = [Exported(path), Exported(int8)]
    parts: list[list[Outputs]] = [[], []]
    for start in range(0, len(truth), BATCH):
        images = data.val[start : start + BATCH]
        for found, exported in zip(parts, files, strict=True):
            found.append(exported(images))
        advance(min(start + BATCH, len(truth)), len(truth))
    plain, small = (tuple(map(np.concatenate, zip(*found, strict=True))) for found in parts)
    score, score_int8 = task.int8_score(plain, truth), task.int8_score(small, truth)
    seconds: list[list[float]] = [[], []]
    some = data.val[: 4 * BATCH]
    for _ in range(repeats):
        for times, exported in zip(seconds, files, strict=True):
            began = time.perf_counter()
            exported(some)
            times.append(time.perf_counter() - began)
    rate, rate_int8 = (len(some) / statistics.median(times) for times in seconds)
    return Quantised(
        images=len(truth),
        calibration=calibration,
        measure=measure,
        score=score,
        score_int8=score_int8,
        lost=score - score_int8 if rises else score_int8 - score,
        predicted=task.parity_words[0],
        same_predictions=float(task.same(plain, small).mean()),
        rate=rate,
        rate_int8=rate_int8,
        repeats=repeats,
        bytes=weight(path),
        bytes_int8=weight(int8),
    )


def weight(path: Path) -> int:
    """Bytes of a model's files: .xml has its weights in a .bin beside it."""
    parts = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    return sum(part.stat().st_size for part in parts)
