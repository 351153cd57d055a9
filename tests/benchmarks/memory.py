"""Does one process that trains again and again keep memory? A run trains a dozen times in one process.

    python tests/benchmarks/memory.py                    # eight short trainings of generated scenes
    python tests/benchmarks/memory.py --runs 20 --candidate 0

Each training is of another "project" (other pictures), with the recipes of the product in turn. Prints the resident
memory after each, in MB, and what the collector still knows of networks and data sets. The last line is one JSON
object: ``mb`` after each training, ``peak_mb``, and ``growth_mb``, the growth per training over the second half, by
which the memory of the first ones (libraries, caches of compiled kernels) does not count.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from pictures import make_folder

from custom_ai.settings import load_settings
from custom_ai.training.contract import TrainContext, TrainSet
from custom_ai.training.recipes import choose_recipes, summarise
from custom_ai.training.siblings import predict
from custom_ai.training.yolo import YoloTrainer

HELD_OUT = 3


def main() -> None:
    options = _options()
    megabytes: list[float] = []
    with tempfile.TemporaryDirectory(prefix="memory-") as name:
        folder = Path(name)
        settings = load_settings(state_dir=folder / "state", download_weights=False)
        for number in range(options.runs):
            classes, images = make_folder(folder / f"scenes-{number}", options.pictures, seed=number)
            data = TrainSet(classes, tuple(images[HELD_OUT:]), tuple(images[:HELD_OUT]))
            recipes = choose_recipes(summarise(data), settings)
            recipe = recipes[number % len(recipes) if options.candidate is None else options.candidate]
            recipe = replace(recipe, image_size=options.imgsz, passes=options.passes, seconds=60.0, base_weights="")
            work = folder / f"work-{number}"
            work.mkdir()
            context = TrainContext(work, device="cpu", threads=options.threads)
            predict(YoloTrainer().train(recipe, data, context), data, data.held_out, context)
            megabytes.append(round(_resident_mb(), 1))
            print(f"{number + 1:3} {recipe.name:10} {megabytes[-1]:8.1f} MB   {_alive()}", flush=True)
    half = megabytes[len(megabytes) // 2 :]
    growth = statistics.linear_regression(range(len(half)), half).slope if len(half) > 1 else 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"mb": megabytes, "peak_mb": round(peak, 1), "growth_mb": round(growth, 2)}))


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def _alive() -> str:
    """Networks and data sets that somebody still holds, without helping the collector along."""
    names = [type(one).__name__ for one in gc.get_objects()]
    return ", ".join(f"{name} {names.count(name)}" for name in ("Loop", "DetectionModel", "YOLODataset", "Parameter"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--runs", type=int, default=8)
    add("--candidate", type=int, help="the number of one recipe; default: all in turn")
    add("--pictures", type=int, default=12)
    add("--passes", type=int, default=48)
    add("--imgsz", type=int, default=192)
    add("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
