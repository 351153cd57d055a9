"""The engines: an exported network, ready to run on batches of pictures.

An engine is named by a short word, so that one can be chosen in the settings and told to people:

- ``openvino``: OpenVINO on the CPU, in single precision.
- ``openvino-bf16``: the same, in bfloat16, on CPUs that compute in it (AVX512-BF16, AMX): about twice as fast.
- ``onnxruntime``: everywhere; on the graphics card when the installed onnxruntime has one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import LifoQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from custom_ai.errors import N_, ModelError
from custom_ai.serving import runtimes

OPENVINO, OPENVINO_BF16, ONNXRUNTIME = "openvino", "openvino-bf16", "onnxruntime"
ENGINES = (OPENVINO, OPENVINO_BF16, ONNXRUNTIME)
REDUCED = frozenset({OPENVINO_BF16})
"""Engines that compute in less than single precision: used only by models that were compared with it."""
GPU_SLOTS = 2

_first_call = threading.Lock()

Batch = NDArray[np.uint8]
Outputs = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, slots=True)
class Network:
    """A compiled network."""

    engine: str
    slots: int
    """So many batches are best run at the same time, by as many threads."""
    run: Callable[[Batch], Outputs]
    """(n, h, w, 3) uint8 RGB, h and w multiples of 32 -> the outputs of the contract (see ``Trained``), the
    caller's own. May be called from any number of threads."""


def build(onnx_path: Path, engine: str, threads: int, *, streams: int = 1, gpu: bool = True) -> Network:
    """Compile a network. ``threads``: bound for all batches together; ``streams``: batches at the same time.

    One stream answers soonest, as many as there are threads do most in all. Without ``gpu`` no graphics card is
    used. Raises ModelError when the file or the engine cannot be used.
    """
    threads = max(threads, 1)
    streams = min(max(streams, 1), threads)
    if engine in (OPENVINO, OPENVINO_BF16):
        return _openvino(onnx_path, engine, threads, streams)
    if engine == ONNXRUNTIME:
        return _onnxruntime(onnx_path, threads, streams, gpu)
    raise ModelError(model=onnx_path.name, why=f"there is no engine {engine!r}; there are: {', '.join(ENGINES)}")


def available() -> tuple[str, ...]:
    """The engines that work on this machine, in the order in which they are tried."""
    try:
        capabilities = runtimes.openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except (ImportError, RuntimeError):  # no wheel for this machine, or a CPU that it does not support
        return (ONNXRUNTIME,)
    return ENGINES if "BF16" in capabilities else (OPENVINO, ONNXRUNTIME)


def _openvino(onnx_path: Path, engine: str, threads: int, streams: int) -> Network:
    try:
        openvino = runtimes.openvino()
        core = openvino.Core()
        # Bytes to fractions within the network: in numpy the same takes a third of the network's own time.
        steps = openvino.preprocess.PrePostProcessor(core.read_model(onnx_path))
        steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
        steps.input().model().set_layout(openvino.Layout("NCHW"))
        steps.input().preprocess().convert_element_type(openvino.Type.f32).scale(255.0)
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": streams,
            # Never left to OpenVINO, which takes bf16 by itself where it can.
            "INFERENCE_PRECISION_HINT": "bf16" if engine == OPENVINO_BF16 else "f32",
        }
        compiled = core.compile_model(steps.build(), "CPU", options)
        free: LifoQueue[Any] = LifoQueue()
        for _ in range(streams):
            free.put(compiled.create_infer_request())

        def run(batch: Batch) -> Outputs:
            request = free.get()
            try:
                request.infer({0: batch}, share_inputs=True)
                # The request owns its outputs and overwrites them on the next call.
                return tuple(np.array(request.get_output_tensor(n).data) for n in range(len(request.model_outputs)))
            finally:
                free.put(request)

        # OpenVINO's bindings set themselves up at the first call in a process. Two threads that make it at the same
        # time wait for each other for ever (seen with 2026.4): so it is made here, by one thread at a time.
        with _first_call:
            run(np.zeros((1, 64, 64, 3), np.uint8))
    except (ImportError, RuntimeError) as error:
        raise ModelError(model=onnx_path.name, why=N_("OpenVINO cannot run it on this machine")) from error
    return Network(engine, streams, run)


def _onnxruntime(onnx_path: Path, threads: int, streams: int, gpu: bool) -> Network:
    onnxruntime = runtimes.onnxruntime()
    providers = _providers(onnxruntime.get_available_providers() if gpu else ())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(threads // streams, 1)
    try:
        session = onnxruntime.InferenceSession(str(onnx_path), options, providers=providers)
    except Exception as error:  # its exception classes have no public common base
        raise ModelError(model=onnx_path.name, why="it is not a readable ONNX file") from error
    name = session.get_inputs()[0].name
    slots = streams if session.get_providers() == ["CPUExecutionProvider"] else GPU_SLOTS
    free: LifoQueue[None] = LifoQueue()
    for _ in range(slots):
        free.put(None)

    def run(batch: Batch) -> Outputs:
        free.get()
        try:
            return tuple(session.run(None, {name: to_planes(batch)}))
        finally:
            free.put(None)

    return Network(ONNXRUNTIME, slots, run)


def _providers(there: Sequence[str]) -> list[Any]:
    """TensorRT is left out: it compiles for minutes, for each shape. TF32 would be reduced precision."""
    chosen: list[Any] = [("CUDAExecutionProvider", {"use_tf32": "0"})] if "CUDAExecutionProvider" in there else []
    chosen += [one for one in ("ROCMExecutionProvider", "MIGraphXExecutionProvider") if one in there]
    chosen += [one for one in ("DmlExecutionProvider", "CoreMLExecutionProvider") if one in there]
    return [*chosen, "CPUExecutionProvider"]


def to_planes(batch: Batch) -> NDArray[np.float32]:
    """(n, h, w, 3) uint8 -> (n, 3, h, w) float32, 0..1."""
    count, height, width, _ = batch.shape
    planes = np.empty((count, 3, height, width), np.float32)
    for one, picture in zip(planes, batch, strict=True):  # one at a time stays in the cache
        np.multiply(picture.transpose(2, 0, 1), np.float32(1 / 255), out=one)
    return planes
