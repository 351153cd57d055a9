"""The benchmarks' own pictures: what is learned from is never tested on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.pictures import choose, read_folder, snapshot_of
from custom_ai.training.contract import TrainImage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """30 pictures with a cat each; every other one also has a dog that reaches the edge."""
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    for number in range(30):
        Image.new("RGB", (8, 4)).save(tmp_path / "images" / f"{number:02}.png")
        dog = "1 0.9 0.5 0.2 1.0\n" if number % 2 else ""
        (tmp_path / "labels" / f"{number:02}.txt").write_text(f"0 0.5 0.5 0.2 0.4\n{dog}")
    return tmp_path


def test_folder_is_read(folder: Path) -> None:
    classes, images = read_folder(folder)
    assert classes == ("cat", "dog")
    assert [len(image.boxes) for image in images[:2]] == [1, 2]
    cat, dog = images[1].boxes
    assert (cat.x1, cat.y1, cat.x2, cat.y2) == pytest.approx((0.4, 0.3, 0.6, 0.7))
    assert (dog.label, dog.x1, dog.y1, dog.x2, dog.y2) == ("dog", pytest.approx(0.8), 0.0, 1.0, 1.0)
    assert snapshot_of(classes, images).counts == {"cat": 30, "dog": 15}


@pytest.mark.parametrize("seed", range(3))
def test_choice(folder: Path, seed: int) -> None:
    classes, images = read_folder(folder)
    learnt, tested = choose(classes, images, 5, 10, seed)
    assert (learnt, tested) == choose(classes, images, 5, 10, seed)
    assert len(tested) == 10
    assert not {one.task_id for one in learnt} & {one.task_id for one in tested}
    assert min(_labels(learnt).values()) >= 5
    assert min(_labels(learnt[:-1]).values()) < 5  # no more than needed


def test_too_few_pictures(folder: Path) -> None:
    classes, images = read_folder(folder)
    with pytest.raises(SystemExit, match=r"too few pictures for 20 labels of .*dog"):
        choose(classes, images, 20, 5, 0)


def _labels(images: list[TrainImage]) -> Counter[str]:
    return Counter(box.label for image in images for box in image.boxes)
