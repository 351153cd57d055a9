"""The demo: generated images with known truth go the whole way through a real Label Studio.

Everything here speaks HTTP, as a user's own program would: to Label Studio by its API, to Custom AI by
its REST API.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from custom_ai.demo.scenes import Scene, make_scenes
from custom_ai.errors import N_, Conflict
from custom_ai.labelstudio.client import LabelStudio
from custom_ai.labelstudio.config import Control, parse_label_config, template
from custom_ai.labelstudio.results import labelled_task, prediction
from custom_ai.labelstudio.session import Session
from custom_ai.overlap import agreement
from custom_ai.settings import PREFIX
from custom_ai.shapes import from_row
from custom_ai.training.evaluation import evaluate
from custom_ai.types import Box

LABELS_PER_CLASS = 10
CLASSES = ("mug", "leaf", "tool")
UNTOUCHED = 60
_START_S = 60.0


@dataclass
class Demo:
    """What one demo knows: where things answer, what was made, and the truth of every task."""

    label_studio: LabelStudio
    api: httpx.Client
    project_id: int = 0
    truth: dict[int, tuple[Box, ...]] = field(default_factory=dict)
    untouched: list[int] = field(default_factory=list)
    first_s: float | None = None
    """Seconds from the wish for a run until a task, opened in Label Studio, had pre-labels of a first model."""


@contextmanager
def custom_ai(state_dir: Path, label_studio_url: str, token: str, port: int, **settings: object) -> Iterator[str]:
    """Run ``custom-ai run`` as a program of its own while entered; yields its URL."""
    url = f"http://127.0.0.1:{port}"
    environment = dict(os.environ) | {
        f"{PREFIX}{name.upper()}": str(value)
        for name, value in {
            "label_studio_url": label_studio_url,
            "label_studio_api_key": token,
            "public_url": url,
            "port": port,
            "state_dir": state_dir,
            **settings,
        }.items()
    }
    state_dir.mkdir(parents=True, exist_ok=True)
    log = state_dir / "custom-ai.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "custom_ai", "run"], env=environment, stdout=output, stderr=output
        )
    try:
        _wait_for(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def prepare(label_studio_url: str, token: str, api_url: str, folder: Path) -> Demo:
    """Make the project: images, and hand labels for just over ten objects of each class."""
    studio = LabelStudio(Session(label_studio_url, token))
    api = httpx.Client(base_url=f"{api_url}/api", headers={"Authorization": f"Bearer {token}"}, timeout=60.0)
    demo = Demo(studio, api)
    scenes = make_scenes(folder / "images", _labelled_count(folder) + UNTOUCHED, seed=7)
    control_config = template(CLASSES)
    project = studio.create_project(
        "Custom AI demo", N_("Generated pictures of mugs, leaves and tools"), control_config
    )
    demo.project_id = project.id
    ids = studio.upload_images(project.id, [(scene.path.name, scene.path) for scene in scenes])
    demo.truth = {task: scene.boxes for task, scene in zip(ids, scenes, strict=True)}
    labelled = len(scenes) - UNTOUCHED
    demo.untouched = ids[labelled:]
    control = parse_label_config(control_config, project.id).control()
    for task, scene in zip(ids[:labelled], scenes[:labelled], strict=True):
        studio.session.post(f"/api/tasks/{task}/annotations/", annotation(task, scene, control))
    return demo


def annotation(task: int, scene: Scene, control: Control) -> dict[str, Any]:
    """What the editor would save for hand-drawn boxes."""
    body = prediction(task, scene.boxes, scene.size, control, "truth")
    regions = [{**region, "origin": "manual"} for region in body["result"]]
    return {"result": regions, "lead_time": 10.0}


def connect(demo: Demo) -> None:
    """Let Custom AI connect the project to itself."""
    _ask(demo, "POST", f"/projects/{demo.project_id}/connect")


def train(demo: Demo, show: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Make Custom AI and wait for the end of the run. Raises Conflict with the reason when it fails."""
    started = time.monotonic()
    run = _ask(demo, "POST", f"/projects/{demo.project_id}/runs")
    while run["status"] in ("queued", "running"):
        show(run)
        if demo.first_s is None and _ask(demo, "GET", f"/projects/{demo.project_id}")["champion"]:
            opened = demo.label_studio.session.get(f"/api/tasks/{demo.untouched[0]}/")
            demo.first_s = time.monotonic() - started if opened["predictions"] else None
        time.sleep(1.0)
        run = _ask(demo, "GET", f"/runs/{run['id']}")
    show(run)
    if run["status"] != "done":
        raise Conflict(why=run["reason"] or run["status"])
    return run


