"""Names in ZIP archives: in whatever encoding they were written, for people to read. Pure."""

from __future__ import annotations

import re
import struct
import unicodedata
import zipfile
import zlib

UTF8 = 0x800
"""The flag of an entry whose name is UTF-8."""
NAME_CHARS = 300


def path_of(info: zipfile.ZipInfo) -> str:
    """The path as its maker meant it. Windows writes Korean names in the system's encoding and does not say so."""
    if info.flag_bits & UTF8:
        name = info.orig_filename
    else:
        raw = info.orig_filename.encode("cp437")  # zipfile's own reading, undone; it loses nothing
        name = _unicode_path(info.extra, raw) or _decoded(raw)
    return name.replace("\\", "/")


def _decoded(raw: bytes) -> str:
    for encoding in ("utf-8", "cp949"):
        try:
            name = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8" or _plausible_korean(name):
            return name
    return raw.decode("cp437")


def _plausible_korean(name: str) -> bool:
    """Most of its foreign characters are among the common ones: bytes of Western names rarely hit those."""
    foreign = [char for char in name if ord(char) > 127]
    common = sum(len(char.encode("euc_kr", "ignore")) == 2 for char in foreign)  # rare syllables take eight bytes
    return 2 * common > len(foreign)


def _unicode_path(extra: bytes, raw: bytes) -> str:
    """The name in Info-ZIP's extra field 0x7075, when it belongs to this ``raw`` name."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        field = extra[4 : 4 + length]
        if kind == 0x7075 and len(field) > 5 and struct.unpack_from("<I", field, 1)[0] == zlib.crc32(raw):
            return field[5:].decode("utf-8", "ignore")
        extra = extra[4 + length :]
    return ""


def readable(path: str) -> str:
    """A path for people: composed letters, no drive, no control characters; only its end if it climbs."""
    path = unicodedata.normalize("NFC", path)
    path = "".join("_" if unicodedata.category(char).startswith("C") else char for char in path)
    parts = [part for part in re.sub(r"^[A-Za-z]:", "", path).split("/") if part not in ("", ".")]
    if ".." in parts:
        parts = [part for part in parts[-1:] if part != ".."]
    return "/".join(parts)[-NAME_CHARS:] or "?"
