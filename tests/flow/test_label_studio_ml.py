"""Custom AI hosted by label-studio-ml 1.0.9, connected to the real Label Studio."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from custom_ai import wiring
from custom_ai.demo.label_studio_server import LabelStudioServer
from custom_ai.labelstudio.config import template
from custom_ai.pipeline.connect import connect
from custom_ai.pipeline.vote import promote
from custom_ai.queue import RqBell, embedded_server
from custom_ai.queue import connect as connect_queue
from custom_ai.services import Services
from custom_ai.settings import load_settings
from custom_ai.state.tables import Candidate, Project, Run

pytestmark = pytest.mark.flow

ROOT = Path(__file__).parents[2]
DEFAULT = ROOT / ".venv-label-studio-ml" / "bin"
CLASSES = ["car", "dog"]
MODEL_PY = 'from custom_ai_label_studio_ml import CustomAIBackend\n\n__all__ = ["CustomAIBackend"]\n'
START_TIMEOUT_S = 90.0


@dataclass
class Adapter:
    url: str
    services: Services


@pytest.fixture(scope="module")
def adapter(label_studio: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    """label-studio-ml's own server with our class, made and started as its documentation says."""
    tools = Path(os.environ.get("CUSTOM_AI_TEST_LABEL_STUDIO_ML", DEFAULT))
    if not (tools / "label-studio-ml").exists():
        pytest.fail(f"no label-studio-ml in {tools}: run `make setup`", pytrace=False)
    folder = tmp_path_factory.mktemp("label-studio-ml")
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with embedded_server(folder / "queue") as redis_url:
        settings = load_settings(
            label_studio_url=label_studio.url,
            label_studio_api_key=label_studio.token,
            public_url=url,
            state_dir=folder / "state",
            redis_url=redis_url,
        )
        queue = connect_queue(redis_url)
        bell = RqBell(queue, settings.job_timeout_s)
        services = replace(wiring.build(settings, retry_s=5), bell=bell)  # a queue that we can close
        services.database.migrate()
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "PYTHONPATH": str(ROOT / "plugins"),
            "LABEL_STUDIO_URL": label_studio.url,
            "LABEL_STUDIO_API_KEY": label_studio.token,
            "CUSTOM_AI_PUBLIC_URL": url,
            "CUSTOM_AI_STATE_DIR": str(folder / "state"),
            "CUSTOM_AI_REDIS_URL": redis_url,
        }
        (folder / "model.py").write_text(MODEL_PY)
        init: list[str | Path] = [tools / "label-studio-ml", "init", "backend", "--script", "model.py:CustomAIBackend"]
        subprocess.run(init, cwd=folder, env=environment, check=True, capture_output=True)
        # What `label-studio-ml start` does, but with a process that is ours to stop.
        start: list[str | Path] = [tools / "python", "_wsgi.py", "--host", "127.0.0.1", "--port", str(port)]
        with _running(start, folder / "backend", environment, f"{url}/health"):
            yield Adapter(url, services)
        services.database.dispose()
        services.label_studio.session.close()
        queue.close()


@pytest.fixture(scope="module")
def project(adapter: Adapter) -> Iterator[Project]:
    """A project with three images that is connected to the adapter and has a champion."""
    studio = adapter.services.label_studio
    made = studio.create_project("label-studio-ml", "", template(CLASSES))
    studio.upload_images(made.id, [(f"{number}.jpg", _picture(number)) for number in range(3)])
    connect(adapter.services, made.id, by="test")
    with adapter.services.database.read() as session:
        yield session.get_one(Project, made.id)
    studio.delete_project(made.id)


@pytest.fixture(scope="module")
def champion(adapter: Adapter, project: Project, tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    path = tmp_path_factory.mktemp("model") / "fixed.onnx"
    _fixed_box_model(path)
    with adapter.services.database.write() as session:
        run = Run(
            project_id=project.id,
            status="done",
            trigger="person",
            requested_by="test",
            kind="box",
            classes=CLASSES,
        )
        session.add(run)
        session.flush()
        made = Candidate(
            run_id=run.id,
            project_id=project.id,
            place=0,
            title="Fixed",
            recipe={},
            classes=CLASSES,
            status="done",
            onnx_sha256=adapter.services.store.put(path),
            image_size=64,
            thresholds={"car": 0.3, "dog": 0.3},
        )
        session.add(made)
        session.flush()
        promote(session, made, by="test", how="person")
    return made


def test_label_studio_connects(adapter: Adapter, project: Project) -> None:
    backend, *others = adapter.services.label_studio.ml_backends(project.id)
    assert not others
    assert backend.url == adapter.url


def test_setup_names_the_champion(adapter: Adapter, project: Project, champion: Candidate) -> None:
    body = {"project": f"{project.id}.1795358305", "schema": project.label_config, "extra_params": None}
    assert _post(f"{adapter.url}/setup", body) == {"model_version": champion.version}
    other = {**body, "project": "987654.1795358305"}
    assert _post(f"{adapter.url}/setup", other) == {"model_version": "p987654-untrained"}


def test_opened_task_has_our_prediction(adapter: Adapter, project: Project, champion: Candidate) -> None:
    task_id = adapter.services.label_studio.task_ids(project.id)[0]
    session = adapter.services.label_studio.session
    task = session.get(f"/api/tasks/{task_id}/")
    (prediction,) = task["predictions"]
    assert prediction["model_version"] == champion.version
    (region,) = prediction["result"]
    assert region["value"]["rectanglelabels"] == ["car"]
    found = [region["value"][name] for name in ("x", "y", "width", "height")]
    assert found == pytest.approx([25, 37.5, 50, 25], abs=0.2)
    again = session.get(f"/api/tasks/{task_id}/")
    assert len(again["predictions"]) == 1


def test_task_of_an_unknown_project_has_none(adapter: Adapter) -> None:
    tasks = [{"id": 1, "project": 987654, "data": {"image": "/data/upload/x.jpg"}}]
    answer = _post(f"{adapter.url}/predict", {"tasks": tasks, "project": "987654.1", "label_config": ""})
    assert answer["results"] == [[]]


def test_annotation_makes_us_look(adapter: Adapter, project: Project) -> None:
    services = adapter.services
    with services.database.write() as session:
        session.get_one(Project, project.id).look_requested_at = None
    task_id = services.label_studio.task_ids(project.id)[1]
    services.label_studio.session.post(f"/api/tasks/{task_id}/annotations/", {"result": []})
    assert _soon(lambda: services.bell.waiting("look", project.id))
    with services.database.read() as session:
        assert session.get_one(Project, project.id).look_requested_at is not None


def test_start_training_is_handed_over(adapter: Adapter, project: Project) -> None:
    studio = adapter.services.label_studio
    backend, *_ = studio.ml_backends(project.id)
    assert not adapter.services.bell.waiting("start_training", project.id)
    studio.session.post(f"/api/ml/{backend.id}/train", {})
    assert _soon(lambda: adapter.services.bell.waiting("start_training", project.id))


def _post(url: str, body: dict[str, Any]) -> Any:
    answer = httpx.post(url, json=body, timeout=30)
    assert answer.is_success, answer.text
    return answer.json()


def _soon(condition: Callable[[], bool], within_s: float = 10.0) -> bool:
    give_up_at = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.1)
    return True


@contextmanager
def _running(command: list[str | Path], folder: Path, environment: dict[str, str], health_url: str) -> Iterator[None]:
    log_file = folder / "server.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        up = _soon(lambda: process.poll() is not None or _answers(health_url), START_TIMEOUT_S)
        assert up and process.poll() is None, log_file.read_text(errors="replace")
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)  # our own group, made at the start
            process.wait(15)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _picture(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (40 * number, 90, 120)).save(buffer, "JPEG")
    return buffer.getvalue()


def _fixed_box_model(path: Path) -> None:
    """A network as ``training.contract.Trained`` describes it that sees one car in the middle of anything."""
    fixed = [32.0, 32.0, 32.0, 16.0, 0.9, 0.1]  # centre x, centre y, width, height, then a score per class
    constants = [
        helper.make_tensor("fixed", TensorProto.FLOAT, (1, 6, 1), fixed),
        helper.make_tensor("rest", TensorProto.INT64, (2,), [6, 1]),
        helper.make_tensor("first", TensorProto.INT64, (1,), [0]),
    ]
    nodes = [
        helper.make_node("Shape", ["images"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["count"]),
        helper.make_node("Concat", ["count", "rest"], ["wanted"], axis=0),
        helper.make_node("Expand", ["fixed", "wanted"], ["output"]),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "h", "w"])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 6, 1])
    graph = helper.make_graph(nodes, "fixed", [images], [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    onnx.save(model, path)
