"""Labels that come from elsewhere, as Label Studio's JSON; and classes for them in a labelling config."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from custom_ai.errors import N_, LabelConfigError
from custom_ai.labelstudio.config import Control, LabelConfig
from custom_ai.labelstudio.results import backend_result
from custom_ai.types import Box, ImageSize

NO_PLACE = N_("its classes are not written in it one by one, so none can be added; add them in Label Studio")


def annotation_body(boxes: Iterable[Box], size: ImageSize, control: Control) -> dict[str, Any]:
    """A submitted annotation with these shapes, as if a person had drawn them; () is a negative."""
    regions = backend_result(boxes, size, control, "drawn")["result"]
    drawn = [{name: value for name, value in region.items() if name != "score"} for region in regions]
    return {"result": [region | {"origin": "manual"} for region in drawn]}


def with_classes(config: LabelConfig, xml: str, control: Control, names: Sequence[str]) -> str:
    """The labelling config ``xml`` with further classes in ``control``; all else stays as it was, comments too.

    Raises LabelConfigError when the control's classes do not stand in it.
    """
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=False)
    root = etree.fromstring(xml.encode(), parser)
    wanted = control.labels_from or control.from_name
    tag = next((one for one in root.iter(etree.Element) if one.get("name") == wanted), None)
    if tag is None or not any(str(child.tag).lower() == "label" for child in tag.iter(etree.Element)):
        raise LabelConfigError(project=config.project, why=NO_PLACE)
    last = [child for child in tag if isinstance(child.tag, str)][-1]
    tail = last.tail
    for name in names:
        last.tail = last.getprevious().tail if last.getprevious() is not None else tag.text
        label = etree.SubElement(tag, "Label")
        label.set("value", name)
        last = label
    last.tail = tail
    return str(etree.tostring(root.getroottree(), encoding="unicode"))
