"""Hiding faces as a plug-in of Custom AI."""

from __future__ import annotations

from pathlib import Path

from custom_ai.plugins import Hidden
from custom_ai_deid.deidentify import Deidentifier, Options
from custom_ai_deid.journal import Line


class HideFaces:
    """See ``custom_ai.plugins.Hider``."""

    def __init__(
        self, threads: int, max_pixels: int, models: tuple[Path, ...] = (), classes: tuple[str, ...] = ()
    ) -> None:
        """Raises ModelError when there is no detector, BadInput for classes that no model knows."""
        options = Options(threads=threads, max_pixels=max_pixels, models=models, classes=classes)
        self._deidentifier = Deidentifier(options)

    def __call__(self, data: bytes, name: str) -> Hidden:
        done = self._deidentifier.process(data, name)
        return Hidden(done.data, Line.of(done).areas, done.width, done.height, done.sha256_after)
