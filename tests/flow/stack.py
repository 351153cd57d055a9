"""A running installation for the flow tests: real processes, real queue, real Label Studio."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx

from custom_ai.demo.label_studio_server import LabelStudioServer, _free_port
from custom_ai.demo.scenes import Scene, make_scenes
from custom_ai.demo.story import CLASSES, annotation
from custom_ai.labelstudio.client import LabelStudio
from custom_ai.labelstudio.config import parse_label_config, template
from custom_ai.labelstudio.session import Session
from custom_ai.settings import PREFIX

T = TypeVar("T")
LABELLED, UNTOUCHED = 12, 10


def eventually(look: Callable[[], T], seconds: float = 60.0, what: str = "") -> T:
    """Wait until ``look`` returns something true, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"still not so after {seconds} s: {what or look}")
        time.sleep(0.2)


class Stack:
    """``custom-ai run`` as a program of its own, connected to a Label Studio."""

    def __init__(self, label_studio: LabelStudioServer, folder: Path, **settings: object) -> None:
        self.label_studio = label_studio
        self.folder = folder
        self.port = int(str(settings.pop("port", 0))) or _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = str(settings.pop("label_studio_api_key", label_studio.token))
        values = {
            "label_studio_url": label_studio.url,
            "label_studio_api_key": self.token,
            "public_url": self.url,
            "port": self.port,
            "state_dir": folder,
            "download_weights": False,
            "candidate_passes": 80,
            "candidate_seconds": 5,
            "forecast_seconds": 0,
            "debounce_s": 0.2,
            "tick_s": 4,
            "lost_after_s": 8,
            **settings,
        }
        self.environment = dict(os.environ) | {f"{PREFIX}{k.upper()}": str(v) for k, v in values.items()}
        self.process: subprocess.Popen[bytes] | None = None
        self.studio = LabelStudio(Session(label_studio.url, label_studio.token, retry_s=10))
        self.api = httpx.Client(
            base_url=f"{self.url}/api", headers={"Authorization": f"Bearer {label_studio.token}"}, timeout=60
        )

    @property
    def log(self) -> str:
        return (self.folder / "custom-ai.log").read_text(errors="replace")

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "custom-ai.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "custom_ai", "run"], env=self.environment, stdout=log, stderr=log
            )
        eventually(self.answers, 60, "the web service is up")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(40)
            self.process = None

    def close(self) -> None:
        """Stop, and give the connections back."""
        self.stop()
        self.studio.session.close()
        self.api.close()

    def answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, self.log[-3000:]
        try:
            return httpx.get(f"{self.url}/health", timeout=1).is_success
        except httpx.HTTPError:
            return False

    def command(self, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run ``custom-ai ARGUMENTS`` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "custom_ai", *arguments],
            env=self.environment | (environment or {}),
            capture_output=True,
            text=True,
            timeout=120,
        )

    def kill_process(self, *words: str) -> int:
        """SIGKILL every process of this installation whose command line has all these words."""
        killed = 0
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                mine = f"{PREFIX}STATE_DIR={self.folder}".encode() in (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if mine and all(word in line for word in words):
                os.kill(int(entry.name), signal.SIGKILL)
                killed += 1
        return killed

    def ask(self, method: str, path: str, body: object = None, expect: int | None = None) -> Any:
        answer = self.api.request(method, path, json=body)
        if expect is None:
            assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        else:
            assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def project(self, project_id: int) -> Any:
        return self.ask("GET", f"/projects/{project_id}")

    # Material

    def new_project(self, config: str | None = None, title: str = "Flow") -> int:
        return self.studio.create_project(title, "", template(CLASSES) if config is None else config).id

    def upload(self, project_id: int, scenes: Sequence[Scene]) -> list[int]:
        return self.studio.upload_images(project_id, [(scene.path.name, scene.path) for scene in scenes])

    def annotate(self, project_id: int, task: int, scene: Scene) -> Any:
        """Save what a person would draw."""
        control = parse_label_config(self.studio.project(project_id).label_config, project_id).control()
        body = annotation(task, scene, control)
        return self.studio.session.post(f"/api/tasks/{task}/annotations/", body)

    def wait_for_run(self, run_id: int, seconds: float = 240) -> Any:
        def ended() -> Any:
            run = self.ask("GET", f"/runs/{run_id}")
            return run if run["status"] not in ("queued", "running") else None

        return eventually(ended, seconds, f"run {run_id} has ended")

    def wait_for_job(self, job_id: int, seconds: float = 120) -> Any:
        def ended() -> Any:
            job = self.ask("GET", f"/auto-label/{job_id}")
            return job if job["status"] not in ("queued", "running") else None

        return eventually(ended, seconds, f"job {job_id} has ended")

    def vote(self, selection_id: int, place: int = 1) -> Any:
        """Vote all rounds for one place, close, and return the result."""
        for one in self.ask("GET", f"/selections/{selection_id}/ballots")["rounds"]:
            self.ask("PUT", f"/selections/{selection_id}/ballots/{one['round']}", {"picks": [place]})
        return self.ask("POST", f"/selections/{selection_id}/close")

    def predictions(self, project_id: int, version: str) -> dict[int, int]:
        """How many predictions of a version each task has, as Label Studio says."""
        counts: dict[int, int] = {}
        for task in self.studio.tasks(project_id):
            counts[task["id"]] = sum(one["model_version"] == version for one in task["predictions"])
        return counts

    def annotations(self, project_id: int) -> dict[int, Any]:
        """Every annotation by id: its result and when it was changed."""
        return {
            one["id"]: (one["result"], one["updated_at"], one["was_cancelled"])
            for task in self.studio.tasks(project_id)
            for one in task["annotations"]
        }


def scenes_in(folder: Path, count: int, seed: int = 3) -> list[Scene]:
    folder.mkdir(parents=True, exist_ok=True)
    return make_scenes(folder, count, seed=seed)
