"""Lines of small plots, as the points of SVG polylines. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

SIDE = 100
"""Side of a square plot in SVG units ..."""
WIDTH, HEIGHT = 300, 120
"""... and the sides of a wide one."""


def line(xs: Sequence[float], ys: Sequence[float], width: float = SIDE, height: float = SIDE) -> str:
    """The points of a polyline whose y axis points up; x and y in 0..1."""
    return " ".join(f"{width * x:.1f},{height * (1 - y):.1f}" for x, y in zip(xs, ys, strict=True))


def loss_plot(points: Sequence[Sequence[float]]) -> dict[str, Any] | None:
    """The training curve: its line, the highest and the last loss; None with fewer than two points."""
    highest = max((loss for _, loss in points), default=0.0)
    if len(points) < 2 or highest <= 0:
        return None
    return {
        "line": line([share for share, _ in points], [loss / highest for _, loss in points], WIDTH, HEIGHT),
        "highest": highest,
        "last": points[-1][1],
    }


def forecast_plot(found: dict[str, Any]) -> dict[str, Any]:
    """A forecast: the line, the band around it, the measured points and the marks of the x axis (logarithmic)."""
    curve = found["curve"]
    low_x, high_x = math.log(curve[0][0]), math.log(curve[-1][0])
    low_x = min([low_x, *(math.log(point["times"]) for point in found["points"])])

    def place(times: float) -> float:
        return (math.log(times) - low_x) / max(high_x - low_x, 1e-9)

    xs = [place(row[0]) for row in curve]
    band = line([*xs, *reversed(xs)], [*(row[3] for row in curve), *(row[2] for row in reversed(curve))], WIDTH, HEIGHT)
    return {
        "line": line(xs, [row[1] for row in curve], WIDTH, HEIGHT),
        "band": band,
        "points": [
            {
                "x": round(WIDTH * place(point["times"]), 1),
                "y": round(HEIGHT * (1 - point["score"]), 1),
                "top": round(HEIGHT * (1 - point["high"]), 1),
                "bottom": round(HEIGHT * (1 - point["low"]), 1),
            }
            | point
            for point in found["points"]
        ],
        "marks": [{"x": round(WIDTH * place(one["times"]), 1), "times": one["times"]} for one in found["expected"]],
    }


def days_plot(days: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The live score by day: its line over the days that have one, and a mark for each."""
    known = [day for day in days if day["score"] is not None]
    xs = [number / (len(known) - 1) if len(known) > 1 else 0.5 for number in range(len(known))]
    return {
        "line": line(xs, [day["score"] for day in known], WIDTH, HEIGHT),
        "marks": [
            {"x": round(WIDTH * x, 1), "y": round(HEIGHT * (1 - day["score"]), 1), "day": day["day"]}
            | {"score": day["score"], "tasks": day["tasks"]}
            for x, day in zip(xs, known, strict=True)
        ],
    }