def vote_by_truth(demo: Demo) -> dict[str, Any]:
    """Vote all rounds blind, for the pictures that agree best with the truth; close; return the vote."""
    selection = _ask(demo, "GET", f"/projects/{demo.project_id}")["selection"]
    path = f"/selections/{selection['id']}"
    for shown in _ask(demo, "GET", f"{path}/ballots")["rounds"]:
        truth = demo.truth[shown["task"]]
        rated = [agreement(truth, [from_row(row) for row in rows]) for rows in shown["places"]]
        picks = [place for place, value in enumerate(rated, start=1) if value == max(rated)]
        _ask(demo, "PUT", f"{path}/ballots/{shown['round']}", {"picks": picks})
    return _ask(demo, "POST", f"{path}/close")


def auto_label(demo: Demo, show: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Pre-label all untouched tasks with the winner. Raises Conflict with the reason when it fails."""
    job = _ask(demo, "POST", f"/projects/{demo.project_id}/auto-label")
    while job["status"] in ("queued", "running"):
        show(job)
        time.sleep(0.5)
        job = _ask(demo, "GET", f"/auto-label/{job['id']}")
    show(job)
    if job["status"] != "done":
        raise Conflict(why=job["reason"] or job["status"])
    return job


def pre_labels(demo: Demo, version: str) -> dict[int, tuple[Box, ...]]:
    """The pre-labels of this version that Label Studio itself has now, by task."""
    control = parse_label_config(demo.label_studio.project(demo.project_id).label_config, demo.project_id).control()
    found: dict[int, tuple[Box, ...]] = {}
    for task in demo.label_studio.tasks(demo.project_id):
        for one in task["predictions"]:
            if one["model_version"] == version:
                as_annotation = {"id": task["id"], "annotations": [{"result": one["result"]}]}
                found[task["id"]] = _with_scores(labelled_task(as_annotation, control).boxes or (), one["result"])
    return found


def score(demo: Demo, found: dict[int, tuple[Box, ...]]) -> float:
    """mAP50 of pre-labels against the truth, over the tasks that nobody had labelled."""
    tasks = [task for task in demo.untouched if task in found]
    return evaluate([demo.truth[task] for task in tasks], [found[task] for task in tasks], CLASSES).map50


def _with_scores(boxes: Sequence[Box], regions: Sequence[dict[str, Any]]) -> tuple[Box, ...]:
    return tuple(replace(box, score=float(region["score"])) for box, region in zip(boxes, regions, strict=True))


def _labelled_count(folder: Path) -> int:
    """How many scenes it takes for just over ten objects of each class."""
    counts = dict.fromkeys(CLASSES, 0)
    number = 0
    while min(counts.values()) <= LABELS_PER_CLASS:
        (scene,) = make_scenes(folder / "images", 1, seed=7, start=number)
        for box in scene.boxes:
            counts[box.label] += 1
        number += 1
    return number


def _ask(demo: Demo, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = demo.api.request(method, path, json=body)
    if answer.is_error:
        raise Conflict(why=str(answer.json().get("error", {}).get("message", answer.text)))
    result: dict[str, Any] = answer.json()
    return result


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            httpx.get(f"{url}/health", timeout=1.0).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise Conflict(why=f"Custom AI does not start: {log.read_text(errors='replace')[-1500:]}")
