"""Labelling configs, good and hostile."""

from __future__ import annotations

from pathlib import Path

import pytest

from custom_ai.errors import LabelConfigError
from custom_ai.labelstudio.config import Control, is_empty, parse_label_config, template
from custom_ai.types import LabelKind

BOXES = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image" {attrs}>'
    '<Label value="Car" alias="c"/><Label value="Person"/></RectangleLabels></View>'
)
TWO_IMAGES = """<View><Text name="t" value="$text"/><Image name="left" value="$a"/><Image name="right" value="$b"/>
<Choices name="c" toName="left"><Choice value="x"/></Choices>
<RectangleLabels name="r" toName="right"><Label value="Dog"/></RectangleLabels>
<RectangleLabels name="l" toName="left"><Label value="Cat"/></RectangleLabels></View>"""
RECTANGLE = """<View><Image name="i" value="$pic"/><Labels name="what" toName="i"><Label value="Z"/><Label value="A"/>
</Labels><Rectangle name="where" toName="i"/></View>"""


def test_rectangle_labels() -> None:
    assert parse_label_config(BOXES.format(attrs=""), 7).control() == Control(
        from_name="label", to_name="image", image_key="image", classes=("c", "Person"), can_rotate=True
    )


def test_rectangle_with_labels() -> None:
    control = parse_label_config(RECTANGLE, 7).control()
    assert (control.from_name, control.labels_from) == ("where", "what")
    assert (control.image_key, control.classes) == ("pic", ("Z", "A"))


def test_the_first_of_several() -> None:
    config = parse_label_config(TWO_IMAGES, 7)
    assert [(one.from_name, one.to_name, one.image_key) for one in config.controls] == [
        ("r", "right", "b"),
        ("l", "left", "a"),
    ]
    assert config.control().from_name == "r"
    skipping = TWO_IMAGES.replace('name="r"', 'name="r" model_skip="true"')
    assert parse_label_config(skipping, 7).control().from_name == "l"


@pytest.mark.parametrize(
    ("attrs", "threshold", "skip"),
    [
        ('model_score_threshold="0.4"', 0.4, False),
        ('model_score_threshold=""', None, False),
        ('model_skip="false"', None, False),
        ('model_skip="True"', None, True),
    ],
)
def test_model_attributes(attrs: str, threshold: float | None, skip: bool) -> None:
    (control,) = parse_label_config(BOXES.format(attrs=attrs), 7).controls
    assert (control.score_threshold, control.skip) == (threshold, skip)


BOMB = '<!DOCTYPE a [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><View>&b;</View>'


@pytest.mark.parametrize(
    ("xml", "why"),
    [
        ("", "empty"),
        ("  <View></View>\n", "empty"),
        ("<View/>", "empty"),
        ("<View>", "not well-formed"),
        ("no xml", "not well-formed"),
        ("\x00", "not well-formed"),
        ("<a>" * 100_000, "not well-formed"),
        (BOMB, "DOCTYPE"),
        (BOMB.lower(), "DOCTYPE"),
        ("<View>" + " " * 1_000_001 + "<a/></View>", "longer"),
        ('<View><Text name="t" value="$t"/></View>', "no RectangleLabels"),
        (BOXES.format(attrs="").replace('toName="image"', 'toName="other"'), "no RectangleLabels"),
        (BOXES.format(attrs="").replace('value="$image"', 'valueList="$images"'), "no RectangleLabels"),
        (BOXES.format(attrs="").replace("$image", "http://x/y.jpg"), "no RectangleLabels"),
        (RECTANGLE.replace("<Rectangle ", "<Ellipse "), "no RectangleLabels"),
        (RECTANGLE.replace("<Labels ", "<BrushLabels ").replace("</Labels", "</BrushLabels"), "no Rect"),
        ('<View><Image name="i" value="$i"/><RectangleLabels name="r" toName="i"/></View>', "no Rect"),
        (BOXES.format(attrs='model_skip="1"'), "model_skip"),
        (BOXES.format(attrs='model_score_threshold="high"'), "model_score_threshold"),
        (BOXES.format(attrs='model_score_threshold="1.5"'), "model_score_threshold"),
        (BOXES.format(attrs='model_score_threshold="nan"'), "model_score_threshold"),
    ],
)
def test_unusable_configs_say_why(xml: str, why: str) -> None:
    with pytest.raises(LabelConfigError, match=why) as caught:
        parse_label_config(xml, 7).control()
    assert "project 7" in str(caught.value)


