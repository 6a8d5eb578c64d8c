"""The report: it parses, holds all its pictures, refers to nothing outside, escapes everything, and says what is
absent."""

from __future__ import annotations

import base64
import copy
import io
import json
import math
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers import pretend
from PIL import Image

from neurosim import Spikes
from neurosim.app import RunFolder, measure_again, open_run, write_page
from neurosim.app.report import axes, charts, numbers, pixels, png, recordings, sections, svg
from neurosim.app.runs.frame.config import Energy
from neurosim.app.runs.frame.manifest import Manifest
from neurosim.app.runs.liquid import KIND
from neurosim.app.runs.liquid.result import LiquidResult
from neurosim.base import NeurosimInputError, NeurosimMissingError
from neurosim.base.json_toml import read_json, write_json
from neurosim.data import write_sonata
from neurosim.engine import DEFINITIONS, PROFILES, EnergyRange

VOID = {"meta", "link", "img", "br"}
REFERENCES = {"src", "href", "srcset", "xlink:href", "data", "action", "poster", "background"}


class Page(HTMLParser):
    """A strict reading: every element closed in order; keeps elements, references and text."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = source
        self.open = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attributes}) == len(attributes), f"<{tag}> repeats an attribute"
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def references(self) -> list[str]:
        return [str(v) for _, attributes in self.elements for k, v in attributes.items() if k in REFERENCES]

    def pictures(self) -> list[str]:
        return [str(a["src"] if tag == "img" else a["href"]) for tag, a in self.elements if tag in ("img", "image")]


def read(run: Path) -> Page:
    page = write_page(run)
    assert page == run / "report.html"
    return Page(page.read_text("utf-8"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return pretend.write(tmp_path / "run")


def change(run: Path, **values: Any) -> None:
    found = read_json(run / "metrics.json")
    write_json(run / "metrics.json", {k: v for k, v in (found | values).items() if v is not None})


@pytest.mark.parametrize("shape", [pretend.CAMERA, pretend.CAMERA[1:], pretend.SOUND])
def test_every_picture_is_within_and_decodes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    page = read(pretend.write(tmp_path, pretend.metrics(shape)))
    pictures = page.pictures()
    # Two recordings, each with three frames if a camera's, and a raster of input and of liquid.
    assert len(pictures) == 2 * (5 if shape != pretend.SOUND else 2)
    for picture in pictures:
        assert picture.startswith("data:image/png;base64,")
        image = Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2], validate=True)))
        image.load()
        assert image.mode == "RGBA" and min(image.size) > 0
        assert np.asarray(image)[..., 3].any(), "the picture is empty"


def test_nothing_outside_the_file_is_referred_to(run: Path) -> None:
    page = read(run)
    assert page.references()
    for reference in page.references():
        assert reference.startswith(("data:", "#")), reference
    names = {attributes.get("id") for _, attributes in page.elements}
    assert {r[1:] for r in page.references() if r.startswith("#")} <= names
    assert not {"script", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.elements}
    style = re.search(r"<style>(.*?)</style>", page.source, re.DOTALL)
    assert style and "url(" not in style[1] and "@import" not in style[1]
    policy = next(a["content"] for tag, a in page.elements if tag == "meta" and a.get("http-equiv"))
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(2)>&amp;'"


def poison(tree: Any) -> Any:
    """The same with a hostile text in place of every text."""
    if isinstance(tree, dict):
        return {k: poison(v) for k, v in tree.items()}
    if isinstance(tree, list):
        return [poison(v) for v in tree]
    return EVIL + tree if isinstance(tree, str) else tree


def test_every_value_is_escaped(tmp_path: Path) -> None:
    found = poison(pretend.metrics())
    for entry in found["shown"]:
        entry["label"] = entry["predicted"] = EVIL
    found["energy"]["reasons"] = {"compute_only": EVIL}
    found["energy"]["compute_only"] = None
    run = pretend.write(tmp_path / "a & <b>", found)
    write_json(run / "manifest.json", poison(pretend.manifest()))
    (run / "config.toml").write_text(f"a = '</pre></details>{EVIL}'")
    page = read(run)
    for tag, attributes in page.elements:
        assert tag != "script" and not [name for name in attributes if name.startswith("on")]
        assert attributes.get("src") != "x"
    assert page.text.count("<script>alert(1)</script>") > 20


def test_headline_figures_are_the_metrics(run: Path) -> None:
    words = read(run).text.replace(numbers.THIN, " ")
    for expected in (
        "made up through 50 spiking neurons",
        "80.0 %",
        "95 % between 49.0 % and 94.0 %; chance 40.0 %",
        "99.00 %",
        f"0.08 wall-clock seconds per simulated second: 12.5{numbers.TIMES} faster than real time",
        "10 spikes per neuron and second",
    ):
        assert expected in words, expected


@pytest.mark.parametrize(("factor", "words"), [(0.999, "as fast as"), (1.02, "as fast as"), (2.0, "slower than")])
def test_a_factor_near_one_is_real_time(factor: float, words: str) -> None:
    assert f"{words} real time" in sections.speed(factor)


def test_measures_come_with_value_definition_and_source(run: Path) -> None:
    words = read(run).text
    for definition in DEFINITIONS.values():
        for expected in (definition.title, definition.meaning, definition.source):
            assert expected in words
    assert "4,350,150" in words  # dense operations per sample


def test_energy_names_profile_estimate_and_source(run: Path) -> None:
    words = read(run).text
    for name, profile in PROFILES.items():
        if profile.memory is not None and name != "horowitz45":
            continue  # an estimate takes one process; chips stand beside it
        assert profile.source.rstrip(".") in words and profile.title in words
    assert "Estimates from counts and published costs" in words
    assert "Blank: no energy per synaptic event has been published" in words


def test_unknown_figures_are_blank_with_their_reason(run: Path) -> None:
    found = read_json(run / "metrics.json")
    found["measures"]["membrane_updates"] = None
    found["measures"]["reasons"]["membrane_updates"] = "liquid: not counted"
    found["energy"]["memory_aware"] = None
    found["energy"]["reasons"]["memory_aware"] = "liquid: nor that"
    write_json(run / "metrics.json", found)
    words = read(run).text
    assert "Blank: liquid: not counted" in words and "Blank: liquid: nor that" in words


def test_confusion_shows_rows_recall_and_mistakes(run: Path) -> None:
    words = read(run).text.replace(numbers.THIN, " ")
    assert "67 %" in words and "2 mistakes, most frequent first" in words
    assert "east read as north : 1" in words


def test_provenance_is_complete(run: Path) -> None:
    words = read(run).text
    for expected in ("neurosim simulate made-up", "5eed" * 16, "c0de" * 16, "abc123 (with uncommitted changes)"):
        assert expected in words
    assert "A processor, 2 cores, 8 GiB of memory, Linux" in words and "python 3.12.1" in words
    assert 'name = "made-up"' in words


@pytest.mark.parametrize(
    ("absent", "words"),
    [
        ("spikes.h5", "The run folder has no spikes.h5: no recording was kept for this page."),
        ("config.toml", "The run folder has no config.toml."),
        ("manifest.json", "The run folder has no manifest.json: the origin of these results is not known."),
        ("metrics.json", "The run recorded no measures."),
    ],
)
def test_an_absent_file_is_said(run: Path, absent: str, words: str) -> None:
    (run / absent).unlink()
    assert words in read(run).text


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("shown", "The run's metrics name no recordings to show."),
        ("confusion", "The run recorded no confusion matrix."),
        ("measures", "The run recorded no measures."),
        ("energy", "The run recorded no energy estimate."),
        ("accuracy", "Accuracy — not recorded"),
    ],
)
def test_an_absent_result_is_said(run: Path, key: str, words: str) -> None:
    change(run, **{key: None})
    assert words in read(run).text


def test_damaged_and_missing_spikes_are_said(run: Path) -> None:
    (run / "spikes.h5").write_bytes(b"no HDF5")
    assert "The recordings stored for this page cannot be shown: " in read(run).text
    found = read_json(run / "metrics.json")
    write_sonata(run / "spikes.h5", {k: v for k, v in pretend.spikes(found).items() if k.startswith("input")})
    assert "spikes.h5 holds no spikes of neurons." in read(run).text


def test_a_silent_recording_is_drawn(run: Path) -> None:
    found = read_json(run / "metrics.json")
    silent = {
        k: Spikes(np.zeros(0), np.zeros(0), s.size, s.duration, s.shape) for k, s in pretend.spikes(found).items()
    }
    write_sonata(run / "spikes.h5", silent)
    assert "50 of them silent" in read(run).text


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NeurosimMissingError, match=r"holds no run \(no manifest.json, no metrics.json\)"):
        write_page(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(NeurosimInputError, match="report: needs the folder of a run, not a file"):
        write_page(tmp_path / "file")
    assert not list(tmp_path.rglob("report.html"))


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in a tree."""
    yield path
    if isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from places(value, (*path, key))


