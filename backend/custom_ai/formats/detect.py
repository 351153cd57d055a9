"""Which format a source is in, and all of it as one data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from custom_ai.errors import N_, BadInput
from custom_ai.formats import coco, voc, yolo
from custom_ai.formats.common import DataSet, Format, Item
from custom_ai.formats.source import Source, pictures_in
from custom_ai.types import LabelKind

SEVERAL = N_("it has labels in several formats; say by --format coco, yolo or voc which of them count")
NONE = N_("it has no labels in this format")


def found_formats(source: Source) -> list[Format]:
    """The formats of which there are label files."""
    has = {
        Format.COCO: bool(coco.files_of(source)),
        Format.VOC: bool(voc.files_of(source)),
        Format.YOLO: bool(yolo.files_of(source)),
    }
    return [one for one, there in has.items() if there]


def read(source: Source, kind: LabelKind, wanted: Format | None = None, classes: Sequence[str] = ()) -> DataSet:
    """Every picture of the source, with its labels when it has some. ``wanted``: only labels of this format count.

    ``classes`` are for YOLO labels without names. Raises BadInput when it is unclear which labels count, or they
    cannot be read at all.
    """
    found = found_formats(source) if wanted is not Format.IMAGES else []
    if wanted is None and len(found) > 1:
        raise BadInput(what=N_("this data set"), why=SEVERAL)
    if wanted not in (None, Format.IMAGES) and wanted not in found:
        raise BadInput(what=f"--format {wanted}", why=NONE)
    which = wanted or (found[0] if found else Format.IMAGES)
    if which is Format.COCO:
        data = coco.read(source, kind)
    elif which is Format.YOLO:
        data = yolo.read(source, kind, classes)
    elif which is Format.VOC:
        data = voc.read(source, kind)
    else:
        data = DataSet((), (), kind)
    known = {item.name: item for item in data.items}
    items = tuple(known.get(name) or Item(name, None, None) for name in pictures_in(source))
    return DataSet(data.classes, items, kind, (*source.refused(), *data.left_out), data.notes)


def files(data: DataSet, format: Format) -> Iterator[tuple[str, bytes]]:
    """The label files of a data set in a format: (path, content)."""
    if format is Format.COCO:
        return coco.files(data)
    if format is Format.YOLO:
        return yolo.files(data)
    if format is Format.VOC:
        return voc.files(data)
    raise BadInput(what=f"format = {format.value!r}", why=N_("expected coco, yolo or voc"))


def picture_folder(format: Format) -> str:
    """Where the pictures stand beside the label files."""
    return voc.IMAGES if format is Format.VOC else coco.IMAGES


def needs_sizes(format: Format, kind: LabelKind) -> bool:
    """Whether writing needs to know how large the pictures are."""
    return format is not Format.YOLO or kind is LabelKind.ROTATED_BOX
