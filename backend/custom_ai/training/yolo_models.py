"""The networks: one backbone and neck, a head for each kind of labels, and training in half precision.

Like ``yolo_loop``, imported only after ``training/yolo.py`` has prepared the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ultralytics.nn.tasks import DetectionModel, OBBModel, SegmentationModel

from custom_ai.training.contract import MASKS
from custom_ai.types import LabelKind

TASKS = {LabelKind.BOX: "detect", LabelKind.ROTATED_BOX: "obb", LabelKind.POLYGON: "segment"}
"""What ultralytics calls the kinds."""
MODELS: dict[LabelKind, Any] = {
    LabelKind.BOX: DetectionModel,
    LabelKind.ROTATED_BOX: OBBModel,
    LabelKind.POLYGON: SegmentationModel,
}
HEADS: dict[LabelKind, tuple[str, list[int]]] = {
    LabelKind.BOX: ("Detect", []),
    LabelKind.ROTATED_BOX: ("OBB", [1]),
    LabelKind.POLYGON: ("Segment", [MASKS, 256]),
}
"""Name and further arguments of the last layer, as in ultralytics' own -obb and -seg architectures."""


def with_head(architecture: Mapping[str, Any], kind: LabelKind) -> dict[str, Any]:
    """An ultralytics architecture (a parsed YAML file) with the head for a kind of labels.

    Ultralytics' own -obb and -seg architectures differ from the plain ones in this last layer only. Done
    here, it works for every detection network, for those that have no such files (yolov5n), and for the
    networks of people's own weights; and all the weights but those of the head's new branch can be taken over.
    """
    where, repeats, old, _ = architecture["head"][-1]
    name, arguments = HEADS[kind]
    if kind is LabelKind.BOX and not old.startswith(("OBB", "Segment")):
        return {**architecture}  # yolov10 has a head of its own
    if kind is not LabelKind.BOX and architecture.get("reg_max") == 1:
        name += "26"  # YOLO26 predicts plain distances, and has its own versions of these heads
    return {**architecture, "head": [*architecture["head"][:-1], [where, repeats, name, ["nc", *arguments]]]}


class _Half:
    """Runs the network, but not the loss, in bf16 on CPUs that compute in it: 1.4 times as fast.

    Ultralytics has bf16 for CUDA only.
    """

    def loss(self, batch: dict[str, Any], preds: Any = None) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            preds = self.forward(batch["img"])  # type: ignore[attr-defined]
        return super().loss(batch, _as_float(preds))  # type: ignore[misc]


class HalfDetectionModel(_Half, DetectionModel):  # type: ignore[misc]
    pass


class HalfOBBModel(_Half, OBBModel):  # type: ignore[misc]
    pass


class HalfSegmentationModel(_Half, SegmentationModel):  # type: ignore[misc]
    pass


HALF_MODELS: dict[LabelKind, Any] = {
    LabelKind.BOX: HalfDetectionModel,
    LabelKind.ROTATED_BOX: HalfOBBModel,
    LabelKind.POLYGON: HalfSegmentationModel,
}


def _as_float(value: Any) -> Any:
    """Every tensor in nested dictionaries, lists and tuples, in float32."""
    if isinstance(value, dict):
        return {key: _as_float(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_as_float(entry) for entry in value)
    return value.float()
