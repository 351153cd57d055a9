"""What a training leaves behind: the weights as ultralytics stores them, and the same numbers as ONNX.

Like ``yolo_loop``, imported only after ``training/yolo.py`` has prepared the environment.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import onnx
import torch
from ultralytics import __version__ as ultralytics_version

from custom_ai.errors import N_, TrainingError
from custom_ai.training.contract import MASKS
from custom_ai.training.yolo_loop import Loop
from custom_ai.training.yolo_models import MODELS
from custom_ai.types import LabelKind

OPSET = 17
EXTRA_ROWS = {LabelKind.BOX: 0, LabelKind.ROTATED_BOX: 1, LabelKind.POLYGON: MASKS}
"""Rows of the output after those of the box and the classes."""


def save(loop: Loop, weights_path: Path, onnx_path: Path) -> None:
    """Write the averaged weights in half precision (as ultralytics does) and the same numbers as ONNX.

    The ONNX follows the contract of ``Trained.onnx_path``. torch's newer exporter needs the package
    onnxscript, so the TorchScript-based one is used (as ultralytics does).
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

    model = deepcopy(model).float().eval()
    model = model.fuse(verbose=False)
    head = model.model[-1]
    head.export, head.dynamic, head.format = True, True, "onnx"
    size = loop.recipe.image_size
    axes = {"images": {0: "n", 2: "h", 3: "w"}, "output": {0: "n", 2: "anchors"}}
    if loop.kind is LabelKind.POLYGON:
        axes["prototypes"] = {0: "n", 2: "mask_h", 3: "mask_w"}
    torch.onnx.export(
        model,
        (torch.zeros(1, 3, size, size),),
        str(onnx_path),
        opset_version=OPSET,
        input_names=["images"],
        output_names=[name for name in axes if name != "images"],
        dynamic_axes=axes,
        dynamo=False,
    )
    graph = onnx.load(onnx_path)
    # The exporter forgets what is fixed.
    rows = (4 + len(loop.names_by_index) + EXTRA_ROWS[loop.kind], MASKS)
    for output, value in zip(graph.graph.output, rows, strict=False):
        fixed = output.type.tensor_type.shape.dim[1]
        fixed.Clear()
        fixed.dim_value = value
    onnx.helper.set_model_props(
        graph,
        {
            "kind": loop.kind.value,
            "names": str([*loop.names_by_index.values()]),
            "image_size": str(size),
            "recipe": loop.recipe.to_json(),
        },
    )
    onnx.save(graph, onnx_path)
