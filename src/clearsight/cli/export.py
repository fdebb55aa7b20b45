"""Write a model as one file that other programs run: raw images in, calibrated probabilities, labels or numbers out.

The resize rule, normalisation and calibration are inside (OpenVINO cannot hold the resize rule). The file is loaded
again in its engine and compared with the model on real images: those of the run's own test split, or DATA's. A file
that does not give the same answer, within 1e-4 of a probability or of a number's spread, is not kept. card.json lies
beside it, and run.py, which reads image files as training did.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from clearsight.cli.options import print_json
from clearsight.console import terminal

if TYPE_CHECKING:
    from clearsight.exporting import Export, Parity, Quantised


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a trained model's folder")
    parser.add_argument("data", metavar="DATA", nargs="?", help="labelled images (default: its own test split)")
    parser.add_argument("--format", default="onnx", metavar="WORD", help="onnx, openvino or torch (default: onnx)")
    parser.add_argument(
        "--quantize", metavar="WORD", help="int8: eight-bit integers inside, calibrated on the training images"
    )
    parser.add_argument(
        "--fixed-size", action="store_true", help="take images of the working size alone: no resize rule in the graph"
    )
    parser.add_argument("--images", type=int, default=256, metavar="N", help="compare on so many (default: 256)")
    parser.add_argument("--out", metavar="FILE", help="file to write (default: RUN/export/model.onnx and the like)")
    parser.add_argument("--data-dir", metavar="FOLDER", help="folder that holds the files of a built-in data set")


def run(arguments: argparse.Namespace) -> None:
    with terminal() as console:
        from clearsight.exporting import export

        found = export(
            arguments.run, arguments.data, format=arguments.format, out=arguments.out, quantize=arguments.quantize,
            fixed_size=arguments.fixed_size, images=arguments.images, data_dir=arguments.data_dir, console=console,
        )  # fmt: skip
    if arguments.json:
        print_json(found.to_dict())
        return
    _print_checks(found)
    file = os.path.relpath(found.file)
    print(f"\n  file     {file}  ({_size(found.bytes)})")
    print(f"  card     {os.path.relpath(found.file.parent / 'card.json')}")
    print(f"  runner   python {os.path.relpath(found.file.parent / 'run.py')} {file} IMAGE...")
    names = found.card["outputs"]
    print("\n" + USE[found.format].format(file=file, outputs=", ".join(names), first=names[0]))
    shape = ", ".join(str(n) for n in found.shape)
    print(f"  # images: {found.card['input']['dtype']} ({shape})")


def _print_checks(found: Export) -> None:
    kind = "float32" if found.int8 else found.format
    if found.parity is None:
        print("not compared on real images: name some with `clearsight export RUN DATA`")
    else:
        _print_parity(f"{kind} against the model", found.parity)
    if found.own_size:
        _print_parity("the same, scaled by the file itself", found.own_size)
    if (q := found.int8) is None:
        return
    print(
        f"int8 against float32: {q.measure} {_score(q, q.score_int8)} against {_score(q, q.score)} on {q.images:,} "
        f"validation images, same {q.answer} on {q.same_answer:.1%}"
    )
    print(
        f"  {q.rate_int8:,.0f} against {q.rate:,.0f} images/s on this machine ({q.speedup:.2f} times, median of "
        f"{q.repeats} in turn), {_size(q.bytes_int8)} against {_size(q.bytes)}"
    )
    if not q.pays:
        print("int8 does not pay here: it should be 1.3 times as fast and lose at most 0.01; float32 is the choice")


def _print_parity(what: str, parity: Parity) -> None:
    print(
        f"{what}: same {parity.answer} on {parity.same_answer:,} of {parity.images:,} images, "
        f"{parity.quantity} at most {parity.largest:.1e} apart (bar 1e-4)"
    )


def _score(found: Quantised, score: float) -> str:
    return f"{score:.1%}" if found.measure == "accuracy" else f"{score:.4f}"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


USE = {
    "onnx": """\
  import onnxruntime
  session = onnxruntime.InferenceSession("{file}")
  {outputs} = session.run(None, {{"images": images}})""",
    "openvino": """\
  import openvino
  model = openvino.compile_model("{file}", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
  {first} = model([images])["{first}"]""",
    "torch": """\
  import torch
  model = torch.export.load("{file}").module()
  {outputs} = model(torch.from_numpy(images))""",
}
"""How each format is called from Python."""
