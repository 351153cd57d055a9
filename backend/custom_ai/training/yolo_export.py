"""What a training leaves behind: the weights as ultralytics stores them, and the same numbers as ONNX.

Like ``yolo_loop``, imported only after ``training/yolo.py`` has prepared the environment.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from ultralytics import __version__ as ultralytics_version

from custom_ai.errors import N_, TrainingError
from custom_ai.serving.metadata import PIECE
from custom_ai.training.agreement import Pixels, Reference, verify
from custom_ai.training.contract import MASKS
from custom_ai.training.yolo_loop import Loop
from custom_ai.training.yolo_models import MODELS
from custom_ai.types import LabelKind

OPSET = 17
EXTRA_ROWS = {LabelKind.BOX: 0, LabelKind.ROTATED_BOX: 1, LabelKind.POLYGON: MASKS}
"""Rows of the output after those of the box and the classes."""


def save(loop: Loop, weights_path: Path, onnx_path: Path, pictures: Sequence[NDArray[np.uint8]]) -> None:
    """Write the averaged weights in half precision (as ultralytics does) and the same numbers as ONNX.

    The ONNX follows the contract of ``Trained.onnx_path``. It is compared with the weights on ``pictures``
    (height, width, 3) uint8 RGB of the data. Raises Disagreement when it says something else, TrainingError when the
    weights are not finite.
    """
    model = deepcopy(loop.ema.ema).cpu().half().to(memory_format=torch.contiguous_format)
    model.criterion = None
    model.__class__ = MODELS[loop.kind]  # so that the file can be loaded without us
    for tensor in model.state_dict().values():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise TrainingError(why=N_("the weights became infinite; the data may be unsuitable"))
    checkpoint = {
        "epoch": -1,
        "model": model,
        "ema": None,
        "train_args": vars(loop.args),
        "version": ultralytics_version,
        "license": "AGPL-3.0 (https://ultralytics.com/license)",
    }
    torch.save(checkpoint, weights_path)

    facts = {
        "kind": loop.kind.value,
        "names": str([*loop.names_by_index.values()]),
        "image_size": str(loop.recipe.image_size),
        "recipe": loop.recipe.to_json(),
        PIECE: str(loop.recipe.piece),
    }
    export(model, loop.kind, len(loop.names_by_index), loop.recipe.image_size, facts, onnx_path)
    verify(onnx_path, reference(weights_path), pictures, loop.recipe.image_size, len(loop.names_by_index))


def export(
    model: torch.nn.Module, kind: LabelKind, classes: int, image_size: int, facts: dict[str, str], onnx_path: Path
) -> None:
    """Write one of ultralytics' networks as ONNX, with ``facts`` as its metadata.

    torch's newer exporter needs the package onnxscript, so the TorchScript-based one is used (as ultralytics does).
    """
    model = _for_export(model).fuse(verbose=False)
    axes = {"images": {0: "n", 2: "h", 3: "w"}, "output": {0: "n", 2: "anchors"}}
    if kind is LabelKind.POLYGON:
        axes["prototypes"] = {0: "n", 2: "mask_h", 3: "mask_w"}
    torch.onnx.export(
        model,
        (torch.zeros(1, 3, image_size, image_size),),
        str(onnx_path),
        opset_version=OPSET,
        input_names=["images"],
        output_names=[name for name in axes if name != "images"],
        dynamic_axes=axes,
        dynamo=False,
    )
    graph = onnx.load(onnx_path)
    # The exporter forgets what is fixed.
    rows = (4 + classes + EXTRA_ROWS[kind], MASKS)
    for output, value in zip(graph.graph.output, rows, strict=False):
        fixed = output.type.tensor_type.shape.dim[1]
        fixed.Clear()
        fixed.dim_value = value
    onnx.helper.set_model_props(graph, facts)
    onnx.save(graph, onnx_path)


def reference(weights_path: Path) -> Reference:
    """The network of a checkpoint of ours as PyTorch runs it: not fused, in single precision.

    The file is a pickle, which can run code when it is read: only for one that was just written.
    """
    checkpoint = torch.load(weights_path, map_location="cpu", weights_only=False)
    model = _for_export(checkpoint["model"])

    def run(batch: Pixels) -> tuple[NDArray[np.float32], ...]:
        with torch.inference_mode():
            outputs = model(torch.from_numpy(batch.copy()).permute(0, 3, 1, 2).float() / 255)
        return tuple(one.numpy() for one in ((outputs,) if isinstance(outputs, torch.Tensor) else outputs))

    return run


def _for_export(model: torch.nn.Module) -> Any:
    """A copy in single precision whose head gives the outputs of the contract."""
    copied: Any = deepcopy(model).float().eval()
    head = copied.model[-1]
    head.export, head.dynamic, head.format = True, True, "onnx"
    return copied
