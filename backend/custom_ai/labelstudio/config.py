"""Labelling configs: which control of a project takes which shapes, on which image, of which classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.sax.saxutils import quoteattr

from custom_ai.errors import N_, LabelConfigError
from custom_ai.types import LabelKind

MAX_CHARS = 1_000_000
UNDEFINED_KEY = "$undefined$"
"""Label Studio's data key for files that were uploaded before the project had a config."""

TOO_LONG = N_("it is longer than a million characters")
HAS_DOCTYPE = N_("it has a DOCTYPE or ENTITY declaration; remove it")
MALFORMED = N_("it is not well-formed XML; open Settings > Labeling Interface > Code in Label Studio and correct it")
EMPTY = N_(
    "it is empty; set up a labelling interface with RectangleLabels or PolygonLabels for an Image, "
    "or use a template in label_studio_config/"
)
NO_CONTROL = N_(
    "it has no RectangleLabels or PolygonLabels with labels for an Image; "
    "add one or use a template in label_studio_config/"
)
ALL_SKIPPED = N_('all its controls for shapes have model_skip="true"; remove it from one of them')
NOT_OFFERED = {
    LabelKind.BOX: N_("boxes were chosen for this project, but it has no RectangleLabels for an Image (any more)"),
    LabelKind.ROTATED_BOX: N_(
        "rotated boxes were chosen for this project, but it has no RectangleLabels for an Image "
        'that can be rotated (any more); remove canRotate="false"'
    ),
    LabelKind.POLYGON: N_("polygons were chosen for this project, but it has no PolygonLabels for an Image (any more)"),
}
BAD_THRESHOLD = N_("model_score_threshold must be a number from 0 to 1")


@dataclass(frozen=True, slots=True)
class Control:
    """A control with which people draw shapes of one kind on an image."""

    from_name: str
    """Name of the control, e.g. of RectangleLabels or of Polygon."""
    to_name: str
    image_key: str
    """Key of the image's URI in a task's data."""
    classes: tuple[str, ...]
    """In the order of the config, as Label Studio stores them: the alias where there is one."""
    kind: LabelKind = LabelKind.BOX
    can_rotate: bool = False
    """Whether the boxes of this control may be turned, so that it serves for rotated boxes too."""
    score_threshold: float | None = None
    """The control's attribute `model_score_threshold`."""
    skip: bool = False
    """The control's attribute `model_skip`: people want no predictions here."""
    labels_from: str | None = None
    """Name of the Labels control for a plain Rectangle or Polygon; None for RectangleLabels and PolygonLabels."""

    @property
    def kinds(self) -> tuple[LabelKind, ...]:
        """What the control serves for, the usual kind first."""
        if self.kind is LabelKind.POLYGON:
            return (LabelKind.POLYGON,)
        return (LabelKind.BOX, LabelKind.ROTATED_BOX) if self.can_rotate else (LabelKind.BOX,)

    @property
    def region_type(self) -> str:
        """`type` of the regions that hold the shapes."""
        shape = "polygon" if self.kind is LabelKind.POLYGON else "rectangle"
        return shape if self.labels_from is not None else f"{shape}labels"

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
    controls: tuple[Control, ...]
    """In the order of the config; those that people excluded by `model_skip` too."""

    def kinds(self) -> tuple[LabelKind, ...]:
        """The kinds of labels that it offers, the default first; () when nothing can be trained."""
        offered = (kind for control in self.controls if not control.skip for kind in control.kinds)
        return tuple(dict.fromkeys(offered))

    def control(self, kind: LabelKind | None = None) -> Control:
        """The first control to train and predict for, of this kind (None: of the default kind).

        Raises LabelConfigError when there is none.
        """
        for control in self.controls:
            if not control.skip and (kind is None or kind in control.kinds):
                return control if kind is None else replace(control, kind=kind)
        if kind is not None and self.kinds():
            raise LabelConfigError(project=self.project, why=NOT_OFFERED[kind])
        raise LabelConfigError(project=self.project, why=ALL_SKIPPED if self.controls else NO_CONTROL)


def is_empty(xml: str) -> bool:
    """Whether a project still has no labelling config: Label Studio's default is `<View></View>`."""
    return re.fullmatch(r"\s*(<View\s*/>|<View\s*>\s*</View\s*>)?\s*", xml) is not None


def parse_label_config(xml: str, project: int) -> LabelConfig:
    """Find the controls for shapes. Raises LabelConfigError when ``xml`` is empty or cannot be read.

    A readable config without such a control is not an error here, but in ``LabelConfig.control``.
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
    found = [control for tag in controls if (control := _control(tag, controls, images, project)) and control.classes]
    return LabelConfig(project=project, controls=tuple(found))


_KINDS = {"rectangle": LabelKind.BOX, "polygon": LabelKind.POLYGON}
"""By the tag without its ending "Labels"."""


def _is_image(tag: Any) -> bool:
    """An Image with one picture per task; `valueList` shows several in one, which we do not do."""
    return (
        str(tag.tag).lower() == "image"
        and "valueList" not in tag.attr
        and re.fullmatch(r"\$.+", str(tag.value or "")) is not None
    )


def _control(tag: Any, controls: Sequence[Any], images: Mapping[str, str], project: int) -> Any:
    name = str(tag.tag).lower()
    target = _target(tag, images)
    kind = _KINDS.get(name.removesuffix("labels"))
    if target is None or kind is None:
        return None
    labels = tag
    if not name.endswith("labels"):
        candidates = (
            other
            for other in controls
            if str(other.tag).lower() == "labels" and target in [name.strip() for name in other.to_name]
        )
        labels = next(candidates, None)
        if labels is None:
            return None
    return Control(
        from_name=str(tag.name),
        to_name=target,
        image_key=images[target],
        classes=tuple(dict.fromkeys(str(label) for label in labels.labels)),
        kind=kind,
        can_rotate=kind is LabelKind.BOX and str(tag.attr.get("canRotate", "")).strip().lower() != "false",
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


_TAGS = {
    LabelKind.BOX: ("RectangleLabels", ' canRotate="false"'),
    LabelKind.ROTATED_BOX: ("RectangleLabels", ' canRotate="true"'),
    LabelKind.POLYGON: ("PolygonLabels", ""),
}


def template(classes: Sequence[str], *, kind: LabelKind = LabelKind.BOX, colours: Sequence[str] = ()) -> str:
    """A labelling config for ``kind`` with these classes; ``colours`` (CSS) for the first of them."""
    labels = []
    for index, name in enumerate(classes):
        colour = f" background={quoteattr(colours[index])}" if index < len(colours) else ""
        labels.append(f"    <Label value={quoteattr(name)}{colour}/>")
    tag, attributes = _TAGS[kind]
    lines = [
        "<View>",
        '  <Image name="image" value="$image" zoom="true"/>',
        f'  <{tag} name="label" toName="image"{attributes}>',
        *labels,
        f"  </{tag}>",
        "</View>",
    ]
    return "\n".join(lines)
