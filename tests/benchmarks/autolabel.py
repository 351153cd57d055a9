"""The whole auto-labelling job on a real Label Studio, beside what people would do instead.

    export PYTHONPATH=tests:tests/flow:tests/unit
    python tests/benchmarks/autolabel.py
    python tests/benchmarks/autolabel.py --weights trained.pt --data FOLDER --passes 0   # images/, labels/, classes.txt
    python tests/benchmarks/autolabel.py --only memory --memory 1000,10000,100000

Contestants take turns on the same tasks of the same project, each with versions of its own:

- ours: `custom-ai run` with its own workers; from asking for the job until it is done;
- script: what a user would write: images downloaded with label-studio-sdk, `YOLO.predict` at its defaults, one
  prediction created per task by the SDK; from the second image on, so that imports and loading do not count;
- retrieve: Label Studio's "Retrieve Predictions" through a plain ultralytics ML backend in Flask; of as many tasks as
  fit into the 100 seconds that Label Studio waits;
- floor: the images fetched from Label Studio four at a time and one bulk push, nothing else. ``over_floor_network``
  compares with the floor and then the network alone (`Model.predict_many` from memory), one after the other.

Memory: resident size of the worker over jobs of rising size, against a stand-in for Label Studio, because making
100,000 tasks in a real one takes longer than labelling them. The last line is one JSON object: images per second of
each, ``ratio_script``, ``ratio_retrieve``, ``over_floor`` (1.25: a quarter longer), ``rss_mb`` by number of tasks.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from engine import exported, trained_weights
from pictures import make_folder, read_folder
from sqlalchemy import select
from stack import Stack, eventually

from custom_ai.demo.label_studio_server import LabelStudioServer, _free_port
from custom_ai.images import decode_pixels
from custom_ai.labelstudio.config import template
from custom_ai.labelstudio.images import fetch_image
from custom_ai.pipeline import overview
from custom_ai.pipeline.auto_label import auto_label
from custom_ai.pipeline.label import request_auto_label
from custom_ai.services import Services
from custom_ai.serving.stream import Picture
from custom_ai.state.tables import Candidate, Run, Task
from custom_ai.training.yolo import prepare_environment
from custom_ai.wiring import build, load_settings
from stand_in import StandIn, standing_in

ROOT = Path(__file__).parents[2]
SCORE = 0.25


def main() -> None:
    options = _options()
    result: dict[str, Any] = {"tasks": options.tasks, "image_size": options.imgsz, "threads": os.cpu_count()}
    with tempfile.TemporaryDirectory(prefix="autolabel-") as name:
        folder = Path(name)
        if options.only in ("", "speed"):
            result |= _speed(options, folder)
        if options.only in ("", "memory"):
            result |= _memory(options, folder)
    print(json.dumps(result))


# Speed


def _speed(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    prepare_environment(folder)
    classes, images = read_folder(options.data) if options.data else make_folder(folder / "scenes", options.pictures)
    weights = trained_weights(options.weights, options.passes, options.threads, classes, images, folder)
    files = folder / "pictures"
    files.mkdir()
    for image in images:
        shutil.copy(image.path, files / image.path.name)
    model = exported(weights, sorted(files.iterdir()), classes, options.imgsz, folder / "model.onnx")
    executable = Path(os.environ.get("CUSTOM_AI_TEST_LABEL_STUDIO", ROOT / ".venv-label-studio/bin/label-studio"))
    seconds: dict[str, list[float]] = {name: [] for name in ("ours", "script", "floor", "network")}
    with LabelStudioServer(executable, folder / "label-studio") as studio, _running(studio, folder) as stack:
        services = _services(stack)
        project_id = stack.new_project(template(classes), title="Benchmark")
        pictures = [images[number % len(images)].path for number in range(options.tasks)]
        named = [(f"{number}{path.suffix}", path) for number, path in enumerate(pictures)]
        ids = stack.studio.upload_images(project_id, named)
        stack.ask("POST", f"/projects/{project_id}/connect")
        eventually(lambda: stack.project(project_id)["tasks"]["total"] == len(ids), 60, "the tasks are known")
        retrieve = _retrieve(studio, stack, project_id, ids[: options.retrieve], weights, options)
        for _ in range(options.rounds):
            seconds["floor"].append(_floor(services, stack, project_id, ids))
            seconds["ours"].append(_ours(services, stack, project_id, model, classes, options))
            seconds["script"].append(_script(studio, project_id, ids[: options.script], weights, options))
        seconds["network"] = [_network(services, files, model, classes, options)]
        services.label_studio.session.close()
        services.database.dispose()
    rates = {name: round(1 / statistics.median(values), 2) for name, values in seconds.items()}
    rates["retrieve"] = round(1 / retrieve, 2)
    for name, rate in rates.items():
        print(f"{name:9} {rate:7.1f} images/s", flush=True)
    ours = statistics.median(seconds["ours"])
    floor, network = statistics.median(seconds["floor"]), statistics.median(seconds["network"])
    return {f"{name}_per_s": rate for name, rate in rates.items()} | {
        "ratio_script": round(statistics.median(seconds["script"]) / ours, 2),
        "ratio_retrieve": round(retrieve / ours, 2),
        "over_floor": round(ours / floor, 2),
        "over_floor_network": round(ours / (floor + network), 2),
    }


@contextmanager
def _running(studio: LabelStudioServer, folder: Path) -> Iterator[Stack]:
    stack = Stack(studio, folder / "custom-ai", tick_s=60, lost_after_s=60)
    stack.start()
    try:
        yield stack
    finally:
        stack.close()


def _services(stack: Stack) -> Services:
    """The installation as this process sees it, to put a model into it without training one, and to ask for jobs."""
    redis = next(
        (Path("/proc") / str(child.pid) / "environ").read_bytes()
        for child in psutil.Process(stack.process.pid if stack.process else 0).children()
        if "worker" in child.cmdline()
    )
    url = next(one for one in redis.decode().split("\0") if one.startswith("CUSTOM_AI_REDIS_URL=")).partition("=")[2]
    settings = load_settings(
        label_studio_url=stack.label_studio.url,
        label_studio_api_key=stack.token,
        state_dir=stack.folder,
        redis_url=url,
    )
    return build(settings)


def _ours(
    services: Services, stack: Stack, project_id: int, model: Path, classes: Sequence[str], options: argparse.Namespace
) -> float:
    """Seconds per image, from asking for the job until it is done."""
    candidate = _candidate(services, project_id, model, classes, options.imgsz)
    started = time.perf_counter()
    job_id = request_auto_label(services, project_id, by="benchmark", candidate_id=candidate.id)
    while overview.job(services, job_id)["status"] in ("queued", "running"):
        time.sleep(0.05)
    seconds = time.perf_counter() - started
    job = overview.job(services, job_id)
    assert job["tasks"]["done"] == job["tasks"]["total"] == options.tasks, job
    assert set(stack.predictions(project_id, candidate.version).values()) == {1}
    stack.studio.delete_predictions_of_version(project_id, candidate.version)
    print(f"ours: {job['tasks']['done']} tasks in {seconds:.1f} s", flush=True)
    return seconds / options.tasks


def _candidate(services: Services, project_id: int, model: Path, classes: Sequence[str], size: int) -> Candidate:
    """A model as a run would have made it."""
    sha256 = services.store.put(model)
    with services.database.write() as session:
        run = Run(project_id=project_id, trigger="person", requested_by="benchmark", kind="box", classes=[*classes])
        run.status = "done"
        session.add(run)
        session.flush()
        row = Candidate(run_id=run.id, project_id=project_id, place=0, title="Benchmark", recipe={}, classes=[*classes])
        row.status, row.image_size, row.onnx_sha256 = "done", size, sha256
        row.thresholds = dict.fromkeys(classes, SCORE)
        session.add(row)
        session.flush()
        return row


def _floor(services: Services, stack: Stack, project_id: int, ids: Sequence[int]) -> float:
    """Seconds per image: fetched four at a time, and one push of as many predictions as there are tasks."""
    with services.database.read() as session:
        rows = session.execute(select(Task.task_id, Task.image).where(Task.project_id == project_id)).all()
    version = f"floor-{time.time()}"
    region = {"from_name": "label", "to_name": "image", "type": "rectanglelabels"}
    region["value"] = {"x": 1, "y": 1, "width": 9, "height": 9, "rotation": 0, "rectanglelabels": []}  # type: ignore[assignment]
    session_ls, settings = services.label_studio.session, services.settings
    started = time.perf_counter()
    with ThreadPoolExecutor(4) as pool:
        sizes = list(pool.map(lambda row: len(fetch_image(session_ls, settings, row[0], row[1])), rows))
    predictions = [{"task": task, "result": [region] * 5, "score": 0.5, "model_version": version} for task in ids]
    for start in range(0, len(predictions), 500):
        session_ls.post(f"/api/projects/{project_id}/import/predictions", predictions[start : start + 500])
    seconds = time.perf_counter() - started
    assert len(sizes) == len(ids)
    stack.studio.delete_predictions_of_version(project_id, version)
    return seconds / len(ids)


def _network(
    services: Services, files: Path, model: Path, classes: Sequence[str], options: argparse.Namespace
) -> float:
    """Seconds per image of the network alone, from files in memory to boxes, on an otherwise idle machine."""
    loaded = services.models.get(services.store.put(model))
    contents = [path.read_bytes() for path in sorted(files.iterdir())]
    contents = [contents[number % len(contents)] for number in range(options.tasks)]

    def read(content: bytes) -> Picture:
        return Picture(*decode_pixels(content, "", 10**9, loaded.side))

    list(loaded.predict_many(contents[:16], read, SCORE))
    started = time.perf_counter()
    assert len(list(loaded.predict_many(contents, read, SCORE))) == options.tasks
    return (time.perf_counter() - started) / options.tasks


def _script(
    studio: LabelStudioServer, project_id: int, ids: Sequence[int], weights: Path, options: argparse.Namespace
) -> float:
    """Seconds per image of the script that a user would write."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    values = (theirs, studio.url, studio.token, project_id, list(ids), str(weights), options.imgsz)
    process = context.Process(target=_users_script, args=values)
    process.start()
    seconds: float = mine.recv()
    process.join()
    print(f"script: {len(ids) - 1} tasks in {seconds:.1f} s", flush=True)
    return seconds / (len(ids) - 1)


def _users_script(pipe: Any, url: str, token: str, project_id: int, ids: list[int], weights: str, size: int) -> None:
    import requests
    from label_studio_sdk import LabelStudio
    from PIL import Image
    from ultralytics import YOLO

    client = LabelStudio(base_url=url, api_key=token)
    network = YOLO(weights)
    wanted = set(ids)
    started = 0.0
    done = 0
    for task in client.tasks.list(project=project_id, fields="all", page_size=100):
        if task.id not in wanted:
            continue
        access = client._client_wrapper.get_headers()["Authorization"]  # the SDK has no download of its own
        answer = requests.get(url + task.data["image"], headers={"Authorization": access}, timeout=30)
        image = Image.open(io.BytesIO(answer.content))
        (found,) = network.predict(image, imgsz=size, conf=SCORE, verbose=False)
        client.predictions.create(task=task.id, model_version="script", result=_regions(found), score=0.5)
        done += 1
        if done == 1:
            started = time.perf_counter()
        if done == len(wanted):
            break
    pipe.send(time.perf_counter() - started)


def _regions(found: Any) -> list[dict[str, Any]]:
    """What ultralytics found, as Label Studio writes it."""
    regions = []
    for (x1, y1, x2, y2), label in zip(found.boxes.xyxyn.tolist(), found.boxes.cls.int().tolist(), strict=True):
        value = {"x": 100 * x1, "y": 100 * y1, "width": 100 * (x2 - x1), "height": 100 * (y2 - y1), "rotation": 0}
        value["rectanglelabels"] = [found.names[label]]
        regions.append({"from_name": "label", "to_name": "image", "type": "rectanglelabels", "value": value})
    return regions


def _retrieve(
    studio: LabelStudioServer, stack: Stack, project_id: int, ids: Sequence[int], weights: Path,
    options: argparse.Namespace,
) -> float:  # fmt: skip
    """Seconds per image of the Data Manager's action, through a plain backend. It predicts what lacks its version."""
    port = _free_port()
    context = multiprocessing.get_context("spawn")
    backend = context.Process(target=_plain_backend, args=(port, studio.url, studio.token, str(weights), options.imgsz))
    backend.start()
    session = stack.studio.session
    import httpx

    def up() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health", timeout=1).is_success
        except httpx.HTTPError:
            return False

    eventually(up, 120, "the plain backend is up")
    try:
        ours = [one["id"] for one in session.get("/api/ml", {"project": project_id})]
        for one in ours:  # Label Studio asks only the first backend of a project
            session.delete_json(f"/api/ml/{one}")
        made = session.post("/api/ml/", {"url": f"http://127.0.0.1:{port}", "project": project_id, "title": "plain"})
        body = {"selectedItems": {"all": False, "included": list(ids)}}
        started = time.perf_counter()
        answer = session.post(
            "/api/dm/actions", body, params={"id": "retrieve_tasks_predictions", "project": project_id}, timeout_s=600
        )
        seconds = time.perf_counter() - started
        stored = sum(stack.predictions(project_id, "plain").values())
        assert stored == len(ids), (answer, stored)
        session.delete_json(f"/api/ml/{made['id']}")
        stack.studio.delete_predictions_of_version(project_id, "plain")
    finally:
        backend.kill()
        backend.join()
    print(f"retrieve: {len(ids)} tasks in {seconds:.1f} s", flush=True)
    return seconds / len(ids)


def _plain_backend(port: int, url: str, token: str, weights: str, size: int) -> None:
    import requests
    from flask import Flask, jsonify, request
    from label_studio_sdk import LabelStudio
    from PIL import Image
    from ultralytics import YOLO

    app = Flask("plain")
    client = LabelStudio(base_url=url, api_key=token)
    network = YOLO(weights)
    network.predict(Image.new("RGB", (64, 64)), imgsz=size, verbose=False)

    @app.get("/health")
    def health() -> Any:
        return jsonify({"status": "UP"})

    @app.post("/setup")
    def setup() -> Any:
        return jsonify({"model_version": "plain"})

    @app.post("/predict")
    def predict() -> Any:
        results = []
        for task in request.json["tasks"]:
            access = client._client_wrapper.get_headers()["Authorization"]
            answer = requests.get(url + task["data"]["image"], headers={"Authorization": access}, timeout=30)
            (found,) = network.predict(Image.open(io.BytesIO(answer.content)), imgsz=size, conf=SCORE, verbose=False)
            results.append({"result": _regions(found), "score": 0.5, "model_version": "plain"})
        return jsonify({"results": results})

    @app.post("/webhook")
    def webhook() -> Any:
        return jsonify({})

    app.run("127.0.0.1", port, threaded=True)


# Memory


def _memory(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The highest resident memory of a worker, after its first chunks, by number of tasks."""
    from label_world import make_labelling, picture

    found: dict[str, float] = {}
    for number in options.memory:
        with standing_in(StandIn(range(1, number + 1), picture())) as studio:
            studio.keep = False
            place = folder / f"memory-{number}"
            place.mkdir()
            services = make_labelling(place, studio.url, studio.tasks)
            started = time.perf_counter()
            job_id = request_auto_label(services, 1, by="benchmark")
            asked = time.perf_counter() - started
            context = multiprocessing.get_context("spawn")
            mine, theirs = context.Pipe()
            worker = context.Process(target=_measured_worker, args=(theirs, place, studio.url, job_id))
            started = time.perf_counter()
            worker.start()
            highest = mine.recv()
            worker.join()
            seconds = time.perf_counter() - started
            job = overview.job(services, job_id)
            assert (job["status"], job["tasks"]["done"]) == ("done", number), job
            services.label_studio.session.close()
            services.database.dispose()
        found[str(number)] = round(highest, 1)
        speed = number / seconds
        print(f"{number:7} tasks: {highest:7.1f} MB, {speed:.0f} tasks/s, asked for in {asked:.1f} s", flush=True)
    values = list(found.values())
    return {"rss_mb": found, "rss_growth": round(max(values) / values[0], 3)}


def _measured_worker(pipe: Any, folder: Path, url: str, job_id: int) -> None:
    from support import services_in

    services = services_in(folder, url)
    over = threading.Event()
    samples: list[int] = []

    def sample() -> None:
        process = psutil.Process()
        while not over.wait(0.05):
            samples.append(process.memory_info().rss)

    watcher = threading.Thread(target=sample, daemon=True)
    watcher.start()
    attempt = 0
    while overview.job(services, job_id)["status"] in ("queued", "running"):
        attempt += 1
        auto_label(services, job_id, attempt)
    over.set()
    watcher.join()
    pipe.send(max(samples) / 2**20)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--weights", type=Path, help="a checkpoint of ultralytics' for boxes; default: a random start")
    add("--data", type=Path, help="a folder in YOLO format; default: generated scenes")
    add("--passes", type=int, default=300, help="pictures to train with before; 0: not at all")
    add("--pictures", type=int, default=60, help="generated scenes")
    add("--imgsz", type=int, default=320)
    add("--tasks", type=int, default=1500, help="tasks for ours and the floor")
    add("--script", type=int, default=100, help="tasks for the script")
    add("--retrieve", type=int, default=100, help="tasks for Retrieve Predictions")
    add("--rounds", type=int, default=3)
    add("--memory", type=lambda text: [int(one) for one in text.split(",")], default=[1000, 10000])
    add("--only", choices=["speed", "memory"], default="")
    add("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if options.passes == 0 and not options.weights:
        parser.error("--passes 0 needs --weights")
    return options


if __name__ == "__main__":
    main()
