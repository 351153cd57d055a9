"""YOLO: a text file per picture with a line per shape, in fractions of the picture; classes by number.

Five values are an upright box (centre, width, height), nine and more the corners of an outline: four of a rotated box
(YOLO-OBB), three or more of a polygon (YOLO-seg). One value more at the end is a model's confidence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from custom_ai.errors import N_, BadInput, ImageError
from custom_ai.formats.common import NO_NUMBERS, NO_PICTURE, DataSet, Names, Reading, class_numbers, labelled, stem_of
from custom_ai.formats.source import TOO_LARGE, Source, pictures_in
from custom_ai.training.yolo_labels import label_line
from custom_ai.types import Box, ImageSize, LabelKind

IMAGES = "images"
NO_CLASS = N_("there is no class of this number")
KEYPOINTS = N_("its labels are key points, which are not supported; boxes, rotated boxes and polygons are")
NO_NAMES = N_("it has YOLO labels, but no names of classes: add data.yaml or classes.txt, or name them by --classes")
BAD_YAML = N_("it cannot be read; expected `names:` with a list of classes")
YAML_BYTES = 1_000_000
_UNSIZED = ImageSize(1, 1)
"""Only rotated boxes are written in dependence of the size."""


def files_of(source: Source) -> dict[str, str]:
    """The label file of each picture that has one."""
    texts = [name for name in source.names() if name.lower().endswith(".txt")]
    there, by_end = set(texts), Names(texts)
    found = {}
    for picture in pictures_in(source):
        stem = stem_of(picture)
        parts = stem.split("/")
        places = [number for number, part in enumerate(parts[:-1]) if part.lower() == "images"]
        swapped = ["/".join([*parts[:at], "labels", *parts[at + 1 :]]) + ".txt" for at in reversed(places)]
        exact = next((one for one in [*swapped, f"{stem}.txt"] if one in there), None)
        file = exact or by_end.find(f"{parts[-1]}.txt", picture)
        if file is not None:
            found[picture] = file
    return found


def read(source: Source, kind: LabelKind, classes: Sequence[str] = ()) -> DataSet:
    """All label files, with the names of the classes from data.yaml or classes.txt unless they are given.

    Raises BadInput when there are none.
    """
    files = files_of(source)
    names = tuple(classes) or _classes(source)
    reading = Reading(kind)
    items = []
    for picture, file in files.items():

        def size(picture: str = picture) -> ImageSize:
            found = source.picture(picture)
            return ImageSize(found.width, found.height)

        shapes: list[Box] = []
        lines = source.content(file).decode("utf-8-sig", "replace").splitlines()
        told = [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()]
        try:
            for number, values in told:
                shapes += _shapes(reading, values, names, size, f"{file}: {number}")
        except ImageError:  # whoever takes the picture itself finds out, and tells
            continue
        items.append(reading.settled(picture, None, shapes, len(told)))
    for text in _orphans(source, set(files.values())):
        reading.leave_out(text, NO_PICTURE)
    return DataSet(names, tuple(items), kind, tuple(reading.left_out), reading.notes)


def _orphans(source: Source, used: set[str]) -> Iterator[str]:
    """Label files without a picture; other texts, such as lists of files, begin otherwise."""
    for name in source.names():
        if name.lower().endswith(".txt") and name not in used:
            first = source.content(name)[:4096].splitlines()[:1]
            values = first[0].split() if first else []
            if len(values) >= 5 and all(_number(one.decode("ascii", "replace")) is not None for one in values):
                yield name


def _shapes(reading: Reading, values: list[str], names: Sequence[str], size: Any, where: str) -> list[Box]:
    numbers = [one for one in map(_number, values) if one is not None]
    if len(numbers) < len(values) or len(numbers) < 5:
        reading.leave_out(where, NO_NUMBERS)
        return []
    if numbers[0] != int(numbers[0]) or not 0 <= numbers[0] < len(names):
        reading.leave_out(where, NO_CLASS)
        return []
    label, score = names[int(numbers[0])], None
    if not label:
        reading.leave_out(where, NO_CLASS)
        return []
    if len(numbers) % 2 == 0:
        score = numbers.pop()
    if len(numbers) == 5:
        x, y, width, height = numbers[1:]
        return reading.box(where, label, x - width / 2, y - height / 2, x + width / 2, y + height / 2, score)
    outline = tuple(zip(numbers[1::2], numbers[2::2], strict=True))
    return reading.outlines(where, label, [outline], size, score)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e9 else None


def _classes(source: Source) -> tuple[str, ...]:
    for name in sorted(source.names(), key=lambda one: (one.count("/"), one)):
        if name.lower().endswith((".yaml", ".yml")):
            found = _names_in(source.content(name), name)
            if found:
                return found
    for name in sorted(source.names(), key=lambda one: (one.count("/"), one)):
        last = name.rpartition("/")[2].lower()
        if last in ("classes.txt", "labels.txt", "predefined_classes.txt") or last.endswith(".names"):
            lines = source.content(name).decode("utf-8-sig", "replace").splitlines()
            return tuple(line.strip() for line in lines if line.strip())
    raise BadInput(what=N_("this data set"), why=NO_NAMES)


def _names_in(data: bytes, file: str) -> tuple[str, ...]:
    import yaml

    if len(data) > YAML_BYTES:
        raise BadInput(what=file, why=TOO_LARGE)
    try:
        content = yaml.safe_load(data)
    except (yaml.YAMLError, RecursionError) as error:
        raise BadInput(what=file, why=BAD_YAML) from error
    if not isinstance(content, dict) or "names" not in content:
        return ()
    if content.get("kpt_shape"):
        raise BadInput(what=file, why=KEYPOINTS)
    names = content["names"]
    if isinstance(names, dict) and all(str(key).isdigit() for key in names):
        by_number = {int(key): value for key, value in names.items()}
        if by_number and max(by_number) < 100_000:
            names = [by_number.get(number, "") for number in range(max(by_number) + 1)]
    # Anything else may be nested a million times over by YAML's references.
    if isinstance(names, list) and all(isinstance(one, str | int | float) for one in names):
        return tuple(str(one) for one in names)
    raise BadInput(what=file, why=BAD_YAML)


def files(dataset: DataSet) -> Iterator[tuple[str, bytes]]:
    """data.yaml and a label file per item, to stand beside the folder ``IMAGES``. Rotated boxes need sizes."""
    numbers = class_numbers(dataset)
    # JSON is YAML as well, so class names with quotes, colons or line breaks need no further care. Without `path`
    # the folders are looked for beside the file.
    content = {"train": IMAGES, "val": IMAGES, "names": [*dataset.classes]}
    yield "data.yaml", (json.dumps(content, ensure_ascii=False) + "\n").encode()
    for item, shapes in labelled(dataset):
        lines = [label_line(numbers[box.label], box, item.size or _UNSIZED, dataset.kind) for box in shapes]
        yield f"labels/{stem_of(item.name)}.txt", "".join(lines).encode()
