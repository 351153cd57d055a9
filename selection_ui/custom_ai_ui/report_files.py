"""A model's report as files to take away: a page that needs no server, figures, curves and pictures. No weights."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import escape

from custom_ai.errors import CustomAIError
from custom_ai.i18n import translator
from custom_ai.pipeline import overview
from custom_ai.pipeline.reports import part_of, report, report_image
from custom_ai.services import Services
from custom_ai_ui.plots import line
from custom_ai_ui.reporting import report_values
from custom_ai_ui.site import plain_words

STYLES = ("style.css", "vote.css", "report.css")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet would take a cell that begins so for a formula."""


def report_files(services: Services, model_id: int, language: str) -> dict[str, bytes]:
    """The files of a report by their relative names, ``index.html`` first. Raises NotFound.

    The texts are in ``language``. Pictures that cannot be fetched any more are missing.
    """
    found = report(services, model_id, translator(language))
    title = overview.project(services, found["project"])["title"]
    pictures = _pictures(services, model_id, found)

    def picture(task: int) -> str:
        return f"images/{task}.jpg"

    def thumb(number: int, doubt: Mapping[str, Any]) -> str:
        return _thumb_name(number)

    link = services.settings.label_studio_link
    page = Environment(loader=PackageLoader("custom_ai_ui"), autoescape=select_autoescape()).get_template(
        "custom_ai_ui/report_file.html"
    )
    html = page.render(**plain_words(language), **report_values(found, link, picture, thumb), project_title=title)
    static = files("custom_ai_ui") / "static"
    styles = "\n".join((static / name).read_text(encoding="utf-8") for name in STYLES)
    return {
        "index.html": html.encode(),
        "style.css": styles.encode(),
        "report.json": json.dumps(found, ensure_ascii=False, indent=1).encode(),
        "classes.csv": classes_csv(found),
        **{
            f"curves/{number:02d}.svg": curve_svg(name, found["curves"][name]).encode()
            for number, name in enumerate(found["classes"], start=1)
        },
        **pictures,
    }


def as_zip(content: Mapping[str, bytes], folder: str) -> bytes:
    """The files in a ZIP, below a folder of that name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(f"{folder}/{name}", data)
    return buffer.getvalue()


def classes_csv(found: Mapping[str, Any]) -> bytes:
    """A line per class, UTF-8 with a mark that spreadsheets know it by."""
    columns = ("boxes", "ap50", "ap50_low", "ap50_high", "ap50_95", "precision", "recall", "threshold")
    buffer = io.StringIO()
    table = csv.writer(buffer)
    table.writerow(["class", *columns, "curve"])
    per_class = (found["scores"] or {}).get("per_class") or {}
    for number, name in enumerate(found["classes"], start=1):
        one = per_class.get(name) or {}
        cells = [one[key] if isinstance(one.get(key), int) else _figure(one.get(key)) for key in columns]
        table.writerow([f"'{name}" if name.startswith(FORMULA) else name, *cells, f"curves/{number:02d}.svg"])
    return buffer.getvalue().encode("utf-8-sig")


def curve_svg(name: str, curve: Mapping[str, list[float]]) -> str:
    """The precision-recall curve of a class as a file of its own."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-14 -14 128 130" width="512" height="520" '
        'font-family="sans-serif" font-size="7">'
        f"<title>{escape(name)}</title>"
        '<rect x="-14" y="-14" width="128" height="130" fill="#fff"/>'
        '<rect width="100" height="100" fill="none" stroke="#999"/>'
        f'<polyline points="{line(curve["recall"], curve["precision"])}" fill="none" stroke="#1f4e79"/>'
        f'<text x="50" y="-4" text-anchor="middle">{escape(name)}</text>'
        '<text x="50" y="111" text-anchor="middle">recall</text>'
        '<text transform="translate(-5 50) rotate(-90)" text-anchor="middle">precision</text></svg>'
    )


def _pictures(services: Services, model_id: int, found: dict[str, Any]) -> dict[str, bytes]:
    shown = {f"images/{one['task']}.jpg": report_image(services, model_id, one["task"]) for one in found["worst"]}
    for number, doubt in enumerate(found["doubts"], start=1):
        if doubt["view"] is None:
            continue
        try:
            content = shown.get(f"images/{doubt['task']}.jpg") or report_image(services, model_id, doubt["task"])
        except CustomAIError:
            doubt["view"] = None
            continue
        shown[_thumb_name(number)] = part_of(content, doubt["view"])
    return shown


def _thumb_name(number: int) -> str:
    return f"images/doubt-{number:02d}.jpg"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
