"""The documentation names everything that there is: settings, routes, commands, tables, dependencies."""

from __future__ import annotations

import ast
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from flask import Flask
from PIL import Image
from typer.main import get_command

from custom_ai.cli import app as command_line
from custom_ai.settings import PREFIX, Settings
from custom_ai.web import create_app
from support import services_in

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def setting_notes() -> dict[str, str]:
    """The docstring under each setting."""
    tree = ast.parse(read("backend/custom_ai/settings.py"))
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef)).body
    notes = {}
    for field, note in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            assert isinstance(note, ast.Expr), f"{field.target.id} has no docstring"
            notes[field.target.id] = ast.literal_eval(note.value)
    return notes


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_is_documented(name: str) -> None:
    row = next((line for line in read("docs/settings.md").splitlines() if f"`{PREFIX}{name.upper()}`" in line), "")
    assert row, f"{name} is not in docs/settings.md"
    assert setting_notes()[name] in row
    default = Settings.model_fields[name].default
    assert str(getattr(default, "get_secret_value", lambda: default)()) in row


def test_every_route_is_documented(tmp_path: Path) -> None:
    app: Flask = create_app(services_in(tmp_path))
    text = read("docs/rest-api.md") + read("docs/label-studio-protocol.md")
    for rule in app.url_map.iter_rules():
        if rule.endpoint.endswith("static") or rule.endpoint.startswith("pages."):
            continue
        path = re.sub(r"<(?:int:)?(\w+)>", r"{\1}", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            assert f"{method} {path}" in text, f"{method} {path} is not documented"


def test_every_command_is_documented() -> None:
    text = read("docs/command-line.md")
    for name in get_command(command_line).commands:  # type: ignore[attr-defined]
        assert f"## custom-ai {name}" in text, f"{name} is not in docs/command-line.md"


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    text = read("docs/architecture.md")
    for requirement in project["dependencies"]:
        name = re.split(r"[<>=\[]", requirement)[0]
        assert f"| {name} |" in text, f"{name} has no reason in docs/architecture.md"
    assert any(one.startswith("torch>=2.4") for one in project["dependencies"])


def test_every_package_is_in_the_picture() -> None:
    text = read("docs/architecture.md")
    for entry in (ROOT / "backend" / "custom_ai").iterdir():
        if entry.name.startswith("_") or entry.name in ("locale", "py.typed"):
            continue
        assert f"`{entry.stem}`" in text, f"{entry.stem} is not in docs/architecture.md"


def test_every_entry_point_group_is_documented() -> None:
    for group in tomllib.loads(read("pyproject.toml"))["project"]["entry-points"]:
        assert f"`{group}`" in read("docs/architecture.md")


@pytest.mark.parametrize("file", [*DOCS.glob("*.md"), ROOT / "README.md"], ids=lambda file: file.name)
def test_links_lead_somewhere(file: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", file.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (file.parent / target).exists(), f"{file.name} links to {target}, which does not exist"


@pytest.mark.parametrize("file", [*DOCS.glob("*.md"), ROOT / "README.md"], ids=lambda file: file.name)
def test_pictures_can_be_shown_and_have_a_text(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    found = re.findall(r"!\[([^]]*)\]\(([^)]+)\)", text)
    found += [(alt, source) for source, alt in re.findall(r'<img src="([^"]+)"[^>]* alt="([^"]*)"', text)]
    assert len(found) == text.count("![") + text.count("<img")
    for alt, source in found:
        assert alt, f"{file.name}: {source} has no text for those who do not see it"
        with Image.open(file.parent / source) as picture:
            picture.verify()


def test_every_picture_is_shown() -> None:
    shown = "".join(file.read_text(encoding="utf-8") for file in (*DOCS.glob("*.md"), ROOT / "README.md"))
    unused = [one.name for one in (DOCS / "screenshots").iterdir() if f"screenshots/{one.name}" not in shown]
    assert not unused
