"""Many pictures through one network: reading, letterboxing and predicting at the same time, in flat memory.

Pictures are read by a few threads, put into batches of one shape, run by as many threads as the network takes, and
handed out in the order in which they came. A decoded picture is dropped as soon as it is letterboxed, and at most
``AHEAD`` batches are under way, however slowly the results are taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from custom_ai.errors import CustomAIError
from custom_ai.serving.decode import Letterbox, letterbox
from custom_ai.serving.networks import Network
from custom_ai.types import Box, ImageSize

Pixels = NDArray[np.uint8]
T = TypeVar("T")
AHEAD = 6
"""Batches that are read, run or not yet taken. Pictures of different shapes wait for others of theirs."""


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


Read = tuple[Pixels, Letterbox, ImageSize] | CustomAIError


@dataclass(slots=True, eq=False)
class _Slot(Generic[T]):
    """One picture on its way."""

    item: T
    read: Future[Read] | None
    """None when it has been read: it holds the pixels."""
    size: ImageSize | None = None
    shape: tuple[int, ...] = ()
    """Of the network's input, by which batches are formed."""
    error: CustomAIError | None = None
    batch: Future[list[tuple[Box, ...]]] | None = None
    """What was found in its batch, in which it has the ``number``."""
    number: int = 0


def stream(
    network: Network,
    items: Iterable[T],
    read: Callable[[T], Picture],
    decode: Decode,
    image_size: int,
    *,
    batch: int,
    readers: int,
) -> Iterator[tuple[T, Seen | CustomAIError]]:
    """(item, what was found or what is wrong with it), in the order of ``items``.

    ``items`` is iterated in the caller's thread, ``read`` is called by ``readers`` threads. A CustomAIError that it
    raises belongs to that item; any other error, and those of ``items``, end the stream. Whoever stops early calls
    ``close()``: what is under way is then dropped.
    """
    source = iter(items)
    prepare = ThreadPoolExecutor(readers, thread_name_prefix="read")
    predict = ThreadPoolExecutor(network.slots, thread_name_prefix="predict")
    line = _Line(network, prepare, predict, read, decode, image_size, batch)
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
    ) -> None:
        self.waiting: deque[_Slot[T]] = deque()
        self._reading: deque[_Slot[T]] = deque()
        self._groups: dict[tuple[int, ...], list[tuple[_Slot[T], Pixels, Letterbox]]] = {}
        self._network, self._prepare, self._predict = network, prepare, predict
        self._read, self._decode = read, decode
        self._image_size, self._batch = image_size, batch

    def add(self, item: T) -> None:
        """Begin to read one more, and form batches of those that have been read."""
        slot = _Slot(item, self._prepare.submit(self._letterboxed, item))
        self.waiting.append(slot)
        self._reading.append(slot)
        while self._reading and (first := self._reading[0].read) is not None and first.done():
            self._place(self._reading.popleft())

    def is_full(self) -> bool:
        return len(self.waiting) >= AHEAD * self._batch

    def take(self) -> tuple[T, Seen | CustomAIError]:
        """The oldest one, for which everything before it is waited for."""
        slot = self.waiting[0]
        while slot.batch is None and slot.error is None and self._reading:
            self._place(self._reading.popleft())
        if slot.batch is None and slot.error is None:
            self._run(slot.shape)
        self.waiting.popleft()
        if slot.error is not None:
            return slot.item, slot.error
        assert slot.batch is not None and slot.size is not None
        return slot.item, Seen(slot.size, slot.batch.result()[slot.number])

    def _letterboxed(self, item: T) -> Read:
        try:
            picture = self._read(item)
        except CustomAIError as error:
            return error
        return *letterbox(picture.pixels, self._image_size), picture.size

    def _place(self, slot: _Slot[T]) -> None:
        """Put one that has been read (or is waited for) with others of its shape, and run a full batch."""
        assert slot.read is not None
        got, slot.read = slot.read.result(), None
        if isinstance(got, CustomAIError):
            slot.error = got
            return
        pixels, place, slot.size = got
        slot.shape = pixels.shape
        group = self._groups.setdefault(slot.shape, [])
        group.append((slot, pixels, place))
        if len(group) == self._batch:
            self._run(slot.shape)

    def _run(self, shape: tuple[int, ...]) -> None:
        slots, pixels, places = zip(*self._groups.pop(shape), strict=True)
        batch = self._predict.submit(self._predicted, pixels, places)
        for number, slot in enumerate(slots):
            slot.batch, slot.number = batch, number

    def _predicted(self, pixels: Sequence[Pixels], places: Sequence[Letterbox]) -> list[tuple[Box, ...]]:
        outputs = self._network.run(np.stack(pixels))
        return [self._decode(raw, place) for place, *raw in zip(places, *outputs, strict=True)]
