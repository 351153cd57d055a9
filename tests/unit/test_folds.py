"""An honest score from few pictures: the folds, and a candidate whose siblings are scored."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from custom_ai.dataset import held_out, make_snapshot
from custom_ai.errors import Cancelled, TrainingError
from custom_ai.settings import Settings, load_settings
from custom_ai.training.candidate import CROSS_VALIDATED, HELD_OUT, CandidateResult, train_candidate
from custom_ai.training.contract import Progress, Recipe, TrainContext, TrainImage, TrainSet
from custom_ai.training.folds import ENOUGH, FOLDS, SHARE, make_folds, plan
from custom_ai.types import Box, ImageSize, LabelledTask
from fake_trainer import FakeTrainer

RECIPE = Recipe("fake", "Fake", "none", "", image_size=64, passes=400, seconds=100.0)


def pictures(folder: Path, count: int) -> tuple[TrainImage, ...]:
    """Each with a cat; every third also with a dog."""
    path = folder / "a.png"
    Image.new("RGB", (32, 32)).save(path)
    cat, dog = Box("cat", 0.3, 0.3, 0.7, 0.7), Box("dog", 0.0, 0.0, 0.2, 0.2)
    return tuple(
        TrainImage(n, path, ImageSize(32, 32), (cat, dog) if n % 3 == 0 else (cat,)) for n in range(1, count + 1)
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(state_dir=tmp_path / "state", download_weights=False)


Train = Callable[..., CandidateResult]


@pytest.fixture
def train(tmp_path: Path, settings: Settings) -> Train:
    def run(trainer: FakeTrainer, data: TrainSet, **context: object) -> CandidateResult:
        (tmp_path / "work").mkdir()
        return train_candidate(RECIPE, data, TrainContext(tmp_path / "work", **context), trainer, settings)  # type: ignore[arg-type]

    return run


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 11, 12, 60])
def test_folds_share_out_every_picture_once(tmp_path: Path, count: int) -> None:
    images = pictures(tmp_path, count)
    folds = make_folds(images)
    assert sorted(one.task_id for fold in folds for one in fold) == [one.task_id for one in images]
    assert len(folds) == min(count, FOLDS)
    assert all(folds)
    sizes = [len(fold) for fold in folds]
    assert not sizes or max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("count", [9, 12, 30])
def test_rare_classes_are_spread_evenly(tmp_path: Path, count: int) -> None:
    dogs = [
        sum(box.label == "dog" for one in fold for box in one.boxes) for fold in make_folds(pictures(tmp_path, count))
    ]
    assert max(dogs) - min(dogs) <= 1


def test_folds_do_not_depend_on_the_order(tmp_path: Path) -> None:
    images = list(pictures(tmp_path, 20))
    before = [{one.task_id for one in fold} for fold in make_folds(images)]
    random.Random(1).shuffle(images)
    assert [{one.task_id for one in fold} for fold in make_folds(images)] == before


def test_pictures_are_held_out_when_there_are_many_or_people_need_them(tmp_path: Path) -> None:
    images = pictures(tmp_path, ENOUGH)
    few = images[:12]

    def snapshot(some: tuple[TrainImage, ...]):  # type: ignore[no-untyped-def]
        return make_snapshot([LabelledTask(one.task_id, "a", one.boxes, 1, "", True) for one in some], ["cat", "dog"])

    assert plan(snapshot(few), few).held_out == ()
    assert plan(snapshot(few), few).train == few
    for some, hold_out in ((few, True), (images, False)):
        data = plan(snapshot(some), some, hold_out=hold_out)
        assert {one.task_id for one in data.held_out} == held_out(snapshot(some))
        assert {*data.train, *data.held_out} == {*some}


def test_siblings_are_scored_on_what_they_never_saw(train: Train, tmp_path: Path) -> None:
    images = pictures(tmp_path, 11)
    reports: list[Progress] = []
    trainer = FakeTrainer()
    result = train(trainer, TrainSet(("cat", "dog"), images, ()), report=reports.append)
    candidate, *siblings = trainer.seen
    assert candidate.train == images
    assert len(siblings) == FOLDS
    for sibling in siblings:
        assert {*sibling.train, *sibling.held_out} == {*images}
        assert {*sibling.train}.isdisjoint(sibling.held_out)
    assert sorted(one.task_id for sibling in siblings for one in sibling.held_out) == [one.task_id for one in images]
    assert sorted(result.predictions) == [one.task_id for one in images]
    assert (result.scores.images, result.scores.method) == (11, CROSS_VALIDATED)
    assert result.scores.map50_low <= result.scores.map50 <= result.scores.map50_high
    assert result.recipe == RECIPE
    assert result.trained.onnx_path.is_file()
    assert [path.name for path in result.trained.onnx_path.parent.iterdir() if path.is_dir()] == []
    assert all(one.fraction <= other.fraction for one, other in pairwise(reports))
    assert (reports[-1].fraction, reports[-1].seconds_left) == (1.0, 0.0)
    assert [one.stage for one in reports if one.loss is not None] == ["training"]  # siblings' losses are not shown


def test_siblings_share_the_candidates_time(train: Train, tmp_path: Path) -> None:
    class Watch(FakeTrainer):
        recipes: list[Recipe]

        def train(self, recipe, data, context):  # type: ignore[no-untyped-def]
            self.recipes.append(recipe)
            return super().train(recipe, data, context)

    trainer = Watch()
    trainer.recipes = []
    train(trainer, TrainSet(("cat", "dog"), pictures(tmp_path, 12), ()))
    own, *siblings = trainer.recipes
    assert own.passes == RECIPE.passes
    assert {one.passes for one in siblings} == {round(RECIPE.passes * SHARE)}
    assert own.seconds < RECIPE.seconds / (1 + FOLDS * SHARE)
    assert all(one.seconds < RECIPE.seconds / 2 for one in siblings[:-1])  # what is left over is for the last


def test_held_out_pictures_are_used_when_there_are_any(train: Train, tmp_path: Path) -> None:
    images = pictures(tmp_path, 12)
    trainer = FakeTrainer()
    result = train(trainer, TrainSet(("cat", "dog"), images[:9], images[9:]))
    assert len(trainer.seen) == 1
    assert (result.scores.images, result.scores.method) == (3, HELD_OUT)


@pytest.mark.parametrize("trainings", [1, 2, FOLDS + 1])
def test_cancelling_works_in_every_training(train: Train, tmp_path: Path, trainings: int) -> None:
    trainer = FakeTrainer()
    with pytest.raises(Cancelled):
        train(
            trainer,
            TrainSet(("cat", "dog"), pictures(tmp_path, 12), ()),
            cancelled=lambda: len(trainer.seen) >= trainings,
        )
    assert len(trainer.seen) <= trainings + (trainings == 1)  # the candidate itself predicts nothing here


def test_labels_that_all_lie_in_one_picture(train: Train, tmp_path: Path) -> None:
    """The sibling that should be scored on it has nothing to learn from: it finds nothing, and that counts."""
    first, *others = pictures(tmp_path, 6)
    images = (first, *(TrainImage(one.task_id, one.path, one.size, ()) for one in others))
    trainer = FakeTrainer()
    result = train(trainer, TrainSet(("cat",), images, ()))
    assert all(any(one.boxes for one in data.train) for data in trainer.seen)
    assert result.scores.map50 == 0.0


def test_one_picture_cannot_be_scored(train: Train, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no image is left to score"):
        train(FakeTrainer(), TrainSet(("cat",), pictures(tmp_path, 1), ()))


def test_near_duplicates_stay_on_one_side(tmp_path: Path) -> None:
    images = tuple(replace(one, group=one.task_id // 4) for one in pictures(tmp_path, 24))
    for fold in make_folds(images):
        rest = [one for one in images if one not in fold]
        assert {one.group for one in fold}.isdisjoint(one.group for one in rest)
    assert sum(len(fold) for fold in make_folds(images)) == 24
    tasks = [LabelledTask(one.task_id, "a.png", one.boxes, 1, "", True) for one in images]
    data = plan(make_snapshot(tasks, ["cat", "dog"]), images, hold_out=True)
    assert data.held_out
    assert {one.group for one in data.held_out}.isdisjoint(one.group for one in data.train)


def test_a_series_of_one_scene_is_scored_all_the_same(tmp_path: Path) -> None:
    images = [replace(one, group=1) for one in pictures(tmp_path, 6)]
    assert len(make_folds(images)) == FOLDS
