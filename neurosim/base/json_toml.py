"""JSON and TOML files: reading with errors that name the line, atomic writing."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

from .atomic import write_text
from .errors import NeurosimFormatError, NeurosimInputError
from .plain import PlainTree, to_plain
from .raw import read_bytes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


# The parser takes the square of the number of parts of a key: 40 kB of one key took seconds.
MAX_PARTS = 64
_DOTTED = re.compile(rf"(?<![\w-])(?:[\w-]+[ \t]*\.[ \t]*){{{MAX_PARTS}}}")
# Strings and comments: the other dots of a line separate the parts of keys, or stand in numbers.
_QUOTED = re.compile(r'"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return the value of a JSON file.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not JSON, naming line and column.
    """
    try:
        return json.loads(_text(path))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise NeurosimFormatError(
            f"{path}: {where}: expected JSON ({error.msg}); correct or restore the file"
        ) from None
    except ValueError:  # an integer of thousands of digits
        raise NeurosimFormatError(f"{path}: expected integers of fewer digits; correct or restore the file") from None
    except RecursionError:
        raise NeurosimFormatError(f"{path}: expected JSON nested less deeply; correct or restore the file") from None


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Replace `path` by `value` as indented JSON in one step; numbers and arrays of numpy are written as plain ones.

    Raises:
        NeurosimInputError: a value that JSON cannot hold, NaN included.
        NeurosimWriteError: as `replacing`.
    """
    try:
        text = json.dumps(value, indent=2, default=to_plain, allow_nan=False)
    except (TypeError, ValueError, NeurosimInputError) as error:
        raise NeurosimInputError(f"{path}: cannot be written as JSON: {error}") from None
    write_text(path, text + "\n")


def read_toml(path: str | os.PathLike[str]) -> PlainTree:
    """Return the table of a TOML file.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not TOML, naming line and column.
    """
    return parse_toml(_text(path), str(path))


def parse_toml(text: str, name: str) -> PlainTree:
    """Return the table of a text of TOML; `name` stands in errors.

    Raises:
        NeurosimFormatError: not TOML, naming line and column.
    """
    # Counting dots takes microseconds; the regular expressions run only on the rare text with a suspicious line.
    suspicious = any(line.count(".") >= MAX_PARTS for line in text.splitlines())
    if suspicious and _DOTTED.search(_QUOTED.sub("s", text)):
        raise _no_toml(name, f"a key of more than {MAX_PARTS} parts")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
        if reason.startswith("Invalid value"):
            reason += ", where texts stand in quotes"
        raise _no_toml(name, reason) from None
    except (ValueError, RecursionError):  # an integer of thousands of digits, or brackets within brackets
        raise _no_toml(name, "nested or an integer too long") from None


def _no_toml(name: str, reason: str) -> NeurosimFormatError:
    return NeurosimFormatError(f"{name}: expected TOML: {reason}; correct or restore the file")


def write_toml(path: str | os.PathLike[str], table: PlainTree) -> None:
    """Replace `path` by `table` as TOML in one step.

    Raises:
        NeurosimInputError: a value that TOML cannot hold, None included.
        NeurosimWriteError: as `replacing`.
    """
    write_text(path, toml_text(table, str(path)))


def toml_text(table: Mapping[str, Any], name: str) -> str:
    """Return `table` as TOML; `name` stands in errors.

    Raises:
        NeurosimInputError: a value that TOML cannot hold, None and names of files that are not UTF-8 included.
    """
    import tomli_w

    try:
        text = tomli_w.dumps(table)
    except (TypeError, ValueError) as error:
        raise NeurosimInputError(f"{name}: cannot be written as TOML: {error}") from None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        # Python keeps the bytes of a path that are not UTF-8 as halves of surrogate pairs, which no file of text holds.
        line = text[: error.start].count("\n")
        raise NeurosimInputError(
            f"{name}: must hold text in UTF-8 (got {text.splitlines()[line]}); rename the file or folder; where other "
            "programs show its name rightly, set LC_ALL=C.UTF-8"
        ) from None
    return text


def _text(path: str | os.PathLike[str]) -> str:
    data = read_bytes(path).tobytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NeurosimFormatError(
            f"{path}: byte {error.start}: expected UTF-8 text, got 0x{data[error.start]:02x}; save the file as UTF-8"
        ) from None
