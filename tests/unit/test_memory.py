"""Batches that fit: by arithmetic, and in a process that really has not enough memory."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from custom_ai.training.contract import Recipe
from custom_ai.training.memory import batch_on_gpu, smaller

RECIPE = Recipe("one", "One", "yolov5n", "", image_size=320, passes=4000, seconds=170.0)


def test_smaller_by_halves_then_by_the_size_of_the_input() -> None:
    tried = []
    recipe: Recipe | None = RECIPE
    while recipe is not None:
        tried.append((recipe.batch, recipe.image_size))
        recipe = smaller(recipe)
    assert tried == [(4, 320), (2, 320), (1, 320), (1, 256), (1, 192)]


@pytest.mark.parametrize(
    ("passes", "images", "batch"),
    [(4000, 10, 4), (4000, 5000, 4), (40_000, 10, 4), (40_000, 300, 16), (400_000, 5000, 64)],
)
def test_larger_on_a_gpu_only_with_many_images_and_passes(passes: int, images: int, batch: int) -> None:
    assert batch_on_gpu(replace(RECIPE, passes=passes), images) == batch


CRAMPED = """
import json, resource, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from PIL import Image
from custom_ai.errors import TrainingError
from custom_ai.training.contract import Recipe, TrainContext, TrainImage, TrainSet
from custom_ai.training.yolo import YoloTrainer
from custom_ai.types import Box, ImageSize

folder = Path(sys.argv[1])
path = folder / "a.png"
Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
images = tuple(TrainImage(n, path, ImageSize(64, 64), (Box("a", 0.2, 0.2, 0.7, 0.7),)) for n in range(4))
data = TrainSet(("a",), images, ())
notes = []
tell = lambda template, **values: notes.append(template.format(**values))

def train(name, recipe):
    (folder / name).mkdir()
    return YoloTrainer().train(recipe, data, TrainContext(folder / name, "cpu", 1, tell=tell))

warm = Recipe("x", "X", "yolov5n", "", image_size=64, passes=2, seconds=30.0, batch=2)
train("warm", warm)  # everything is loaded: from here on memory is needed for pictures only
assert notes == []
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]),) * 2)
try:
    trained = train("large", replace(warm, image_size=448, passes=32, batch=32))
except TrainingError as error:
    print(json.dumps([str(error), notes]))
    sys.exit(3)
print(json.dumps([trained.batch, trained.image_size, trained.passes, notes]))
"""


def test_training_goes_on_with_what_fits(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CRAMPED, str(tmp_path), "600_000_000".replace("_", "")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 3), done.stderr[-2000:]
    *outcome, notes = json.loads(done.stdout.splitlines()[-1])
    assert notes[0] == "There was not enough memory; going on with 16 images at a time, 448 pixels wide."
    if done.returncode == 3:  # how much fits depends on what the allocator made of the memory before
        assert "there is not enough memory, not even for one small image at a time" in outcome[0]
        assert len(notes) == 8  # five halves of the batch, then three smaller inputs
        return
    batch, size, passes = outcome
    assert 1 <= batch < 32
    assert size in (448, 320, 256, 192)
    assert passes >= 32
    if size == 448:
        assert len(notes) == {16: 1, 8: 2, 4: 3, 2: 4, 1: 5}[batch]
