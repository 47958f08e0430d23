"""bench/plot.py: a picture that a browser takes, with every line where it belongs."""

import xml.etree.ElementTree as ElementTree

import pytest

from bench.plot import BOTTOM_PX, HEIGHT_PX, LEFT_PX, RIGHT_PX, TICKS_MAX, TOP_PX, WIDTH_PX, Line, svg_of, ticks

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*lines):
    return ElementTree.fromstring(svg_of("a < b & c", "seconds", "GiB", lines))


def points_of(root):
    return [[tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
            for line in root.iter(f"{SVG}polyline")]


def test_lines_lie_between_the_axes_and_higher_is_more():
    share, use = points_of(drawn(Line("share", [(0, 2.0), (10, 2.0)]), Line("use", [(0, 0.0), (10, 1.0)])))
    assert use[0] == (LEFT_PX, HEIGHT_PX - BOTTOM_PX)
    assert share[1][0] == use[1][0] == WIDTH_PX - RIGHT_PX
    assert TOP_PX < share[0][1] == share[1][1] < use[1][1] < use[0][1]


def test_names_and_title_are_shown_as_they_are():
    texts = [text.text for text in drawn(Line("x<y", [(0, 1)])).iter(f"{SVG}text")]
    assert {"a < b & c", "seconds", "GiB", "x<y", "0"} <= set(texts)


def test_nothing_to_draw_is_a_picture_too():
    assert points_of(drawn()) == []
    assert points_of(drawn(Line("nothing", []))) == [[]]
    assert points_of(drawn(Line("zero", [(0, 0)]))) == [[(LEFT_PX, HEIGHT_PX - BOTTOM_PX)]]


@pytest.mark.parametrize("top", [0.003, 0.7, 1.0, 1.05, 7.9, 8.0, 99.0, 12_345.0])
def test_ticks_are_few_round_and_within(top):
    found = ticks(top)
    assert found[0] == 0 and top / 4 < found[-1] <= top
    assert 2 <= len(found) <= TICKS_MAX
    assert len({round(b - a, 9) for a, b in zip(found, found[1:], strict=False)}) == 1
