"""The fastest engine for a network on this machine: measured once, in a few seconds, and remembered."""

from __future__ import annotations

import hashlib
import logging
import platform
import threading
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from custom_ai.errors import N_, ModelError
from custom_ai.serving.choices import Choice, Choices
from custom_ai.serving.metadata import Metadata, read_metadata
from custom_ai.serving.networks import REDUCED, Network, available, build

log = logging.getLogger(__name__)
BATCH, BATCHES = 4, (1, 2, 4, 8)
"""Engines are compared with the first, and the best one is then tried with the others."""
ROUNDS = 2
"""Engines take turns, and the best round of each counts: other programs disturb now and then."""
ROUND_S = 0.2
_lock = threading.Lock()


def choose(
    onnx_path: Path, image_size: int, threads: int, choices: Choices, *, gpu: bool = True, sha256: str = ""
) -> Choice:
    """The engine and batch for a model; measured when it was not before, on this machine, for this architecture.

    What was chosen is noted under the model's ``sha256``, when it is given. Engines of reduced precision take part
    when the model says that its detections stay the same with them. Raises ModelError when no engine can run it.
    """
    facts = read_metadata(onnx_path)
    engines = usable(facts)
    key = _key(facts.architecture, image_size, threads, engines, gpu)
    with _lock:  # threads that load two models at once would disturb each other's measurement
        found = choices.get(key)
        if found is None:
            found = measure(onnx_path, image_size, threads, engines, facts.architecture, gpu=gpu)
            choices.put(key, found)
            log.info("measured engines at %s pixels, pictures per second: %s", image_size, dict(found.rates))
        if sha256:
            choices.loaded(sha256, key)
    return found


def usable(facts: Metadata) -> list[str]:
    """The engines of this machine that may run a model: exact ones unless, reduced ones only if, they were compared."""
    return [one for one in available() if (one in facts.agrees if one in REDUCED else one not in facts.differs)]


def measure(
    onnx_path: Path, image_size: int, threads: int, engines: Sequence[str], architecture: str = "", *, gpu: bool = True
) -> Choice:
    """Run each engine on noise of the shape of common photos (4:3), as streams do. Raises ModelError."""
    networks = []
    for engine in engines:
        try:
            networks.append(build(onnx_path, engine, threads, streams=threads, gpu=gpu))
        except ModelError as error:
            log.warning("engine %s cannot be used: %s", engine, error)
    if not networks:
        raise ModelError(model=onnx_path.name, why=N_("no engine on this machine can run it"))
    rates = _best_rates([(network, BATCH) for network in networks], image_size)
    best = max(networks, key=lambda one: rates[one.engine, BATCH])
    for key, rate in _best_rates([(best, batch) for batch in BATCHES], image_size).items():
        rates[key] = max(rate, rates.get(key, 0.0))
    fastest = max(rates[best.engine, batch] for batch in BATCHES)
    # The smallest batch that is about as fast: it needs less memory, and answers sooner.
    batch = next(one for one in BATCHES if rates[best.engine, one] >= 0.97 * fastest)
    shown = {one.engine: round(rates[one.engine, BATCH], 1) for one in networks} | {best.engine: round(fastest, 1)}
    return Choice(best.engine, batch, shown, image_size, threads, architecture)


def _best_rates(runs: Sequence[tuple[Network, int]], image_size: int) -> dict[tuple[str, int], float]:
    """Pictures per second by engine and batch."""
    rates: dict[tuple[str, int], float] = {}
    for number in range(ROUNDS):
        for network, batch in runs:
            # The first call for a shape compiles parts of the network.
            rate = _rate(network, batch, image_size, warm_up=number == 0)
            rates[network.engine, batch] = max(rates.get((network.engine, batch), 0.0), rate)
    return rates


def _rate(network: Network, batch: int, image_size: int, *, warm_up: bool) -> float:
    """Pictures per second with as many threads as the network takes."""
    height = max(round(image_size * 0.75 / 32), 1) * 32
    pictures = np.random.default_rng(0).integers(0, 256, (batch, height, image_size, 3), np.uint8)
    if warm_up:
        _together(network.slots, lambda: network.run(pictures))
    counts: list[int] = []
    started = time.perf_counter()

    def work() -> None:
        count = 0
        while count == 0 or time.perf_counter() - started < ROUND_S:
            network.run(pictures)
            count += 1
        counts.append(count)

    _together(network.slots, work)
    return sum(counts) * batch / (time.perf_counter() - started)


def _together(count: int, work: Callable[[], object]) -> None:
    workers = [threading.Thread(target=work) for _ in range(count)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()


def _key(architecture: str, image_size: int, threads: int, engines: Sequence[str], gpu: bool) -> str:
    """What a measurement holds for: processor, libraries, network, bounds."""
    versions = [_version(name) for name in ("openvino", "onnxruntime", "onnxruntime-gpu")]
    facts = [_processor(), *versions, architecture, str(image_size), str(threads), *engines, str(gpu)]
    return hashlib.sha256("|".join(facts).encode()).hexdigest()[:16]


def _processor() -> str:
    """The processor's name and, where it is told, what it can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    told = dict(line.partition(":")[::2] for line in reversed(lines))
    return "".join(value for name, value in told.items() if name.strip() in ("model name", "flags", "Features"))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "-"