# The first is the sample of the quick run.
JUNK = [
    None,
    *(pytest.param(junk, marks=pytest.mark.slow) for junk in ("words", -1, 0, math.nan, 1e300, [], {}, [[1]], True)),
]


@pytest.mark.parametrize("junk", JUNK)
def test_values_of_any_kind_leave_a_page(tmp_path: Path, junk: Any) -> None:
    whole = {"metrics": pretend.metrics(), "manifest": pretend.manifest()}
    whole["metrics"]["measures"]["layers"] = whole["metrics"]["measures"]["layers"][:1]
    whole["metrics"]["energy"]["published"] = whole["metrics"]["energy"]["published"][:1]
    for path in places(whole):
        if len(path) < 2:
            continue
        tree = copy.deepcopy(whole)
        node: Any = tree
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = junk
        folder = RunFolder(tmp_path, Manifest.from_dict(tree["manifest"]))
        Page(KIND.render_page(folder, LiquidResult.from_dict(tree["metrics"])))


def test_elements_escape_what_is_not_markup() -> None:
    inner = svg.element("i")
    assert svg.element("a", "<b>", inner, 1, href='"<', text_anchor="end", class_="x", id=None) == (
        '<a href="&#34;&lt;" text-anchor="end" class="x">&lt;b&gt;<i></i>1</a>'
    )


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (1.234e-6, "J", "1.23 µJ"),
        (0.9996, "J", "1.00 J"),
        (999.96, "", "1.00 k"),
        (123456, "", "123 k"),
        (0, "J", "0 J"),
        (2.5e-13, "J", "250 fJ"),
        (-4e3, "", "-4.00 k"),
        (None, "J", "—"),
        (math.nan, "J", "—"),
        ("7", "J", "—"),
        (True, "J", "—"),
    ],
)
def test_si(value: object, unit: str, shown: str) -> None:
    assert numbers.si(value, unit).replace(numbers.THIN, " ") == shown


