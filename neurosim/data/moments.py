"""Times as tables write them: dates, and seconds, milliseconds, microseconds or nanoseconds since 1970."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import MINYEAR, datetime, timedelta, timezone

from ..base.errors import NeurosimFormatError
from .cells import parse_float

# Numbers from these on count ms, us and ns since 1970: as seconds they would lie behind the year 5138.
UNITS = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3))
# Seconds of the years 1995 to 2100, by which a column without a name is known as one of times.
EPOCH = (788_918_400.0, 4_102_444_800.0)
# Seconds of the years 1 to 9999, which a date may have.
DATES = (-62_135_596_800.0, 253_402_300_800.0)
# Parts of a date in columns of their own, in order.
PARTS = ("year", "month", "day", "hour", "minute", "second")
# Day 0 of a spreadsheet's serial numbers, and numbers that are dates.
SERIAL_ZERO = datetime(1899, 12, 30)
SERIALS = (20_000, 70_000)
# Dates of digits alone: 20140701, 201407010030, 20140701003000.
_COMPACT = re.compile(r"((?:19|20)\d\d)(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?")
_ZONE_NAME = re.compile(r"\s*(?:UTC|GMT|Z)$", re.IGNORECASE)
_OFFSET = re.compile(r"(:\d\d(?:[.,]\d+)?)\s*[+-]\d\d(?::?\d\d)?$")
_FRACTION = re.compile(r"(:\d\d)[.,](\d{1,6})\d*$")
# A month alone has no dot in front, which would be a decimal point.
_YEAR_FIRST = re.compile(r"(\d{4})(?:[-/](\d{1,2})(?:[-/](\d{1,2}))?|\.(\d{1,2})\.(\d{1,2}))(?:[T ]\s*(.+))?")
# Dots mean day, month, year; slashes and dashes do not say which of both comes first.
_DAY_FIRST = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4}|\d\d)(?:[T ,]\s*(.+))?")
_SLASHES = re.compile(r"(\d{1,2})(?:/(\d{1,2})/|-(\d{1,2})-)(\d{4}|\d\d)(?:[T ,]\s*(.+))?")
# The last month: a number above it is a day.
_MONTHS_OF_YEAR = 12
_LAST_DAY = 31
_HALF_DAY_HOURS = 12  # of AM, and of PM
# Two digits of a year from here on are of the last century, as in spreadsheets: series are of the past.
_FIRST_YEAR = 30
# English names of months: 1 Mar 2024 0:30, Mar 1, 2024 0:30, Fri Mar  1 00:30:00 2024; a day of the week may lead.
MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+)?"
_WITH_MONTH = tuple(
    re.compile(_WEEKDAY + rest, re.IGNORECASE)
    for rest in (
        r"(?P<day>\d{1,2})(?:\.\s*|[\s-])(?P<month>[a-z]{3,9})[\s,.-]+(?P<year>\d{4}|\d\d)(?:[,\s]\s*(?P<clock>.+))?",
        r"(?P<month>[a-z]{3,9})\.?\s+(?P<day>\d{1,2}),?\s+(?P<year>\d{4})(?:[,\s]\s*(?P<clock>.+))?",
        r"(?P<month>[a-z]{3,9})\s+(?P<day>\d{1,2})\s+(?P<clock>\d\d:\d\d:\d\d)\s+(?P<year>\d{4})",
    )
)
# Months alone, also with the name first, Jan-49 and Jan 1949, or behind the year, 1949 Jan and 1949M01. In 49-Jan the
# number can be no day; 12-Jan may be one.
_MONTH_ALONE = re.compile(
    r"(?P<month>[a-z]{3,9})(?:\.? |\.?-)(?P<year>\d{4})|(?P<name>[a-z]{3,9})-(?P<short>\d\d)"
    r"|(?P<first>\d{4}|00|3[2-9]|[4-9]\d)[ -](?P<second>[a-z]{3,9})|(?P<of>\d{4})-?M(?P<number>\d{1,2})",
    re.IGNORECASE,
)
# 07-Jan in a column whose first time is such as 49-Jan or 00-Jan.
_SHORT_YEAR = re.compile(r"(?P<year>\d\d)-(?P<month>[a-z]{3,9})", re.IGNORECASE)
_QUARTER = re.compile(
    r"(?P<year>\d{4})[ -]?Q(?P<quarter>[1-4])|Q(?P<first>[1-4])[ -/]?(?P<second>\d{4})", re.IGNORECASE
)
_WEEK = re.compile(r"(\d{4})-?W(\d\d)(?:-?([1-7]))?", re.IGNORECASE)
# ISO 8601 without signs between numbers, which Python 3.10 does not know.
_BASIC = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)?", re.IGNORECASE)
# The end of a day.
_MIDNIGHT = re.compile(r"24:00(?::00(?:\.0+)?)?")
_DECIMAL_YEAR = re.compile(r"(1[5-9]|2[01])\d\d(\.\d*)?")
_YEAR_AND_MONTH = re.compile(r"((?:1[5-9]|20|21)\d\d)(0[1-9]|1[0-2])")
_HALF_DAY = re.compile(r"(\d{1,2})(:\d\d(?::\d\d(?:\.\d+)?)?)\s*([AP])\.?M\.?", re.IGNORECASE)
_CLOCK = re.compile(r"(\d{1,2}):\d\d(:\d\d([.,]\d+)?)?(\s*[AP]\.?M\.?)?", re.IGNORECASE)


def seconds_of(text: str, name: str, unit: float = 1.0) -> float:
    """Return the seconds since 1970 of a date or a number; a zone is left out.

    Args:
        text: the date or the number.
        name: of the cell, for errors.
        unit: of a number too small to count ms since 1970, s.

    Raises:
        NeurosimFormatError: neither of both; the text begins with `name`.
    """
    moment = date_of(text)
    if moment is not None:
        return moment.replace(tzinfo=timezone.utc).timestamp()
    try:
        number = parse_float(text)
    except ValueError:
        rule = "must be a date such as 2014-07-01 00:30:00, or seconds since 1970"
        step = "; write it year first: no date here says which number is the day" if has_slashes(text) else ""
        if _SHORT_YEAR.fullmatch(text):
            step = "; write a year of four digits: two in front of a month may be a day"
        if is_clock(text):
            step = "; a time of day alone needs a column of dates beside it"
        raise NeurosimFormatError(f"{name}: {rule} (got {text!r}){step}") from None
    # A number this large counts a smaller unit, whatever the column says.
    scale = next((scale for least, scale in UNITS if abs(number) >= least), unit)
    low, high = DATES
    # NaN and infinity fail this comparison, too.
    if not low <= number * scale < high:
        raise NeurosimFormatError(f"{name}: must be a time (got {text!r})")
    return number * scale


def date_of(text: str) -> datetime | None:
    """Return the date that a text is, without its zone; None for another text.

    ISO 8601, and 24:00 as the end of a day; also with slashes or dots, the name UTC or GMT, AM and PM, or without day;
    1.7.2014 and 1.7.14; English names of months, as in 1 Jul 2014, Jul 1, 2014 and Tue Jul  1 00:30:00 2014; and the
    first day of a month, quarter or week: Jul-14, 49-Jul, Jul 2014, 2014M07, 2014-Q3, Q3 2014, 2014-W27.
    """
    plain = _ZONE_NAME.sub("", text.strip())
    # Digits alone may be a number of seconds as well: the reader of the column decides.
    if plain.isdigit():
        return None
    plain = _OFFSET.sub(r"\1", plain)
    spelt_out = _BASIC.sub(lambda match: "{}-{}-{}T{}:{}:{}".format(*match.groups("00")), plain)
    moment = _iso(plain) or _iso(spelt_out) or _period(plain)
    if moment is not None:
        return moment
    match = _YEAR_FIRST.fullmatch(plain)
    if match is not None:
        year, month, day, other_month, other_day, rest = match.groups()
        return _joined(f"{year}-{int(month or other_month):02d}-{int(day or other_day or 1):02d}", rest)
    match = _DAY_FIRST.fullmatch(plain)
    if match is not None:
        day, month, year, rest = match.groups()
        return _joined(f"{_year(year)}-{int(month):02d}-{int(day):02d}", rest)
    return _with_month(plain)


def _period(text: str) -> datetime | None:
    """Return the first day of a month, quarter or week; None for another text."""
    return _week(text) or _quarter(text) or _month(text)


def _week(text: str) -> datetime | None:
    match = _WEEK.fullmatch(text)
    if match is None:
        return None
    try:
        return datetime.fromisocalendar(int(match[1]), int(match[2]), int(match[3] or 1))
    except ValueError:
        return None


def _quarter(text: str) -> datetime | None:
    match = _QUARTER.fullmatch(text)
    if match is None:
        return None
    quarter = int(match["quarter"] or match["first"])
    return _first_day(int(match["year"] or match["second"]), 3 * quarter - 2)


def _month(text: str) -> datetime | None:
    match = _MONTH_ALONE.fullmatch(text)
    if match is None:
        return None
    # One expression, several orders: each order has names of its own for year and month.
    name = (match["month"] or match["name"] or match["second"] or "").lower()
    month = int(match["number"] or next((k for k, each in enumerate(MONTHS, 1) if name and each.startswith(name)), 0))
    if not 1 <= month <= _MONTHS_OF_YEAR:
        return None
    return _first_day(_year(match["year"] or match["short"] or match["first"] or match["of"]), month)


def _first_day(year: int, month: int) -> datetime | None:
    """Return the first day of a month; None in the year 0, which is no year of a date."""
    return None if year < MINYEAR else datetime(year, month, 1)


def spell_out(text: str) -> str:
    """Return a date of digits alone, such as 201407010030, in ISO 8601; "" for another text."""
    match = _COMPACT.fullmatch(text.strip())
    if match is None:
        return ""
    try:
        return datetime(*(int(part) for part in match.groups(default="0"))).isoformat()  # type: ignore[arg-type]
    except ValueError:
        return ""


def spell_month(text: str) -> str:
    """Return a month of digits alone, such as 201407, in ISO 8601; "" for another text."""
    match = _YEAR_AND_MONTH.fullmatch(text)
    return "" if match is None else f"{match[1]}-{match[2]}"


def spell_short_year(text: str) -> str:
    """Return a month behind the last two digits of its year, such as 49-Jan, as Jan-49; "" for another text."""
    match = _SHORT_YEAR.fullmatch(text)
    return "" if match is None else f"{match['month']}-{match['year']}"


def spell_decimal(text: str) -> str:
    """Return the moment of a year with a fraction, such as 2014.5, in ISO 8601 to the second; "" for another text."""
    if not _DECIMAL_YEAR.fullmatch(text):
        return ""
    start = datetime(int(float(text)), 1, 1)
    year = start.replace(year=start.year + 1) - start
    return (start + timedelta(seconds=round((float(text) - start.year) * year.total_seconds()))).isoformat(sep=" ")


def date_of_parts(cells: Sequence[str], where: str) -> str:
    """Return the date whose year, month and so on are in cells, as ISO 8601 writes it; `where` is the row, for errors.

    Raises:
        NeurosimFormatError: there is no such date.
    """
    if len(cells) == 1 and (moment := spell_decimal(cells[0])):
        return moment
    defaults = (1, 1, 1, 0, 0, 0)
    try:
        numbers = [int(re.sub(r"\.0*$", "", cell)) for cell in cells]
        return datetime(*numbers, *defaults[len(numbers) :]).isoformat(sep=" ")  # type: ignore[arg-type]
    except ValueError:
        rule = f"must be the {', '.join(PARTS[: len(cells)])} of a date"
        raise NeurosimFormatError(f"{where}: {rule} (got {', '.join(cells)})") from None


def serial_date(text: str) -> str:
    """Return the date of a spreadsheet's serial number, days since 1899-12-30, in ISO 8601; "" for another text.

    Numbers of the years 1954 to 2091 are dates: a count of seconds in their place would be of the first day of 1970.
    """
    if not re.fullmatch(r"\d{5}(\.\d*)?", text):
        return ""
    days = float(text)
    low, high = SERIALS
    if not low <= days < high:
        return ""
    # To the second: the serial number of a time of day is rounded.
    return (SERIAL_ZERO + timedelta(seconds=round(days * 86_400))).isoformat(sep=" ")


def has_slashes(text: str) -> bool:
    """Return whether a text is a date such as 07/01/2014 or 07-01-2014, which does not say which number is the day."""
    return _SLASHES.match(text) is not None


def is_day_first(text: str) -> bool | None:
    """Return whether the day comes first in a date with slashes or dashes; None where it does not say that.

    Both numbers may be months; and 14-07-01 may begin with its year.
    """
    match = _SLASHES.fullmatch(text)
    if match is None or (match[3] and len(match[4]) == 2 and 1 <= int(match[4]) <= _LAST_DAY):
        return None
    first = int(match[1]) > _MONTHS_OF_YEAR
    second = int(match[2] or match[3]) > _MONTHS_OF_YEAR
    return None if first == second else first


def year_first(text: str, day_first: bool) -> str:
    """Return a date with slashes or dashes, whose order is known, with its year in front; another text as it is."""
    match = _SLASHES.fullmatch(text)
    if match is None:
        return text
    first, second, after_dash, year, rest = match.groups()
    second = second or after_dash
    day, month = (first, second) if day_first else (second, first)
    date = f"{_year(year)}-{int(month):02d}-{int(day):02d}"
    return f"{date} {rest}" if rest else date


def _year(text: str) -> int:
    if len(text) > 2:
        return int(text)
    return int(text) + (1900 if int(text) >= _FIRST_YEAR else 2000)


def is_clock(text: str) -> bool:
    """Return whether a text is a time of day, such as 00:30 or 12:30:05 PM."""
    return _CLOCK.fullmatch(text.strip()) is not None


def is_epoch(text: str) -> bool:
    """Return whether a text is an integer that counts s, ms, us or ns since 1970, of the years 1995 to 2100."""
    if not re.fullmatch(r"\d{9,19}(\.0+)?", text):
        return False
    low, high = EPOCH
    return low <= seconds_of(text, "") <= high


def is_hour(text: str) -> bool:
    """Return whether a text is a whole hour of a day, 0 to 24."""
    return re.fullmatch(r"\d{1,2}(\.0+)?", text) is not None and float(text) <= 24


def hour_as_clock(text: str) -> str:
    """Return the time of day of a whole hour, and other texts as they are."""
    return f"{int(float(text)):02d}:00" if is_hour(text) else text


def _with_month(text: str) -> datetime | None:
    """Return the date of a text with the name of a month; None for another text."""
    for form in _WITH_MONTH:
        match = form.fullmatch(text)
        if match is None:
            continue
        name = match["month"].lower()
        months = [k for k, month in enumerate(MONTHS, 1) if month.startswith(name)]
        if months:
            return _joined(f"{_year(match['year'])}-{months[0]:02d}-{int(match['day']):02d}", match["clock"])
    return None


def _joined(date: str, rest: str | None) -> datetime | None:
    """Return a date with a time of day, which may have AM or PM behind it, or be missing."""
    clock = rest or "00:00"
    if _MIDNIGHT.fullmatch(clock):
        return _next_day(_iso(date))
    half = _HALF_DAY.fullmatch(clock)
    if half is not None:
        hour = int(half[1])
        in_afternoon = half[3] in "pP"
        if hour <= _HALF_DAY_HOURS:
            hour = hour % _HALF_DAY_HOURS + _HALF_DAY_HOURS * in_afternoon
        elif not in_afternoon:
            # 13:30 PM is written by some programs; 13:30 AM is no time.
            return None
        clock = f"{hour:02d}{half[2]}"
    if re.match(r"\d:", clock):
        clock = f"0{clock}"
    return _iso(f"{date}T{clock}")


def _next_day(day: datetime | None) -> datetime | None:
    """Return the day after a day; None behind the last day that a date can have."""
    if day is None or day.date() == datetime.max.date():
        return None
    return day + timedelta(days=1)


def _iso(text: str) -> datetime | None:
    """Return the date of a text in ISO 8601, without its zone; None for another text."""
    # Python 3.10 knows fractions of a second with 3 or 6 digits behind a dot alone.
    text = _FRACTION.sub(lambda match: f"{match[1]}.{match[2]:0<6}", text)
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None
