"""Which four candidates are tried, and how a recipe is stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from custom_ai.settings import Settings, load_settings
from custom_ai.training.contract import Recipe, TrainImage, TrainSet
from custom_ai.training.recipes import PIECE_SIZE, SIZES, DataSummary, choose_recipes, image_size_for, summarise
from custom_ai.training.weights import CUSTOM, IMAGENET
from custom_ai.types import Box, ImageSize


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(state_dir=tmp_path, candidate_passes=1234, candidate_seconds=56.0)


def data(side: float, count: int = 12) -> TrainSet:
    """Pictures with one square of ``side`` times the longer picture side."""
    box = Box("a", 0.1, 0.1, 0.1 + side, 0.1 + side * 4 / 3)
    images = tuple(TrainImage(n, Path("x.jpg"), ImageSize(640, 480), (box,)) for n in range(count))
    return TrainSet(("a",), images, ())


def test_candidates_differ(settings: Settings) -> None:
    recipes = choose_recipes(summarise(data(0.2)), settings)
    assert len({recipe.name for recipe in recipes}) == 4
    assert len({recipe.title for recipe in recipes}) == 4
    assert len({recipe.architecture for recipe in recipes}) >= 3
    assert len({recipe.mosaic for recipe in recipes}) >= 2
    assert len({recipe.image_size for recipe in recipes}) >= 2
    assert {(recipe.passes, recipe.seconds) for recipe in recipes} == {(1234, 56.0)}


@pytest.mark.parametrize(("side", "size"), [(0.5, SIZES[0]), (0.064, 256), (0.06, 320), (0.03, 640), (0.001, 640)])
def test_small_objects_get_larger_inputs(side: float, size: int) -> None:
    assert image_size_for(summarise(data(side))) == size


def test_own_weights_decide_the_network(settings: Settings) -> None:
    own = settings.model_copy(update={"base_weights": Path("own.pt")})
    recipes = choose_recipes(summarise(data(0.2)), own)
    assert {(recipe.architecture, recipe.base_weights) for recipe in recipes} == {("", CUSTOM)}
    assert len({recipe.to_json() for recipe in recipes}) == 4


def test_without_coco_two_of_four_start_from_imagenet(settings: Settings) -> None:
    recipes = choose_recipes(summarise(data(0.2)), settings, "imagenet")
    assert [recipe.base_weights == IMAGENET for recipe in recipes] == [False, True, False, True]
    frozen, learning = recipes[1], recipes[3]
    assert (frozen.freeze, learning.freeze) == (1, 0)
    assert len({recipe.title for recipe in recipes}) == 4


def test_the_finer_candidate_begins_with_small_pictures(settings: Settings) -> None:
    fine = [choose_recipes(summarise(data(side)), settings)[2] for side in (0.5, 0.06, 0.03)]
    assert [(one.early_size, one.image_size) for one in fine] == [(192, 256), (320, 448), (0, 640)]


@pytest.mark.parametrize(
    ("small_side", "longer_px", "piece"),
    [
        (0.2, 640, 1.0),
        (0.025, 640, 1.0),  # 16 pixels in the largest input
        (0.02, 2000, 0.4),
        (0.01, 4000, 0.2),
        (0.01, 640, 0.25),  # enlarged twice and not more
        (0.001, 8000, 0.12),  # some hundred pieces and not more
        (0.02, 200, 1.0),  # nothing to be gained
    ],
)
def test_pictures_with_tiny_objects_are_looked_at_in_pieces(
    small_side: float, longer_px: float, piece: float, settings: Settings
) -> None:
    summary = DataSummary(10, 30, small_side, longer_px)
    recipes = choose_recipes(summary, settings)
    assert {one.piece for one in recipes} == {piece}
    assert recipes[0].image_size == (image_size_for(summary) if piece == 1.0 else PIECE_SIZE)


def test_nothing_labelled_is_no_error(settings: Settings) -> None:
    assert len(choose_recipes(summarise(TrainSet(("a",), (), ())), settings)) == 4


def test_recipe_round_trip(settings: Settings) -> None:
    for recipe in choose_recipes(summarise(data(0.2)), settings):
        assert Recipe.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 100}, "multiple of 32, got 100"),
        ({"early_size": 100}, "early size up to [0-9]+, by 32, got 100"),
        ({"early_size": 960}, "early size up to"),
        ({"passes": 0}, "positive budget, got 0"),
        ({"piece": 0.0}, "pieces of more than 0 and at most 1 of a picture, got 0.0"),
        ({"piece": 1.5}, "got 1.5"),
        ({"architecture": "", "base_weights": ""}, "needs an architecture or base weights"),
        ({"colour": "red"}, "unknown keys"),
        ({"name": None}, "incomplete"),  # missing
    ],
)
def test_impossible_recipes_are_refused(settings: Settings, change: dict[str, object], message: str) -> None:
    values = json.loads(choose_recipes(summarise(data(0.2)), settings)[0].to_json())
    values = {key: value for key, value in {**values, **change}.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        Recipe.from_json(json.dumps(values))


def test_train_set_keeps_its_sides_apart() -> None:
    image = data(0.2, 1).train[0]
    with pytest.raises(ValueError, match="both trained on and held out"):
        TrainSet(("a",), (image,), (image,))
    with pytest.raises(ValueError, match="expected only the classes"):
        TrainSet(("b",), (image,), ())
