"""Statements of a text of equations: lines, the names, units and flags in them."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection
from dataclasses import dataclass

from ....base.errors import NeurosimInputError, lookup, require
from .functions import NAMES

# Words of a text that no variable or parameter may have as its name, and attributes of the written class.
WORDS = (*NAMES, "dt", "refractory", "t", "xi")
ATTRIBUTES = ("constants", "drives", "initial", "positive", "quiet", "receptors", "self", "source", "state", "step")
NOISE = re.compile(r"xi(_\w+)?")
MAX_TEXT = 10_000
SLOPE = re.compile(r"d(\w+)\s*/\s*dt\s*=\s*(.+)", re.DOTALL)
ASSIGNMENT = re.compile(r"(\w+)\s*([-+*/]?)=(?!=)\s*(.+)", re.DOTALL)
# The start of a statement; other lines continue the one before.
START = re.compile(r"d\w+\s*/\s*dt\s*=|\w+\s*[-+*/]?=(?!=)|\w+\s*:")
FLAGS = (
    "unless refractory",
    "shared",
    "input",
    "constant",
    "constant over dt",
    "event-driven",
    "clock-driven",
    "summed",
)
FLAGGED = re.compile(rf"\(\s*((?:{'|'.join(FLAGS)})(?:\s*,\s*(?:{'|'.join(FLAGS)}))*)\s*\)\s*$")
# A unit, a space and words in brackets: "volt (linked)", but not "sqrt(second)" or "amp / (volt)".
MARKED = re.compile(r".*[\w)]\s+\(([a-z][a-z ,-]*)\)")
# What a model of Brian2 may have, and what to write in its place.
MARKS = {"linked": "write its equation here, with (shared) noise where it has noise, or a timed array"}


@dataclass(frozen=True)
class Statement:
    """A line of a model: `d name/dt = value : unit (flags)`, `name = value`, or `name : unit`, whose value is ""."""

    name: str
    value: str
    unit: str | None
    flags: frozenset[str]
    is_slope: bool


def lines(text: str, what: str) -> list[str]:
    """Return the statements of a text, which are separated by semicolons or by the start of another statement."""
    require(len(text) <= MAX_TEXT, what, f"must have at most {MAX_TEXT} characters", len(text))
    statements: list[str] = []
    for line in text.split("\n"):
        for number, part in enumerate(line.split("#")[0].split(";")):
            # A backslash continues a line, as the next line does anyway.
            piece = part.strip().removesuffix("\\").rstrip()
            if not piece:
                continue
            continues = number == 0 and bool(statements) and START.match(piece) is None
            if continues:
                statements[-1] += f" {piece}"
            else:
                statements.append(piece)
    return statements


def read_statements(text: str, what: str = "equations") -> list[Statement]:
    """Return the statements of a model.

    Raises:
        NeurosimInputError: a line that is none, or a name that is given twice.
    """
    statements = []
    for line in lines(text, what):
        flagged = FLAGGED.search(line)
        flags = frozenset(re.split(r"\s*,\s*", flagged[1])) if flagged else frozenset()
        body = line[: flagged.start()] if flagged else line
        body, _, unit = (part.strip() for part in body.partition(":"))
        _check_flags(unit, f"{what}: {body}")
        # A slope `dx/dt = ..`, a value `x = ..`, or a parameter, which has a unit and no value.
        slope = SLOPE.fullmatch(body)
        named = ASSIGNMENT.fullmatch(body)
        if slope is not None:
            name, value = slope.groups()
        elif named is not None and not named[2]:
            name = named[1]
            value = named[3]
        elif body.isidentifier() and unit:
            name = body
            value = ""
        else:
            form = "dv/dt = (v_leak - v) / tau_mem : V (unless refractory)"
            raise NeurosimInputError(f"{what}: must read like '{form}' (got {line!r:.80})")
        statements.append(Statement(name=name, value=value, unit=unit or None, flags=flags, is_slope=slope is not None))
    names = [statement.name for statement in statements]
    for name in names:
        require(names.count(name) == 1, what, "must say each name once", name)
    return statements


def _check_flags(unit: str, what: str) -> None:
    """Raise `NeurosimInputError` for a flag that is not known; known ones are no longer in the text of the unit."""
    marked = MARKED.fullmatch(unit)
    if marked is None:
        return
    for flag in marked[1].split(","):
        step = MARKS.get(flag.strip())
        if step is not None:
            raise NeurosimInputError(f"{what}: ({flag.strip()}) is not known; {step}")
        lookup(dict.fromkeys(FLAGS), flag.strip(), f"{what}: flag")


def check_names(states: Collection[str], others: Collection[str], what: str = "equations") -> None:
    """Raise `NeurosimInputError` for a name that a model cannot use.

    Args:
        others: parameters, inputs and subexpressions.
    """
    for name in (*states, *others):
        usable = name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")
        free = name not in WORDS and NOISE.fullmatch(name) is None and (name in states or name not in ATTRIBUTES)
        require(usable and free, what, "must not use this name; choose another", name)
        require([*states, *others].count(name) == 1, what, "must say each name once", name)
