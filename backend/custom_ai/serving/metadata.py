"""What an exported model says about itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from custom_ai.errors import ModelError
from custom_ai.types import LabelKind

AGREES, DIFFERS = "engines_that_agree", "engines_that_differ"
"""Keys of the engines that were compared with the trained network after the export."""
PIECE = "piece"


@dataclass(frozen=True, slots=True)
class Metadata:
    """Of an ONNX file."""

    kind: LabelKind
    agrees: frozenset[str]
    """Engines that were found to say what the trained network says, see ``training.agreement``."""
    differs: frozenset[str]
    """Engines that were found not to."""
    architecture: str
    """The same 16 hex digits for all models of one shape, whatever their weights and classes' names."""
    piece: float = 1.0
    """What part of a picture's longer side the network looks at at once, see ``serving.pieces``; 1: all of it."""


def read_metadata(onnx_path: Path) -> Metadata:
    """Raises ModelError when the file is not ONNX, or is for labels that are not known here."""
    import onnx

    try:
        model = onnx.load(onnx_path)
    except Exception as error:  # protobuf's errors have no public common base
        raise ModelError(model=onnx_path.name, why="it is not a readable ONNX file") from error
    facts = {entry.key: entry.value for entry in model.metadata_props}
    try:
        kind = LabelKind(facts.get("kind", LabelKind.BOX))
    except ValueError as error:
        raise ModelError(model=onnx_path.name, why=f"it is for labels of the unknown kind {facts['kind']}") from error
    shape = hashlib.sha256()
    for node in model.graph.node:
        shape.update(f"{node.op_type} {len(node.input)};".encode())
    for weights in model.graph.initializer:
        shape.update(f"{list(weights.dims)};".encode())
    agrees, differs = (frozenset(facts.get(key, "").split()) for key in (AGREES, DIFFERS))
    return Metadata(kind, agrees, differs, shape.hexdigest()[:16], _piece(facts.get(PIECE, "1"), onnx_path.name))


def _piece(text: str, name: str) -> float:
    try:
        piece = float(text)
    except ValueError:
        piece = 0.0
    if not 0.0 < piece <= 1.0:
        raise ModelError(
            model=name, why=f"it looks at pieces of the size {text[:20]!r}, which is no share of a picture"
        )
    return piece
