"""What became of each image of a run over files: a line per image while it runs, a report at its end.

Only what stands in the journal and still lies there unchanged counts as done; so a run may be killed at any moment and
begun again. Whether an image is de-identified is known from here, never guessed from the image.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from custom_ai.plugins import SMALL_PX, UNSURE
from custom_ai_deid.deidentify import Deidentifier, Done

JOURNAL = "deidentification.jsonl"
REPORT, TABLE = "deidentification.json", "deidentification.csv"


@dataclass(frozen=True, slots=True)
class Line:
    """One image."""

    name: str
    sha256_before: str
    sha256_after: str = ""
    """Empty: there is no result, because of ``reason``."""
    format: str = ""
    width: int = 0
    height: int = 0
    rewritten: bool = False
    areas: tuple[tuple[float, float, float, float, float], ...] = ()
    """x1, y1, x2, y2 in pixels of the upright image, without the margin; score."""
    reason: str = ""

    @classmethod
    def of(cls, done: Done) -> Line:
        areas = tuple(
            (round(one.x1, 1), round(one.y1, 1), round(one.x2, 1), round(one.y2, 1), round(one.score, 3))
            for one in done.areas
        )
        return cls(
            done.name,
            done.sha256_before,
            done.sha256_after,
            done.format,
            done.width,
            done.height,
            done.rewritten,
            areas,
        )

    @property
    def doubtful(self) -> bool:
        """Whether a face is small or unsure, where there may be more that were not found."""
        return any(score < UNSURE or max(x2 - x1, y2 - y1) < SMALL_PX for x1, y1, x2, y2, score in self.areas)


class Journal:
    """Lines of one folder, the newest of each image."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """settings: what decides the result; what was done with other ones is done again."""
        self._path = folder / JOURNAL
        self._settings = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()
        self._lines: dict[str, Line] = {}
        if self._path.exists():
            for text in self._path.read_text(encoding="utf-8").splitlines():
                try:
                    values = json.loads(text)
                except ValueError:
                    continue  # the last line of a run that was killed
                if values.pop("settings", None) == self._settings:
                    areas = tuple(tuple(area) for area in values.pop("areas"))
                    self._lines[values["name"]] = Line(**values, areas=areas)

    def done(self, name: str, sha256_before: str) -> Line | None:
        """The line of an image that was done in full, of this very content."""
        line = self._lines.get(name)
        return line if line and line.sha256_after and line.sha256_before == sha256_before else None

    def add(self, line: Line) -> None:
        self._lines[line.name] = line
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**asdict(line), "settings": self._settings}, ensure_ascii=False) + "\n")

    def of(self, names: Iterable[str]) -> list[Line]:
        return [self._lines[name] for name in names if name in self._lines]


def settings_of(deidentifier: Deidentifier) -> dict[str, Any]:
    """What a report says about how it was done."""
    values = asdict(deidentifier.options)
    for machine in ("threads", "networks", "retinaface", "models", "classes"):
        values.pop(machine)
    return {**values, "detectors": list(deidentifier.detectors)}


def summary(lines: Iterable[Line]) -> dict[str, Any]:
    """Figures about a run. Sizes of faces are the longer sides in pixels."""
    lines = list(lines)
    sides = [max(x2 - x1, y2 - y1) for line in lines for x1, y1, x2, y2, _ in line.areas]
    bands = {"under 12": (0, 12), "12 to 20": (12, 20), "20 to 40": (20, 40), "over 40": (40, float("inf"))}
    return {
        "images": len(lines),
        "failed": sum(not line.sha256_after for line in lines),
        "with_faces": sum(bool(line.areas) for line in lines),
        "faces": len(sides),
        "faces_by_size_px": {name: sum(low <= side < high for side in sides) for name, (low, high) in bands.items()},
        "doubtful_images": sum(line.doubtful for line in lines),
        "pixels_unchanged": sum(bool(line.sha256_after) and not line.rewritten for line in lines),
    }


def report(lines: list[Line], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything about a run, as JSON: how, how many, and each image, doubtful ones and failures first."""
    order = sorted(lines, key=lambda line: (bool(line.sha256_after), not line.doubtful, line.name))
    images = [{**asdict(line), "doubtful": line.doubtful} for line in order]
    return {"settings": dict(settings), "summary": summary(lines), "images": images}


def table(lines: Iterable[Line]) -> str:
    """A row per image, as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(
        (
            *("name", "faces", "least_sure", "smallest_px", "doubtful", "pixels_changed"),
            *("sha256_before", "sha256_after", "reason"),
        )
    )
    for line in lines:
        scores = [area[4] for area in line.areas]
        sides = [max(x2 - x1, y2 - y1) for x1, y1, x2, y2, _ in line.areas]
        writer.writerow(
            (
                *(_safe(line.name), len(line.areas), min(scores, default=""), round(min(sides), 1) if sides else ""),
                *(int(line.doubtful), int(line.rewritten), line.sha256_before, line.sha256_after, line.reason),
            )
        )
    return buffer.getvalue()


def _safe(text: str) -> str:
    """Spreadsheets take texts that begin with one of these for formulas."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