def test_declarations_and_comments_are_fine() -> None:
    xml = '<?xml version="1.0" encoding="utf-8"?>' + BOXES.format(attrs="").replace("<Label ", "<!-- c --><Label ")
    assert parse_label_config(xml, 7).control().classes == ("c", "Person")


@pytest.mark.parametrize(
    ("xml", "empty"), [("", True), ("<View />", True), ("<View>\n</View>", True), ("<View><a/></View>", False)]
)
def test_is_empty(xml: str, empty: bool) -> None:
    assert is_empty(xml) is empty


def test_template_survives_any_class_name() -> None:
    names = ['a "quoted" one', "<b> & 'c'", "고양이", "plain"]
    xml = template(names, colours=["#ff0000", "red"])
    assert parse_label_config(xml, 1).control().classes == tuple(names)
    assert xml.count("background=") == 2


@pytest.mark.parametrize(
    ("data", "uri"),
    [
        ({"image": "/a.jpg"}, "/a.jpg"),
        ({"$undefined$": "/b.jpg"}, "/b.jpg"),
        ({"image": None}, ""),
        ({"other": "x"}, ""),
        ({}, ""),
        (None, ""),
        ("text", ""),
    ],
)
def test_image_uri(data: object, uri: str) -> None:
    assert Control("label", "image", "image", ("a",)).image_uri(data) == uri


TEMPLATES = Path(__file__).parents[2] / "label_studio_config"


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("bounding_box.xml", [LabelKind.BOX]),
        ("rotated_box.xml", [LabelKind.BOX, LabelKind.ROTATED_BOX]),
        ("polygon.xml", [LabelKind.POLYGON]),
    ],
)
def test_our_template_files(name: str, kinds: list[LabelKind]) -> None:
    config = parse_label_config((TEMPLATES / name).read_text(encoding="utf-8"), 1)
    assert list(config.kinds()) == kinds
    control = config.control()
    assert (control.image_key, len(control.classes), control.kind) == ("image", 2, kinds[0])


@pytest.mark.parametrize("kind", list(LabelKind))
def test_the_template_of_a_kind_offers_it(kind: LabelKind) -> None:
    config = parse_label_config(template(["a", "b"], kind=kind), 1)
    control = config.control(kind)
    assert (control.kind, control.classes, control.from_name) == (kind, ("a", "b"), "label")
    assert (LabelKind.ROTATED_BOX in config.kinds()) == (kind is LabelKind.ROTATED_BOX)


MIXED = """<View><Image name="i" value="$pic"/>
<Labels name="what" toName="i"><Label value="Z"/></Labels><Polygon name="outline" toName="i"/>
<PolygonLabels name="poly" toName="i"><Label value="P"/></PolygonLabels>
<RectangleLabels name="rect" toName="i"><Label value="R"/></RectangleLabels>
<RectangleLabels name="upright" toName="i" canRotate="False"><Label value="U"/></RectangleLabels>
<EllipseLabels name="e" toName="i"><Label value="E"/></EllipseLabels></View>"""


def test_several_kinds_in_one_config() -> None:
    config = parse_label_config(MIXED, 1)
    assert config.kinds() == (LabelKind.POLYGON, LabelKind.BOX, LabelKind.ROTATED_BOX)
    assert [one.from_name for one in config.controls] == ["outline", "poly", "rect", "upright"]
    default = config.control()
    assert (default.from_name, default.labels_from, default.region_type) == ("outline", "what", "polygon")
    for kind, name, region_type in [
        (LabelKind.BOX, "rect", "rectanglelabels"),
        (LabelKind.ROTATED_BOX, "rect", "rectanglelabels"),
        (LabelKind.POLYGON, "outline", "polygon"),
    ]:
        control = config.control(kind)
        assert (control.from_name, control.kind, control.region_type) == (name, kind, region_type)


@pytest.mark.parametrize(
    ("xml", "kind", "why"),
    [
        (template(["a"]), LabelKind.POLYGON, "polygons were chosen"),
        (template(["a"]), LabelKind.ROTATED_BOX, "canRotate"),
        (template(["a"], kind=LabelKind.POLYGON), LabelKind.BOX, "no RectangleLabels"),
        (MIXED.replace('name="rect"', 'name="rect" model_skip="true"'), LabelKind.ROTATED_BOX, "rotated boxes were"),
        (BOXES.format(attrs='model_skip="true"'), LabelKind.BOX, "model_skip"),
    ],
)
def test_a_kind_that_is_not_offered(xml: str, kind: LabelKind, why: str) -> None:
    config = parse_label_config(xml, 7)
    assert kind not in config.kinds()
    with pytest.raises(LabelConfigError, match=why):
        config.control(kind)
