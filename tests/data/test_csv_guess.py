"""Text files of events by other programs: delimiters, names, orders, units, sensors, and what is said of guesses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurosim.base import GuessWarning, NeurosimFormatError, NeurosimInputError
from neurosim.data import read, read_csv, write

N = 50
RNG = np.random.default_rng(4)
T = np.sort(RNG.integers(100_000, 1_000_000, N))
X = RNG.integers(0, 60, N)
Y = RNG.integers(0, 50, N)
P = RNG.integers(0, 2, N)
SECONDS = "times are seconds, for not all are integers"
MICROSECONDS = "times are microseconds, for all are integers"


def text(order: str, mark: str, head: str = "", scale: float | None = None, minus: bool = False) -> str:
    if scale is None:
        t = [str(v) for v in T]
    else:
        t = [repr(float(v * scale)) for v in T]
    columns = {"t": t, "x": X, "y": Y, "p": P * 2 - 1 if minus else P}
    rows = zip(*(columns[key] for key in order), strict=True)
    return head + "".join(mark.join(map(str, row)) + "\n" for row in rows)


def check(path: Path, content: str, guessed: tuple[str, ...], **options: object) -> None:
    path.write_text(content)
    spikes = read_csv(path, **options)
    assert np.array_equal(np.rint(spikes.times * 1e6), T)
    assert all(np.array_equal(a, b) for a, b in zip(spikes.coordinates(), (P, Y, X), strict=True))
    assert spikes.report is not None and spikes.report.guessed == guessed


@pytest.mark.parametrize("head", ["time,channel", "Taxel;t_us", "t,neuron,channel", "t,channel,x"])
def test_sensors_without_rows_name_their_channels(head: str, tmp_path: Path) -> None:
    """No column is guessed where another one says the place, or where two may be the channels."""
    mark = ";" if ";" in head else ","
    names = head.lower().split(mark)
    cells = {"time": T, "t_us": T, "t": T, "channel": X, "taxel": X, "neuron": Y, "x": Y}
    rows = zip(*(cells[name] for name in names), strict=True)
    path = tmp_path / "a.csv"
    path.write_text(head + "\n" + "".join(mark.join(map(str, row)) + "\n" for row in rows))
    if "neuron" in names:
        with pytest.raises(NeurosimFormatError, match="expected names of columns"):
            read_csv(path)
    else:
        np.testing.assert_array_equal(read_csv(path).units, Y if "x" in names else X)


@pytest.mark.parametrize("mark", [",", ";", "\t", " ", ", "])
@pytest.mark.parametrize("order", ["txyp", "xypt", "xytp"])
def test_columns_are_found_without_names(mark: str, order: str, tmp_path: Path) -> None:
    words = f"columns are {', '.join(order)}"
    check(tmp_path / "a.txt", text(order, mark, minus=True), (words, MICROSECONDS))
    check(tmp_path / "a.txt", text(order, mark, scale=1e-6) + "\n\n", (words, SECONDS))
    check(tmp_path / "a.txt", text(order, mark, scale=1e-3), (), tick=1e-3, columns=order)


@pytest.mark.parametrize(
    ("head", "order", "guessed"),
    [
        ("t,x,y,p\n", "txyp", (MICROSECONDS,)),
        ("timestamp,x,y,polarity\n", "txyp", (MICROSECONDS,)),
        ('"x","y","pol","ts"\n', "xypt", (MICROSECONDS,)),
        ("x,y,on,time [us]\n", "xypt", ()),
        ("t_us,x,y,p\n", "txyp", ()),
        ("% a remark\n# x,y,t,p\n", "xytp", (MICROSECONDS,)),
    ],
)
def test_names_say_the_order_and_the_unit(head: str, order: str, guessed: tuple[str, ...], tmp_path: Path) -> None:
    check(tmp_path / "a.csv", text(order, ",", head), guessed)


@pytest.mark.parametrize(("unit", "scale"), [("s", 1e-6), ("ms", 1e-3), ("ns", 1e3)])
def test_a_name_with_a_unit(unit: str, scale: float, tmp_path: Path) -> None:
    check(tmp_path / "a.csv", text("txyp", ",", f"t({unit}),x,y,p\n", scale), ())


@pytest.mark.parametrize(
    "head", ["346 260\n", "# resolution 346 260\n", "# width=346, height=260\n", "% geometry 346x260\n"]
)
def test_the_sensor_is_in_the_head(head: str, tmp_path: Path) -> None:
    path = tmp_path / "events.txt"
    check(path, text("txyp", " ", head, 1e-6), ("columns are t, x, y, p", SECONDS))
    assert read_csv(path).shape == (2, 260, 346)
    assert read_csv(path, (2, 300, 400)).shape == (2, 300, 400)


@pytest.mark.parametrize("head", ["t;x;y;p\n", "", "# t; x; y; p\n"])
def test_semicolons_part_numbers_with_decimal_commas(head: str, tmp_path: Path) -> None:
    lines = text("txyp", ";", scale=1e-6).replace(".", ",")
    guessed = (SECONDS,) if head else ("columns are t, x, y, p", SECONDS)
    check(tmp_path / "a.csv", head + lines, guessed)


def test_truth_values_are_polarities(tmp_path: Path) -> None:
    """As pandas writes a column of them, beside a column without a name that numbers the rows."""
    rows = zip(range(N), T, X, Y, P, strict=True)
    lines = [f"{k},{t},{x},{y},{bool(p)}\n" for k, t, x, y, p in rows]
    check(tmp_path / "a.csv", ",timestamp,x,y,polarity\n" + "".join(lines), (MICROSECONDS,), shape=(2, 50, 60))


def test_reading_says_what_it_guessed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("10,3,1,0\n40000,0,0,1\n")
    with pytest.warns(GuessWarning, match="a.csv: columns are t, x, y, p; times are microseconds, .*; tick=, columns="):
        assert np.allclose(read(path).times, [1e-5, 0.04])
    assert read(path, tick=1e-3, columns="txyp").times.tolist() == [0.01, 40.0]
    path.write_text("0.5 3\n0.75 9\n")
    with pytest.warns(GuessWarning, match="columns are t and unit; times are seconds"):
        assert read(path).shape == (10,)
    # What neurosim writes says everything.
    write(path, read_csv(path))
    assert read(path).shape == (10,) and read(path).report is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1,2,3\n", "line 1: expected two columns, t and unit, or four, .*, got 3 columns"),
        ("1 1 1 1\n", "columns: expected columns in one of the orders .*, got several fit; give columns="),
        ("9 8 7 6\n", "columns: expected columns in one of the orders .*, got none of them fits"),
        ("x,y\n1,2\n", "line 1: expected names of columns: .*, got 'x, y'; add or correct the header"),
        ("# a\n1,2,3,1\n5,6\n", "line 3: expected 4 numbers, got '5,6'; correct or remove the line"),
        ("t;x;y;p\n1.000,5;1;2;1\n", "line 2: expected 4 numbers, got '1.000,5;1;2;1'"),
        ("t,x,y,p\n40,3,1,0\n10,3,1,0\n", "line 3: expected times in ascending order, got 10.0 after 40.0"),
        ("t,x,y,p\n40,3,1,7\n", "line 2: expected polarities 0 and 1, -1 and 1, 1 and 2, or 0 and 255, got 7"),
        ("t,x\n1,inf\n", "line 2: expected a finite place, got inf"),
        ("t,x\n1,1e300\n", "x, y: expected places below 2.31"),
        ("#\n" * 200, "line 101: expected numbers after at most 100 comments"),
        ("1" * 2000, "line 1: expected numbers after at most 100 comments, in lines of at most 1000 characters"),
    ],
)
def test_what_is_no_table(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(NeurosimFormatError, match=message):
        read_csv(path)


def test_an_order_that_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2,3,1\n")
    with pytest.raises(NeurosimInputError, match=r"read\.columns: must be an order of t, x, y, p \(got txyz\)"):
        read_csv(tmp_path / "a.csv", columns="txyz")
    with pytest.raises(NeurosimFormatError, match="line 1: expected 2 columns, as columns= says, got 4"):
        read_csv(tmp_path / "a.csv", columns="tx")
