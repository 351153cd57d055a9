"""Other things than faces are hidden by a model that people trained themselves."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from networks import CLASSES, tiny_network
from PIL import Image

from custom_ai import wiring
from custom_ai.cli import main
from custom_ai.errors import BadInput, CustomAIError, ModelError
from custom_ai.plugins import FACES
from custom_ai.settings import Settings, load_settings
from custom_ai_deid.areas import Area, iou
from custom_ai_deid.deidentify import Deidentifier, Options
from custom_ai_deid.hiding import Hiding
from custom_ai_deid.journal import REPORT
from custom_ai_deid.trained import TrainedModel

ASTRONAUT = Path(__file__).parents[1] / "data" / "astronaut.jpg"


def exported(folder: Path, thresholds: dict[str, float] | None = None) -> Path:
    """As export-model writes it: sees a "b" of 8 x 8 pixels at (16, 16), as sure as the picture is red."""
    card = {"classes": CLASSES, "image_size": 64, "thresholds": thresholds}
    return tiny_network(folder / "p1-m5-model.onnx", card=json.dumps(card))


def red(share: float, side: int = 64) -> bytes:
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[..., 0] = round(255 * share)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_what_the_model_finds_is_hidden_beside_the_faces(tmp_path: Path) -> None:
    path = exported(tmp_path, {"b": 0.3})
    deidentifier = Deidentifier(Options(models=(path,), classes=("b",), hiding=Hiding(style="solid")))
    done = deidentifier.process(ASTRONAUT.read_bytes(), "photo.jpg")
    face, badge = done.areas
    assert iou(face, Area(83, 61, 173, 176)) > 0.5
    side = 8 * 320 / 64  # of the photo, which the network sees 64 pixels wide
    assert (badge.width, badge.height) == (pytest.approx(side, rel=0.01), pytest.approx(side, rel=0.01))
    after = np.asarray(Image.open(io.BytesIO(done.data)))
    assert after[int(badge.y1) : int(badge.y2), int(badge.x1) : int(badge.x2)].max() < 40  # black, as far as JPEG goes
    assert "p1-m5-model.onnx" in deidentifier.detectors[-1]
    assert "b 0.150" in deidentifier.detectors[-1]


@pytest.mark.parametrize(("share", "found"), [(0.14, 0), (0.16, 1)])
def test_less_sure_than_for_pre_labels_is_enough(tmp_path: Path, share: float, found: int) -> None:
    model = TrainedModel(exported(tmp_path, {"b": 0.3}), ("b",))
    assert len(model.find(np.asarray(Image.open(io.BytesIO(red(share)))))) == found


def test_a_class_that_is_not_wanted_stays(tmp_path: Path) -> None:
    deidentifier = Deidentifier(Options(models=(exported(tmp_path),), classes=("a",)))
    assert deidentifier.process(red(0.9), "a.png").areas == ()


@pytest.mark.parametrize(
    ("classes", "message"),
    [(("badge",), r"badge \(p1-m5-model.onnx: a, b\) cannot be used"), (("b", "plate"), "plate cannot be used")],
)
def test_classes_that_nobody_knows(tmp_path: Path, classes: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Deidentifier(Options(models=(exported(tmp_path),), classes=classes))


def test_models_that_cannot_be_used(tmp_path: Path) -> None:
    tiny_network(tmp_path / "without_a_card.onnx")
    tiny_network(tmp_path / "half_a_card.onnx", card=json.dumps({"classes": []}))
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    for name, why in (
        ("without_a_card.onnx", "which classes"),
        ("half_a_card.onnx", "which classes"),
        ("broken.onnx", "not a readable ONNX file"),
        ("missing.onnx", "cannot be read"),
    ):
        with pytest.raises(ModelError, match=why):
            TrainedModel(tmp_path / name)


def test_in_the_settings_for_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOM_AI_HIDE_MODELS", str(exported(tmp_path)))
    monkeypatch.setenv("CUSTOM_AI_HIDE_CLASSES", "b, ")
    settings: Settings = load_settings(state_dir=tmp_path)
    assert settings.hide_classes == ("b",)
    hidden = wiring.hider(settings, FACES)(red(0.9), "a.png")
    ((x1, y1, x2, y2, score),) = hidden.areas
    assert (x1, y1, x2, y2) == (12, 12, 20, 20)
    assert score == pytest.approx(0.9, abs=0.01)
    monkeypatch.setenv("CUSTOM_AI_HIDE_CLASSES", "plate")
    with pytest.raises(CustomAIError, match="plate"):
        wiring.hider(load_settings(state_dir=tmp_path), FACES)


def test_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(red(0.9))
    command = ["custom-ai", "deidentify", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", [*command, "--model", str(exported(tmp_path)), "--classes", "a,b"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    report = json.loads((tmp_path / "out" / REPORT).read_text())
    assert report["images"][0]["areas"] == [[12.0, 12.0, 20.0, 20.0, pytest.approx(0.9, abs=0.01)]]
    assert "(a 0.250, b 0.250)" in report["settings"]["detectors"][-1]
