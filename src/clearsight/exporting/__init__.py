"""A model as a file for other programs: ONNX, OpenVINO or torch.export, preprocessing and calibration inside."""

from clearsight.exporting.export import Export, export, export_card
from clearsight.exporting.formats import FORMATS
from clearsight.exporting.int8 import Quantised
from clearsight.exporting.parity import Parity
from clearsight.exporting.runtime import Exported

__all__ = ["FORMATS", "Export", "Exported", "Parity", "Quantised", "export", "export_card"]
