"""Rotated boxes and polygons the whole way: drawn by people, learned, voted on, written back."""

from __future__ import annotations

from pathlib import Path

import pytest
from stack import Stack, eventually

from custom_ai.demo.scenes import make_scenes
from custom_ai.demo.story import CLASSES, annotation
from custom_ai.labelstudio.config import parse_label_config, template
from custom_ai.types import LabelKind

pytestmark = pytest.mark.flow
LABELLED, UNTOUCHED = 10, 6
WRITTEN = {
    LabelKind.ROTATED_BOX: ("rectanglelabels", {"x", "y", "width", "height", "rotation", "rectanglelabels"}),
    LabelKind.POLYGON: ("polygonlabels", {"points", "closed", "polygonlabels"}),
}


def test_polygons_go_the_whole_way(stack: Stack, tmp_path: Path) -> None:
    """Rotated boxes do so in tests/long: each takes more than a minute."""
    go_the_whole_way(stack, tmp_path, LabelKind.POLYGON)


def go_the_whole_way(stack: Stack, tmp_path: Path, kind: LabelKind) -> None:
    scenes = make_scenes(tmp_path, LABELLED + UNTOUCHED, seed=21, kind=kind)
    config = template(CLASSES, kind=kind)
    project_id = stack.new_project(config=config, title=kind.value)
    ids = stack.upload(project_id, scenes)
    control = parse_label_config(config, project_id).control(kind)
    for task, scene in zip(ids[:LABELLED], scenes[:LABELLED], strict=True):
        stack.studio.session.post(f"/api/tasks/{task}/annotations/", annotation(task, scene, control))
    stack.ask("POST", f"/projects/{project_id}/connect")
    stack.ask("PATCH", f"/projects/{project_id}", {"kind": kind.value, "labels_per_class": 5})
    eventually(lambda: stack.project(project_id)["ready"], 30)
    assert stack.project(project_id)["kind"] == kind.value
    run = stack.ask("POST", f"/projects/{project_id}/runs")
    run = stack.wait_for_run(run["id"])
    assert run["status"] == "done", run["reason"]
    assert [one["status"] for one in run["candidates"]] == ["done"] * 4, [one["reason"] for one in run["candidates"]]
    selection = stack.project(project_id)["selection"]
    version = stack.vote(selection["id"])["winner"]["version"]
    job = stack.ask("POST", f"/projects/{project_id}/auto-label", {"threshold": 0.001})
    tasks = stack.wait_for_job(job["id"])["tasks"]
    assert (tasks["done"], tasks["failed"]) == (UNTOUCHED, 0)
    assert stack.predictions(project_id, version)[ids[-1]] == 1
    name, keys = WRITTEN[kind]
    regions = [
        region
        for task in stack.studio.tasks(project_id)
        for one in task["predictions"]
        if one["model_version"] == version
        for region in one["result"]
    ]
    assert regions, "a threshold of 0.001 shows something, however short the training was"
    assert {region["type"] for region in regions} == {name}
    assert all(set(region["value"]) == keys for region in regions)
    model = next(one for one in run["candidates"] if one["version"] == version)
    report = stack.ask("GET", f"/models/{model['id']}/report")
    assert report["images"] > 0
