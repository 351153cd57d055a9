"""Models to take away."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import onnx
import pytest

from custom_ai.errors import BadInput, ModelError, NotFound
from custom_ai.pipeline.export import card_text, model_card, model_file
from custom_ai.services import Services
from custom_ai.state.tables import Candidate, DatasetSnapshot, Project, Run
from fake_trainer import one_box_model
from support import services_in

SCORES = {
    "map50": 0.8,
    "map50_low": 0.7,
    "map50_high": 0.9,
    "map50_95": 0.5,
    "per_class": {"cat": {"ap50": 0.8, "precision": 0.9, "recall": 0.7, "threshold": 0.31, "boxes": 12}},
}


@pytest.fixture
def services(tmp_path: Path) -> Services:
    made = services_in(tmp_path)
    with made.database.write() as session:
        session.add(Project(id=1, title="Cats"))
        session.flush()
        data = DatasetSnapshot(project_id=1, sha256="d" * 64, images=12, counts={"cat": 15}, content=b"")
        session.add(data)
        session.flush()
        run = Run(
            project_id=1,
            trigger="person",
            requested_by="me",
            kind="box",
            classes=["cat"],
            status="done",
            snapshot_id=data.id,
        )
        session.add(run)
        session.flush()
        session.add(
            Candidate(
                id=5,
                run_id=run.id,
                project_id=1,
                place=0,
                title="YOLOv5n, mixed pictures",
                recipe={"name": "mixed"},
                classes=["cat"],
                status="done",
                base_weights="random start",
                image_size=256,
                passes=4000,
                seconds=61.0,
                scores=SCORES,
                thresholds={"cat": 0.31},
                onnx_sha256=made.store.put_bytes(one_box_model(1)),
                weights_sha256=made.store.put_bytes(b"weights"),
            )
        )
        session.add(Candidate(id=6, run_id=run.id, project_id=1, place=1, title="x", recipe={}, classes=["cat"]))
    return made


def test_the_card_says_what_a_model_is_made_of(services: Services) -> None:
    card = model_card(services, 5)
    assert card["version"] == "p1-m5"
    assert card["data"] == {"sha256": "d" * 64, "images": 12, "labels": {"cat": 15}}
    assert "AGPL-3.0" in card["licence"]
    text = card_text(card)
    assert "| cat | 0.800 | 0.900 | 0.700 | 0.310 | 12 |" in text
    assert "0.800 (90 % interval 0.700 to 0.900)" in text


def test_the_onnx_file_carries_thresholds_and_card(services: Services) -> None:
    name, content = model_file(services, 5, "onnx")
    assert name == "p1-m5-model.onnx"
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["thresholds"]) == {"cat": 0.31}
    assert json.loads(metadata["card"])["version"] == "p1-m5"


def test_the_weights_are_those_that_were_stored(services: Services) -> None:
    assert model_file(services, 5, "weights") == ("p1-m5-weights.pt", b"weights")


@pytest.mark.parametrize(
    ("model", "format", "error"), [(5, "pickle", BadInput), (6, "onnx", NotFound), (9, "onnx", NotFound)]
)
def test_what_cannot_be_taken_away(services: Services, model: int, format: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        model_file(services, model, format)


def test_a_changed_file_is_not_given_out(services: Services) -> None:
    sha256 = hashlib.sha256(b"weights").hexdigest()
    services.store.path(sha256).write_bytes(b"something else")
    with pytest.raises(ModelError, match="was changed"):
        model_file(services, 5, "weights")
