"""Imports go down only, and the story does not load the heavy machinery."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BACKEND = ROOT / "backend" / "custom_ai"

LAYERS = [
    {"types", "errors", "cores", "plugins", "assertions"},
    {
        "geometry",
        "shapes",
        "policy",
        "settings",
        "i18n",
        "images",
        "store",
        "duplicates",
        "figures",
        "certainty",
        "doubt",
        "variety",
        "vault",
        "archive_names",
        "exhaustion",
    },
    {"overlap", "archive"},
    {"comparison"},
    {"state", "labelstudio", "dataset", "training", "serving", "formats", "notifiers"},
    {"services"},
    {"pipeline"},
    {"queue"},
    {"wiring"},
    {"web", "jobs", "demo"},
    {"wsgi"},
    {"cli"},
]
"""From the bottom up; a module imports from its own part and from lower layers only."""
SIDEWAYS = {("dataset", "training"), ("training", "dataset"), ("training", "serving"), ("formats", "training")}
"""Within a layer: the data set is written for trainers, a candidate is scored as it will be served, and exports have
the label files that trainers take."""


def part_of(module: str) -> str:
    """custom_ai.labelstudio.client -> labelstudio"""
    return module.split(".")[1]


def layer_of(part: str) -> int:
    return next(number for number, parts in enumerate(LAYERS) if part in parts)


def runtime_imports(file: Path) -> set[str]:
    """Modules of ours that a file imports, but not only for type checking."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    skipped = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("custom_ai"):
            found |= {node.module} if node.module != "custom_ai" else {f"custom_ai.{one.name}" for one in node.names}
        elif isinstance(node, ast.Import):
            found |= {one.name for one in node.names if one.name.startswith("custom_ai")}
    return {one for one in found if "." in one and part_of(one) != "__version__"}


FILES = [file for file in BACKEND.rglob("*.py") if "migrations" not in file.parts]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(BACKEND)))
def test_imports_go_down_only(file: Path) -> None:
    own = file.relative_to(BACKEND).parts[0].removesuffix(".py")
    if own in ("__init__", "__main__"):
        return
    for module in runtime_imports(file):
        if module.startswith("custom_ai_ui") or (own == "cli" and module.startswith("custom_ai_deid")):
            continue
        part = part_of(module)
        if part == own or (own, part) in SIDEWAYS:
            continue
        assert layer_of(part) < layer_of(own), f"{own} must not import {module}"


@pytest.mark.parametrize("file", list((ROOT / "selection_ui").rglob("*.py")), ids=lambda file: file.name)
def test_pages_know_the_pipeline_but_not_the_web_process(file: Path) -> None:
    for module in runtime_imports(file):
        if module.startswith("custom_ai."):
            assert part_of(module) in {"errors", "i18n", "types", "policy", "geometry", "services", "pipeline", "state"}


@pytest.mark.parametrize("file", list((ROOT / "plugins" / "custom_ai_deid").glob("*.py")), ids=lambda file: file.name)
def test_hiding_faces_needs_no_label_studio_and_no_database(file: Path) -> None:
    for module in runtime_imports(file):
        assert module.startswith(("custom_ai_deid", "custom_ai.errors", "custom_ai.plugins", "custom_ai.serving"))


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("custom_ai.pipeline.train", {"flask", "rq", "redis", "torch", "ultralytics", "cv2"}),
        ("custom_ai.pipeline.tick", {"flask", "rq", "redis", "torch", "ultralytics", "cv2"}),
        ("custom_ai.jobs", {"flask", "torch", "ultralytics", "cv2"}),  # the worker's parent imports it
        ("custom_ai.web", {"torch", "ultralytics", "cv2", "shapely"}),
        ("custom_ai.cli", {"torch", "ultralytics", "flask"}),
    ],
)
def test_the_story_does_not_load_the_heavy_machinery(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted({absent!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


@pytest.mark.parametrize("module", ["types", "errors", "geometry", "plugins", "shapes", "policy", "assertions"])
def test_the_core_needs_the_standard_library_only(module: str) -> None:
    code = (
        "import sys; before = set(sys.modules); "
        f"import custom_ai.{module}; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(*sorted(new - set(sys.stdlib_module_names) - {'custom_ai'}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def test_only_the_trainer_imports_ultralytics() -> None:
    users = {file.name for file in FILES if "ultralytics" in file.read_text() and _imports(file, "ultralytics")}
    assert users <= {"yolo.py", "yolo_loop.py", "yolo_models.py", "yolo_export.py"}


def _imports(file: Path, package: str) -> bool:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import) and any(one.name.partition(".")[0] == package for one in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == package:
            return True
    return False
