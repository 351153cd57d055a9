"""Snapshots, the split by hash, and the YOLO folder."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import yaml

from custom_ai.dataset import Snapshot, held_out, make_snapshot, side, write_yolo
from custom_ai.errors import BadInput
from custom_ai.training.contract import TrainImage
from custom_ai.types import Box, ImageSize, LabelledTask

CLASSES = ("cat", "dog")


def task(task_id: int, boxes: tuple[Box, ...] | None) -> LabelledTask:
    return LabelledTask(task_id, f"/data/{task_id}.jpg", boxes, None if boxes is None else task_id + 1000, "", True)


def some_tasks(count: int, seed: int = 0) -> list[LabelledTask]:
    """Tasks with one to four boxes each, cats and dogs."""
    dice = random.Random(seed)
    made = []
    for task_id in range(1, count + 1):
        boxes = []
        for _ in range(dice.randint(1, 4)):
            x, y = dice.uniform(0, 0.6), dice.uniform(0, 0.6)
            boxes.append(Box(dice.choice(CLASSES), x, y, x + dice.uniform(0.1, 0.4), y + dice.uniform(0.1, 0.4)))
        made.append(task(task_id, tuple(boxes)))
    return made


def test_snapshot_keeps_answers_negatives_and_chosen_classes() -> None:
    cat, cow = Box("cat", 0.1, 0.1, 0.5, 0.5), Box("cow", 0.1, 0.1, 0.5, 0.5)
    snapshot = make_snapshot([task(2, (cat, cow)), task(1, None), task(3, ()), task(4, (cow,))], CLASSES)
    assert [example.task_id for example in snapshot.examples] == [2, 3, 4]
    assert snapshot.counts == {"cat": 1, "dog": 0}
    assert (snapshot.images, snapshot.negatives) == (3, 2)


def test_equal_labels_give_equal_hashes() -> None:
    tasks = some_tasks(9)
    one, other = make_snapshot(tasks, CLASSES), make_snapshot(reversed(tasks), CLASSES)
    assert one == other
    assert one.sha256 == other.sha256
    assert one.sha256 != make_snapshot(tasks, ("dog", "cat")).sha256
    assert one.sha256 != make_snapshot(tasks[1:], CLASSES).sha256


def test_hash_ignores_noise_in_coordinates() -> None:
    """Label Studio's percentages come back with rounding noise in the last digits."""
    a, b = Box("cat", 0.1, 0.2, 0.3, 0.4), Box("cat", 0.1 + 1e-9, 0.2, 0.3, 0.4, score=0.5)
    assert make_snapshot([task(1, (a,))], CLASSES).sha256 == make_snapshot([task(1, (b,))], CLASSES).sha256


def test_round_trip() -> None:
    snapshot = make_snapshot(
        [*some_tasks(20), task(99, ()), task(98, (Box("cat", 0.1, 0.1, 0.2, 0.2, untouched=True),))], CLASSES
    )
    again = Snapshot.loads(snapshot.dumps(), snapshot.sha256)
    assert again == snapshot
    assert next(one for one in again.examples if one.task_id == 98).boxes[0].untouched


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-5],  # cut off
        lambda data: b"no zlib",
        lambda data: make_snapshot(some_tasks(3), CLASSES).dumps(),  # another snapshot
    ],
)
def test_damaged_bytes_are_refused(spoil) -> None:  # type: ignore[no-untyped-def]
    snapshot = make_snapshot(some_tasks(4), CLASSES)
    with pytest.raises(BadInput, match="stored data set"):
        Snapshot.loads(spoil(snapshot.dumps()), snapshot.sha256)


def test_bad_input() -> None:
    with pytest.raises(BadInput, match="no class"):
        make_snapshot([], ())
    with pytest.raises(BadInput, match="appears twice"):
        make_snapshot([task(1, ()), task(1, ())], CLASSES)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 12, 30, 200])
@pytest.mark.parametrize("seed", range(4))
def test_split_holds_out_enough_but_not_too_much(count: int, seed: int) -> None:
    snapshot = make_snapshot(some_tasks(count, seed), CLASSES)
    apart = held_out(snapshot)
    assert apart == held_out(snapshot)
    assert len(apart) >= (2 if count >= 4 else 1 if count >= 2 else 0)
    assert len(apart) <= max(0.35 * count, min(count // 2, 2))
    if count >= 12:
        for label in CLASSES:
            total = snapshot.counts[label]
            out = sum(box.label == label for one in snapshot.examples if one.task_id in apart for box in one.boxes)
            assert 1 <= out <= total / 2


def test_images_stay_on_their_side_while_labels_are_added() -> None:
    """From the point on where the plain rule holds out enough, nothing ever moves."""
    tasks = some_tasks(400)
    before = held_out(make_snapshot(tasks[:60], CLASSES))
    for count in (61, 100, 400):
        after = held_out(make_snapshot(tasks[:count], CLASSES))
        assert {one for one in after if one <= 60} == before


def test_sides_are_evenly_spread() -> None:
    sides = [side(task_id) for task_id in range(2000)]
    assert all(0 <= one < 1 for one in sides)
    assert 0.17 < sum(one < 0.2 for one in sides) / len(sides) < 0.23


def test_write_yolo(tmp_path: Path) -> None:
    classes = ('it\'s: a "cat"', "개")
    picture = tmp_path / "a.JPG"
    picture.write_bytes(b"x")
    boxes = (Box("개", 0.1, 0.2, 0.3, 0.6),)
    images = [TrainImage(7, picture, ImageSize(10, 10), boxes), TrainImage(8, picture, ImageSize(10, 10), ())]
    write_yolo(tmp_path / "yolo", classes, images)
    assert (tmp_path / "yolo/labels/7.txt").read_text() == "1 0.2000000 0.4000000 0.2000000 0.4000000\n"
    assert (tmp_path / "yolo/labels/8.txt").read_text() == ""
    assert (tmp_path / "yolo/images/7.jpg").read_bytes() == b"x"
    text = (tmp_path / "yolo/data.yaml").read_text()
    assert yaml.safe_load(text) == json.loads(text)
    assert yaml.safe_load(text)["names"] == [*classes]
    with pytest.raises(BadInput, match="task 9"):
        write_yolo(tmp_path / "other", classes, [TrainImage(9, tmp_path / "none.jpg", ImageSize(1, 1), ())])
