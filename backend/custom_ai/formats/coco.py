"""COCO: one JSON file with images, categories and annotations, coordinates in pixels.

COCO has no rotated boxes: they are written as segmentations with four corners, with the upright box around as
`bbox`, and read so again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from custom_ai.errors import N_, BadInput
from custom_ai.formats.common import (
    CROWDS,
    NO_NUMBERS,
    NO_PICTURE,
    UNREADABLE,
    DataSet,
    Item,
    Names,
    Reading,
    class_numbers,
    labelled,
    numbers_in,
    pixels,
)
from custom_ai.formats.source import Source, pictures_in
from custom_ai.types import Box, ImageSize, LabelKind

IMAGES = "images"
FILE = "annotations.json"
DIGITS = 3
"""A thousandth of a pixel."""
ROTATED = "Rotated boxes are written as segmentations with four corners; bbox is the upright box around each."
NO_CATEGORY = N_("its category is not among the file's categories")
NO_SIZE = N_("the file does not tell its width and height, without which its labels cannot be read")
MASK = N_("it is drawn as a mask (RLE), of which no outline is made; convert it to polygons")


def files_of(source: Source) -> list[str]:
    """The COCO files of a source."""
    found = [name for name in source.names() if name.lower().endswith(".json")]
    return [name for name in found if all(key in source.content(name) for key in (b'"images"', b'"annotations"'))]


def read(source: Source, kind: LabelKind) -> DataSet:
    """All COCO files together, their classes by name. Raises BadInput for a file that is no COCO."""
    reading, names = Reading(kind), Names(pictures_in(source))
    classes: dict[str, None] = {}
    sizes: dict[str, ImageSize | None] = {}
    found: dict[str, list[Box]] = {}
    told: dict[str, int] = {}
    for file in files_of(source):
        content = _parsed(source.content(file), file)
        categories = _rows(content, "categories")
        labels = {str(one.get("id")): str(one.get("name") or "") for one in categories}
        classes |= dict.fromkeys(label for label in labels.values() if label)
        of_image: dict[str, str] = {}
        for image in _rows(content, "images"):
            said = str(image.get("file_name") or "")
            name = names.find(said, file) if said else None
            if name is None:
                reading.leave_out(said or f"{file}: image {image.get('id')}", NO_PICTURE)
                continue
            size = _size(image)
            if size is None:
                reading.leave_out(name, NO_SIZE)
            of_image[str(image.get("id"))] = name
            sizes[name] = size
            found.setdefault(name, [])
            told.setdefault(name, 0 if size else 1)
        for one in _rows(content, "annotations"):
            picture = of_image.get(str(one.get("image_id")))
            size = sizes.get(picture) if picture is not None else None
            if picture is None or size is None:
                continue  # told already
            told[picture] += 1
            found[picture] += _shapes(reading, one, labels, size, f"{file}: annotation {one.get('id')}")
    items = tuple(reading.settled(name, sizes[name], found[name], told[name]) for name in found)
    return DataSet(tuple(classes), items, kind, tuple(reading.left_out), reading.notes)


def _parsed(data: bytes, file: str) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadInput(what=file, why=UNREADABLE) from error
    if not isinstance(content, dict):
        raise BadInput(what=file, why=N_("expected a JSON object with images, annotations and categories"))
    return content


def _rows(content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    rows = content.get(key)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _size(image: dict[str, Any]) -> ImageSize | None:
    numbers = numbers_in([image.get("width"), image.get("height")])
    return ImageSize(int(numbers[0]), int(numbers[1])) if numbers and min(numbers) >= 1 else None


def _shapes(reading: Reading, one: dict[str, Any], labels: dict[str, str], size: ImageSize, where: str) -> list[Box]:
    label = labels.get(str(one.get("category_id")))
    if not label:
        reading.leave_out(where, NO_CATEGORY)
        return []
    if one.get("iscrowd"):
        reading.notes[CROWDS] += 1
        return []
    segmentation, bbox, score = one.get("segmentation"), numbers_in(one.get("bbox")), one.get("score")
    if reading.kind is not LabelKind.BOX or not bbox:
        if isinstance(segmentation, dict) and segmentation:
            reading.leave_out(where, MASK)
            return []
        if segmentation:
            parts = segmentation if isinstance(segmentation, list) else []
            lists = [numbers_in(part) for part in (parts if parts and isinstance(parts[0], list) else [parts])]
            if not all(part and len(part) >= 6 and len(part) % 2 == 0 for part in lists):
                reading.leave_out(where, NO_NUMBERS)
                return []
            outlines = [
                tuple((x / size.width, y / size.height) for x, y in zip(part[::2], part[1::2], strict=True))
                for part in lists
                if part
            ]
            return reading.outlines(where, label, outlines, lambda: size, score)
    if not bbox or len(bbox) != 4:
        reading.leave_out(where, NO_NUMBERS)
        return []
    x, y, width, height = bbox
    return reading.box(
        where, label, x / size.width, y / size.height, (x + width) / size.width, (y + height) / size.height, score
    )


def files(dataset: DataSet) -> Iterator[tuple[str, bytes]]:
    """The label file, to stand beside the folder ``IMAGES``. Every item needs its size."""
    numbers = class_numbers(dataset)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for place, (item, shapes) in enumerate(labelled(dataset), start=1):
        assert item.size is not None
        number = item.number or place
        size = {"width": item.size.width, "height": item.size.height}
        images.append({"id": number, "file_name": item.name, **size})
        for box in shapes:
            row = {"id": len(annotations) + 1, "image_id": number, "category_id": numbers[box.label] + 1}
            annotations.append(row | _annotation(box, item, item.size))
    info = {"description": "Labels of a Label Studio project, written by Custom AI", "version": "1.0"}
    if dataset.kind is LabelKind.ROTATED_BOX:
        info["description"] += f". {ROTATED}"
    categories = [{"id": number + 1, "name": label, "supercategory": ""} for label, number in numbers.items()]
    content = {
        "info": info, "licenses": [], "categories": categories, "images": images, "annotations": annotations,
    }  # fmt: skip
    yield FILE, json.dumps(content, ensure_ascii=False, indent=1).encode()


def _annotation(box: Box, item: Item, size: ImageSize) -> dict[str, Any]:
    x, y = box.x1 * size.width, box.y1 * size.height
    width, height = box.x2 * size.width - x, box.y2 * size.height - y
    corners = pixels(box, size) if box.outline else ()
    row: dict[str, Any] = {
        "bbox": [round(one, DIGITS) for one in (x, y, width, height)],
        "area": round(_area(corners) if corners else width * height, DIGITS),
        "iscrowd": 0,
        "segmentation": [[round(one, DIGITS) for corner in corners for one in corner]] if corners else [],
    }
    if item.predicted and box.score is not None:
        row["score"] = round(box.score, 4)
    return row


def _area(outline: tuple[tuple[float, float], ...]) -> float:
    turned = (*outline[1:], outline[0])
    return abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(outline, turned, strict=True))) / 2
