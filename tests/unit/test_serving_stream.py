"""Many pictures through one network: order, memory, errors, threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from networks import CLASSES, red, tiny_network

from custom_ai.errors import CustomAIError, ImageError, ModelError
from custom_ai.serving.engine import Model
from custom_ai.serving.networks import Batch, Network, Outputs
from custom_ai.serving.stream import AHEAD, Picture, Seen
from custom_ai.types import ImageSize

LEVELS = [(37 * n) % 255 + 1 for n in range(60)]


def picture(number: int) -> Picture:
    """Of three shapes, read in times that turn their order around."""
    time.sleep(0.002 * (number % 3))
    height, width = ((64, 64), (64, 32), (32, 64))[number % 3]
    return Picture(red(height, width, LEVELS[number]), ImageSize(10 * width, 10 * height))


def score(seen: Seen | CustomAIError) -> float:
    assert isinstance(seen, Seen)
    return seen.boxes[0].score or 0.0


def test_pictures_in_pieces_give_the_same_in_a_stream(tmp_path: Path) -> None:
    model = Model.load(tiny_network(tmp_path / "tiny.onnx", piece="0.4"), CLASSES, 64, 2)
    assert model.side == 320
    pictures = [red(*((100, 200), (150, 150), (200, 64))[n % 3], level) for n, level in enumerate(LEVELS[:20])]

    def read(number: int) -> Picture:
        height, width = pictures[number].shape[:2]
        return Picture(pictures[number], ImageSize(3 * width, 3 * height))

    found = [seen for _, seen in model.predict_many(range(20), read, 0.0) if isinstance(seen, Seen)]
    alone = model.predict(pictures, 0.0)
    assert [seen.boxes for seen in found] == alone
    assert [seen.size.width for seen in found] == [3 * one.shape[1] for one in pictures]
    assert min(len(boxes) for boxes in alone) > 3  # the tiny network sees one shape in each look


@pytest.mark.parametrize("piece", ["0", "1.2", "half", "nan"])
def test_impossible_pieces_are_refused(tmp_path: Path, piece: str) -> None:
    with pytest.raises(ModelError, match="no share of a picture"):
        Model.load(tiny_network(tmp_path / "tiny.onnx", piece=piece), CLASSES, 64)


@pytest.mark.parametrize("threads", [1, 2])
def test_stream_gives_what_single_predictions_give(tmp_path: Path, threads: int) -> None:
    model = Model.load(tiny_network(tmp_path / "tiny.onnx"), CLASSES, 64, threads)
    found = list(model.predict_many(range(60), picture, 0.0))
    assert [item for item, _ in found] == [*range(60)]
    alone = model.predict([picture(number).pixels for number in range(60)], 0.0)
    assert [seen.boxes for _, seen in found if isinstance(seen, Seen)] == alone
    assert [score(seen) for _, seen in found] == pytest.approx([level / 255 for level in LEVELS], abs=0.005)
    assert {seen.size for _, seen in found if isinstance(seen, Seen)} == {
        ImageSize(640, 640),
        ImageSize(320, 640),
        ImageSize(640, 320),
    }
    assert list(model.predict_many([], picture)) == []


def test_an_error_belongs_to_its_picture(tmp_path: Path) -> None:
    def read(number: int) -> Picture:
        if number % 4 == 1:
            raise ImageError(image=f"{number}", why="broken")
        return picture(number)

    model = Model.load(tiny_network(tmp_path / "tiny.onnx"), CLASSES, 64, 2)
    found = dict(model.predict_many(range(30), read, 0.0))
    assert {number for number, one in found.items() if isinstance(one, ImageError)} == {*range(1, 30, 4)}
    assert score(found[2]) == pytest.approx(LEVELS[2] / 255, abs=0.005)

    def crash(number: int) -> Picture:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(model.predict_many(range(3), crash))


def test_a_slow_taker_holds_up_the_reading(tmp_path: Path) -> None:
    """However many pictures there are, only some batches of them are in memory."""
    read = 0

    def items() -> Iterator[int]:
        nonlocal read
        for number in range(10_000):
            read = number
            yield number % 60

    model = Model.load(tiny_network(tmp_path / "tiny.onnx"), CLASSES, 64, 2, batch=2)
    stream = model.predict_many(items(), picture, 0.0)
    for _ in range(5):
        next(stream)
    time.sleep(0.05)
    assert read <= 5 + AHEAD * 2
    stream.close()
    running = [one.name for one in threading.enumerate() if one.name.startswith(("read", "predict"))]
    deadline = time.monotonic() + 5
    while running and time.monotonic() < deadline:
        time.sleep(0.02)
        running = [one.name for one in threading.enumerate() if one.name.startswith(("read", "predict"))]
    assert running == []


def test_reading_overlaps_with_the_network() -> None:
    """Both take 10 ms per batch: one after the other 400 ms, at the same time half of that."""

    def run(batch: Batch) -> Outputs:
        time.sleep(0.01)
        return (np.zeros((len(batch), 6, 1), np.float32),)

    def read(number: int) -> Picture:
        time.sleep(0.01)
        return Picture(red(64, 64, 1), ImageSize(64, 64))

    model = Model(Network("fake", 1, run), CLASSES, 64, batch=1)
    started = time.monotonic()
    assert len(list(model.predict_many(range(20), read))) == 20
    assert time.monotonic() - started < 0.33


def test_callers_at_the_same_time_do_not_share_their_threads() -> None:
    """Who is alone gets all threads for one picture; who is not, one of them."""
    used: list[str] = []

    def network(name: str) -> Network:
        def run(batch: Batch) -> Outputs:
            used.append(name)
            time.sleep(0.05)
            return (np.zeros((len(batch), 6, 1), np.float32),)

        return Network(name, 2, run)

    model = Model(network("alone"), CLASSES, 64, bulk=lambda: network("together"))
    threads = [threading.Thread(target=model.predict, args=([red(64, 64, 1)],)) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    model.predict([red(64, 64, 1)])
    assert used == ["alone", "together", "together", "together", "alone"]
