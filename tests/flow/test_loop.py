"""The main job on a real Label Studio: hand labels -> four models -> a vote -> pre-labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from stack import LABELLED, UNTOUCHED, Stack, eventually, scenes_in

from custom_ai.demo.label_studio_server import LabelStudioServer
from custom_ai.demo.scenes import Scene

pytestmark = pytest.mark.flow


class Loop:
    """What the tests of this module share: one project that went the whole way."""

    def __init__(self, stack: Stack, scenes: list[Scene]) -> None:
        self.stack, self.scenes = stack, scenes
        self.project_id = stack.new_project(title="Loop")
        self.ids = stack.upload(self.project_id, scenes)
        for task, scene in zip(self.ids[:LABELLED], scenes[:LABELLED], strict=True):
            stack.annotate(self.project_id, task, scene)
        self.labels_before = stack.annotations(self.project_id)
        stack.ask("POST", f"/projects/{self.project_id}/connect")
        self.run: Any = stack.ask("POST", f"/projects/{self.project_id}/runs")
        self.run = stack.wait_for_run(self.run["id"])
        self.selection: Any = stack.project(self.project_id)["selection"]
        self.rounds: Any = stack.ask("GET", f"/selections/{self.selection['id']}/ballots")["rounds"]
        self.result: Any = stack.vote(self.selection["id"])
        self.version: str = self.result["winner"]["version"]
        job = stack.ask("POST", f"/projects/{self.project_id}/auto-label", {"count": UNTOUCHED - 3, "threshold": 0.05})
        self.job: Any = stack.wait_for_job(job["id"])


@pytest.fixture(scope="module")
def loop(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    yield Loop(stack, scenes_in(tmp_path_factory.mktemp("scenes"), LABELLED + UNTOUCHED))


def test_the_run_trains_four_different_candidates(loop: Loop) -> None:
    assert loop.run["status"] == "done", loop.run["reason"]
    candidates = loop.run["candidates"]
    assert [one["status"] for one in candidates] == ["done"] * 4, [one["reason"] for one in candidates]
    assert len({one["sha256"] for one in candidates}) == 4
    assert all(0.0 <= one["map50"] <= 1.0 for one in candidates)
    assert all(one["base_weights"] for one in candidates)
    assert loop.run["images"] == LABELLED


def test_the_vote_shows_every_candidate_once_without_names(loop: Loop) -> None:
    assert loop.selection["status"] == "open"
    assert len(loop.rounds) == 5
    assert len({one["image"] for one in loop.rounds}) == 5
    touched = set(loop.ids[:LABELLED])
    for one in loop.rounds:
        assert len(one["places"]) == 4
        assert one["task"] not in touched
        assert one["picks"] is None
        assert "version" not in json.dumps(one)


def test_closing_the_vote_promotes_the_winner(loop: Loop) -> None:
    assert loop.result["status"] == "closed"
    votes = [one["votes"] for one in loop.result["result"]]
    assert votes == sorted(votes, reverse=True)
    assert sum(votes) == 5
    assert loop.result["winner"]["version"] == loop.result["result"][0]["version"]
    assert loop.stack.project(loop.project_id)["champion"]["version"] == loop.version


def test_pre_labels_are_in_label_studio_once_each(loop: Loop) -> None:
    tasks = loop.job["tasks"]
    assert loop.job["status"] == "done", loop.job["reason"]
    assert tasks == {"total": UNTOUCHED - 3, "done": UNTOUCHED - 3, "waiting": 0, "failed": 0, "skipped": 0}
    counts = loop.stack.predictions(loop.project_id, loop.version)
    assert all(counts[task] == 0 for task in loop.ids[:LABELLED])
    assert sorted(counts[task] for task in loop.ids[LABELLED:]) == [0] * 3 + [1] * (UNTOUCHED - 3)


def test_label_studio_shows_the_champions_version(loop: Loop) -> None:
    assert loop.stack.studio.project(loop.project_id).model_version == loop.version


def test_nobodys_annotation_was_touched(loop: Loop) -> None:
    assert loop.stack.annotations(loop.project_id) == loop.labels_before


def test_opening_an_untouched_task_brings_a_prediction(loop: Loop) -> None:
    counts = loop.stack.predictions(loop.project_id, loop.version)
    task = next(one for one in loop.ids[LABELLED:] if counts[one] == 0)
    opened = loop.stack.studio.session.get(f"/api/tasks/{task}/")
    assert [one["model_version"] for one in opened["predictions"]] == [loop.version]


def test_the_configs_score_threshold_is_honoured(loop: Loop) -> None:
    """model_score_threshold on the control wins over the model's own thresholds."""
    config = loop.stack.studio.project(loop.project_id).label_config
    task = loop.stack.studio.task(loop.project_id, loop.ids[LABELLED])

    def boxes(threshold: str) -> int:
        changed = config.replace("<RectangleLabels ", f'<RectangleLabels model_score_threshold="{threshold}" ')
        body = {"tasks": [task], "project": f"{loop.project_id}.1", "label_config": changed, "params": {}}
        answer = httpx.post(f"{loop.stack.url}/predict", json=body, timeout=60)
        (result,) = answer.json()["results"]
        return len(result["result"])

    assert boxes("1.0") == 0
    assert boxes("0.0001") > 0


def test_one_bad_task_does_not_spoil_the_others_predictions(loop: Loop) -> None:
    good = loop.stack.studio.task(loop.project_id, loop.ids[LABELLED])
    bad = {"id": 999_999, "data": {"image": "/data/upload/0/gone.jpg"}}
    foreign = {"id": 999_998, "data": {"image": "http://169.254.169.254/latest/meta-data"}}
    config = loop.stack.studio.project(loop.project_id).label_config
    body = {"tasks": [bad, good, foreign], "project": str(loop.project_id), "label_config": config, "params": {}}
    results = httpx.post(f"{loop.stack.url}/predict", json=body, timeout=60).json()["results"]
    assert results[0] == []
    assert results[1]["model_version"] == loop.version
    assert results[2] == []