def test_numbers_as_people_read_them() -> None:
    assert numbers.plain(1e15) == "1,000,000,000,000,000" and numbers.plain(-1e300) == "-1.00e+300"
    ranges = EnergyRange(1.98e-4, 3.94e-4), EnergyRange(2e-9, 2e-9)
    shown = [numbers.span(ends, "J").replace(numbers.THIN, " ") for ends in ranges]
    assert shown == ["198\N{EN DASH}394 µJ", "2.00 nJ"]
    assert numbers.span(EnergyRange(2e-9, math.nan), "J") == numbers.span(None) == "—"
    shown = [numbers.times(v).rstrip(numbers.TIMES) for v in (0.5, 3.42, 12.34, 4321.0)]
    assert shown == ["0.5", "3.4", "12.3", "4,321"]
    assert [numbers.plain(v) for v in (12345.6, 0.12345, 7.0, 1e-9)] == ["12,346", "0.1235", "7", "1.00e-09"]
    assert numbers.percent(0.12345).replace(numbers.THIN, " ") == "12.3 %"
    shown = [numbers.signed(v).replace(numbers.THIN, " ") for v in (0.0123, -1e-6, -0.5)]
    assert shown == ["+1.23 %", "+0.00 %", "-50.00 %"]
    shown = [numbers.against(v) for v in (0.9, -0.5, 0.0, -0.001, 1.0)]
    assert shown == ["10 times less", "1.5 times more", "as much", "as much", numbers.DASH]


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (40, 7)])
def test_png_holds_the_pixels(shape: tuple[int, int]) -> None:
    pixels_in = np.random.default_rng(0).integers(0, 256, (*shape, 4), dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png.encode(pixels_in)))), pixels_in)


