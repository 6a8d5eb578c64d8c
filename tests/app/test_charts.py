"""Charts as files."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from neurosim.app.report import charts


def test_a_picture_is_an_svg_file(tmp_path: Path) -> None:
    chart = charts.curves([charts.Curve("a < b", np.arange(3.0), np.arange(3.0), "var(--spike)")], "x", "y", "A & B")
    charts.write_picture(tmp_path / "a.svg", chart)
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.attrib["aria-label"] == "A & B" and root.attrib["width"] == "920"
    assert "a < b" in [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]


def texts(chart: object) -> list[str]:
    root = ElementTree.fromstring(str(chart))
    return [text.text or "" for text in root.iter("text")]


def test_axes_of_whole_numbers_have_whole_ticks() -> None:
    layers = charts.Curve("spikes", np.arange(1.0, 4.0), np.array([0.1, 0.25, 0.2]))
    found = texts(charts.curves([layers], "layer", "spikes", "words"))
    assert {"1", "2", "3"} <= set(found) and not {"1.5", "2.5"} & set(found) and "0.1" in found
    counts = texts(charts.histograms([charts.BarGroup("", np.array([0.1, 0.2]), "red")], "x", "words", counted="units"))
    assert "1" in counts and "0.5" not in counts[: counts.index("units") + 6]


def test_curves_that_coincide_are_said() -> None:
    x = np.arange(3.0)
    y = np.array([0.1, 0.5, 0.2])
    series = [charts.Curve("plain", x, y), charts.Curve("joint", x, y), charts.Curve("replay", x, y + 1)]
    chart = charts.curves(series, "tasks", "accuracy", "words")
    assert "joint (the same as plain)" in texts(chart) and "replay" in texts(chart)
    assert str(chart).count("stroke-dasharray") == 2  # the curve and its key


def test_charts_of_other_widths_say_so_for_the_page_to_keep_the_size_of_their_text() -> None:
    x = np.arange(3.0)
    for width, kind in ((charts.WIDTH, None), (charts.WIDE, "wide"), (264.0, "small")):
        drawn = str(charts.curves([charts.Curve("a", x, x)], "x", "y", "words", width=width))
        assert ('class="wide"' in drawn, 'class="small"' in drawn) == (kind == "wide", kind == "small")


def test_a_logarithmic_axis_of_less_than_a_decade_has_several_ticks() -> None:
    x = np.array([0.7, 1.26])
    drawn = str(charts.curves([charts.Curve("", x, x)], "x", "y", "words", log_x=True))
    found = [word for word in ("0.8", "1", "1.2") if f'text-anchor="middle">{word}</text>' in drawn]
    assert len(found) >= 2, drawn


def test_a_long_name_that_coincides_fits_its_chart() -> None:
    points = np.arange(3.0)
    names = ("stored items with 30 % of their bits moved", "new items")
    shown = texts(charts.curves([charts.Curve(name, points, points) for name in names], "x", "y", ""))
    assert "new items (the same)" in shown


def test_a_map_has_a_rectangle_for_each_point() -> None:
    drawn = charts.regions((0.1, 0.2, 0.3), (1.0, 2.0), (("a", "a", "b"), ("b", "b", "b")), "x", "y", "words")
    root = ElementTree.fromstring(str(drawn))
    cells = [rect for rect in root.iter("rect") if float(rect.attrib["width"]) > 10]
    colours = [rect.attrib["style"] for rect in cells]
    assert len(cells) == 6 and colours.count(colours[0]) == 2
    # The first row of names is the lowest, and the rectangles fill the plane.
    assert float(cells[0].attrib["y"]) > float(cells[3].attrib["y"])
    assert float(cells[1].attrib["x"]) == pytest.approx(
        float(cells[0].attrib["x"]) + float(cells[0].attrib["width"]), abs=0.02
    )
    assert {"a", "b", "x", "y"} <= set(texts(drawn))
