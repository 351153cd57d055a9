"""Siblings in a second process: found by entry point, killed, orphaned, cancelled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from custom_ai.errors import Cancelled, TrainingError
from custom_ai.settings import Settings, load_settings
from custom_ai.training.candidate import train_candidate
from custom_ai.training.contract import Progress, Recipe, TrainContext, TrainerSpec, TrainImage, TrainSet
from custom_ai.types import Box, ImageSize, LabelKind
from fake_trainer import FakeTrainer

RECIPE = Recipe("short", "Short", "net", "", image_size=64, passes=40, seconds=60.0)
PLUGIN = """
import os, signal, time
from fake_trainer import FakeTrainer
from custom_ai.errors import Cancelled, TrainingError
from pathlib import Path

class Obedient(FakeTrainer):
    def train(self, recipe, data, context):
        Path(os.environ["SEEN"]).joinpath(f"{os.getpid()}-{context.work_dir.name}").touch()
        return super().train(recipe, data, context)

class Dying(FakeTrainer):
    def train(self, recipe, data, context):
        os.kill(os.getpid(), signal.SIGKILL)

class Failing(FakeTrainer):
    def train(self, recipe, data, context):
        raise TrainingError(why="the cat ate it")

class Endless(FakeTrainer):
    def train(self, recipe, data, context):
        Path(os.environ["SEEN"]).joinpath(str(os.getpid())).touch()
        while not context.cancelled():
            time.sleep(0.05)
        raise Cancelled
"""


class Parent(FakeTrainer):
    """In this process; the one of the same name in the plug-in is the second process's."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.spec = TrainerSpec(name, (LabelKind.BOX,), second_process=True)


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the second process leaves traces; it finds the trainers of PLUGIN."""
    plugin = tmp_path / "plugin"
    info = plugin / "sibling_test-1.dist-info"
    info.mkdir(parents=True)
    (plugin / "sibling_trainers.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sibling-test\nVersion: 1\n")
    names = ("Obedient", "Dying", "Failing", "Endless")
    lines = [f"{name.lower()} = sibling_trainers:{name}" for name in names]
    (info / "entry_points.txt").write_text("[custom_ai.trainers]\n" + "\n".join(lines))
    folder = tmp_path / "seen"
    folder.mkdir()
    tests = Path(__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(plugin), str(tests)]))
    monkeypatch.setenv("SEEN", str(folder))
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(state_dir=tmp_path / "state", download_weights=False)


@pytest.fixture
def context(tmp_path: Path) -> TrainContext:
    work = tmp_path / "work"
    work.mkdir()
    return TrainContext(work, device="cpu", threads=2)


@pytest.fixture
def data(tmp_path: Path) -> TrainSet:
    path = tmp_path / "picture.png"
    Image.new("RGB", (64, 48)).save(path)
    box = Box("cat", 0.2, 0.2, 0.8, 0.8)
    return TrainSet(("cat",), tuple(TrainImage(n, path, ImageSize(64, 48), (box,)) for n in range(1, 8)), ())


def test_siblings_are_trained_beside_the_candidate(
    seen: Path, settings: Settings, context: TrainContext, data: TrainSet
) -> None:
    reports: list[Progress] = []
    trainer = Parent("obedient")
    result = train_candidate(RECIPE, data, replace(context, report=reports.append), trainer, settings)
    assert len(trainer.seen) == 1, "only the candidate itself is trained in this process"
    folds = sorted(path.name.split("-", 1)[1] for path in seen.iterdir())
    assert folds == ["fold-0", "fold-1"]
    assert {path.name.split("-")[0] for path in seen.iterdir()} != {str(os.getpid())}
    assert sorted(result.predictions) == [image.task_id for image in data.train]
    assert result.scores.images == len(data.train)
    assert reports[-1].fraction == 1.0
    assert [path.name for path in context.work_dir.iterdir() if path.is_dir()] == []


def test_a_killed_second_process_is_made_up_for(
    seen: Path, settings: Settings, context: TrainContext, data: TrainSet
) -> None:
    trainer = Parent("dying")
    result = train_candidate(RECIPE, data, context, trainer, settings)
    assert len(trainer.seen) == 3
    assert sorted(result.predictions) == [image.task_id for image in data.train]


def test_a_siblings_failure_is_told(seen: Path, settings: Settings, context: TrainContext, data: TrainSet) -> None:
    with pytest.raises(TrainingError, match="the cat ate it"):
        train_candidate(RECIPE, data, context, Parent("failing"), settings)


def test_cancelling_ends_the_second_process(
    seen: Path, settings: Settings, context: TrainContext, data: TrainSet
) -> None:
    trainer = Parent("endless")
    with pytest.raises(Cancelled):
        train_candidate(RECIPE, data, replace(context, cancelled=lambda: any(seen.iterdir())), trainer, settings)
    (trace,) = seen.iterdir()
    with pytest.raises(ProcessLookupError):
        os.kill(int(trace.name), 0)


ORPHAN = """
import sys
sys.path.insert(0, {here!r})
from test_siblings import *
trainer = Parent("endless")
path = Path({work!r}) / "picture.png"
Image.new("RGB", (64, 48)).save(path)
images = tuple(TrainImage(n, path, ImageSize(64, 48), (Box("cat", .2, .2, .8, .8),)) for n in range(1, 8))
context = TrainContext(Path({work!r}), device="cpu", threads=2)
train_candidate(RECIPE, TrainSet(("cat",), images, ()), context, trainer, load_settings(state_dir=Path({work!r})))
"""


def test_the_second_process_does_not_outlive_the_first(seen: Path, tmp_path: Path) -> None:
    script = ORPHAN.format(here=str(Path(__file__).parent), work=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", script]) as first:
        wait_for(lambda: any(seen.iterdir()))
        first.send_signal(signal.SIGKILL)
    (trace,) = seen.iterdir()
    wait_for(lambda: not alive(int(trace.name)))


def wait_for(condition, seconds: float = 60.0) -> None:  # type: ignore[no-untyped-def]
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, "waited in vain"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """A process that ended but was not collected by whoever adopted it does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
