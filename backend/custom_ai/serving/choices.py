"""Which engine serves best on this machine: what was measured, kept in a file. Needs the standard library only."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

FILE = "engines.json"
KEPT = 50
"""Measurements, and models, in the file; the oldest go first."""
T = TypeVar("T")


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


@dataclass(frozen=True, slots=True)
class _Content:
    """Of the file."""

    measured: dict[str, Choice]
    models: dict[str, str]
    """Keys of ``measured`` by the sha256 of models."""


class Choices:
    """The measurements of an installation. A damaged file is an empty one: it is only measured again."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def get(self, key: str) -> Choice | None:
        return self._read().measured.get(key)

    def all(self) -> list[Choice]:
        """Newest last."""
        return list(self._read().measured.values())

    def of_model(self, sha256: str | None) -> Choice | None:
        """What the model with this hash was last loaded with; None: it never was, or long ago."""
        content = self._read()
        return content.measured.get(content.models.get(sha256 or "", ""))

    def put(self, key: str, choice: Choice) -> None:
        """Two processes that write at once may lose one of two measurements, which is then repeated."""
        content = self._read()
        self._write(_Content(_with(content.measured, key, choice), content.models))

    def loaded(self, sha256: str, key: str) -> None:
        """Note that a model is run as ``key`` says."""
        content = self._read()
        if content.models.get(sha256) != key:
            self._write(_Content(content.measured, _with(content.models, sha256, key)))

    def _write(self, content: _Content) -> None:
        rows = {key: asdict(one) for key, one in content.measured.items()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
        part.write_text(json.dumps({"measured": rows, "models": content.models}, indent=1), encoding="utf-8")
        part.replace(self._path)

    def _read(self) -> _Content:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            measured = {str(key): Choice(**row) for key, row in content["measured"].items()}
            return _Content(measured, {str(sha256): str(key) for sha256, key in content["models"].items()})
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return _Content({}, {})


def _with(rows: Mapping[str, T], key: str, value: T) -> dict[str, T]:
    """The rows with this one as the newest of at most ``KEPT``."""
    others = [(name, one) for name, one in rows.items() if name != key]
    return dict([*others, (key, value)][-KEPT:])
