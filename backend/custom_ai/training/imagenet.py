"""A detector on torchvision's MobileNetV2, whose ImageNet weights every package index carries.

For machines that can reach a package index (or a mirror of one) but not the place where COCO weights are published.
Measured on cells, 10 per class, 320 pixels, one seed: in 1,200 passes .86 mAP50 (.82 with the backbone frozen), a
random start of YOLOv5n .55, COCO weights .87. A pass costs 2.8 times one of YOLOv5n, with the backbone frozen as
much; a random start that is given 3,200 passes, so the time of the first, gets .85.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from custom_ai.errors import N_, TrainingError

ARCHITECTURE = "mobilenet_v2"
"""The name of this network in a recipe."""
BACKBONE = 1
"""Layers of it that come from ImageNet, for Recipe.freeze: torchvision's whole backbone is one layer."""
_BLOCKS = 18
"""Of torchvision's 19; the last one only widens the features for a thousand classes."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of torchvision's input; ours is 0..1."""


def architecture() -> dict[str, Any]:
    """As ultralytics' YAML files are when parsed: the backbone's features of 1/8, 1/16 and 1/32, and YOLOv8n's neck."""
    return {
        "nc": 80,
        "backbone": [
            # None: without weights. torchvision would download them.
            [-1, 1, "TorchVision", [320, ARCHITECTURE, None, True, 2, True]],
            [0, 1, "Index", [32, 7]],  # the n-th output stands at n + 1, after the input
            [0, 1, "Index", [96, 14]],
            [0, 1, "Index", [320, 18]],
            [-1, 1, "SPPF", [256, 5]],
        ],
        "head": [
            [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
            [[-1, 2], 1, "Concat", [1]],
            [-1, 1, "C2f", [128]],
            [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
            [[-1, 1], 1, "Concat", [1]],
            [-1, 1, "C2f", [64]],
            [-1, 1, "Conv", [64, 3, 2]],
            [[-1, 7], 1, "Concat", [1]],
            [-1, 1, "C2f", [128]],
            [-1, 1, "Conv", [128, 3, 2]],
            [[-1, 4], 1, "Concat", [1]],
            [-1, 1, "C2f", [256]],
            [[10, 13, 16], 1, "Detect", ["nc"]],
        ],
    }


def load_backbone(path: Path) -> Any:
    """A module whose weights are called as those of the network that ``architecture`` describes, and nothing else.

    path: torchvision's mobilenet_v2 file, which is opened as plain tensors, never as code. Its normalisation of the
    input is folded into the first convolution. Raises TrainingError when it is another file.
    """
    import torch
    import torchvision

    network = torchvision.models.mobilenet_v2(weights=None)
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # of many kinds: another network, another format, half a file
        raise TrainingError(why=N_("the file of the ImageNet weights is not the one that was published")) from error
    features = network.features[:_BLOCKS]
    convolution, normalisation = features[0][0], features[0][1]
    with torch.no_grad():
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _STD))
        convolution.weight /= std
        normalisation.running_mean += (convolution.weight * mean).sum((1, 2, 3))
    holder, layer = torch.nn.Module(), torch.nn.Module()
    layer.m = features
    holder.model = torch.nn.ModuleList([layer])
    return holder
