"""Tiny networks that follow the contract of exported models, and pictures for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

CLASSES = ("a", "b")


def tiny_network(path: Path, rows: int = 6, **facts: str) -> Path:
    """An ONNX whose only box is centred at (16, 16) and whose score of class b is the mean red."""
    fixed = np.zeros((1, rows, 1), np.float32)
    fixed[0, :4, 0] = (16, 16, 8, 8)
    at_b = np.zeros((1, rows, 1), np.float32)
    at_b[0, 5:, 0] = 1
    nodes = [
        helper.make_node("Gather", ["images", "zero"], ["red"], axis=1),
        helper.make_node("ReduceMean", ["red"], ["mean"], axes=[1, 2], keepdims=1),
        helper.make_node("Mul", ["mean", "at_b"], ["score"]),
        helper.make_node("Add", ["score", "fixed"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", rows, 1])],
        [
            helper.make_tensor("zero", TensorProto.INT64, [], [0]),
            helper.make_tensor("at_b", TensorProto.FLOAT, at_b.shape, at_b.ravel().tolist()),
            helper.make_tensor("fixed", TensorProto.FLOAT, fixed.shape, fixed.ravel().tolist()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, facts)
    onnx.save(model, path)
    return path


def red(height: int, width: int, level: int) -> NDArray[np.uint8]:
    """A picture whose score is level / 255."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = level
    return image
