"""Where pictures and label files come from: a folder, or a ZIP that anybody may have made."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from custom_ai.archive import SYSTEM_FILE, Archive, Entry, Limits, Picture, is_system_file, picture_of
from custom_ai.errors import N_, BadInput, ImageError
from custom_ai.formats.common import LeftOut

TEXT_BYTES = 600_000_000
"""Of one label file; COCO's own have 450 million."""
TEXTS = (".json", ".xml", ".txt", ".yaml", ".yml", ".names", ".data", ".csv", ".md", ".html")
"""Endings of files that are no pictures."""
NOT_THERE = N_("there is no such folder or file")
TOO_LARGE = N_("this label file is too large; split it")
TWICE = N_("there is another file of this name in the archive")


class Source(Protocol):
    """Files by their paths, with "/" between folders."""

    def names(self) -> Sequence[str]:
        """All files that may be looked into, in order."""

    def refused(self) -> Sequence[LeftOut]:
        """Files that may not."""

    def content(self, name: str) -> bytes:
        """A label file. Raises BadInput when it is too large or damaged."""

    def picture(self, name: str) -> Picture:
        """An image. Raises ImageError when it is none, or none that can be used."""


def pictures_in(source: Source) -> list[str]:
    """The files that may be images: all but label files."""
    return [name for name in source.names() if not name.lower().endswith(TEXTS)]


@contextmanager
def opened(path: Path, limits: Limits) -> Iterator[Source]:
    """A folder or a ZIP. Raises BadInput."""
    if path.is_dir():
        yield _Folder(path, limits)
    elif path.is_file():
        with Archive(path, limits) as archive:
            yield _Zip(archive)
    else:
        raise BadInput(what=str(path), why=NOT_THERE)


class _Folder:
    def __init__(self, path: Path, limits: Limits) -> None:
        self._limits = limits
        self._files: dict[str, Path] = {}
        for folder, below, files in os.walk(path):
            below[:] = sorted(one for one in below if not is_system_file(one))
            for file in sorted(files):
                found = Path(folder) / file
                name = unicodedata.normalize("NFC", found.relative_to(path).as_posix())
                if not is_system_file(file) and found.is_file():
                    self._files[name] = found

    def names(self) -> Sequence[str]:
        return list(self._files)

    def refused(self) -> Sequence[LeftOut]:
        return ()

    def content(self, name: str) -> bytes:
        return self._read(name, TEXT_BYTES)

    def picture(self, name: str) -> Picture:
        try:
            data = self._read(name, self._limits.image_bytes)
        except BadInput as error:
            raise ImageError(image=name, why=error.params["why"]) from error
        return picture_of(name, data, self._limits)

    def _read(self, name: str, most: int) -> bytes:
        try:
            with self._files[name].open("rb") as file:
                data = file.read(most + 1)
        except OSError as error:
            raise BadInput(what=name, why=error.strerror or str(error)) from error
        if len(data) > most and most == TEXT_BYTES:
            raise BadInput(what=name, why=TOO_LARGE)
        return data


class _Zip:
    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._entries: dict[str, Entry] = {}
        self._refused: list[LeftOut] = []
        for entry in archive.entries():
            if entry.why == SYSTEM_FILE:
                continue
            if entry.why is not None or entry.name in self._entries:
                self._refused.append(LeftOut(entry.name, entry.why or TWICE))
            else:
                self._entries[entry.name] = entry

    def names(self) -> Sequence[str]:
        return list(self._entries)

    def refused(self) -> Sequence[LeftOut]:
        return self._refused

    def content(self, name: str) -> bytes:
        try:
            return self._archive.content(self._entries[name], TEXT_BYTES)
        except ImageError as error:
            raise BadInput(what=name, why=error.params["why"]) from error

    def picture(self, name: str) -> Picture:
        return self._archive.read(self._entries[name])
