"""Pascal VOC: an XML file per picture; pixels are counted from 1, and the last one belongs to the box.

VOC has upright boxes only. Rotated boxes and polygons are written as they are, too, in a `polygon` element beside the
box, in the way in which supervision reads and writes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from custom_ai.errors import N_, ImageError
from custom_ai.formats.common import (
    NO_NUMBERS,
    NO_PICTURE,
    UNREADABLE,
    DataSet,
    Item,
    Names,
    Reading,
    labelled,
    pixels,
    stem_of,
)
from custom_ai.formats.source import Source, pictures_in
from custom_ai.types import Box, ImageSize, LabelKind

IMAGES = "JPEGImages"
NO_LABEL = N_("it has no name")
DIGITS = 3


def files_of(source: Source) -> list[str]:
    """The VOC files of a source."""
    found = [name for name in source.names() if name.lower().endswith(".xml")]
    return [name for name in found if b"<annotation" in source.content(name)[:4096]]


def read(source: Source, kind: LabelKind) -> DataSet:
    """All VOC files; the classes by name, in the order of the alphabet."""
    pictures = pictures_in(source)
    reading, names = Reading(kind), Names(pictures)
    stems = {stem_of(name): name for name in pictures}
    classes: set[str] = set()
    items: dict[str, Item] = {}
    for file in files_of(source):
        root = _parsed(source.content(file))
        if root is None:
            reading.leave_out(file, UNREADABLE)
            continue
        said = (root.findtext("filename") or "").strip()
        picture = (names.find(said, file) if said else None) or _beside(stems, file)
        if picture is None:
            reading.leave_out(said or file, NO_PICTURE)
            continue
        shapes: list[Box] = []
        objects = root.findall("object")
        size = _size(root)
        if size is None and objects:
            try:
                found = source.picture(picture)
            except ImageError:  # whoever takes the picture itself finds out, and tells
                continue
            size = ImageSize(found.width, found.height)
        for number, one in enumerate(objects, start=1):
            assert size is not None
            shapes += _shapes(reading, one, size, f"{file}: object {number}")
        classes |= {box.label for box in shapes}
        items[picture] = reading.settled(picture, size, shapes, len(objects))
    return DataSet(tuple(sorted(classes)), tuple(items.values()), kind, tuple(reading.left_out), reading.notes)


def _beside(stems: dict[str, str], file: str) -> str | None:
    """The picture with the name of the label file: in its folder, else the only one anywhere."""
    if stem_of(file) in stems:
        return stems[stem_of(file)]
    last = stem_of(file).rpartition("/")[2]
    found = [name for stem, name in stems.items() if stem.rpartition("/")[2] == last]
    return found[0] if len(found) == 1 else None


def _parsed(data: bytes) -> ET.Element | None:
    if re.search(rb"<!(DOCTYPE|ENTITY)", data, re.IGNORECASE):  # entity bombs; no label file needs them
        return None
    try:
        return ET.fromstring(data)
    except (ET.ParseError, ValueError, LookupError):
        return None


def _size(root: ET.Element) -> ImageSize | None:
    width, height = _number(root.findtext("size/width")), _number(root.findtext("size/height"))
    return ImageSize(int(width), int(height)) if width and height and width > 0 and height > 0 else None


def _shapes(reading: Reading, one: ET.Element, size: ImageSize, where: str) -> list[Box]:
    label = (one.findtext("name") or "").strip()
    if not label:
        reading.leave_out(where, NO_LABEL)
        return []
    score = _number(one.findtext("confidence"))
    parts = [_outline(polygon, size) for polygon in one.findall("polygon")]
    if reading.kind is not LabelKind.BOX and parts:
        outlines = [part for part in parts if len(part) >= 3]
        if len(outlines) < len(parts):
            reading.leave_out(where, NO_NUMBERS)
            return []
        return reading.outlines(where, label, outlines, lambda: size, score)
    values = [_number(one.findtext(f"bndbox/{name}")) for name in ("xmin", "ymin", "xmax", "ymax")]
    numbers = [value for value in values if value is not None]
    if len(numbers) < 4:
        reading.leave_out(where, NO_NUMBERS)
        return []
    left, right = sorted((numbers[0], numbers[2]))
    top, bottom = sorted((numbers[1], numbers[3]))
    # Many programs count from 0 all the same: their boxes may begin at 0.
    left, top = max(left, 1.0) if left >= 0 else left, max(top, 1.0) if top >= 0 else top
    return reading.box(
        where, label, (left - 1) / size.width, (top - 1) / size.height, right / size.width, bottom / size.height, score
    )


def _outline(polygon: ET.Element, size: ImageSize) -> tuple[tuple[float, float], ...]:
    points = []
    for number in range(1, len(polygon) // 2 + 1):
        x, y = _number(polygon.findtext(f"x{number}")), _number(polygon.findtext(f"y{number}"))
        if x is None or y is None:
            return ()
        points.append(((x - 1) / size.width, (y - 1) / size.height))
    return tuple(points)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < 1e9 else None


def files(dataset: DataSet) -> Iterator[tuple[str, bytes]]:
    """Annotations/NAME.xml per item, to stand beside the folder ``IMAGES``. Every item needs its size."""
    stems = []
    for item, shapes in labelled(dataset):
        assert item.size is not None
        stems.append(stem_of(item.name))
        yield f"Annotations/{stems[-1]}.xml", _annotation(item, item.size, shapes)
    yield "ImageSets/Main/all.txt", "".join(f"{stem}\n" for stem in stems).encode()


def _annotation(item: Item, size: ImageSize, shapes: tuple[Box, ...]) -> bytes:
    root = ET.Element("annotation")
    _add(root, "folder", IMAGES)
    _add(root, "filename", item.name)
    told = ET.SubElement(root, "size")
    for name, value in (("width", size.width), ("height", size.height), ("depth", 3)):
        _add(told, name, value)
    _add(root, "segmented", int(any(box.outline for box in shapes)))
    for box in shapes:
        one = ET.SubElement(root, "object")
        _add(one, "name", box.label)
        for name, fixed in (("pose", "Unspecified"), ("truncated", 0), ("difficult", 0)):
            _add(one, name, fixed)
        left, top = round(box.x1 * size.width) + 1, round(box.y1 * size.height) + 1
        right, bottom = round(box.x2 * size.width), round(box.y2 * size.height)
        around = ET.SubElement(one, "bndbox")
        edges = (("xmin", left), ("ymin", top), ("xmax", max(right, left)), ("ymax", max(bottom, top)))
        for name, value in edges:
            _add(around, name, value)
        if box.outline:
            polygon = ET.SubElement(one, "polygon")
            for number, (x, y) in enumerate(pixels(box, size), start=1):
                _add(polygon, f"x{number}", round(x + 1, DIGITS))
                _add(polygon, f"y{number}", round(y + 1, DIGITS))
        if item.predicted and box.score is not None:
            _add(one, "confidence", round(box.score, 4))
    ET.indent(root)
    content: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _add(parent: ET.Element, name: str, value: object) -> None:
    ET.SubElement(parent, name).text = str(value)
