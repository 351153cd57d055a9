"""Real, short trainings with ultralytics, and what they leave behind."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image, ImageOps

from custom_ai.demo.scenes import CLASSES, make_scenes
from custom_ai.errors import Cancelled, TrainingError
from custom_ai.serving.decode import decode, letterbox
from custom_ai.serving.engine import Model
from custom_ai.settings import Settings, load_settings
from custom_ai.training.candidate import CandidateResult, train_candidate
from custom_ai.training.contract import BaseWeights, Progress, Recipe, TrainContext, TrainImage, TrainSet
from custom_ai.training.siblings import read_pixels
from custom_ai.training.yolo import RANDOM_START, YoloTrainer

SHORT = Recipe("short", "Short", "yolov5n", "", image_size=96, passes=80, seconds=300.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainSet:
    folder = tmp_path_factory.mktemp("scenes")
    images = []
    for number, scene in enumerate(make_scenes(folder / "raw", 8, seed=3)):
        path = folder / f"{number}.jpg"
        with Image.open(scene.path) as file:
            ImageOps.exif_transpose(file).save(path, quality=90)
        images.append(TrainImage(number + 1, path, scene.size, scene.boxes))
    return TrainSet(CLASSES, tuple(images[:5]), tuple(images[5:]))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings(state_dir=tmp_path_factory.mktemp("state"), download_weights=False)


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def reports() -> list[tuple[float, Progress]]:
    return []


@pytest.fixture(scope="module")
def result(
    data: TrainSet, settings: Settings, work_dir: Path, reports: list[tuple[float, Progress]]
) -> CandidateResult:
    context = TrainContext(work_dir, threads=2, report=lambda one: reports.append((time.monotonic(), one)))
    return train_candidate(SHORT, data, context, YoloTrainer(), settings)


def test_progress_is_told(result: CandidateResult, reports: list[tuple[float, Progress]]) -> None:
    stages = [progress.stage for _, progress in reports]
    assert sorted(set(stages), key=stages.index) == ["preparing", "training", "exporting", "scoring"]
    training = [progress for _, progress in reports if progress.stage == "training"]
    assert [progress.fraction for progress in training] == sorted(progress.fraction for progress in training)
    assert reports[-1][1].fraction == 1.0
    assert all(progress.loss and progress.seconds_left is not None for progress in training)
    assert result.trained.passes == 80
    assert result.trained.base_weights == RANDOM_START


def test_scores_rest_on_held_out_pictures(result: CandidateResult, data: TrainSet) -> None:
    assert set(result.predictions) == {image.task_id for image in data.held_out}
    assert result.scores.images == len(data.held_out)
    assert set(result.thresholds) == set(CLASSES)


def test_onnx_follows_the_contract(result: CandidateResult) -> None:
    graph = onnx.load(result.trained.onnx_path)
    onnx.checker.check_model(graph)
    assert graph.opset_import[0].version >= 17
    facts = {entry.key: entry.value for entry in graph.metadata_props}
    assert ast.literal_eval(facts["names"]) == [*CLASSES]
    assert (facts["image_size"], Recipe.from_json(facts["recipe"])) == ("96", SHORT)
    (output,) = graph.graph.output
    assert [axis.dim_value for axis in output.type.tensor_type.shape.dim][1] == 4 + len(CLASSES)
    assert "NonMaxSuppression" not in {node.op_type for node in graph.graph.node}


@pytest.mark.parametrize("architecture", ["yolov5n", "yolo26n"])
def test_served_boxes_equal_those_of_ultralytics(
    result: CandidateResult, data: TrainSet, tmp_path: Path, architecture: str
) -> None:
    """Scores within 0.002, corners within 0.002 of the side: float32 in another order, no more."""
    trained = result.trained
    if architecture != SHORT.architecture:
        short = replace(SHORT, architecture=architecture, passes=16)
        trained = YoloTrainer().train(short, data, TrainContext(tmp_path, threads=2))
    from ultralytics import YOLO

    model = Model.load(trained.onnx_path, CLASSES, trained.image_size, 2)
    original = YOLO(trained.weights_path)
    for image in (*data.train, *data.held_out):
        pixels = read_pixels(image)
        small, place = letterbox(pixels, trained.image_size)
        (raw,) = model._network.run(small[None])
        ours = decode(raw[0], place, CLASSES, 1e-6, iou=0.7)
        (theirs,) = original.predict(
            np.ascontiguousarray(pixels[..., ::-1]),  # it expects BGR
            imgsz=trained.image_size,
            conf=1e-6,
            iou=0.7,
            device="cpu",
            verbose=False,
            max_det=300,
        )
        # The faintest boxes may trade places in the suppression; the best ones must not.
        best = theirs.boxes[:20]
        assert len(best) == 20
        for row, label, score in zip(best.xyxyn.numpy(), best.cls.numpy(), best.conf.numpy(), strict=True):
            gaps = [
                max(*np.abs(np.array([box.x1, box.y1, box.x2, box.y2]) - row), abs((box.score or 0) - float(score)))
                for box in ours
                if box.label == CLASSES[int(label)]
            ]
            assert min(gaps) < 0.002


def test_starts_from_given_weights(result: CandidateResult, data: TrainSet, tmp_path: Path) -> None:
    """The network is taken from the file; with all layers frozen but the head, the first ones stay."""
    import torch

    weights = {"custom": BaseWeights(result.trained.weights_path, "mine")}
    recipe = replace(SHORT, architecture="", base_weights="custom", passes=8, freeze=10, mosaic=0.0)
    trained = YoloTrainer().train(recipe, data, TrainContext(tmp_path, threads=2, weights=weights))
    assert trained.base_weights == "mine"
    before, after = (
        torch.load(path, weights_only=False)["model"].state_dict()
        for path in (result.trained.weights_path, trained.weights_path)
    )
    assert torch.equal(before["model.3.conv.weight"], after["model.3.conv.weight"])
    assert not torch.equal(before["model.24.cv3.0.2.weight"], after["model.24.cv3.0.2.weight"])


def test_schedule_is_fitted_into_the_time(data: TrainSet, tmp_path: Path) -> None:
    reports: list[Progress] = []
    recipe = replace(SHORT, passes=1_000_000, seconds=4.0)
    started = time.monotonic()
    trained = YoloTrainer().train(recipe, data, TrainContext(tmp_path, threads=2, report=reports.append))
    assert time.monotonic() - started < 30.0  # export and a busy machine included
    assert 8 <= trained.passes < 5000
    assert [one.fraction for one in reports if one.stage == "training"][-1] == 1.0


@pytest.mark.parametrize("after", [0, 3])
def test_cancel_within_two_seconds(data: TrainSet, tmp_path: Path, after: int) -> None:
    told_at: list[float] = []
    batches: list[Progress] = []

    def cancelled() -> bool:
        if len(batches) >= after and not told_at:
            told_at.append(time.monotonic())
        return bool(told_at)

    context = TrainContext(
        tmp_path,
        threads=2,
        report=lambda one: batches.append(one) if one.stage == "training" else None,
        cancelled=cancelled,
    )
    with pytest.raises(Cancelled):
        YoloTrainer().train(replace(SHORT, passes=100_000), data, context)
    assert time.monotonic() - told_at[0] < 2.0


def test_reasons_are_plain(data: TrainSet, settings: Settings, tmp_path: Path) -> None:
    trainer = YoloTrainer()
    empty = tuple(replace(image, boxes=()) for image in data.train)
    with pytest.raises(TrainingError, match="none of the images to train on has a label"):
        trainer.train(SHORT, replace(data, train=empty), TrainContext(tmp_path / "empty"))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    images = (replace(data.train[0], path=broken), *data.train[1:])
    with pytest.raises(TrainingError, match="some of the images cannot be read"):
        trainer.train(SHORT, replace(data, train=images), TrainContext(tmp_path / "broken"))
    with pytest.raises(TrainingError, match="no image is left to score"):
        train_candidate(
            SHORT, replace(data, train=data.train[:1], held_out=()), TrainContext(tmp_path / "none"), trainer, settings
        )


LONELY = """
import socket, sys
from pathlib import Path
def refuse(*args, **kwargs):
    raise AssertionError(f"network: {args}")
socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = socket.getaddrinfo = refuse
from custom_ai.training.contract import Recipe, TrainContext, TrainImage, TrainSet
from custom_ai.training.yolo import YoloTrainer
from custom_ai.types import Box, ImageSize
images = tuple(TrainImage(n, Path(sys.argv[2]), ImageSize(64, 64), (Box("a", .2, .2, .7, .7),)) for n in range(4))
recipe = Recipe("short", "Short", "yolo11n", "yolo11n.pt", image_size=64, passes=16, seconds=30.0)
YoloTrainer().train(recipe, TrainSet(("a",), images, ()), TrainContext(Path(sys.argv[1]), threads=1))
"""


def test_quiet_offline_and_tidy(tmp_path: Path) -> None:
    """In a fresh process, because ultralytics looks for the network and its settings while it is imported."""
    home, work, cwd = tmp_path / "home", tmp_path / "work", tmp_path / "cwd"
    for folder in (home, work, cwd):
        folder.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    before = set(tmp_path.rglob("*"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("YOLO_", "XDG_", "MPL"))}
    done = subprocess.run(
        [sys.executable, "-c", LONELY, str(work), str(tmp_path / "a.png")],
        env={**kept, "HOME": str(home), "TMPDIR": str(cwd)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    new = {path for path in set(tmp_path.rglob("*")) - before if not path.is_relative_to(work)}
    assert new == set()
    assert (work / "model.onnx").is_file()
