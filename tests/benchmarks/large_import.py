"""How long does the largest archive take that is allowed (1 GB, 20,000 images), and how much memory?

    PYTHONPATH=tests/flow python tests/benchmarks/large_import.py --folder /tmp/large
    PYTHONPATH=tests/flow python tests/benchmarks/large_import.py --folder /tmp/large --seconds 300   # again until done

A real Label Studio and the real processes; the archive is uploaded in pieces as the page does it. With ``--seconds``
everything is stopped after so long, in the middle of the import, and the next call goes on: what is measured is added
up in the folder. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from stack import Stack

from custom_ai.demo.label_studio_server import LabelStudioServer

ROOT = Path(__file__).parents[2]
PIECE = 8_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--label-studio", type=Path, default=ROOT / ".venv-label-studio" / "bin" / "label-studio")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--kilobytes", type=int, default=50, help="of one image")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    notes_file = options.folder / "measured.json"
    notes: dict[str, Any] = {"peak_mb": {}, "import_s": 0.0}
    if notes_file.exists():
        notes = json.loads(notes_file.read_text())
    archive = options.folder / "large.zip"
    if not archive.exists():
        make(archive, options.images, options.kilobytes)
    with LabelStudioServer(options.label_studio, options.folder / "label-studio") as server:
        stack = Stack(server, options.folder / "custom-ai", tick_s=60, lost_after_s=30)
        stack.start()
        try:
            if "import" not in notes:
                started = time.monotonic()
                upload = send(stack, archive)
                notes["upload_s"] = round(time.monotonic() - started, 1)
                notes["megabytes"] = round(archive.stat().st_size / 1e6)
                body = {"upload": upload, "title": "Large", "classes": ["thing"]}
                notes["import"] = stack.ask("POST", "/imports", body)["id"]
            watch(stack, notes, options.seconds)
            notes_file.write_text(json.dumps(notes))
        finally:
            stack.close()
    print(json.dumps(notes))


def make(path: Path, count: int, kilobytes: int) -> None:
    """An archive of so many different images: one noisy photograph, with a number in a comment segment."""
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    low, high = 5, 95
    while high - low > 1:  # the quality that gives the size
        middle = (low + high) // 2
        low, high = (middle, high) if len(jpeg(noise, middle)) <= 1000 * kilobytes else (low, middle)
    content = jpeg(noise, low)
    with zipfile.ZipFile(path.with_suffix(".part"), "w") as made:
        for number in range(count):
            comment = f"{number:08d}".encode()
            one = content[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + content[2:]
            made.writestr(f"day {number // 1000}/image {number}.jpg", one)
    path.with_suffix(".part").rename(path)


def jpeg(pixels: np.ndarray[Any, np.dtype[np.uint8]], quality: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def send(stack: Stack, path: Path) -> int:
    """Upload in pieces; the upload's id."""
    upload = stack.ask("POST", "/uploads", {"name": path.name, "size": path.stat().st_size})
    digest, offset = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            answer = stack.api.put(f"/uploads/{upload['id']}/content", params={"offset": offset}, content=piece)
            assert answer.is_success, answer.text
            digest.update(piece)
            offset += len(piece)
    stack.ask("POST", f"/uploads/{upload['id']}/complete", {"sha256": digest.hexdigest()})
    return int(upload["id"])


def watch(stack: Stack, notes: dict[str, Any], seconds: float) -> None:
    """Follow the import to its end, or for so long; times and the peaks of memory go into ``notes``."""
    started = time.monotonic()
    while True:
        found = stack.ask("GET", f"/imports/{notes['import']}")
        note_memory(stack, notes["peak_mb"])
        took = time.monotonic() - started
        if found["status"] not in ("queued", "running") or took > seconds:
            break
        time.sleep(0.5)
    notes["import_s"] = round(notes["import_s"] + took, 1)
    notes |= {name: found[name] for name in ("status", "files", "imported", "left_out", "reason")}


def note_memory(stack: Stack, peaks: dict[str, float]) -> None:
    """Resident memory of the web process and of the workers, each with what they have started."""
    assert stack.process is not None
    for child in psutil.Process(stack.process.pid).children():
        try:
            words = child.cmdline()
            name = " ".join(words[words.index("custom_ai") + 1 :]) if "custom_ai" in words else "web"
            if "gunicorn" in " ".join(words):
                name = "web"
            used = sum(one.memory_info().rss for one in [child, *child.children(recursive=True)]) / 1e6
        except psutil.Error:
            continue
        peaks[name] = round(max(peaks.get(name, 0.0), used))


if __name__ == "__main__":
    main()
