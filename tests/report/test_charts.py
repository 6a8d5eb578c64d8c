"""Charts as files."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from neurosim.report import charts


def test_a_picture_is_an_svg_file(tmp_path: Path) -> None:
    chart = charts.curves([charts.Curve("a < b", np.arange(3.0), np.arange(3.0), "var(--spike)")], "x", "y", "A & B")
    charts.write_picture(tmp_path / "a.svg", chart)
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.attrib["aria-label"] == "A & B" and root.attrib["width"] == "920"
    assert "a < b" in [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
