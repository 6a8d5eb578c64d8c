"""Numbers as people read them. Whatever is no number comes out as a dash, never as a wrong figure."""

from __future__ import annotations

import math
from collections.abc import Mapping

DASH = "\N{EM DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
THIN = "\N{NARROW NO-BREAK SPACE}"
PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}


def number(value: object) -> float | None:
    """`value` if it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def plain(value: object, digits: int = 4) -> str:
    """12,345 or 0.1234: whole above 1000, else `digits` significant digits."""
    known = number(value)
    if known is None:
        return DASH
    if known == int(known) or abs(known) >= 1000:
        return f"{known:,.0f}"
    return f"{known:.{digits}g}" if abs(known) >= 1e-4 else f"{known:.2e}"


def percent(value: object, digits: int = 1) -> str:
    known = number(value)
    return DASH if known is None else f"{100 * known:.{digits}f}{THIN}%"


def si(value: object, unit: str = "", digits: int = 3) -> str:
    """1.23 µJ, 45.6 M."""
    known = number(value)
    if known is None:
        return DASH
    power = _power(known)
    return f"{_significant(known / 10.0**power, digits)}{THIN}{PREFIXES[power]}{unit}".rstrip(THIN)


def span(value: object, unit: str = "", digits: int = 3) -> str:
    """{"low", "high"} as one figure, or as `198-394 µJ` with one prefix."""
    if not isinstance(value, Mapping):
        return DASH
    low, high = number(value.get("low")), number(value.get("high"))
    if low is None or high is None:
        return DASH
    if math.isclose(low, high, rel_tol=1e-9):
        return si(high, unit, digits)
    power = _power(max(abs(low), abs(high)))
    ends = "\N{EN DASH}".join(_significant(end / 10.0**power, digits) for end in (low, high))
    return f"{ends}{THIN}{PREFIXES[power]}{unit}"


def times(value: object) -> str:
    """12.3x; whole from 100 on."""
    known = number(value)
    if known is None:
        return DASH
    return (f"{known:,.0f}" if known >= 100 else f"{known:.2g}" if known < 10 else f"{known:.1f}") + TIMES


def seconds(value: object) -> str:
    """0.25 ms, 12.3 s, 4 min 5 s."""
    known = number(value)
    if known is None:
        return DASH
    if abs(known) < 120:
        return si(known, "s")
    return f"{int(known // 60)}{THIN}min {int(known % 60)}{THIN}s"


def _power(value: float) -> int:
    if value == 0:
        return 0
    # Rounded first: 999.96 is 1.00 k, not 1000.
    exponent = math.floor(math.log10(float(f"{abs(value):.2e}")))
    return min(max(3 * math.floor(exponent / 3), min(PREFIXES)), max(PREFIXES))


def _significant(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    decimals = max(digits - 1 - math.floor(math.log10(float(f"{abs(value):.{digits - 1}e}"))), 0)
    return f"{value:,.{decimals}f}"