def test_a_frame_shows_where_and_which_polarity() -> None:
    # OFF at (y 1, x 2), ON at (0, 0), both at (2, 3) of a 3 x 4 sensor.
    units = [6, 12 + 0, 11, 12 + 11]
    frame = pixels.frame(Spikes.sort(np.zeros(4), units, 24, 1.0, (2, 3, 4)))
    assert frame.shape == (3, 4, 4)
    seen = {(int(y), int(x)) for y, x in zip(*np.nonzero(frame[..., 3]), strict=True)}
    assert seen == {(1, 2), (0, 0), (2, 3)}
    assert tuple(frame[1, 2, :3]) == pixels.OFF and tuple(frame[0, 0, :3]) == pixels.ON
    assert np.allclose(frame[2, 3, :3], (np.array(pixels.ON) + pixels.OFF) / 2, atol=1)
    assert frame[2, 3, 3] > frame[0, 0, 3]


def test_a_raster_has_a_dot_for_every_spike() -> None:
    rng = np.random.default_rng(1)
    for count, wide, high in ((120, 1, 1), (30, 2, 1), (5, 3, 1)):
        spikes = Spikes.sort(rng.random(count), rng.integers(0, 20, count), 20, 1.0)
        expected = {(19 - int(u), int(t * 50)) for t, u in zip(spikes.times, spikes.units, strict=True)}
        _check_dots(pixels.raster(spikes, rows=20, columns=50), expected, wide, high)
    # Few dots among many rows are larger both ways.
    spikes = Spikes(np.array([0.1, 0.5]), np.array([3, 99]), 100, 1.0)
    _check_dots(pixels.raster(spikes, rows=100, columns=50), {(96, 5), (0, 25)}, 3, 2)
    late = Spikes([1.0], [0], 1, 1.0)
    assert pixels.raster(late, rows=9, columns=5).shape == (1, 5, 4)
    assert pixels.raster(late, rows=9, columns=5)[0, 4, 3] > 0


