"""Takes metadata out of image files without touching their pixels.

What stays is what is needed to show the image: pixels, palette, transparency, colour profile. Everything else goes, by
a list of what may stay, so that what nobody has thought of goes too: EXIF with position, time and camera, thumbnails
(which show the face that was hidden in the image), XMP, IPTC, comments, texts, depth maps, and whatever phones append
behind the end of the image. Sources: JPEG, ITU-T T.81 annex B; PNG, W3C Recommendation chapter 11; WebP, RFC 9649.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

_JPEG_TABLES = {0xDB, 0xC4, 0xDD, 0xDA, *range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)}
"""DQT, DHT, DRI, SOS and the frame headers."""
_PNG_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"cICP"}
_WEBP_CHUNKS = {b"VP8X", b"ICCP", b"ALPH", b"VP8 ", b"VP8L"}
_PNG_START = b"\x89PNG\r\n\x1a\n"
_WEBP_FLAGS = 0x30
"""Of VP8X: profile and alpha may stay; EXIF, XMP and animation may not."""


class Damaged(ValueError):
    """The file is not built as its format says. Its pixels may be readable all the same."""


def strip(data: bytes) -> bytes | None:
    """The same image without metadata, bit by bit; None for formats of which the pixels must be written anew.

    Raises Damaged.
    """
    for start, way in _WAYS:
        if data.startswith(start) and (start != b"RIFF" or data[8:12] == b"WEBP"):
            try:
                return way(data)
            except (struct.error, IndexError) as error:
                raise Damaged("it ends too early") from error
    return None


def _jpeg(data: bytes) -> bytes:
    kept = [b"\xff\xd8"]
    at = 2
    while True:
        if data[at] != 0xFF:
            raise Damaged(f"expected a marker at byte {at}")
        marker = data[at + 1]
        if marker == 0xFF:  # markers may be filled up
            at += 1
            continue
        if marker == 0xD9:
            return b"".join([*kept, b"\xff\xd9"])
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        segment = data[at : at + 2 + length]
        if length < 2 or len(segment) < 2 + length:
            raise Damaged(f"a segment at byte {at} is too long")
        at += 2 + length
        kept.append(_jpeg_segment(marker, segment))
        if marker == 0xDA:
            end = _end_of_scan(data, at)
            kept.append(data[at:end])
            at = end


def _jpeg_segment(marker: int, segment: bytes) -> bytes:
    """The segment as far as it may stay."""
    body = segment[4:]
    if marker in _JPEG_TABLES:
        return segment
    if marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= 12:  # density and thumbnail are left behind
        return b"\xff\xe0\x00\x10" + body[:7] + b"\x00\x00\x01\x00\x01\x00\x00"
    if marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
        return segment
    if marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:  # says how colours are stored
        return b"\xff\xee\x00\x0e" + body[:12]
    return b""


def _end_of_scan(data: bytes, at: int) -> int:
    """Where the next marker that is none of the scan's own begins."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0:
            raise Damaged("the end of the image is missing")
        if data[at + 1] == 0 or 0xD0 <= data[at + 1] <= 0xD7:
            at += 2
        elif data[at + 1] == 0xFF:
            at += 1
        else:
            return at


def _png(data: bytes) -> bytes:
    kept = [_PNG_START]
    for name, chunk in _png_chunks(data):
        if name == b"acTL":
            raise Damaged("it is an animation")
        if name in _PNG_CHUNKS:
            kept.append(chunk)
        if name == b"IEND":
            return b"".join(kept)
    raise Damaged("the end of the image is missing")


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG_START)
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        chunk = data[at : at + 12 + length]
        if len(chunk) < 12 + length:
            raise Damaged(f"the chunk {name!r} is too long")
        yield name, chunk
        at += 12 + length


def is_lossless_webp(data: bytes) -> bool:
    """Whether the pixels of a WebP file are stored without loss. Raises Damaged."""
    return any(name == b"VP8L" for name, _ in _webp_chunks(data))


def _webp(data: bytes) -> bytes:
    kept = []
    for name, chunk in _webp_chunks(data):
        if name in (b"ANIM", b"ANMF"):
            raise Damaged("it is an animation")
        if name == b"VP8X":
            chunk = chunk[:8] + bytes([chunk[8] & _WEBP_FLAGS]) + chunk[9:]
        if name in _WEBP_CHUNKS:
            kept.append(chunk)
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    (size,) = struct.unpack_from("<I", data, 4)
    at, end = 12, min(8 + size, len(data))
    while at + 8 <= end:
        name, length = struct.unpack_from("<4sI", data, at)
        chunk = data[at : at + 8 + length + length % 2]
        if len(chunk) < 8 + length:
            raise Damaged(f"the chunk {name!r} is too long")
        yield name, chunk
        at += 8 + length + length % 2


_WAYS: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = ((b"\xff\xd8", _jpeg), (_PNG_START, _png), (b"RIFF", _webp))
