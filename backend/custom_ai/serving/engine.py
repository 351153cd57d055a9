"""One exported model, ready to predict: single pictures at once, many pictures in a stream.

``docs/serving.md`` has the figures: how fast the engines are, and how exact.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from custom_ai.errors import CustomAIError, ModelError
from custom_ai.serving.decode import Letterbox, decode
from custom_ai.serving.decode_masks import decode_masks
from custom_ai.serving.decode_rotated import decode_rotated
from custom_ai.serving.metadata import Metadata, read_metadata
from custom_ai.serving.networks import ONNXRUNTIME, OPENVINO, Network, build
from custom_ai.serving.pieces import cut, put_together
from custom_ai.serving.stream import Picture, Seen, stream
from custom_ai.types import Box, ImageSize, LabelKind

BATCH = 4
"""Pictures per call of the network; more cost memory and are not faster on a CPU."""
T = TypeVar("T")


class Model:
    """Predicts with one exported network. May be shared between threads."""

    def __init__(
        self,
        network: Network,
        classes: Sequence[str],
        image_size: int,
        kind: LabelKind = LabelKind.BOX,
        *,
        bulk: Callable[[], Network] | None = None,
        readers: int = 1,
        batch: int = BATCH,
        piece: float = 1.0,
    ) -> None:
        """``bulk`` compiles a network for streams, when one is first asked for; by default ``network`` does them.

        ``piece``: the part of a picture's longer side that the network looks at at once, see ``serving.pieces``.
        """
        self.classes, self.image_size, self.kind, self.piece = tuple(classes), image_size, kind, piece
        self._network = network
        self._make_bulk, self._bulk, self._bulk_lock = bulk, None if bulk else network, threading.Lock()
        self._readers, self._batch = max(readers, 1), batch
        self._predicting, self._count_lock = 0, threading.Lock()

    @property
    def engine(self) -> str:
        """The name of the engine, see ``serving.networks``."""
        return self._network.engine

    @property
    def side(self) -> int:
        """Pictures may be decoded with their longer side this small (see ``images.decode_pixels``): twice the
        network's input, from which the same is seen within the tolerance of docs/serving.md."""
        return round(2 * self.image_size / self.piece)

    @classmethod
    def load(
        cls,
        onnx_path: Path,
        classes: Sequence[str],
        image_size: int,
        threads: int = 1,
        *,
        engine: str = "",
        batch: int = BATCH,
        gpu: bool = False,
    ) -> Model:
        """The kind of labels is read from the file. Without ``engine``: OpenVINO, or onnxruntime where it cannot run.

        ``threads`` bounds the CPU threads. Raises ModelError when the file is not a network of that kind with one
        score per class, or the engine cannot run it.
        """
        facts = read_metadata(onnx_path)
        if engine:
            network = build(onnx_path, engine, threads, gpu=gpu)
        else:
            try:
                network = build(onnx_path, OPENVINO, threads)
            except ModelError:
                network = build(onnx_path, ONNXRUNTIME, threads, gpu=gpu)
        _check(network, onnx_path.name, facts, classes)

        def bulk() -> Network:
            return build(onnx_path, network.engine, threads, streams=threads, gpu=gpu)

        return cls(
            network,
            classes,
            image_size,
            facts.kind,
            bulk=bulk if threads > 1 else None,
            readers=threads,
            batch=batch,
            piece=facts.piece,
        )

    def predict(self, images: Sequence[NDArray[np.uint8]], min_score: float = 0.25) -> list[tuple[Box, ...]]:
        """Shapes for each picture, best first, at most 300 each, with scores of at least ``min_score``.

        Upright boxes have no outline; rotated boxes and polygons have one, see their decoders.
        images: (height, width, 3) uint8 RGB, upright; sizes may differ.
        """
        looks = [cut(image, self.image_size, self.piece) for image in images]
        inputs = [one for look in looks for one in look]
        found: list[tuple[Box, ...]] = [()] * len(inputs)
        by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for number, one in enumerate(inputs):
            by_shape[one.pixels.shape].append(number)
        for numbers in by_shape.values():
            for start in range(0, len(numbers), self._batch):
                some = numbers[start : start + self._batch]
                outputs = self._run(np.stack([inputs[number].pixels for number in some]))
                for number, *raw in zip(some, *outputs, strict=True):
                    found[number] = self._decode(raw, inputs[number].place, min_score)
        parts = iter(found)
        return [
            put_together([(one.piece, next(parts)) for one in look], _size(image), self.piece)
            for look, image in zip(looks, images, strict=True)
        ]

    def predict_many(
        self, items: Iterable[T], read: Callable[[T], Picture], min_score: float = 0.25
    ) -> Iterator[tuple[T, Seen | CustomAIError]]:
        """What is seen in many pictures, in order: reading and letterboxing overlap with the network.

        ``items`` is iterated in the caller's thread and may wait (for downloads, say); ``read`` makes a picture of
        an item, in several threads. A CustomAIError of ``read`` is handed out in the place of what was seen. Memory
        does not grow with the number of pictures. Whoever stops early calls ``close()`` of the iterator.
        """

        def decode_one(raw: Sequence[NDArray[np.float32]], place: Letterbox) -> tuple[Box, ...]:
            return self._decode(raw, place, min_score)

        return stream(
            self._bulk_network(),
            items,
            read,
            decode_one,
            self.image_size,
            batch=self._batch,
            readers=self._readers,
            piece=self.piece,
        )

    def _run(self, batch: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """With all threads for one batch when nobody else predicts, else with a thread for each.

        Threads that work on one batch wait for each other at every layer, and on a busy machine for whatever else
        runs: with eight callers on two cores a picture took two to three times as long.
        """
        with self._count_lock:
            alone = self._predicting == 0
            self._predicting += 1
        try:
            return (self._network if alone else self._bulk_network()).run(batch)
        finally:
            with self._count_lock:
                self._predicting -= 1

    def _bulk_network(self) -> Network:
        with self._bulk_lock:
            if self._bulk is None:
                assert self._make_bulk is not None
                self._bulk = self._make_bulk()
            return self._bulk

    def _decode(self, raw: Sequence[NDArray[np.float32]], place: Letterbox, min_score: float) -> tuple[Box, ...]:
        if self.kind is LabelKind.ROTATED_BOX:
            return decode_rotated(raw[0], place, self.classes, min_score)
        if self.kind is LabelKind.POLYGON:
            return decode_masks(raw[0], raw[1], place, self.classes, min_score)
        return decode(raw[0], place, self.classes, min_score)


def _size(image: NDArray[np.uint8]) -> ImageSize:
    return ImageSize(image.shape[1], image.shape[0])


def _check(network: Network, name: str, facts: Metadata, classes: Sequence[str]) -> None:
    """By its outputs: whether it is what it says, and knows these classes. Raises ModelError."""
    outputs = network.run(np.zeros((1, 64, 64, 3), np.uint8))
    if len(outputs) != (2 if facts.kind is LabelKind.POLYGON else 1):
        raise ModelError(model=name, why=f"it has {len(outputs)} outputs, which no {facts.kind} network has")
    extra = {LabelKind.BOX: 0, LabelKind.ROTATED_BOX: 1, LabelKind.POLYGON: outputs[-1].shape[1]}[facts.kind]
    known = outputs[0].shape[1] - 4 - extra
    if known != len(classes):
        raise ModelError(model=name, why=f"it knows {known} classes, not {len(classes)}")
