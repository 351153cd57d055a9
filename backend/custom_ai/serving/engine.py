"""One exported model, ready to predict: OpenVINO on the CPU, onnxruntime where OpenVINO does not work.

Measured on 2 cores against ultralytics' own predict: OpenVINO 1.2-1.7 times as fast at 640 pixels, 2.6
times at 320; onnxruntime 1.0 and 1.7.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from custom_ai.errors import ModelError
from custom_ai.serving.decode import decode, letterbox, to_input
from custom_ai.types import Box

BATCH = 8
"""Pictures per call of the network; more cost memory and are not faster on a CPU."""

Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""(n, 3, h, w) -> (n, 4 + classes, anchors)."""


class Model:
    """Predicts with one exported network. May be shared between threads: they take turns."""

    def __init__(self, network: Network, classes: Sequence[str], image_size: int, engine: str) -> None:
        self.classes, self.image_size, self.engine = tuple(classes), image_size, engine
        self._network = network
        self._turn = threading.Lock()

    @classmethod
    def load(cls, onnx_path: Path, classes: Sequence[str], image_size: int, threads: int = 1) -> Model:
        """Raises ModelError when the file is not a network with one score per class."""
        try:
            engine, network = "openvino", _openvino(onnx_path, threads)
        except (ImportError, RuntimeError):  # no wheel for this machine, or a CPU that it does not support
            engine, network = "onnxruntime", _onnxruntime(onnx_path, threads)
        model = cls(network, classes, image_size, engine)
        rows = model._run(np.zeros((1, 3, 64, 64), np.float32)).shape[1]
        if rows != 4 + len(model.classes):
            raise ModelError(model=onnx_path.name, why=f"it knows {rows - 4} classes, not {len(model.classes)}")
        return model

    def predict(self, images: Sequence[NDArray[np.uint8]], min_score: float = 0.25) -> list[tuple[Box, ...]]:
        """Boxes for each picture, best first, at most 300 each, with scores of at least ``min_score``.

        images: (height, width, 3) uint8 RGB, upright; sizes may differ.
        """
        found: list[tuple[Box, ...]] = [()] * len(images)
        placed = [letterbox(image, self.image_size) for image in images]
        by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for number, (pixels, _) in enumerate(placed):
            by_shape[pixels.shape].append(number)
        for numbers in by_shape.values():
            for start in range(0, len(numbers), BATCH):
                some = numbers[start : start + BATCH]
                output = self._run(to_input([placed[number][0] for number in some]))
                for number, raw in zip(some, output, strict=True):
                    found[number] = decode(raw, placed[number][1], self.classes, min_score)
        return found

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._turn:
            return self._network(batch)


def _openvino(onnx_path: Path, threads: int) -> Network:
    import openvino

    core = openvino.Core()
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": max(threads, 1),
        "INFERENCE_PRECISION_HINT": "f32",  # otherwise bf16 on CPUs that have it, with other scores
    }
    request = core.compile_model(core.read_model(onnx_path), "CPU", options).create_infer_request()

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        request.infer({0: batch})
        # The request owns its output and overwrites it on the next call.
        return np.array(request.get_output_tensor(0).data)

    return run


def _onnxruntime(onnx_path: Path, threads: int) -> Network:
    """Uses a GPU when onnxruntime has one."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(threads, 1)
    try:
        session = onnxruntime.InferenceSession(str(onnx_path), options, providers=onnxruntime.get_available_providers())
    except Exception as error:  # its exception classes have no public common base
        raise ModelError(model=onnx_path.name, why="it is not a readable ONNX file") from error
    name = session.get_inputs()[0].name

    def run(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        output: NDArray[np.float32] = session.run(None, {name: batch})[0]
        return output

    return run
