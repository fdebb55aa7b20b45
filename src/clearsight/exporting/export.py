"""Write a model as a file, load it again in its engine, compare both on real images, and keep the file only if they
agree.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clearsight.arguments import known_arguments
from clearsight.bundle import Bundle
from clearsight.console import Console, usual_console
from clearsight.data.geometry import Geometry
from clearsight.data.inputs import ImageInputs
from clearsight.disk import disk_errors, exclusive, sync_folder, whole_file
from clearsight.errors import BundleError, ConfigError, ExportError, ImageError, OutputError
from clearsight.exporting.formats import FORMATS, format_named, writer_of
from clearsight.exporting.graph import deployed, example
from clearsight.exporting.int8 import Quantised, evaluate, quantise, require_int8, weight
from clearsight.exporting.parity import Parity, compare
from clearsight.exporting.runner import is_runner, runner
from clearsight.exporting.runtime import BATCH, Exported
from clearsight.json_values import from_json, to_json
from clearsight.models.network import frozen
from clearsight.predictor import Predictor
from clearsight.result import Result
from clearsight.runs.images import Development, HeldOut, development, held_out
from clearsight.runs.load import ModelSource, folder_of, predictor_of
from clearsight.tasks import Task
from clearsight.tasks.task import BAR
from clearsight.wording import count

OWN_SIZE = 16
"""Images that are compared at their own size too, where that is not the working size."""


@dataclass(frozen=True, repr=False, eq=False)
class Export(Result):
    """A model as a file, and how near its predictions are to the model's.

    path: the file; card and runner lie beside it. bytes: of the model's files. parity: on images at working size,
    None where none could be had; own_size: on images that the file itself scales.
    shape: of its input, (N, C, H, W) with names for what is open. int8: what quantisation cost and
    gained, None for float32.
    """

    path: Path
    format: str
    bytes: int
    shape: tuple[int | str, ...]
    card: dict[str, Any] = field(repr=False)
    parity: Parity | None
    own_size: Parity | None
    int8: Quantised | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "file": str(self.path),
            "format": self.format,
            "bytes": self.bytes,
            "input": {**self.card["input"], "shape": list(self.shape)},
            "parity": self.parity and self.parity.to_dict(),
            "own_size": self.own_size and self.own_size.to_dict(),
            "int8": self.int8 and self.int8.to_dict(),
        }

    def text(self) -> str:
        """Parity with the model, and what quantisation costs and gains."""
        kind = "float32" if self.int8 else self.format
        if self.parity is None:
            lines = ["not compared on real images: pass some with `clearsight export RUN DATA`"]
        else:
            lines = [f"{kind} compared with the model: {self.parity.words()}"]
        if self.own_size:
            lines.append(f"with images resized by the exported file: {self.own_size.words()}")
        lines += self.int8.lines() if self.int8 else []
        lines.append("the exported file does not detect out-of-distribution images, as `clearsight predict` does")
        return "\n".join([*lines, f"\n  file     {os.path.relpath(self.path)}  ({self.bytes / 1e6:.1f} MB)"])


@known_arguments
def export(
    model: ModelSource,
    data: Any = None,
    *,
    format: str = "onnx",
    out: str | Path | None = None,
    quantize: str | None = None,
    fixed_size: bool = False,
    images: int = 256,
    data_dir: str | None = None,
    console: Console | None = None,
) -> Export:
    """Write a model as one file that other programs run: `cs.export("runs/photos", format="onnx")`.

    The file takes raw images (N, C, H, W), uint8 or uint16. It gives calibrated `probabilities` (N, K) and `logits` (N,
    K); of a model of labels `probabilities` (N, K) and `logits`; of numbers `values` (N, T) in the unit of the training
    data, `deviations` (N, T) where the network gives any, and `outputs`; of an anomaly model `probabilities`,
    `p_values` and `scores` (N, 1).

    Args:
        model: a run, its folder, or a loaded model.
        data: images to compare file and model on; None is the test split of the model's own run.
        format: "onnx", "openvino" or "torch".
        out: the file; None is RUN/export/model.onnx and the like. `card.json` and `run.py` are written beside it.
        quantize: "int8", calibrated on the run's training images; None keeps float32.
        fixed_size: take images of the working size alone, as OpenVINO's files do.
        images: maximum number of images to compare on.
        data_dir: folder that holds the files of a built-in data set.
        console: where progress is shown; by default below the cell of a notebook, nowhere elsewhere.

    Returns:
        The file, and how near its predictions are to the model's.

    Raises:
        ExportError: the file does not predict the same, with probabilities within 1e-4, or numbers and scores within
            1e-4 of their spread. No file is kept.
        ModelError: the format cannot hold the model, as of classical ones.
        ConfigError: options contradict each other.
        OutputError: files of something else are in the way, or the disk refuses.

    Example:
        >>> cs.export("runs/digits", format="torch", images=10).parity.holds
        True
    """
    console = console or usual_console()
    chosen = format_named(format)
    _check_options(format, quantize, images)
    given = predictor_of(model)
    predictor = Predictor(given.bundle, engine="torch")  # float32 as it was trained, whatever engine was asked for
    bundle = predictor.bundle
    if quantize:
        _check_quantisable(bundle.task)
    fixed = fixed_size or not chosen.resizes
    module = deployed(bundle, fixed)
    card = export_card(bundle)
    file = _destination(model, chosen.suffix, out, quantize)
    _check_beside(file, card)
    held = _real_images(model, data, images, data_dir, console)
    own_images = _calibration(model, console, data_dir) if quantize else None

    with disk_errors(file, "the model", "free some space or choose another --out"), exclusive(file.parent):
        with tempfile.TemporaryDirectory(prefix=f".{file.name}.", suffix=".partial", dir=file.parent) as folder:
            written = Path(folder) / file.name
            console.say(f"export: writing the {format} file, which takes a few seconds to a minute")
            with frozen(module):
                size = bundle.geometry.height, bundle.geometry.width
                chosen.write(module, example(bundle.form, *size), card, written)
            parity, own = _agreement(predictor, Exported(written), held, fixed, format, console)
            report = None
            if own_images is not None:
                written, report = _quantised(bundle.task, written, own_images, console)
            sync_folder(written.parent)
            if chosen.suffix == ".xml":  # of two files, of which a mixture must never be loaded
                file.unlink(missing_ok=True)
                written.with_suffix(".bin").replace(file.with_suffix(".bin"))
            written.replace(file)
        _write_beside(file, card)
    shape = ("N", bundle.form.channels, *(size if fixed else ("height", "width")))
    return Export(file, format, weight(file), shape, card, parity, own, report)


def _check_options(format: str, quantize: str | None, images: int) -> None:
    if quantize not in (None, "int8"):
        raise ConfigError(f"--quantize {quantize} is not supported", expected="int8")
    if quantize:
        require_int8(format)
    if images < 1:
        raise ConfigError(f"--images must be 1 or more, not {images}")


def _check_quantisable(task: Task) -> None:
    if task.int8_measure is None:
        raise ConfigError(
            f"--quantize int8 does not support the task {task.name}, as its loss of accuracy cannot be measured",
            fix="omit --quantize",
        )


def export_card(bundle: Bundle) -> dict[str, Any]:
    """The bundle's card, and what a program needs to call the file."""
    digest, task = hashlib.blake2b(digest_size=16), bundle.task
    for name, tensor in bundle.network.state_dict().items():
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    call = {
        "weights": digest.hexdigest(),
        "input": {"name": "images", "layout": "NCHW", "dtype": bundle.form.dtype.name},
        "outputs": list(task.output_names),
        "reader": task.reader,
        "probabilistic": task.probabilistic,
        **task.export_facts(),
    }
    return {**bundle.card(), **call}


