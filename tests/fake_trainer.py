"""A working fake of a trainer: instant, and its model sees one fixed box. It keeps the whole contract."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from custom_ai.errors import Cancelled, TrainingError
from custom_ai.training.contract import Progress, Recipe, TrainContext, Trained, TrainerSpec, TrainSet
from custom_ai.types import LabelKind


def one_box_model(classes: int, score: float = 0.9) -> bytes:
    """An ONNX file by the contract: input (n, 3, h, w), output (n, 4 + classes, 1) with a box in the middle.

    The box is 40 % of the letterboxed input wide and high; its class is the first one.
    """
    size = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "h", "w"])
    out = helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["n", 4 + classes, 1])
    scores = np.zeros((1, classes, 1), np.float32)
    scores[0, 0, 0] = score
    constants = {
        "wh": np.array([3, 2], np.int64),  # width, height
        "share": np.array([0.5, 0.5, 0.4, 0.4], np.float32).reshape(1, 4, 1),
        "scores": scores,
        "column": np.array([1, 4, 1], np.int64),
        "first": np.array([0], np.int64),
        "batch_tail": np.array([4 + classes, 1], np.int64),
    }
    nodes = [
        helper.make_node("Shape", ["images"], ["shape"]),
        helper.make_node("Gather", ["shape", "wh"], ["side"], axis=0),
        helper.make_node("Concat", ["side", "side"], ["sides"], axis=0),
        helper.make_node("Cast", ["sides"], ["sides_f"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["sides_f", "column"], ["sides_c"]),
        helper.make_node("Mul", ["sides_c", "share"], ["box"]),
        helper.make_node("Concat", ["box", "scores"], ["one"], axis=1),
        helper.make_node("Gather", ["shape", "first"], ["n"], axis=0),
        helper.make_node("Concat", ["n", "batch_tail"], ["target"], axis=0),
        helper.make_node("Expand", ["one", "target"], ["output0"]),
    ]
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "one box", [size], [out], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


class FakeTrainer:
    """Fails for the recipes named in ``failing``; sleeps until cancelled for those in ``endless``."""

    spec = TrainerSpec(name="fake", kinds=(LabelKind.BOX,))

    def __init__(self, failing: tuple[str, ...] = (), endless: tuple[str, ...] = ()) -> None:
        self.failing, self.endless = failing, endless
        self.seen: list[TrainSet] = []
        self.when_endless: Callable[[], object] = lambda: None

    def train(self, recipe: Recipe, data: TrainSet, context: TrainContext) -> Trained:
        self.seen.append(data)
        if recipe.name in self.failing:
            raise TrainingError(why="this recipe always fails")
        context.report(Progress("training", 0.5, 1.0, 0.7))
        if recipe.name in self.endless:
            self.when_endless()
            deadline = time.monotonic() + 20
            while not context.cancelled() and time.monotonic() < deadline:
                time.sleep(0.05)
            raise Cancelled
        score = 0.5 + 0.1 * len(self.seen)
        onnx_path, weights = context.work_dir / "model.onnx", context.work_dir / "weights.pt"
        onnx_path.write_bytes(one_box_model(len(data.classes), score))
        weights.write_bytes(f"weights {score}".encode())
        return Trained(weights, onnx_path, "no base weights", recipe.image_size, 0.1, recipe.passes)
