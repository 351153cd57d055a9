"""Keeps the models that are in use in memory, and only those."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class ModelCache(Generic[T]):
    """At most ``capacity`` models by their sha256; the least recently used one goes first.

    ``loader`` is called once per missing model, however many threads ask for it at the same time, and
    without holding up threads that ask for another one. A model that was dropped lives on for those who
    still hold it. A failed load is raised to all who waited and is tried again by the next.
    """

    def __init__(self, capacity: int, loader: Callable[[str], T]) -> None:
        if capacity < 1:
            raise ValueError(f"expected a capacity of at least 1, got {capacity}")
        self._capacity, self._loader = capacity, loader
        self._lock = threading.Lock()
        self._models: OrderedDict[str, Future[T]] = OrderedDict()

    def get(self, sha256: str) -> T:
        """The model with this hash; raises what the loader raises."""
        with self._lock:
            future = self._models.get(sha256)
            mine = future is None
            if future is None:
                future = self._models[sha256] = Future()
            self._models.move_to_end(sha256)
            while len(self._models) > self._capacity:
                self._models.popitem(last=False)
        if mine:
            try:
                future.set_result(self._loader(sha256))
            except BaseException as error:
                with self._lock:
                    if self._models.get(sha256) is future:
                        del self._models[sha256]
                future.set_exception(error)
                raise
        return future.result()

    def drop(self, sha256: str) -> None:
        """Forget one model, e.g. because it was deleted."""
        with self._lock:
            self._models.pop(sha256, None)
