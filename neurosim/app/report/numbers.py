"""Numbers as text, for pages and for the command line. Anything that is not a finite number becomes a dash."""

from __future__ import annotations

import math

DASH = "\N{EM DASH}"
AS_MUCH = "as much"
NO_BREAK_HYPHEN = "\N{NON-BREAKING HYPHEN}"
TIMES = "\N{MULTIPLICATION SIGN}"
THIN = "\N{NARROW NO-BREAK SPACE}"
PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}


def number(value: object) -> float | None:
    """Return `value` if it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def plain(value: object, digits: int = 4) -> str:
    """Return 12,345 or 0.1234: an integer from 1000 on, else `digits` significant digits; powers of ten far from 1."""
    known = number(value)
    if known is None:
        return DASH
    # From here on an integer is no longer exact.
    if abs(known) >= 2**53:
        return f"{known:.2e}"
    if known == int(known) or abs(known) >= 1000:
        return f"{known:,.0f}"
    if abs(known) >= 1e-4:
        return f"{known:.{digits}g}"
    return f"{known:.2e}"


def three(value: object) -> str:
    """Return three significant digits."""
    return plain(value, 3)


def fixed(value: object, digits: int = 4) -> str:
    """Return `digits` decimals, so that 1.0000 is not read as exactly 1."""
    known = number(value)
    return DASH if known is None else f"{known:.{digits}f}"


def percent(value: object, digits: int = 1) -> str:
    """Return 0.123 as 12.3 %."""
    known = number(value)
    if known is None:
        return DASH
    return f"{100 * known:.{digits}f}{THIN}%"


def signed(value: object, digits: int = 2) -> str:
    """Return 0.0123 as +1.23 %."""
    known = number(value)
    if known is None:
        return DASH
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    return f"{round(100 * known, digits) + 0.0:+.{digits}f}{THIN}%"


def against(saving: object) -> str:
    """Return a saving of 0.9 as "10 times less", one of -0.5 as "1.5 times more", one near 0 as "as much"."""
    known = number(saving)
    if known is None or known >= 1:
        return DASH
    ratio = 1 - known
    # "1 times less" says nothing.
    if f"{max(ratio, 1 / ratio):.3g}" == "1":
        return AS_MUCH
    if ratio > 1:
        return f"{ratio:.3g} times more"
    return f"{1 / ratio:.3g} times less"


def si(value: object, unit: str = "", digits: int = 3) -> str:
    """Return 1.23 µJ or 45.6 M. A fraction without a unit has no prefix: 0.850, not 850 m."""
    known = number(value)
    if known is None:
        return DASH
    power = _power(known)
    if -3 <= power < 0 and not unit:
        power = 0
    whole = power == 0 and known == int(known)
    if whole:
        rounded = f"{known:.0f}"
    else:
        rounded = _significant(known / 10.0**power, digits)
    return f"{rounded}{THIN}{PREFIXES[power]}{unit}".rstrip(THIN)


def span(value: object, unit: str = "") -> str:
    """Return a record of `low` and `high` as one figure or as `198-394 µJ` with one prefix."""
    low, high = (number(getattr(value, end, None)) for end in ("low", "high"))
    if low is None or high is None:
        return DASH
    if math.isclose(low, high, rel_tol=1e-9):
        return si(high, unit)
    power = _power(max(abs(low), abs(high)))
    ends = "\N{EN DASH}".join(_significant(end / 10.0**power, 3) for end in (low, high))
    return f"{ends}{THIN}{PREFIXES[power]}{unit}"


def times(value: object) -> str:
    """Return 12.3x: an integer from 100 on."""
    known = number(value)
    if known is None:
        return DASH
    if known >= 100:
        factor = f"{known:,.0f}"
    elif known < 10:
        factor = f"{known:.2g}"
    else:
        factor = f"{known:.1f}"
    return factor + TIMES


def seconds(value: object) -> str:
    """Return 0.25 ms, 12.3 s or 4 min 5 s."""
    known = number(value)
    if known is None:
        return DASH
    if abs(known) < 120:
        return si(known, "s")
    return f"{int(known // 60)}{THIN}min {int(known % 60)}{THIN}s"


def date(started: object) -> str | None:
    """Return a time of ISO 8601 to the minute; its hyphens do not break the line."""
    if not isinstance(started, str):
        return None
    day, _, time = started[:16].partition("T")
    space = "\N{NO-BREAK SPACE}"
    return f"{day.replace('-', NO_BREAK_HYPHEN)}{space}{time}{space}UTC"


def text(shown: str) -> str:
    """Return a figure for a terminal: plain spaces, and "to" for a dash between two ends."""
    plain_ones = {THIN: " ", "\N{NO-BREAK SPACE}": " ", NO_BREAK_HYPHEN: "-"}
    plain_ones |= {"\N{EN DASH}": " to ", DASH: "-", "\N{PLUS-MINUS SIGN}": "+-", TIMES: " times"}
    for sign, words in plain_ones.items():
        shown = shown.replace(sign, words)
    return shown


def _power(value: float) -> int:
    if value == 0:
        return 0
    # Rounded first: 999.96 is 1.00 k, not 1000.
    exponent = math.floor(math.log10(float(f"{abs(value):.2e}")))
    return min(max(3 * math.floor(exponent / 3), min(PREFIXES)), max(PREFIXES))


def _significant(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    # Rounded first, as in `_power`: 9.996 has one digit before the point less than 10.00.
    decimals = max(digits - 1 - math.floor(math.log10(float(f"{abs(value):.{digits - 1}e}"))), 0)
    return f"{value:,.{decimals}f}"
