"""A start from ImageNet: torchvision's network under our heads. Random numbers stand for the published ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from custom_ai.errors import TrainingError
from custom_ai.serving.engine import Model
from custom_ai.training import imagenet
from custom_ai.training.contract import BaseWeights, Recipe, TrainContext, TrainImage, TrainSet
from custom_ai.training.weights import IMAGENET
from custom_ai.training.yolo import YoloTrainer
from custom_ai.types import Box, ImageSize, LabelKind

RECIPE = Recipe("imagenet", "ImageNet", imagenet.ARCHITECTURE, IMAGENET, image_size=64, passes=8, seconds=60.0)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as torchvision publishes it, with every number different from those of a new network."""
    path = tmp_path_factory.mktemp("weights") / "mobilenet.pth"
    torch.manual_seed(7)
    network = torchvision.models.mobilenet_v2(weights=None)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_mean"):
            tensor += torch.randn_like(tensor) * 0.1
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainSet:
    folder = tmp_path_factory.mktemp("images")
    corners = ((0.3, 0.2), (0.8, 0.3), (0.7, 0.8), (0.2, 0.7))
    images = []
    for number in range(4):
        path = folder / f"{number}.png"
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
        images.append(TrainImage(number, path, ImageSize(64, 64), (Box("a", 0.2, 0.2, 0.8, 0.8, outline=corners),)))
    return TrainSet(("a", "b"), tuple(images), ())


def test_the_normalisation_is_folded_in(published: Path) -> None:
    original = torchvision.models.mobilenet_v2(weights=None)
    original.load_state_dict(torch.load(published, weights_only=True))
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    normalised = torchvision.transforms.functional.normalize(pixels, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    folded = imagenet.load_backbone(published).model[0].m.eval()
    with torch.no_grad():
        theirs, ours = original.eval().features[0](normalised), folded[0](pixels)
    # At the edge their padding is grey and ours black.
    torch.testing.assert_close(ours[..., 1:, 1:], theirs[..., 1:, 1:], atol=1e-4, rtol=1e-4)


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    for content in ({"a": torch.zeros(1)}, torch.nn.Linear(1, 1)):  # other tensors; and a pickle that would run code
        torch.save(content, path)
        with pytest.raises(TrainingError, match="not the one that was published"):
            imagenet.load_backbone(path)


@pytest.mark.parametrize("kind", list(LabelKind))
def test_every_kind_trains_and_serves(kind: LabelKind, data: TrainSet, published: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    weights = {IMAGENET: BaseWeights(published, "ImageNet")}
    context = TrainContext(tmp_path, threads=2, weights=weights)
    recipe = replace(RECIPE, freeze=imagenet.BACKBONE)
    trained = YoloTrainer().train(recipe, replace(data, kind=kind), context)
    assert trained.base_weights == "ImageNet"
    state = torch.load(trained.weights_path, weights_only=False)["model"].state_dict()
    before = imagenet.load_backbone(published).state_dict()
    assert set(before) <= set(state)
    frozen = "model.0.m.4.conv.0.0.weight"
    torch.testing.assert_close(state[frozen].float(), before[frozen], atol=1e-3, rtol=1e-2)
    model = Model.load(trained.onnx_path, data.classes, 64, 2)
    assert model.kind is kind
    tall = np.zeros((96, 40, 3), np.uint8)
    assert len(model.predict([tall, tall.transpose(1, 0, 2)], 0.0001)) == 2
