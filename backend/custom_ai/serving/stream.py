"""Many pictures through one network: reading, letterboxing and predicting at the same time, in flat memory.

Pictures are read by a few threads, put into batches of one shape, run by as many threads as the network takes, and
handed out in the order in which they came. A decoded picture is dropped as soon as it is letterboxed, and at most
``AHEAD`` batches are under way, however slowly the results are taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from custom_ai.errors import CustomAIError
from custom_ai.serving.decode import Letterbox
from custom_ai.serving.networks import Network
from custom_ai.serving.pieces import Input, Piece, cut, pieces, put_together
from custom_ai.types import Box, ImageSize

Pixels = NDArray[np.uint8]
T = TypeVar("T")
AHEAD = 6
"""Batches that are read, run or not yet taken. Pictures of different shapes wait for others of theirs."""
_USUAL = ImageSize(4000, 3000)
"""So many pieces as of a picture of these proportions are expected of each."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What is predicted on. ``pixels``: (height, width, 3) uint8 RGB, upright, possibly smaller than ``size``."""

    pixels: Pixels
    size: ImageSize
    """Of the upright picture in full."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found in one picture, best first, in fractions of it."""

    size: ImageSize
    boxes: tuple[Box, ...]


Decode = Callable[[list[NDArray[np.float32]], Letterbox], tuple[Box, ...]]
"""One picture's part of the outputs -> what is in it."""


Read = tuple[list[Input], ImageSize, ImageSize] | CustomAIError
"""The inputs of a picture, the size of what they were cut from, and that of the upright picture in full."""


@dataclass(slots=True, eq=False)
class _Part:
    """One input of a picture on its way."""

    piece: Piece
    shape: tuple[int, ...]
    """Of the network's input, by which batches are formed."""
    batch: Future[list[tuple[Box, ...]]] | None = None
    """What was found in its batch, in which it has the ``number``."""
    number: int = 0


@dataclass(slots=True, eq=False)
class _Slot(Generic[T]):
    """One picture on its way."""

    item: T
    read: Future[Read] | None
    """None when it has been read: it holds the pixels."""
    size: ImageSize | None = None
    seen_size: ImageSize | None = None
    error: CustomAIError | None = None
    parts: list[_Part] = field(default_factory=list)


def stream(
    network: Network,
    items: Iterable[T],
    read: Callable[[T], Picture],
    decode: Decode,
    image_size: int,
    *,
    batch: int,
    readers: int,
    piece: float = 1.0,
) -> Iterator[tuple[T, Seen | CustomAIError]]:
    """(item, what was found or what is wrong with it), in the order of ``items``.

    ``items`` is iterated in the caller's thread, ``read`` is called by ``readers`` threads. A CustomAIError that it
    raises belongs to that item; any other error, and those of ``items``, end the stream. Whoever stops early calls
    ``close()``: what is under way is then dropped. ``piece``: see ``serving.pieces``.
    """
    source = iter(items)
    prepare = ThreadPoolExecutor(readers, thread_name_prefix="read")
    predict = ThreadPoolExecutor(network.slots, thread_name_prefix="predict")
    line = _Line(network, prepare, predict, read, decode, image_size, batch, piece)
    try:
        for item in source:
            line.add(item)
            while line.is_full():
                yield line.take()
        while line.waiting:
            yield line.take()
    finally:
        # Whoever ends early does not wait for a picture that is being read from afar.
        prepare.shutdown(wait=False, cancel_futures=True)
        predict.shutdown(wait=False, cancel_futures=True)


class _Line(Generic[T]):
    """The pictures under way, oldest first."""

    def __init__(
        self,
        network: Network,
        prepare: ThreadPoolExecutor,
        predict: ThreadPoolExecutor,
        read: Callable[[T], Picture],
        decode: Decode,
        image_size: int,
        batch: int,
        piece: float,
    ) -> None:
        self.waiting: deque[_Slot[T]] = deque()
        self._reading: deque[_Slot[T]] = deque()
        self._groups: dict[tuple[int, ...], list[tuple[_Part, Input]]] = {}
        self._network, self._prepare, self._predict = network, prepare, predict
        self._read, self._decode = read, decode
        self._image_size, self._batch, self._piece = image_size, batch, piece
        self._most = max(AHEAD * batch // len(pieces(_USUAL, piece)), 2)

    def add(self, item: T) -> None:
        """Begin to read one more, and form batches of those that have been read."""
        slot = _Slot(item, self._prepare.submit(self._inputs, item))
        self.waiting.append(slot)
        self._reading.append(slot)
        while self._reading and (first := self._reading[0].read) is not None and first.done():
            self._place(self._reading.popleft())

    def is_full(self) -> bool:
        return len(self.waiting) >= self._most

    def take(self) -> tuple[T, Seen | CustomAIError]:
        """The oldest one, for which everything before it is waited for."""
        slot = self.waiting[0]
        while not slot.parts and slot.error is None:
            self._place(self._reading.popleft())
        while self._reading and any(part.batch is None for part in slot.parts):
            self._place(self._reading.popleft())
        for part in slot.parts:
            if part.batch is None:
                self._run(part.shape)
        self.waiting.popleft()
        if slot.error is not None:
            return slot.item, slot.error
        assert slot.size is not None and slot.seen_size is not None
        found = [(part.piece, part.batch.result()[part.number]) for part in slot.parts if part.batch]
        return slot.item, Seen(slot.size, put_together(found, slot.seen_size, self._piece))

    def _inputs(self, item: T) -> Read:
        try:
            picture = self._read(item)
        except CustomAIError as error:
            return error
        height, width = picture.pixels.shape[:2]
        return cut(picture.pixels, self._image_size, self._piece), ImageSize(width, height), picture.size

    def _place(self, slot: _Slot[T]) -> None:
        """Put the parts of one that has been read (or is waited for) with others of their shapes; run full batches."""
        assert slot.read is not None
        got, slot.read = slot.read.result(), None
        if isinstance(got, CustomAIError):
            slot.error = got
            return
        inputs, slot.seen_size, slot.size = got
        for one in inputs:
            part = _Part(one.piece, one.pixels.shape)
            slot.parts.append(part)
            group = self._groups.setdefault(part.shape, [])
            group.append((part, one))
            if len(group) == self._batch:
                self._run(part.shape)

    def _run(self, shape: tuple[int, ...]) -> None:
        parts, inputs = zip(*self._groups.pop(shape), strict=True)
        batch = self._predict.submit(self._predicted, inputs)
        for number, part in enumerate(parts):
            part.batch, part.number = batch, number

    def _predicted(self, inputs: Sequence[Input]) -> list[tuple[Box, ...]]:
        outputs = self._network.run(np.stack([one.pixels for one in inputs]))
        return [self._decode(raw, one.place) for one, *raw in zip(inputs, *outputs, strict=True)]
