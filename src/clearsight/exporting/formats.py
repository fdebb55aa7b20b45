"""The formats a model is written in: one function each, from the module to a file that describes itself.

    onnx      .onnx          ONNX Runtime, TensorRT, OpenVINO, Triton, the browser; the card among its metadata_props
    openvino  .xml + .bin    OpenVINO; the card in its rt_info
    torch     .pt2           torch.export, read by PyTorch alone without Clearsight; the card as an extra file

Batch, and for a graph with the resize rule height and width too, stay open. Numbers are float32, but for the resize
rule's, which are float64. OpenVINO computes those in float32 on a CPU, too coarse for the rule, so its files take
images of the working size, and the runner beside them scales.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from clearsight.errors import ConfigError, ModelError, did_you_mean
from clearsight.exporting.graph import Deployed
from clearsight.json_values import to_json
from clearsight.models.execution import openvino_model, openvino_without_telemetry

Card = dict[str, Any]


@dataclass(frozen=True)
class Format:
    """suffix of its file; packages it needs beyond Clearsight's own; whether it holds the resize rule;
    write(module, example, card, path).
    """

    suffix: str
    needs: tuple[str, ...]
    resizes: bool
    write: Callable[[Deployed, torch.Tensor, Card, Path], None]


def format_named(name: str) -> Format:
    """ConfigError for a name that is none, and where what it needs is not installed."""
    if name not in FORMATS:
        meant = writer_of(f".{name.lower().removeprefix('.')}")
        hint = (
            f"--format {meant} writes {FORMATS[meant].suffix} files" if meant else did_you_mean(name.lower(), FORMATS)
        )
        raise ConfigError(f"unknown format {name!r}", expected=", ".join(FORMATS), fix=hint)
    require(FORMATS[name].needs, f"the format {name}")
    return FORMATS[name]


def writer_of(suffix: str) -> str | None:
    """The name of the format whose files end so, None where there is none."""
    return next((name for name, known in FORMATS.items() if known.suffix == suffix), None)


def require(packages: tuple[str, ...], what: str) -> None:
    """ConfigError where one of these packages is missing."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ConfigError(f"{what} needs {', '.join(missing)}", fix="run pip install 'clearsight[export]'")


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Within it, converters' remarks on their own inner workings are neither printed nor raised: deprecated ways in,
    constants found while tracing, progress on standard output.
    """
    before = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(before)


def _exported(module: Deployed, example: torch.Tensor) -> torch.export.ExportedProgram:
    """The graph, its batch open, and its height and width where the module resizes."""
    loose = torch.export.Dim.DYNAMIC
    sizes = {0: loose} if module.resize is None else {0: loose, 2: loose, 3: loose}
    try:
        return torch.export.export(module, (example,), dynamic_shapes={"images": sizes})
    except Exception as error:  # the tracer's own kinds, many
        raise ModelError(
            "PyTorch cannot export this network as a graph",
            found=" ".join(str(error).split())[:160],
            fix="try --format openvino, which uses a different converter",
        ) from error


def _write_onnx(module: Deployed, example: torch.Tensor, card: Card, path: Path) -> None:
    with silence():
        program = torch.onnx.export(
            _exported(module, example), (example,), input_names=["images"], output_names=list(module.output_names),
            dynamo=True, optimize=True, verbose=False,
        )  # fmt: skip
        assert program is not None
        program.model.metadata_props.update(_metadata(card))
        program.save(str(path), external_data=False)


def _write_openvino(module: Deployed, example: torch.Tensor, card: Card, path: Path) -> None:
    openvino = openvino_without_telemetry()
    with silence():  # torch.jit.trace is deprecated, and OpenVINO's own way in
        model = openvino_model(module, example.float())
    model.reshape([-1, *example.shape[1:]])
    raw = openvino.preprocess.PrePostProcessor(model)  # as its way in knows no uint16
    raw.input().tensor().set_element_type(openvino.Type.u8 if example.dtype == torch.uint8 else openvino.Type.u16)
    model = raw.build()
    model.inputs[0].get_tensor().set_names({"images"})
    for port, name in zip(model.outputs, module.output_names, strict=True):
        port.get_tensor().set_names({name})
    for key, value in _metadata(card).items():
        model.set_rt_info(value, ["clearsight", key])
    openvino.save_model(model, str(path), compress_to_fp16=False)


def _write_torch(module: Deployed, example: torch.Tensor, card: Card, path: Path) -> None:
    with silence():
        torch.export.save(_exported(module, example), str(path), extra_files={"card.json": to_json(card, indent=None)})


def _metadata(card: Card) -> dict[str, str]:
    """What a reader of the file may want by name, and the whole card."""
    return {
        "clearsight": str(card["versions"]["clearsight"]),
        "classes": to_json(card["classes"], indent=None),
        "temperature": repr(card["temperature"]),
        "card": to_json(card, indent=None),
    }


FORMATS = {
    "onnx": Format(".onnx", ("onnx", "onnxscript", "onnxruntime"), True, _write_onnx),
    "openvino": Format(".xml", (), False, _write_openvino),
    "torch": Format(".pt2", (), True, _write_torch),
}
