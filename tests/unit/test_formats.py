"""COCO, YOLO and VOC: what is written is read again, by us and by others; what others write badly is told."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import supervision
from PIL import Image
from pycocotools.coco import COCO

from custom_ai.archive import Limits
from custom_ai.errors import BadInput
from custom_ai.formats import coco, detect, yolo
from custom_ai.formats.common import (
    ALL_LOST,
    CLIPPED,
    CROWDS,
    MADE_ROTATED,
    MADE_UPRIGHT,
    NO_NUMBERS,
    NO_PICTURE,
    OUTSIDE,
    PARTS,
    DataSet,
    Format,
    Item,
)
from custom_ai.formats.detect import picture_folder, read
from custom_ai.formats.source import opened
from custom_ai.overlap import iou
from custom_ai.shapes import bounds, corners, turned, within
from custom_ai.types import Box, ImageSize, LabelKind
from zips import make_zip, picture

LIMITS = Limits(images=100, image_bytes=10**6, image_pixels=10**7, ratio=200, unpacked_bytes=10**8)
SIZE = ImageSize(120, 80)
CLASSES = ("고양이", 'a "dog": #1, or <two> & more', "never drawn")
FORMATS = (Format.COCO, Format.YOLO, Format.VOC)


def rotated(label: str, x: float, y: float, width: float, height: float, degrees: float) -> Box:
    """By pixels of SIZE."""
    outline = tuple((u / SIZE.width, v / SIZE.height) for u, v in turned(x, y, width, height, degrees))
    return Box(label, *bounds(within(outline)), outline=outline)


def polygon(label: str, *points: tuple[float, float]) -> Box:
    outline = tuple((x / SIZE.width, y / SIZE.height) for x, y in points)
    return Box(label, *bounds(outline), outline=outline)


SHAPES = {
    LabelKind.BOX: (Box(CLASSES[0], 0.1, 0.25, 0.5, 0.75), Box(CLASSES[1], 0.0, 0.0, 1.0, 1.0)),
    LabelKind.ROTATED_BOX: (
        rotated(CLASSES[0], 60, 20, 40, 20, 30),
        rotated(CLASSES[1], 10, 10, 30, 12, 0),
        rotated(CLASSES[0], 100, 30, 40, 20, 20),  # hangs over the edge
    ),
    LabelKind.POLYGON: (
        polygon(CLASSES[0], (10, 10), (60, 12), (70, 50), (40, 30), (12, 60)),
        polygon(CLASSES[1], (80, 8), (110, 8), (95, 70)),
    ),
}


def data_of(kind: LabelKind, *more: Item) -> DataSet:
    items = (Item("고양이 하나.jpg", SIZE, SHAPES[kind], 7), Item("empty one.png", SIZE, (), 8))
    return DataSet(CLASSES, (*items, *more), kind)


def write(folder: Path, data: DataSet, format: Format) -> Path:
    """As an export does it, with pictures."""
    for name, content in detect.files(data, format):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    for number, item in enumerate(data.items):
        file = folder / picture_folder(format) / item.name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(number, "PNG" if item.name.endswith(".png") else "JPEG", (SIZE.width, SIZE.height)))
    return folder


def read_again(path: Path, kind: LabelKind, format: Format | None = None, classes: Sequence[str] = ()) -> DataSet:
    with opened(path, LIMITS) as source:
        return read(source, kind, format, classes)


def by_end(data: DataSet) -> dict[str, Item]:
    return {item.name.rpartition("/")[2]: item for item in data.items}


def put(folder: Path, **files: str | bytes) -> Path:
    """Files by their names, in which "__" stands for "/" and "_dot_" for "."."""
    for name, content in files.items():
        file = folder / name.replace("__", "/").replace("_dot_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


JPEG = picture(1, size=(SIZE.width, SIZE.height))


@pytest.mark.parametrize("kind", LabelKind)
@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_is_read_again(tmp_path: Path, kind: LabelKind, format: Format) -> None:
    found = read_again(write(tmp_path, data_of(kind), format), kind)
    assert found.left_out == ()
    assert found.notes.total() == 0
    items = by_end(found)
    assert set(items) == {"고양이 하나.jpg", "empty one.png"}
    assert items["empty one.png"].shapes == ()
    if format is not Format.VOC:  # it has no list of classes
        assert found.classes == CLASSES
    near = 1 / SIZE.height if format is Format.VOC else 1e-4
    shapes = items["고양이 하나.jpg"].shapes or ()
    assert len(shapes) == len(SHAPES[kind])
    for shape, drawn in zip(shapes, SHAPES[kind], strict=True):
        assert shape.label == drawn.label
        assert bool(shape.outline) == (kind is not LabelKind.BOX)
        assert (shape.x1, shape.y1, shape.x2, shape.y2) == pytest.approx(
            (drawn.x1, drawn.y1, drawn.x2, drawn.y2), abs=near
        )
        if kind is not LabelKind.BOX:
            assert iou(shape, drawn) > 0.999


def test_a_zip_is_read_as_a_folder_is(tmp_path: Path) -> None:
    data = data_of(LabelKind.POLYGON)
    folder = write(tmp_path / "folder", data, Format.COCO)
    files = [file for file in folder.rglob("*") if file.is_file()]
    members = [(f"deep/er/{file.relative_to(folder).as_posix()}", file.read_bytes()) for file in sorted(files)]
    found = read_again(make_zip(tmp_path / "a.zip", [*members, (".DS_Store", b"x")]), LabelKind.POLYGON)
    plain = read_again(folder, LabelKind.POLYGON)
    assert found.left_out == ()
    assert [item.shapes for item in found.items] == [item.shapes for item in plain.items]


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.parametrize("kind", LabelKind)
def test_pycocotools_reads_what_we_write(tmp_path: Path, kind: LabelKind) -> None:
    folder = write(tmp_path, data_of(kind), Format.COCO)
    there = COCO(str(folder / coco.FILE))
    assert [one["name"] for one in there.loadCats(there.getCatIds())] == list(CLASSES)
    assert sorted(there.getImgIds()) == [7, 8]
    assert there.getAnnIds(imgIds=8) == []
    found = there.loadAnns(there.getAnnIds(imgIds=7))
    for one, drawn in zip(found, SHAPES[kind], strict=True):
        assert there.loadCats(one["category_id"])[0]["name"] == drawn.label
        x, y, width, height = one["bbox"]
        assert [x / 120, y / 80, (x + width) / 120, (y + height) / 80] == pytest.approx(
            [drawn.x1, drawn.y1, drawn.x2, drawn.y2], abs=1e-4
        )
        if kind is not LabelKind.BOX:
            mask = there.annToMask(one)
            assert mask.shape == (80, 120)
            if within(drawn.outline) == drawn.outline:  # else only a part of it is in the mask
                assert mask.sum() == pytest.approx(_area(drawn.outline) * 120 * 80, rel=0.1)
    told = json.loads((folder / coco.FILE).read_text(encoding="utf-8"))["info"]["description"]
    assert ("four corners" in told) == (kind is LabelKind.ROTATED_BOX)


def _area(points: Sequence[tuple[float, float]]) -> float:
    ahead = [*points[1:], points[0]]
    return abs(sum(a * d - b * c for (a, b), (c, d) in zip(points, ahead, strict=True))) / 2


@pytest.mark.parametrize("kind", LabelKind)
@pytest.mark.parametrize("format", FORMATS)
def test_supervision_reads_what_we_write(tmp_path: Path, format: Format, kind: LabelKind) -> None:
    folder = write(tmp_path, data_of(kind), format)
    images = str(folder / picture_folder(format))
    sets = supervision.DetectionDataset
    if format is Format.COCO:
        there = sets.from_coco(images, str(folder / coco.FILE), force_masks=kind is not LabelKind.BOX)
    elif format is Format.YOLO:
        there = sets.from_yolo(
            images, str(folder / "labels"), str(folder / "data.yaml"), is_obb=kind is LabelKind.ROTATED_BOX
        )
    else:
        there = sets.from_pascal_voc(images, str(folder / "Annotations"))
    found = {Path(path).name: detections for path, _, detections in there}
    assert len(found["empty one.png"]) == 0
    detections = found["고양이 하나.jpg"]
    assert [there.classes[one] for one in detections.class_id] == [box.label for box in SHAPES[kind]]
    for index, drawn in enumerate(SHAPES[kind]):
        around = bounds(corners(drawn)) if format is Format.YOLO else (drawn.x1, drawn.y1, drawn.x2, drawn.y2)
        expected = np.array(around) * [120, 80, 120, 80]
        assert detections.xyxy[index] == pytest.approx(expected, abs=1.01)
        if kind is LabelKind.ROTATED_BOX and format is Format.YOLO:
            told = detections.data["xyxyxyxy"][index]
            assert told == pytest.approx(np.array(corners(drawn)) * [120, 80], abs=1.01)
        if kind is LabelKind.POLYGON:
            assert detections.mask[index].sum() == pytest.approx(_area(drawn.outline) * 9600, rel=0.1)


def test_an_object_of_several_parts_becomes_several_polygons(tmp_path: Path) -> None:
    left, right = [10, 10, 20, 10, 20, 20], [60, 10, 80, 10, 80, 30, 60, 30]
    row = {"id": 1, "image_id": 3, "category_id": 5, "bbox": [10, 10, 70, 20], "segmentation": [left, right]}
    content = {
        "images": [{"id": 3, "file_name": "a.jpg", "width": 120, "height": 80}],
        "categories": [{"id": 5, "name": "cat"}],
        "annotations": [row],
    }
    put(tmp_path, pics__a_dot_jpg=JPEG, labels_dot_json=json.dumps(content))
    polygons = read_again(tmp_path, LabelKind.POLYGON)
    assert [len(box.outline) for box in polygons.items[0].shapes or ()] == [3, 4]
    assert polygons.notes[PARTS] == 1
    (box,) = read_again(tmp_path, LabelKind.BOX).items[0].shapes or ()
    assert (box.x1, box.x2, box.outline) == (10 / 120, 80 / 120, ())
    turned_boxes = read_again(tmp_path, LabelKind.ROTATED_BOX)
    (one,) = turned_boxes.items[0].shapes or ()
    assert len(one.outline) == 4
    assert turned_boxes.notes[MADE_ROTATED] == 1
    # What we write of the two polygons has an outline each.
    again = read_again(write(tmp_path / "again", polygons, Format.COCO), LabelKind.POLYGON)
    assert [len(box.outline) for box in by_end(again)["a.jpg"].shapes or ()] == [3, 4]


def test_shapes_over_the_edge_are_cut_and_those_outside_are_named(tmp_path: Path) -> None:
    lines = "0 0.95 0.5 0.2 0.2\n0 1.5 0.5 0.2 0.2\n0 nan 0.5 0.2 0.2\n7 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.1\n"
    put(
        tmp_path,
        images__a_dot_jpg=JPEG,
        images__b_dot_jpg=picture(2),
        images__c_dot_jpg=picture(3),
        labels__a_dot_txt=lines,
        labels__b_dot_txt="0 3 3 1 1\n",
        labels__z_dot_txt="0 0.5 0.5 0.1 0.1\n",
        data_dot_yaml="names: {0: cat, 1: dog}\n",
    )
    found = read_again(tmp_path, LabelKind.BOX)
    items = by_end(found)
    (box,) = items["a.jpg"].shapes or ()
    assert (box.x1, box.x2) == (pytest.approx(0.85), 1.0)
    assert found.notes[CLIPPED] == 1
    assert items["b.jpg"].shapes is None, "a picture of which all labels are lost is no negative"
    assert items["c.jpg"].shapes is None, "without a label file nobody has looked"
    assert [(one.where, one.why) for one in found.left_out] == [
        ("labels/a.txt: 2", OUTSIDE),
        ("labels/a.txt: 3", NO_NUMBERS),
        ("labels/a.txt: 4", yolo.NO_CLASS),
        ("labels/a.txt: 5", NO_NUMBERS),
        ("labels/b.txt: 1", OUTSIDE),
        ("images/b.jpg", ALL_LOST),
        ("labels/z.txt", NO_PICTURE),
    ]


def test_yolo_lines_with_confidences_and_outlines(tmp_path: Path) -> None:
    lines = "1 0.5 0.5 0.2 0.4 0.75\n0 0.1 0.1 0.3 0.1 0.3 0.4 0.1 0.4 0.5\n0 0.1 0.1 0.3 0.1 0.3 0.4\n"
    put(tmp_path, a_dot_jpg=JPEG, a_dot_txt=lines, classes_dot_txt="cat\ndog\n")
    found = read_again(tmp_path, LabelKind.BOX)
    first, second, third = found.items[0].shapes or ()
    assert (first.label, first.score, second.score, third.score) == ("dog", 0.75, 0.5, None)
    assert found.notes[MADE_UPRIGHT] == 2
    with pytest.raises(BadInput, match="--classes"):
        read_again(put(tmp_path / "bare", a_dot_jpg=JPEG, a_dot_txt="0 0.5 0.5 0.1 0.1\n"), LabelKind.BOX)
    named = read_again(tmp_path / "bare", LabelKind.BOX, classes=["고양이"])
    assert [box.label for box in named.items[0].shapes or ()] == ["고양이"]


def test_coco_says_what_it_cannot_use(tmp_path: Path) -> None:
    image = {"id": 1, "file_name": "folder/a.jpg", "width": 120, "height": 80}
    good = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 12, 8]}
    mask = {"size": [80, 120], "counts": "xyz"}
    content = {
        "images": [image, {"id": 2, "file_name": "gone.jpg", "width": 1, "height": 1}, {"id": 3, "file_name": "b.jpg"}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            good,
            good | {"id": 2, "category_id": 9},
            good | {"id": 3, "bbox": [1, 2, "x", 4]},
            good | {"id": 4, "iscrowd": 1, "segmentation": mask},
            good | {"id": 5, "image_id": 3},
        ],
    }
    put(tmp_path, folder__a_dot_jpg=JPEG, b_dot_jpg=picture(2), x_dot_json=json.dumps(content))
    found = read_again(tmp_path, LabelKind.BOX)
    assert [len(item.shapes or ()) for item in by_end(found).values()] == [0, 1]
    assert by_end(found)["b.jpg"].shapes is None
    assert found.notes[CROWDS] == 1
    assert [(one.where, one.why) for one in found.left_out] == [
        ("gone.jpg", NO_PICTURE),
        ("b.jpg", coco.NO_SIZE),
        ("x.json: annotation 2", coco.NO_CATEGORY),
        ("x.json: annotation 3", NO_NUMBERS),
        ("b.jpg", ALL_LOST),
    ]
    content["annotations"] = [good | {"segmentation": mask}]
    (tmp_path / "x.json").write_text(json.dumps(content))
    assert coco.MASK in [one.why for one in read_again(tmp_path, LabelKind.POLYGON).left_out]
    assert len(by_end(read_again(tmp_path, LabelKind.BOX))["a.jpg"].shapes or ()) == 1
    (tmp_path / "x.json").write_text('{"images": [], "annotations": [')
    with pytest.raises(BadInput, match=r"x\.json"):
        read_again(tmp_path, LabelKind.BOX)


def test_voc_counts_from_one_and_refuses_entities(tmp_path: Path) -> None:
    def xml(inside: str) -> str:
        return f"<annotation><filename>a.jpg</filename>{inside}</annotation>"

    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>120.0</xmax><ymax>80</ymax></bndbox>"
    put(
        tmp_path,
        JPEGImages__a_dot_jpg=JPEG,
        Annotations__a_dot_xml=xml(f"<object><name>cat</name>{box}</object><object>{box}</object>"),
        Annotations__b_dot_xml='<!DOCTYPE x [<!ENTITY a "b">]><annotation/>',
        Annotations__c_dot_xml="<annotation><filename>c.jpg</filename></annotation>",
    )
    found = read_again(tmp_path, LabelKind.BOX)
    assert found.items[0].shapes == (Box("cat", 0, 0, 1, 1),)
    assert [one.where for one in found.left_out] == [
        "Annotations/a.xml: object 2",
        "Annotations/b.xml",
        "c.jpg",
    ]


def test_pictures_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for part, score in (("train", 12), ("val", 24)):
        image = {"id": 1, "file_name": "a.jpg", "width": 120, "height": 80}
        content = {
            "images": [image],
            "categories": [{"id": 1, "name": "cat"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, score, 8]}],
        }
        put(tmp_path / part, images__a_dot_jpg=picture(score), labels_dot_json=json.dumps(content))
    found = read_again(tmp_path, LabelKind.BOX)
    widths = {item.name: [round(box.x2 * 120) for box in item.shapes or ()] for item in found.items}
    assert widths == {"train/images/a.jpg": [12], "val/images/a.jpg": [24]}
    assert found.left_out == ()


def test_which_labels_count_must_be_clear(tmp_path: Path) -> None:
    write(tmp_path, data_of(LabelKind.BOX), Format.COCO)
    write(tmp_path, data_of(LabelKind.BOX), Format.YOLO)
    with pytest.raises(BadInput, match="--format"):
        read_again(tmp_path, LabelKind.BOX)
    assert len(read_again(tmp_path, LabelKind.BOX, Format.YOLO).items) == 2
    assert [item.shapes for item in read_again(tmp_path, LabelKind.BOX, Format.IMAGES).items] == [None, None]
    with pytest.raises(BadInput, match="voc"):
        read_again(tmp_path, LabelKind.BOX, Format.VOC)
    with pytest.raises(BadInput, match="no such folder"):
        read_again(tmp_path / "nothing", LabelKind.BOX)


def test_rotated_boxes_of_yolo_need_no_size_of_their_own(tmp_path: Path) -> None:
    """The corners are a rectangle in pixels only, so the picture is asked for its size."""
    buffer = io.BytesIO()
    Image.new("RGB", (400, 100)).save(buffer, "PNG")
    points = turned(200, 20, 80, 30, 40)
    values = " ".join(f"{value:.6f}" for x, y in points for value in (x / 400, y / 100))
    put(tmp_path, a_dot_png=buffer.getvalue(), a_dot_txt=f"0 {values}\n", classes_dot_txt="cat")
    found = read_again(tmp_path, LabelKind.ROTATED_BOX)
    assert found.notes.total() == 0
    (box,) = found.items[0].shapes or ()
    (ax, ay), (bx, by) = [(x * 400, y * 100) for x, y in box.outline][:2]
    assert math.degrees(math.atan2(by - ay, bx - ax)) == pytest.approx(40, abs=0.1)


def test_a_broken_picture_spoils_nothing_else(tmp_path: Path) -> None:
    line = "0 0.1 0.1 0.3 0.1 0.3 0.4 0.1 0.4\n"
    xml = "<annotation><object><name>cat</name><bndbox><xmin>1</xmin></bndbox></object></annotation>"
    broken = JPEG[:100]
    put(tmp_path / "yolo", a_dot_jpg=JPEG, a_dot_txt=line, b_dot_jpg=broken, b_dot_txt=line, classes_dot_txt="cat")
    put(tmp_path / "voc", b_dot_jpg=broken, b_dot_xml=xml)
    items = read_again(tmp_path / "yolo", LabelKind.ROTATED_BOX).items
    assert [None if item.shapes is None else len(item.shapes) for item in items] == [1, None]
    assert [item.shapes for item in read_again(tmp_path / "voc", LabelKind.BOX).items] == [None]


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(20)
)


@pytest.mark.parametrize(
    "yaml", ["names: [", f"{BOMB}names: [*u]", "names: 5", "kpt_shape: [17, 3]\nnames: [person]", "names: {a: cat}"]
)
def test_names_that_cannot_be_read(tmp_path: Path, yaml: str) -> None:
    with pytest.raises(BadInput, match=r"data\.yaml"):
        put(tmp_path, a_dot_jpg=JPEG, a_dot_txt="0 0.5 0.5 0.1 0.1\n", data_dot_yaml=yaml)
        read_again(tmp_path, LabelKind.BOX)


def test_no_nonsense_in_a_coco_file_is_an_error_of_ours(tmp_path: Path) -> None:
    """Each value in turn is replaced by each of these: the file is refused, or something is left out."""
    image: dict[str, object] = {"id": 1, "file_name": "a.jpg", "width": 120, "height": 80}
    category: dict[str, object] = {"id": 1, "name": "cat"}
    polygon = [[1, 1, 50, 1, 50, 40]]
    one: dict[str, object] = {
        "id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 12, 8], "segmentation": polygon, "iscrowd": 0,
        "score": 0.5,
    }  # fmt: skip
    nonsense = [None, -1, 0, 1e300, "x", "", [], [[]], {}, True, [1], [[1, 2]], ["a", "b", "c", "d"], [1, 2, 3, 1e300]]
    put(tmp_path, a_dot_jpg=JPEG)
    for place, row in (("images", image), ("categories", category), ("annotations", one)):
        for key in row:
            for value in nonsense:
                content = {"images": [image], "categories": [category], "annotations": [one]}
                content[place] = [{**row, key: value}]
                (tmp_path / "x.json").write_text(json.dumps(content))
                for kind in LabelKind:
                    assert len(read_again(tmp_path, kind).items) == 1
    for whole in ("[]", '{"images": 1, "annotations": {}}', '"images" "annotations"'):
        (tmp_path / "x.json").write_text(whole)
        try:
            read_again(tmp_path, LabelKind.BOX)
        except BadInput:
            continue
