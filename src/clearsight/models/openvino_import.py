"""The openvino module, which is imported nowhere else at the top of a module: it takes a moment to load."""

from __future__ import annotations

import sys
from typing import Any


def openvino_without_telemetry() -> Any:
    """The openvino module, with its telemetry made unimportable first: nothing leaves the machine.

    Returns:
        The module.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
