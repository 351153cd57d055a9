"""Every message in the code has a Korean translation that fits, and the compiled catalogue is current."""

from __future__ import annotations

import gettext
import re
from functools import cache
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po

from custom_ai.i18n import translator

ROOT = Path(__file__).parents[2]
KOREAN = ROOT / "backend" / "custom_ai" / "locale" / "ko" / "LC_MESSAGES" / "messages.po"
HOW = "run `make translations`, then translate what is new in messages.po"
PLACEHOLDER = re.compile(r"\{(\w*)[^}]*\}")


@cache
def messages() -> dict[str, str]:
    """All messages of the code and the templates, with the file that has them."""
    with (ROOT / "babel.cfg").open(encoding="utf-8") as file:
        methods, options = parse_mapping_cfg(file)  # type: ignore[no-untyped-call]
    found = {}
    for folder in ("backend", "plugins", "selection_ui"):
        patterns = [
            (pattern.removeprefix(f"{folder}/"), method)
            for pattern, method in methods
            if pattern.startswith(f"{folder}/")
        ]
        chosen = {pattern.removeprefix(f"{folder}/"): value for pattern, value in options.items()}
        keywords = {**DEFAULT_KEYWORDS, "N_": None}
        for name, _line, message, *_ in extract_from_dir(ROOT / folder, patterns, chosen, keywords=keywords):
            assert isinstance(message, str), f"{name}: plural forms are not used here"
            found[message] = f"{folder}/{name}"
    return found


@cache
def catalogue() -> Catalog:
    with KOREAN.open("rb") as file:
        return read_po(file, locale="ko")


def placeholders(text: str) -> list[str]:
    return sorted(PLACEHOLDER.findall(text))


def test_something_is_extracted() -> None:
    assert {"Make Custom AI", "Cancelled on request."} <= messages().keys()


def test_every_message_has_a_korean_translation() -> None:
    missing = [f"{where}: {text!r}" for text, where in messages().items() if not _korean(text)]
    assert not missing, f"{HOW}:\n" + "\n".join(missing)


def test_no_translation_is_left_over_or_uncertain() -> None:
    entries = [entry for entry in catalogue() if entry.id]
    assert [entry.id for entry in entries if entry.id not in messages()] == [], HOW
    assert [entry.id for entry in entries if entry.fuzzy] == [], HOW


def test_placeholders_are_the_same() -> None:
    wrong = [text for text in messages() if placeholders(text) != placeholders(_korean(text))]
    assert not wrong


def test_compiled_catalogue_says_the_same() -> None:
    with KOREAN.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    stale = [text for text in messages() if compiled.gettext(text) != _korean(text)]
    assert not stale, "messages.mo is older than messages.po: run `make translations`"


@pytest.mark.parametrize(("language", "text"), [("ko", "저장"), ("en", "Save"), ("xx", "Save")])
def test_translator(language: str, text: str) -> None:
    assert translator(language)("Save") == text


def _korean(text: str) -> str:
    entry = catalogue().get(text)
    return str(entry.string) if entry is not None and entry.string else ""
