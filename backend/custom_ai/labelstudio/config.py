"""Labelling configs: which control of a project takes boxes, on which image, of which classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from custom_ai.errors import N_, LabelConfigError
from custom_ai.types import LabelKind

MAX_CHARS = 1_000_000
UNDEFINED_KEY = "$undefined$"
"""Label Studio's data key for files that were uploaded before the project had a config."""

TOO_LONG = N_("it is longer than a million characters")
HAS_DOCTYPE = N_("it has a DOCTYPE or ENTITY declaration; remove it")
MALFORMED = N_("it is not well-formed XML; open Settings > Labeling Interface > Code in Label Studio and correct it")
EMPTY = N_(
    "it is empty; set up a labelling interface with RectangleLabels for an Image, "
    "or use the template in label_studio_config/"
)
NO_BOXES = N_("it has no RectangleLabels with labels for an Image; add one or use the template in label_studio_config/")
ALL_SKIPPED = N_('all its rectangle controls have model_skip="true"; remove it from one of them')
BAD_THRESHOLD = N_("model_score_threshold must be a number from 0 to 1")


@dataclass(frozen=True, slots=True)
class BoxControl:
    """A control with which people draw boxes on an image."""

    from_name: str
    """Name of the RectangleLabels or Rectangle control."""
    to_name: str
    image_key: str
    """Key of the image's URI in a task's data."""
    classes: tuple[str, ...]
    """In the order of the config, as Label Studio stores them: the alias where there is one."""
    score_threshold: float | None = None
    """The control's attribute `model_score_threshold`."""
    skip: bool = False
    """The control's attribute `model_skip`: people want no predictions here."""
    labels_from: str | None = None
    """Name of the Labels control for a plain Rectangle; None for RectangleLabels."""

    def image_uri(self, data: object) -> str:
        """The image of a task with this data, '' when there is none."""
        if not isinstance(data, Mapping):
            return ""
        uri = data.get(self.image_key, data.get(UNDEFINED_KEY))
        return uri if isinstance(uri, str) else ""


@dataclass(frozen=True, slots=True)
class LabelConfig:
    """What we can work with in a labelling config."""

    project: int
    box_controls: tuple[BoxControl, ...]
    """In the order of the config; those that people excluded by `model_skip` too."""

    def box_control(self) -> BoxControl:
        """The first control to train and predict for. Raises LabelConfigError when there is none."""
        for control in self.box_controls:
            if not control.skip:
                return control
        raise LabelConfigError(project=self.project, why=ALL_SKIPPED if self.box_controls else NO_BOXES)


def is_empty(xml: str) -> bool:
    """Whether a project still has no labelling config: Label Studio's default is `<View></View>`."""
    return re.fullmatch(r"\s*(<View\s*/>|<View\s*>\s*</View\s*>)?\s*", xml) is not None


def parse_label_config(xml: str, project: int) -> LabelConfig:
    """Find the box controls. Raises LabelConfigError when ``xml`` is empty or cannot be read.

    A readable config without boxes is not an error here, but in ``LabelConfig.box_control``.
    """
    if is_empty(xml):
        raise LabelConfigError(project=project, why=EMPTY)
    if len(xml) > MAX_CHARS:
        raise LabelConfigError(project=project, why=TOO_LONG)
    if re.search(r"<!(DOCTYPE|ENTITY)", xml, re.IGNORECASE):  # entity bombs; no config needs them
        raise LabelConfigError(project=project, why=HAS_DOCTYPE)
    from label_studio_sdk.label_interface import LabelInterface  # 0.4 s, not needed to serve a page

    try:
        # lxml refuses text that declares an encoding.
        interface = LabelInterface(re.sub(r"^\s*<\?xml[^>]*\?>", "", xml))
        controls, objects = list(interface.controls), list(interface.objects)
    except Exception as error:
        raise LabelConfigError(project=project, why=MALFORMED) from error
    images = {tag.name: str(tag.value)[1:] for tag in objects if _is_image(tag)}
    found = [
        control for tag in controls if (control := _box_control(tag, controls, images, project)) and control.classes
    ]
    return LabelConfig(project=project, box_controls=tuple(found))


def _is_image(tag: Any) -> bool:
    """An Image with one picture per task; `valueList` shows several in one, which we do not do."""
    return (
        str(tag.tag).lower() == "image"
        and "valueList" not in tag.attr
        and re.fullmatch(r"\$.+", str(tag.value or "")) is not None
    )


def _box_control(tag: Any, controls: Sequence[Any], images: Mapping[str, str], project: int) -> Any:
    kind = str(tag.tag).lower()
    target = _target(tag, images)
    if target is None or kind not in ("rectanglelabels", "rectangle"):
        return None
    labels = tag
    if kind == "rectangle":
        candidates = (
            other
            for other in controls
            if str(other.tag).lower() == "labels" and target in [name.strip() for name in other.to_name]
        )
        labels = next(candidates, None)
        if labels is None:
            return None
    return BoxControl(
        from_name=str(tag.name),
        to_name=target,
        image_key=images[target],
        classes=tuple(dict.fromkeys(str(label) for label in labels.labels)),
        score_threshold=_threshold(tag.attr.get("model_score_threshold"), project),
        skip=str(tag.attr.get("model_skip", "")).strip().lower() in ("true", "1", "yes"),
        labels_from=None if labels is tag else str(labels.name),
    )


def _target(tag: Any, images: Mapping[str, str]) -> str | None:
    """The first of the tag's targets that is an image."""
    return next((name.strip() for name in tag.to_name if name.strip() in images), None)


def _threshold(text: object, project: int) -> float | None:
    if text is None or not str(text).strip():
        return None
    try:
        value = float(str(text))
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise LabelConfigError(project=project, why=BAD_THRESHOLD)
    return value


_TAGS = {LabelKind.BOX: "RectangleLabels"}


def template(classes: Sequence[str], *, kind: LabelKind = LabelKind.BOX, colours: Sequence[str] = ()) -> str:
    """A labelling config for ``kind`` with these classes; ``colours`` (CSS) for the first of them."""
    labels = []
    for index, name in enumerate(classes):
        colour = f" background={quoteattr(colours[index])}" if index < len(colours) else ""
        labels.append(f"    <Label value={quoteattr(name)}{colour}/>")
    tag = escape(_TAGS[kind])
    lines = [
        "<View>",
        '  <Image name="image" value="$image" zoom="true"/>',
        f'  <{tag} name="label" toName="image" canRotate="false">',
        *labels,
        f"  </{tag}>",
        "</View>",
    ]
    return "\n".join(lines)
