"""What stands between the formats: pictures by name, and the shapes on them in our own terms."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from custom_ai.errors import N_
from custom_ai.shapes import bounds, corners, is_flat, is_rectangle, tidy, within
from custom_ai.types import Box, ImageSize, LabelKind, Outline

OUTSIDE = N_("nothing of this shape lies inside the picture")
NO_NUMBERS = N_("its coordinates are not numbers, or some are missing")
NO_PICTURE = N_("there are labels for this picture, but the picture itself is not there")
ALL_LOST = N_("none of its shapes can be used, so it comes without labels")
UNREADABLE = N_("it cannot be read")
_ROUNDING = 1e-4
"""Overhang in fractions that is the rounding of formats, not somebody's box over the edge."""


class Format(StrEnum):
    COCO = "coco"
    YOLO = "yolo"
    VOC = "voc"
    IMAGES = "images"
    """Pictures without labels."""


@dataclass(frozen=True, slots=True)
class Item:
    """A picture and what is known of it."""

    name: str
    """Its path in the source, or below the folder of pictures of what is written; "/" between folders."""
    size: ImageSize | None
    """Of the upright picture, as the labels tell it; None: they do not."""
    shapes: tuple[Box, ...] | None
    """None: nobody has labelled it; (): somebody looked, and nothing is there."""
    number: int = 0
    """The Label Studio task."""
    predicted: bool = False
    """The shapes are a model's, not a person's."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that cannot be used: where it stands, and why (a message to be translated)."""

    where: str
    why: str


@dataclass(frozen=True, slots=True)
class DataSet:
    """What a reader found, or a writer is to write."""

    classes: tuple[str, ...]
    items: tuple[Item, ...]
    kind: LabelKind = LabelKind.BOX
    left_out: tuple[LeftOut, ...] = ()
    notes: Counter[str] = field(default_factory=Counter)
    """What was changed while reading, counted: messages to be translated."""


CLIPPED = N_("shapes that were cut at the picture's edge")
MADE_UPRIGHT = N_("outlines that were read as the upright boxes around them")
MADE_ROTATED = N_("outlines that are no rectangles and were read as the smallest turned boxes around them")
MADE_OUTLINES = N_("boxes that were read as outlines with four corners")
PARTS = N_("further parts of a shape, each of which has become a shape of its own")
CROWDS = N_("crowd regions, which stand for many objects, were left out")


class Reading:
    """What a reader gathers, and how it makes shapes of the wanted kind."""

    def __init__(self, kind: LabelKind) -> None:
        self.kind = kind
        self.left_out: list[LeftOut] = []
        self.notes: Counter[str] = Counter()

    def leave_out(self, where: str, why: str) -> None:
        self.left_out.append(LeftOut(where, why))

    def box(self, where: str, label: str, x1: float, y1: float, x2: float, y2: float, score: object) -> list[Box]:
        """An upright box in fractions as a shape of the wanted kind; [] when there is nothing of it."""
        outline = ((x1, y1), (x2, y1), (x2, y2), (x1, y2))
        if self.kind is LabelKind.POLYGON:
            self.notes[MADE_OUTLINES] += 1
            return self._shape(where, label, outline, tidy(within(outline)), score)
        # An upright box counts as a turned one by 0 degrees.
        return self._shape(where, label, outline, () if self.kind is LabelKind.BOX else outline, score)

    def outlines(
        self, where: str, label: str, parts: Sequence[Outline], size: Callable[[], ImageSize], score: object
    ) -> list[Box]:
        """An object that is drawn by one outline or several, in fractions; ``size`` is asked when it matters."""
        if self.kind is LabelKind.POLYGON:
            self.notes[PARTS] += len(parts) - 1
            found = (self._shape(where, label, part, tidy(within(part)), score) for part in parts)
            return [box for boxes in found for box in boxes]
        around = tuple(point for part in parts for point in part)
        if self.kind is LabelKind.BOX:
            self.notes[MADE_UPRIGHT] += 1
            return self._shape(where, label, around, (), score)
        return self._shape(where, label, around, self._turned(around, size()), score)

    def _turned(self, around: Outline, size: ImageSize) -> Outline:
        pixels = tidy((x * size.width, y * size.height) for x, y in around)
        if is_rectangle(pixels):
            return tuple((x / size.width, y / size.height) for x, y in pixels)
        from shapely import MultiPoint

        self.notes[MADE_ROTATED] += 1
        hull = MultiPoint(pixels).minimum_rotated_rectangle
        if hull.geom_type != "Polygon":
            return around
        return tuple((x / size.width, y / size.height) for x, y in hull.exterior.coords[:4])

    def _shape(self, where: str, label: str, around: Outline, outline: Outline, score: object) -> list[Box]:
        whole = bounds(around)
        x1, y1, x2, y2 = bounds(within(around))
        if not (x1 < x2 and y1 < y2) or (outline and is_flat(outline)):
            self.leave_out(where, OUTSIDE)
            return []
        # Corners of a rotated box stay where they are, also outside.
        cut = self.kind is not LabelKind.ROTATED_BOX
        if cut and max(abs(a - b) for a, b in zip(whole, (x1, y1, x2, y2), strict=True)) > _ROUNDING:
            self.notes[CLIPPED] += 1
        sure = float(score) if isinstance(score, int | float) and not isinstance(score, bool) else None
        kept = sure if sure is not None and 0 <= sure <= 1 else None
        return [Box(label, x1, y1, x2, y2, kept, outline=outline)]

    def settled(self, name: str, size: ImageSize | None, shapes: Iterable[Box], told: int) -> Item:
        """The item of a picture with ``told`` shapes in its labels; without any that can be used it is no negative."""
        kept = tuple(dict.fromkeys(shapes))
        if told and not kept:
            self.leave_out(name, ALL_LOST)
        return Item(name, size, kept if kept or not told else None)


