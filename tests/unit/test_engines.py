"""The engines that a machine has, which of them is chosen, and whether they say what the trained network says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from networks import CLASSES, red, tiny_network

from custom_ai.errors import ModelError
from custom_ai.serving import selftest
from custom_ai.serving.choices import FILE, KEPT, Choice, Choices
from custom_ai.serving.engine import Model
from custom_ai.serving.metadata import AGREES, DIFFERS, read_metadata
from custom_ai.serving.networks import (
    ONNXRUNTIME,
    OPENVINO,
    OPENVINO_BF16,
    Batch,
    Network,
    Outputs,
    available,
    build,
    to_planes,
)
from custom_ai.training.agreement import EXACT, REDUCED_LIMIT, Difference, Disagreement, compare, verify

CHOICE = Choice(OPENVINO, 2, {OPENVINO: 12.5, ONNXRUNTIME: 9.0}, 320, 2, "0123456789abcdef")


def test_choices_are_kept_in_a_file(tmp_path: Path) -> None:
    choices = Choices(tmp_path)
    assert choices.get("a") is None
    choices.put("a", CHOICE)
    assert Choices(tmp_path).get("a") == CHOICE
    for number in range(KEPT):
        choices.put(f"n{number}", CHOICE)
    assert choices.get("a") is None
    assert len(choices.all()) == KEPT
    assert choices.of_model("f" * 64) is choices.of_model(None) is None
    choices.loaded("f" * 64, "n7")
    assert Choices(tmp_path).of_model("f" * 64) == CHOICE
    for damage in ("", "[]", '{"measured": {"a": {"engine": "x"}}, "models": {}}', '{"a": 1}'):
        (tmp_path / FILE).write_text(damage)
        assert choices.all() == []
    choices.put("a", CHOICE)
    assert choices.get("a") == CHOICE


def fake_engines(monkeypatch: pytest.MonkeyPatch, speed: dict[str, float]) -> list[str]:
    """Engines that take ``speed`` seconds per call whatever the batch; those without an entry cannot be used."""
    built: list[str] = []

    def fake_build(path: Path, engine: str, threads: int, *, streams: int = 1, gpu: bool = True) -> Network:
        if engine not in speed:
            raise ModelError(model=path.name, why="no")
        built.append(engine)

        def run(batch: Batch) -> Outputs:
            selftest.time.sleep(speed[engine])
            return (np.zeros((len(batch), 6, 1), np.float32),)

        return Network(engine, 1, run)

    monkeypatch.setattr(selftest, "build", fake_build)
    monkeypatch.setattr(selftest, "available", lambda: (OPENVINO, OPENVINO_BF16, ONNXRUNTIME))
    monkeypatch.setattr(selftest, "ROUND_S", 0.02)
    return built


def test_the_fastest_engine_is_chosen_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = fake_engines(monkeypatch, {OPENVINO: 0.004, OPENVINO_BF16: 0.0001, ONNXRUNTIME: 0.001})
    path = tiny_network(tmp_path / "tiny.onnx")
    choice = selftest.choose(path, 64, 1, Choices(tmp_path))
    assert (choice.engine, choice.batch) == (ONNXRUNTIME, 8)  # bf16 was never compared for this model
    assert {*choice.rates} == {OPENVINO, ONNXRUNTIME}
    assert built == [OPENVINO, ONNXRUNTIME]
    assert selftest.choose(path, 64, 1, Choices(tmp_path)) == choice
    assert built == [OPENVINO, ONNXRUNTIME]
    assert Choices(tmp_path).of_model("f" * 64) is None
    selftest.choose(path, 64, 1, Choices(tmp_path), sha256="f" * 64)
    assert Choices(tmp_path).of_model("f" * 64) == choice
    selftest.choose(path, 96, 1, Choices(tmp_path))  # another size is another question
    assert len(built) == 4


def test_what_the_comparison_said_is_kept_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_engines(monkeypatch, {OPENVINO_BF16: 0.0001, ONNXRUNTIME: 0.001})
    compared = tiny_network(tmp_path / "a.onnx", **{AGREES: f"{OPENVINO_BF16} {ONNXRUNTIME}", DIFFERS: OPENVINO})
    assert selftest.usable(read_metadata(compared)) == [OPENVINO_BF16, ONNXRUNTIME]
    assert selftest.choose(compared, 64, 1, Choices(tmp_path)).engine == OPENVINO_BF16
    fake_engines(monkeypatch, {})
    with pytest.raises(ModelError, match="no engine on this machine can run it"):
        selftest.choose(compared, 96, 1, Choices(tmp_path))


def test_a_real_measurement(tmp_path: Path) -> None:
    choice = selftest.choose(tiny_network(tmp_path / "tiny.onnx"), 64, 2, Choices(tmp_path))
    assert choice.engine in available()
    assert choice.rates[choice.engine] == max(choice.rates.values()) > 0


@pytest.mark.parametrize("engine", available())
@pytest.mark.parametrize("streams", [1, 2])
def test_engines_run_batches_of_any_shape(tmp_path: Path, engine: str, streams: int) -> None:
    network = build(tiny_network(tmp_path / "tiny.onnx"), engine, 2, streams=streams)
    assert (network.engine, network.slots) == (engine, streams)
    for shape in ((1, 64, 64), (3, 32, 96)):
        (output,) = network.run(np.stack([red(*shape[1:], 51)] * shape[0]))
        assert output.shape == (shape[0], 6, 1)
        np.testing.assert_allclose(output[:, 5, 0], 0.2, atol=0.002)


def test_an_engine_of_ones_own_choice(tmp_path: Path) -> None:
    path = tiny_network(tmp_path / "tiny.onnx")
    assert Model.load(path, CLASSES, 64, engine=ONNXRUNTIME).engine == ONNXRUNTIME
    with pytest.raises(ModelError, match="no engine 'abacus'; there are: openvino"):
        Model.load(path, CLASSES, 64, engine="abacus")


def outputs(scores: list[float], shift: float = 0.0) -> Outputs:
    """One picture with two classes: (1, 6, anchors)."""
    rows = np.zeros((1, 6, len(scores)), np.float32)
    rows[0, :4] = 10.0 + shift
    rows[0, 4] = scores
    return (rows,)


def test_differences_are_those_that_matter() -> None:
    same = compare(outputs([0.9, 0.2]), outputs([0.9, 0.2]), 2)
    assert same == Difference(0.0, 0.0, 0.0)
    apart = compare(outputs([0.9, 0.2]), outputs([0.9, 0.23], shift=0.25), 2)
    assert (apart.score, apart.pixels) == pytest.approx((0.03, 0.25), abs=1e-6)
    assert not apart.within(EXACT)
    assert apart.within(REDUCED_LIMIT)
    # Of many anchors only those that anybody would see are compared by their boxes.
    scores = [0.9] + [0.01] * 200
    (moved,) = outputs(scores)
    moved[0, :4, 150:] += 100
    assert compare(outputs(scores), (moved,), 2).pixels == 0.0
    broken = outputs([np.nan, 0.2])
    assert not compare(outputs([0.9, 0.2]), broken, 2).within(REDUCED_LIMIT)
    assert not compare(outputs([0.9, 0.2]), outputs([0.9]), 2).within(REDUCED_LIMIT)


def test_an_export_that_says_something_else_is_refused(tmp_path: Path) -> None:
    path = tiny_network(tmp_path / "tiny.onnx")
    pictures = [red(64, 64, 100), red(48, 96, 200)]

    def trained(batch: Batch) -> Outputs:
        """What the tiny network says, in numpy."""
        rows = np.zeros((len(batch), 6, 1), np.float32)
        rows[:, :4, 0] = (16, 16, 8, 8)
        rows[:, 5, 0] = to_planes(batch)[:, 0].mean(axis=(1, 2))
        return (rows,)

    verify(path, trained, pictures, 64, 2)
    facts = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert {*facts[AGREES].split()} == {*available()}
    assert read_metadata(path).differs == frozenset()
    assert selftest.usable(read_metadata(path)) == [*available()]

    def trained_otherwise(batch: Batch) -> Outputs:
        (rows,) = trained(batch)
        rows[:, 0] += 0.6
        return (rows,)

    with pytest.raises(Disagreement, match=r"is not used: .*openvino: scores by 0\.0000, boxes by 0\.60 pixels"):
        verify(path, trained_otherwise, pictures, 64, 2)


def test_the_libraries_report_nothing(tmp_path: Path) -> None:
    """In a fresh process, with a home folder of its own, and without a network."""
    code = (
        "import socket, sys\n"
        "def refuse(*args, **kwargs): raise AssertionError(args)\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from pathlib import Path\n"
        "from custom_ai.serving.networks import available, build\n"
        "for engine in available(): build(Path(sys.argv[1]), engine, 1)\n"
    )
    path = tiny_network(tmp_path / "tiny.onnx")
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_", "CI"))}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], env={**kept, "HOME": str(home)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [*home.rglob("*")] == []
