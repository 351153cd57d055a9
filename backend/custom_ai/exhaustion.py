"""Recognises, in errors of other people's code, that memory or disk space has run out.

Every library says it in its own way: torch with a RuntimeError, numpy with a MemoryError, OpenCV and SQLite
with errors of their own, and torch's file writer forgets why the disk refused.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from custom_ai.errors import CustomAIError, DiskFull, OutOfMemory

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DISK_WORDS = ("no space left", "disk is full", "disk quota exceeded", "file too large")
_WRITER_WORDS = ("pytorchstreamwriter", "file write failed", "unexpected pos")
"""Of torch.save, which tells that it could not write but not why. Nothing else stops it in a folder of ours."""
_MEMORY_WORDS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "insufficient memory",
    "bad_alloc",
    "alloc_failed",
    "could not create a memory object",  # oneDNN, as are these
    "could not create a primitive",
    "could not execute a primitive",
)
LEAST_FREE_BYTES = 200_000_000
"""With less free space no training is begun: four models, their images and the database need about so much."""


def memory(error: BaseException) -> bool:
    """Whether memory (of the machine or of a graphics card) ran out."""
    return any(isinstance(one, MemoryError) or _says(one, _MEMORY_WORDS) for one in _chain(error))


def disk(error: BaseException) -> bool:
    """Whether a disk, a quota or a limit on files is full."""
    return any(
        (isinstance(one, OSError) and one.errno in _DISK) or _says(one, (*_DISK_WORDS, *_WRITER_WORDS))
        for one in _chain(error)
    )


def explain(error: BaseException, folder: Path) -> CustomAIError | None:
    """The error for people, when something has run out; ``folder``: where it was written to."""
    if disk(error):
        return DiskFull(folder=folder)
    if memory(error):
        return OutOfMemory()
    return None


def need_room(folder: Path, least_bytes: int = LEAST_FREE_BYTES) -> None:
    """Raises DiskFull when less than ``least_bytes`` are free where ``folder`` is (it must exist)."""
    if shutil.disk_usage(folder).free < least_bytes:
        raise DiskFull(folder=folder)


def _says(error: BaseException, words: tuple[str, ...]) -> bool:
    if isinstance(error, CustomAIError):  # ours name things by their class, and may quote what people wrote
        return False
    text = str(error).lower()
    return any(word in text for word in words)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those that led to it."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
