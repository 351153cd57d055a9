from __future__ import annotations

from pathlib import Path

from custom_ai.training.contract import TrainImage
from custom_ai.training.data_report import data_report
from custom_ai.types import Box, ImageSize


def image(task: int, *boxes: Box, width: int = 200, height: int = 100) -> TrainImage:
    return TrainImage(task, Path(f"{task}.jpg"), ImageSize(width, height), boxes)


def test_counts_and_sizes() -> None:
    images = [
        image(1, Box("cat", 0.0, 0.0, 0.5, 1.0), Box("cat", 0.0, 0.0, 0.1, 0.2)),
        image(2, Box("dog", 0.0, 0.0, 0.2, 0.4)),
        image(3),
        image(4, width=400, height=300),
    ]
    report = data_report(["cat", "dog", "cow"], images, {1: 1, 3: 3, 4: 3})
    assert (report["images"], report["labels"], report["negatives"]) == (4, 3, 2)
    assert report["sizes"] == {"200x100": 3, "400x300": 1}
    cat, dog, cow = report["classes"]
    assert (cat["labels"], cat["images"], cat["side_px"]) == (2, 1, [20.0, 60.0, 100.0])
    assert cat["side_share"] == [0.1, 0.3, 0.5]
    assert (dog["labels"], dog["side_px"]) == (1, [40.0, 40.0, 40.0])
    assert (cow["labels"], cow["side_px"]) == (0, None)
    assert report["small_px"] == 16
    assert (cat["small"]["192"], cow["small"]["192"]) == (0, 0)  # 0.1 of 192 pixels are 19
    assert data_report(["cat"], [image(1, Box("cat", 0.0, 0.0, 0.05, 0.1))], {})["classes"][0]["small"] == {
        "192": 1,
        "256": 1,
        "320": 0,
        "448": 0,
        "640": 0,
    }
    assert report["near_duplicates"] == [[3, 4]]
