"""How a project stands, in a few lines for people."""

from __future__ import annotations

from typing import Any

from custom_ai_label_studio.words import translator

KINDS = {"box": "upright boxes", "rotated_box": "rotated boxes", "polygon": "polygons"}
STATES = {
    "queued": "waiting to begin",
    "running": "running",
    "paused": "paused",
    "done": "finished",
    "failed": "failed",
    "cancelled": "cancelled",
}
MOST_CLASSES = 12

LABELS = "Labels ({kind}), {needed} of each class are needed: {counts}"
AND_MORE = "and {count} more classes"
IN_USE = "Model in use: {version}, {title}, score {score}"
PROVISIONAL = "Model in use: {version}, {title}, until somebody chooses; score {score}"
NO_MODEL = "No model yet."
TRAINING = "Training: {state}"
TRAINING_NOW = "Training: {done} of {all} models are trained"
VOTE = "The vote is open; {count} have voted."
AUTO_LABEL = "Auto-labelling: {state}; {done} of {total} tasks, {failed} failed"
REVIEW = "{count} pre-labelled tasks wait for somebody to look at them."
PROBLEM = "Problem: {text}"


def kind_name(kind: str, language: str) -> str:
    """box as "upright boxes"."""
    return translator(language)(KINDS.get(kind, kind))


def state_name(state: str, language: str) -> str:
    """queued as "waiting to begin"."""
    return translator(language)(STATES.get(state, state))


def lines(project: dict[str, Any], language: str) -> list[str]:
    """What ``GET /api/projects/{id}`` answered, as sentences."""
    _ = translator(language)
    counts = list(project["labels_of_all_classes"].items())
    shown = [f"{name} {count}" for name, count in counts[:MOST_CLASSES]]
    if len(counts) > MOST_CLASSES:
        shown.append(_(AND_MORE).format(count=len(counts) - MOST_CLASSES))
    found = [
        _(LABELS).format(
            kind=kind_name(project["kind"], language), needed=project["needed"], counts=", ".join(shown) or "–"
        )
    ]
    if project["problem"]:
        found.append(_(PROBLEM).format(text=project["problem"]))
    champion = project["champion"]
    if champion is None:
        found.append(_(NO_MODEL))
    else:
        score = "–" if champion["map50"] is None else f"{champion['map50']:.0%}"
        template = PROVISIONAL if project.get("champion_is_provisional") else IN_USE
        found.append(_(template).format(version=champion["version"], title=champion["title"], score=score))
    found += _work(project, language)
    waiting = project["tasks"]["to_review"]
    return found + ([_(REVIEW).format(count=waiting)] if waiting else [])


def _work(project: dict[str, Any], language: str) -> list[str]:
    """What runs, or ran last."""
    _ = translator(language)
    found = []
    run, vote, job = project["run"], project["selection"], project["auto_label"]
    if run is not None and run["status"] == "running":
        candidates = run["candidates"]
        done = sum(one["status"] == "done" for one in candidates)
        found.append(_(TRAINING_NOW).format(done=done, all=len(candidates)))
    elif run is not None:
        text = _(TRAINING).format(state=state_name(run["status"], language))
        found.append(f"{text}. {run['reason']}" if run["reason"] else text)
    if vote is not None and vote["status"] == "open":
        found.append(_(VOTE).format(count=len(vote["voters"])))
    if job is not None:
        tasks, state = job["tasks"], state_name(job["status"], language)
        found.append(
            _(AUTO_LABEL).format(state=state, done=tasks["done"], total=tasks["total"], failed=tasks["failed"])
        )
    return found