class Names:
    """Finds files by what label files call them: a whole path, its end, or only the last part of it."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_last: dict[str, list[str]] = {}
        for name in names:
            self._by_last.setdefault(_plain(name).rpartition("/")[2], []).append(name)

    def find(self, wanted: str, near: str) -> str | None:
        """The file that is meant by ``wanted`` in the label file ``near``; None when there is none or it is unclear."""
        wanted = _plain(wanted)
        found = self._by_last.get(wanted.rpartition("/")[2], [])
        exact = [name for name in found if _plain(name) == wanted or _plain(name).endswith("/" + wanted)]
        among = exact or found
        if len(among) < 2:
            return among[0] if among else None
        ranked = sorted(among, key=lambda name: -_shared(_plain(name), _plain(near)))
        best, second = (_shared(_plain(name), _plain(near)) for name in ranked[:2])
        return ranked[0] if best > second else None


def _plain(name: str) -> str:
    path = unicodedata.normalize("NFC", name).replace("\\", "/").casefold()
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _shared(one: str, other: str) -> int:
    """In how many parts two paths agree: folders from the top, and words such as "train" anywhere."""
    a, b = one.split("/")[:-1], other.split("/")[:-1]
    top = next(
        (number for number, pair in enumerate(zip(a, b, strict=False)) if pair[0] != pair[1]), min(len(a), len(b))
    )
    return top + len({part for part in a[top:] if part and part in other})


def stem_of(name: str) -> str:
    """A path without its ending."""
    head, dot, last = name.rpartition(".")
    return head if dot and "/" not in last and head.rpartition("/")[2] else name


def numbers_in(values: object) -> list[float] | None:
    """Finite numbers, or None."""
    if not isinstance(values, list | tuple):
        return None
    found = [float(one) for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    good = len(found) == len(values) and all(abs(one) < 1e9 for one in found)  # nan is never less
    return found if good else None


def class_numbers(dataset: DataSet) -> dict[str, int]:
    """The place of each class, from 0."""
    return {label: number for number, label in enumerate(dataset.classes)}


def labelled(dataset: DataSet) -> Iterator[tuple[Item, tuple[Box, ...]]]:
    """The items with labels."""
    for item in dataset.items:
        if item.shapes is not None:
            yield item, item.shapes


def pixels(box: Box, size: ImageSize) -> Outline:
    """The corners of a shape in pixels."""
    return tuple((x * size.width, y * size.height) for x, y in corners(box))
