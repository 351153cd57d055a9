"""Whether an exported network says what the trained one says, on pictures that it was trained for.

Compared is what the networks put out, before suppression: there a difference is a number, while behind it a box
that overlaps another by a hair more or less is there or is not. The tolerances are stated in docs/serving.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from custom_ai.errors import N_, ModelError, TrainingError
from custom_ai.serving.decode import letterbox
from custom_ai.serving.metadata import AGREES, DIFFERS
from custom_ai.serving.networks import REDUCED, Outputs, available, build

Pixels = NDArray[np.uint8]
Reference = Callable[[Pixels], Outputs]
"""The trained network: (1, h, w, 3) uint8 RGB -> its outputs."""
PICTURES = 4
"""Are compared: each has a thousand anchors and more."""
LOOKED_AT = 0.1
"""Boxes are compared where one of the two networks is at least so sure; where none is, the surest ..."""
AT_LEAST = 50
"""... anchors of each picture."""


class Disagreement(TrainingError):
    """The export has changed what the network says: a fault of the exporter, or of the engines."""

    code = "disagreement"
    template = N_(
        "The exported model does not say what the trained one says, and is not used: {detail}. Train again; if it "
        "happens again, other versions of PyTorch, ONNX or OpenVINO may help."
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """How far two networks' outputs are apart."""

    score: float
    """0..1."""
    pixels: float
    """Of centres, widths and heights, in pixels of the input."""
    rest: float
    """Of angles, in radians; or of masks' coefficients and prototypes, as a share of the largest one."""

    def within(self, limit: Difference) -> bool:
        return self.score <= limit.score and self.pixels <= limit.pixels and self.rest <= limit.rest

    def __str__(self) -> str:
        return f"scores by {self.score:.4f}, boxes by {self.pixels:.2f} pixels, the rest by {self.rest:.4f}"


EXACT = Difference(score=0.002, pixels=0.5, rest=0.01)
"""The same arithmetic in another order. Measured: scores within 0.00001, boxes within 0.01 pixels."""
REDUCED_LIMIT = Difference(score=0.05, pixels=3.0, rest=0.05)
REDUCED_SHARE = 0.99
"""For engines that compute in half the digits: so many of the differences must be within the limit. Measured at the
size of the training: scores within 0.025, boxes within 0.9 pixels."""


def compare(reference: Outputs, other: Outputs, classes: int, share: float = 1.0) -> Difference:
    """Two networks' outputs for the same pictures, by the contract of ``Trained``; infinite for other shapes.

    What ``share`` of the differences do not exceed: the greatest ones by default.
    """

    def most(values: NDArray[np.float32]) -> float:
        return float(np.quantile(values, share)) if values.size else 0.0

    nowhere = Difference(np.inf, np.inf, np.inf)
    if [one.shape for one in reference] != [one.shape for one in other]:
        return nowhere
    if not all(np.isfinite(one).all() for one in (*reference, *other)):
        return nowhere
    scores, others = (one[0][:, 4 : 4 + classes] for one in (reference, other))
    surest = np.maximum(scores.max(axis=1), others.max(axis=1))
    count = min(AT_LEAST, surest.shape[1])
    limit = np.full((len(surest), 1), LOOKED_AT, surest.dtype)
    unsure = surest.max(axis=1) < LOOKED_AT
    limit[unsure] = -np.partition(-surest[unsure], count - 1, axis=1)[:, count - 1 : count]
    picture, anchor = np.nonzero(surest >= limit)
    apart = np.abs(reference[0][picture, :, anchor] - other[0][picture, :, anchor])
    rest = apart[:, 4 + classes :]
    shares = []
    if len(reference) > 1:  # masks: coefficients and prototypes have no unit
        coefficients = reference[0][picture, 4 + classes :, anchor]
        shares = [most(rest) / _largest(coefficients)]
        shares += [most(np.abs(a - b)) / _largest(a) for a, b in zip(reference[1:], other[1:], strict=True)]
    looked_at = np.abs(scores - others).max(axis=1)[picture, anchor] if share < 1.0 else np.abs(scores - others)
    return Difference(most(looked_at), most(apart[:, :4]), max(shares, default=most(rest)))


def _largest(values: NDArray[np.float32]) -> float:
    return max(float(np.abs(values).max(initial=0.0)), 1e-6)


def verify(
    onnx_path: Path,
    reference: Reference,
    pictures: Sequence[Pixels],
    image_size: int,
    classes: int,
) -> None:
    """Compare the exported network, on all engines of this machine, with the trained one; note it in the file.

    ``pictures``: upright RGB, of the data, of any size. Raises Disagreement when no engine of full precision agrees:
    such a model must not serve.
    """
    inputs = [letterbox(picture, image_size)[0][None] for picture in pictures[:PICTURES]]
    expected = [reference(one) for one in inputs]
    found: dict[str, Difference] = {}
    for engine in available():
        try:
            network = build(onnx_path, engine, 1, gpu=False)
        except ModelError:
            continue
        share = REDUCED_SHARE if engine in REDUCED else 1.0
        apart = [compare(*pair, classes, share) for pair in zip(expected, map(network.run, inputs), strict=True)]
        found[engine] = Difference(*(max(column) for column in zip(*map(_row, apart), strict=True)))
    agrees = [name for name, one in found.items() if one.within(REDUCED_LIMIT if name in REDUCED else EXACT)]
    if not set(agrees) - REDUCED:
        what = "; ".join(f"{name}: {one}" for name, one in found.items() if name not in REDUCED)
        raise Disagreement(detail=what)
    graph = onnx.load(onnx_path)
    for key, names in ((AGREES, agrees), (DIFFERS, [name for name in found if name not in agrees])):
        entry = graph.metadata_props.add()
        entry.key, entry.value = key, " ".join(names)
    onnx.save(graph, onnx_path)


def _row(one: Difference) -> tuple[float, float, float]:
    return one.score, one.pixels, one.rest
