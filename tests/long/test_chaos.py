"""Everything is killed at random moments while a large auto-labelling job runs, many times over.

    make test-long                                       # 50 rounds, about an hour
    CHAOS_ROUNDS=3 CHAOS_SEED=7 make test-long

Each round is a job over all tasks with a model of its own, on a real Label Studio. While it runs, workers, the queue,
the web process and Label Studio are killed (SIGKILL) again and again. Then every task must have exactly one prediction
of the model's version, no annotation may have changed, and the totals must add up. The seed stands in the output.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from stack import Stack

from custom_ai.demo.label_studio_server import LabelStudioServer
from custom_ai.demo.story import CLASSES
from custom_ai.labelstudio.config import template
from custom_ai.pipeline import overview
from custom_ai.pipeline.label import request_auto_label
from custom_ai.services import Services
from custom_ai.state.tables import Candidate, Run
from custom_ai.wiring import build, load_settings
from fake_trainer import one_box_model

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "50"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
TASKS = int(os.environ.get("CHAOS_TASKS", "2000"))
LABELLED = 20
KILLS = 6
"""At most so many in a round: it has to end some time."""
PAUSE_S = (0.5, 6.0)
"""Between two kills."""
ROUND_S = 420.0

pytestmark = [pytest.mark.flow, pytest.mark.timeout(ROUNDS * int(ROUND_S) + 600)]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    """A Label Studio of our own, because it will be killed."""
    default = Path(__file__).parents[2] / ".venv-label-studio" / "bin" / "label-studio"
    executable = Path(os.environ.get("CUSTOM_AI_TEST_LABEL_STUDIO", default))
    with LabelStudioServer(executable, tmp_path_factory.mktemp("label-studio")) as server:
        yield server


@pytest.fixture(scope="module")
def stack(studio: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("custom-ai")
    running = Stack(studio, folder, tick_s=2, lost_after_s=6, http_retry_s=4, http_timeout_s=10)
    running.start()
    yield running
    running.close()


@pytest.fixture(scope="module")
def services(stack: Stack) -> Iterator[Services]:
    """The same installation as this process sees it: by its database and files, not through its web process."""
    settings = load_settings(
        label_studio_url=stack.label_studio.url, label_studio_api_key=stack.token, state_dir=stack.folder
    )
    made = build(settings, need_queue=False)
    yield made
    made.label_studio.session.close()
    made.database.dispose()


@pytest.fixture(scope="module")
def project(stack: Stack, services: Services, tmp_path_factory: pytest.TempPathFactory) -> int:
    """A connected project: small images, some of them labelled."""
    project_id = stack.new_project(template(CLASSES), title="Chaos")
    picture = tmp_path_factory.mktemp("images") / "one.jpg"
    Image.effect_noise((96, 64), 60).convert("RGB").save(picture)
    ids = stack.studio.upload_images(project_id, [(f"{number}.jpg", picture) for number in range(TASKS + LABELLED)])
    region = {
        "from_name": "label",
        "to_name": "image",
        "type": "rectanglelabels",
        "value": {"x": 10, "y": 10, "width": 20, "height": 30, "rotation": 0, "rectanglelabels": [CLASSES[0]]},
    }
    for task in ids[:LABELLED]:
        stack.studio.session.post(f"/api/tasks/{task}/annotations/", {"result": [region]})
    stack.ask("POST", f"/projects/{project_id}/connect")
    return project_id


@pytest.mark.parametrize("number", range(ROUNDS))
def test_killed_at_random(number: int, stack: Stack, services: Services, project: int) -> None:
    chance = random.Random(SEED * 1000 + number)
    candidate = _model(services, project)
    annotations = stack.annotations(project)
    job_id = request_auto_label(services, project, by="chaos", candidate_id=candidate.id)
    killed = _harass(chance, stack, services, job_id)
    job = overview.job(services, job_id)
    told = f"{dict(killed)}, {job['status']} {job['tasks']} {job['reason']}"
    sys.stderr.write(f"\nround {number} of seed {SEED}: {told}\n")
    assert job["status"] == "done", job
    counts = job["tasks"]
    assert (counts["done"], counts["total"]) == (TASKS, TASKS), (counts, overview.failed_items(services, job_id))
    found = Counter(stack.predictions(project, candidate.version).values())
    assert found == {1: TASKS, 0: LABELLED}
    assert stack.annotations(project) == annotations
    stack.studio.delete_predictions_of_version(project, candidate.version)  # the next round shall not be slower


def _model(services: Services, project_id: int) -> Candidate:
    """A new model with a version of its own; what it sees is the same."""
    source = services.settings.state_dir / "chaos.onnx"
    source.write_bytes(one_box_model(len(CLASSES)))
    sha256 = services.store.put(source)
    with services.database.write() as session:
        run = Run(project_id=project_id, trigger="person", requested_by="chaos", kind="box", classes=[*CLASSES])
        run.status = "done"
        session.add(run)
        session.flush()
        row = Candidate(run_id=run.id, project_id=project_id, place=0, title="Chaos", recipe={}, classes=[*CLASSES])
        row.status, row.image_size, row.onnx_sha256 = "done", 64, sha256
        row.thresholds = dict.fromkeys(CLASSES, 0.5)
        session.add(row)
        session.flush()
        return row


def _harass(chance: random.Random, stack: Stack, services: Services, job_id: int) -> Counter[str]:
    """Kill until the job has ended. Returns what was killed how often."""
    killed: Counter[str] = Counter()
    deadline = time.monotonic() + ROUND_S
    next_kill = time.monotonic() + chance.uniform(*PAUSE_S)
    while overview.job(services, job_id)["status"] in ("queued", "running"):
        assert time.monotonic() < deadline, (overview.job(services, job_id), stack.log[-3000:])
        if killed.total() < KILLS and time.monotonic() > next_kill:
            killed[_kill(chance, stack)] += 1
            next_kill = time.monotonic() + chance.uniform(*PAUSE_S)
        time.sleep(0.05)
    return killed


def _kill(chance: random.Random, stack: Stack) -> str:
    what = chance.choice(["worker", "worker", "every worker", "queue", "web", "label studio"])
    if what == "worker":
        stack.kill_process("worker", "label")
    elif what == "every worker":
        stack.kill_process("worker")
    elif what == "queue":
        stack.kill_process("valkey")
    elif what == "web":
        stack.kill_process("gunicorn")
    else:
        stack.label_studio.kill()
        time.sleep(chance.uniform(0.0, 8.0))
        stack.label_studio.start()
    return what
