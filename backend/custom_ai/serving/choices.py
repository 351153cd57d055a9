"""Which engine serves best on this machine: what was measured, kept in a file. Needs the standard library only."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "engines.json"
KEPT = 50
"""Measurements in the file; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The outcome of one self-test."""

    engine: str
    batch: int
    """Pictures per call of the network, for many pictures."""
    rates: Mapping[str, float]
    """Pictures per second of each engine that was tried: the network alone, without reading files."""
    image_size: int
    threads: int
    architecture: str
    """Of the network that was measured, see ``metadata``."""


class Choices:
    """The measurements of an installation. A damaged file is an empty one: it is only measured again."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def get(self, key: str) -> Choice | None:
        return self._read().get(key)

    def all(self) -> list[Choice]:
        """Newest last."""
        return list(self._read().values())

    def put(self, key: str, choice: Choice) -> None:
        """Two processes that write at once may lose one of two measurements, which is then repeated."""
        found = self._read()
        found.pop(key, None)
        found[key] = choice
        kept = dict(list(found.items())[-KEPT:])
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
        part.write_text(json.dumps({name: asdict(one) for name, one in kept.items()}, indent=1), encoding="utf-8")
        part.replace(self._path)

    def _read(self) -> dict[str, Choice]:
        try:
            rows = json.loads(self._path.read_text(encoding="utf-8"))
            return {key: Choice(**row) for key, row in rows.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}
