"""Hiding faces as a plug-in of Custom AI."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from custom_ai.plugins import Area as Found
from custom_ai.plugins import Hidden
from custom_ai_deid.areas import Area, widen
from custom_ai_deid.deidentify import Deidentifier, Done, Options
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
        return _hidden(self._deidentifier.process(data, name))

    def again(self, data: bytes, name: str, found: Sequence[Found], drawn: Sequence[Found]) -> Hidden:
        margin = self._deidentifier.options.margin
        areas = [*(widen(Area(*one), margin) for one in found), *(Area(*one, source="drawn") for one in drawn)]
        return _hidden(self._deidentifier.process(data, name, areas))


def _hidden(done: Done) -> Hidden:
    return Hidden(done.data, Line.of(done).areas, done.width, done.height, done.sha256_after)
