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
from custom_ai.serving.decode import Letterbox, decode, letterbox, to_input
from custom_ai.serving.decode_masks import decode_masks
from custom_ai.serving.decode_rotated import decode_rotated
from custom_ai.types import Box, LabelKind

BATCH = 8
"""Pictures per call of the network; more cost memory and are not faster on a CPU."""

Network = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], ...]]
"""(n, 3, h, w) -> (n, 4 + classes + extra, anchors) and, for polygons, the prototypes (n, 32, h / 4, w / 4)."""


class Model:
    """Predicts with one exported network. May be shared between threads: they take turns."""

    def __init__(
        self,
        network: Network,
        classes: Sequence[str],
        image_size: int,
        engine: str,
        kind: LabelKind = LabelKind.BOX,
    ) -> None:
        self.classes, self.image_size, self.engine, self.kind = tuple(classes), image_size, engine, kind
        self._network = network
        self._turn = threading.Lock()

    @classmethod
    def load(cls, onnx_path: Path, classes: Sequence[str], image_size: int, threads: int = 1) -> Model:
        """The kind of labels is read from the file.

        Raises ModelError when the file is not a network of that kind with one score per class.
        """
        try:
            engine, network = "openvino", _openvino(onnx_path, threads)
        except (ImportError, RuntimeError):  # no wheel for this machine, or a CPU that it does not support
            engine, network = "onnxruntime", _onnxruntime(onnx_path, threads)
        kind = _kind(onnx_path)
        model = cls(network, classes, image_size, engine, kind)
        outputs = model._run(np.zeros((1, 3, 64, 64), np.float32))
        if len(outputs) != (2 if kind is LabelKind.POLYGON else 1):
            raise ModelError(model=onnx_path.name, why=f"it has {len(outputs)} outputs, which no {kind} network has")
        extra = {LabelKind.BOX: 0, LabelKind.ROTATED_BOX: 1, LabelKind.POLYGON: outputs[-1].shape[1]}[kind]
        known = outputs[0].shape[1] - 4 - extra
        if known != len(model.classes):
            raise ModelError(model=onnx_path.name, why=f"it knows {known} classes, not {len(model.classes)}")
        return model

    def predict(self, images: Sequence[NDArray[np.uint8]], min_score: float = 0.25) -> list[tuple[Box, ...]]:
        """Shapes for each picture, best first, at most 300 each, with scores of at least ``min_score``.

        Upright boxes have no outline; rotated boxes and polygons have one, see their decoders.
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
                outputs = self._run(to_input([placed[number][0] for number in some]))
                for number, *raw in zip(some, *outputs, strict=True):
                    found[number] = self._decode(raw, placed[number][1], min_score)
        return found

    def _decode(self, raw: Sequence[NDArray[np.float32]], place: Letterbox, min_score: float) -> tuple[Box, ...]:
        if self.kind is LabelKind.ROTATED_BOX:
            return decode_rotated(raw[0], place, self.classes, min_score)
        if self.kind is LabelKind.POLYGON:
            return decode_masks(raw[0], raw[1], place, self.classes, min_score)
        return decode(raw[0], place, self.classes, min_score)

    def _run(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        with self._turn:
            return self._network(batch)


def _kind(onnx_path: Path) -> LabelKind:
    """What the metadata of a readable network say; OpenVINO does not hand them on."""
    import onnx

    facts = {entry.key: entry.value for entry in onnx.load(onnx_path).metadata_props}
    try:
        return LabelKind(facts.get("kind", LabelKind.BOX))
    except ValueError as error:
        raise ModelError(model=onnx_path.name, why=f"it is for labels of the unknown kind {facts['kind']}") from error


def _openvino(onnx_path: Path, threads: int) -> Network:
    import openvino

    core = openvino.Core()
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": max(threads, 1),
        "INFERENCE_PRECISION_HINT": "f32",  # otherwise bf16 on CPUs that have it, with other scores
    }
    request = core.compile_model(core.read_model(onnx_path), "CPU", options).create_infer_request()

    def run(batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        request.infer({0: batch})
        # The request owns its outputs and overwrites them on the next call.
        return tuple(np.array(request.get_output_tensor(number).data) for number in range(len(request.model_outputs)))

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

    def run(batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        return tuple(session.run(None, {name: batch}))

    return run
