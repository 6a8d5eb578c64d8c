"""Tables of series: columns are found or named, cells checked, and rows read one at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone

import numpy as np
import pytest

from neurosim.base import GuessWarning, NeurosimFormatError, NeurosimInputError
from neurosim.data.series import decode_text, read_series
from neurosim.data.series_order import in_time

TABLE = "timestamp,value,kind\n2014-07-01 00:00:00,1.5,a\n2014-07-01T00:30:00+02:00,,b\n"


def test_columns_are_found_by_their_first_cells() -> None:
    columns, rows = read_series(TABLE.splitlines(True), "t.csv")
    assert (columns.time, columns.numbers, columns.texts) == ("timestamp", ("value",), ())
    first, second = rows
    assert first.time == 1404172800.0 and first.values == {"value": 1.5}
    # A zone is left out: half an hour later on the clock of the table.
    assert second.time - first.time == 1800.0 and math.isnan(float(second.values["value"]))


def test_columns_without_names_are_numbered() -> None:
    columns, rows = read_series(["5;1.5\n", "6;2.5\n"], "t.csv")
    assert columns.time == "" and columns.numbers == ("column1", "column2")
    assert [(math.isnan(row.time), row.text, row.values["column2"]) for row in rows] == [
        (True, "0", 1.5),
        (True, "1", 2.5),
    ]


def test_decimal_commas_are_read_between_semicolons() -> None:
    columns, rows = read_series(["t;Größe;Wort\n", "0,5;-1,25e3;a,b\n", "1;,5;2,5\n"], "t.csv", texts=["Wort"])
    assert (columns.time, columns.numbers) == ("t", ("Größe",))
    assert [(row.time, row.text, dict(row.values)) for row in rows] == [
        (0.5, "0.5", {"Größe": -1250.0, "Wort": "a,b"}),
        (1.0, "1", {"Größe": 0.5, "Wort": "2,5"}),
    ]
    # Between tabs it may part thousands.
    with pytest.raises(NeurosimInputError, match="has no column of numbers"):
        read_series(["a\tb\n", "1,5\t2,5\n"], "t.csv")


MONTHS = "Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sept,Oct,Nov,December"


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("more", ["", ",mean"])
def test_a_column_for_each_month_is_read_as_months_in_order(separator: str, more: str) -> None:
    own = ",3.5" if more else ""
    # One month is missing, and the months behind May are still to come.
    text = f"Year,{MONTHS}{more}\n1949,1,2,3,4,5,6,7,8,9,10,11,12.5{own}\n1950,1,2,,4,5,,,,,,,{',' if more else ''}\n"
    if separator == ";":
        text = text.replace(",", ";").replace(".", ",")
    with pytest.warns(GuessWarning, match=r"t\.csv: has a column for each month, and is read as one of months"):
        columns, rows = read_series(text.splitlines(True), "t.csv", whole=True)
    assert (columns.time, columns.numbers) == ("month", ("value",))
    found = list(rows)
    assert [row.text for row in found] == [f"1949-{k:02d}" for k in range(1, 13)] + [
        f"1950-{k:02d}" for k in range(1, 6)
    ]
    values = np.array([row.values["value"] for row in found], float)
    expected = [*range(1, 12), 12.5, 1, 2, math.nan, 4, 5]
    assert np.array_equal(values, expected, equal_nan=True) and np.all(np.diff([row.time for row in found]) > 0)


def test_a_month_that_is_asked_for_is_a_column_of_years() -> None:
    lines = [f"Year,{MONTHS}\n", "1949,1,2,3,4,5,6,7,8,9,10,11,12\n", "1950,9,2,3,4,5,6,7,8,9,10,11,12\n"]
    columns, rows = read_series(lines, "t.csv", numbers=["Jan"], whole=True)
    assert columns.numbers == ("Jan",) and [row.values["Jan"] for row in rows] == [1.0, 9.0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("50,1,2,3,4,5,6,7,8,9,10,11,12", r"t\.csv, line 3, column Year: must be a year of four digits \(got '50'\)"),
        ("1950,1,2,3,4,5,6,7,8,9,10,11", r"t\.csv, line 3: must have 13 cells \(got 12\)"),
        ("1950,1,x,3,4,5,6,7,8,9,10,11,12", r"t\.csv, line 3, column Feb: must be a number or empty \(got 'x'\)"),
    ],
)
def test_a_wrong_cell_of_a_table_of_months_is_named(row: str, message: str) -> None:
    lines = [f"Year,{MONTHS}\n", "1949,1,2,3,4,5,6,7,8,9,10,11,12\n", f"{row}\n"]
    with pytest.warns(GuessWarning), pytest.raises(NeurosimFormatError, match=message):
        list(read_series(lines, "t.csv", whole=True)[1])


def test_a_short_year_in_front_of_a_month_is_read_where_it_can_be_no_day() -> None:
    lines = ["Month,v\n", "99-Nov,1\n", "99-Dec,2\n", "00-Jan,3\n", "01-Jan,4\n"]
    columns, rows = read_series(lines, "t.csv")
    assert columns.time == "Month"
    moments = [datetime.fromtimestamp(row.time, timezone.utc).strftime("%Y-%m") for row in rows]
    assert moments == ["1999-11", "1999-12", "2000-01", "2001-01"]
    with pytest.raises(NeurosimFormatError, match="write a year of four digits: two in front of a month may be a day"):
        list(read_series(["date,v\n", "12-Jan,1\n"], "t.csv")[1])


def test_named_columns_are_read_alone() -> None:
    lines = ["t,a,b,word\n", "10,1,2,x\n", "20,3,4,y\n"]
    columns, rows = read_series(lines, "t.csv", numbers=["b"], texts=["word"])
    assert columns.time == "t"
    assert [(row.time, dict(row.values)) for row in rows] == [
        (10.0, {"b": 2.0, "word": "x"}),
        (20.0, {"b": 4.0, "word": "y"}),
    ]


def test_a_row_is_read_when_it_is_needed() -> None:
    def lines() -> Iterator[str]:
        yield from ("t,v\n", "1,2\n", "2,3\n")
        raise AssertionError("read too far")

    _, rows = read_series(lines(), "-")
    assert next(rows).values == {"v": 2.0} and next(rows).values == {"v": 3.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.csv: must have a line of names or values"),
        ("t,v\n", "t.csv, line 2: must have 2 cells (got 0)"),
        ("t,v\n1,2\n1\n", "t.csv, line 3: must have 2 cells (got 1)"),
        ("t,v\n1,2\n2,high\n", "t.csv, line 3, column v: must be a number or empty (got 'high')"),
        ("t,v\n1,2\n2,inf\n", "t.csv, line 3, column v: must be finite (got 'inf')"),
        (
            "t,v\n1,2\n2,-1.7976931348623157e308\n",
            "t.csv, line 3, column v: must be at most 1e+300 in size; leave the cell empty where it stands",
        ),
        ("t,v\n1,2\nsoon,3\n", "t.csv, line 3, column t: must be a date such as 2014-07-01 00:30:00, or seconds"),
        ("t,v,v\n1,2,3\n", "t.csv: must have columns of different names; rename one (got v)"),
        ("\n# by a logger\nt,v\n1,2\n\n2,high\n", "t.csv, line 6, column v: must be a number"),
        (
            "when,v\n07/12/2014,2\n",
            "t.csv, line 2, column when: must be a date such as 2014-07-01 00:30:00, or seconds",
        ),
        ("t;v\n1;999,5\n2;1.234\n", "t.csv, line 3, column v: must have the decimal sign of the cells before it, ','"),
        ("year,month,v\n2014,13,2\n", "t.csv, line 2: must be the year, month of a date (got 2014, 13)"),
        ("day;v\n1.7.2014;1.234,5\n2.7.2014;12.345.678\n", "t.csv, line 3, column v: must be a number"),
        (
            "t,v\n1,2\n999999999999999999999,3\n",
            "t.csv, line 3, column t: must be a time (got '999999999999999999999')",
        ),
        ("t,v\n1,2\nnan,3\n", "t.csv, line 3, column t: must be a time (got 'nan')"),
        ("t,v\n1,2\n2,1_000\n", "t.csv, line 3, column v: must be a number or empty (got '1_000')"),
        ("t,v\n1,2\n1_0,3\n", "t.csv, line 3, column t: must be a date such as 2014-07-01 00:30:00, or seconds"),
        (
            "a,b\nx,y\n",
            "t.csv: has no column of numbers (got a: 'x', b: 'y'); neurosim memory anomaly reads words, too",
        ),
    ],
)
def test_lines_that_are_no_series_are_named_by_place(text: str, message: str) -> None:
    with pytest.raises((NeurosimFormatError, NeurosimInputError)) as caught:
        list(read_series(text.splitlines(True), "t.csv")[1])
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("head", ["when,v\n2014-07-01,1\n", "when,v\n", ""])
@pytest.mark.parametrize("digits", [1, 1 << 18])
@pytest.mark.parametrize("whole", [False, True])
def test_a_quotation_mark_that_is_not_closed_is_named_by_its_line(head: str, digits: int, whole: bool) -> None:
    opened = '07/01/2014,"' + "2" * digits + "\n"
    rest = [f"{k % 12 + 1:02d}/07/2014,{k}\n" for k in range(20_000)]
    line = head.count("\n") + 1
    rule = rf"^t\.csv, line {line}: must be cells of a table \(.*\); close its quotation marks$"
    with pytest.raises(NeurosimFormatError, match=rule):
        list(read_series([*head.splitlines(True), opened, *rest], "t.csv", whole=whole)[1])


def test_hours_behind_noon_may_have_pm() -> None:
    found = times_of("when,v\n2014-07-01 1:30 PM,1\n2014-07-01 13:30 PM,2\n2014-07-01 12:30 AM,3\n")
    assert found == [np.datetime64(f"2014-07-01T{clock}", "s").astype(float) for clock in ("13:30", "13:30", "00:30")]


def test_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(NeurosimInputError, match="column: unknown name 'valeu'; did you mean 'value'"):
        read_series(TABLE.splitlines(True), "t.csv", numbers=["valeu"])


def times_of(text: str) -> list[float]:
    _, rows = read_series(text.splitlines(True), "t.csv")
    return [row.time for row in rows]


@pytest.mark.parametrize(
    "text",
    [
        "2014-07-01T00:30:00.000Z",
        "2014-07-01 00:30:00 UTC",
        "2014-07-01T00:30:00.0Z",
        "2014-07-01 00:30:00.0000000+0200",
        "2014/7/1 0:30",
        "2014.07.01 00:30",
        "1.7.2014 0:30",
        "01.07.14 00:30",
        "2014-07-01 12:30:00 AM",
        "1 Jul 2014 00:30",
        "01-July-2014 12:30 AM",
        '"Jul 1, 2014 0:30:00"',
        '"Tue, 01 Jul 2014 00:30:00 GMT"',
        "Tue Jul  1 00:30:00 2014",
        "1-Jul-14 00:30",
        "20140701T003000Z",
        "201407010030",
        "20140701003000",
        "1404174600",
        "1404174600000",
        "1404174600000000",
        "1404174600000000000",
    ],
)
def test_times_as_other_programs_write_them(text: str) -> None:
    # Digits alone need a name that says what they are.
    if not text.startswith("2014070"):
        assert times_of(f"when,v\n{text},2\n") == [1404174600.0]
    assert times_of(f"timestamp,v\n{text},2\n{text},3\n") == [1404174600.0] * 2


def test_dates_with_slashes_say_their_order_themselves() -> None:
    """A number above 12 is the day, in a later row where all of the table is there, and for all rows."""
    july = 1404172800.0
    for first, later in (("07/01/2014 12:30 AM", "7/13/2014 0:30"), ("01/07/2014 00:30", "13/07/14 00:30")):
        text = f"when,v\n{first},2\n{later},3\n"
        _, rows = read_series(text.splitlines(True), "t.csv", whole=True)
        assert [row.time - july for row in rows] == [1800.0, 12 * 86400.0 + 1800.0]
        # A stream does not wait for a row that says it.
        with pytest.raises(NeurosimFormatError, match="no date here says which number is the day"):
            times_of(text)
        assert times_of(f"when,v\n{later},3\n") == [july + 12 * 86400.0 + 1800.0]
    _, rows = read_series(["Date;Time;v\n", "16/12/2006;17:24:00;4,2\n"], "t.csv")
    assert [(row.text, row.values) for row in rows] == [("2006-12-16 17:24:00", {"v": 4.2})]
    with pytest.raises(NeurosimFormatError, match="line 3, column when: must be a date"):
        times_of("when,v\n13/07/2014,2\n07/13/2014,3\n")


def test_an_index_without_a_name_is_read() -> None:
    """The table is as pandas writes a series with its times."""
    columns, rows = read_series([",v\n", "2014-07-01 00:30:00,2\n"], "t.csv")
    assert columns.time == "index" and columns.numbers == ("v",)
    assert [row.time for row in rows] == [1404174600.0]
    columns, _ = read_series([",v,\n", "0,2,\n"], "t.csv")
    assert columns.time == "" and columns.numbers == ("v",)


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2014-Q3", "2014-07-01"),
        ("2014Q3", "2014-07-01"),
        ("Q3 2014", "2014-07-01"),
        ("Jul-14", "2014-07-01"),
        ("Jul-49", "1949-07-01"),
        ("Sept 2014", "2014-09-01"),
        ("2014 July", "2014-07-01"),
        ("2014M07", "2014-07-01"),
        ("2014-W27", "2014-06-30"),
        ("2014W27", "2014-06-30"),
        ("2014-W27-2", "2014-07-01"),
        ("2014-06-30 24:00", "2014-07-01"),
    ],
)
def test_months_quarters_and_weeks_are_their_first_day(text: str, date: str) -> None:
    assert times_of(f"when,v\n{text},2\n") == [np.datetime64(date, "s").astype(float)]


@pytest.mark.parametrize(
    "text",
    [
        *("2014-Q5", "Abc-14", "2014M13", "2014-W54", "dec 14th", "24:30"),
        *("0000-Q1", "Q1 0000", "Jan 0000", "0000M01", "9999-12-31 24:00"),
        *("2014-07-01 13:30 AM", "2014-07-01 25:30 PM", "2014_07"),
    ],
)
def test_what_is_no_period_is_no_time(text: str) -> None:
    columns, _ = read_series([f"when,v\n{text},2\n".splitlines(True)[k] for k in (0, 1)], "t.csv")
    assert columns.time == ""


@pytest.mark.parametrize(
    ("name", "cells", "texts"),
    [
        ("Month", ("201412", "201501"), ("2014-12", "2015-01")),
        ("date", ("201412", "201501"), ("2014-12", "2015-01")),
        ("year", ("2014.0", "2014.5"), ("2014-01-01 00:00:00", "2014-07-02 12:00:00")),
        ("decimal_date", ("2014.0", "2014.5"), ("2014-01-01 00:00:00", "2014-07-02 12:00:00")),
        ("Datum", ("41821.0", "41821.5"), ("2014-07-01 00:00:00", "2014-07-01 12:00:00")),
    ],
)
def test_numbers_are_dates_by_the_name_of_their_column(
    name: str, cells: tuple[str, ...], texts: tuple[str, ...]
) -> None:
    """Read as values, they would be forecast; as seconds, all of them would be of one hour in 1970."""
    columns, rows = read_series([f"{name},v\n", *(f"{cell},2\n" for cell in cells)], "t.csv", whole=True)
    assert (columns.time, columns.numbers) == (name, ("v",))
    assert tuple(row.text for row in rows) == texts


@pytest.mark.parametrize("date", ["2014-07-01", "20140701", "1.7.2014"])
def test_whole_hours_join_a_column_of_dates(date: str) -> None:
    columns, rows = read_series(["date,Hour,v\n", f"{date},1,5\n", f"{date},24.0,6\n"], "t.csv")
    assert (columns.clock, columns.numbers) == ("Hour", ("v",))
    assert [row.time - 1404172800.0 for row in rows] == [3600.0, 86400.0]


def ordered(times: Iterable[int], name: str = "t") -> list[float]:
    lines = [f"{name},v\n", *(f"{time},{k}\n" for k, time in enumerate(times))]
    columns, rows = read_series(lines, "t.csv", whole=True)
    return [float(row.values["v"]) for row in in_time(columns, rows, "t.csv")]


def test_a_table_with_the_newest_record_first_is_turned_round() -> None:
    with pytest.warns(GuessWarning, match="t.csv: has the newest record first, and is read from its end"):
        assert ordered([9, 7, 7, 3]) == [3.0, 2.0, 1.0, 0.0]
    # The end of summer time, and records of one second, stay where they are.
    for times in ([1, 2, 3, 2, 3, 4], [1, 1, 1, 2, 2, 3], [1]):
        assert ordered(times) == list(range(len(times)))
    assert ordered([9, 7, 3], name="a") == [0.0, 1.0, 2.0], "without times nothing is known"


@pytest.mark.parametrize(
    ("times", "often"),
    [
        ([*range(8), *range(8), *range(8)], "3"),
        ([k // 2 for k in range(16)], "2"),
        ([*range(8), *range(2, 12), *range(8)], "2.17"),
    ],
)
def test_a_table_of_several_series_is_refused(times: list[int], often: str) -> None:
    with pytest.raises(NeurosimInputError, match=rf"t.csv, column t: must have each time once.*occurs {often} times"):
        ordered(times)


def test_times_that_are_less_than_a_moment() -> None:
    july = 1404172800.0
    assert times_of("month,v\n2014-07,2\n") == times_of("timestamp,v\n20140701,2\n") == [july]
    # Dates and times of day in columns of their own; neither is a value.
    columns, rows = read_series(["Date;Time;v\n", "1.7.2014;0:30;2,5\n", "1.7.2014;1:00 PM;3\n"], "t.csv")
    assert (columns.time, columns.clock, columns.numbers) == ("Date", "Time", ("v",))
    assert [(row.time - july, row.text, row.values["v"]) for row in rows] == [
        (1800.0, "1.7.2014 0:30", 2.5),
        (46800.0, "1.7.2014 1:00 PM", 3.0),
    ]
    # A number with a point is a value, no month; one of digits no date, unless the first time is one.
    columns, rows = read_series(["a,t\n", "2014.07,5\n", "2,20140701\n"], "t.csv")
    assert columns.numbers == ("a",) and [row.time for row in rows] == [5.0, 20140701.0]
    with pytest.raises(NeurosimFormatError, match="write it year first: no date here says which number is the day"):
        times_of("t,v\n07/01/2014 00:30,1\n")


def test_columns_are_found_below_empty_cells_comments_and_numbers_of_rows() -> None:
    columns, rows = read_series([",t,v\n", "0,1,\n", "1,2,nan\n", "2,3,4\n"], "t.csv")
    assert (columns.time, columns.numbers) == ("t", ("v",))
    assert [row.time for row in rows] == [1.0, 2.0, 3.0]
    columns, _ = read_series(["# by a logger\n", "# t|v\n", "1|2\n"], "t.csv")
    assert (columns.time, columns.numbers) == ("t", ("v",))
    columns, rows = read_series(["# by a logger\n", "1404174600,2\n", "1404174900,3\n"], "t.csv")
    assert (columns.time, columns.numbers) == ("column1", ("column2",)) and len(list(rows)) == 2
    assert decode_text("t,v\n1,2\n".encode("utf-16")) == "t,v\n1,2\n"
    # A category with an accent is not another one without.
    assert decode_text("Größe;Ort\n1,5;é\n".encode("cp1252")) == "Größe;Ort\n1,5;é\n"


def test_numbers_have_the_unit_of_their_column() -> None:
    for name, text, seconds in (("Time (min)", "1.5", 90.0), ("t [ms]", "1500", 1.5), ("time_h", "2", 7200.0)):
        columns, rows = read_series([f"{name},v\n", f"{text},2\n"], "t.csv")
        (row,) = rows
        assert (columns.time, columns.numbers) == (name, ("v",))
        # The text is read again by those who have no columns.
        assert row.time == seconds and float(row.text) == seconds
    # Large numbers count since 1970, dates have no unit, and a longer word is no time.
    assert times_of("timestamp_ms,v\n1404174600000,2\n") == times_of("time_s,v\n2014-07-01 00:30,2\n") == [1404174600.0]
    assert read_series(["timer_s,v\n", "1,2\n"], "t.csv")[0].numbers == ("timer_s", "v")


def test_what_exports_add_to_a_table_is_passed_over() -> None:
    lines = ["sep=;\n", "\n", "id;t;v\n", "7;1;2,5;\n", "8;2;N/A\n", "9;3;-\n"]
    columns, rows = read_series(lines, "t.csv")
    assert (columns.time, columns.numbers) == ("t", ("v",))
    values = [float(row.values["v"]) for row in rows]
    assert values[0] == 2.5 and all(map(math.isnan, values[1:])) and len(values) == 3


def test_columns_of_year_month_and_so_on_are_one_time() -> None:
    text = "year,month,day,hour,v\n2014,7,1,0,2\n2014,7,1,1.0,3\n"
    columns, rows = read_series(text.splitlines(True), "t.csv")
    assert (columns.time, columns.parts, columns.numbers) == ("year", ("year", "month", "day", "hour"), ("v",))
    assert [(row.time, row.text) for row in rows] == [
        (1404172800.0, "2014-07-01 00:00:00"),
        (1404176400.0, "2014-07-01 01:00:00"),
    ]
    assert times_of("Year,v\n1970,2\n1971,3\n") == [0.0, 365 * 86400.0]
    # A year beside a date is a number, as is a count that is no year.
    columns, _ = read_series(["when,year,v\n", "2014-07-01,2014,2\n"], "t.csv")
    assert (columns.time, columns.numbers) == ("when", ("year", "v"))
    assert read_series(["year,v\n", "3,2\n"], "t.csv")[0].numbers == ("year", "v")


def test_days_of_a_spreadsheet_are_dates_where_the_column_says_so() -> None:
    _, rows = read_series(["Date,v\n", "41821,2\n", "41821.020833333336,3\n"], "t.csv")
    assert [row.text for row in rows] == ["2014-07-01 00:00:00", "2014-07-01 00:30:00"]
    assert times_of("time,v\n41821,2\n41822,3\n") == [41821.0, 41822.0]


def test_a_line_of_units_is_passed_over() -> None:
    columns, rows = read_series("time,temp,kind\n[ms],degC,-\n5,1.5,a\n".splitlines(True), "t.csv")
    assert columns.numbers == ("temp",) and columns.unit == 1e-3
    assert [(row.time, row.values) for row in rows] == [(0.005, {"temp": 1.5})]
    with pytest.raises(NeurosimFormatError, match="line 4, column v: must be a number"):
        list(read_series("t,v\ns,kW\n1,2\n2,high\n".splitlines(True), "t.csv")[1])
    # Words above words are a row of a column of words.
    _, rows = read_series("kind,v\nn/a,\na,2\n".splitlines(True), "t.csv", texts=["kind"])
    assert [row.values["kind"] for row in rows] == ["n/a", "a"]


@pytest.mark.parametrize(
    ("separator", "cell", "value"),
    [
        (",", '"1,234.5"', 1234.5),
        (",", '"-12,345,678"', -12345678.0),
        ("\t", "1,234.5", 1234.5),
        (";", "1.234,5", 1234.5),
        (";", "-1.234.567,25", -1234567.25),
        (";", "1 234,5", 1234.5),
        (";", "1\u202f234", 1234.0),
        (",", "1'234.5", 1234.5),
        (";", "1.234", 1.234),
        (";", "1,234", 1.234),
    ],
)
def test_thousands_may_be_parted(separator: str, cell: str, value: float) -> None:
    lines = [f"day{separator}v\n", f"2014-07-01{separator}{cell}\n"]
    columns, rows = read_series(lines, "t.csv")
    assert columns.numbers == ("v",) and [row.values["v"] for row in rows] == [value]


def test_dates_with_dashes_say_their_order_as_those_with_slashes() -> None:
    text = "when,v\n01-07-2014 00:30,2\n13-07-2014 00:30,3\n"
    _, rows = read_series(text.splitlines(True), "t.csv", whole=True)
    assert [row.text for row in rows] == ["2014-07-01 00:30", "2014-07-13 00:30"]


def test_dates_that_may_begin_with_the_day_or_a_short_year_are_refused() -> None:
    """14-07-01 was read as 14 July 2001."""
    for first, second in (("14-07-01", "14-07-02"), ("30-06-14", "01-07-14")):
        with pytest.raises(NeurosimFormatError, match="write it year first: no date here says which number is the day"):
            read_series(["day,v\n", f"{first},2\n", f"{second},3\n"], "t.csv", whole=True)[1].__next__()


def test_times_of_day_alone_are_no_time() -> None:
    for name in ("time", "Uhrzeit"):
        columns, rows = read_series([f"{name},v\n", "00:30,2\n"], "t.csv")
        assert (columns.time, columns.clock, columns.numbers) == ("", name, ("v",))
        assert [row.text for row in rows] == ["0"]


def test_a_first_column_that_counts_is_no_value() -> None:
    lines = ["minute,load\n", *(f"{5 * k},{k % 7}\n" for k in range(12))]
    assert read_series(lines, "t.csv", whole=True)[0].numbers == ("load",)
    # A stream does not know the rows to come, and a few rows may count by chance; a name that is given is read.
    assert read_series(lines, "t.csv")[0].numbers == ("minute", "load")
    assert read_series(lines[:9], "t.csv", whole=True)[0].numbers == ("minute", "load")
    assert read_series(lines, "t.csv", numbers=["minute"], whole=True)[0].numbers == ("minute",)
    uneven = [*lines, "61,3\n"]
    assert read_series(uneven, "t.csv", whole=True)[0].numbers == ("minute", "load")
    alone = [line.split(",")[0] + "\n" for line in lines]
    assert read_series(alone, "t.csv", whole=True)[0].numbers == ("minute",)


def test_columns_of_labels_are_not_read_with_the_values() -> None:
    lines = ["timestamp,value,is_anomaly,KPI ID\n", "2014-07-01,1,0,x\n", "2014-07-02,9,1,x\n"]
    with pytest.warns(GuessWarning, match="is_anomaly is taken for labels of the records and not read"):
        columns, rows = read_series(lines, "a.csv")
    assert columns.numbers == ("value",)
    assert [row.values for row in rows] == [{"value": 1.0}, {"value": 9.0}]
    columns, _ = read_series(lines, "a.csv", numbers=("is_anomaly",))
    assert columns.numbers == ("is_anomaly",)
    columns, _ = read_series(["time,label\n", "1,3\n"], "a.csv")
    assert columns.numbers == ("label",)
