"""Export a model as one file for other programs: raw images in; calibrated probabilities, labels or numbers out.

The file includes resizing, normalisation and calibration (OpenVINO files do not include resizing). It is loaded in its
engine and compared with the model on real images: the test split of the model's own run, or DATA. If a prediction
differs, or if a probability, or a number relative to its spread, differs by more than 1e-4, the file is not kept. Two
files are written next to it: card.json, and run.py, which reads image files as in training.
"""

from __future__ import annotations

import argparse
import os

from clearsight.cli.options import print_json
from clearsight.console import terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a trained model")
    parser.add_argument("data", metavar="DATA", nargs="?", help="labelled images (default: the test split of the run)")
    parser.add_argument(
        "--format", default="onnx", metavar="WORD", help="file format: onnx, openvino or torch (default: onnx)"
    )
    parser.add_argument(
        "--quantize",
        metavar="WORD",
        help="int8 for 8-bit integer quantisation, calibrated on the training images (default: none)",
    )
    parser.add_argument(
        "--fixed-size",
        action="store_true",
        help="accept only images of the model's input size; the exported graph does not resize (default: no)",
    )
    parser.add_argument(
        "--images", type=int, default=256, metavar="N", help="number of images to compare the outputs on (default: 256)"
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="output file (default: RUN/export/model.onnx; .xml or .pt2 for the other formats)",
    )
    parser.add_argument(
        "--data-dir",
        metavar="FOLDER",
        help="folder that contains the files of a built-in data set (default: the cache)",
    )


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
    file = os.path.relpath(found.path)
    print(found.text())
    print(f"  card     {os.path.relpath(found.path.parent / 'card.json')}")
    print(f"  runner   python {os.path.relpath(found.path.parent / 'run.py')} {file} IMAGE...")
    names = found.card["outputs"]
    print("\n" + USE[found.format].format(file=file, outputs=", ".join(names), first=names[0]))
    shape = ", ".join(str(n) for n in found.shape)
    print(f"  # images: {found.card['input']['dtype']} ({shape})")


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