def test_versions_lists_the_champion(loop: Loop) -> None:
    assert loop.version in httpx.get(f"{loop.stack.url}/versions").json()["versions"]


def test_new_imports_are_pre_labelled_by_themselves(loop: Loop) -> None:
    stack, project_id = loop.stack, loop.project_id
    stack.ask("PATCH", f"/projects/{project_id}", {"auto_label": True})
    try:
        (new,) = stack.upload(project_id, [loop.scenes[0]])
        eventually(lambda: stack.predictions(project_id, loop.version).get(new) == 1, 60, "the import is pre-labelled")
    finally:
        stack.ask("PATCH", f"/projects/{project_id}", {"auto_label": False})


def test_rolling_back_to_another_model(loop: Loop) -> None:
    stack, project_id = loop.stack, loop.project_id
    other = next(one for one in loop.run["candidates"] if one["version"] != loop.version)
    stack.ask("POST", f"/projects/{project_id}/models/{other['id']}/promote")
    job = stack.ask("POST", f"/projects/{project_id}/auto-label", {"count": 2})
    assert stack.wait_for_job(job["id"])["tasks"]["done"] == 2
    assert stack.studio.project(project_id).model_version == other["version"]
    winner = int(loop.version.rpartition("-m")[2])
    stack.ask("POST", f"/projects/{project_id}/models/{winner}/promote")
    eventually(lambda: stack.studio.project(project_id).model_version == loop.version, 30)
    assert [one["version"] for one in stack.ask("GET", f"/projects/{project_id}/models")["promotions"]][:2] == [
        loop.version,
        other["version"],
    ]


def test_corrections_become_the_models_live_score(loop: Loop) -> None:
    """Two pre-labelled tasks are submitted: one as it is, one with everything removed and one box drawn."""
    stack, project_id = loop.stack, loop.project_id
    tasks = [task for task in stack.studio.tasks(project_id, only_untouched=True) if task["predictions"]]
    seen = [(task, one) for task in tasks for one in task["predictions"] if one["model_version"] == loop.version]
    (kept, as_it_is), (changed, wrong) = sorted(seen, key=lambda pair: -len(pair[1]["result"]))[:2]
    accepted = [region | {"origin": "prediction"} for region in as_it_is["result"]]
    body = {"result": accepted, "parent_prediction": as_it_is["id"], "lead_time": 2.0}
    stack.studio.session.post(f"/api/tasks/{kept['id']}/annotations/", body)
    value = {"x": 1, "y": 1, "width": 2, "height": 2, "rotation": 0, "rectanglelabels": ["mug"]}
    drawn = {"id": "new", "from_name": "label", "to_name": "image", "type": "rectanglelabels", "value": value}
    body = {"result": [drawn | {"origin": "manual"}], "parent_prediction": wrong["id"], "lead_time": 2.0}
    stack.studio.session.post(f"/api/tasks/{changed['id']}/annotations/", body)
    number = int(loop.version.rpartition("-m")[2])

    def live() -> Any:
        models = stack.ask("GET", f"/projects/{project_id}/models")["models"]
        found = next(one["live"] for one in models if one["id"] == number)
        return found if found and found["tasks"] == 2 else None

    found = eventually(live, 30, "both reviews were seen")
    assert found["accepted"] == len(as_it_is["result"])
    assert (found["removed"], found["added"]) == (len(wrong["result"]), 1)


def test_notifications_tell_the_story(loop: Loop) -> None:
    told = loop.stack.ask("GET", f"/projects/{loop.project_id}/notifications")["notifications"]
    events = [one["event"] for one in reversed(told)]
    assert events[:5] == ["run_started", "first_model", "run_done", "selection_closed", "auto_label_done"]
    korean = loop.stack.ask("GET", f"/projects/{loop.project_id}/notifications?lang=ko")["notifications"]
    assert any("학습" in one["text"] for one in korean)


def test_a_thousand_tasks(loop: Loop) -> None:
    stack, project_id = loop.stack, loop.project_id
    image = stack.studio.task(project_id, loop.ids[LABELLED])["data"]["image"]
    stack.studio.import_tasks(project_id, [{"data": {"image": image}} for _ in range(1000)])
    eventually(lambda: stack.project(project_id)["tasks"]["untouched"] >= 1000, 60, "the import was seen")
    job = stack.ask("POST", f"/projects/{project_id}/auto-label", {"count": 1000})
    ended = stack.wait_for_job(job["id"], 300)
    assert ended["tasks"] == {"total": 1000, "done": 1000, "waiting": 0, "failed": 0, "skipped": 0}
    counts = stack.predictions(project_id, loop.version)
    assert max(counts.values()) == 1
    assert sum(counts.values()) >= 1000


def test_the_status_command_shows_the_project(loop: Loop) -> None:
    done = loop.stack.command("status", environment={"COLUMNS": "200", "LANG": "C"})
    assert done.returncode == 0, done.stderr
    assert "Loop" in done.stdout
    assert loop.version in done.stdout


def test_no_secret_is_in_the_log(loop: Loop, label_studio: LabelStudioServer) -> None:
    for secret in (label_studio.token, label_studio.password, label_studio.legacy_token):
        assert secret not in loop.stack.log
    files = [file for file in Path(loop.stack.folder).rglob("*.log") if file.is_file()]
    assert files
