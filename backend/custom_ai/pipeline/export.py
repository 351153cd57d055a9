"""Models to take away: the files, with a card that says what they were made of and how good they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from custom_ai import __version__
from custom_ai.errors import N_, BadInput, NotFound
from custom_ai.services import Services
from custom_ai.state.journal import render
from custom_ai.state.tables import Candidate, DatasetSnapshot, Project, Run

FORMATS = {"onnx": "model.onnx", "weights": "weights.pt"}
LICENCE = "AGPL-3.0 (trained with ultralytics, which is AGPL-3.0)"


def model_card(services: Services, candidate_id: int, translate: Callable[[str], str] = str) -> dict[str, Any]:
    """What a model is: data, recipe, base weights, scores, licence. Raises NotFound."""
    with services.database.read() as session:
        row = session.get(Candidate, candidate_id)
        if row is None or row.status != "done":
            raise NotFound(what=N_("model"), id=candidate_id)
        run = session.get_one(Run, row.run_id)
        project = session.get_one(Project, row.project_id)
        snapshot = None if run.snapshot_id is None else session.get_one(DatasetSnapshot, run.snapshot_id)
    return {
        "version": row.version,
        "title": translate(row.title),
        "project": {"id": project.id, "title": project.title},
        "kind": run.kind,
        "classes": row.classes,
        "data": {
            "sha256": None if snapshot is None else snapshot.sha256,
            "images": None if snapshot is None else snapshot.images,
            "labels": {} if snapshot is None else snapshot.counts,
        },
        "recipe": row.recipe,
        "base_weights": None if row.base_weights is None else translate(row.base_weights),
        "notes": [render(one, translate) for one in row.notes],
        "image_size": row.image_size,
        "passes": row.passes,
        "seconds": row.seconds,
        "scores": row.scores,
        "thresholds": row.thresholds,
        "trained_at": None if run.finished_at is None else run.finished_at.isoformat(timespec="seconds"),
        "files": {"onnx_sha256": row.onnx_sha256, "weights_sha256": row.weights_sha256},
        "licence": LICENCE,
        "made_with": f"label-studio-custom-ai {__version__}",
    }


def model_file(services: Services, candidate_id: int, format: str) -> tuple[str, bytes]:
    """(file name, content) of a model. The ONNX file carries its card, with the thresholds, in its metadata.

    Raises NotFound, BadInput for an unknown format, ModelError when the file is not as it was stored.
    """
    if format not in FORMATS:
        raise BadInput(what=f"format {format!r}", why=N_("there are: onnx, weights"))
    card = model_card(services, candidate_id)
    with services.database.read() as session:
        row = session.scalars(select(Candidate).where(Candidate.id == candidate_id)).one()
    sha256 = row.onnx_sha256 if format == "onnx" else row.weights_sha256
    assert sha256 is not None
    content = services.store.path(sha256).read_bytes()
    if format == "onnx":
        content = _with_card(content, card)
    return f"{row.version}-{FORMATS[format]}", content


def _pieces(share: float) -> list[str]:
    if share >= 1.0:
        return []
    return [f"- looks at pictures in squares of {share:.0%} of the longer side that overlap, and as a whole"]


def card_text(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    scores = card["scores"] or {}
    lines = [
        f"# {card['version']}: {card['title']}",
        "",
        f"Trained by {card['made_with']} for the Label Studio project {card['project']['id']}",
        f"({card['project']['title']}) at {card['trained_at']}. Licence: {card['licence']}.",
        "",
        f"- kind: {card['kind']}; classes: {', '.join(card['classes'])}",
        f"- data: {card['data']['images']} images, sha256 {card['data']['sha256']}",
        f"- labels: {', '.join(f'{name} {count}' for name, count in card['data']['labels'].items())}",
        f"- base weights: {card['base_weights']}",
        *(f"- note: {note}" for note in card["notes"]),
        f"- input: {card['image_size']} px; {card['passes']} picture passes in {card['seconds']} s",
        *_pieces(float(card["recipe"].get("piece", 1.0))),
        "",
        "| class | AP50 | precision | recall | threshold | labels scored on |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in (scores.get("per_class") or {}).items():
        cells = [f"{one[key]:.3f}" for key in ("ap50", "precision", "recall", "threshold")]
        lines.append(f"| {name} | {' | '.join(cells)} | {one['boxes']} |")
    low, high = scores.get("map50_low", 0.0), scores.get("map50_high", 0.0)
    lines += [
        "",
        f"mAP50 on unseen images: {scores.get('map50', 0.0):.3f} (90 % interval {low:.3f} to {high:.3f});",
        f"mAP50-95: {scores.get('map50_95', 0.0):.3f}.",
        "",
        "Recipe:",
        "",
        "    " + json.dumps(card["recipe"], sort_keys=True),
        "",
    ]
    return "\n".join(lines)


def _with_card(content: bytes, card: dict[str, Any]) -> bytes:
    import onnx

    model = onnx.load_from_string(content)
    for key, value in (("card", json.dumps(card)), ("thresholds", json.dumps(card["thresholds"]))):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    return bytes(model.SerializeToString())
