"""Images in a ZIP that anybody may have made: read one by one into memory, never unpacked to disk. Pure.

Nothing in an archive is believed: sizes, names and kinds are checked, and what cannot be used is left
out with a reason while the rest goes on.
"""

from __future__ import annotations

import hashlib
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from custom_ai.archive_names import path_of, readable
from custom_ai.errors import N_, BadInput, ImageError
from custom_ai.images import EMPTY, decode_upright

DIRECTORY_BYTES = 16_000_000
"""A longer table of contents is refused before it is read: its entries would fill the memory."""
ENTRIES_PER_IMAGE = 10
"""An archive may hold this many entries for each image that it may bring: label files, folders, copies of a system."""
RATIO_FROM_BYTES = 1_000_000
"""Smaller files are harmless whatever they unpack to."""

THE_ARCHIVE = N_("the archive")
NO_ZIP = N_("it is not a ZIP file, or it is damaged or incomplete; make it again, or upload it again")
TOO_MANY = N_("it has too many files; split it into several archives")
TOO_LARGE = N_("it unpacks to more than CUSTOM_AI_IMPORT_MAX_UNPACKED_BYTES allows; split it into several archives")

SYSTEM_FILE = N_("a hidden file or a file of the operating system")
LINK = N_("it is a link or a device, not a file")
ENCRYPTED = N_("it is encrypted; make the archive without a password")
METHOD = N_("it is compressed in an unusual way; make the archive with the ordinary method (Deflate)")
NESTED = N_("it is an archive in the archive; unpack it first")
TOO_HEAVY = N_("it is larger than CUSTOM_AI_IMAGE_MAX_BYTES allows")
BOMB = N_("it unpacks to many times its size (CUSTOM_AI_IMPORT_MAX_RATIO)")
OVERLAPS = N_("it shares its place in the archive with another file")
BROKEN = N_("it cannot be unpacked: the archive is damaged here")
NO_IMAGE = N_("it is not an image")
OTHER_IMAGE = N_("Label Studio does not show images of this kind; convert it to JPEG, PNG, WebP, GIF or BMP")