def _destination(model: ModelSource, suffix: str, out: str | Path | None, quantize: str | None) -> Path:
    """The file to write; ConfigError or OutputError where it cannot be that."""
    if out is None:
        folder = (folder_of(model) or Path()) / "export"
        file = folder / f"model{'-int8' if quantize else ''}{suffix}"
    else:
        file = Path(out).expanduser()
        folder = file.parent
        if file.is_dir():
            raise OutputError(
                f"--out {out} is a folder", expected="a file", fix=f"specify a file in it, such as model{suffix}"
            )
        if file.suffix != suffix:
            writer = writer_of(file.suffix)
            raise ConfigError(
                f"--out {out} has the wrong suffix", found=file.suffix or "none", expected=suffix,
                fix=f"--format {writer} writes {file.suffix} files" if writer else f"name it {file.stem}{suffix}",
            )  # fmt: skip
        if not folder.is_dir():
            raise OutputError(f"the folder {folder} does not exist", fix="create it, or choose another --out")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file", expected="a folder to write to", fix="choose another --out")
    return file


def _check_beside(file: Path, card: dict[str, Any]) -> None:
    """OutputError where the names of card and runner are taken by files that are not this model's."""
    beside, script = file.parent / "card.json", file.parent / "run.py"
    try:
        mine = not beside.exists() or from_json(beside.read_text())["weights"] == card["weights"]
    except (ValueError, KeyError, TypeError, OSError):
        mine = False
    ours = not script.exists() or is_runner(script)
    for path, free in ((beside, mine), (script, ours)):
        if not free:
            raise OutputError(
                f"{path} already exists", found="an unrelated file", fix="choose another folder for --out"
            )


