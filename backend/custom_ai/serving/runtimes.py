"""The libraries that run networks, imported so that they keep to themselves.

As they come, ``import openvino`` reports to Google Analytics and onnxruntime keeps a device id and a database of
events in the home folder, to be sent to Microsoft. Neither is asked for here.
"""

from __future__ import annotations

import os
import sys
from typing import Any


def openvino() -> Any:
    """The module openvino. Raises ImportError where there is none."""
    # OpenVINO goes on without this package; there is no setting that reaches it before its first report.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino
    import openvino.preprocess

    return openvino


def onnxruntime() -> Any:
    """The module onnxruntime."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime
