"""Latency of /predict: our web service beside a minimal ML backend around ultralytics, with the same weights.

    python tests/benchmarks/predict_latency.py
    python tests/benchmarks/predict_latency.py --weights y5nu_coco.pt --data FOLDER --imgsz 640

Both are real gunicorn processes with one worker and eight threads, and get their images over HTTP from a server that
stands in for Label Studio. The other backend is written as its authors write them: the model is loaded once, each
image is downloaded, and ultralytics' ``predict`` is called at its defaults. 1, 4 and 16 annotators each open one task
after the other, as fast as they are answered; ours and the other take turns, ``--rounds`` times.

The weights (by default a random start) are first trained for ``--passes`` pictures of the data (by default generated
scenes); ``--passes 0`` takes them as they are. The last line is one JSON object: p50, p95 and p99 in milliseconds,
``ratio_p50`` (ours to the other, the worst of the three), and ``p99_ms_16``, ours with 16 annotators.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from engine import exported, trained_weights
from pictures import make_folder, read_folder

from custom_ai import wiring
from custom_ai.labelstudio.config import template
from custom_ai.pipeline.vote import promote
from custom_ai.settings import load_settings
from custom_ai.state.tables import Candidate, Project, Run, now
from custom_ai.training.contract import TrainImage
from custom_ai.training.yolo import prepare_environment

ANNOTATORS = (1, 4, 16)
TOKEN = "0123456789abcdef0123456789abcdef01234567"
WAIT_S = 120.0

OTHER = """
import io, os
import requests
from flask import Flask, jsonify, request
from PIL import Image
from ultralytics import YOLO

model = YOLO(os.environ["WEIGHTS"])
app = Flask(__name__)

@app.get("/health")
def health():
    return jsonify({"status": "UP"})

@app.post("/setup")
def setup():
    return jsonify({"model_version": "yolo"})

@app.post("/predict")
def predict():
    results = []
    for task in request.json["tasks"]:
        url = os.environ["LABEL_STUDIO_URL"] + task["data"]["image"]
        answer = requests.get(url, headers={"Authorization": "Token " + os.environ["LABEL_STUDIO_API_KEY"]}, timeout=30)
        answer.raise_for_status()
        image = Image.open(io.BytesIO(answer.content))
        found = model.predict(image, imgsz=int(os.environ["IMGSZ"]), verbose=False)[0]
        regions = []
        for box in found.boxes:
            x1, y1, x2, y2 = (100 * value for value in box.xyxyn[0].tolist())
            regions.append({
                "from_name": "label", "to_name": "image", "type": "rectanglelabels", "score": float(box.conf),
                "original_width": image.width, "original_height": image.height,
                "value": {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1, "rotation": 0,
                          "rectanglelabels": [found.names[int(box.cls)]]},
            })
        score = sum(region["score"] for region in regions) / max(len(regions), 1)
        results.append({"result": regions, "score": score, "model_version": "yolo"})
    return jsonify({"results": results})
"""


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="latency-") as name:
        folder = Path(name)
        prepare_environment(folder)
        classes, images = read_folder(options.data) if options.data else make_folder(folder / "scenes", 64)
        images = images[:64]
        weights = trained_weights(options.weights, options.passes, options.threads, classes, images, folder)
        with _label_studio(images) as label_studio:
            tasks = [{"id": image.task_id, "data": {"image": f"/data/upload/1/{image.path.name}"}} for image in images]
            config = template(classes)
            with (
                _ours(weights, images, classes, options, label_studio, folder) as ours,
                _other(weights, options, label_studio, folder) as other,
            ):
                print(json.dumps(_compare({"ours": ours, "other": other}, tasks, config, options)))


def _compare(
    ports: dict[str, int], tasks: Sequence[dict[str, Any]], config: str, options: argparse.Namespace
) -> dict[str, Any]:
    for port in ports.values():
        _annotate(port, 2, 8, tasks, config)  # the first request loads the model
    result: dict[str, Any] = {"imgsz": options.imgsz}
    ratios = []
    for count in ANNOTATORS:
        waited: dict[str, list[float]] = {name: [] for name in ports}
        for _ in range(options.rounds):
            for name, port in ports.items():
                waited[name] += _annotate(port, count, max(options.requests // count, 4), tasks, config)
        for name, seconds in waited.items():
            middle, high, highest = (1000 * float(np.percentile(seconds, share)) for share in (50, 95, 99))
            print(
                f"{count:2} annotators, {name:5}: p50 {middle:6.1f}  p95 {high:6.1f}  p99 {highest:6.1f} ms"
                f"  of {len(seconds)} answers",
                flush=True,
            )
            result |= {
                f"{name}_p{share}_ms_{count}": round(value, 1)
                for share, value in ((50, middle), (95, high), (99, highest))
            }
        ratios.append(result[f"ours_p50_ms_{count}"] / result[f"other_p50_ms_{count}"])
        result[f"ratio_p50_{count}"] = round(ratios[-1], 3)
    return result | {"ratio_p50": round(max(ratios), 3), "p99_ms_16": result["ours_p99_ms_16"]}


def _annotate(port: int, count: int, each: int, tasks: Sequence[dict[str, Any]], config: str) -> list[float]:
    """Seconds of each answer to ``count`` annotators who open ``each`` tasks one after the other."""
    waited: list[float] = []
    failed: list[str] = []

    def annotator(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=100)
        for turn in range(each):
            task = tasks[(number * 7 + turn) % len(tasks)]
            body = json.dumps({"tasks": [task], "project": "1.1", "label_config": config, "params": {}})
            started = time.perf_counter()
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
            waited.append(time.perf_counter() - started)
            if answer.status != 200 or not json.loads(said)["results"][0]:
                failed.append(f"{answer.status}: {said[:300]!r}")
                return

    threads = [threading.Thread(target=annotator, args=(number,)) for number in range(count)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    if failed:
        raise SystemExit(f"port {port} did not answer: {failed[0]}")
    return waited


@contextmanager
def _ours(
    weights: Path,
    images: Sequence[TrainImage],
    classes: Sequence[str],
    options: argparse.Namespace,
    label_studio: str,
    folder: Path,
) -> Iterator[int]:
    """Our web service with one project, whose champion is the network with these weights."""
    port = _free_port()
    environment = {
        "CUSTOM_AI_STATE_DIR": str(folder / "state"),
        "CUSTOM_AI_PORT": str(port),
        "CUSTOM_AI_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "CUSTOM_AI_THREADS": str(options.threads),
        "CUSTOM_AI_LOG_LEVEL": "WARNING",
        "LABEL_STUDIO_URL": label_studio,
        "LABEL_STUDIO_API_KEY": TOKEN,
        "REDIS_URL": f"redis://127.0.0.1:{_free_port()}",  # nothing is rung for
    }
    onnx = exported(weights, [image.path for image in images], classes, options.imgsz, folder / "model.onnx")
    settings = load_settings(state_dir=folder / "state", label_studio_url=label_studio, label_studio_api_key=TOKEN)
    services = wiring.build(settings, need_queue=False)
    services.database.migrate()
    with services.database.write() as session:
        session.add(Project(id=1, label_config=template(classes), available_classes=list(classes), connected_at=now()))
        run = Run(project_id=1, trigger="person", requested_by="me", kind="box", classes=list(classes), status="done")
        session.add(run)
        session.flush()
        candidate = Candidate(
            run_id=run.id, project_id=1, place=0, title="Model", recipe={}, classes=list(classes), status="done"
        )
        candidate.onnx_sha256, candidate.image_size = services.store.put(onnx), options.imgsz
        candidate.thresholds = dict.fromkeys(classes, 0.25)
        session.add(candidate)
        session.flush()
        promote(session, candidate, by="me", how="person")
    services.database.dispose()
    with _process([sys.executable, "-m", "custom_ai", "web"], environment, port):
        yield port


@contextmanager
def _other(weights: Path, options: argparse.Namespace, label_studio: str, folder: Path) -> Iterator[int]:
    port = _free_port()
    (folder / "other_backend.py").write_text(OTHER, encoding="utf-8")
    environment = {
        "WEIGHTS": str(weights),
        "IMGSZ": str(options.imgsz),
        "LABEL_STUDIO_URL": label_studio,
        "LABEL_STUDIO_API_KEY": TOKEN,
        "PYTHONPATH": str(folder),
    }
    arguments = ["--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", "8", "--timeout", "0"]
    command = [sys.executable, "-m", "gunicorn", "other_backend:app", *arguments, "--log-level", "warning"]
    with _process(command, environment, port):
        yield port


@contextmanager
def _process(command: Sequence[str], environment: dict[str, str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    break
            except OSError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[2]} does not listen on port {port}")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


@dataclass(frozen=True, slots=True)
class _Files:
    by_path: dict[str, bytes]


@contextmanager
def _label_studio(images: Sequence[TrainImage]) -> Iterator[str]:
    """A process that serves the images at the addresses that Label Studio gives them."""
    files = _Files({f"/data/upload/1/{image.path.name}": image.path.read_bytes() for image in images})
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe()
    process = context.Process(target=_serve, args=(files, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def _serve(files: _Files, pipe: Any) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # head and body in one packet, else a kept connection waits 40 ms for an acknowledgement

        def do_GET(self) -> None:
            content = files.by_path.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *args: Any) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

    server = Server(("127.0.0.1", 0), Handler)
    pipe.send(server.server_address[1])
    server.serve_forever()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--weights", type=Path, help="a checkpoint of ultralytics' for boxes; default: a random start")
    add("--data", type=Path, help="a folder in YOLO format; default: generated scenes")
    add("--passes", type=int, default=1000, help="pictures to train with before; 0: not at all")
    add("--imgsz", type=int, default=640)
    add("--requests", type=int, default=100, help="answers per round and number of annotators")
    add("--rounds", type=int, default=3)
    add("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if options.passes == 0 and not options.weights:
        parser.error("--passes 0 needs --weights")
    return options


if __name__ == "__main__":
    main()