def _write_beside(file: Path, card: dict[str, Any]) -> None:
    for name, content in (("card.json", to_json(card).encode()), ("run.py", runner())):
        with whole_file(file.parent / name) as stream:
            stream.write(content)


def _real_images(model: ModelSource, data: Any, images: int, data_dir: str | None, console: Console) -> HeldOut | None:
    """Images to compare on; None, with a message, if the images of the run are missing or changed and no others are
    named.
    """
    try:
        return held_out(model, data, console=console, data_dir=data_dir).sample(images, 0)
    except BundleError as error:
        if data is not None:
            raise
        console.say(f"export: not compared on real images: {error.happened}")
        return None


def _calibration(model: ModelSource, console: Console, data_dir: str | None) -> Development:
    """The images the model was trained on; ConfigError where they are gone."""
    try:
        return development(model, console=console, data_dir=data_dir)
    except BundleError as error:
        raise ConfigError(
            "--quantize int8 needs the training images for calibration, but they are not available",
            found=error.found or error.happened,
            fix="restore them to their original location, or omit --quantize",
        ) from error


def _agreement(
    predictor: Predictor, exported: Exported, held: HeldOut | None, fixed: bool, format: str, console: Console
) -> tuple[Parity | None, Parity | None]:
    """How near file and model are, on images at working size and on images that the file scales; ExportError where they
    are not near enough.
    """
    if held is None:
        return None, None
    task = predictor.bundle.task
    parity = _compare(task, predictor, exported, held, console)
    own = None if fixed else _compare_own_size(task, predictor, exported, held)
    for found in (parity, own):
        _must_hold(found, format)
    return parity, own


def _quantised(task: Task, written: Path, images: Development, console: Console) -> tuple[Path, Quantised]:
    """The file as int8, in a folder beside it, and what that costs and gains."""
    small = written.parent / "int8" / written.name
    small.parent.mkdir()
    number = quantise(written, small, images.train, console)
    return small, evaluate(task, written, small, images, number, console)


def _compare(task: Task, predictor: Predictor, exported: Exported, held: HeldOut, console: Console) -> Parity | None:
    outputs = predictor.logits(held.images, console.stage("running the model"))
    advance = console.stage("running the exported file")

    def batches() -> Iterator[NDArray[Any]]:
        for start in range(0, len(held.rows), BATCH):
            yield held.images[start : start + BATCH]
            advance(min(start + BATCH, len(held.rows)), len(held.rows))

    return compare(task, outputs, exported, batches(), held.names)


def _compare_own_size(task: Task, predictor: Predictor, exported: Exported, held: HeldOut) -> Parity | None:
    """On some images whose own size is not the working size, scaled by the file's own rule."""
    bundle = predictor.bundle
    found: list[NDArray[Any]] = []
    names: list[str] = []
    for row, name in zip(held.rows, held.names, strict=True):
        if len(found) == OWN_SIZE:
            break
        try:
            header = held.dataset.source.inspect(int(row))[1]
            size = Geometry(header.height, header.width)
            if header.oriented or (size.height, size.width) == (bundle.geometry.height, bundle.geometry.width):
                continue
            found.append(held.dataset.source.decode(int(row), bundle.form, size)[None])
        except ImageError:  # gone since the pixels were cached
            continue
        names.append(name)
    outputs = [predictor.logits(ImageInputs(image, (name,))) for image, name in zip(found, names, strict=True)]
    return compare(task, np.concatenate(outputs), exported, found, names) if found else None


def _must_hold(parity: Parity | None, format: str) -> None:
    if parity and not parity.holds:
        raise ExportError(
            f"the outputs of the {format} file differ from those of the model, so the file was deleted",
            found=f"the same {parity.predicted} for {parity.same_predictions} of {count(parity.images, 'image')}, and "
            f"{parity.quantity} that differ by up to {parity.largest:.1e} ({parity.worst})",
            expected=f"the same {parity.predicted} for all images, and differences of at most {BAR:g}",
            fix="try another --format" + (f": {', '.join(f for f in FORMATS if f != format)}"),
        )
