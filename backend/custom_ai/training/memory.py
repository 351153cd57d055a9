"""How many pictures at a time: as many as help, and fewer when memory runs out. Pure."""

from __future__ import annotations

from dataclasses import replace

from custom_ai.training.contract import Recipe
from custom_ai.training.recipes import SIZES

LARGEST_BATCH = 64
LEAST_STEPS = 1000
"""Steps of the optimizer are what a small budget lacks: on bccd, batches of 4 beat those of 16 by .25 mAP50."""
LEAST_BATCHES = 16
"""So many different batches should a pass over all pictures give."""


def batch_on_gpu(recipe: Recipe, images: int) -> int:
    """The batch to begin with on a graphics card, which is bored by four pictures.

    Twice the recipe's, and twice again, as long as the budget in passes still gives enough steps and there are enough
    pictures; so never more for the small sets that the recipes were measured on.
    """
    batch = recipe.batch
    while (
        2 * batch <= LARGEST_BATCH and recipe.passes >= LEAST_STEPS * 2 * batch and images >= LEAST_BATCHES * 2 * batch
    ):
        batch *= 2
    return batch


def smaller(recipe: Recipe) -> Recipe | None:
    """What to try when there was not enough memory: half the batch, then a smaller input; None: nothing is left."""
    if recipe.batch > 1:
        return replace(recipe, batch=recipe.batch // 2)
    sizes = [size for size in SIZES if size < recipe.image_size]
    return replace(recipe, image_size=sizes[-1], early_size=min(recipe.early_size, sizes[-1])) if sizes else None
