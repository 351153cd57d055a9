"""The client where the real Label Studio cannot be made to misbehave: lost answers, bad files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_label_studio import Call, Reply, as_json, serving

from custom_ai.errors import ImageError, LabelStudioUnreachable
from custom_ai.labelstudio import tasks as tasks_module
from custom_ai.labelstudio.client import LabelStudio, Session

PREDICTIONS: list[dict[str, Any]] = [{"task": n, "result": [], "score": 0.0, "model_version": "v"} for n in (1, 2, 3)]


@pytest.mark.parametrize("stored", [[], [1, 2], [1, 2, 3]])
def test_a_push_whose_answer_was_lost_is_completed(stored: list[int]) -> None:
    posted: list[list[int]] = []

    def answer(call: Call) -> Reply:
        if call.method == "POST":
            posted.append([row["task"] for row in json.loads(call.body)])
            return Reply(-1) if len(posted) == 1 else as_json({"created": len(posted[-1])}, 201)
        return as_json({"tasks": [{"id": n, "predictions_model_versions": "other,v"} for n in stored]})

    with serving(answer) as server, Session(server.url, "old", retry_s=0) as session:
        report = LabelStudio(session).push_predictions(7, PREDICTIONS)
    assert (report.created, report.rejected, report.gone) == (3, (), ())
    rest = [n for n in (1, 2, 3) if n not in stored]
    assert posted == [[1, 2, 3], *([rest] if rest else [])]


def test_a_push_to_a_label_studio_that_stays_away() -> None:
    with (
        serving(lambda _: Reply(503)) as server,
        Session(server.url, "old", retry_s=0) as session,
        pytest.raises(LabelStudioUnreachable),
    ):
        LabelStudio(session).push_predictions(7, PREDICTIONS)


def test_uploads_are_split_by_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tasks_module, "UPLOAD_BYTES", 100)
    sent: list[int] = []

    def answer(call: Call) -> Reply:
        sent.append(call.body.count(b"filename="))
        return as_json({"task_ids": list(range(sent[-1]))})

    with serving(answer) as server, Session(server.url, "old") as session:
        client = LabelStudio(session)
        images: list[tuple[str, Any]] = [(f"{n}.jpg", b"x" * 40) for n in range(5)]
        assert len(client.upload_images(7, images)) == 5
        assert sent == [2, 2, 1]
        assert client.upload_images(7, []) == []
        with pytest.raises(ImageError, match=r"big\.jpg.*larger"):
            client.upload_images(7, [("big.jpg", b"x" * 101)])
        with pytest.raises(ImageError, match=r"gone\.jpg"):
            client.upload_images(7, [("gone.jpg", tmp_path / "gone.jpg")])