def _check_dots(image: np.ndarray, dots: set[tuple[int, int]], wide: int, high: int) -> None:
    rows, columns = image.shape[:2]
    around = [
        (y, x) for y in range(-(high // 2), (high - 1) // 2 + 1) for x in range(-(wide // 2), (wide - 1) // 2 + 1)
    ]
    larger = {(r + y, c + x) for r, c in dots for y, x in around if 0 <= r + y < rows and 0 <= c + x < columns}
    assert {(int(r), int(c)) for r, c in zip(*np.nonzero(image[..., 3]), strict=True)} == larger


def test_a_camera_raster_has_on_above_off() -> None:
    off_and_on = Spikes([0.0, 0.5], [0, 7], 8, 1.0, (2, 2, 2))
    image = pixels.raster(off_and_on, rows=8, columns=2)
    assert tuple(image[7, 0, :3]) == pixels.OFF and tuple(image[0, 1, :3]) == pixels.ON


@pytest.mark.parametrize("duration", [36_000.0, 1e300])
def test_rates_of_a_long_recording_have_no_more_points_than_a_chart_shows(duration: float) -> None:
    spikes = Spikes([0.5, 1.0], [0, 1], 2, duration)
    chart = str(recordings.course([spikes], "var(--spike)", "rate", 2))
    assert 1_000 < len(chart) < 100_000


def test_channels_count_events() -> None:
    image = pixels.channels(Spikes([0.1, 0.1, 0.1, 0.1, 0.9], [0, 1, 0, 1, 3], 4, 1.0), rows=2, columns=2)
    assert image[1, 0, 3] == 255 and image[0, 1, 3] == pytest.approx(255 * 0.5, abs=3)
    assert image[0, 0, 3] == image[1, 1, 3] == 0


@pytest.mark.parametrize(("low", "high"), [(0, 0.31), (0, 7), (3, 1234), (-2, 2), (0, 1e-7)])
def test_ticks_are_round_and_within(low: float, high: float) -> None:
    ticks = svg.nice(low, high)
    steps = np.diff(ticks)
    assert 3 <= len(ticks) <= 9 and low <= ticks[0] and ticks[-1] <= high * (1 + 1e-9)
    assert np.allclose(steps, steps[0])
    mantissa = steps[0] / 10.0 ** math.floor(math.log10(steps[0]) + 1e-9)
    assert min(abs(mantissa - m) for m in (1, 2, 5, 10)) < 1e-6
    assert svg.nice(1, 1) == [1]


def test_bars_of_a_histogram_are_its_counts() -> None:
    values = np.array([0.0, 0.1, 0.1, 3.0])
    chart = Page(charts.histograms([charts.BarGroup("", values, "red")], "x", "words", x=None, counted="n"))
    heights = [float(str(a["height"])) for tag, a in chart.elements if tag == "rect"]
    assert heights == pytest.approx([heights[0], 2 * heights[0], heights[0]], rel=0.01), "empty bins are not drawn"


def test_a_curve_goes_through_its_values() -> None:
    curve = charts.Curve("", np.array([0.05, 0.15, 0.25]), np.array([0.0, 2.0, 1.0]), "red")
    chart = Page(charts.over_time([curve], 0.4, "rate", "words"))
    points = next(a["points"] for tag, a in chart.elements if tag == "polyline")
    (x0, y0), (x1, y1), (x2, y2) = ([float(v) for v in p.split(",")] for p in str(points).split())
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.02) and y0 - y1 == pytest.approx(2 * (y0 - y2), abs=0.03)
    # 0.05 s of 0.4 s.
    assert x0 == pytest.approx(axes.LEFT + (svg.WIDTH - axes.LEFT - axes.RIGHT) / 8, abs=0.02)


def test_ranges_lie_on_a_logarithmic_axis() -> None:
    bars = [charts.Bar("a", 1e-6, 1e-6, "", "red"), charts.Bar("b", 1e-5, 1e-4, "", "red")]
    chart = Page(charts.ranges(bars, lambda v: f"{v:g}", "words"))
    a, b = ((float(str(r["x"])), float(str(r["width"]))) for tag, r in chart.elements if tag == "rect")
    assert a[1] == 12 and b[1] - 12 == pytest.approx(b[0] - a[0], abs=0.02)


def test_the_page_is_small(run: Path) -> None:
    assert write_page(run).stat().st_size < 200_000
    assert json.loads((run / "metrics.json").read_text())["accuracy"] == 0.8, "the run itself is untouched"


def test_ticks_of_less_than_two_decades_differ() -> None:
    """2.6 to 4: no two of 1, 2, 5, 10."""
    curve = charts.Curve("a", np.array([2.6, 4.0]), np.array([1.0, 0.5]))
    words = re.findall(r"<text[^>]*>([\d.]+)</text>", charts.curves([curve], "uJ", "", "", log_x=True))
    assert {"3", "3.5", "4"} <= set(words) and words.count("4") == 1


def test_a_line_of_one_point_is_a_dot() -> None:
    one, two = (charts.Curve("a", np.arange(1.0, n + 1), np.ones(n)) for n in (1, 2))
    assert "<circle" in charts.curves([one], "x", "y", "") and "<circle" not in charts.curves([two], "x", "y", "")


@pytest.mark.parametrize("counts", [(1e308, 1e-5), (1e-308, 1e308), (1e308, 1e308)])
def test_operations_of_any_size_are_compared(counts: tuple[float, float]) -> None:
    words = sections.against(*counts)
    assert words.endswith("than the same layers, dense in every step") and "nan" not in words


def test_a_count_of_events_that_cannot_be_is_refused(run: Path) -> None:
    metrics = read_json(run / "metrics.json")
    metrics["measures"]["events_in"] = 1e308
    write_json(run / "metrics.json", metrics)
    with pytest.raises(NeurosimInputError, match=r"measures\.events_in: must be a number of events; run it again"):
        measure_again(open_run(run), SimpleNamespace(energy=Energy()))
