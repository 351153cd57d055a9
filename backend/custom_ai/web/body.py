"""What a program sent: the JSON of its request, numbers in the address."""

from __future__ import annotations

from typing import Any

from flask import request

from custom_ai.errors import N_, BadInput


def json_body() -> dict[str, Any]:
    """The request's JSON object; {} when nothing was sent. Raises BadInput."""
    if not request.data:
        return {}
    body = request.get_json(silent=True, force=True)
    if not isinstance(body, dict):
        raise BadInput(what=N_("the request"), why=N_("expected a JSON object"))
    return body


def strings(body: dict[str, Any], name: str) -> list[str] | None:
    """A list of names, or None when there is no such field. Raises BadInput."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise BadInput(what=name, why=N_("expected a list of names"))
    return value


def number(body: dict[str, Any], name: str, kind: type[int] | type[float]) -> Any:
    """A number, or None when there is no such field. Raises BadInput."""
    value = body.get(name)
    if value is None:
        return None
    allowed = (int,) if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed):
        raise BadInput(what=f"{name} = {value!r}", why=N_("expected a number"))
    return kind(value)


def flag(body: dict[str, Any], name: str) -> bool:
    """True or false; false when there is no such field. Raises BadInput."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadInput(what=f"{name} = {value!r}", why=N_("expected true or false"))
    return bool(value)


def text(body: dict[str, Any], name: str) -> str | None:
    """A text, or None when there is no such field. Raises BadInput."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise BadInput(what=f"{name} = {value!r}", why=N_("expected a text"))
    return value


def numbers(body: dict[str, Any], name: str) -> list[int] | None:
    """A list of whole numbers, or None when there is no such field. Raises BadInput."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(type(one) is int for one in value):
        raise BadInput(what=name, why=N_("expected a list of whole numbers"))
    return value


def anything(body: dict[str, Any], name: str) -> list[Any]:
    """A list of anything; [] when there is no such field. Raises BadInput."""
    value = body.get(name)
    if value is not None and not isinstance(value, list):
        raise BadInput(what=name, why=N_("expected a list"))
    return value or []


def in_query(name: str, least: int, most: int) -> int | None:
    """A whole number from the address (``?name=``), or None when it is not there. Raises BadInput."""
    text = request.args.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise BadInput(what=f"{name} = {text[:40]!r}", why=N_("this is not a possible value"))
    return int(text)
