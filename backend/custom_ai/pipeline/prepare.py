"""Pre-processors: what every image passes through between decoding and the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from custom_ai.errors import N_, BadInput

if TYPE_CHECKING:
    from PIL.Image import Image

Prepare = Callable[["Image"], "Image"]
"""An upright RGB image to one of the same width and height: boxes are found in it and shown on the original."""


def unchanged(image: Image) -> Image:
    """The model sees the images as they are."""
    return image


def prepare_of(options: Sequence[object]) -> Prepare:
    """The chain of pre-processors that a job's options name. Raises BadInput for one that is not installed."""
    for one in options:
        name = one.get("name") if isinstance(one, dict) else one
        raise BadInput(what=f"prepare: {name!r}", why=N_("no pre-processor of this name is installed"))
    return unchanged
