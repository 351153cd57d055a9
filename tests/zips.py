"""Archives for tests, well-behaved and evil ones."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

Member = tuple[str | zipfile.ZipInfo, bytes]


def picture(number: int = 0, kind: str = "JPEG", size: tuple[int, int] = (48, 32)) -> bytes:
    """An image that differs from those with other numbers."""
    buffer = io.BytesIO()
    image = Image.new("RGB", size, (number * 37 % 256, number * 11 % 256, number % 256))
    image.putpixel((number % size[0], number // size[0] % size[1]), (255, 255, 255))
    image.save(buffer, kind)
    return buffer.getvalue()


def make_zip(path: Path, members: Iterable[Member], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def with_raw_name(path: Path, placeholder: str, raw: bytes) -> Path:
    """Replace an ASCII name by bytes of the same length, as a system writes them that does not use UTF-8."""
    assert len(placeholder) == len(raw)
    data = path.read_bytes()
    assert data.count(placeholder.encode()) == 2  # before the content, and in the table
    path.write_bytes(data.replace(placeholder.encode(), raw))
    return path


def with_table_field(path: Path, offset: int, value: bytes) -> Path:
    """Overwrite a field of the first entry in the table of contents, e.g. 24 for its size."""
    data = bytearray(path.read_bytes())
    start = data.index(b"PK\x01\x02") + offset
    data[start : start + len(value)] = value
    path.write_bytes(data)
    return path
