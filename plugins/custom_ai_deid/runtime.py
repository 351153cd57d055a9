"""Runs an ONNX network on one image at a time, as many at the same time as there are threads.

Each image is computed by one thread: two of them do a quarter more so than together on one image, layer by layer.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from queue import LifoQueue
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from custom_ai.errors import N_, ModelError
from custom_ai.serving.runtimes import onnxruntime as load_onnxruntime
from custom_ai.serving.runtimes import openvino as load_openvino

Pixels = NDArray[np.uint8]
Outputs = dict[str, NDArray[np.float32]]
BGR = tuple[float, float, float]

_first_call = Lock()


@dataclass(frozen=True, slots=True)
class Runner:
    """A compiled network."""

    run: Callable[[Pixels], Outputs]
    """(height, width, 3) RGB, sides multiples of 32 -> what it says by the outputs' names, for a batch of one; the
    caller's own. May be called from any number of threads."""
    slots: int
    """So many images are best looked at at the same time."""


def compile_network(
    content: bytes, name: str, threads: int, *, unneeded: str = "", first: int = 100, mean: BGR = (0.0, 0.0, 0.0)
) -> Runner:
    """content: an ONNX file of a network that takes planes of blue, green and red, 0 to 255, less their ``mean``.

    Of its outputs only the ``first`` ones are computed, and none whose name begins with ``unneeded``: eyes and mouths
    would take a fifth of the time. Raises ModelError.
    """
    content = _prepared(content, name, unneeded, first)
    try:
        return _openvino(content, max(threads, 1), mean)
    except (ImportError, RuntimeError):  # no wheel for this machine, or a CPU that it does not support
        return _onnxruntime(content, name, max(threads, 1), mean)


def _prepared(content: bytes, name: str, unneeded: str, first: int) -> bytes:
    """With no sizes written down (files often name one, though the network takes any) and the wanted outputs."""
    import onnx

    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # protobuf's errors have no public common base
        raise ModelError(model=name, why=N_("it is not a readable ONNX file")) from error
    graph = model.graph
    if not graph.input or len(graph.input[0].type.tensor_type.shape.dim) != 4:
        raise ModelError(model=name, why=N_("it is no network that looks at images"))
    for place, letter in ((2, "h"), (3, "w")):
        graph.input[0].type.tensor_type.shape.dim[place].dim_param = letter
    kept = [output for output in graph.output if not (unneeded and output.name.startswith(unneeded))][:first]
    for output in kept:
        output.type.tensor_type.ClearField("shape")
    del graph.output[:], graph.value_info[:]
    graph.output.extend(kept)
    return bytes(model.SerializeToString())


def _openvino(content: bytes, threads: int, mean: BGR) -> Runner:
    openvino = load_openvino()
    core = openvino.Core()
    model = core.read_model(io.BytesIO(content))
    names = [sorted(output.get_names())[0] for output in model.outputs]
    steps = openvino.preprocess.PrePostProcessor(model)
    color = openvino.preprocess.ColorFormat
    tensor = steps.input().tensor()
    tensor.set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC")).set_color_format(color.RGB)
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    chain = steps.input().preprocess()
    chain.convert_element_type(openvino.Type.f32).convert_color(color.BGR).mean([*mean])
    # In bfloat16, where the CPU computes in it, the same faces are found in half the time (docs/deidentification.md).
    reduced = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": threads,
        "INFERENCE_PRECISION_HINT": "bf16" if reduced else "f32",
    }
    compiled = core.compile_model(steps.build(), "CPU", options)
    free: LifoQueue[Any] = LifoQueue()
    for _ in range(threads):
        free.put(compiled.create_infer_request())

    def run(pixels: Pixels) -> Outputs:
        request = free.get()
        try:
            request.infer({0: np.ascontiguousarray(pixels)[None]}, share_inputs=True)
            # The request owns its outputs and overwrites them on the next call.
            return {name: np.array(request.get_output_tensor(n).data) for n, name in enumerate(names)}
        finally:
            free.put(request)

    # OpenVINO's bindings set themselves up at the first call in a process, which must be made by one thread alone.
    with _first_call:
        run(np.zeros((64, 64, 3), np.uint8))
    return Runner(run, threads)


def _onnxruntime(content: bytes, name: str, threads: int, mean: BGR) -> Runner:
    """Uses a GPU when onnxruntime has one."""
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(content, options, providers=onnxruntime.get_available_providers())
    except Exception as error:  # its exception classes have no public common base
        raise ModelError(model=name, why=N_("it is not a readable ONNX file")) from error
    (entry,) = session.get_inputs()
    outputs = [one.name for one in session.get_outputs()]
    less = np.array(mean, np.float32)

    def run(pixels: Pixels) -> Outputs:
        planes = np.ascontiguousarray((pixels[..., ::-1] - less).transpose(2, 0, 1)[None], dtype=np.float32)
        return dict(zip(outputs, session.run(None, {entry.name: planes}), strict=True))

    return Runner(run, 1)
