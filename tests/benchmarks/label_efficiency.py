"""How good are our four candidates with N labels per class, next to ultralytics' defaults?

    python tests/benchmarks/label_efficiency.py
    python tests/benchmarks/label_efficiency.py --data FOLDER --weights FILE --per-class 10 20 50 --seeds 0 1 2

Same pictures, same base weights, same machine. Every training is a process of its own, one at a time. The
defaults are ``YOLO(weights or "yolov5n.yaml").train(epochs=100)``, at the same input size of 320 pixels unless
``--imgsz`` says otherwise (ultralytics' own default, 640, takes four times as long). Ours go through the
product's own code: recipes by what the pictures are like, training, export, honest score. Without arguments
nothing is read but generated scenes, nothing is fetched, and the start is random.

The last line is one JSON object; its figures are medians over seeds. "best" is the candidate that our own
score picks, because that is the one a team would use. Its seconds are given twice: until the model can be used,
like those of the defaults, which give no honest score; and until its score is known, too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from one_run import DRAWN, EPOCHS, Job, Result

from custom_ai.settings import Settings

CANDIDATES = 4
DEFAULTS = -1


def main() -> None:
    options = _options()
    print(
        f"defaults: YOLO({options.weights or 'yolov5n.yaml'}).train(epochs={EPOCHS}, imgsz={options.imgsz});"
        f" {options.test} test pictures; {options.threads} threads; data: {options.data or 'generated scenes'}"
    )
    print(f"{'labels':>6} {'seed':>4} {'run':<12} {'mAP50':>6} {'50-95':>6} {'s':>6} {'train':>6} {'MB':>6}  own score")
    summary = {}
    for per_class in options.per_class:
        seeds = []
        for seed in options.seeds:
            runs = {}
            for candidate in (DEFAULTS, *range(CANDIDATES)):
                if candidate == DEFAULTS and options.no_defaults:
                    continue
                result = runs[candidate] = _result(options, per_class, seed, candidate)
                own = "" if result.score is None else f"{result.score:.3f} ({result.score_low:.3f}-"
                own += "" if result.score is None else f"{result.score_high:.3f}) {result.method}"
                print(
                    f"{per_class:>6} {seed:>4} {result.name:<12} {result.map50:>6.3f} {result.map50_95:>6.3f}"
                    f" {result.seconds:>6.1f} {result.training_seconds:>6.1f} {result.memory_mb:>6.0f}  {own}",
                    flush=True,
                )
            seeds.append(compare(runs))
        summary[str(per_class)] = {
            name: round(statistics.median(one[name] for one in seeds), 3)
            if not name.endswith("_rate")
            else round(statistics.mean(one[name] for one in seeds), 3)
            for name in seeds[0]
        }
    print(json.dumps(summary))


def compare(runs: dict[int, Result]) -> dict[str, float]:
    """One seed. Rates: how often the pick is the candidate that is best on the test pictures."""
    ours = [runs[candidate] for candidate in range(CANDIDATES)]
    picked = max(ours, key=lambda one: one.score or 0.0)
    best, worst = max(one.map50 for one in ours), min(one.map50 for one in ours)
    figures = {
        "best_map50": picked.map50,
        "worst_map50": worst,
        "all_four_seconds": sum(one.seconds for one in ours),
        "score_minus_truth": statistics.mean((one.score or 0.0) - one.map50 for one in ours),
        "lost_by_score": best - picked.map50,
        "score_picks_best_rate": float(picked.map50 == best),
    }
    for drawn in DRAWN:  # the test pictures that are drawn count in the truth too, which flatters this way to score
        by_draw = [
            max(zip(draws, ours, strict=True), key=lambda pair: pair[0])[1]
            for draws in zip(*(one.drawn[str(drawn)] for one in ours), strict=True)
        ]
        figures[f"holdout{drawn}_picks_best_rate"] = statistics.mean(float(one.map50 == best) for one in by_draw)
        figures[f"lost_by_holdout{drawn}"] = statistics.mean(best - one.map50 for one in by_draw)
    if DEFAULTS in runs:
        defaults = runs[DEFAULTS]
        least = max(defaults.map50, 0.01)  # from a random start the defaults may find nothing at all
        figures |= {
            "defaults_map50": defaults.map50,
            "best_over_defaults_map50": picked.map50 / least,
            "best_over_defaults_seconds": picked.training_seconds / defaults.seconds,
            "best_over_defaults_seconds_with_score": picked.seconds / defaults.seconds,
            "worst_over_defaults_map50": worst / least,
        }
    return figures


def _result(options: argparse.Namespace, per_class: int, seed: int, candidate: int) -> Result:
    """Run it, or take it from ``--reuse``."""
    defaults = candidate == DEFAULTS  # which know nothing of our settings
    job = Job(
        data=str(options.data.resolve()) if options.data else "",
        pictures=options.test + 3 * per_class,
        weights=str(options.weights.resolve()) if options.weights else "",
        per_class=per_class,
        test=options.test,
        seed=seed,
        candidate=candidate,
        image_size=options.imgsz if defaults else 0,
        passes=0 if defaults else options.passes,
        seconds=0 if defaults else options.seconds,
        threads=0 if defaults else options.threads,
    )
    text = json.dumps(asdict(job))
    with tempfile.TemporaryDirectory(prefix="label-efficiency-") as name:
        keep = options.reuse or Path(name)
        keep.mkdir(parents=True, exist_ok=True)
        job_path = keep / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}-job.json"
        result_path = job_path.with_name(job_path.name.replace("-job", "-result"))
        if not result_path.exists():
            job_path.write_text(text, encoding="utf-8")
            script = Path(__file__).with_name("one_run.py").resolve()
            done = subprocess.run(
                [sys.executable, str(script), str(job_path.resolve()), str(result_path.resolve())],
                cwd=name,
                capture_output=True,
                text=True,
                check=False,
            )
            if not result_path.exists():
                raise SystemExit(f"run {candidate} of seed {seed} failed:\n{done.stderr[-3000:]}")
        return Result(**json.loads(result_path.read_text(encoding="utf-8")))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, help="folder with images/, labels/ and classes.txt; default: generated scenes")
    add("--weights", type=Path, help="base weights of all runs, the defaults' too; default: random start")
    add("--per-class", type=int, nargs="+", default=[10])
    add("--seeds", type=int, nargs="+", default=[0])
    add("--test", type=int, default=100, help="pictures that no run learns from")
    add("--imgsz", type=int, default=320, help="input size of the defaults; ours follows the size of the objects")
    add("--passes", type=int, help="settings.candidate_passes; default: its default, or 2000 for generated scenes")
    add("--seconds", type=float, default=_default("candidate_seconds"), help="settings.candidate_seconds")
    add("--threads", type=int, default=os.cpu_count() or 1)
    add("--reuse", type=Path, help="folder that keeps results; what is in it is not run again")
    add("--no-defaults", action="store_true", help="only our four candidates")
    options = parser.parse_args()
    # The call without arguments should end within ten minutes.
    options.passes = options.passes or (_default("candidate_passes") if options.data else 2000)
    return options


def _default(name: str) -> Any:
    return Settings.model_fields[name].default


if __name__ == "__main__":
    main()