_SYSTEM_FILES = {"thumbs.db", "desktop.ini", "__macosx"}
_NESTED = {".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".egg", ".alz"}
_OTHER = {".tif", ".tiff", ".heic", ".heif", ".avif", ".svg", ".jp2", ".psd", ".dng", ".cr2", ".nef", ".arw"}
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""zipfile unpacks the others without a bound: a few bytes of bzip2 fill the memory."""
_CRYPTED, _UNIX, _LOCAL_HEADER = 0x41, 3, 30
_READ_ERRORS = (zipfile.BadZipFile, OSError, EOFError, zlib.error, struct.error, RuntimeError, ValueError)
"""What zipfile raises for damaged archives; RuntimeError (and so NotImplementedError) for what it cannot do."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is believed to be harmless."""

    images: int
    image_bytes: int
    image_pixels: int
    ratio: float
    unpacked_bytes: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in the archive."""

    position: int
    """In the table of contents; the same whenever the archive is opened."""
    name: str
    """Its path in the archive for people, with "/" between folders; never a path on a disk."""
    why: str | None
    """Why it is left out without a look into it."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that was read and can be decoded."""

    name: str
    data: bytes
    extension: str
    """What its content is, such as ".jpg", whatever its name says."""
    sha256: str
    width: int = 0
    """Of the upright image, in pixels."""
    height: int = 0


def picture_of(name: str, data: bytes, limits: Limits) -> Picture:
    """What a file's content is, whatever its name says. Raises ImageError when it is no image that can be used."""
    extension = _extension(data[:32])
    if extension is None:
        why = EMPTY if not data else OTHER_IMAGE if _suffix(name) in _OTHER else NO_IMAGE
        raise ImageError(image=name, why=why)
    if len(data) > limits.image_bytes:
        raise ImageError(image=name, why=TOO_HEAVY)
    size = decode_upright(data, name, limits.image_pixels).size
    return Picture(name, data, extension, hashlib.sha256(data).hexdigest(), *size)


def is_system_file(name: str) -> bool:
    """Whether a path names a hidden file or one of an operating system."""
    return any(part.startswith(".") or part in _SYSTEM_FILES for part in name.lower().split("/"))


class Archive:
    """An opened ZIP. Raises BadInput when it cannot be read at all."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._limits = limits
        try:
            self._file = _Bounded(path)
        except OSError as error:
            raise BadInput(what=THE_ARCHIVE, why=NO_ZIP) from error
        try:
            self._zip = zipfile.ZipFile(self._file)
            self._infos = self._zip.infolist()
            self._entries = self._listed()
        except BaseException as error:
            self._file.close()
            if isinstance(error, _READ_ERRORS):
                raise BadInput(what=THE_ARCHIVE, why=NO_ZIP) from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()
        self._file.close()

    def __len__(self) -> int:
        """How many files there are; folders do not count."""
        return len(self._entries)

    def entries(self) -> Iterator[Entry]:
        """All files in the order of the archive, without its folders."""
        yield from self._entries

    def read(self, entry: Entry) -> Picture:
        """The image of an entry. Raises ImageError when it is none, or none that can be used."""
        if entry.why is not None:
            raise ImageError(image=entry.name, why=entry.why)
        try:
            with self._zip.open(self._infos[entry.position]) as source:
                head = source.read(32)
                extension = _extension(head)
                data = head if extension is None else head + source.read(self._limits.image_bytes + 1 - len(head))
        except _READ_ERRORS as error:
            raise ImageError(image=entry.name, why=BROKEN) from error
        return picture_of(entry.name, data, self._limits)

    def content(self, entry: Entry, most_bytes: int) -> bytes:
        """A file that need not be an image. Raises ImageError when it cannot be had or has more bytes."""
        if entry.why is not None:
            raise ImageError(image=entry.name, why=entry.why)
        try:
            with self._zip.open(self._infos[entry.position]) as source:
                data = source.read(most_bytes + 1)
        except _READ_ERRORS as error:
            raise ImageError(image=entry.name, why=BROKEN) from error
        if len(data) > most_bytes:
            raise ImageError(image=entry.name, why=TOO_HEAVY)
        return data

    def _listed(self) -> list[Entry]:
        if len(self._infos) > self._limits.images * ENTRIES_PER_IMAGE:
            raise BadInput(what=THE_ARCHIVE, why=TOO_MANY)
        overlapping = _overlapping(self._infos)
        entries, unpacked = [], 0
        for position, info in enumerate(self._infos):
            path = path_of(info)
            if path.endswith("/"):
                continue
            name = readable(path)
            why = self._why_not(info, name) or (OVERLAPS if info.header_offset in overlapping else None)
            entries.append(Entry(position, name, why))
            unpacked += 0 if why else info.file_size
        if unpacked > self._limits.unpacked_bytes:
            raise BadInput(what=THE_ARCHIVE, why=TOO_LARGE)
        return entries

    def _why_not(self, info: zipfile.ZipInfo, name: str) -> str | None:
        """What the table of contents is enough to tell. Its sizes bind: zipfile unpacks no more than it says."""
        if is_system_file(name):
            return SYSTEM_FILE
        # The kind of file in a Unix mode; 0 where the archive comes from a system that has none.
        mode = stat.S_IFMT(info.external_attr >> 16) if info.create_system == _UNIX else 0
        if mode not in (0, stat.S_IFREG):
            return LINK
        if info.flag_bits & _CRYPTED:
            return ENCRYPTED
        if _suffix(name) in _NESTED:
            return NESTED
        if info.compress_type not in _METHODS:
            return METHOD
        if info.file_size > max(RATIO_FROM_BYTES, self._limits.ratio * info.compress_size):
            return BOMB
        if info.file_size > self._limits.image_bytes:
            return TOO_HEAVY
        return None


class _Bounded(io.FileIO):
    """A file of which no more is read at once than a table of contents may need.

    zipfile reads the whole table into memory, as long as the archive says that it is.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            here = self.tell()
            size = self.seek(0, io.SEEK_END) - here
            self.seek(here)
        if size > DIRECTORY_BYTES:
            raise BadInput(what=THE_ARCHIVE, why=TOO_MANY)
        return super().read(size) or b""


def _overlapping(infos: Sequence[zipfile.ZipInfo]) -> set[int]:
    """Where files begin that lie over each other: one compressed stream, told to be many files."""
    found = set()
    end, before = -1, -1
    for info in sorted(infos, key=lambda one: one.header_offset):
        if info.header_offset < end:
            found |= {before, info.header_offset}
        length = _LOCAL_HEADER + len(info.orig_filename) + info.compress_size
        if info.header_offset + length > end:
            end, before = info.header_offset + length, info.header_offset
    return found


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()


def _extension(head: bytes) -> str | None:
    """What a file is by its first bytes, among the kinds that Label Studio takes and browsers show."""
    if head.startswith(b"\xff\xd8\xff"):
        return ".jpg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return ".png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return ".gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ".webp"
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return ".bmp"
    return None
