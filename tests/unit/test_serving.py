"""Letterbox, decoding, suppression, the engines and the cache, without a trained network."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from networks import CLASSES, red, tiny_network
from numpy.typing import NDArray

from custom_ai.errors import ModelError
from custom_ai.serving.cache import ModelCache
from custom_ai.serving.decode import MAX_BOXES, decode, letterbox, suppress
from custom_ai.serving.engine import Model
from custom_ai.serving.networks import available, build, to_planes


@pytest.mark.parametrize(
    ("height", "width", "size", "shape"),
    [
        (480, 640, 320, (256, 320)),
        (480, 640, 256, (192, 256)),
        (640, 480, 320, (320, 256)),
        (100, 100, 320, (320, 320)),  # small pictures are enlarged
        (1, 4000, 320, (32, 320)),
        (427, 640, 320, (224, 320)),
    ],
)
def test_letterbox_shapes(height: int, width: int, size: int, shape: tuple[int, int]) -> None:
    pixels, place = letterbox(np.zeros((height, width, 3), np.uint8), size)
    assert pixels.shape == (*shape, 3)
    assert (place.width, place.height) == (width, height)


def raw(rows: list[tuple[float, ...]]) -> NDArray[np.float32]:
    """Anchors as rows (x, y, w, h, score of a, score of b) -> (6, anchors)."""
    return np.array(rows, np.float32).T


def test_boxes_come_back_to_the_picture() -> None:
    """A box drawn in the picture, carried into the network's input and back."""
    _, place = letterbox(np.zeros((427, 640, 3), np.uint8), 320)
    x1, y1, x2, y2 = (
        0.25 * 640 * place.scale_x + place.left,
        0.5 * 427 * place.scale_y + place.top,
        0.75 * 640 * place.scale_x + place.left,
        1.0 * 427 * place.scale_y + place.top,
    )
    (box,) = decode(raw([((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, 0.1, 0.9)]), place, CLASSES, 0.25)
    assert box.label == "b"
    assert box.score == pytest.approx(0.9)
    assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx((0.25, 0.5, 0.75, 1.0), abs=1e-6)


def test_decode_clips_drops_and_limits() -> None:
    _, place = letterbox(np.zeros((64, 64, 3), np.uint8), 64)
    outside = (-20.0, -20.0, 10.0, 10.0, 0.9, 0.0)  # wholly outside
    half_out = (0.0, 0.0, 20.0, 20.0, 0.8, 0.0)
    faint = (30.0, 30.0, 10.0, 10.0, 0.1, 0.2)
    (box,) = decode(raw([outside, half_out, faint]), place, CLASSES, 0.25)
    assert (box.x1, box.y1) == (0.0, 0.0)
    many = [(float(x), float(y), 0.5, 0.5, 0.9, 0.0) for x in range(2, 62) for y in range(2, 62)]
    assert len(decode(raw(many), place, CLASSES, 0.25)) == MAX_BOXES
    assert decode(raw([faint]), place, CLASSES, 0.25) == ()


def test_suppression_is_within_classes() -> None:
    corners = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 9], [20, 20, 30, 30]], np.float64)
    labels = np.array([0, 0, 1, 0])
    assert suppress(corners, labels, 0.6).tolist() == [0, 2, 3]


def test_input_is_scaled_rgb_planes() -> None:
    image = np.zeros((32, 64, 3), np.uint8)
    image[..., 0] = 255
    batch = to_planes(np.stack([image, image]))
    assert batch.shape == (2, 3, 32, 64)
    assert (batch[:, 0].min(), batch[:, 1:].max()) == (1.0, 0.0)


def test_pictures_of_different_shapes_keep_their_order(tmp_path: Path) -> None:
    model = Model.load(tiny_network(tmp_path / "tiny.onnx"), CLASSES, 64)
    assert model.engine == "openvino"
    images = [red(64, 64, 255), red(64, 32, 128), red(64, 64, 51), red(32, 64, 204), red(64, 64, 0)]
    found = model.predict(images, 0.1)
    scores = [[round(box.score or 0, 2) for box in boxes] for boxes in found]
    assert scores == [[1.0], [0.5], [0.2], [0.8], []]
    assert model.predict([], 0.1) == []


def test_engines_agree(tmp_path: Path) -> None:
    path = tiny_network(tmp_path / "tiny.onnx")
    batch = np.stack([red(64, 96, 200), red(64, 96, 20)])
    first, *others = (build(path, engine, 1).run(batch) for engine in available())
    for other in others:
        np.testing.assert_allclose(first, other, atol=0.01)


def test_threads_share_one_model(tmp_path: Path) -> None:
    model = Model.load(tiny_network(tmp_path / "tiny.onnx"), CLASSES, 64)
    wrong: list[int] = []

    def work(level: int) -> None:
        for _ in range(20):
            ((box,),) = model.predict([red(64, 64, level)], 0.1)
            if abs((box.score or 0) - level / 255) > 0.01:
                wrong.append(level)

    threads = [threading.Thread(target=work, args=(level,)) for level in (60, 120, 180, 240)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_unsuitable_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ModelError, match="not a readable ONNX file"):
        Model.load(tmp_path / "text.onnx", CLASSES, 64)
    with pytest.raises(ModelError, match="knows 2 classes, not 3"):
        Model.load(tiny_network(tmp_path / "tiny.onnx"), (*CLASSES, "c"), 64)


def test_cache_loads_once_for_many_threads() -> None:
    loads: list[str] = []

    def load(name: str) -> object:
        loads.append(name)
        time.sleep(0.1)
        return object()

    cache = ModelCache(2, load)
    got: list[object] = []
    threads = [threading.Thread(target=lambda: got.append(cache.get("x"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == ["x"]
    assert len({id(one) for one in got}) == 1


def test_cache_drops_the_least_recently_used() -> None:
    loads: list[str] = []
    cache = ModelCache(2, lambda name: loads.append(name) or [name])
    held = cache.get("a")
    for name in ("b", "a", "c", "a", "b"):  # "c" pushes out "b", later "b" pushes out "c"
        cache.get(name)
    assert loads == ["a", "b", "c", "b"]
    assert held == ["a"]
    cache.drop("a")
    cache.get("a")
    assert loads == ["a", "b", "c", "b", "a"]
    with pytest.raises(ValueError, match="at least 1, got 0"):
        ModelCache(0, str)


def test_cache_tries_again_after_a_failure() -> None:
    answers = iter([ModelError(model="x", why="broken"), "fine"])

    def load(name: str) -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    cache = ModelCache(1, load)
    with pytest.raises(ModelError, match="broken"):
        cache.get("x")
    assert cache.get("x") == "fine"
